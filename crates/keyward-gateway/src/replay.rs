//! What is kept of a request's body, to be sent again when an attempt fails.

/// The first bytes of a body, up to a bound.
#[derive(Debug)]
pub(crate) struct Replay {
    kept: Vec<u8>,
    bound: usize,
    /// Whether the request may be sent again after any of it was sent.
    safe: bool,
}

impl Replay {
    /// `bound` in bytes; `safe`: the method promises to change nothing.
    pub(crate) fn new(bound: usize, safe: bool) -> Self {
        Self {
            kept: Vec::new(),
            bound,
            safe,
        }
    }

    /// Keeps the next piece. When there would be too much, nothing is kept any more.
    pub(crate) fn keep(&mut self, piece: &[u8]) {
        if self.kept.len() + piece.len() <= self.bound {
            self.kept.extend_from_slice(piece);
        } else {
            self.forget();
        }
    }

    /// The request is on its way: one that may not be sent again needs nothing kept.
    pub(crate) fn sent(&mut self) {
        if !self.safe {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.bound = 0;
        self.kept = Vec::new();
    }

    /// Whether all of the `bytes` that have come are there.
    pub(crate) fn has(&self, bytes: u64) -> bool {
        self.kept.len() as u64 == bytes
    }

    /// What was kept, from this byte on.
    pub(crate) fn from(&self, at: u64) -> &[u8] {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        self.kept.get(at..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_there_whole_or_not_at_all() {
        let mut replay = Replay::new(5, true);
        assert!(replay.has(0));
        replay.keep(b"abc");
        replay.sent();
        assert!(replay.has(3) && !replay.has(4));
        assert_eq!(replay.from(1), b"bc");
        replay.keep(b"de");
        assert!(replay.has(5));
        replay.keep(b"f");
        assert!(!replay.has(6) && !replay.has(5));
        replay.keep(b"");
        assert!(!replay.has(6));
    }

    #[test]
    fn what_may_not_be_repeated_is_forgotten_when_it_is_sent() {
        let mut replay = Replay::new(5, false);
        replay.keep(b"abc");
        assert!(replay.has(3));
        replay.sent();
        assert!(!replay.has(3));
        assert_eq!(replay.from(0), b"");
    }
}
