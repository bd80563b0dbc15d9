//! Changes to the query.

use crate::snapshot::route_table::decodes_to;
use keyward_model::resource::route::{EditedValue, QueryEdits};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Changes to the query, what is written encoded once.
#[derive(Debug, Default)]
pub(crate) struct QueryEditsPlan {
    /// Decoded names of what is taken out, what is set among them.
    remove: Box<[Box<str>]>,
    /// `a=1&b=2`: what is written at the end.
    append: Box<str>,
}

impl QueryEditsPlan {
    pub(crate) fn new(edits: &QueryEdits) -> Self {
        let set = edits.set.iter().map(|(name, _)| name);
        let mut append = String::new();
        for (name, value) in edits.set.iter().chain(&edits.add) {
            push_pair(name, value, &mut append);
        }
        Self {
            remove: edits.remove.iter().chain(set).cloned().collect(),
            append: append.into(),
        }
    }

    /// Whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.append.is_empty()
    }

    /// The query with the changes, without a question mark. What stays is left as it was sent.
    pub(crate) fn apply<'q>(&self, query: &'q str) -> Cow<'q, str> {
        if self.is_empty() {
            return Cow::Borrowed(query);
        }
        let mut edited = String::with_capacity(query.len() + self.append.len() + 1);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            let gone = |removed: &str| decodes_to(name.as_bytes(), removed.as_bytes());
            if !self.remove.iter().any(|removed| gone(removed)) {
                push_separated(pair, &mut edited);
            }
        }
        push_separated(&self.append, &mut edited);
        Cow::Owned(edited)
    }
}

fn push_separated(part: &str, query: &mut String) {
    if !query.is_empty() && !part.is_empty() {
        query.push('&');
    }
    query.push_str(part);
}

fn push_pair(name: &str, value: &EditedValue, query: &mut String) {
    if !query.is_empty() {
        query.push('&');
    }
    encode(name, query);
    query.push('=');
    encode(value.as_str(), query);
}

/// Everything but unreserved characters is encoded (RFC 3986, section 2.3), so that no reader can see
/// another pair in it.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
}
