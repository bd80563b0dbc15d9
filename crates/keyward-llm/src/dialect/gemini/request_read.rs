//! A caller's request.

use super::super::content::{attach_signatures, strings};
use super::super::schema::from_gemini;
use super::super::{Address, Context};
use super::ABILITY;
use super::parts::{Reader, Waiting};
use crate::error::{Error, Within as _};
use crate::fields::{Fields, each, missing};
use crate::form::{
    Effort, Feature, Message, Output, Part, Reasoning, Request, Role, Sampling, Schema, Tool,
    ToolChoice,
};
use crate::json::Json;

/// Fields that mark a call or tune its filters, which other providers have none of.
const NOTED: &[&str] = &["safetySettings", "labels", "serviceTier", "store"];

pub(in super::super) fn read(body: &[u8], address: &Address) -> Result<Request, Error> {
    let mut fields = Fields::parse(body)?.camel()?;
    // Ids need only differ within one request: it tells of each call and its result.
    let context = Context {
        id: "0".to_owned(),
        now: 0,
    };
    let mut request = Request {
        model: address.model.clone(),
        stream: address.stream,
        stream_usage: true,
        ..Request::default()
    };
    // The body may name it too.
    fields.take("model");
    if fields.has("cachedContent") {
        return Err(ABILITY.lack(Feature::KeptConversation));
    }
    let mut reader = Reader {
        context: &context,
        made: 0,
        waiting: Waiting::default(),
    };
    if let Some(system) = fields.take("systemInstruction") {
        let parts = content(system, &mut reader).within("systemInstruction")?.1;
        request.messages.push(Message::new(Role::System, parts));
    }
    let contents = match fields.take("contents") {
        Some(Json::Array(contents)) => contents,
        Some(one) => vec![one],
        None => return Err(missing("contents")),
    };
    for (at, one) in contents.into_iter().enumerate() {
        let (role, parts) = content(one, &mut reader).within(at).within("contents")?;
        request
            .messages
            .push(Message::new(role, attach_signatures(parts)));
    }
    for tools in fields.items("tools")? {
        let mut tools = Fields::of(tools).within("tools")?.camel()?;
        let declared = tools.items("functionDeclarations")?;
        request
            .tools
            .extend(each(declared, "functionDeclarations", tool).within("tools")?);
        if tools.finish().is_err() {
            return Err(ABILITY.lack(Feature::HostedTools));
        }
    }
    if let Some(config) = fields.object("toolConfig")? {
        request.tool_choice = tool_choice(config.camel()?).within("toolConfig")?;
    }
    if let Some(config) = fields.object("generationConfig")? {
        generation(config.camel()?, &mut request).within("generationConfig")?;
    }
    fields.note(NOTED, &mut request.notes);
    fields.finish()?;
    Ok(request)
}

fn content(json: Json, reader: &mut Reader<'_>) -> Result<(Role, Vec<Part>), Error> {
    if let Json::String(text) = json {
        return Ok((Role::User, vec![Part::Text(text)]));
    }
    let mut fields = Fields::of(json)?.camel()?;
    let role = match fields.string("role")?.as_deref() {
        Some("model") => Role::Assistant,
        Some("user" | "function" | "system") | None => Role::User,
        Some(_) => return Err(Error::field("role", "must be `user` or `model`")),
    };
    let items = match fields.take("parts") {
        Some(Json::Array(items)) => items,
        Some(one) => vec![one],
        None => Vec::new(),
    };
    let mut parts = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        reader.read(item, &mut parts).within(at).within("parts")?;
    }
    fields.finish()?;
    Ok((role, parts))
}

fn tool(fields: Fields) -> Result<Tool, Error> {
    let mut fields = fields.camel()?;
    let own = fields.take("parameters").map(from_gemini);
    let parameters = fields.take("parametersJsonSchema").or(own);
    let tool = Tool {
        name: fields.need_string("name")?,
        description: fields.string("description")?,
        parameters,
        strict: None,
        cache: None,
    };
    for ignored in ["response", "responseJsonSchema", "behavior"] {
        fields.take(ignored);
    }
    fields.finish()?;
    Ok(tool)
}

