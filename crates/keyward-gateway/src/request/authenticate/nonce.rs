//! Nonces for proofs (RFC 9449, section 9): made and read without anything being remembered.
//!
//! A nonce is the time when it was made and a MAC over that, under a key that all nodes of a database share and
//! that changes each hour. Who has one can tell its age, and nothing else; who has none can't make one.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_model::{Secret, Timestamp};
use std::fmt;

const TIME_LENGTH: usize = 8;
/// Half of a SHA-256: nobody tries 2¹²⁸ of them.
const TAG_LENGTH: usize = 16;
const HOUR_SECONDS: i64 = 3_600;

/// Makes nonces and reads them.
pub(crate) struct Nonces(hmac::Key);

impl Nonces {
    /// Under this key.
    pub(crate) fn new(key: &Secret<[u8; 32]>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.reveal()))
    }

    /// A nonce of now: 32 characters of base64url.
    pub(crate) fn issue(&self, now: Timestamp) -> String {
        let time = now.as_micros().to_be_bytes();
        let tag = self.tag(now, &time);
        let mut bytes = [0; TIME_LENGTH + TAG_LENGTH];
        for (to, from) in bytes.iter_mut().zip(time.iter().chain(tag.as_ref())) {
            *to = *from;
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// When a nonce of ours was made; `None` for one that isn't.
    pub(crate) fn made_at(&self, nonce: &str) -> Option<Timestamp> {
        let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
        let (time, tag) = bytes.split_first_chunk::<TIME_LENGTH>()?;
        let at = Timestamp::from_micros(i64::from_be_bytes(*time));
        let expected = self.tag(at, time);
        let expected = expected.as_ref().get(..TAG_LENGTH)?;
        constant_time::verify_slices_are_equal(expected, tag).ok()?;
        Some(at)
    }

    fn tag(&self, at: Timestamp, time: &[u8]) -> hmac::Tag {
        let hour = at.as_seconds().div_euclid(HOUR_SECONDS);
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"dpop nonce\0");
        context.update(&hour.to_be_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, context.sign().as_ref());
        hmac::sign(&key, time)
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces([secret])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonces(fill: u8) -> Nonces {
        Nonces::new(&Secret::new([fill; 32]))
    }

    #[test]
    fn a_nonce_tells_when_it_was_made_to_who_made_it_alone() {
        let at = Timestamp::from_micros(1_795_000_000_123_456);
        let nonce = nonces(1).issue(at);
        assert_eq!(nonce.len(), 32);
        assert_eq!(nonces(1).made_at(&nonce), Some(at));
        assert_eq!(nonces(2).made_at(&nonce), None);
    }

    #[test]
    fn a_nonce_with_one_other_character_is_none() {
        let at = Timestamp::from_seconds(1_795_000_000);
        let nonce = nonces(1).issue(at);
        for index in 0..nonce.len() {
            let mut bytes = nonce.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(bytes).unwrap();
            assert_eq!(nonces(1).made_at(&other), None, "{other}");
        }
        for other in [
            "",
            "A",
            &nonce[..31],
            &format!("{nonce}A"),
            &format!("{nonce}AAAA"),
        ] {
            assert_eq!(nonces(1).made_at(other), None, "{other}");
        }
    }
}
