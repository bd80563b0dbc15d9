//! Answers.

use super::super::Context;
use super::super::content::with_whole_calls;
use super::parts::{self, Reader, Style, Waiting};
use super::{ABILITY, read_usage, stop, stop_word, write_usage};
use crate::error::{Error, Within as _};
use crate::fields::{Fields, each, missing};
use crate::form::{Answer, Candidate, Feature, Part, Request, Stop, StopReason, TokenProbability};
use crate::json::{Json, Object};

pub(super) const FOR_CALLERS: Style = Style {
    ids: true,
    for_caller: true,
};

pub(in super::super) fn read(fields: Fields, context: &Context) -> Result<Answer, Error> {
    let mut fields = fields.camel()?;
    let mut reader = Reader {
        context,
        made: 0,
        waiting: Waiting::default(),
    };
    let mut candidates = each(fields.items("candidates")?, "candidates", |candidate| {
        self::candidate(candidate, &mut reader)
    })?;
    if let Some(blocked) = blocked(&mut fields)? {
        candidates.push(Candidate {
            stop: blocked,
            ..Candidate::default()
        });
    }
    if candidates.is_empty() {
        return Err(Error::field(
            "candidates",
            "has no answer, and `promptFeedback` does not say why",
        ));
    }
    Ok(Answer {
        id: fields.string("responseId")?.unwrap_or_default(),
        model: fields.string("modelVersion")?.unwrap_or_default(),
        created: None,
        candidates,
        usage: fields
            .object("usageMetadata")?
            .map(|usage| read_usage(usage.camel()?))
            .transpose()?,
    })
}

/// Why the prompt itself was refused, if it was.
pub(super) fn blocked(fields: &mut Fields) -> Result<Option<Stop>, Error> {
    let Some(feedback) = fields.object("promptFeedback")? else {
        return Ok(None);
    };
    let reason = feedback.camel()?.string("blockReason")?;
    Ok(reason.map(|reason| Stop::new(StopReason::Filtered, &reason)))
}

fn candidate(fields: Fields, reader: &mut Reader<'_>) -> Result<Candidate, Error> {
    let mut fields = fields.camel()?;
    let parts = parts_of(&mut fields, reader)?;
    let calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let word = fields.string("finishReason")?;
    Ok(Candidate {
        parts,
        stop: word.map_or_else(Stop::default, |word| stop(&word, calls)),
        log_probabilities: probabilities(&mut fields)?,
    })
}

pub(super) fn parts_of(fields: &mut Fields, reader: &mut Reader<'_>) -> Result<Vec<Part>, Error> {
    let mut parts = Vec::new();
    if let Some(mut content) = fields.object("content")? {
        for item in content.items("parts")? {
            reader.read(item, &mut parts).within("content.parts")?;
        }
    }
    Ok(parts)
}

pub(super) fn probabilities(fields: &mut Fields) -> Result<Vec<TokenProbability>, Error> {
    let Some(result) = fields.object("logprobsResult")? else {
        return Ok(Vec::new());
    };
    let mut result = result.camel()?;
    let others = each(
        result.items("topCandidates")?,
        "topCandidates",
        |mut step| each(step.items("candidates")?, "candidates", token),
    )?;
    let mut chosen = each(result.items("chosenCandidates")?, "chosenCandidates", token)?;
    for (chosen, others) in chosen.iter_mut().zip(others) {
        chosen.others = others;
    }
    Ok(chosen)
}

fn token(fields: Fields) -> Result<TokenProbability, Error> {
    let mut fields = fields.camel()?;
    Ok(TokenProbability {
        token: fields.need_string("token")?,
        logarithm: fields
            .number("logProbability")?
            .ok_or_else(|| missing("logProbability"))?,
        bytes: None,
        others: Vec::new(),
    })
}

pub(super) fn write_probabilities(tokens: &[TokenProbability]) -> Object {
    let one = |token: &TokenProbability| {
        Json::Object(
            Object::new()
                .with("token", &token.token)
                .with("logProbability", &token.logarithm),
        )
    };
    let chosen: Vec<Json> = tokens.iter().map(one).collect();
    let mut result = Object::new().with("chosenCandidates", chosen);
    if tokens.iter().any(|token| !token.others.is_empty()) {
        let top = tokens.iter().map(|token| {
            let others: Vec<Json> = token.others.iter().map(one).collect();
            Json::Object(Object::new().with("candidates", others))
        });
        result.set("topCandidates", top.collect::<Vec<_>>());
    }
    result
}

pub(in super::super) fn write(
    answer: &Answer,
    asked: &Request,
    context: &Context,
) -> Result<Json, Error> {
    let mut candidates: Vec<Json> = Vec::with_capacity(answer.candidates.len());
    for (candidate, index) in answer.candidates.iter().zip(0_u64..) {
        let candidate = with_whole_calls(candidate.clone());
        let mut parts: Vec<Json> = Vec::with_capacity(candidate.parts.len());
        for part in &candidate.parts {
            if matches!(part, Part::ToolResult(_)) {
                return Err(ABILITY.lack(Feature::AnswerPart));
            }
            let written = parts::write(part, FOR_CALLERS, &mut Vec::new())?;
            parts.extend(written.map(Json::Object));
        }
        let mut object = Object::new()
            .with("content", content(parts))
            .with("finishReason", stop_word(candidate.stop.reason))
            .with("index", index);
        if !candidate.log_probabilities.is_empty() {
            let result = write_probabilities(&candidate.log_probabilities);
            object.set("logprobsResult", result);
        }
        candidates.push(object.into());
    }
    let model = if answer.model.is_empty() {
        &asked.model
    } else {
        &answer.model
    };
    let id = if answer.id.is_empty() {
        &context.id
    } else {
        &answer.id
    };
    Ok(Json::Object(
        Object::new()
            .with("candidates", candidates)
            .with_some("usageMetadata", answer.usage.as_ref().map(write_usage))
            .with("modelVersion", model)
            .with("responseId", id),
    ))
}

pub(super) fn content(parts: Vec<Json>) -> Object {
    Object::new().with("parts", parts).with("role", "model")
}
