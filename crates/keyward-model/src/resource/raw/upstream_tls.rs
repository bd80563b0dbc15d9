//! Reading `tls` of an upstream.

use super::field::Field;
use super::problem::Problems;
use crate::resource::{UpstreamIdentity, UpstreamTls};
use std::path::PathBuf;

pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<UpstreamTls> {
    let fields = field.fields(&["roots", "certificate", "key", "server_name"], problems)?;
    let mut path = |key: &str| match fields.optional(key) {
        Some(field) => field.text(problems).map(|path| Some(PathBuf::from(path))),
        None => Some(None),
    };
    let (roots, certificate, key) = (path("roots")?, path("certificate")?, path("key")?);
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(UpstreamIdentity { certificate, key }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            problems.error(
                fields.place(),
                "missing_key",
                "`tls`: `certificate` and `key` go together: write both, or none",
            );
            return None;
        }
    };
    let server_name = match fields.optional("server_name") {
        Some(field) => Some(field.parsed(
            host_name,
            "is no host name: write it as it stands in the targets' certificate, without a star",
            problems,
        )?),
        None => None,
    };
    let tls = UpstreamTls {
        roots,
        identity,
        server_name,
    };
    if tls == UpstreamTls::default() {
        field.refuse(
            "says nothing: leave it out, or write `roots`, `certificate` and `key`, or `server_name`",
            problems,
        );
        return None;
    }
    Some(tls)
}

fn host_name(text: &str) -> Option<Box<str>> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let clean = !text.is_empty() && text.len() <= 253 && text.bytes().all(plain);
    let labels = text
        .split('.')
        .all(|label| (1..=63).contains(&label.len()) && !label.starts_with('-'));
    (clean && labels).then(|| text.to_ascii_lowercase().into())
}
