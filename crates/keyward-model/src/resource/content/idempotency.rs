//! Keys by which a client may send an unsafe call again without its being done twice
//! (draft-ietf-httpapi-idempotency-key-header).

use crate::limit::OnOutage;
use std::time::Duration;

/// What is done with the header `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The methods whose keys count, as they are written in requests.
    pub methods: Vec<Box<str>>,
    /// Whether a call with one of these methods has to have a key.
    pub required: bool,
    /// How long the answer to a key is kept, from when it is there.
    pub keep: Duration,
    /// The largest body of a call with a key, in bytes: it is read whole, and a larger one is refused.
    pub max_body_bytes: usize,
    /// The largest answer that is kept, head and body, in bytes.
    pub max_answer_bytes: usize,
    /// Statuses of the upstream that say that nothing was done: the key is free again afterwards.
    pub released: Vec<u16>,
    /// Whether a key is free again when nobody knows whether its call was done: the upstream had it, and gave no
    /// answer, or not the whole.
    pub release_unknown: bool,
    /// What is done with the keys of callers who are not known.
    pub anonymous: AnonymousKeys,
    /// What is done with calls that have a key while what nodes share can't be reached. Default: they are refused.
    pub on_outage: OnOutage,
}

/// What is done with the keys of callers who are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnonymousKeys {
    /// The call is refused.
    Refuse,
    /// The call goes on as if there were no policy.
    Ignore,
    /// They are told apart by the credentials that they send for the upstream, and else not at all.
    Share,
}

impl Idempotency {
    /// The methods, where nothing is said: those whose effect may differ when they are repeated (RFC 9110, section
    /// 9.2.2).
    pub const DEFAULT_METHODS: [&str; 2] = ["POST", "PATCH"];
    /// How long answers are kept, where nothing is said: a day, in which a client's retries have long ended.
    pub const DEFAULT_KEEP: Duration = Duration::from_secs(24 * 3600);
    /// The largest body, where nothing is said.
    pub const DEFAULT_BODY_BYTES: usize = 1 << 20;
    /// The largest answer that is kept, where nothing is said.
    pub const DEFAULT_ANSWER_BYTES: usize = 64 << 10;
    /// Statuses that say that nothing was done: the request did not arrive whole (RFC 9110, section 15.5.9), was not
    /// for this server (section 15.5.20), is not taken so early (RFC 8470, section 5.2), or is one too many
    /// (RFC 6585, section 4).
    pub const DEFAULT_RELEASED: [u16; 4] = [408, 421, 425, 429];
}

impl Default for Idempotency {
    fn default() -> Self {
        Self {
            methods: Self::DEFAULT_METHODS.map(Into::into).into(),
            required: false,
            keep: Self::DEFAULT_KEEP,
            max_body_bytes: Self::DEFAULT_BODY_BYTES,
            max_answer_bytes: Self::DEFAULT_ANSWER_BYTES,
            released: Self::DEFAULT_RELEASED.into(),
            release_unknown: false,
            anonymous: AnonymousKeys::Refuse,
            on_outage: OnOutage::Refuse,
        }
    }
}
