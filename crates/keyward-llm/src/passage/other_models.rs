//! Members of a request by which it would reach other models than the one that was decided about.

use crate::dialect::{Dialect, ModelMembers, Target};
use crate::error::Error;
use crate::json::Members;

/// Refuses a request with which a provider would ask another model than its caller may have.
///
/// # Errors
/// [`Error::OtherModel`] with the member.
pub(super) fn check(members: &Members<'_>, dialect: Dialect, target: &Target) -> Result<(), Error> {
    check_names(members.names(), dialect, target)
}

/// The same of members, or of a form's parts, by their names.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_names<'n>(
    names: impl Iterator<Item = &'n str>,
    dialect: Dialect,
    target: &Target,
) -> Result<(), Error> {
    let named = target.quirks.model_members.names();
    for name in names {
        // Servers that read names in any case would take this one for the model's.
        let other = name != "model" && dialect != Dialect::Gemini && reads_as(name, "model");
        if other || named.iter().any(|known| reads_as(name, known)) {
            return Err(Error::OtherModel {
                field: name.chars().take(MOST_SHOWN).collect(),
            });
        }
    }
    Ok(())
}

/// What a message repeats of a name.
const MOST_SHOWN: usize = 64;

/// Whether a server that tells no capitals from small letters takes a name for another: those fold as Unicode does.
fn reads_as(name: &str, known: &str) -> bool {
    let folded = name
        .chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase);
    folded.eq(known.chars().flat_map(char::to_lowercase))
}

impl ModelMembers {
    /// The members of a request's outermost object.
    #[must_use]
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::OpenRouter => &["models", "route", "preset", "fallback", "fallbacks"],
            Self::Vercel => &["models", "fallbacks", "providerOptions", "provider_options"],
            Self::Any => &[
                "models",
                "route",
                "preset",
                "fallback",
                "fallbacks",
                "context_window_fallbacks",
                "content_policy_fallbacks",
                "model_list",
                "user_config",
                "providerOptions",
                "provider_options",
            ],
        }
    }
}
