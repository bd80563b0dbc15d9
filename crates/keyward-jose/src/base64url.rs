//! Base64url without padding (RFC 4648, section 5), in its one canonical spelling: padding, white
//! space, the standard alphabet and stray bits at the end are refused.

use crate::Error;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text of `bytes`.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Appends the text of `bytes` to `out`.
pub(crate) fn encode_into(bytes: impl AsRef<[u8]>, out: &mut String) {
    URL_SAFE_NO_PAD.encode_string(bytes, out);
}

/// The bytes of `text`; `what` names it in the error.
pub(crate) fn decode(what: &'static str, text: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|error| refusal(what, &error))
}

fn refusal(what: &'static str, error: &base64::DecodeError) -> Error {
    use base64::DecodeError as E;
    let why = match error {
        E::InvalidByte(_, b'=') => "it has padding, which is left out here",
        E::InvalidByte(_, b'+' | b'/') => "it uses the standard alphabet (`-` and `_` are needed)",
        E::InvalidByte(_, b' ' | b'\t' | b'\r' | b'\n') => "it has white space",
        E::InvalidByte(..) => "it has a character outside the alphabet",
        E::InvalidLength(_) => "its length can't be",
        E::InvalidLastSymbol(..) => "its last character has stray bits",
        E::InvalidPadding => "it has padding, which is left out here",
    };
    Error::Base64(what, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_read() {
        assert_eq!(decode("x", "AA"), Ok(vec![0]));
        for bad in ["AA==", "AB", "A", "A A", "AA\n", "+/", "\u{e4}"] {
            assert!(
                matches!(decode("x", bad), Err(Error::Base64("x", _))),
                "{bad:?}"
            );
        }
    }
}
