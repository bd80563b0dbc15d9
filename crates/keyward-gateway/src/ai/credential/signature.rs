//! AWS's signature of requests, version 4: a chain of HMACs over the request in a canonical form. Whoever has the
//! request learns nothing of the key, and can use the signature for this very request alone, for some minutes.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use keyward_model::{Secret, Timestamp};
use std::fmt::Write as _;
use zeroize::Zeroizing;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Keys of AWS that sign.
#[derive(Debug)]
pub(crate) struct SigningKeys {
    pub(super) id: Box<str>,
    pub(super) secret: Secret<String>,
    /// What goes along with keys that expire.
    pub(super) session: Option<Secret<String>>,
}

/// A request that is to be signed.
#[derive(Clone, Copy)]
pub(super) struct Signing<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    /// As it is sent.
    pub(super) path: &'a str,
    /// As it is sent, without its question mark.
    pub(super) query: &'a str,
    pub(super) content_type: Option<&'a str>,
    pub(super) body: &'a [u8],
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) now: Timestamp,
}

/// What a signed request has besides.
pub(super) struct Signed {
    /// `x-amz-date`.
    pub(super) date: String,
    /// `authorization`.
    pub(super) authorization: String,
}

impl Signing<'_> {
    pub(super) fn sign(&self, keys: &SigningKeys) -> Signed {
        let date = stamp(self.now);
        let day = date.get(..8).unwrap_or_default();
        let (canonical, names) = self.canonical(&date, keys.session.as_ref());
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let hash = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
        let to_sign = format!("{ALGORITHM}\n{date}\n{scope}\n{hash}");
        let mut first = Zeroizing::new(b"AWS4".to_vec());
        first.extend_from_slice(keys.secret.reveal().as_bytes());
        let parts = [day, self.region, self.service, "aws4_request"];
        let key = parts
            .iter()
            .fold(hmac::Key::new(hmac::HMAC_SHA256, &first), |key, part| {
                let tag = hmac::sign(&key, part.as_bytes());
                hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref())
            });
        let signature = hex(hmac::sign(&key, to_sign.as_bytes()).as_ref());
        Signed {
            authorization: format!(
                "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
                keys.id
            ),
            date,
        }
    }

    /// The canonical form, and the names of the fields that are signed.
    fn canonical(
        &self,
        date: &str,
        session: Option<&Secret<String>>,
    ) -> (Zeroizing<String>, String) {
        let mut fields: Vec<(&str, &str)> = Vec::with_capacity(4);
        if let Some(content_type) = self.content_type {
            fields.push(("content-type", content_type.trim()));
        }
        fields.push(("host", self.host));
        fields.push(("x-amz-date", date));
        if let Some(session) = session {
            fields.push(("x-amz-security-token", session.reveal()));
        }
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let mut text = Zeroizing::new(String::with_capacity(512));
        let query = canonical_query(self.query);
        // Writing to a string does not fail.
        let _infallible = write!(text, "{}\n{}\n{query}\n", self.method, encoded(self.path));
        for (name, value) in fields {
            let _infallible = writeln!(text, "{name}:{value}");
        }
        let body = hex(digest(&SHA256, self.body).as_ref());
        let _infallible = write!(text, "\n{names}\n{body}");
        (text, names)
    }
}

/// A path is encoded once more than it is sent, but for its slashes.
fn encoded(path: &str) -> String {
    if path.is_empty() {
        return "/".to_owned();
    }
    let mut out = String::with_capacity(path.len() + 16);
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Parameters by name, then by value, each with its `=`.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// `20150830T123600Z`.
fn stamp(now: Timestamp) -> String {
    let text = now.to_string();
    let digits = text.bytes().take(19);
    let mut stamp: String = digits
        .filter(|byte| !matches!(byte, b'-' | b':'))
        .map(char::from)
        .collect();
    stamp.push('Z');
    stamp
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _infallible = write!(out, "{byte:02x}");
    }
    out
}
