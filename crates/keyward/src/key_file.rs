//! Keys as they stand in files: a JWK set, a JWK, PEM or DER.

use keyward_jose::{Error, JwkSet, Key};

/// The largest file of keys: the bound of a JWK set.
pub(crate) const KEY_FILE_MAX_BYTES: u64 = 1 << 20;

/// The keys of a file: those of a set, or the one there is.
pub(crate) fn keys(bytes: &[u8]) -> Result<JwkSet, Error> {
    if is_set(bytes) {
        return JwkSet::parse(bytes);
    }
    let (key, _) = Key::parse(bytes)?;
    JwkSet::from_keys([key])
}

/// Whether this is a JSON object with `keys`, which makes it a set (RFC 7517, section 5). Only what it
/// looks like: reading is strict.
pub(crate) fn is_set(bytes: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Outline {
        keys: Option<serde::de::IgnoredAny>,
    }
    let json = bytes.trim_ascii_start().starts_with(b"{");
    json && serde_json::from_slice::<Outline>(bytes).is_ok_and(|outline| outline.keys.is_some())
}
