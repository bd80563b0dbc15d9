//! Making failed attempts again.

use std::num::NonZeroU32;
use std::time::Duration;

/// When another attempt is made. Whatever is written here, it is made only while the client has got no
/// byte of an answer, and only if the request was not sent or its method is safe (RFC 9110, section
/// 9.2.1): nothing is done twice that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Attempts in all, the first included. Default 3.
    pub attempts: NonZeroU32,
    /// After which failures. Default: no connection, or one that broke before the answer.
    pub on: RetryOn,
    /// The largest body, in bytes, that is kept to be sent again. Default: 64 KiB where retries are
    /// written of, else none, so that only calls without a body are made again once they were sent.
    pub replay_bytes: usize,
    /// How many may follow on calls that were sent.
    pub budget: RetryBudget,
    /// How long to wait before the same target is asked again: a time by chance up to this, doubled with
    /// each attempt. Default 25 ms.
    pub backoff: Duration,
    /// Whether a target that failed may be asked again when there is no other. Default: only where
    /// retries are written of.
    pub same_target: bool,
}

/// The failures after which another attempt is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOn {
    /// No connection could be made.
    pub connect: bool,
    /// The connection broke before an answer's head, or what came was no answer.
    pub reset: bool,
    /// No answer came within `response_timeout`.
    pub timeout: bool,
    /// Answers with these statuses.
    pub statuses: Vec<u16>,
}

/// Bounds attempts after the first to a share of the calls, so that an upstream in trouble gets little
/// more of them, not three times as many. Attempts after a connection that could not be made are not
/// counted: nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// The share of the calls within the window. Default 20 percent.
    pub percent: u8,
    /// This many are allowed within the window however few calls there are. Default 100.
    pub floor: u32,
    /// Default 10 s.
    pub window: Duration,
}

impl Retries {
    /// One attempt alone.
    #[must_use]
    pub fn none() -> Self {
        Self {
            attempts: NonZeroU32::MIN,
            ..Self::default()
        }
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::MIN.saturating_add(2),
            on: RetryOn::default(),
            replay_bytes: 0,
            budget: RetryBudget::default(),
            backoff: Duration::from_millis(25),
            same_target: false,
        }
    }
}

impl Default for RetryOn {
    fn default() -> Self {
        Self {
            connect: true,
            reset: true,
            timeout: false,
            statuses: Vec::new(),
        }
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            percent: 20,
            floor: 100,
            window: Duration::from_secs(10),
        }
    }
}
