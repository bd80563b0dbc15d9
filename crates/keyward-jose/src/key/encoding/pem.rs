//! PEM (RFC 7468).

use super::{Encoding, KEY_BYTES_MAX, Part, read, too_large};
use crate::Error;
use crate::key::Key;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// RFC 7468, section 2.
const LINE_CHARACTERS: usize = 64;
/// A private key and as many certificates as an `x5c` takes.
const BLOCKS_MAX: usize = 1 + crate::x509::CHAIN_MAX;

struct Block<'a> {
    label: &'a str,
    der: Zeroizing<Vec<u8>>,
}

/// A key, and what its first block is.
pub(super) fn read(text: &str) -> Result<(Key, Encoding), Error> {
    if text.len() > KEY_BYTES_MAX {
        return Err(too_large());
    }
    let mut key: Option<(Key, Encoding)> = None;
    let mut certificates = Vec::new();
    for block in blocks(text)? {
        let encoding = match block.label {
            "CERTIFICATE" => {
                certificates.push(block.der.to_vec());
                continue;
            }
            "PRIVATE KEY" => Encoding::Pkcs8,
            "PUBLIC KEY" => Encoding::Spki,
            "RSA PRIVATE KEY" | "RSA PUBLIC KEY" => Encoding::Pkcs1,
            "EC PRIVATE KEY" => Encoding::Sec1,
            // OpenSSL writes the curve before the key, which names it again.
            "EC PARAMETERS" => continue,
            "ENCRYPTED PRIVATE KEY" => return Err(read::encrypted()),
            other => {
                let label: String = other.chars().take(40).collect();
                return Err(Error::KeyForm(format!(
                    "PEM: a `{label}` is not known here"
                )));
            }
        };
        if key.is_some() {
            return Err(Error::KeyForm(
                "PEM: there are two keys; give each its own file".to_owned(),
            ));
        }
        let read = read::as_encoding(&block.der, encoding)?;
        if read.is_private() != block.label.ends_with("PRIVATE KEY") {
            return Err(Error::KeyForm(format!(
                "PEM: what stands in the block is no `{}`",
                block.label
            )));
        }
        key = Some((read, encoding));
    }
    match key {
        Some((key, encoding)) if certificates.is_empty() => Ok((key, encoding)),
        Some((key, encoding)) => Ok((key.with_certificates(certificates)?, encoding)),
        None => {
            let own = certificates.first().ok_or_else(|| {
                Error::KeyForm("PEM: there is no key and no certificate in it".to_owned())
            })?;
            let key = crate::x509::public_key(own)?;
            Ok((key.with_certificates(certificates)?, Encoding::Certificate))
        }
    }
}

/// The certificates of a PEM file, in order; it may hold nothing else.
pub(crate) fn certificates(text: &str) -> Result<Vec<Vec<u8>>, Error> {
    if text.len() > KEY_BYTES_MAX {
        return Err(too_large());
    }
    blocks(text)?
        .into_iter()
        .map(|block| match block.label {
            "CERTIFICATE" => Ok(block.der.to_vec()),
            _ => Err(Error::KeyForm(
                "PEM: only certificates may be in it".to_owned(),
            )),
        })
        .collect()
}

/// The blocks. Text before and between them is explanation (RFC 7468, section 5.2).
fn blocks(text: &str) -> Result<Vec<Block<'_>>, Error> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(label) = boundary(line, BEGIN) else {
            continue;
        };
        if blocks.len() == BLOCKS_MAX {
            return Err(Error::TooLarge {
                what: "the number of PEM blocks",
                limit: BLOCKS_MAX,
            });
        }
        let mut body = Zeroizing::new(String::with_capacity(text.len()));
        loop {
            let line = lines.next().ok_or_else(|| {
                Error::KeyForm("PEM: the END line is missing or of another label".to_owned())
            })?;
            if boundary(line, END) == Some(label) {
                break;
            }
            if line.starts_with("Proc-Type:") && line.contains("ENCRYPTED") {
                return Err(read::encrypted());
            }
            body.push_str(line.trim());
        }
        let mut der = Zeroizing::new(Vec::with_capacity(body.len()));
        STANDARD
            .decode_vec(body.as_bytes(), &mut der)
            .map_err(|_| {
                Error::KeyForm("PEM: what is between the lines is not base64".to_owned())
            })?;
        blocks.push(Block { label, der });
    }
    Ok(blocks)
}

fn boundary<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.trim().strip_prefix(start)?.strip_suffix(DASHES)
}

pub(super) const fn label(encoding: Encoding, part: Part) -> &'static str {
    match (encoding, part) {
        (Encoding::Pkcs1, Part::Private) => "RSA PRIVATE KEY",
        (Encoding::Pkcs1, Part::Public) => "RSA PUBLIC KEY",
        (Encoding::Pkcs8, _) => "PRIVATE KEY",
        (Encoding::Sec1, _) => "EC PRIVATE KEY",
        (Encoding::Spki, _) => "PUBLIC KEY",
        (Encoding::Certificate, _) => "CERTIFICATE",
    }
}

/// One block.
pub(crate) fn write(label: &str, der: &[u8]) -> Zeroizing<String> {
    let mut body = Zeroizing::new(String::with_capacity(der.len().div_ceil(3) * 4));
    STANDARD.encode_string(der, &mut body);
    let lines = body.len().div_ceil(LINE_CHARACTERS);
    let mut text = Zeroizing::new(String::with_capacity(
        body.len() + lines + 2 * (BEGIN.len() + label.len() + DASHES.len() + 1),
    ));
    for part in [BEGIN, label, DASHES, "\n"] {
        text.push_str(part);
    }
    let mut rest = body.as_str();
    // Base64 is ASCII: every place is between two characters.
    while let Some((line, after)) = rest.split_at_checked(LINE_CHARACTERS) {
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    if !rest.is_empty() {
        text.push_str(rest);
        text.push('\n');
    }
    for part in [END, label, DASHES, "\n"] {
        text.push_str(part);
    }
    text
}
