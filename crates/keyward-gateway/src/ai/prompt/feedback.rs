//! What callers think of answers: once for each, from whoever got it.

use super::call_id::{FEEDBACK_WITHIN, identity};
use super::plan::PromptVersion;
use crate::policy::validation::read_json;
use crate::record::CallRecord;
use crate::request::Refusal;
use crate::worker::Worker;
use keyward_model::{Code, Fault};
use keyward_state::Error;
use keyward_state::replay::Use;
use serde_json::Value;
use std::time::Duration;

/// How long it is remembered which answers were rated: as long as they can be.
pub(crate) const FEEDBACK_WINDOW: Duration = FEEDBACK_WITHIN;
/// A comment is a few sentences.
const COMMENT_MAX: usize = 500;
/// Nothing in it nests.
const DEPTH_MAX: usize = 4;

/// A rating.
#[derive(Debug)]
pub(crate) struct Feedback {
    /// Of which answer.
    pub(super) id: String,
    /// From -1 to 1.
    score: f64,
    comment: Option<String>,
}

impl Feedback {
    pub(super) fn read(body: &[u8]) -> Result<Self, Fault> {
        let wrong = |detail: &str| Fault::new(Code::ValidationFailed, detail);
        let (value, _) = read_json(body, DEPTH_MAX).map_err(|why| {
            Fault::new(Code::BadRequest, format!("The body can't be read: {why}"))
        })?;
        let Value::Object(mut members) = value else {
            return Err(wrong("The body is an object with `id` and `score`"));
        };
        let Some(Value::String(id)) = members.remove("id") else {
            return Err(wrong(
                "`id` is missing, or no text: it is the `id` of the answer",
            ));
        };
        let score = members.remove("score").and_then(|score| score.as_f64());
        let score = score
            .filter(|score| (-1.0..=1.0).contains(score))
            .ok_or_else(|| wrong("`score` is missing, or no number from -1 to 1"))?;
        let comment = match members.remove("comment") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.chars().count() <= COMMENT_MAX => {
                // It is shown to people: nothing in it does something to a terminal.
                let plain = text.chars().filter(|c| !c.is_control() || *c == '\n');
                Some(plain.collect::<String>()).filter(|text| !text.trim().is_empty())
            }
            Some(_) => return Err(wrong("`comment` is a text of 500 characters at most")),
        };
        if !members.is_empty() {
            return Err(wrong(
                "The body has `id`, `score` and `comment`, and nothing else",
            ));
        }
        Ok(Self { id, score, comment })
    }
}

/// That an id is none of an answer that this caller got.
pub(super) fn no_such_answer() -> Fault {
    Fault::new(
        Code::FeedbackInvalid,
        "`id` is none of an answer that you got of this prompt in the last day and since this node was started; send the `id` of the answer as it came",
    )
}

/// Counts a rating, where the answer was not rated before.
pub(super) fn take(
    worker: &Worker,
    version: &PromptVersion,
    given: &Feedback,
    record: &CallRecord,
) -> Result<(), Refusal> {
    let holder = identity(record.caller.as_deref()).unwrap_or_default();
    let now = worker.moment();
    let used = worker
        .shared
        .rated
        .first_use(&holder, given.id.as_bytes(), now);
    match used {
        Ok(Use::First) => {
            let comment = given.comment.clone();
            let metrics = &version.compiled.metrics;
            metrics.rate(given.score, comment, record.started());
            Ok(())
        }
        Ok(Use::Again) => {
            let detail = "This answer was rated before: the first rating counts";
            Err(Fault::new(Code::FeedbackRepeated, detail).into())
        }
        // Whatever is full, no more is remembered, and nothing is counted twice.
        Err(error @ (Error::ReplayMemoryFull { .. } | Error::ReplayShareFull { .. })) => {
            let detail = "More answers were rated than are remembered; rate this one later";
            Err(Fault::new(Code::Overloaded, detail).because(error).into())
        }
        Err(error) => Err(Fault::new(Code::Internal, "Something went wrong here")
            .because(error)
            .into()),
    }
}
