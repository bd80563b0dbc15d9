//! URLs, read strictly.
//!
//! What browsers forgive (`http:\\host`, `0x7f.1`, spaces, a name before an `@`) is where two readers
//! disagree about the host. Here such a text is no URL.

use crate::error::Error;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest URL: what common servers take, and far beyond what metadata uses.
const URL_MAX: usize = 2048;
/// The longest name (RFC 1035, section 2.3.4).
const NAME_MAX: usize = 253;
/// The longest label of a name (RFC 1035, section 2.3.4).
const LABEL_MAX: usize = 63;

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// As written in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The host of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name in lower case, without a dot at the end.
    Name(Box<str>),
    /// An address in dotted decimal.
    V4(Ipv4Addr),
    /// An address in brackets.
    V6(Ipv6Addr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// An absolute `http:` or `https:` URL (RFC 9110, section 4.2) without user information and fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    scheme: Scheme,
    host: Host,
    port: u16,
    path_and_query: Box<str>,
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`Error::Url`] says what is wrong with it.
    ///
    /// ```
    /// use keyward_egress::Url;
    /// assert!(Url::parse("https://issuer.example/keys?v=1").is_ok());
    /// assert!(Url::parse("https://0x7f.1/").is_err());
    /// assert!(Url::parse("https://issuer.example@evil.example/").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, Error> {
        read(text).map_err(|why| Error::Url {
            url: shown(text),
            why,
        })
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port, the scheme's own when the URL names none.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, as they are sent; begins with `/`.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    /// `host` or `host:port`, as the `Host` header has it.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether scheme, host and port are the same (RFC 6454, section 5).
    #[must_use]
    pub fn same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port == other.port
    }

    /// The URL that `reference` means when it is found here (RFC 3986, section 5.2). A fragment is
    /// left out.
    ///
    /// # Errors
    /// [`Error::Url`] when the result is none that [`Url::parse`] takes.
    pub fn join(&self, reference: &str) -> Result<Self, Error> {
        let reference = reference.split('#').next().unwrap_or_default();
        if has_scheme(reference) {
            return Self::parse(reference);
        }
        if reference.starts_with("//") {
            return Self::parse(&format!("{}:{reference}", self.scheme.as_str()));
        }
        let here = self.path_and_query.as_ref();
        let path = here.split('?').next().unwrap_or_default();
        let target = if reference.is_empty() {
            here.to_owned()
        } else if reference.starts_with('/') {
            reference.to_owned()
        } else if reference.starts_with('?') {
            format!("{path}{reference}")
        } else {
            let (relative, query) = match reference.find('?') {
                Some(at) => reference.split_at(at),
                None => (reference, ""),
            };
            let folder = path
                .rfind('/')
                .and_then(|at| path.get(..=at))
                .unwrap_or("/");
            format!("{}{query}", without_dots(&format!("{folder}{relative}")))
        };
        Self::parse(&format!(
            "{}://{}{target}",
            self.scheme.as_str(),
            self.authority()
        ))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.scheme.as_str(),
            self.authority(),
            self.path_and_query
        )
    }
}

fn read(text: &str) -> Result<Url, &'static str> {
    if text.len() > URL_MAX {
        return Err("it is longer than 2048 bytes");
    }
    let forbidden = |b: u8| {
        !b.is_ascii_graphic()
            || matches!(
                b,
                b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}'
            )
    };
    if text.bytes().any(forbidden) {
        return Err("it holds a character that must be percent-encoded");
    }
    let (scheme, rest) = text.split_once("://").ok_or("it is not absolute")?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return Err("its scheme is neither https nor http"),
    };
    if rest.contains('#') {
        return Err("it has a fragment");
    }
    let (authority, path_and_query) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err("it holds user information");
    }
    let (host, port) = read_authority(authority)?;
    let path_and_query = if path_and_query.starts_with('/') {
        path_and_query.into()
    } else {
        format!("/{path_and_query}").into()
    };
    Ok(Url {
        scheme,
        host,
        port: port.unwrap_or(scheme.default_port()),
        path_and_query,
    })
}

fn read_authority(authority: &str) -> Result<(Host, Option<u16>), &'static str> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or("its address lacks a bracket")?;
        let address = address
            .parse()
            .map_err(|_| "what is in brackets is no IPv6 address")?;
        (Host::V6(address), port)
    } else {
        let (name, port) = match authority.find(':') {
            Some(at) => authority.split_at(at),
            None => (authority, ""),
        };
        (read_host(name)?, port)
    };
    if port.is_empty() {
        return Ok((host, None));
    }
    let digits = port.strip_prefix(':').unwrap_or_default();
    if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("its port is no number from 1 to 65535");
    }
    let port = digits
        .parse()
        .map_err(|_| "its port is no number from 1 to 65535")?;
    Ok((host, Some(port)))
}

