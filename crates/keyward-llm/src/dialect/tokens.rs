//! Log probabilities, which OpenAI's two dialects write alike.

use crate::error::Error;
use crate::fields::{Fields, each};
use crate::form::TokenProbability;
use crate::json::{Json, Object};

pub(super) fn read(fields: &mut Fields, name: &str) -> Result<Vec<TokenProbability>, Error> {
    let items = fields.items(name)?;
    each(items, name, |mut token| {
        let others = token.items("top_logprobs")?;
        Ok(TokenProbability {
            others: each(others, "top_logprobs", |mut other| one(&mut other))?,
            ..one(&mut token)?
        })
    })
}

fn one(fields: &mut Fields) -> Result<TokenProbability, Error> {
    let bytes = fields.array("bytes")?.map(|bytes| {
        bytes
            .iter()
            .filter_map(|byte| u8::try_from(byte.as_u64()?).ok())
            .collect()
    });
    Ok(TokenProbability {
        token: fields.need_string("token")?,
        logarithm: fields
            .number("logprob")?
            .ok_or_else(|| crate::fields::missing("logprob"))?,
        bytes,
        others: Vec::new(),
    })
}

pub(super) fn write(tokens: &[TokenProbability]) -> Json {
    let items = tokens.iter().map(|token| {
        let others = token.others.iter().map(|other| Json::Object(object(other)));
        Json::Object(object(token).with("top_logprobs", others.collect::<Vec<_>>()))
    });
    Json::Array(items.collect())
}

fn object(token: &TokenProbability) -> Object {
    let known = token.bytes.as_deref().unwrap_or(token.token.as_bytes());
    let bytes: Vec<Json> = known.iter().map(|byte| u64::from(*byte).into()).collect();
    Object::new()
        .with("token", &token.token)
        .with("logprob", &token.logarithm)
        .with("bytes", bytes)
}
