//! Resources as people write them: a tree of values that knows where each of them stands.
//!
//! A tree comes from a YAML document of a file or from JSON of the management API, and is read into
//! typed resources by [`read_resource`]. Reading goes on after a mistake, so that one run tells of all
//! of them; every [`Problem`] carries the line and the column.

mod access_policy;
mod ai;
mod answer_cache;
mod api;
mod authentication;
mod authorization;
mod budgets;
mod capture;
mod coding;
mod content;
mod credential;
pub mod field;
pub mod form;
mod guardrail;
mod issuer;
mod key_set;
mod limits;
mod management_role;
mod model;
mod policy;
mod problem;
mod prompt;
mod provider;
mod provider_key;
mod read;
mod role;
mod route;
mod upstream;
mod webhook;
mod websocket;

#[cfg(test)]
mod tests;

pub use field::{Field, Fields};
pub use problem::{Problem, Problems, Severity, closest};
pub use read::{Declared, known_keys, read_resource, read_team_resource};
pub use upstream::read_target;

use std::fmt;
use zeroize::Zeroizing;

/// How many characters of a value a message repeats.
const SHOWN_MAX: usize = 80;

/// Where something stands. Line and column count from 1; 0 means that it isn't known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which of the sources that are read together, in the reader's count.
    pub source: u32,
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing was written, or `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Whole(i64),
    /// A number with a fraction, or one too large for [`Value::Whole`].
    Number(f64),
    /// A text.
    Text(Text),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order it was written, each key once.
    Map(Vec<Entry>),
}

/// A key of a mapping and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// What stands under it.
    pub node: Node,
}

/// A text, which may have come from the environment or a file and is then never shown.
#[derive(Clone)]
pub struct Text {
    value: Zeroizing<String>,
    reference: Option<Box<str>>,
}

impl Text {
    /// A text as it was written.
    #[must_use]
    pub fn written(value: String) -> Self {
        Self {
            value: Zeroizing::new(value),
            reference: None,
        }
    }

    /// A text with parts that were put in for `reference`, such as `${ENV:NAME}`.
    #[must_use]
    pub fn substituted(value: String, reference: impl Into<Box<str>>) -> Self {
        Self {
            value: Zeroizing::new(value),
            reference: Some(reference.into()),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// What stood where the text stands, when it was put in.
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }
}

/// What was written: never what was put in for it.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reference {
            Some(reference) => f.write_str(reference),
            None => f.write_str("text"),
        }
    }
}

impl Place {
    /// The first source that is no file: what the management API has declared. Each resource is a source of its own,
    /// and its lines are its values in the order of [`Node::numbered`].
    pub const DECLARED_BY_API: u32 = 1 << 31;

    /// Whether this is no place in a file.
    #[must_use]
    pub const fn is_declared_by_api(self) -> bool {
        self.source >= Self::DECLARED_BY_API
    }

    fn move_lines(&mut self, by: i64) {
        if self.line > 0 {
            let line = i64::from(self.line).saturating_add(by).max(1);
            self.line = u32::try_from(line).unwrap_or(u32::MAX);
        }
    }

    /// The place in words, for a message about something that stands at `reader`.
    #[must_use]
    pub fn seen_from(self, reader: Self) -> String {
        if self.is_declared_by_api() {
            "declared through the management API".to_owned()
        } else if self.source == reader.source {
            format!("at line {}", self.line)
        } else if reader.is_declared_by_api() {
            "in the node's own file".to_owned()
        } else {
            format!("at line {} of another file", self.line)
        }
    }
}

impl Node {
    /// The value for a message: as written and not too long, or the reference it was put in for.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Boolean(value) => format!("`{value}`"),
            Value::Whole(value) => format!("`{value}`"),
            Value::Number(value) => format!("`{value}`"),
            Value::Text(text) => match text.reference() {
                Some(reference) => format!("the value of `{reference}`"),
                None => format!("`{}`", shortened(text.as_str())),
            },
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    /// Moves the whole tree so many lines down, or up where that is negative: text was put in or taken out
    /// above it.
    pub fn move_lines(&mut self, by: i64) {
        self.place.move_lines(by);
        match &mut self.value {
            Value::List(members) => {
                for member in members {
                    member.move_lines(by);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    entry.place.move_lines(by);
                    entry.node.move_lines(by);
                }
            }
            Value::Null
            | Value::Boolean(_)
            | Value::Whole(_)
            | Value::Number(_)
            | Value::Text(_) => {}
        }
    }

    /// What stands under `key`, if this is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.node),
            Value::Null
            | Value::Boolean(_)
            | Value::Whole(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::List(_) => None,
        }
    }

    /// The members, if this is a list.
    #[must_use]
    pub fn members(&self) -> &[Self] {
        match &self.value {
            Value::List(members) => members,
            Value::Null
            | Value::Boolean(_)
            | Value::Whole(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::Map(_) => &[],
        }
    }

    /// The list member at this place, if there is one.
    #[must_use]
    pub fn member(&self, index: usize) -> Option<&Self> {
        self.members().get(index)
    }

    /// Where `path` leads to, or where its longest part that exists does.
    #[must_use]
    pub fn place_of(&self, path: &[&str]) -> Place {
        let mut node = self;
        for key in path {
            match node.get(key) {
                Some(next) => node = next,
                None => break,
            }
        }
        node.place
    }

    /// Where the list member `index` under `path` stands, or the list itself.
    #[must_use]
    pub fn place_of_member(&self, path: &[&str], index: usize) -> Place {
        let mut node = self;
        for key in path {
            match node.get(key) {
                Some(next) => node = next,
                None => return node.place,
            }
        }
        match &node.value {
            Value::List(members) => members.get(index).unwrap_or(node).place,
            Value::Null
            | Value::Boolean(_)
            | Value::Whole(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::Map(_) => node.place,
        }
    }

    /// The node of a JSON value, whose places aren't known.
    #[must_use]
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Boolean(*value),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Value::Whole(whole),
                None => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Text(Text::written(text.clone())),
            Json::Array(members) => Value::List(members.iter().map(Self::from_json).collect()),
            Json::Object(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        place: Place::default(),
                        node: Self::from_json(value),
                    })
                    .collect(),
            ),
        };
        Self {
            place: Place::default(),
            value,
        }
    }

    /// The node of a JSON value of this source: each value's line is its number in the list of JSON pointers (RFC
    /// 6901) that comes with it, counted from 1.
    #[must_use]
    pub fn numbered(json: &serde_json::Value, source: u32) -> (Self, Vec<String>) {
        let mut node = Self::from_json(json);
        let mut pointers = Vec::new();
        node.number(source, &mut String::new(), &mut pointers);
        (node, pointers)
    }

    fn number(&mut self, source: u32, pointer: &mut String, pointers: &mut Vec<String>) {
        let place = |pointer: &str, pointers: &mut Vec<String>| {
            pointers.push(pointer.to_owned());
            Place {
                source,
                line: u32::try_from(pointers.len()).unwrap_or(u32::MAX),
                column: 1,
            }
        };
        self.place = place(pointer, pointers);
        let length = pointer.len();
        match &mut self.value {
            Value::List(members) => {
                for (index, member) in members.iter_mut().enumerate() {
                    pointer.push('/');
                    pointer.push_str(&index.to_string());
                    member.number(source, pointer, pointers);
                    pointer.truncate(length);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    pointer.push('/');
                    pointer.push_str(&entry.key.replace('~', "~0").replace('/', "~1"));
                    entry.place = place(pointer, pointers);
                    entry.node.number(source, pointer, pointers);
                    pointer.truncate(length);
                }
            }
            Value::Null
            | Value::Boolean(_)
            | Value::Whole(_)
            | Value::Number(_)
            | Value::Text(_) => {}
        }
    }

    /// The value as JSON, as it was written: references, and not what was put in for them. `None` where JSON has no
    /// such number.
    #[must_use]
    pub fn written_json(&self) -> Option<serde_json::Value> {
        self.json_of(&|text| text.reference().unwrap_or(text.as_str()).to_owned())
    }

    /// The value as JSON. `None` where JSON has no such number.
    #[must_use]
    pub fn to_json(&self) -> Option<serde_json::Value> {
        self.json_of(&|text| text.as_str().to_owned())
    }

    fn json_of(&self, shown: &dyn Fn(&Text) -> String) -> Option<serde_json::Value> {
        use serde_json::Value as Json;
        Some(match &self.value {
            Value::Null => Json::Null,
            Value::Boolean(value) => Json::Bool(*value),
            Value::Whole(value) => Json::from(*value),
            Value::Number(value) => Json::Number(serde_json::Number::from_f64(*value)?),
            Value::Text(text) => Json::String(shown(text)),
            Value::List(members) => {
                let members = members.iter().map(|member| member.json_of(shown));
                Json::Array(members.collect::<Option<_>>()?)
            }
            Value::Map(entries) => Json::Object(
                entries
                    .iter()
                    .map(|entry| Some((entry.key.clone(), entry.node.json_of(shown)?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown.escape_debug().to_string()
}
