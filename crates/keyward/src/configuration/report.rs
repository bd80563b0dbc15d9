//! What was found in the files, for people and for programs.

use keyward_model::resource::raw::{Place, Problem, Problems, Severity};
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The longest line that is shown under a problem.
const EXCERPT_MAX: usize = 200;

/// A file that was read.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    pub(super) fn new(path: &Path, text: String) -> Self {
        Self {
            path: path.to_owned(),
            text,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// All problems, with the files they stand in.
#[derive(Debug)]
pub(crate) struct Report {
    sources: Vec<Source>,
    problems: Vec<Problem>,
}

impl Report {
    pub(super) fn new(sources: Vec<Source>, problems: Problems) -> Self {
        Self {
            sources,
            problems: problems.into_sorted(),
        }
    }

    /// The text of the first file.
    pub(super) fn into_text(self) -> Option<String> {
        self.sources.into_iter().next().map(|source| source.text)
    }

    /// The same, without the texts that excerpts are taken from.
    pub(super) fn without_texts(&self) -> Self {
        let sources = self.sources.iter();
        Self {
            sources: sources
                .map(|source| Source::new(&source.path, String::new()))
                .collect(),
            problems: self.problems.clone(),
        }
    }

    /// Whether a problem stops the node.
    pub(crate) fn has_errors(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    /// The problems in the order of their places.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// One problem in one line: `keyward: FILE:LINE:COLUMN: why [code]`.
    pub(crate) fn line(&self, problem: &Problem) -> String {
        format!("keyward: {}", self.told(problem))
    }

    /// What stops the node, in one line: the first error with its place and code, and how many more
    /// there are. `None` when nothing does.
    pub(crate) fn first_error(&self) -> Option<String> {
        let mut errors = self
            .problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error);
        let first = self.told(errors.next()?);
        Some(match errors.count() {
            0 => first,
            1 => format!("{first} (and one more: `keyward check` tells both)"),
            more => format!("{first} (and {more} more: `keyward check` tells them all)"),
        })
    }

    /// One problem in one line: `FILE:LINE:COLUMN: why [code]`.
    pub(crate) fn told(&self, problem: &Problem) -> String {
        let mut line = self.file(problem.place);
        if problem.place.line > 0 {
            let _ = write!(line, ":{}:{}", problem.place.line, problem.place.column);
        }
        if problem.severity == Severity::Warning {
            line.push_str(": warning");
        }
        let _ = write!(line, ": {} [{}]", problem.message, problem.code);
        line
    }

    /// The line of the file that a problem stands in, with a mark under the place. `None` where it
    /// isn't known, is very long, or may hold a secret.
    pub(crate) fn excerpt(&self, problem: &Problem) -> Option<String> {
        let place = problem.place;
        let line = self
            .source(place)?
            .text
            .lines()
            .nth(usize::try_from(place.line.checked_sub(1)?).ok()?)?;
        let secret = line.contains("secret") || line.contains("kty") || line.contains("://");
        if secret || line.len() > EXCERPT_MAX || line.contains(|c: char| c.is_control()) {
            return None;
        }
        let gutter = place.line.to_string();
        let indent = usize::try_from(place.column.checked_sub(1)?).ok()?;
        Some(format!(
            "{gutter} | {line}\n{:width$} | {:indent$}^",
            "",
            "",
            width = gutter.len()
        ))
    }

    /// The problems as JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let problems: Vec<_> = self
            .problems
            .iter()
            .map(|problem| {
                let known = |number: u32| (number > 0).then_some(number);
                json!({
                    "severity": problem.severity.as_str(),
                    "file": self.file(problem.place),
                    "line": known(problem.place.line),
                    "column": known(problem.place.column),
                    "message": problem.message,
                    "code": problem.code,
                })
            })
            .collect();
        json!(problems)
    }

    fn file(&self, place: Place) -> String {
        match self.source(place) {
            Some(source) => source.path.display().to_string(),
            None => "the configuration".to_owned(),
        }
    }

    fn source(&self, place: Place) -> Option<&Source> {
        self.sources.get(usize::try_from(place.source).ok()?)
    }
}
