//! What a route's cache does with calls.

/// What the cache did with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// It answered with what was fresh.
    Hit,
    /// It answered with what was stale: while a new answer was fetched, or because the upstream had failed.
    Stale,
    /// It answered once the upstream had said that what was kept still holds.
    Revalidated,
    /// It answered with what another call was fetching.
    Collapsed,
    /// The upstream answered.
    Missed,
    /// The upstream answered what the cache is not for.
    Bypassed,
}

impl CacheOutcome {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Hit,
        Self::Stale,
        Self::Revalidated,
        Self::Collapsed,
        Self::Missed,
        Self::Bypassed,
    ];

    /// As metrics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Collapsed => "collapsed",
            Self::Missed => "missed",
            Self::Bypassed => "bypassed",
        }
    }
}
