//! Answers.

use super::{content, read_usage, stop};
use crate::error::{Error, Within as _};
use crate::fields::Fields;
use crate::form::{Answer, Candidate, Stop};

pub(in super::super) fn read(mut fields: Fields) -> Result<Answer, Error> {
    let mut output = fields.need_object("output")?;
    let mut message = output.need_object("message").within("output")?;
    let word = fields.string("stopReason")?;
    Ok(Answer {
        candidates: vec![Candidate {
            parts: content::read(message.items("content")?).within("output.message")?,
            stop: word.map_or_else(Stop::default, |word| stop(&word)),
            log_probabilities: Vec::new(),
        }],
        usage: fields
            .object("usage")?
            .map(|usage| read_usage(usage).within("usage"))
            .transpose()?,
        ..Answer::default()
    })
}
