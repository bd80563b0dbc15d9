//! What becomes of copies of calls for a mirror.

/// What became of a copy of a call for a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyOutcome {
    /// The mirror answered, whatever it was.
    Answered,
    /// It did not, or not in time.
    Failed,
    /// As many copies were under way as may be.
    Dropped,
    /// The call's body is larger than what is copied.
    TooLarge,
    /// The call's body did not come to its end.
    Unfinished,
}

impl CopyOutcome {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [
        Self::Answered,
        Self::Failed,
        Self::Dropped,
        Self::TooLarge,
        Self::Unfinished,
    ];

    /// As written in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::TooLarge => "too_large",
            Self::Unfinished => "unfinished",
        }
    }
}
