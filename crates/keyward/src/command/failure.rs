//! Why a command ended without having done what it was asked to.

use std::fmt;

/// What failed, why, and a stable code: printed as `keyward: <what>: <why> [code]`.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    why: String,
    code: &'static str,
}

impl Failure {
    /// A failure of `what`.
    pub(crate) fn new(what: impl Into<String>, why: impl Into<String>, code: &'static str) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            code,
        }
    }
}

/// One line, whatever stands in the texts.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!("keyward: {}: {} [{}]", self.what, self.why, self.code);
        f.write_str(&line.replace(['\n', '\r'], " "))
    }
}
