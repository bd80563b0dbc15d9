//! Vectors of texts: of OpenAI's `embeddings` and Gemini's `embedContent`, with Cohere and Ollama behind them too.

use super::{Asked, Task, Told, Written, anew};
use crate::dialect::{Dialect, Target, model_segment};
use crate::error::{Error, Within as _};
use crate::fields::Fields;
use crate::json::{Json, Members, Object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The most texts of one request: what the providers' own bounds allow at most.
const TEXTS_MAX: usize = 2_048;

/// What vectors are wanted for: a word of Gemini's, and Cohere's for it.
const PURPOSES: [(&str, &str); 4] = [
    ("RETRIEVAL_QUERY", "search_query"),
    ("RETRIEVAL_DOCUMENT", "search_document"),
    ("CLASSIFICATION", "classification"),
    ("CLUSTERING", "clustering"),
];

/// What is asked for, whoever asks.
#[derive(Debug, Default)]
struct Request {
    texts: Vec<String>,
    dimensions: Option<u64>,
    /// Gemini's word.
    purpose: Option<String>,
    notes: Vec<String>,
}

pub(super) fn write<'a>(
    asked: &Asked<'a>,
    dialect: Dialect,
    target: &Target,
) -> Result<Option<Written<'a>>, Error> {
    // Vertex has vectors at an address and in a form of its own.
    if target.quirks.on_vertex {
        return Ok(None);
    }
    let openai = matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses);
    match (asked.task, dialect) {
        (Task::Embeddings, _) if openai => return asked.passed(target).map(Some),
        (Task::EmbedContent | Task::EmbedContents, Dialect::Gemini) => {
            return within_gemini(asked, target).map(Some);
        }
        (_, _) => {}
    }
    let written = match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => to_openai(read_request(asked)?, target),
        Dialect::Gemini => to_gemini(read_request(asked)?, target)?,
        Dialect::Cohere => to_cohere(read_request(asked)?, target)?,
        Dialect::Ollama => to_ollama(read_request(asked)?, target),
        Dialect::Anthropic | Dialect::Bedrock => return Ok(None),
    };
    Ok(Some(written))
}

fn read_request(asked: &Asked<'_>) -> Result<Request, Error> {
    let request = match asked.task {
        Task::EmbedContents => of_contents(asked.fields()?)?,
        Task::EmbedContent => of_content(asked.fields()?)?,
        Task::Embeddings
        | Task::CountTokens
        | Task::CountContent
        | Task::Images
        | Task::ImageEdits
        | Task::ImageVariations
        | Task::Speech
        | Task::Transcriptions
        | Task::Translations
        | Task::Rerank
        | Task::Moderations => of_openai(asked.fields()?)?,
    };
    if request.texts.is_empty() || request.texts.len() > TEXTS_MAX {
        let why = format!("has to have 1 to {TEXTS_MAX} texts");
        return Err(Error::field("input", why));
    }
    Ok(request)
}

fn of_openai(mut fields: Fields) -> Result<Request, Error> {
    let mut notes = Vec::new();
    fields.take("model");
    fields.note(&["user"], &mut notes);
    encoding(&fields)?;
    fields.take("encoding_format");
    let texts = match fields.take("input") {
        Some(Json::String(text)) => vec![text],
        Some(Json::Array(texts)) => texts.into_iter().map(text).collect::<Result<_, _>>()?,
        Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_)) | None => {
            return Err(Error::field("input", "must be a text or several"));
        }
    };
    let request = Request {
        texts,
        dimensions: fields.whole("dimensions")?,
        purpose: None,
        notes,
    };
    fields.finish()?;
    Ok(request)
}

fn text(item: Json) -> Result<String, Error> {
    match item {
        Json::String(text) => Ok(text),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            Err(Error::field(
                "input",
                "has tokens, which only models of OpenAI's dialect know: send texts",
            ))
        }
    }
}

/// Whether vectors are wanted in base64, which the vendor's own library asks for.
fn encoding(fields: &Fields) -> Result<bool, Error> {
    match fields.peek("encoding_format") {
        None | Some("float") => Ok(false),
        Some("base64") => Ok(true),
        Some(_) => Err(Error::field(
            "encoding_format",
            "must be `float` or `base64`",
        )),
    }
}

