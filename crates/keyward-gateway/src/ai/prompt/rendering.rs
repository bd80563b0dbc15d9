//! A prompt and its variables, made into what a model is asked.

use super::compiled::CompiledPrompt;
use super::template::{Templates, Unrendered, called};
use super::variables::Sent;
use keyward_llm::form::{
    self, Effort, Image, Message, Part, Reasoning, Request, Role, Sampling, Source, Tool,
    ToolChoice,
};
use keyward_llm::json::{Json, Number};
use keyward_model::resource::Prompt;
use keyward_model::resource::prompt::{
    Output, Parameters, PromptPart, PromptRole, PromptTool, PromptToolChoice,
};
use serde_json::{Map, Value};

/// What an output's schema is called, where the dialect wants a name.
const OUTPUT_NAME: &str = "output";
/// What all messages give together: each may be as long as one, but not all of them.
const TOGETHER_MAX: usize = 4 << 20;

/// The prompt's own messages. Those that come out empty are left out: a part of a prompt that an optional variable
/// decides about. The last is the question, without which there is nothing to ask.
pub(super) fn messages(
    prompt: &Prompt,
    templates: &Templates,
    context: &minijinja::Value,
    values: &Map<String, Value>,
) -> Result<Vec<Message>, Unrendered> {
    let mut all = Vec::with_capacity(prompt.messages.len());
    let mut together = 0_usize;
    for (index, message) in prompt.messages.iter().enumerate() {
        let alone = message.parts.len() == 1;
        let mut parts = Vec::with_capacity(message.parts.len());
        for (number, part) in message.parts.iter().enumerate() {
            match part {
                PromptPart::Text(_) => {
                    let (index, number) = (index.to_string(), number.to_string());
                    let path: Vec<Box<str>> = if alone {
                        vec!["messages".into(), index.into(), "text".into()]
                    } else {
                        let at = ["messages", &index, "parts", &number, "text"];
                        at.iter().map(|key| (*key).into()).collect()
                    };
                    let text = templates.render(&called(&path), context)?;
                    together += text.len();
                    if together > TOGETHER_MAX {
                        return Err(Unrendered::TooMuch);
                    }
                    if !text.trim().is_empty() {
                        parts.push(Part::Text(text));
                    }
                }
                PromptPart::Image(name) => {
                    let value = values.get(&**name).and_then(Value::as_str);
                    parts.extend(value.and_then(image));
                }
            }
        }
        if !parts.is_empty() {
            all.push(Message::new(role(message.role), parts));
        } else if index + 1 == prompt.messages.len() {
            return Err(Unrendered::Empty);
        }
    }
    Ok(all)
}

const fn role(role: PromptRole) -> Role {
    match role {
        PromptRole::System => Role::System,
        PromptRole::User => Role::User,
        PromptRole::Assistant => Role::Assistant,
    }
}

/// A picture that fits its variable's schema.
fn image(value: &str) -> Option<Part> {
    let source = match value.strip_prefix("data:") {
        Some(data) => {
            let (media_type, data) = data.split_once(";base64,")?;
            Source::Inline {
                media_type: media_type.to_owned(),
                data: data.to_owned(),
            }
        }
        None => Source::Address(value.to_owned()),
    };
    Some(Part::Image(Image {
        source,
        detail: None,
    }))
}

/// What the model is asked: instructions, then examples, then the question, then what tools gave.
pub(super) fn request(
    compiled: &CompiledPrompt,
    sent: &Sent,
    stream: bool,
) -> Result<Request, Unrendered> {
    let prompt = compiled.prompt();
    let context = compiled.templates.context(&sent.values)?;
    let own = messages(prompt, &compiled.templates, &context, &sent.values)?;
    let first = own
        .iter()
        .position(|message| !message.role.instructs())
        .unwrap_or_default();
    let mut all = own;
    let rest = all.split_off(first);
    all.extend(compiled.examples.iter().cloned());
    all.extend(rest);
    all.extend(sent.turns.iter().cloned());
    let json = |value: &Value| {
        Json::parse(value.to_string().as_bytes())
            .map_err(|error| Unrendered::Failed(error.to_string()))
    };
    let output = match &prompt.output {
        Output::Text => form::Output::Text,
        Output::Schema(output) => form::Output::Schema(form::Schema {
            name: Some(OUTPUT_NAME.to_owned()),
            description: None,
            schema: json(&output.schema)?,
            strict: output.strict,
        }),
    };
    let tool = |tool: &PromptTool| {
        Ok(Tool {
            name: tool.name.to_string(),
            description: tool.description.as_deref().map(str::to_owned),
            parameters: tool.parameters.as_ref().map(json).transpose()?,
            strict: None,
            cache: None,
        })
    };
    let parameters = &prompt.parameters;
    let effort = parameters.reasoning_effort.and_then(Effort::named);
    Ok(Request {
        model: prompt.model.to_string(),
        messages: all,
        tools: prompt.tools.iter().map(tool).collect::<Result<_, _>>()?,
        tool_choice: prompt.tool_choice.as_ref().map(|choice| match choice {
            PromptToolChoice::Auto => ToolChoice::Auto,
            // What was asked for was called: else it would be called for ever.
            PromptToolChoice::Required | PromptToolChoice::Tool(_) if !sent.turns.is_empty() => {
                ToolChoice::Auto
            }
            PromptToolChoice::Required => ToolChoice::Required,
            PromptToolChoice::Tool(name) => ToolChoice::Tool(name.to_string()),
        }),
        output,
        max_tokens: parameters.max_output_tokens,
        sampling: sampling(parameters)?,
        stop: parameters.stop.iter().map(ToString::to_string).collect(),
        seed: parameters.seed,
        reasoning: effort.map(|effort| Reasoning {
            effort: Some(effort),
            ..Reasoning::default()
        }),
        stream,
        stream_usage: stream,
        ..Request::default()
    })
}

fn sampling(parameters: &Parameters) -> Result<Sampling, Unrendered> {
    let number = |number: &Option<serde_json::Number>| -> Result<Option<Number>, Unrendered> {
        let Some(number) = number else {
            return Ok(None);
        };
        let read = Json::parse(number.to_string().as_bytes());
        let read = read.map_err(|error| Unrendered::Failed(error.to_string()))?;
        Ok(read.as_number().cloned())
    };
    Ok(Sampling {
        temperature: number(&parameters.temperature)?,
        top_p: number(&parameters.top_p)?,
        frequency_penalty: number(&parameters.frequency_penalty)?,
        presence_penalty: number(&parameters.presence_penalty)?,
        ..Sampling::default()
    })
}
