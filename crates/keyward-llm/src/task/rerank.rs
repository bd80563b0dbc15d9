//! Documents by how they fit a question. Callers speak the form that Jina, Cohere and most servers of one's own share;
//! Cohere's second version and Voyage differ a little, and are translated.

use super::{Asked, Written, anew};
use crate::dialect::{Dialect, Target};
use crate::error::{Error, Within as _};
use crate::fields::Fields;
use crate::json::{Json, Members, Object};
use crate::passage;

/// The most documents of one request, as Cohere has it.
const DOCUMENTS_MAX: usize = 10_000;

pub(super) fn write<'a>(
    asked: &Asked<'a>,
    dialect: Dialect,
    target: &Target,
) -> Result<Option<Written<'a>>, Error> {
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses if target.quirks.rerank_top_k => {
            let members = Members::read(asked.body)?;
            passage::check_names(members.names(), asked.task.form(), target)?;
            let mut edits = vec![("model", Some(Json::from(&target.model)))];
            if let Some(top) = members.get("top_n") {
                edits.push(("top_n", None));
                edits.push(("top_k", Some(Json::parse(top)?)));
            }
            let documents = documents(&mut asked.fields()?)?;
            let texts: Vec<Json> = documents.iter().map(Json::from).collect();
            edits.push(("documents", Some(texts.into())));
            Ok(Some(Written {
                path: asked.task.path().to_owned(),
                body: members.edit(&edits),
                notes: Vec::new(),
            }))
        }
        Dialect::OpenAiChat | Dialect::OpenAiResponses => asked.passed(target).map(Some),
        Dialect::Cohere => {
            let mut fields = asked.fields()?;
            fields.take("model");
            // Told again by us, where it is wanted.
            fields.bool("return_documents")?;
            let documents = documents(&mut fields)?;
            let texts: Vec<Json> = documents.iter().map(Json::from).collect();
            let body = Object::new()
                .with("model", &target.model)
                .with("query", fields.need_string("query")?)
                .with("documents", texts)
                .with_some("top_n", fields.whole("top_n")?)
                .with_some("max_tokens_per_doc", fields.whole("max_tokens_per_doc")?);
            fields.finish()?;
            Ok(Some(anew(asked.task.path(), body.into(), Vec::new())))
        }
        Dialect::Anthropic | Dialect::Gemini | Dialect::Bedrock | Dialect::Ollama => Ok(None),
    }
}

/// The documents: texts, or objects with one.
fn documents(fields: &mut Fields) -> Result<Vec<String>, Error> {
    let items = fields.need_items("documents")?;
    if items.is_empty() || items.len() > DOCUMENTS_MAX {
        let why = format!("has to have 1 to {DOCUMENTS_MAX} documents");
        return Err(Error::field("documents", why));
    }
    let one = |(index, item): (usize, Json)| match item {
        Json::String(text) => Ok(text),
        item
        @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
            let text = Fields::of(item).and_then(|mut item| {
                let text = item.need_string("text")?;
                item.finish()?;
                Ok(text)
            });
            text.within(format!("documents.{index}"))
        }
    };
    items.into_iter().enumerate().map(one).collect()
}

pub(super) fn read(
    asked: &Asked<'_>,
    dialect: Dialect,
    target: &Target,
    answer: Json,
) -> Result<Option<Json>, Error> {
    let voyage = target.quirks.rerank_top_k;
    if dialect != Dialect::Cohere && !voyage {
        return Ok(None);
    }
    let mut fields = Fields::of(answer)?;
    let list = if voyage { "data" } else { "results" };
    let mut results = fields.need_items(list)?;
    if voyage {
        // There a document is its text.
        for result in &mut results {
            if let Json::Object(result) = result
                && let Some(Json::String(text)) = result.take("document")
            {
                result.set("document", Object::new().with("text", text));
            }
        }
        fields.take("object");
    } else {
        tell_documents(asked, &mut results)?;
    }
    let mut out = Object::new()
        .with("model", &target.model)
        .with("results", results);
    for name in ["id", "usage", "meta"] {
        if let Some(value) = fields.take(name) {
            out.set(name, value);
        }
    }
    Ok(Some(out.into()))
}

/// Cohere tells places alone: who wants the documents with them gets them from the request.
fn tell_documents(asked: &Asked<'_>, results: &mut [Json]) -> Result<(), Error> {
    let mut request = asked.fields()?;
    if request.bool("return_documents")? != Some(true) {
        return Ok(());
    }
    let documents = documents(&mut request)?;
    for result in results {
        let Json::Object(result) = result else {
            continue;
        };
        let place = result.get("index").and_then(Json::as_u64);
        let place = place.and_then(|place| usize::try_from(place).ok());
        let text = place.and_then(|place| documents.get(place));
        let text =
            text.ok_or_else(|| Error::field("results", "has a place that no document has"))?;
        result.set("document", Object::new().with("text", text));
    }
    Ok(())
}
