//! The versions of a prompt beside each other: what this node has counted of them since it started.

use super::endpoint::{Allowed, Outcome};
use crate::answer::Answer;
use crate::node::PromptVersionCounts;
use crate::problem::Problem;
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_model::Name;
use serde_json::{Value, json};

/// `GET …/prompts/{key}/trial`: calls, times, cost and feedback of each version that can be called.
pub(crate) fn show<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let team = allowed.team()?.id;
        let name: Name = allowed
            .call
            .path("key")
            .parse()
            .map_err(|_| Problem::not_found())?;
        let counts = site.node().prompt_counts(team, &name);
        if counts.is_empty() {
            return Err(Problem::not_found());
        }
        let versions: Vec<Value> = counts.iter().map(told).collect();
        Ok(Answer::ok(
            json!({ "prompt": name.as_str(), "versions": versions }),
        ))
    }
    .boxed()
}

fn told(counts: &PromptVersionCounts) -> Value {
    /// What microseconds, and thousandths of a score, are counted in.
    const MICROS: f64 = 1_000_000.0;
    const THOUSANDTHS: f64 = 1_000.0;
    let comments: Vec<Value> = counts
        .comments
        .iter()
        .map(|(at, score, text)| json!({ "at": at.to_string(), "score": score, "text": text }))
        .collect();
    json!({
        "version": counts.version.as_str(),
        "weight": counts.weight,
        "calls": counts.calls,
        "answered": counts.answered,
        "refused": counts.refused,
        "failed": counts.failed,
        "mean_seconds": mean(counts.micros, counts.answered, MICROS),
        "mean_first_byte_seconds": mean(counts.first_byte_micros, counts.answered, MICROS),
        "input_tokens": counts.input_tokens,
        "output_tokens": counts.output_tokens,
        "cost_pico_usd": counts.cost_pico_usd,
        "unpriced_calls": counts.unpriced,
        "ratings": counts.ratings,
        "mean_score": mean(counts.score_thousandths, counts.ratings, THOUSANDTHS),
        "comments": comments,
    })
}

/// The mean of a sum in parts of a unit; nothing of nothing.
fn mean(sum: i64, count: u64, unit: f64) -> Option<f64> {
    // Through text: what a sum of microseconds loses as a double is less than a millionth of it.
    let number = |text: String| text.parse::<f64>().ok();
    let count = number(count.to_string()).filter(|count| *count > 0.0)?;
    Some(number(sum.to_string())? / unit / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_of_something() {
        assert_eq!(mean(3_000_000, 2, 1_000_000.0), Some(1.5));
        assert_eq!(mean(-500, 1, 1_000.0), Some(-0.5));
        assert_eq!(mean(0, 0, 1_000.0), None);
    }
}
