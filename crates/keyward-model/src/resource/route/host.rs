//! The hosts an API is published under.

use std::fmt;
use std::str::FromStr;

/// The longest host name (RFC 1035, section 2.3.4).
const HOST_MAX: usize = 253;
/// The longest label of one.
const LABEL_MAX: usize = 63;

/// A host name, or all names below one. In lower case, without port and without a dot at the end: hosts
/// are compared in that form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This name.
    Exact(Box<str>),
    /// `*.name`: every name that has this one behind a dot, however many labels stand before it.
    Below(Box<str>),
}

/// Why a text is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoHostPattern {
    /// `*` alone.
    #[error("stands for every host: leave `hosts` out instead")]
    Everything,
    /// With a port.
    #[error("has a port: a host is a name alone, whatever port it is called at")]
    Port,
    /// A star that isn't the whole first label.
    #[error("has a `*` in the wrong place: it stands for whole labels, as in `*.example.com`")]
    Star,
    /// Something else.
    #[error("is no host: write a name such as `api.example.com`, or `*.example.com`")]
    Form,
}

impl FromStr for HostPattern {
    type Err = NoHostPattern;
    fn from_str(text: &str) -> Result<Self, NoHostPattern> {
        if text == "*" {
            return Err(NoHostPattern::Everything);
        }
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        if name.contains('*') {
            return Err(NoHostPattern::Star);
        }
        if name.contains(':') {
            return Err(NoHostPattern::Port);
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let good = name.len() <= HOST_MAX
            && name
                .split('.')
                .all(|label| (1..=LABEL_MAX).contains(&label.len()) && label.bytes().all(plain));
        if !good {
            return Err(NoHostPattern::Form);
        }
        let name = name.to_ascii_lowercase().into_boxed_str();
        Ok(if below {
            Self::Below(name)
        } else {
            Self::Exact(name)
        })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_kept_in_the_one_form_that_is_compared() {
        for (text, expected) in [
            ("api.example.com", Ok("api.example.com")),
            ("API.Example.COM", Ok("api.example.com")),
            ("*.Example.com", Ok("*.example.com")),
            ("localhost", Ok("localhost")),
            ("127.0.0.1", Ok("127.0.0.1")),
            ("*", Err(NoHostPattern::Everything)),
            ("api.*.com", Err(NoHostPattern::Star)),
            ("api*.example.com", Err(NoHostPattern::Star)),
            ("*.*.example.com", Err(NoHostPattern::Star)),
            ("api.example.com:443", Err(NoHostPattern::Port)),
            ("api.example.com.", Err(NoHostPattern::Form)),
            ("*.", Err(NoHostPattern::Form)),
            ("", Err(NoHostPattern::Form)),
            ("a..b", Err(NoHostPattern::Form)),
            ("https//a", Err(NoHostPattern::Form)),
            ("\u{e4}.example", Err(NoHostPattern::Form)),
            (&"a".repeat(64), Err(NoHostPattern::Form)),
        ] {
            let read = text.parse::<HostPattern>().map(|host| host.to_string());
            assert_eq!(read.as_deref(), expected.as_deref(), "{text}");
        }
    }
}
