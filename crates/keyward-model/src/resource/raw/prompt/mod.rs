//! Reading `kind: prompt`.

mod message;
mod output;
mod variable;

#[cfg(test)]
mod tests;

use super::authorization;
use super::field::{Field, Fields};
use super::problem::Problems;
use super::read::name;
use crate::resource::api::VersionState;
use crate::resource::prompt::{EFFORTS, Output, Parameters, Prompt};
use crate::resource::{Authorization, raw::Value as Written};
use serde_json::Number;
use std::collections::BTreeMap;

/// The keys beside those of every resource.
pub(super) const KEYS: &[&str] = &[
    "version",
    "state",
    "description",
    "model",
    "variables",
    "messages",
    "partials",
    "examples",
    "parameters",
    "output",
    "tools",
    "tool_choice",
    "trial",
    "authorization",
];

/// A paragraph or two: it goes into the document of each caller.
const DESCRIPTION_MAX: usize = 4_096;
/// Each is compiled with the configuration, and looked at for a call.
pub(super) const ENTRIES_MAX: usize = 64;
/// One template: more than the longest instructions that models follow.
const TEMPLATE_MAX: usize = 64 << 10;
/// A share of calls, as models' targets have them.
const WEIGHT_MAX: u64 = 1_000_000;
/// More than any model writes.
const TOKENS_MAX: u64 = 10_000_000;
/// What providers take.
const STOPS_MAX: usize = 16;

pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Prompt> {
    let version = fields
        .required(
            "version",
            "a prompt is known by its name and its version, such as v1",
            problems,
        )
        .and_then(|field| name(field, problems));
    let states = VersionState::ALL.map(|state| (state.as_str(), state));
    let state = fields
        .required(
            "state",
            "say `draft`, `published`, `deprecated` or `retired`",
            problems,
        )
        .and_then(|field| field.one_of(&states, problems));
    let description = match fields.optional("description") {
        Some(field) => bounded(field, DESCRIPTION_MAX, problems).map(Some),
        None => Some(None),
    };
    let model = fields
        .required("model", "name the `kind: model` that is asked", problems)
        .and_then(|field| name(field, problems));
    let variables = match fields.optional("variables") {
        Some(field) => variable::read(field, problems),
        None => Some(BTreeMap::new()),
    };
    let messages = fields
        .required(
            "messages",
            "say what the model is told, such as `messages: [ { role: user, text: \"Translate: {{ text }}\" } ]`",
            problems,
        )
        .and_then(|field| message::read(field, problems));
    let partials = match fields.optional("partials") {
        Some(field) => partials(field, problems),
        None => Some(BTreeMap::new()),
    };
    let output = match fields.optional("output") {
        Some(field) => output::read(field, problems),
        None => Some(Output::Text),
    };
    let examples = match fields.optional("examples") {
        Some(field) => message::examples(field, problems),
        None => Some(Vec::new()),
    };
    let parameters = match fields.optional("parameters") {
        Some(field) => parameters(field, problems),
        None => Some(Parameters::default()),
    };
    let tools = match fields.optional("tools") {
        Some(field) => output::tools(field, problems),
        None => Some(Vec::new()),
    };
    let tool_choice = match fields.optional("tool_choice") {
        Some(field) => output::tool_choice(field, tools.as_deref(), problems).map(Some),
        None => Some(None),
    };
    if let (Some(Output::Schema(_)), Some(tools), Some(field)) =
        (&output, &tools, fields.optional("tools"))
        && !tools.is_empty()
    {
        problems.error(
            field.place(),
            "contradiction",
            "`tools`: an answer that fits a schema calls no tools: take out one of `tools` and `output`",
        );
    }
    let trial = match fields.optional("trial") {
        Some(field) => trial(field, problems).map(Some),
        None => Some(None),
    };
    let authorization = match fields.optional("authorization") {
        Some(field) => authorization::read(field, None, problems),
        None => Some(Authorization::default()),
    };
    Some(Prompt {
        version: version?,
        state: state?,
        description: description?,
        model: model?,
        variables: variables?,
        messages: messages?,
        partials: partials?,
        examples: examples?,
        parameters: parameters?,
        output: output?,
        tools: tools?,
        tool_choice: tool_choice?,
        trial: trial?,
        authorization: authorization?,
    })
}

/// A text of so many bytes at most.
fn bounded(field: Field<'_>, most: usize, problems: &mut Problems) -> Option<Box<str>> {
    let text = field.text(problems)?;
    if text.len() > most {
        problems.error(
            field.place(),
            "bad_value",
            format!("`{}`: it has more than {most} bytes", field.key()),
        );
        return None;
    }
    Some(text.into())
}

/// A template, whose text is looked at when it is compiled.
fn template(field: Field<'_>, problems: &mut Problems) -> Option<Box<str>> {
    bounded(field, TEMPLATE_MAX, problems)
}

/// The members of a list, of which there may be so many and no more.
fn members<'n>(field: Field<'n>, problems: &mut Problems) -> Option<Vec<Field<'n>>> {
    let members = field.filled_list(problems)?;
    few(&members, field, problems)?;
    Some(members)
}

