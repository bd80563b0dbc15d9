//! What a cell has beside its number where several nodes count together.

use std::sync::atomic::AtomicU64;

/// The part of a cell that is about what is shared.
#[derive(Debug)]
pub(crate) struct SharedPart {
    /// What the limit of this subject is called where nodes count together.
    pub(crate) name: Box<str>,
    /// Of a rate, the lease or how long not to ask; of a quota, what has passed here and was not told yet.
    pub(crate) aside: AtomicU64,
    /// Of a quota, during which of the node's connections the server was heard of last: one since then may be
    /// to a server that has lost its count and wants to be told.
    pub(crate) heard: AtomicU64,
}

impl SharedPart {
    pub(crate) fn new(name: Box<str>) -> Box<Self> {
        Box::new(Self {
            name,
            aside: AtomicU64::new(0),
            heard: AtomicU64::new(0),
        })
    }
}
