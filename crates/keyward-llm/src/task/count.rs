//! How many tokens a conversation has, in Anthropic's form or in Gemini's, counted by providers of either.

use super::{Asked, Task, Written, anew};
use crate::dialect::{Address, Dialect, Target, model_segment};
use crate::error::Error;
use crate::json::{Json, Members, Object};

/// What a counted conversation says of its answer where it has to say something.
const SOME_TOKENS: u64 = 4_096;

pub(super) fn write<'a>(
    asked: &Asked<'a>,
    dialect: Dialect,
    target: &Target,
) -> Result<Option<Written<'a>>, Error> {
    let written = match (asked.task, dialect) {
        (Task::CountContent, Dialect::Gemini) => within_gemini(asked, target)?,
        (Task::CountContent, Dialect::Anthropic) => {
            let (conversation, _) = conversation(asked.body)?;
            let request = Dialect::Gemini.read_request(&conversation, &Address::default())?;
            let outgoing = Dialect::Anthropic.write_request(&request, target)?;
            // There are no words for how an answer is to be where none is given.
            let body = Members::read(&outgoing.body)?.edit(&[
                ("max_tokens", None),
                ("temperature", None),
                ("top_p", None),
                ("top_k", None),
                ("stop_sequences", None),
                ("stream", None),
            ]);
            Written {
                path: Task::CountTokens.path().to_owned(),
                body: body.into_owned().into(),
                notes: outgoing.notes,
            }
        }
        (_, Dialect::Anthropic) => asked.passed(target)?,
        (_, Dialect::Gemini) => {
            let members = Members::read(asked.body)?;
            crate::passage::check_names(members.names(), Dialect::Gemini, target)?;
            let mut edits = Vec::new();
            if members.get("max_tokens").is_none() {
                edits.push(("max_tokens", Some(Json::from(SOME_TOKENS))));
            }
            let body = members.edit(&edits);
            let request = Dialect::Anthropic.read_request(&body, &Address::default())?;
            let outgoing = Dialect::Gemini.write_request(&request, target)?;
            let request = Json::parse(&outgoing.body)?;
            let path = Asked::of_gemini(Task::CountContent, target)?;
            anew(path, wrapped(request, target)?, outgoing.notes)
        }
        (
            _,
            Dialect::OpenAiChat
            | Dialect::OpenAiResponses
            | Dialect::Bedrock
            | Dialect::Ollama
            | Dialect::Cohere,
        ) => return Ok(None),
    };
    Ok(Some(written))
}

/// The conversation that is to be counted, and whether it is wrapped.
fn conversation(body: &[u8]) -> Result<(Vec<u8>, bool), Error> {
    let members = Members::read(body)?;
    match members.get("generateContentRequest") {
        Some(inner) => {
            let inner = Members::read(inner)?.edit(&[("model", None)]);
            Ok((inner.into_owned(), true))
        }
        None => Ok((members.edit(&[("model", None)]).into_owned(), false)),
    }
}

/// Gemini counts all of a request where it is wrapped, and Vertex as it is.
fn wrapped(request: Json, target: &Target) -> Result<Json, Error> {
    let model = format!("models/{}", model_segment(&target.model)?);
    let Json::Object(mut request) = request else {
        return Ok(request);
    };
    if target.quirks.on_vertex {
        return Ok(request.into());
    }
    request.set("model", model);
    Ok(Object::new().with("generateContentRequest", request).into())
}

fn within_gemini<'a>(asked: &Asked<'a>, target: &Target) -> Result<Written<'a>, Error> {
    let path = Asked::of_gemini(Task::CountContent, target)?;
    let members = Members::read(asked.body)?;
    crate::passage::check_buckets(&members)?;
    let (inner, is_wrapped) = conversation(asked.body)?;
    if is_wrapped {
        return Ok(anew(
            path,
            wrapped(Json::parse(&inner)?, target)?,
            Vec::new(),
        ));
    }
    Ok(Written {
        path,
        body: members.edit(&[("model", None)]),
        notes: Vec::new(),
    })
}

pub(super) fn read(task: Task, dialect: Dialect, answer: &Json) -> Result<Option<Json>, Error> {
    let (name, wanted) = match (task, dialect) {
        (Task::CountTokens, Dialect::Gemini) => ("totalTokens", "input_tokens"),
        (Task::CountContent, Dialect::Anthropic) => ("input_tokens", "totalTokens"),
        (_, _) => return Ok(None),
    };
    let count = answer.get(name).and_then(Json::as_u64);
    let count = count.ok_or_else(|| Error::field(name, "is missing"))?;
    Ok(Some(Object::new().with(wanted, count).into()))
}
