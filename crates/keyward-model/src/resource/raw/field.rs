//! Reading mappings: which keys there may be, and what stands under each.

use super::form;
use super::problem::{Problems, closest};
use super::{Entry, Node, Place, Value};
use std::ops::RangeInclusive;
use std::time::Duration;

/// A mapping whose keys are all known.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'n> {
    node: &'n Node,
    entries: &'n [Entry],
    /// Whether what stands there is repeated in no message.
    quiet: bool,
}

/// A key and what stands under it (or, for members of a list, under the list's key).
#[derive(Clone, Copy, Debug)]
pub struct Field<'n> {
    key: &'n str,
    node: &'n Node,
    /// Whether what stands there, and below it, is repeated in no message.
    quiet: bool,
}

impl<'n> Fields<'n> {
    /// Reads `node`, named `what` in messages, as a mapping. Keys that are not in `known` are told of
    /// with the closest that is.
    pub fn of(node: &'n Node, what: &str, known: &[&str], problems: &mut Problems) -> Option<Self> {
        Self::read(node, what, known, false, problems)
    }

    fn read(
        node: &'n Node,
        what: &str,
        known: &[&str],
        quiet: bool,
        problems: &mut Problems,
    ) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            problems.error(
                node.place,
                "wrong_type",
                format!(
                    "{what} is a mapping of keys to values, not {}",
                    shown(node, quiet)
                ),
            );
            return None;
        };
        for entry in entries {
            if !known.contains(&entry.key.as_str()) {
                let hint = match closest(&entry.key, known.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("{what} has {}", listed(known)),
                };
                let named = if quiet {
                    String::new()
                } else {
                    format!(" `{}`", super::shortened(&entry.key))
                };
                problems.error(
                    entry.place,
                    "unknown_key",
                    format!("unknown key{named}: {hint}"),
                );
            }
        }
        Some(Self {
            node,
            entries,
            quiet,
        })
    }

    /// Where the mapping begins.
    #[must_use]
    pub fn place(&self) -> Place {
        self.node.place
    }

    /// What stands under `key`, if it was written.
    #[must_use]
    pub fn optional(&self, key: &str) -> Option<Field<'n>> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| Field {
                key: &entry.key,
                node: &entry.node,
                quiet: self.quiet,
            })
    }

    /// What stands under `key`; a problem with `advice` when it wasn't written.
    pub fn required(&self, key: &str, advice: &str, problems: &mut Problems) -> Option<Field<'n>> {
        let field = self.optional(key);
        if field.is_none() {
            problems.error(
                self.node.place,
                "missing_key",
                format!("`{key}` is missing: {advice}"),
            );
        }
        field
    }
}

impl<'n> Field<'n> {
    /// `node`, called `key` in messages.
    #[must_use]
    pub fn of(key: &'n str, node: &'n Node) -> Self {
        Self {
            key,
            node,
            quiet: false,
        }
    }

    /// The same, of which no message repeats anything, nor of what stands below it: a secret may stand in a wrong place
    /// there, or as a key.
    #[must_use]
    pub fn quietly(self) -> Self {
        Self {
            quiet: true,
            ..self
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &'n str {
        self.key
    }

    /// The value.
    #[must_use]
    pub fn node(&self) -> &'n Node {
        self.node
    }

    /// Where the value stands.
    #[must_use]
    pub fn place(&self) -> Place {
        self.node.place
    }

    /// Tells that the value is not what it should be: `expected` says what it is.
    pub fn refuse(&self, expected: &str, problems: &mut Problems) {
        problems.error(
            self.node.place,
            "bad_value",
            format!(
                "`{}`: {} {expected}",
                self.key,
                shown(self.node, self.quiet)
            ),
        );
    }

    fn wrong_type(&self, expected: &str, problems: &mut Problems) {
        problems.error(
            self.node.place,
            "wrong_type",
            format!(
                "`{}` is {expected}, not {}",
                self.key,
                shown(self.node, self.quiet)
            ),
        );
    }

