//! The issuer `self`, as the data plane sees it.

use crate::own_keys::PublishedKeySet;
use bytes::Bytes;
use keyward_gateway::{OwnIssuer, PublishedKeys};
use keyward_model::resource::issuer::Encrypted;
use keyward_model::resource::{Issuer, IssuerKeys};
use std::time::Duration;

/// All nodes that issue as `self` share a database and are kept in time; this is for their callers' sake.
const LEEWAY: Duration = Duration::from_secs(30);

/// The issuer with this URL and what it publishes.
pub(crate) fn own_issuer(
    url: &str,
    published: &PublishedKeySet,
) -> Result<OwnIssuer, http::header::InvalidHeaderValue> {
    Ok(OwnIssuer {
        issuer: Issuer {
            issuer: url.into(),
            keys: IssuerKeys::Own,
            algorithms: Vec::new(),
            leeway: LEEWAY,
            // Our access tokens say what they are (RFC 9068), so that no other token of ours passes.
            types: vec!["at+jwt".into()],
            max_age: None,
            scope_claim: "scope".into(),
            // `keyward-access` reads the claim that RFC 9068 has for it.
            roles_from: Vec::new(),
            encrypted: Encrypted::No,
        },
        published: PublishedKeys {
            body: Bytes::from(published.json.to_string()),
            etag: published.entity_tag.parse()?,
            cache_control: published.cache_control.parse()?,
        },
    })
}
