//! An answer that is kept.

use super::freshness::Freshness;
use crate::message::{Fields, Header};
use crate::policy::memory::Reservation;
use bytes::Bytes;
use http::StatusCode;
use keyward_model::Moment;
use keyward_model::resource::content::SetCookie;
use std::time::Duration;

/// What the structures around an entry take beside its bytes.
pub(super) const OVERHEAD: usize = 512;

/// What a 304 says nothing of: how the body is framed and coded, which stays as it was kept (RFC 9111,
/// section 3.2).
const OF_THE_BODY: &[&[u8]] = &[
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"etag",
];

/// An answer that is kept, immutable.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) status: StatusCode,
    /// As the upstream sent them, without what ends at a hop; with `Date`, without `Age`.
    pub(super) fields: Fields,
    pub(super) body: Bytes,
    /// What the request had of each header that `Vary` names.
    pub(super) varying: Varying,
    /// When it came, or when the upstream last said that it still holds.
    pub(super) received: Moment,
    pub(super) freshness: Freshness,
    /// The memory it counts for, until nobody has it any more.
    pub(super) _memory: Reservation,
}

/// The headers that tell answers under one key apart, with the values of one request.
pub(super) type Varying = Box<[(Box<[u8]>, Option<Box<[u8]>>)]>;

/// What an answer is known by (RFC 9110, section 8.8).
#[derive(Clone, Copy, Debug)]
pub(super) struct Validators<'e> {
    pub(super) etag: Option<&'e [u8]>,
    pub(super) modified: Option<&'e [u8]>,
}

/// How an entry may be used for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// As it is.
    Fresh,
    /// As it is, while another one is fetched.
    WhileRevalidating,
    /// Once the upstream says that it still holds.
    Revalidate,
}

impl Entry {
    /// How old it is now (RFC 9111, section 4.2.3).
    pub(super) fn age(&self, now: Moment) -> Duration {
        self.freshness.initial_age + now.since(self.received)
    }

    /// How long it is still fresh, in seconds; below zero, how long it has been stale.
    pub(super) fn ttl(&self, now: Moment) -> i64 {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        seconds(self.freshness.lifetime).saturating_sub(seconds(self.age(now)))
    }

    pub(super) fn staleness(&self, now: Moment) -> Option<Duration> {
        self.age(now).checked_sub(self.freshness.lifetime)
    }

    /// Whether it may be given when the upstream has failed; `asked` is what the client allows itself.
    pub(super) fn outlives_failure(&self, now: Moment, asked: Duration) -> bool {
        let Freshness {
            must_revalidate,
            no_cache,
            stale_if_error,
            ..
        } = self.freshness;
        !must_revalidate
            && !no_cache
            && self
                .staleness(now)
                .is_none_or(|stale| stale < stale_if_error.max(asked))
    }

    /// What the upstream can be asked by whether it still holds, if there is anything.
    pub(super) fn validators(&self) -> Option<Validators<'_>> {
        let etag = self.fields.get(Header::Etag);
        let modified = self.fields.get_named(b"last-modified");
        (etag.is_some() || modified.is_some()).then_some(Validators { etag, modified })
    }

    pub(super) fn matches(&self, value: impl Fn(&[u8]) -> Option<Vec<u8>>) -> bool {
        self.varying
            .iter()
            .all(|(name, expected)| value(name).as_deref() == expected.as_deref())
    }

    /// Whether it stands for an older one: that was for each request that this one is for, and maybe for more,
    /// before the upstream said what else tells its answers apart.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        let mut told = other.varying.iter();
        told.all(|told| self.varying.contains(told))
    }

    /// What an entry like this takes of memory.
    pub(super) fn size(fields: &Fields, body: usize, varying: &Varying) -> usize {
        let varying: usize = varying
            .iter()
            .map(|(name, value)| name.len() + value.as_ref().map_or(0, |value| value.len()) + 32)
            .sum();
        OVERHEAD + fields.footprint() + body + varying
    }
}

/// What is kept of an answer's fields.
pub(super) fn kept_fields(fields: &Fields, set_cookie: SetCookie, date: &[u8]) -> Fields {
    let mut kept = Fields::with_room(fields.bytes().len(), fields.len() + 1);
    for field in fields.iter() {
        // Counted anew, or said of one exchange alone.
        let passing = matches!(
            field.header,
            Header::ContentLength | Header::Trailer | Header::RateLimit | Header::RateLimitPolicy
        );
        let cookie = field.header == Header::SetCookie && set_cookie != SetCookie::Keep;
        let drop = passing || cookie || field.name == b"age";
        if !drop {
            kept.append_field(field);
        }
    }
    if !kept.has(Header::Date) {
        kept.append(Header::Date, date);
    }
    kept.compact()
}

/// The fields of an entry that the upstream has just said still holds.
pub(super) fn refreshed_fields(kept: &Fields, news: &Fields) -> Fields {
    let told = |name: &[u8]| !OF_THE_BODY.contains(&name) && news.get_named(name).is_some();
    let mut fields = Fields::new();
    for field in kept.iter().filter(|field| !told(field.name)) {
        fields.append_field(field);
    }
    for field in news.iter().filter(|field| told(field.name)) {
        fields.append_field(field);
    }
    fields
}

/// Whether a 304 with this `ETag` is about an entry with that one (RFC 9111, section 4.3.4).
pub(super) fn is_about(kept: &Fields, news: &Fields) -> bool {
    let bare = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    match (kept.get(Header::Etag), news.get(Header::Etag)) {
        (Some(kept), Some(new)) => bare(kept) == bare(new),
        (None, Some(_)) => false,
        (_, None) => true,
    }
}
