//! What a body says that it is, read in the one way in which whoever is behind us may read it too.

use crate::message::{Fields, Header};
use keyward_model::{Code, Fault};

/// A body's media type (RFC 9110, section 8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct MediaType {
    /// In lower case, without parameters.
    pub(in crate::policy) kind: String,
    /// Whether it says that it is written in something else than UTF-8.
    foreign_charset: bool,
}

impl MediaType {
    /// Of a message; bytes of which nothing is said, where it says nothing. The error: it says so twice, and readers
    /// differ in which they believe.
    pub(in crate::policy) fn of(fields: &Fields) -> Result<Self, Fault> {
        let mut all = fields.all(Header::ContentType);
        let value = all.next().unwrap_or(b"application/octet-stream");
        if all.next().is_some() {
            return Err(Fault::new(
                Code::BadRequest,
                "`Content-Type` was sent more than once; send it once",
            ));
        }
        let value = String::from_utf8_lossy(value);
        let mut parameters = value.split(';').skip(1);
        Ok(Self {
            kind: essence(&value),
            foreign_charset: parameters.any(is_foreign_charset),
        })
    }

    pub(in crate::policy) fn is_json(&self) -> bool {
        is_json(&self.kind)
    }

    /// Refuses JSON that says it is in another charset (RFC 8259, section 8.1): whoever believes that reads
    /// something else.
    pub(in crate::policy) fn read_as_json(&self) -> Result<(), Fault> {
        if self.foreign_charset {
            return Err(Fault::new(
                Code::UnsupportedMediaType,
                "JSON is written in UTF-8; send it so, without another `charset`",
            ));
        }
        Ok(())
    }
}

/// A media type without its parameters, in lower case.
pub(super) fn essence(value: &str) -> String {
    let kind = value.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// Whether a media type is JSON's, or of a kind made of it (RFC 6839, section 3.1).
pub(super) fn is_json(kind: &str) -> bool {
    kind == "application/json" || (kind.ends_with("+json") && kind.contains('/'))
}

fn is_foreign_charset(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    let value = value.trim().trim_matches('"');
    let known = ["utf-8", "utf8", "us-ascii"];
    name.trim().eq_ignore_ascii_case("charset")
        && !known.iter().any(|known| value.eq_ignore_ascii_case(known))
}
