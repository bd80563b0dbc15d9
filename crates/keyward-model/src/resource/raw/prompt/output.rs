//! What a prompt's answer is, and which tools the model may call for it.

use super::super::field::Field;
use super::super::problem::Problems;
use super::message::json;
use super::{DESCRIPTION_MAX, all, bounded, members};
use crate::resource::prompt::{Output, OutputSchema, PromptTool, PromptToolChoice};
use serde_json::Value;

/// Each is a call of the model more that somebody pays for.
const REPAIRS_MAX: u64 = 3;
/// Most of what models get wrong they get right when they are told.
const REPAIRS_DEFAULT: u32 = 1;
/// A schema as text: models are told it with each call.
const SCHEMA_MAX: usize = 64 << 10;
/// What providers take.
const TOOL_NAME_MAX: usize = 64;

pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<Output> {
    if !field.is_map() {
        return field
            .one_of(&[("text", ())], problems)
            .map(|()| Output::Text);
    }
    let fields = field.fields(&["schema", "strict", "repairs"], problems)?;
    let schema = fields
        .required("schema", "give the JSON schema that answers fit", problems)
        .and_then(|field| schema(field, problems));
    let strict = match fields.optional("strict") {
        Some(field) => field.boolean(problems).map(Some),
        None => Some(None),
    };
    let repairs = match fields.optional("repairs") {
        Some(field) => field
            .whole(0..=REPAIRS_MAX, problems)
            .and_then(|count| u32::try_from(count).ok()),
        None => Some(REPAIRS_DEFAULT),
    };
    Some(Output::Schema(OutputSchema {
        schema: schema?,
        strict: strict?,
        repairs: repairs?,
    }))
}

/// A schema of an object: what providers take as one.
fn schema(field: Field<'_>, problems: &mut Problems) -> Option<Value> {
    let schema = json(field, problems)?;
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        field.refuse(
            "is no schema of an object: give it `type: object` and `properties`",
            problems,
        );
        return None;
    }
    if schema.to_string().len() > SCHEMA_MAX {
        field.refuse("has more than 64 KiB", problems);
        return None;
    }
    Some(schema)
}

pub(super) fn tools(field: Field<'_>, problems: &mut Problems) -> Option<Vec<PromptTool>> {
    let members = members(field, problems)?;
    let mut tools: Vec<PromptTool> = Vec::new();
    let read = members.into_iter().map(|member| {
        let tool = tool(member, problems)?;
        if tools.iter().any(|known| known.name == tool.name) {
            member.refuse("has the name of another tool", problems);
            return None;
        }
        tools.push(tool.clone());
        Some(tool)
    });
    all(read)
}

fn tool(field: Field<'_>, problems: &mut Problems) -> Option<PromptTool> {
    let fields = field.fields(&["name", "description", "parameters"], problems)?;
    let good = |text: &str| {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        (text.len() <= TOOL_NAME_MAX && text.bytes().all(letters)).then(|| text.into())
    };
    let name = fields
        .required("name", "say what the model calls it", problems)
        .and_then(|field| {
            let expected = "is no tool's name: use 1 to 64 letters, digits, `_` and `-`";
            field.parsed(good, expected, problems)
        });
    let description = match fields.optional("description") {
        Some(field) => bounded(field, DESCRIPTION_MAX, problems).map(Some),
        None => Some(None),
    };
    let parameters = match fields.optional("parameters") {
        Some(field) => schema(field, problems).map(Some),
        None => Some(None),
    };
    Some(PromptTool {
        name: name?,
        description: description?,
        parameters: parameters?,
    })
}

pub(super) fn tool_choice(
    field: Field<'_>,
    tools: Option<&[PromptTool]>,
    problems: &mut Problems,
) -> Option<PromptToolChoice> {
    match field.text(problems)? {
        "auto" => Some(PromptToolChoice::Auto),
        "required" if tools.is_some_and(<[_]>::is_empty) => {
            field.refuse("needs `tools`, and there are none", problems);
            None
        }
        "required" => Some(PromptToolChoice::Required),
        name if tools.is_some_and(|tools| tools.iter().any(|tool| *tool.name == *name)) => {
            Some(PromptToolChoice::Tool(name.into()))
        }
        _ => {
            field.refuse(
                "is none of `auto`, `required` and the names of `tools`",
                problems,
            );
            None
        }
    }
}