fn read_host(text: &str) -> Result<Host, &'static str> {
    if text.is_empty() {
        return Err("it has no host");
    }
    if let Ok(address) = text.parse() {
        return Ok(Host::V4(address));
    }
    let name = text.to_ascii_lowercase();
    let good_label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if name.len() > NAME_MAX || !name.split('.').all(good_label) {
        return Err("its host is no name in ASCII letters, digits, hyphens and dots");
    }
    // `2130706433`, `0177.0.0.1`, `0x7f000001`, `127.1`: resolvers read them as addresses. No name has a
    // last label like that.
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    if hexadecimal || last.bytes().all(|b| b.is_ascii_digit()) {
        return Err("its host is an IPv4 address in an odd spelling: use four decimal numbers");
    }
    Ok(Host::Name(name.into()))
}

/// Whether a reference begins with a scheme (RFC 3986, section 3.1).
fn has_scheme(reference: &str) -> bool {
    let Some((scheme, _)) = reference.split_once(':') else {
        return false;
    };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// A path without `.` and `..` segments (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// A text that is no URL, fit for a message: short, and without what may be a password.
fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 120;
    let text = match text.rsplit_once('@') {
        Some((_, after)) => format!("…@{after}"),
        None => text.to_owned(),
    };
    text.chars()
        .filter(|c| !c.is_control())
        .take(SHOWN_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_one_spelling() {
        for (text, canonical) in [
            ("https://issuer.example", "https://issuer.example/"),
            (
                "HTTPS://Issuer.Example:443/A?b=C",
                "https://issuer.example/A?b=C",
            ),
            ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
            (
                "https://[2001:DB8:0::1]:8443?q",
                "https://[2001:db8::1]:8443/?q",
            ),
            ("https://a_b.example/%41//..", "https://a_b.example/%41//.."),
        ] {
            assert_eq!(Url::parse(text).unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn odd_urls_are_refused() {
        for bad in [
            "",
            "issuer.example",
            "//issuer.example/",
            "/x",
            "ftp://issuer.example/",
            "file:///etc/passwd",
            "https:/issuer.example/",
            "https:\\\\issuer.example\\",
            "https://",
            "https:///x",
            "https://user@issuer.example/",
            "https://user:secret@issuer.example/",
            "https://@issuer.example/",
            "https://issuer.example\\@evil.example/",
            "https://issuer.example#@evil.example/",
            "https://issuer.example:0/",
            "https://issuer.example:/",
            "https://issuer.example:65536/",
            "https://issuer.example:+1/",
            "https://issuer.example:1:2/",
            "https://issuer.example:0443/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://127.0.0.01/",
            "https://127.0.0.1./",
            "https://0x7f.0.0.1/",
            "https://127.0.0.0x1/",
            "https://1.2.3.4.5/",
            "https://256.0.0.1/",
            "https://[::1/",
            "https://[::1]x/",
            "https://[fe80::1%25eth0]/",
            "https://[127.0.0.1]/",
            "https://%31%32%37.0.0.1/",
            "https://①②⑦.0.0.1/",
            "https://ⓛocalhost/",
            "https://issuer..example/",
            "https://.example/",
            "https://issuer.example./",
            "https://-a.example/",
            "https://issuer.example/a b",
            "https://issuer.example/\r\nx: y",
            "https://issuer.example/ä",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
        assert!(Url::parse(&format!("https://a.example/{}", "a".repeat(URL_MAX))).is_err());
    }

    #[test]
    fn messages_hold_no_password() {
        let error = Url::parse("https://user:hunter2@issuer.example/").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn references_are_resolved_as_rfc_3986_says() {
        let base = Url::parse("https://a.example:8443/b/c/d?q").unwrap();
        for (reference, expected) in [
            ("", "https://a.example:8443/b/c/d?q"),
            ("g", "https://a.example:8443/b/c/g"),
            ("./g", "https://a.example:8443/b/c/g"),
            ("../g?y#s", "https://a.example:8443/b/g?y"),
            ("../../../g", "https://a.example:8443/g"),
            ("g/..", "https://a.example:8443/b/c/"),
            ("?y", "https://a.example:8443/b/c/d?y"),
            ("/g", "https://a.example:8443/g"),
            ("//g.example/h", "https://g.example/h"),
            ("http://g.example", "http://g.example/"),
        ] {
            assert_eq!(
                base.join(reference).unwrap().to_string(),
                expected,
                "{reference}"
            );
        }
        for bad in [
            "javascript:1",
            "file:///x",
            "https:x",
            "//u@g.example/",
            "\\\\g.example\\",
            "/a b",
        ] {
            assert!(base.join(bad).is_err(), "{bad}");
        }
    }
}
