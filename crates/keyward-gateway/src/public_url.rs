//! What the gateway is called by those who call it, and whether an address is that of a call.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

/// An address that the gateway is known by: scheme, host, port, and the path that something before it takes off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    scheme: Scheme,
    /// Host and port in lower case, without the port that the scheme has anyway.
    authority: Box<str>,
    /// Empty, or beginning with a slash and not ending with one.
    prefix: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn port(self) -> &'static str {
        match self {
            Self::Http => ":80",
            Self::Https => ":443",
        }
    }
}

impl PublicUrl {
    /// Reads an `http:` or `https:` address without user, query and fragment.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts = Parts::read(text)?;
        if text.contains(['?', '#']) {
            return None;
        }
        Some(Self {
            scheme: parts.scheme,
            prefix: parts.path.trim_end_matches('/').into(),
            authority: parts.authority.into(),
        })
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// `https://host`, with a port where it is not the usual one.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.authority)
    }

    /// What stands before the paths that arrive.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The address of another host of this gateway.
    pub(crate) fn with_host(&self, host: &str) -> Option<Self> {
        Some(Self {
            scheme: self.scheme,
            authority: normal_authority(host, self.scheme)?.into(),
            prefix: self.prefix.clone(),
        })
    }

    /// Whether `uri` is the address of `path` here, as RFC 9449, section 4.3, compares them: by scheme, host,
    /// port and path, each in its normal form (RFC 3986, section 6.2.2 and 6.2.3), whatever its query and
    /// fragment.
    pub(crate) fn is_address_of(&self, path: &str, uri: &str) -> bool {
        let Some(parts) = Parts::read(uri) else {
            return false;
        };
        parts.scheme == self.scheme
            && parts.authority == *self.authority
            && match parts.path.strip_prefix(&*self.prefix) {
                Some(rest) => {
                    normal_path(if rest.is_empty() { "/" } else { rest }) == normal_path(path)
                }
                None => false,
            }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.scheme.as_str(),
            self.authority,
            self.prefix
        )
    }
}

/// An address taken apart.
struct Parts<'a> {
    scheme: Scheme,
    authority: String,
    /// Without query and fragment.
    path: &'a str,
}

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = if scheme.eq_ignore_ascii_case("https") {
            Scheme::Https
        } else if scheme.eq_ignore_ascii_case("http") {
            Scheme::Http
        } else {
            return None;
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end)?;
        let end = rest.find(['?', '#']).unwrap_or(rest.len());
        let path = rest.get(..end)?;
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        Some(Self {
            scheme,
            authority: normal_authority(authority, scheme)?,
            path,
        })
    }
}

/// Host and port in the one form that they are compared in; `None` for what is none.
fn normal_authority(authority: &str, scheme: Scheme) -> Option<String> {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'[' | b']')
    };
    if authority.is_empty() || !authority.bytes().all(plain) {
        return None;
    }
    let lower = authority.to_ascii_lowercase();
    let host = lower.strip_suffix(scheme.port()).unwrap_or(&lower);
    // RFC 3986, section 3.2.3: an empty port is no port.
    let host = host.strip_suffix(':').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_owned())
}

/// A path with unreserved characters decoded and the digits of other escapes in upper case.
fn normal_path(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        normal.push_str(before);
        let digits = escape.get(1..3);
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, digits) {
            (Some(byte), Some(digits)) => {
                if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                    normal.push(char::from(byte));
                } else {
                    normal.push('%');
                    normal.push_str(&digits.to_ascii_uppercase());
                }
                rest = escape.get(3..).unwrap_or_default();
            }
            (_, _) => {
                normal.push('%');
                rest = escape.get(1..).unwrap_or_default();
            }
        }
    }
    normal.push_str(rest);
    Cow::Owned(normal)
}