fn tool_choice(mut config: Fields) -> Result<Option<ToolChoice>, Error> {
    let Some(calling) = config.object("functionCallingConfig")? else {
        config.finish()?;
        return Ok(None);
    };
    config.finish()?;
    let mut calling = calling.camel()?;
    let mode = calling.string("mode")?.unwrap_or_default();
    let names = strings(calling.items("allowedFunctionNames")?)?;
    calling.finish()?;
    let choice = match (mode.to_ascii_uppercase().as_str(), names.as_slice()) {
        ("" | "MODE_UNSPECIFIED" | "AUTO" | "VALIDATED", []) => ToolChoice::Auto,
        ("NONE", _) => ToolChoice::Never,
        ("ANY", []) => ToolChoice::Required,
        ("ANY", [one]) => ToolChoice::Tool(one.clone()),
        (_, [_, ..]) => {
            return Err(Error::field(
                "allowedFunctionNames",
                "may name one function with the mode ANY: declare only those that may be called",
            ));
        }
        _ => return Err(Error::field("mode", "must be AUTO, ANY, VALIDATED or NONE")),
    };
    Ok(Some(choice))
}

fn generation(mut config: Fields, request: &mut Request) -> Result<(), Error> {
    request.sampling = Sampling {
        temperature: config.number("temperature")?,
        top_p: config.number("topP")?,
        top_k: config.whole("topK")?,
        frequency_penalty: config.number("frequencyPenalty")?,
        presence_penalty: config.number("presencePenalty")?,
        logit_bias: None,
    };
    request.max_tokens = config.whole("maxOutputTokens")?;
    request.answers = config.whole("candidateCount")?;
    request.stop = strings(config.items("stopSequences")?).within("stopSequences")?;
    request.seed = match config.number("seed")? {
        Some(seed) => Some(
            seed.as_i64()
                .ok_or_else(|| Error::field("seed", "must be a whole number"))?,
        ),
        None => None,
    };
    let top = config.whole("logprobs")?;
    if config.bool("responseLogprobs")?.unwrap_or_default() {
        request.log_probabilities = Some(top.unwrap_or_default());
    }
    let modalities = strings(config.items("responseModalities")?)?;
    if modalities
        .iter()
        .any(|modality| !modality.eq_ignore_ascii_case("text"))
    {
        return Err(ABILITY.lack(Feature::OtherOutput));
    }
    if let Some(thinking) = config.object("thinkingConfig")? {
        request.reasoning = Some(reasoning(thinking.camel()?).within("thinkingConfig")?);
    }
    let media_type = config.string("responseMimeType")?;
    let own = config.take("responseSchema").map(from_gemini);
    let schema = config.take("responseJsonSchema").or(own);
    request.output = match (media_type.as_deref(), schema) {
        (_, Some(schema)) => Output::Schema(Schema {
            name: None,
            description: None,
            schema,
            strict: Some(true),
        }),
        (Some("application/json"), None) => Output::Json,
        (None | Some("text/plain"), None) => Output::Text,
        (Some(_), None) => return Err(ABILITY.lack(Feature::OtherOutput)),
    };
    config.note(&["mediaResolution"], &mut request.notes);
    config.finish()
}

fn reasoning(mut fields: Fields) -> Result<Reasoning, Error> {
    let mut reasoning = Reasoning {
        shown: fields.bool("includeThoughts")?,
        ..Reasoning::default()
    };
    if let Some(level) = fields.string("thinkingLevel")? {
        let level = level.to_ascii_lowercase();
        reasoning.effort = Some(Effort::named(&level).ok_or_else(|| {
            Error::field("thinkingLevel", format!("`{level}` is no level known here"))
        })?);
    }
    if let Some(budget) = fields.number("thinkingBudget")? {
        // -1 leaves it to the model.
        reasoning.budget = budget.as_u64();
    }
    fields.finish()?;
    Ok(reasoning)
}
