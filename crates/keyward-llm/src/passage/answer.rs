//! A whole answer between two of one dialect: its bytes pass, and of them is read what the gateway has to know.

use crate::dialect::{Dialect, usage_of};
use crate::error::Error;
use crate::fields::Fields;
use crate::form::{Failure, FailureKind, Usage};
use crate::json::{Json, Members, Object};

/// The members that tell something, of whichever dialect. No other is read: what is new in a dialect, or is none that
/// this gateway could say itself, passes and fails nothing.
const TELLING: &[&str] = &[
    "error",
    "status",
    "finish_reason",
    "usage",
    "usageMetadata",
    "prompt_eval_count",
    "eval_count",
];

/// What was seen of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What it took, where that is told.
    pub usage: Option<Usage>,
    /// The failure that it tells of, though it came as an answer.
    pub failure: Option<Failure>,
}

/// Looks at a provider's answer of status 200. One that is over this crate's bounds is not seen, and passes all the same.
///
/// # Errors
/// The provider's fault, for what is no JSON object.
pub fn answer(dialect: Dialect, body: &[u8]) -> Result<Seen, Failure> {
    let members = match Members::read(body) {
        Ok(members) => members,
        Err(Error::TooLarge { .. }) => return Ok(Seen::default()),
        Err(error) => {
            let failure = Failure::new(
                FailureKind::Server,
                "The provider's answer can't be read: try again later",
            );
            return Err(Failure {
                because: Some(error.to_string()),
                ..failure.with_code(error.code())
            });
        }
    };
    let mut told = Object::new();
    let mut keep = |name: &str| {
        if let Some(Ok(value)) = members.get(name).map(Json::parse) {
            told.set(name, value);
        }
    };
    for name in TELLING {
        keep(name);
    }
    // Choices hold the whole answer: they are read where one may tell of an error alone.
    let may_fail = |choices: &[u8]| choices.windows(7).any(|word| word == b"\"error\"");
    if members.get("choices").is_some_and(may_fail) {
        keep("choices");
    }
    let Ok(fields) = Fields::of(told.into()) else {
        return Ok(Seen::default());
    };
    Ok(Seen {
        failure: dialect.told_failure(&fields).map(Failure::veiled),
        usage: usage_of(dialect, fields),
    })
}