fn entries<'n>(field: Field<'n>, problems: &mut Problems) -> Option<Vec<Field<'n>>> {
    let entries = field.entries(problems)?;
    few(&entries, field, problems)?;
    Some(entries)
}

fn few(read: &[Field<'_>], field: Field<'_>, problems: &mut Problems) -> Option<()> {
    if read.len() > ENTRIES_MAX {
        problems.error(
            field.place(),
            "bad_value",
            format!(
                "`{}` has more than {ENTRIES_MAX} entries: make two prompts of it",
                field.key()
            ),
        );
        return None;
    }
    Some(())
}

/// All, or none where one can't be read.
fn all<T>(read: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

/// A name that templates can say: it needs no quotes there, and is none of their words.
fn identifier(field: Field<'_>, problems: &mut Problems) -> Option<Box<str>> {
    /// Templates have other meanings for these.
    const TAKEN: [&str; 13] = [
        "partials", "loop", "true", "false", "none", "and", "or", "not", "in", "is", "if", "else",
        "self",
    ];
    let key = field.key();
    let mut bytes = key.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let rest = bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if first && rest && key.len() <= 63 && !TAKEN.contains(&key) {
        return Some(key.into());
    }
    problems.error(
        field.place(),
        "bad_value",
        format!(
            "`{}` is no name that templates can say: use 1 to 63 lower-case letters, digits and `_`, no digit first, and none of `partials`, `loop` and the words of templates",
            super::shortened(key)
        ),
    );
    None
}

fn partials(field: Field<'_>, problems: &mut Problems) -> Option<BTreeMap<Box<str>, Box<str>>> {
    let entries = entries(field, problems)?;
    let read = entries.into_iter().map(|entry| {
        let name = identifier(entry, problems);
        let text = template(entry, problems);
        Some((name?, text?))
    });
    Some(all(read)?.into_iter().collect())
}

fn trial(field: Field<'_>, problems: &mut Problems) -> Option<u32> {
    let fields = field.fields(&["weight"], problems)?;
    let weight = fields.required(
        "weight",
        "say its share of the calls, beside the other published versions'",
        problems,
    )?;
    let weight = weight.whole(0..=WEIGHT_MAX, problems)?;
    u32::try_from(weight).ok()
}

fn parameters(field: Field<'_>, problems: &mut Problems) -> Option<Parameters> {
    let fields = field.fields(
        &[
            "temperature",
            "top_p",
            "frequency_penalty",
            "presence_penalty",
            "max_output_tokens",
            "stop",
            "seed",
            "reasoning_effort",
        ],
        problems,
    )?;
    let mut number = |key: &str, least: f64, most: f64| match fields.optional(key) {
        Some(field) => number(field, least, most, problems).map(Some),
        None => Some(None),
    };
    let temperature = number("temperature", 0.0, 2.0);
    let top_p = number("top_p", 0.0, 1.0);
    let frequency_penalty = number("frequency_penalty", -2.0, 2.0);
    let presence_penalty = number("presence_penalty", -2.0, 2.0);
    let max_output_tokens = match fields.optional("max_output_tokens") {
        Some(field) => field.whole(1..=TOKENS_MAX, problems).map(Some),
        None => Some(None),
    };
    let stop = match fields.optional("stop") {
        Some(field) => {
            let texts = field.texts(problems);
            if texts.len() > STOPS_MAX {
                field.refuse("has more than 16 entries", problems);
            }
            texts
        }
        None => Vec::new(),
    };
    let seed = match fields.optional("seed") {
        Some(field) => match field.node().value {
            Written::Whole(seed) => Some(Some(seed)),
            Written::Null
            | Written::Boolean(_)
            | Written::Number(_)
            | Written::Text(_)
            | Written::List(_)
            | Written::Map(_) => {
                field.refuse("is no whole number", problems);
                None
            }
        },
        None => Some(None),
    };
    let efforts = EFFORTS.map(|effort| (effort, effort));
    let reasoning_effort = match fields.optional("reasoning_effort") {
        Some(field) => field.one_of(&efforts, problems).map(Some),
        None => Some(None),
    };
    Some(Parameters {
        temperature: temperature?,
        top_p: top_p?,
        frequency_penalty: frequency_penalty?,
        presence_penalty: presence_penalty?,
        max_output_tokens: max_output_tokens?,
        stop,
        seed: seed?,
        reasoning_effort: reasoning_effort?,
    })
}

/// A number with or without a fraction.
fn number(field: Field<'_>, least: f64, most: f64, problems: &mut Problems) -> Option<Number> {
    let read = match field.node().value {
        Written::Whole(whole) => Some(Number::from(whole)),
        Written::Number(number) => Number::from_f64(number),
        Written::Null
        | Written::Boolean(_)
        | Written::Text(_)
        | Written::List(_)
        | Written::Map(_) => None,
    };
    let within = |number: &Number| {
        let value = number.as_f64();
        value.is_some_and(|value| (least..=most).contains(&value))
    };
    let read = read.filter(within);
    if read.is_none() {
        field.refuse(&format!("is no number from {least} to {most}"), problems);
    }
    read
}
