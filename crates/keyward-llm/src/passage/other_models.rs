//! Members of a request by which it would reach other models than the one that was decided about.

use crate::dialect::{Dialect, ModelMembers, Target};
use crate::error::Error;
use crate::json::{Members, Spanned};

/// Refuses a request with which a provider would ask another model than its caller may have.
///
/// # Errors
/// [`Error::OtherModel`] with the member.
pub(super) fn check(members: &Members<'_>, dialect: Dialect, target: &Target) -> Result<(), Error> {
    check_names(members.names(), dialect, target)?;
    if target.quirks.model_members == ModelMembers::Allowed {
        return Ok(());
    }
    let lists = members.names().filter(|name| reads_as(name, "tools"));
    for list in lists {
        check_tools(list, members.get(list).unwrap_or_default())?;
    }
    Ok(())
}

/// Tools that ask a model of their own: Anthropic's adviser, pictures of OpenAI's. What stands deeper is a tool's schema,
/// where a `model` is whatever the tool's maker calls so.
fn check_tools(list: &str, tools: &[u8]) -> Result<(), Error> {
    if !may_name_a_model(tools) {
        return Ok(());
    }
    let tools = Spanned::parse(tools)?;
    for (at, tool) in tools.items().iter().enumerate() {
        let mut names = tool.members().iter().map(|member| &member.name);
        if let Some(name) = names.find(|name| reads_as(name, "model")) {
            let list: String = list.chars().take(MOST_SHOWN).collect();
            return Err(Error::OtherModel {
                field: format!("{list}.{at}.{name}"),
            });
        }
    }
    Ok(())
}

/// Whether a text may have a member of that name, looked for without reading it: most have none.
fn may_name_a_model(text: &[u8]) -> bool {
    const NAME: &[u8] = b"\"model\"";
    hides_letters(text)
        || memchr::memchr2_iter(b'm', b'M', text).any(|at| {
            let name = at
                .checked_sub(1)
                .and_then(|from| text.get(from..from + NAME.len()));
            name.is_some_and(|name| name.eq_ignore_ascii_case(NAME))
        })
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

/// Whether letters that would be searched for may be written in the other way that JSON has for them, `\u0041`: writers do
/// so with letters of other scripts alone.
pub(super) fn hides_letters(text: &[u8]) -> bool {
    const BEGIN: &[u8] = b"\\u00";
    memchr::memmem::find_iter(text, BEGIN)
        .any(|at| matches!(text.get(at + BEGIN.len()), Some(b'2'..=b'7')))
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
            Self::None | Self::Allowed => &[],
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
