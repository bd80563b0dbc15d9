//! Pages of which origins may read answers (Fetch standard, CORS protocol).

use crate::resource::WebOrigin;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What pages of other origins may do. What browsers send with a page's cookies or without its origin is not
/// refused by it: it says who may read the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Whose pages.
    pub origins: AllowedOrigins,
    /// The methods that a page may use; `None`: all that the routes take.
    pub methods: Option<Vec<Box<str>>>,
    /// The headers that a page may send, besides those that are always safe.
    pub headers: HeaderNames,
    /// The headers of answers that a page may read, besides those that are always safe.
    pub expose: HeaderNames,
    /// Whether a page may call with cookies and client certificates.
    pub credentials: bool,
    /// How long a browser may keep the answer to a preflight.
    pub max_age: Duration,
    /// Whether pages of the public network may call here, where "here" is a private one.
    pub private_network: bool,
    /// Whether calls of other origins are refused, rather than their answers kept from the page.
    pub refuse_others: bool,
}

/// Origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Every page, `null` among them; never with credentials.
    Any,
    /// These.
    Listed {
        /// As they are written.
        exact: Vec<WebOrigin>,
        /// All below a host.
        below: Vec<OriginPattern>,
        /// `null`: pages from files and in sandboxes, which anyone can make; never with credentials.
        null: bool,
    },
}

/// Names of headers, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderNames {
    /// All; never with credentials.
    Any,
    /// These.
    Listed(Vec<Box<str>>),
}

/// Origins with all names below a host: `https://*.app.example`, or with a port.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OriginPattern {
    scheme: Box<str>,
    /// What follows `*`: `.app.example:8443`.
    rest: Box<str>,
}

/// Why a text is no pattern of origins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoOriginPattern {
    /// It is written wrong.
    #[error(
        "is no pattern of origins: write https://*.app.example, with one `*` as the first name of the host"
    )]
    Form,
    /// It stands for everybody below a top-level domain.
    #[error(
        "stands for everyone who can register a name below it: name the host that is yours, such as https://*.app.example"
    )]
    TopLevel,
}

impl OriginPattern {
    /// Whether an origin, as browsers write it, is one of them. The host itself is not.
    #[must_use]
    pub fn covers(&self, origin: &str) -> bool {
        let names = origin
            .strip_prefix(&*self.scheme)
            .and_then(|rest| rest.strip_suffix(&*self.rest));
        // Names alone: whatever else stands there, a port or a user, is not below the host.
        names.is_some_and(|names| {
            !names.is_empty()
                && names.split('.').all(|name| {
                    !name.is_empty()
                        && name.bytes().all(|byte| {
                            byte.is_ascii_lowercase()
                                || byte.is_ascii_digit()
                                || matches!(byte, b'-' | b'_')
                        })
                })
        })
    }
}

impl FromStr for OriginPattern {
    type Err = NoOriginPattern;

    fn from_str(text: &str) -> Result<Self, NoOriginPattern> {
        let (scheme, rest) = text.split_once("*").ok_or(NoOriginPattern::Form)?;
        if !rest.starts_with('.') || rest.contains('*') {
            return Err(NoOriginPattern::Form);
        }
        // With a name in the place of the star it has to be an origin.
        let origin: Result<WebOrigin, _> = format!("{scheme}a{rest}").parse();
        if origin.is_err() || !scheme.ends_with("://") {
            return Err(NoOriginPattern::Form);
        }
        let host = rest.trim_start_matches('.').split(':').next();
        let labels = host.unwrap_or_default().split('.').count();
        if labels < 2 && host != Some("localhost") {
            return Err(NoOriginPattern::TopLevel);
        }
        Ok(Self {
            scheme: scheme.into(),
            rest: rest.into(),
        })
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*{}", self.scheme, self.rest)
    }
}

impl fmt::Debug for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_names_below_its_host_alone() {
        let pattern: OriginPattern = "https://*.app.example".parse().unwrap();
        for (origin, covered) in [
            ("https://a.app.example", true),
            ("https://a.b-c.app.example", true),
            ("https://app.example", false),
            ("https://.app.example", false),
            ("https://a..app.example", false),
            ("http://a.app.example", false),
            ("https://a.app.example:8443", false),
            ("https://evilapp.example", false),
            ("https://evil.test/.app.example", false),
            ("https://evil.test#.app.example", false),
            ("https://evil.test:80.app.example", false),
            ("https://user@a.app.example", false),
            ("https://a.app.example.evil.test", false),
            ("https://A.app.example", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(pattern.covers(origin), covered, "{origin}");
        }
        let with_port: OriginPattern = "http://*.localhost:3000".parse().unwrap();
        assert!(with_port.covers("http://a.localhost:3000"));
        assert!(!with_port.covers("http://a.localhost"));
    }

    #[test]
    fn patterns_have_one_star_at_one_place() {
        for (text, error) in [
            ("*", NoOriginPattern::Form),
            ("https://*", NoOriginPattern::Form),
            ("https://*app.example", NoOriginPattern::Form),
            ("https://a.*.example", NoOriginPattern::Form),
            ("https://*.*.example", NoOriginPattern::Form),
            ("*.app.example", NoOriginPattern::Form),
            ("https://*.app.example/", NoOriginPattern::Form),
            ("https://*.app.example:443", NoOriginPattern::Form),
            ("https://*.App.example", NoOriginPattern::Form),
            ("https://*.example", NoOriginPattern::TopLevel),
            ("https://*.com", NoOriginPattern::TopLevel),
        ] {
            assert_eq!(text.parse::<OriginPattern>(), Err(error), "{text}");
        }
    }
}
