//! How callers prove who they are, method by method.

mod bound;
mod credentials;
mod failures;
mod holder;
mod introspection;
mod metadata;
mod proxied;
mod several;
mod tokens;

pub(crate) use holder::Holder;

use super::Table;

/// What a challenge says in short: its scheme and error. The rest is text for people, and addresses.
fn challenge(value: &str) -> String {
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    let error = rest
        .split(", ")
        .find_map(|parameter| parameter.trim().strip_prefix("error="));
    match error {
        Some(error) => format!("{scheme} error={error}"),
        None => scheme.to_owned(),
    }
}

/// A table of authentication.
fn page_table(name: &'static str) -> Table {
    Table::new("authentication", name)
        .headers(&["www-authenticate", "retry-after", "dpop-nonce"])
        .masking("www-authenticate", challenge)
        .masking("retry-after", |_| "SECONDS".to_owned())
        .masking("dpop-nonce", |_| "NONCE".to_owned())
}