fn of_contents(mut fields: Fields) -> Result<Request, Error> {
    let mut all = Request::default();
    for (index, item) in fields.need_items("requests")?.into_iter().enumerate() {
        let one = Fields::of(item).and_then(of_content);
        let one = one.within(format!("requests.{index}"))?;
        let differs = one.dimensions != all.dimensions || one.purpose != all.purpose;
        if index > 0 && differs {
            let why =
                "all must have the same `outputDimensionality` and `taskType`: ask one by one";
            return Err(Error::field("requests", why));
        }
        all.texts.extend(one.texts);
        all.dimensions = one.dimensions;
        all.purpose = one.purpose;
    }
    fields.take("model");
    fields.finish()?;
    Ok(all)
}

fn of_content(fields: Fields) -> Result<Request, Error> {
    let mut fields = fields.camel()?;
    fields.take("model");
    let mut content = fields.need_object("content")?;
    content.take("role");
    let mut text = String::new();
    for part in content.need_items("parts")? {
        let mut part = Fields::of(part).within("content.parts")?;
        text.push_str(&part.need_string("text").within("content.parts")?);
        part.finish().within("content.parts")?;
    }
    content.finish().within("content")?;
    let request = Request {
        texts: vec![text],
        dimensions: fields.whole("outputDimensionality")?,
        purpose: fields.string("taskType")?,
        notes: Vec::new(),
    };
    fields.finish()?;
    Ok(request)
}

/// Between a caller and a provider of Gemini's: the alias stands in the body, too, where it does.
fn within_gemini<'a>(asked: &Asked<'a>, target: &Target) -> Result<Written<'a>, Error> {
    let model = format!("models/{}", model_segment(&target.model)?);
    let members = Members::read(asked.body)?;
    crate::passage::check_names(members.names(), Dialect::Gemini, target)?;
    crate::passage::check_buckets(&members)?;
    let mut edits = Vec::new();
    if members.get("model").is_some() {
        edits.push(("model", Some(Json::from(&model))));
    }
    if let Some(requests) = members.get("requests") {
        let mut requests = Json::parse(requests)?;
        if let Json::Array(items) = &mut requests {
            for item in items {
                if let Json::Object(item) = item {
                    item.set("model", &model);
                }
            }
        }
        edits.push(("requests", Some(requests)));
    }
    Ok(Written {
        path: Asked::of_gemini(asked.task, target)?,
        body: members.edit(&edits),
        notes: Vec::new(),
    })
}

fn list(texts: &[String]) -> Vec<Json> {
    texts.iter().map(Json::from).collect()
}

fn to_openai(mut request: Request, target: &Target) -> Written<'static> {
    // It has no bearing on a vector of a model that knows no purposes.
    if request.purpose.is_some() {
        request.notes.push("taskType".to_owned());
    }
    let body = Object::new()
        .with("model", &target.model)
        .with("input", list(&request.texts))
        .with_some("dimensions", request.dimensions)
        .with("encoding_format", "float");
    anew("/embeddings", body.into(), request.notes)
}

fn to_gemini(request: Request, target: &Target) -> Result<Written<'static>, Error> {
    let model = format!("models/{}", model_segment(&target.model)?);
    let one = |text: &String| {
        let part = Object::new().with("text", text);
        let content = Object::new().with("parts", vec![Json::from(part)]);
        let one = Object::new()
            .with("model", &model)
            .with("content", content)
            .with_some("taskType", request.purpose.as_ref())
            .with_some("outputDimensionality", request.dimensions);
        Json::from(one)
    };
    let requests: Vec<Json> = request.texts.iter().map(one).collect();
    let body = Object::new().with("requests", requests);
    let path = Asked::of_gemini(Task::EmbedContents, target)?;
    Ok(anew(path, body.into(), request.notes))
}

fn to_cohere(request: Request, target: &Target) -> Result<Written<'static>, Error> {
    // Cohere wants to be told; who does not say it has documents.
    let purpose = match request.purpose.as_deref() {
        None | Some("TASK_TYPE_UNSPECIFIED") => "search_document",
        Some(purpose) => {
            let known = PURPOSES.iter().find(|(word, _)| *word == purpose);
            let (_, word) = known.ok_or_else(|| {
                Error::field(
                    "taskType",
                    format!("`{}` is none of Cohere's", purpose.escape_debug()),
                )
            })?;
            *word
        }
    };
    let body = Object::new()
        .with("model", &target.model)
        .with("texts", list(&request.texts))
        .with("input_type", purpose)
        .with("embedding_types", vec![Json::from("float")])
        .with_some("output_dimension", request.dimensions);
    Ok(anew("/embed", body.into(), request.notes))
}