    /// The text, which isn't empty.
    pub fn text(&self, problems: &mut Problems) -> Option<&'n str> {
        match &self.node.value {
            Value::Text(text) if !text.as_str().is_empty() => Some(text.as_str()),
            Value::Boolean(_) | Value::Whole(_) | Value::Number(_) => {
                self.wrong_type("a text (put it in quotes)", problems);
                None
            }
            Value::Null | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                self.wrong_type("a text that isn't empty", problems);
                None
            }
        }
    }

    /// The text of a secret, which isn't empty. Nothing of what stands there goes into a message: a mistyped secret is
    /// still a secret, and one of digits that lacks its quotes is a number. `advice` ends the sentence.
    pub fn secret(&self, advice: &str, problems: &mut Problems) -> Option<&'n str> {
        let text = self.as_text().filter(|text| !text.is_empty());
        if text.is_none() {
            problems.error(
                self.node.place,
                "wrong_type",
                format!(
                    "`{}` is a text that isn't empty (in quotes where it is a number){advice}",
                    self.key
                ),
            );
        }
        text
    }

    /// The text, if the value is one, whatever its form.
    #[must_use]
    pub fn as_text(&self) -> Option<&'n str> {
        match &self.node.value {
            Value::Text(text) => Some(text.as_str()),
            Value::Null
            | Value::Boolean(_)
            | Value::Whole(_)
            | Value::Number(_)
            | Value::List(_)
            | Value::Map(_) => None,
        }
    }

    /// Whether the value is a list.
    #[must_use]
    pub fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    /// Whether the value is a mapping.
    #[must_use]
    pub fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// `true` or `false`, if the value is one of them.
    #[must_use]
    pub fn as_boolean(&self) -> Option<bool> {
        match self.node.value {
            Value::Boolean(value) => Some(value),
            Value::Null
            | Value::Text(_)
            | Value::Whole(_)
            | Value::Number(_)
            | Value::List(_)
            | Value::Map(_) => None,
        }
    }

    /// The text, read by `parse`; `expected` finishes the sentence "`x` …" when that fails.
    pub fn parsed<T>(
        &self,
        parse: impl FnOnce(&str) -> Option<T>,
        expected: &str,
        problems: &mut Problems,
    ) -> Option<T> {
        let parsed = parse(self.text(problems)?);
        if parsed.is_none() {
            self.refuse(expected, problems);
        }
        parsed
    }

    /// `true` or `false`.
    pub fn boolean(&self, problems: &mut Problems) -> Option<bool> {
        if let Value::Boolean(value) = self.node.value {
            return Some(value);
        }
        self.wrong_type("`true` or `false`", problems);
        None
    }

    /// A whole number of `range`.
    pub fn whole(&self, range: RangeInclusive<u64>, problems: &mut Problems) -> Option<u64> {
        let value = match self.node.value {
            Value::Whole(value) => u64::try_from(value).ok(),
            Value::Null
            | Value::Boolean(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Map(_) => None,
        };
        let value = value.filter(|value| range.contains(value));
        if value.is_none() {
            self.wrong_type(
                &format!("a whole number from {} to {}", range.start(), range.end()),
                problems,
            );
        }
        value
    }

    /// A duration.
    pub fn duration(&self, problems: &mut Problems) -> Option<Duration> {
        if !matches!(self.node.value, Value::Text(_)) {
            self.wrong_type("a duration such as 250ms, 30s, 5m or 1h", problems);
            return None;
        }
        self.parsed(
            form::duration,
            "is no duration: write a whole number and its unit, such as 250ms, 30s, 5m or 1h",
            problems,
        )
    }

    /// A duration that isn't zero.
    pub fn positive_duration(&self, problems: &mut Problems) -> Option<Duration> {
        let duration = self.duration(problems)?;
        if duration.is_zero() {
            self.refuse("is no time at all: it must be longer", problems);
            return None;
        }
        Some(duration)
    }

    /// A size in bytes.
    pub fn byte_size(&self, problems: &mut Problems) -> Option<u64> {
        if let Value::Whole(value) = self.node.value
            && let Ok(value) = u64::try_from(value)
        {
            return Some(value);
        }
        if !matches!(self.node.value, Value::Text(_)) {
            self.wrong_type("a size such as 16KiB or 1MB", problems);
            return None;
        }
        self.parsed(
            form::byte_size,
            "is no size: write bytes as a whole number, or with a unit, such as 16KiB or 1MB",
            problems,
        )
    }

    /// One of these words.
    pub fn one_of<T: Copy>(&self, words: &[(&str, T)], problems: &mut Problems) -> Option<T> {
        if let Some(text) = self.as_text()
            && let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text)
        {
            return Some(*meaning);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let hint = self
            .as_text()
            .and_then(|text| closest(text, names.iter().copied()))
            .map(|meant| format!(": did you mean `{meant}`?"))
            .unwrap_or_default();
        self.refuse(&format!("is none of {}{hint}", listed(&names)), problems);
        None
    }

    /// The members of a list.
    pub fn list(&self, problems: &mut Problems) -> Option<Vec<Self>> {
        if let Value::List(members) = &self.node.value {
            return Some(members.iter().map(|node| Self { node, ..*self }).collect());
        }
        self.wrong_type("a list", problems);
        None
    }

    /// The members of a list with at least one.
    pub fn filled_list(&self, problems: &mut Problems) -> Option<Vec<Self>> {
        let list = self.list(problems)?;
        if list.is_empty() {
            problems.error(
                self.node.place,
                "bad_value",
                format!("`{}` is empty: it needs at least one entry", self.key),
            );
            return None;
        }
        Some(list)
    }

    /// The texts of a list, each once.
    pub fn texts(&self, problems: &mut Problems) -> Vec<Box<str>> {
        let mut texts: Vec<Box<str>> = Vec::new();
        for member in self.list(problems).unwrap_or_default() {
            if let Some(text) = member.text(problems) {
                if texts.iter().any(|known| known.as_ref() == text) {
                    member.refuse("stands in the list twice", problems);
                } else {
                    texts.push(text.into());
                }
            }
        }
        texts
    }

    /// The mapping under the key.
    pub fn fields(&self, known: &[&str], problems: &mut Problems) -> Option<Fields<'n>> {
        let what = format!("`{}`", self.key);
        Fields::read(self.node, &what, known, self.quiet, problems)
    }

    /// The entries of a mapping whose keys are free.
    pub fn entries(&self, problems: &mut Problems) -> Option<Vec<Self>> {
        if let Value::Map(entries) = &self.node.value {
            return Some(
                entries
                    .iter()
                    .map(|entry| Self {
                        key: &entry.key,
                        node: &entry.node,
                        quiet: self.quiet,
                    })
                    .collect(),
            );
        }
        self.wrong_type("a mapping of keys to values", problems);
        None
    }
}

/// A value for a message: of a quiet one its kind alone.
fn shown(node: &Node, quiet: bool) -> String {
    if !quiet {
        return node.shown();
    }
    let kind = match &node.value {
        Value::Null => "nothing",
        Value::Boolean(_) => "a boolean",
        Value::Whole(_) | Value::Number(_) => "a number",
        Value::Text(text) => match text.reference() {
            Some(_) => return node.shown(),
            None => "a text",
        },
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
    };
    kind.to_owned()
}

/// The words for a message: `a`, `b`, `c`.
#[must_use]
pub fn listed(words: &[&str]) -> String {
    let mut text = String::new();
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.push('`');
        text.push_str(word);
        text.push('`');
    }
    text
}
