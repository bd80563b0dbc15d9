//! Forms of several parts (RFC 7578), as files are sent in: read as strictly as can be, since a gateway that looks at one
//! model and a provider that takes another would let calls pass that may not. What could be read in two ways is refused; one
//! text is exchanged, and every other byte stays as it is.

use crate::error::Error;
use std::ops::Range;

/// More parts than any request of this kind has.
const PARTS_MAX: usize = 256;
/// The most bytes of one part's head.
const HEAD_MAX: usize = 8 * 1024;
/// The longest boundary (RFC 2046, section 5.1.1).
const BOUNDARY_MAX: usize = 70;

/// A part of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is called.
    pub name: String,
    /// Whether it is a file.
    pub is_file: bool,
    /// Where its content lies.
    pub content: Range<usize>,
}

/// The boundary that a content type names, and nothing else: by a `charset` lenient readers take names of parts for others
/// than they are here.
///
/// # Errors
/// [`Error::Field`] where it names none, several, or what is none, or has any other parameter.
pub fn boundary(content_type: &str) -> Result<String, Error> {
    let wrong = |why: &str| Error::field("content-type", why);
    let mut found = None;
    let mut parameters = content_type.split(';');
    let kind = parameters.next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("multipart/form-data") {
        return Err(wrong("must be `multipart/form-data` with a boundary"));
    }
    for parameter in parameters {
        let parameter = parameter.trim();
        if parameter.is_empty() {
            continue;
        }
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = name.trim().to_ascii_lowercase();
        if !name.starts_with("boundary") {
            return Err(wrong(
                "must have no parameter but its boundary: take out `charset` and others",
            ));
        }
        let value = value.trim();
        let value = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'))
            .unwrap_or(value);
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
        let sound = (1..=BOUNDARY_MAX).contains(&value.len()) && value.bytes().all(letter);
        if !sound || name != "boundary" {
            return Err(wrong("has a boundary that is none"));
        }
        if found.replace(value.to_owned()).is_some() {
            return Err(wrong("has a boundary twice"));
        }
    }
    found.ok_or_else(|| wrong("has no boundary"))
}

/// The content type of a form with this boundary, as providers get it: nothing of what the caller wrote but the boundary.
#[must_use]
pub fn content_type(boundary: &str) -> String {
    // What is no token has to stand in quotes (RFC 9110, section 5.6.6).
    if is_token(boundary) {
        format!("multipart/form-data; boundary={boundary}")
    } else {
        format!("multipart/form-data; boundary=\"{boundary}\"")
    }
}

/// The parts of a form.
///
/// # Errors
/// [`Error::Field`] for what is no form, or could be read in two ways.
pub fn parts(body: &[u8], boundary: &str) -> Result<Vec<Part>, Error> {
    let wrong = |why: &str| Error::field("body", why);
    let line = format!("--{boundary}");
    let line = line.as_bytes();
    let mut at: Vec<usize> = Vec::new();
    // Every place of the boundary counts, so that no reader finds another.
    let mut from = 0;
    while let Some(found) = find(body.get(from..).unwrap_or_default(), line) {
        at.push(from + found);
        if at.len() > PARTS_MAX {
            return Err(wrong("has more than 256 parts"));
        }
        from += found + line.len();
    }
    let begins = |place: usize| {
        place == 0
            || body
                .get(..place)
                .is_some_and(|before| before.ends_with(b"\r\n"))
    };
    if at.first() != Some(&0) || !at.iter().all(|place| begins(*place)) {
        return Err(wrong(
            "does not begin with its boundary, or has it within a line",
        ));
    }
    let mut parts: Vec<Part> = Vec::new();
    for (index, place) in at.iter().enumerate() {
        let after = place + line.len();
        let rest = body.get(after..).unwrap_or_default();
        let Some(next) = at.get(index + 1) else {
            // The last one ends the form, and nothing follows.
            return match rest {
                b"--" | b"--\r\n" => Ok(parts),
                _ => Err(wrong("does not end with its boundary and `--`")),
            };
        };
        if !rest.starts_with(b"\r\n") {
            return Err(wrong("has a boundary that a line does not end with"));
        }
        let end = next.saturating_sub(2);
        let part = part(body, after + 2..end)?;
        if parts
            .iter()
            .any(|known| known.name == part.name && !(known.is_file && part.is_file))
        {
            return Err(Error::field(&part.name, "comes twice"));
        }
        parts.push(part);
    }
    Err(wrong("has no part"))
}

/// The form with the text `name` exchanged. One that is not there is no reason to add it.
///
/// # Errors
/// As [`parts`]; [`Error::Field`] where it is missing or a file.
pub fn with_text(body: &[u8], boundary: &str, name: &str, value: &str) -> Result<Vec<u8>, Error> {
    let parts = parts(body, boundary)?;
    let part = text_part(&parts, name)?;
    let mut out = Vec::with_capacity(body.len() + value.len());
    out.extend_from_slice(body.get(..part.content.start).unwrap_or_default());
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(body.get(part.content.end..).unwrap_or_default());
    Ok(out)
}

