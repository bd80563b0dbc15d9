//! Which target a call goes to.

/// How calls are spread over the targets that can take them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// Of two targets taken by chance, the one with fewer calls under way for its weight.
    LeastRequests,
    /// Of two targets taken by chance, the one that answers sooner (a moving average of the time to the
    /// answer's head, times the calls under way).
    Latency,
    /// Always the same one for what is alike.
    ConsistentHash(HashSource),
}

/// What has to be alike for calls to go to the same target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashSource {
    /// A request header, its name in lower case.
    Header(Box<str>),
    /// A cookie.
    Cookie(Box<str>),
    /// The client's address.
    Address,
    /// Who calls: issuer and subject of the token.
    Subject,
}
