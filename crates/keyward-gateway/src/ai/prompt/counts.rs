//! What is known of each version of a prompt: calls, times, tokens, cost, and what callers think of the answers.
//!
//! It is counted by this node since it started, and kept through changes of the configuration. Whoever wants it over
//! nodes and starts has it from the metrics.

use keyward_model::name::Name;
use keyward_model::usage::{ModelUse, PromptLabels, UsageRecord};
use keyward_model::{Blame, Timestamp};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Comments that are kept of a version, the last ones.
const COMMENTS_MAX: usize = 50;
/// Scores are counted in thousandths, so that sums are exact.
const SCORE_UNIT: f64 = 1_000.0;

/// The counters of one version. Calls of models take seconds: one set for all workers is enough.
#[derive(Debug, Default)]
pub(crate) struct PromptMetrics {
    calls: AtomicU64,
    caller_errors: AtomicU64,
    failures: AtomicU64,
    micros: AtomicU64,
    first_byte_micros: AtomicU64,
    answered: AtomicU64,
    input: AtomicU64,
    output: AtomicU64,
    cost: AtomicI64,
    unpriced: AtomicU64,
    feedback: AtomicU64,
    score: AtomicI64,
    comments: Mutex<VecDeque<PromptComment>>,
}

/// What a caller wrote about an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptComment {
    /// When.
    pub at: Timestamp,
    /// The score that went with it, from -1 to 1.
    pub score: f64,
    /// The text.
    pub text: String,
}

/// What was counted of a version by this node since it started.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptCounts {
    /// The owner.
    pub team: Name,
    /// The prompt.
    pub prompt: Name,
    /// Its version.
    pub version: Name,
    /// Its share of the calls that name no version, where it has one.
    pub weight: Option<u32>,
    /// Calls of it that are over, whatever became of them.
    pub calls: u64,
    /// Of these, those that were refused for what was sent.
    pub caller_errors: u64,
    /// Of these, those that failed otherwise.
    pub failures: u64,
    /// Of these, those that were answered.
    pub answered: u64,
    /// How long answered ones took to the end of the answer, together, in microseconds.
    pub micros: u64,
    /// The same to its beginning.
    pub first_byte_micros: u64,
    /// Tokens that were read.
    pub input_tokens: u64,
    /// Tokens that were written.
    pub output_tokens: u64,
    /// What that cost, in pico-USD.
    pub cost_pico_usd: i64,
    /// Calls whose price is not known, and is not in the cost.
    pub unpriced: u64,
    /// How many answers were rated.
    pub feedback: u64,
    /// The sum of the scores, in thousandths.
    pub score_thousandths: i64,
    /// What callers wrote last, the newest first.
    pub comments: Vec<PromptComment>,
}

impl PromptMetrics {
    /// Counts a call that is over.
    pub(crate) fn count(&self, record: &UsageRecord) {
        let add = |to: &AtomicU64, what: u64| to.fetch_add(what, Ordering::Relaxed);
        add(&self.calls, 1);
        match record.blame {
            Some(Blame::Caller) => {
                add(&self.caller_errors, 1);
            }
            Some(Blame::Upstream | Blame::Us) => {
                add(&self.failures, 1);
            }
            None => {
                let micros =
                    |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
                add(&self.answered, 1);
                add(&self.micros, micros(record.times.total));
                add(&self.first_byte_micros, micros(record.times.first_byte));
            }
        }
        if let Some(model) = record.model.as_deref() {
            self.count_model(model);
        }
    }

    fn count_model(&self, model: &ModelUse) {
        self.input.fetch_add(model.tokens.input, Ordering::Relaxed);
        self.output
            .fetch_add(model.tokens.output, Ordering::Relaxed);
        if model.price_revision == 0 {
            self.unpriced.fetch_add(1, Ordering::Relaxed);
        } else {
            self.cost.fetch_add(model.cost.0, Ordering::Relaxed);
        }
    }

    /// Counts what a caller thinks of an answer.
    pub(super) fn rate(&self, score: f64, comment: Option<String>, at: Timestamp) {
        self.feedback.fetch_add(1, Ordering::Relaxed);
        // Within a thousand either way: it was checked when it was read.
        let thousandths = format!("{:.0}", score * SCORE_UNIT);
        let thousandths = thousandths.parse::<i64>().unwrap_or_default();
        self.score.fetch_add(thousandths, Ordering::Relaxed);
        if let Some(text) = comment {
            let mut comments = self.comments.lock().unwrap_or_else(PoisonError::into_inner);
            comments.truncate(COMMENTS_MAX - 1);
            comments.push_front(PromptComment { at, score, text });
        }
    }

    pub(crate) fn read(
        &self,
        (team, prompt, version): (&Name, &Name, &Name),
        weight: Option<u32>,
    ) -> PromptCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let comments = self.comments.lock().unwrap_or_else(PoisonError::into_inner);
        PromptCounts {
            team: team.clone(),
            prompt: prompt.clone(),
            version: version.clone(),
            weight,
            calls: of(&self.calls),
            caller_errors: of(&self.caller_errors),
            failures: of(&self.failures),
            answered: of(&self.answered),
            micros: of(&self.micros),
            first_byte_micros: of(&self.first_byte_micros),
            input_tokens: of(&self.input),
            output_tokens: of(&self.output),
            cost_pico_usd: self.cost.load(Ordering::Relaxed),
            unpriced: of(&self.unpriced),
            feedback: of(&self.feedback),
            score_thousandths: self.score.load(Ordering::Relaxed),
            comments: comments.iter().cloned().collect(),
        }
    }
}

/// What the record of a call has of its prompt.
#[derive(Debug)]
pub(crate) struct PromptUse {
    pub(crate) prompt: Name,
    pub(crate) version: Name,
    pub(crate) metrics: Arc<PromptMetrics>,
}

impl PromptUse {
    /// As usage records have it.
    pub(crate) fn labels(&self) -> PromptLabels {
        PromptLabels {
            prompt: self.prompt.clone(),
            version: self.version.clone(),
        }
    }
}
