//! Changes to header fields.

use crate::message::{Fields, fields};
use http::header::HeaderName;
use keyward_model::resource::route::{EditedValue, HeaderEdits};

/// A field that is written: its name in lower case, and its value, which may be a credential and so does
/// not print.
pub(super) type WrittenField = (Box<str>, EditedValue);

/// Changes to header fields, checked once.
#[derive(Debug, Default)]
pub(crate) struct HeaderEditsPlan {
    /// Names that are taken out, those that are set among them.
    remove: Box<[Box<str>]>,
    /// What is set, then what is added.
    append: Box<[WrittenField]>,
}

impl HeaderEditsPlan {
    /// The error names what can't stand in a header.
    pub(crate) fn new(edits: &HeaderEdits) -> Result<Self, String> {
        let set = edits.set.iter().map(|(name, _)| name);
        let remove = edits.remove.iter().chain(set);
        let append = edits.set.iter().chain(&edits.add);
        Ok(Self {
            remove: remove
                .map(|name| checked_name(name).map(|()| name.clone()))
                .collect::<Result<_, _>>()?,
            append: checked(append)?,
        })
    }

    /// Makes the changes: first what is removed, then what is set, then what is added.
    pub(crate) fn apply(&self, fields: &mut Fields) {
        if !self.remove.is_empty() {
            let goes = |name: &[u8]| self.remove.iter().any(|gone| gone.as_bytes() == name);
            fields.retain(|field| !goes(field.name));
        }
        for (name, value) in &self.append {
            fields.append_named(name, value.as_str().as_bytes());
        }
    }
}

fn checked_name(name: &str) -> Result<(), String> {
    HeaderName::from_bytes(name.as_bytes())
        .map(|_| ())
        .map_err(|_| format!("`{name}` is no header name"))
}

/// Fields that can stand in a message.
pub(super) fn checked<'f>(
    written: impl Iterator<Item = &'f WrittenField>,
) -> Result<Box<[WrittenField]>, String> {
    written
        .map(|(name, value)| {
            checked_name(name)?;
            if fields::has_control(value.as_str().as_bytes()) {
                return Err(format!("the value of `{name}` can't stand in a header"));
            }
            Ok((name.clone(), value.clone()))
        })
        .collect()
}
