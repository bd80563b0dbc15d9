//! What stands in the database for a key that is in a token.

use std::fmt::{self, Write as _};
use std::str::FromStr;

/// The length of a key's `CKA_ID`: two made anywhere never meet.
pub(crate) const ID_BYTES: usize = 16;

/// The longest label a token can have (PKCS#11, `CK_TOKEN_INFO`).
const LABEL_BYTES_MAX: usize = 32;

/// A private key in a token: the token's label and the key's `CKA_ID`, written as a PKCS#11 URI (RFC 7512), so that
/// other programs take it too.
///
/// ```
/// use keyward_pkcs11::Reference;
/// let text = "pkcs11:token=my%20token;id=%00%01%02%03%04%05%06%07%08%09%0A%0B%0C%0D%0E%0F;type=private";
/// let reference: Reference = text.parse().unwrap();
/// assert_eq!(reference.token(), "my token");
/// assert_eq!(reference.to_string(), text);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    token: String,
    pub(crate) id: [u8; ID_BYTES],
}

/// The text is no reference that was written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no PKCS#11 URI of a key of ours")]
pub struct NoReference;

impl Reference {
    pub(crate) fn new(token: &str, id: [u8; ID_BYTES]) -> Self {
        Self {
            token: token.to_owned(),
            id,
        }
    }

    /// What those of a token begin with, and no others.
    pub(crate) fn prefix(token: &str) -> String {
        let mut whole = Self::new(token, [0; ID_BYTES]).to_string();
        whole.truncate(whole.find(";id=").map_or(0, |at| at + ";id=".len()));
        whole
    }

    /// The token's label.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pkcs11:token=")?;
        for byte in self.token.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                f.write_char(char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        f.write_str(";id=")?;
        for byte in self.id {
            write!(f, "%{byte:02X}")?;
        }
        f.write_str(";type=private")
    }
}

/// Only what [`Display`](fmt::Display) writes.
impl FromStr for Reference {
    type Err = NoReference;

    fn from_str(text: &str) -> Result<Self, NoReference> {
        let (token, rest) = text
            .strip_prefix("pkcs11:token=")
            .and_then(|rest| rest.split_once(";id="))
            .ok_or(NoReference)?;
        let id = rest.strip_suffix(";type=private").ok_or(NoReference)?;
        let token = String::from_utf8(unescaped(token)?).map_err(|_| NoReference)?;
        if token.is_empty() || token.len() > LABEL_BYTES_MAX {
            return Err(NoReference);
        }
        let id = unescaped(id)?.try_into().map_err(|_| NoReference)?;
        let reference = Self { token, id };
        (reference.to_string() == text)
            .then_some(reference)
            .ok_or(NoReference)
    }
}

fn unescaped(text: &str) -> Result<Vec<u8>, NoReference> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = char::from(rest.next()?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(NoReference);
        };
        bytes.push((high << 4) | low);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_reference_is_read_as_it_was_written(token in "\\PC{1,8}", id in any::<[u8; ID_BYTES]>()) {
            let reference = Reference::new(&token, id);
            prop_assert_eq!(reference.to_string().parse(), Ok(reference));
        }

        #[test]
        fn what_was_not_written_here_is_refused_and_nothing_else_happens(text in "(pkcs11:token=)?[a-z%0-9;=]{0,80}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string(), text);
            }
        }
    }

    #[test]
    fn references_of_one_token_begin_as_those_of_no_other() {
        let prefix = Reference::prefix("my hsm");
        assert!(
            Reference::new("my hsm", [7; ID_BYTES])
                .to_string()
                .starts_with(&prefix)
        );
        for other in ["my hsm2", "my", "my%20hsm"] {
            assert!(
                !Reference::new(other, [7; ID_BYTES])
                    .to_string()
                    .starts_with(&prefix)
            );
        }
    }

    #[test]
    fn uris_of_other_shapes_are_refused() {
        let good = Reference::new("hsm", [0xab; ID_BYTES]).to_string();
        assert!(good.parse::<Reference>().is_ok());
        let lower = good.replace("%AB", "%ab");
        let short = good.replacen("%AB", "", 1);
        let cut = good.replacen("%AB", "%A", 1);
        let unnamed = good.replace("token=hsm", "token=");
        let long = good.replace("hsm", &"h".repeat(33));
        let others = ["", "pkcs11:", "{\"kty\":\"EC\"}"].map(str::to_owned);
        for text in [lower, short, cut, unnamed, long].into_iter().chain(others) {
            assert_eq!(text.parse::<Reference>(), Err(NoReference), "{text}");
        }
    }
}