/// The text `name` of a form.
///
/// # Errors
/// As [`with_text`].
pub fn text(body: &[u8], boundary: &str, name: &str) -> Result<String, Error> {
    let parts = parts(body, boundary)?;
    let part = text_part(&parts, name)?;
    let bytes = body.get(part.content.clone()).unwrap_or_default();
    let text = std::str::from_utf8(bytes).map_err(|_| Error::field(name, "is no text"))?;
    Ok(text.to_owned())
}

fn text_part<'p>(parts: &'p [Part], name: &str) -> Result<&'p Part, Error> {
    let part = parts.iter().find(|part| part.name == name);
    let part = part.ok_or_else(|| Error::field(name, "is missing"))?;
    if part.is_file {
        return Err(Error::field(name, "must be a text, not a file"));
    }
    Ok(part)
}

/// One part between two boundaries.
fn part(body: &[u8], span: Range<usize>) -> Result<Part, Error> {
    let wrong = |why: &str| Error::field("body", why);
    let bytes = body
        .get(span.clone())
        .ok_or_else(|| wrong("has an empty part"))?;
    let length = find(bytes, b"\r\n\r\n").filter(|length| *length <= HEAD_MAX);
    let length =
        length.ok_or_else(|| wrong("has a part without a head, or with too long a one"))?;
    let head = bytes.get(..length).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| wrong("has a part whose head is no text"))?;
    let (mut disposition, mut content_type) = (None, None);
    for line in head.split("\r\n") {
        if line.contains(['\r', '\n', '\0']) || line.starts_with([' ', '\t']) {
            return Err(wrong("has a part with lines that are no fields"));
        }
        let (name, value) = line
            .split_once(':')
            .filter(|(name, _)| is_token(name))
            .ok_or_else(|| wrong("has a part with lines that are no fields"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-disposition") {
            if disposition.replace(value).is_some() {
                return Err(wrong("has a part with two names"));
            }
        } else if name.eq_ignore_ascii_case("content-type") {
            if content_type.replace(value).is_some() {
                return Err(wrong("has a part with two content types"));
            }
        } else if name.eq_ignore_ascii_case("content-transfer-encoding")
            && !value.eq_ignore_ascii_case("binary")
        {
            return Err(wrong("has a part in another encoding than `binary`"));
        }
    }
    let disposition = disposition.ok_or_else(|| wrong("has a part without a name"))?;
    let (name, is_file) = named(disposition)?;
    // By either, a reader may take texts for others than they are here (RFC 7578, sections 4.4 and 4.6).
    if name.eq_ignore_ascii_case("_charset_") {
        return Err(wrong(
            "has a part `_charset_`: texts are UTF-8, leave it out",
        ));
    }
    if !is_file && !content_type.is_none_or(in_utf8) {
        return Err(wrong(
            "has a text in another charset than UTF-8: leave `charset` out",
        ));
    }
    Ok(Part {
        name,
        is_file,
        content: span.start + length + 4..span.end,
    })
}

/// Whether the text of a part of this type is UTF-8, as it is where nothing is said.
fn in_utf8(content_type: &str) -> bool {
    content_type.split(';').skip(1).all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        !name.trim().to_ascii_lowercase().starts_with("charset")
            || (name.trim().len() == "charset".len() && value.eq_ignore_ascii_case("utf-8"))
    })
}

/// Whether it is a token (RFC 9110, section 5.6.2), as names of fields are.
fn is_token(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(letter)
}

/// The name of a part, and whether it is a file's.
fn named(disposition: &str) -> Result<(String, bool), Error> {
    let wrong = |why: &str| Error::field("body", why);
    let mut rest = disposition
        .strip_prefix("form-data")
        .ok_or_else(|| wrong("has a part that is no `form-data`"))?
        .trim_start();
    let (mut name, mut is_file) = (None, false);
    while let Some(parameter) = rest.strip_prefix(';') {
        let (key, value) = parameter
            .split_once('=')
            .ok_or_else(|| wrong("has a part whose name can't be read"))?;
        if key.trim().eq_ignore_ascii_case("filename*") {
            // A file's name in other letters (RFC 5987), which has no quotes.
            is_file = true;
            rest = value.find(';').map_or("", |end| value.split_at(end).1);
            continue;
        }
        let value = value
            .strip_prefix('"')
            .ok_or_else(|| wrong("has a part whose name stands in no quotes"))?;
        let end = closing(value).ok_or_else(|| wrong("has a part whose name does not end"))?;
        let (text, after) = value.split_at_checked(end).unwrap_or_default();
        match key.trim().to_ascii_lowercase().as_str() {
            "name" if name.is_some() => return Err(wrong("has a part with two names")),
            // Readers differ in what a backslash means.
            "name" if text.contains(['\\', '%', '\r', '\n']) => {
                return Err(wrong("has a part with a name that can be read in two ways"));
            }
            "name" => name = Some(text.to_owned()),
            "filename" => is_file = true,
            _ => return Err(wrong("has a part with more than `name` and `filename`")),
        }
        rest = after.get(1..).unwrap_or_default().trim_start();
    }
    if !rest.is_empty() {
        return Err(wrong("has a part whose name can't be read"));
    }
    let name = name.ok_or_else(|| wrong("has a part without a name"))?;
    Ok((name, is_file))
}

/// Where the quote stands that ends a text; one behind a backslash does not.
fn closing(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}
