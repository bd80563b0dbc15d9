//! How callers prove who they are, method by method.

mod bound;
mod bound_shared;
mod certificates;
mod credentials;
mod failures;
mod holder;
mod introspection;
mod metadata;
mod proxied;
mod revoked;
mod several;
mod tokens;

pub(crate) use holder::{AHEAD, Holder, until_believed};

use super::Table;

/// What a challenge says in short: its scheme, error and scopes. The rest is text for people, and addresses.
pub(super) fn challenge(value: &str) -> String {
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    let mut told = vec![scheme];
    told.extend(
        rest.split(", ")
            .map(str::trim)
            .filter(|parameter| parameter.starts_with("error=") || parameter.starts_with("scope=")),
    );
    told.join(" ")
}

/// What tables of authentication tell besides, and what is another one each time.
fn page_table(table: Table) -> Table {
    table
        .headers(&["www-authenticate", "retry-after", "dpop-nonce"])
        .masking("www-authenticate", challenge)
        .masking("retry-after", |_| "SECONDS".to_owned())
        .masking("dpop-nonce", |_| "NONCE".to_owned())
}
