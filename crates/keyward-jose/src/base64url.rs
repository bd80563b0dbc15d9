//! Base64url without padding (RFC 4648, section 5), in its one canonical spelling: padding, white
//! space, the standard alphabet and stray bits at the end are refused.

use crate::Error;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{DecodeSliceError, Engine as _};

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

/// Shows the bytes of `text` to `read` without keeping them: short ones are never on the heap.
pub(crate) fn decode_for<T>(
    what: &'static str,
    text: &str,
    read: impl FnOnce(&[u8]) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut room = [0; SHORT];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut room) {
        Ok(length) => read(room.get(..length).unwrap_or_default()),
        Err(DecodeSliceError::DecodeError(error)) => Err(refusal(what, &error)),
        Err(DecodeSliceError::OutputSliceTooSmall) => read(&decode(what, text)?),
    }
}

/// Room for the header of nearly every token.
const SHORT: usize = 192;

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
    fn texts_of_every_length_are_read_alike_on_the_stack() {
        for length in 0..300 {
            let text = encode(vec![7; length]);
            let shown = decode_for("x", &text, |bytes| Ok(bytes.to_vec()));
            assert_eq!(shown, decode("x", &text), "{length}");
        }
    }

    #[test]
    fn only_the_canonical_spelling_is_read() {
        assert_eq!(decode("x", "AA"), Ok(vec![0]));
        for bad in ["AA==", "AB", "A", "A A", "AA\n", "+/", "\u{e4}"] {
            assert!(
                matches!(decode("x", bad), Err(Error::Base64("x", _))),
                "{bad:?}"
            );
            assert_eq!(decode_for("x", bad, |_| Ok(())), decode("x", bad).map(drop));
        }
    }
}
