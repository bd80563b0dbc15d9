//! The texts that a choice of OpenAI's chat completions goes on with.
//!
//! A member that is a string grows, and so do what calls of tools are given, and the text of an entry of a list such as
//! `reasoning_details`. All else within a delta is whole: a signature is none of what grows beside it.

use super::{number, text};
use keyward_llm::json::{Spanned, SpannedMember, SpannedValue, quoted};
use std::ops::Range;

/// What says of a call which it is.
const OF_CALL: &[&str] = &["id", "index", "name", "type"];
/// The text of an entry of a list.
const OF_ENTRY: &[&str] = &["text", "summary"];
/// What says of an entry of a list which it is.
const MAKES_ENTRY: &[&str] = &["type", "id", "format", "index"];
/// The text of a member that is an object: of a call as it was once, and of what is spoken.
const OF_OBJECT: &[&str] = &["arguments", "transcript"];
/// Calls nest no deeper.
const DEPTH_MAX: usize = 8;

/// A part of a text that grows.
pub(super) struct Grown {
    pub(super) key: String,
    pub(super) span: Range<usize>,
    /// What stands before and behind it within the delta.
    pub(super) open: String,
    pub(super) close: String,
}

/// The texts of one choice in one event.
#[derive(Default)]
pub(super) struct Texts {
    pub(super) grown: Vec<Grown>,
    /// How the keys of those begin that are under way: what was before them is whole, most likely.
    pub(super) under_way: Vec<String>,
    /// How the keys of those begin that are whole.
    pub(super) ended: Vec<String>,
}

pub(super) fn texts(choice: &str, data: &[u8], delta: &[SpannedMember]) -> Texts {
    let mut texts = Texts::default();
    for member in delta {
        let name = &*member.name;
        // All kinds of reasoning are told side by side, some of them the same.
        let kind = if name.starts_with("reasoning") {
            "reasoning"
        } else {
            name
        };
        let under_way = format!("{choice}/{kind}");
        match &member.value.value {
            SpannedValue::String(text) => {
                if !text.is_empty() && name != "role" {
                    texts.under_way.push(under_way);
                }
                texts.grown.push(Grown {
                    key: format!("{choice}/{name}"),
                    span: member.value.span.clone(),
                    open: format!("{}:", quoted(name)),
                    close: String::new(),
                });
            }
            SpannedValue::Array(calls) if name == "tool_calls" => {
                for call in calls {
                    of_call(choice, call, &mut texts);
                }
            }
            SpannedValue::Array(entries) => {
                let before = texts.grown.len();
                for entry in entries {
                    of_entry(&format!("{choice}/{name}"), name, data, entry, &mut texts);
                }
                if texts.grown.len() > before {
                    texts.under_way.push(under_way);
                }
            }
            SpannedValue::Object(members) => {
                for inner in members {
                    if OF_OBJECT.contains(&&*inner.name) && inner.value.as_str().is_some() {
                        texts.under_way.push(under_way.clone());
                        texts.grown.push(Grown {
                            key: format!("{choice}/{name}/{}", inner.name),
                            span: inner.value.span.clone(),
                            open: format!("{}:{{{}:", quoted(name), quoted(&inner.name)),
                            close: "}".to_owned(),
                        });
                    }
                }
            }
            SpannedValue::Number(_) | SpannedValue::Word => {}
        }
    }
    texts
}

/// Whatever a call is given: functions have `arguments`, tools of other kinds what is theirs.
fn of_call(choice: &str, call: &Spanned, texts: &mut Texts) {
    let index = number(call, "index");
    let key = format!("{choice}/tool {index}/");
    texts.under_way.push(key.clone());
    let open = format!("\"tool_calls\":[{{\"index\":{index},");
    strings(call, &key, &open, "}]", DEPTH_MAX, &mut texts.grown);
}

fn strings(
    value: &Spanned,
    key: &str,
    open: &str,
    close: &str,
    depth: usize,
    grown: &mut Vec<Grown>,
) {
    for member in value.members() {
        if OF_CALL.contains(&&*member.name) {
            continue;
        }
        let name = quoted(&member.name);
        match &member.value.value {
            SpannedValue::String(_) => grown.push(Grown {
                key: format!("{key}{}", member.name),
                span: member.value.span.clone(),
                open: format!("{open}{name}:"),
                close: close.to_owned(),
            }),
            SpannedValue::Object(_) if depth > 0 => {
                let key = format!("{key}{}/", member.name);
                let open = format!("{open}{name}:{{");
                let close = format!("}}{close}");
                strings(&member.value, &key, &open, &close, depth - 1, grown);
            }
            SpannedValue::Object(_)
            | SpannedValue::Array(_)
            | SpannedValue::Number(_)
            | SpannedValue::Word => {}
        }
    }
}

/// An entry of a list: its text grows, and what is said of it is said again with more of it.
fn of_entry(key: &str, name: &str, data: &[u8], entry: &Spanned, texts: &mut Texts) {
    let index = number(entry, "index");
    let mut open = format!("{}:[{{", quoted(name));
    for member in entry.members() {
        if MAKES_ENTRY.contains(&&*member.name)
            && let Some(value) = data.get(member.value.span.clone())
            && let Ok(value) = std::str::from_utf8(value)
        {
            open.push_str(&format!("{}:{value},", quoted(&member.name)));
        }
    }
    for member in entry.members() {
        if OF_ENTRY.contains(&&*member.name) && member.value.as_str().is_some() {
            texts.grown.push(Grown {
                key: format!("{key}/{index}/{}", member.name),
                span: member.value.span.clone(),
                open: format!("{open}{}:", quoted(&member.name)),
                close: "}]".to_owned(),
            });
        }
    }
    if !text(entry, "signature").is_empty() {
        // It is of all that was reasoned before it.
        texts.ended.push(format!("{key}/{index}/"));
    }
}