fn to_ollama(mut request: Request, target: &Target) -> Written<'static> {
    if request.purpose.is_some() {
        request.notes.push("taskType".to_owned());
    }
    let body = Object::new()
        .with("model", &target.model)
        .with("input", list(&request.texts))
        .with_some("dimensions", request.dimensions);
    anew("/api/embed", body.into(), request.notes)
}

pub(super) fn read(
    asked: &Asked<'_>,
    dialect: Dialect,
    target: &Target,
    answer: &Json,
    told: &Told,
) -> Result<Option<Json>, Error> {
    let form = asked.task.form();
    let openai = matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses);
    if dialect == form || (form == Dialect::OpenAiChat && openai) {
        return Ok(None);
    }
    let vectors = vectors(dialect, answer)?;
    if form != Dialect::Gemini {
        let base64 = encoding(&asked.fields()?)?;
        return written_for_openai(vectors, base64, target, told).map(Some);
    }
    let mut values = vectors
        .into_iter()
        .map(|values| Json::from(Object::new().with("values", values)));
    if asked.task == Task::EmbedContents {
        let all: Vec<Json> = values.collect();
        return Ok(Some(Object::new().with("embeddings", all).into()));
    }
    let one = values.next();
    let one = one.ok_or_else(|| Error::field("embeddings", "has none"))?;
    Ok(Some(Object::new().with("embedding", one).into()))
}

/// The vectors of an answer.
fn vectors(dialect: Dialect, answer: &Json) -> Result<Vec<Json>, Error> {
    let (name, inner) = match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => ("data", Some("embedding")),
        Dialect::Gemini => ("embeddings", Some("values")),
        Dialect::Ollama => ("embeddings", None),
        Dialect::Cohere => {
            let float = answer.get("embeddings").and_then(|all| all.get("float"));
            let all = float.and_then(Json::as_array);
            return all
                .map(<[Json]>::to_vec)
                .ok_or_else(|| Error::field("embeddings.float", "is missing"));
        }
        // Nothing is asked of them.
        Dialect::Anthropic | Dialect::Bedrock => ("embeddings", None),
    };
    let all = answer.get(name).and_then(Json::as_array);
    let all = all.ok_or_else(|| Error::field(name, "is missing"))?;
    let one = |vector: &Json| match inner {
        None => Ok(vector.clone()),
        Some(inner) => {
            let vector = vector.get(inner).cloned();
            vector.ok_or_else(|| Error::field(inner, "is missing").within(name))
        }
    };
    all.iter().map(one).collect()
}

fn written_for_openai(
    vectors: Vec<Json>,
    base64: bool,
    target: &Target,
    told: &Told,
) -> Result<Json, Error> {
    let one = |(index, vector): (usize, Json)| {
        let vector = if base64 { in_base64(&vector)? } else { vector };
        let one = Object::new()
            .with("object", "embedding")
            .with("index", index as u64)
            .with("embedding", vector);
        Ok(Json::from(one))
    };
    let data: Result<Vec<Json>, Error> = vectors.into_iter().enumerate().map(one).collect();
    let input = told.usage.map_or(0, |usage| usage.input);
    let usage = Object::new()
        .with("prompt_tokens", input)
        .with("total_tokens", input);
    let answer = Object::new()
        .with("object", "list")
        .with("data", data?)
        .with("model", &target.model)
        .with("usage", usage);
    Ok(answer.into())
}

/// Numbers of four bytes each, least first, in base64.
fn in_base64(vector: &Json) -> Result<Json, Error> {
    let wrong = || Error::field("embedding", "is no list of numbers");
    let numbers = vector.as_array().ok_or_else(wrong)?;
    let mut bytes = Vec::with_capacity(numbers.len() * 4);
    for number in numbers {
        let Json::Number(number) = number else {
            return Err(wrong());
        };
        let value: f32 = number.as_str().parse().map_err(|_| wrong())?;
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    Ok(Json::from(STANDARD.encode(bytes)))
}
