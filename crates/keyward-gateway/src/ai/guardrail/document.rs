//! Documents that lie in a body in base64 or as a `data:` address: those of text are read, whoever wrote them.
//!
//! What reads them behind this gateway may be lenient: so is what is read here. What says that it is text and can't be
//! read at all does not pass.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use keyward_llm::json::{Spanned, quoted};

/// Members that hold base64, with the type beside them.
const HOLD: &[&str] = &[
    "data",
    "b64_json",
    "file_data",
    "partial_image_b64",
    "result",
];
/// What looks like base64, is shorter and does not say what it is, is a word.
const WORD_MAX: usize = 64;
/// Types of texts that begin with something else than `text/`.
const TEXTS: &[&str] = &[
    "application/ecmascript",
    "application/graphql",
    "application/javascript",
    "application/jsonl",
    "application/jsonlines",
    "application/rtf",
    "application/sql",
    "application/toml",
    "application/typescript",
    "application/x-httpd-php",
    "application/x-javascript",
    "application/x-latex",
    "application/x-perl",
    "application/x-php",
    "application/x-powershell",
    "application/x-python",
    "application/x-python-code",
    "application/x-ruby",
    "application/x-sh",
    "application/x-sql",
    "application/x-subrip",
    "application/x-tex",
    "application/x-typescript",
    "application/x-www-form-urlencoded",
    "message/rfc822",
];

/// What a string is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Document {
    /// No document.
    None,
    /// One in which there is nothing to read.
    NoText,
    /// One of text, and what stands before its base64.
    Text { head: String, text: String },
    /// One that says that it is text, which it is not.
    Unreadable,
}

/// What a type says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Text,
    Other,
    /// Bytes, of whatever kind.
    Nothing,
}

impl Document {
    /// A string that stands under `key` of an object.
    pub(super) fn read(text: &str, key: &str, object: Option<&Spanned>) -> Self {
        if let Some(found) = address(text) {
            return found;
        }
        let said = |key: &str| object?.get(key)?.as_str();
        if !HOLD.contains(&key) || said("type") == Some("text") {
            return Self::None;
        }
        let kind = ["media_type", "mimeType", "mime_type"]
            .into_iter()
            .find_map(said);
        let charset = kind.map(charset).unwrap_or_default();
        match kind.map_or(Said::Nothing, of_type) {
            Said::Other if bytes(text).is_some() => Self::NoText,
            Said::Other => Self::None,
            Said::Text => match bytes(text) {
                Some(bytes) => Self::Text {
                    head: String::new(),
                    text: decoded(&bytes, &charset),
                },
                None => Self::Unreadable,
            },
            Said::Nothing => match bytes(text) {
                Some(bytes) => match plain(&bytes) {
                    Some(text) => Self::Text {
                        head: String::new(),
                        text,
                    },
                    None if text.len() < WORD_MAX => Self::None,
                    None => Self::NoText,
                },
                None => Self::None,
            },
        }
    }
}

/// What a `data:` address holds (RFC 2397).
fn address(text: &str) -> Option<Document> {
    let rest = text
        .get(..5)
        .filter(|scheme| scheme.eq_ignore_ascii_case("data:"))
        .and_then(|_| text.get(5..))?;
    let (kind, data) = rest.split_once(',')?;
    let encoded = kind
        .get(kind.len().saturating_sub(7)..)
        .is_some_and(|end| end.eq_ignore_ascii_case(";base64"));
    let charset = charset(kind);
    // A new text is of UTF-8, whatever the one before was of.
    let head = || {
        let essence = kind.split(';').next().unwrap_or_default();
        format!("data:{essence};base64,")
    };
    if !encoded {
        // Words that only begin like an address are words.
        if of_type(kind) != Said::Text || !kind.contains('/') {
            return None;
        }
        return Some(Document::Text {
            head: head(),
            text: decoded(&unescaped(data), &charset),
        });
    }
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let said = if essence.is_empty() {
        Said::Text
    } else {
        of_type(kind)
    };
    let bytes = bytes(data);
    Some(match (said, bytes) {
        (Said::Text, Some(bytes)) => Document::Text {
            head: match charset.as_str() {
                "" | "utf-8" => text.get(..text.len() - data.len())?.to_owned(),
                _ => head(),
            },
            text: decoded(&bytes, &charset),
        },
        (Said::Text, None) => Document::Unreadable,
        (Said::Nothing, Some(bytes)) => match plain(&bytes) {
            Some(decoded) => Document::Text {
                head: text.get(..text.len() - data.len())?.to_owned(),
                text: decoded,
            },
            None => Document::NoText,
        },
        (Said::Other, Some(_)) => Document::NoText,
        (Said::Nothing | Said::Other, None) => return None,
    })
}

fn of_type(kind: &str) -> Said {
    let essence = kind.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let text = essence.starts_with("text/")
        || ["json", "xml", "yaml"]
            .iter()
            .any(|end| essence.ends_with(end))
        || TEXTS.contains(&&*essence);
    match &*essence {
        _ if text => Said::Text,
        "" | "application/octet-stream" | "binary/octet-stream" => Said::Nothing,
        _ => Said::Other,
    }
}

fn charset(kind: &str) -> String {
    let mut parameters = kind
        .split(';')
        .skip(1)
        .filter_map(|one| one.split_once('='));
    let found = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let value = found.map(|(_, value)| value.trim().trim_matches('"').to_ascii_lowercase());
    value.unwrap_or_default()
}

