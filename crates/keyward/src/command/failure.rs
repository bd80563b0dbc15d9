//! Why a command ended without having done what it was asked to.

use super::terminal::visible;
use std::fmt;
use std::process::ExitCode;

/// The status for wrong usage, which clap uses, too.
const WRONG_USAGE: u8 = 2;

/// What failed, why, and a stable code: printed as `keyward: <what>: <why> [code]`.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    why: String,
    code: &'static str,
    status: ExitCode,
}

impl Failure {
    /// A failure of `what`.
    pub(crate) fn new(what: impl Into<String>, why: impl Into<String>, code: &'static str) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            code,
            status: ExitCode::FAILURE,
        }
    }

    /// With more on why.
    pub(crate) fn adding(mut self, more: &str) -> Self {
        self.why.push_str(more);
        self
    }

    /// What failed and why, within a sentence.
    pub(crate) fn reason(&self) -> String {
        format!("{}: {}", self.what, self.why)
    }

    /// Arguments that don't go together.
    pub(super) fn usage(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            status: ExitCode::from(WRONG_USAGE),
            ..Self::new(what, why, "usage")
        }
    }

    /// What the JOSE crate refused to do with `what`.
    pub(super) fn jose(what: impl Into<String>) -> impl FnOnce(keyward_jose::Error) -> Self {
        move |error| Self::new(what, error.to_string(), error.code())
    }

    /// The exit status.
    pub(super) fn status(&self) -> ExitCode {
        self.status
    }
}

/// One line without control characters, whatever stands in the texts.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!("keyward: {}: {} [{}]", self.what, self.why, self.code);
        f.write_str(&visible(&line.replace(['\n', '\r'], " ")))
    }
}
