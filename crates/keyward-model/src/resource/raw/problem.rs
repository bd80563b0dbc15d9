//! What is wrong with what was written, and where.

use super::Place;

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It can't run like this.
    Error,
    /// It can, but hardly as meant.
    Warning,
}

impl Severity {
    /// As written in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops the node.
    pub severity: Severity,
    /// Where it stands.
    pub place: Place,
    /// What is wrong, with what, and what to do.
    pub message: String,
    /// A stable code.
    pub code: &'static str,
}

/// The problems found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an error.
    pub fn error(&mut self, place: Place, code: &'static str, message: impl Into<String>) {
        self.0.push(Problem {
            severity: Severity::Error,
            place,
            message: message.into(),
            code,
        });
    }

    /// Adds a warning.
    pub fn warning(&mut self, place: Place, code: &'static str, message: impl Into<String>) {
        self.0.push(Problem {
            severity: Severity::Warning,
            place,
            message: message.into(),
            code,
        });
    }

    /// Whether one of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    /// Takes the problems of `other` in.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The problems in the order of their places.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.0.sort_by_key(|problem| problem.place);
        self.0
    }

    /// The problems in the order they were found.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

/// The candidate that `written` was most likely meant to be: at most a third of its letters differ.
#[must_use]
pub fn closest<'c>(
    written: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let allowed = (written.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(written.len()) <= allowed)
        .map(|candidate| (strsim::osa_distance(written, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
