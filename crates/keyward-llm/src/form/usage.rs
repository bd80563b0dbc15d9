//! What an answer took, in tokens.

use keyward_model::usage::TokenCounts;

/// Tokens by kind. Each counts what it holds once: `input` is all that was read, whether from a cache or into one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read by the model, from wherever.
    pub input: u64,
    /// Of `input`, those that came from a cache.
    pub cached_input: u64,
    /// Of `input`, those written to a cache for a short while.
    pub cache_write: u64,
    /// Of `input`, those written to a cache for an hour.
    pub cache_write_hour: u64,
    /// Of `input`, those of sound.
    pub audio_input: u64,
    /// Written by the model.
    pub output: u64,
    /// Of `output`, those spent on reasoning.
    pub reasoning: u64,
    /// Of `output`, those of sound.
    pub audio_output: u64,
}

impl Usage {
    /// All that was read and written.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// Of `input`, those that neither came from a cache nor were written to one.
    #[must_use]
    pub const fn plain_input(&self) -> u64 {
        self.input
            .saturating_sub(self.cached_input)
            .saturating_sub(self.cache_write)
            .saturating_sub(self.cache_write_hour)
    }
}

impl From<Usage> for TokenCounts {
    fn from(usage: Usage) -> Self {
        Self {
            input: usage.input,
            cached_input: usage.cached_input,
            cache_write: usage.cache_write.saturating_add(usage.cache_write_hour),
            output: usage.output,
            reasoning: usage.reasoning,
        }
    }
}
