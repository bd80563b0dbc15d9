//! The issuer `self`, as the data plane sees it.

use keyward_model::resource::issuer::Encrypted;
use keyward_model::resource::{Issuer, IssuerKeys};
use std::time::Duration;

/// All nodes that issue as `self` share a database and are kept in time; this is for their callers' sake.
const LEEWAY: Duration = Duration::from_secs(30);

/// The issuer with this URL.
pub(crate) fn own_issuer(url: &str) -> Issuer {
    Issuer {
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
    }
}
