//! Which answers are kept for other calls, and for how long (RFC 9111, RFC 5861).

use std::time::Duration;

/// What a route's cache may do beyond what its upstream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// How long an answer is fresh that says nothing of it, where its status is one that may be kept
    /// (RFC 9110, section 15.1); `None`: it is not kept.
    pub default_ttl: Option<Duration>,
    /// The longest that any answer is fresh; `None`: as long as it says.
    pub max_ttl: Option<Duration>,
    /// The largest body that is kept, in bytes.
    pub max_entry_bytes: usize,
    /// How long a stale answer may be given while a fresh one is fetched, where the answer says nothing of it.
    pub stale_while_revalidate: Duration,
    /// How long a stale answer may be given when the upstream fails, where the answer says nothing of it.
    pub stale_if_error: Duration,
    /// Request headers, in lower case, that always tell two answers apart.
    pub key_headers: Vec<Box<str>>,
    /// Whether answers to callers who are known are kept for the same caller. Else only those are kept which
    /// the upstream calls `public`.
    pub per_caller: bool,
    /// What becomes of answers that set cookies.
    pub set_cookie: SetCookie,
    /// Whether a client's `Cache-Control` counts.
    pub client_directives: bool,
    /// How long a call waits for the answer that another call is fetching.
    pub wait: Duration,
    /// Whether answers say what the cache did (`Cache-Status`, RFC 9211).
    pub status_header: bool,
}

/// What becomes of an answer that sets a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetCookie {
    /// It is not kept: the cookie is one client's.
    Refuse,
    /// It is kept without the cookie.
    Strip,
    /// It is kept with the cookie, which every caller gets then.
    Keep,
}

impl Cache {
    /// The largest body that is kept, where nothing is said.
    pub const DEFAULT_ENTRY_BYTES: usize = 1 << 20;
    /// How long a call waits for another's answer, where nothing is said.
    pub const DEFAULT_WAIT: Duration = Duration::from_secs(10);
}

impl Default for Cache {
    /// What the upstream says, and nothing beyond it.
    fn default() -> Self {
        Self {
            default_ttl: None,
            max_ttl: None,
            max_entry_bytes: Self::DEFAULT_ENTRY_BYTES,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            key_headers: Vec::new(),
            per_caller: false,
            set_cookie: SetCookie::Refuse,
            client_directives: true,
            wait: Self::DEFAULT_WAIT,
            status_header: true,
        }
    }
}
