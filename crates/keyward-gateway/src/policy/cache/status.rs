//! What the cache did with a call, as the caller is told (`Cache-Status`, RFC 9211) and as it is counted.

use super::freshness::NotKept;
use crate::message::Fields;
use crate::metrics::CacheOutcome;
use std::fmt::Write as _;

/// Why a call went on to the upstream (RFC 9211, section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forwarded {
    /// The cache is not for calls like this.
    Bypass(&'static str),
    Method,
    UriMiss,
    VaryMiss,
    Stale,
    /// The client asked for it.
    Request,
}

impl Forwarded {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass(_) => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Stale => "stale",
            Self::Request => "request",
        }
    }
}

/// What the cache did with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    /// `None`: it was a hit.
    pub(super) forwarded: Option<Forwarded>,
    /// What the upstream answered, where the client was told something else.
    pub(super) upstream: Option<u16>,
    /// In seconds.
    pub(super) ttl: Option<i64>,
    pub(super) stored: bool,
    pub(super) collapsed: bool,
    pub(super) detail: Option<&'static str>,
}

impl Status {
    pub(super) const fn hit(ttl: i64) -> Self {
        Self {
            forwarded: None,
            upstream: None,
            ttl: Some(ttl),
            stored: false,
            collapsed: false,
            detail: None,
        }
    }

    pub(super) const fn forwarded(why: Forwarded) -> Self {
        Self {
            forwarded: Some(why),
            ttl: None,
            ..Self::hit(0)
        }
    }

    pub(super) fn not_kept(self, why: NotKept) -> Self {
        Self {
            detail: Some(why.as_str()),
            ..self
        }
    }

    /// Tells it, behind what caches before this one have told.
    pub(super) fn tell(&self, fields: &mut Fields) {
        let mut text = String::with_capacity(96);
        text.push_str("keyward");
        match self.forwarded {
            None => text.push_str("; hit"),
            Some(why) => {
                text.push_str("; fwd=");
                text.push_str(why.as_str());
            }
        }
        // Writing to a string does not fail.
        if let Some(status) = self.upstream {
            let _infallible = write!(text, "; fwd-status={status}");
        }
        if let Some(ttl) = self.ttl {
            let _infallible = write!(text, "; ttl={ttl}");
        }
        if self.stored {
            text.push_str("; stored");
        }
        if self.collapsed {
            text.push_str("; collapsed");
        }
        let bypass = match self.forwarded {
            Some(Forwarded::Bypass(why)) => Some(why),
            _ => None,
        };
        if let Some(detail) = self.detail.or(bypass) {
            text.push_str("; detail=");
            text.push_str(detail);
        }
        fields.append_named("cache-status", text.as_bytes());
    }

    /// As what it is counted.
    pub(super) fn outcome(&self) -> CacheOutcome {
        match self.forwarded {
            None if self.ttl.is_some_and(|ttl| ttl <= 0) => CacheOutcome::Stale,
            None => CacheOutcome::Hit,
            Some(Forwarded::Bypass(_) | Forwarded::Method) => CacheOutcome::Bypassed,
            Some(_) if self.collapsed => CacheOutcome::Collapsed,
            Some(_) if self.upstream == Some(304) => CacheOutcome::Revalidated,
            Some(_) if self.upstream.is_some() || self.detail == Some(STALE_IF_ERROR) => {
                CacheOutcome::Stale
            }
            Some(_) => CacheOutcome::Missed,
        }
    }
}

/// The detail of an answer that was given because the upstream had failed.
pub(super) const STALE_IF_ERROR: &str = "stale-if-error";
