//! Changes to headers.

use crate::message::Fields;
use http::header::{HeaderName, HeaderValue};
use keyward_model::resource::route::{EditedValue, HeaderEdits};

/// Names and values, made once.
#[derive(Debug, Default)]
pub(crate) struct HeaderEditsPlan {
    remove: Box<[HeaderName]>,
    set: Box<[(HeaderName, HeaderValue)]>,
    add: Box<[(HeaderName, HeaderValue)]>,
}

impl HeaderEditsPlan {
    /// The error names what can't stand in a header.
    pub(crate) fn new(edits: &HeaderEdits) -> Result<Self, String> {
        Ok(Self {
            remove: edits
                .remove
                .iter()
                .map(|n| name(n))
                .collect::<Result<_, _>>()?,
            set: pairs(&edits.set)?,
            add: pairs(&edits.add)?,
        })
    }

    /// Makes the changes: first what is removed, then what is set, then what is added.
    pub(crate) fn apply(&self, fields: &mut Fields) {
        for name in &self.remove {
            fields.remove_named(name.as_str().as_bytes());
        }
        for (name, value) in &self.set {
            fields.set_named(name.as_str(), value.as_bytes());
        }
        for (name, value) in &self.add {
            fields.append_named(name.as_str(), value.as_bytes());
        }
    }
}

fn name(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("`{text}` is no header name"))
}

/// Headers as they are sent. Values may be credentials: they are marked so that nobody prints them.
pub(super) fn pairs(
    pairs: &[(Box<str>, EditedValue)],
) -> Result<Box<[(HeaderName, HeaderValue)]>, String> {
    pairs
        .iter()
        .map(|(key, value)| {
            let mut prepared = HeaderValue::from_str(value.as_str())
                .map_err(|_| format!("the value of `{key}` can't stand in a header"))?;
            prepared.set_sensitive(true);
            Ok((name(key)?, prepared))
        })
        .collect()
}
