//! What a prompt tells the model: messages, and examples of questions with their answers.

use super::super::field::Field;
use super::super::problem::Problems;
use super::{all, members, template};
use crate::resource::prompt::{Example, PromptMessage, PromptPart, PromptRole};
use serde_json::{Map, Value};

pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<Vec<PromptMessage>> {
    let members = members(field, problems)?;
    let messages = all(members.into_iter().map(|member| message(member, problems)))?;
    let last = messages.last().map(|message| message.role);
    if last != Some(PromptRole::User) {
        problems.error(
            field.place(),
            "bad_value",
            "`messages`: the last is the user's, so that the model has something to answer: give it `role: user`",
        );
        return None;
    }
    Some(messages)
}

fn message(field: Field<'_>, problems: &mut Problems) -> Option<PromptMessage> {
    let fields = field.fields(&["role", "text", "parts"], problems)?;
    let roles = PromptRole::ALL.map(|role| (role.as_str(), role));
    let role = fields
        .required("role", "say `system`, `user` or `assistant`", problems)
        .and_then(|field| field.one_of(&roles, problems));
    let parts = match (fields.optional("text"), fields.optional("parts")) {
        (Some(text), None) => Some(vec![PromptPart::Text(template(text, problems)?)]),
        (None, Some(parts)) => {
            let parts = members(parts, problems)?;
            all(parts.into_iter().map(|member| part(member, role, problems)))
        }
        (Some(_), Some(parts)) => {
            problems.error(
                parts.place(),
                "contradiction",
                "`parts`: a message has `text`, or `parts`: take one of them out",
            );
            None
        }
        (None, None) => {
            problems.error(
                fields.place(),
                "missing_key",
                "`text` is missing: say what the model is told, or give the message's `parts`",
            );
            None
        }
    };
    Some(PromptMessage {
        role: role?,
        parts: parts?,
    })
}

fn part(field: Field<'_>, role: Option<PromptRole>, problems: &mut Problems) -> Option<PromptPart> {
    let fields = field.fields(&["text", "image"], problems)?;
    match (fields.optional("text"), fields.optional("image")) {
        (Some(text), None) => Some(PromptPart::Text(template(text, problems)?)),
        (None, Some(image)) => {
            if role.is_some_and(|role| role != PromptRole::User) {
                problems.error(
                    image.place(),
                    "contradiction",
                    "`image`: pictures are in the user's messages alone: give the message `role: user`",
                );
                return None;
            }
            Some(PromptPart::Image(image.text(problems)?.into()))
        }
        (Some(_), Some(_)) | (None, None) => {
            problems.error(
                fields.place(),
                "bad_value",
                "`parts`: each has either `text` or `image`, the name of a variable of type `image`",
            );
            None
        }
    }
}

pub(super) fn examples(field: Field<'_>, problems: &mut Problems) -> Option<Vec<Example>> {
    let members = members(field, problems)?;
    all(members.into_iter().map(|member| example(member, problems)))
}

fn example(field: Field<'_>, problems: &mut Problems) -> Option<Example> {
    let fields = field.fields(&["variables", "answer"], problems)?;
    let variables = match fields.optional("variables") {
        Some(field) if field.is_map() => match json(field, problems)? {
            Value::Object(variables) => Some(variables),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => None,
        },
        Some(field) => {
            field.refuse("is no mapping of variables to values", problems);
            None
        }
        None => Some(Map::new()),
    };
    let answer = fields
        .required("answer", "say what the model should answer", problems)
        .and_then(|field| json(field, problems));
    Some(Example {
        variables: variables?,
        answer: answer?,
    })
}

/// What stands there, as JSON.
pub(super) fn json(field: Field<'_>, problems: &mut Problems) -> Option<Value> {
    let json = field.node().to_json();
    if json.is_none() {
        field.refuse("has a number that JSON has not", problems);
    }
    json
}
