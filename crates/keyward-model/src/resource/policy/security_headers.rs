//! What answers tell browsers to do and not to do.

use std::time::Duration;

/// Headers that are put on every answer of a route, ours among them, and headers that are taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityHeaders {
    /// Told over TLS alone (RFC 6797, section 7.2).
    pub strict_transport: Option<StrictTransport>,
    /// (name in lower case, value), each name once.
    pub set: Vec<(Box<str>, Box<str>)>,
    /// Names in lower case.
    pub remove: Vec<Box<str>>,
    /// Whether what the upstream says under such a name stays. Default: ours takes its place.
    pub keep_upstreams: bool,
}

/// That a browser speaks to this host by TLS alone (RFC 6797).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrictTransport {
    /// For how long, from each answer on.
    pub max_age: Duration,
    /// To all names below the host too.
    pub include_subdomains: bool,
    /// The owner agrees to be built into browsers.
    pub preload: bool,
}

/// What is usual for a kind of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityPreset {
    /// Answers for programs: nothing in them is to be shown, framed or run.
    Api,
    /// Pages: their own scripts, styles and pictures alone.
    Web,
    /// Nothing but what is said.
    None,
}

impl SecurityPreset {
    /// As written in `preset`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Web => "web",
            Self::None => "none",
        }
    }

    /// What it sets.
    #[must_use]
    pub const fn set(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Api => &[
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                (
                    "content-security-policy",
                    "default-src 'none'; frame-ancestors 'none'",
                ),
                ("referrer-policy", "no-referrer"),
            ],
            Self::Web => &[
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "SAMEORIGIN"),
                (
                    "content-security-policy",
                    "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'; object-src 'none'",
                ),
                ("referrer-policy", "strict-origin-when-cross-origin"),
                (
                    "permissions-policy",
                    "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
                ),
                ("cross-origin-opener-policy", "same-origin"),
            ],
            Self::None => &[],
        }
    }

    /// What it takes off: which software answered, and in which version.
    #[must_use]
    pub const fn remove(self) -> &'static [&'static str] {
        match self {
            Self::Api | Self::Web => &[
                "server",
                "x-powered-by",
                "x-aspnet-version",
                "x-aspnetmvc-version",
                "x-generator",
            ],
            Self::None => &[],
        }
    }

    /// What it says of TLS: a year, of this host alone.
    #[must_use]
    pub const fn strict_transport(self) -> Option<StrictTransport> {
        match self {
            Self::Api | Self::Web => Some(StrictTransport::YEAR),
            Self::None => None,
        }
    }
}

impl StrictTransport {
    /// A year, of the host alone: names below it may be others' and not ready.
    pub const YEAR: Self = Self {
        max_age: Duration::from_secs(365 * 24 * 3600),
        include_subdomains: false,
        preload: false,
    };
}
