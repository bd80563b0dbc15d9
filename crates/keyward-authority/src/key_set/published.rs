//! The key set as it is answered.

use aws_lc_rs::digest::{SHA256, digest};
use keyward_jose::key::Part;
use keyward_jose::{Error, JwkSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// How much of the hash is in the entity tag: 128 bits.
const TAG_BYTES: usize = 16;

/// A public JWK set with the headers it is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedKeySet {
    /// The set, as JSON.
    pub json: Arc<str>,
    /// The strong validator (RFC 9110, section 8.8.3), in its quotation marks: another for every other set.
    pub entity_tag: Arc<str>,
    /// `Cache-Control`.
    pub cache_control: Arc<str>,
}

impl PublishedKeySet {
    pub(super) fn new(set: &JwkSet, max_age: Duration) -> Result<Self, Error> {
        let json = set.to_json(Part::Public)?;
        let hash = digest(&SHA256, json.as_bytes());
        let mut entity_tag = "\"".to_owned();
        for byte in hash.as_ref().iter().take(TAG_BYTES) {
            let _ = write!(entity_tag, "{byte:02x}");
        }
        entity_tag.push('"');
        Ok(Self {
            json: json.as_str().into(),
            entity_tag: entity_tag.into(),
            cache_control: format!("public, max-age={}", max_age.as_secs()).into(),
        })
    }
}
