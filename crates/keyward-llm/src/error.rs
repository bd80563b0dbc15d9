//! What can be wrong, with a stable code for each.

use crate::dialect::Dialect;
use crate::form::Feature;
use std::fmt;

/// Everything that this crate refuses, and why.
///
/// [`code`](Error::code) is stable: programs may compare it. Who is at fault depends on whose bytes were read: a
/// request's are the caller's, an answer's are the provider's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not JSON, or JSON that could be read in two ways.
    #[error("not JSON that can be read: {why} (byte {at})")]
    Json {
        /// The byte from which it is not.
        at: usize,
        /// What is wrong there.
        why: &'static str,
    },
    /// Longer, deeper or more than the bound allows.
    #[error("{what} is over the bound of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The bound that it passes.
        limit: usize,
    },
    /// A field is missing, of the wrong type, or can't be what it says.
    #[error("`{field}`: {why}")]
    Field {
        /// Where it stands, such as `messages.2.content`.
        field: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// A field that this translation does not know: leaving it out could change what is asked.
    #[error(
        "`{field}` is not known here and can't be translated: leave it out, or ask a model that speaks your API's own dialect"
    )]
    UnknownField {
        /// Where it stands.
        field: String,
    },
    /// The target's dialect can't say what was asked.
    #[error("{dialect} can't take {feature}: {why}")]
    Unsupported {
        /// What it lacks.
        feature: Feature,
        /// Which dialect lacks it.
        dialect: Dialect,
        /// What would work instead.
        why: &'static str,
    },
    /// A member by which a request would reach another model than the one that its caller was let to.
    #[error(
        "`{field}` chooses other models than `model` does, and is not taken here: leave it out; this gateway's operator can allow it"
    )]
    OtherModel {
        /// Which member.
        field: String,
    },
    /// A stream's framing is broken.
    #[error("the stream can't be read: {0}")]
    Framing(&'static str),
    /// A line of a catalogue can't be read.
    #[error("line {line} of the catalogue: {why}")]
    Catalogue {
        /// From 1.
        line: usize,
        /// What is wrong there.
        why: &'static str,
    },
    /// The model's name can't be part of an address.
    #[error(
        "the model `{0}` can't be part of an address: it may have letters, digits, and `-_.:@/` without empty or dotted segments"
    )]
    ModelName(String),
}

impl Error {
    /// The stable name of what is wrong.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Json { .. } => "malformed_json",
            Self::TooLarge { .. } => "too_large",
            Self::Field { .. } => "malformed_field",
            Self::UnknownField { .. } => "unknown_field",
            Self::Unsupported { feature, .. } => feature.refusal(),
            Self::OtherModel { .. } => "other_model_refused",
            Self::Framing(_) => "malformed_stream",
            Self::Catalogue { .. } => "malformed_catalogue",
            Self::ModelName(_) => "malformed_model_name",
        }
    }

    pub(crate) fn field(field: &str, why: impl Into<String>) -> Self {
        Self::Field {
            field: field.to_owned(),
            why: why.into(),
        }
    }

    /// The same, of a field inside `segment`.
    pub(crate) fn within(self, segment: impl fmt::Display) -> Self {
        let inside = |field: String| {
            if field.is_empty() {
                segment.to_string()
            } else {
                format!("{segment}.{field}")
            }
        };
        match self {
            Self::Field { field, why } => Self::Field {
                field: inside(field),
                why,
            },
            Self::UnknownField { field } => Self::UnknownField {
                field: inside(field),
            },
            Self::Json { .. }
            | Self::TooLarge { .. }
            | Self::Unsupported { .. }
            | Self::OtherModel { .. }
            | Self::Framing(_)
            | Self::Catalogue { .. }
            | Self::ModelName(_) => self,
        }
    }
}

/// Names where in a document an error stands.
pub(crate) trait Within {
    /// The same, with an error's field inside `segment`.
    fn within(self, segment: impl fmt::Display) -> Self;
}

impl<T> Within for Result<T, Error> {
    fn within(self, segment: impl fmt::Display) -> Self {
        self.map_err(|error| error.within(segment))
    }
}
