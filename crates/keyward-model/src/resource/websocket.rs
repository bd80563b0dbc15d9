//! WebSocket: calls that become tunnels.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// That calls may ask for a tunnel by WebSocket's handshake (RFC 6455, section 4), and how long one lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// Pages of these origins may open a tunnel, besides those of the host that is called. Where the token comes
    /// in a cookie, or where any is listed, pages of others may not.
    pub origins: Vec<WebOrigin>,
    /// How long a tunnel may go without a byte, in both directions. Default 5 min.
    pub idle_timeout: Duration,
    /// Whether a tunnel may go on when the token that opened it is over. Default: it ends with it.
    pub outlives_token: bool,
}

impl WebSocket {
    /// Longer than the time between two of the pings that applications send to keep a tunnel open, and shorter
    /// than what holds ports and memory of peers that went away without a word.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
}

impl Default for WebSocket {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            idle_timeout: Self::IDLE_TIMEOUT,
            outlives_token: false,
        }
    }
}

/// The origin of a page as a browser writes it (RFC 6454, section 6.2): scheme, host and a port that is not the
/// scheme's own, in lower case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WebOrigin(Box<str>);

/// Why a text is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no origin as browsers write it: a scheme and a host in lower case, with a port only where it is not the scheme's own, such as https://app.example or http://localhost:3000"
)]
pub struct NoWebOrigin;

impl WebOrigin {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebOrigin {
    type Err = NoWebOrigin;

    fn from_str(text: &str) -> Result<Self, NoWebOrigin> {
        let (rest, own_port) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (rest, ":443"),
            (None, Some(rest)) => (rest, ":80"),
            (None, None) => return Err(NoWebOrigin),
        };
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte)
        };
        let good = rest.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[')
            && rest.bytes().all(plain)
            && !rest.ends_with([':', '.'])
            && !rest.ends_with(own_port)
            && text.len() <= 300;
        if good {
            Ok(Self(text.into()))
        } else {
            Err(NoWebOrigin)
        }
    }
}

impl fmt::Debug for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_one_spelling() {
        for good in [
            "https://app.example",
            "http://localhost:3000",
            "https://[::1]:8443",
            "http://app.example:443",
        ] {
            assert!(good.parse::<WebOrigin>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "null",
            "*",
            "app.example",
            "https://",
            "https://App.example",
            "https://app.example/",
            "https://app.example:443",
            "http://app.example:80",
            "https://app.example:",
            "https://*.example",
            "https://user@app.example",
            "ftp://app.example",
        ] {
            assert_eq!(bad.parse::<WebOrigin>(), Err(NoWebOrigin), "{bad}");
        }
    }
}
