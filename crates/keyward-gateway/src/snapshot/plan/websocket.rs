//! What a route's tunnels are allowed, prepared.

use keyward_model::resource::{
    Api, Authentication, AuthenticationMethod, TokenSource, WebOrigin, WebSocket,
};
use std::time::Duration;

/// That a route's calls may become tunnels.
#[derive(Debug)]
pub(crate) struct WebSocketPlan {
    origins: Box<[WebOrigin]>,
    /// Whether pages of origins that are neither listed nor the called host's are refused.
    strict: bool,
    pub(crate) idle: Duration,
    pub(crate) outlives_token: bool,
}

impl WebSocketPlan {
    pub(super) fn new(api: &Api, declared: &WebSocket) -> Self {
        Self {
            // A browser sends a cookie with what any page opens: without a look at the page's origin, a foreign
            // page would have the tunnel of whoever looks at it (RFC 6455, section 10.2).
            strict: sends_unasked(&api.authentication) || !declared.origins.is_empty(),
            origins: declared.origins.as_slice().into(),
            idle: declared.idle_timeout,
            outlives_token: declared.outlives_token,
        }
    }

    /// Whether a page of this origin may open a tunnel. `host` is the one that is called, `secure` whether by
    /// TLS.
    pub(crate) fn lets_in(&self, origin: &[u8], host: Option<&[u8]>, secure: bool) -> bool {
        if !self.strict {
            return true;
        }
        let listed = |known: &WebOrigin| known.as_str().as_bytes().eq_ignore_ascii_case(origin);
        // In clear, TLS may have ended before us.
        let own = origin
            .strip_prefix(b"https://")
            .or_else(|| origin.strip_prefix(b"http://").filter(|_| !secure));
        self.origins.iter().any(listed)
            || own
                .zip(host)
                .is_some_and(|(own, host)| own.eq_ignore_ascii_case(host))
    }
}

/// Whether browsers send the credential with whatever any page asks for.
fn sends_unasked(authentication: &Authentication) -> bool {
    authentication.methods().iter().any(|method| match method {
        AuthenticationMethod::MutualTls(_) | AuthenticationMethod::Basic(_) => true,
        AuthenticationMethod::Token(tokens) => match tokens.token {
            TokenSource::Header => false,
            TokenSource::Cookie(_) => true,
        },
        AuthenticationMethod::ApiKey(_) | AuthenticationMethod::Anonymous => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(origins: &[&str], strict: bool) -> WebSocketPlan {
        WebSocketPlan {
            origins: origins
                .iter()
                .map(|origin| origin.parse().unwrap())
                .collect(),
            strict,
            idle: WebSocket::IDLE_TIMEOUT,
            outlives_token: false,
        }
    }

    #[test]
    fn pages_of_the_called_host_and_of_listed_origins_are_let_in() {
        let plan = plan(&["https://app.example", "http://localhost:3000"], true);
        let host = Some(&b"api.example:8443"[..]);
        for (origin, secure, expected) in [
            ("https://api.example:8443", true, true),
            ("https://API.example:8443", true, true),
            ("http://api.example:8443", true, false),
            ("http://api.example:8443", false, true),
            ("https://api.example:8443", false, true),
            ("https://api.example", true, false),
            ("https://app.example", true, true),
            ("http://app.example", true, false),
            ("http://localhost:3000", true, true),
            ("https://app.example.evil.test", true, false),
            ("https://evil.test", true, false),
            ("null", true, false),
            ("", true, false),
        ] {
            assert_eq!(
                plan.lets_in(origin.as_bytes(), host, secure),
                expected,
                "{origin}"
            );
        }
        assert!(!plan.lets_in(b"https://api.example", None, true));
    }

    #[test]
    fn where_nothing_is_sent_unasked_every_page_is_let_in() {
        assert!(plan(&[], false).lets_in(b"https://any.example", None, true));
    }
}