/// What stands in base64, of either alphabet, with or without its end, in lines or not.
fn bytes(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const ENGINE: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    let mut plain = Vec::with_capacity(text.len());
    plain.extend(
        text.bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .map(|byte| match byte {
                b'-' => b'+',
                b'_' => b'/',
                other => other,
            }),
    );
    while plain.last() == Some(&b'=') {
        plain.pop();
    }
    ENGINE.decode(plain).ok()
}

/// The text that bytes are, where nobody says so.
fn plain(bytes: &[u8]) -> Option<String> {
    let text = match bytes {
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => decoded(bytes, ""),
        _ => std::str::from_utf8(bytes).ok()?.to_owned(),
    };
    let written = |character: char| !character.is_control() || character.is_ascii_whitespace();
    (!text.is_empty() && text.chars().all(written)).then_some(text)
}

/// A text of bytes: of UTF-8 where they are, of UTF-16 where they say so or half of them are nothing, else of Latin-1.
fn decoded(bytes: &[u8], charset: &str) -> String {
    let wide = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let pairs = bytes
            .chunks_exact(2)
            .filter_map(|pair| pair.try_into().ok());
        let units: Vec<u16> = pairs.map(read).collect();
        String::from_utf16_lossy(&units)
    };
    let nothings = |at: usize| {
        let half = bytes.iter().skip(at).step_by(2);
        half.filter(|byte| **byte == 0).count() * 4 > bytes.len()
    };
    match bytes {
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        _ if charset == "utf-16be" || nothings(0) => wide(bytes, u16::from_be_bytes),
        _ if charset.starts_with("utf-16") || nothings(1) => wide(bytes, u16::from_le_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
        },
    }
}

/// What stands in an address with its escapes read (RFC 3986, section 2.1).
fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first == b'%'
            && let Some((digits, further)) = behind.split_at_checked(2)
            && let Ok(digits) = std::str::from_utf8(digits)
            && let Ok(byte) = u8::from_str_radix(digits, 16)
        {
            out.push(byte);
            rest = further;
        } else {
            out.push(*first);
        }
    }
    out
}

/// A new text of a document, as a string of JSON.
pub(super) fn quoted_document(head: &str, text: &str) -> String {
    quoted(&format!("{head}{}", STANDARD.encode(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A string under `data`, with this type beside it.
    fn read(text: &str, kind: Option<&str>) -> Document {
        let object = kind.map_or(json!({}), |kind| json!({ "mimeType": kind }));
        let object = object.to_string();
        let tree = Spanned::parse(object.as_bytes()).unwrap();
        Document::read(text, "data", Some(&tree))
    }

    fn text(head: &str, text: &str) -> Document {
        Document::Text {
            head: head.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_text_is_read_however_it_is_written() {
        let latin = STANDARD.encode(b"caf\xe9 secret");
        let utf16: Vec<u8> = "secret".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let marked = [&[0xff, 0xfe][..], &utf16].concat();
        let long = "secret? ~~~ ".repeat(9);
        let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&long);
        assert!(url_safe.contains(['-', '_']));
        for (written, kind, expected) in [
            ("c2VjcmV0", Some("Text/Plain"), "secret"),
            ("c2VjcmV0", Some("application/x-python"), "secret"),
            ("c2VjcmV0", Some("text/plain; charset=utf-8"), "secret"),
            ("c2Vj\r\ncmV0", Some("text/csv"), "secret"),
            ("c2VjcmV0IQ", Some("text/csv"), "secret!"),
            ("c2VjcmV0", None, "secret"),
            ("c2VjcmV0", Some("application/octet-stream"), "secret"),
            (&url_safe, Some("application/sql"), &long),
            (&latin, Some("text/plain"), "caf\u{e9} secret"),
            (&STANDARD.encode(&utf16), Some("text/plain"), "secret"),
            (&STANDARD.encode(&marked), None, "secret"),
        ] {
            assert_eq!(
                read(written, kind),
                text("", expected),
                "{written} {kind:?}"
            );
        }
        for (written, head, expected) in [
            (
                "data:text/plain;base64,c2VjcmV0",
                "data:text/plain;base64,",
                "secret",
            ),
            (
                "DATA:Text/Plain;charset=utf-8;BASE64,c2VjcmV0",
                "DATA:Text/Plain;charset=utf-8;BASE64,",
                "secret",
            ),
            ("data:;base64,c2VjcmV0", "data:;base64,", "secret"),
            (
                "data:text/plain,se%63ret",
                "data:text/plain;base64,",
                "secret",
            ),
            (
                "data:text/plain;charset=iso-8859-1;base64,6Q==",
                "data:text/plain;base64,",
                "\u{e9}",
            ),
        ] {
            assert_eq!(read(written, None), text(head, expected), "{written}");
        }
    }

    #[test]
    fn pictures_and_words_are_no_texts_and_a_broken_text_is_none_either() {
        let noise = STANDARD.encode([0xf1_u8, 0x00, 0x92].repeat(40));
        assert_eq!(read("aGFsbG8=", Some("image/png")), Document::NoText);
        assert_eq!(read(&noise, None), Document::NoText);
        assert_eq!(read("two words!", None), Document::None);
        assert_eq!(read("data: see below, please", None), Document::None);
        assert_eq!(
            read("not base64!", Some("text/plain")),
            Document::Unreadable
        );
        assert_eq!(
            read("data:text/plain;base64,???", None),
            Document::Unreadable
        );
    }
}
