//! The most that a request can make a model read and write, told from its body alone, before it is sent.
//!
//! What holds a budget must not be below what is charged in the end, whoever's tokenizer counts. So nothing is tokenized
//! here: a token stands for a byte at least, in every tokenizer of bytes, and a request's JSON is no shorter than the text in
//! it. What is charged by something else than its length (pictures, documents, what the provider fetches or remembers) has
//! bounds of its own, each a constant here.

#[cfg(test)]
mod tests;

use crate::dialect::Dialect;
use crate::error::Error;
use crate::json::{Json, Members, Object};

/// What a provider adds to a request without tools: its own first message, and the marks of a conversation.
const ADDED: u64 = 256;
/// What a provider adds that explains tools to the model. The most that is documented, for operating a computer, is some
/// 1,300 tokens.
const ADDED_FOR_TOOLS: u64 = 2_048;
/// A picture in the request. The dearest that is documented (eight tiles for a small model that counts them high) has 48,169.
const PICTURE: u64 = 50_000;
/// A model's context where the catalogue does not know it: what the largest take in common use.
const CONTEXT: u64 = 1_048_576;
/// What a model may write where neither the request nor the catalogue says it: the most of those in common use.
const OUTPUT: u64 = 131_072;
/// A picture that is made: the dearest that is documented has 6,240.
const MADE: u64 = 8_192;
/// No provider makes more of them for one call.
const MADE_MAX: u64 = 10;
/// Whoever asks for more answers at once is refused by providers: the number is not believed further.
const CHOICES_MAX: u64 = 1_024;

/// Members that name what is not in the request: where their text is no data, the provider fetches or remembers it.
const REFERENCES: &[&str] = &[
    "url",
    "uri",
    "image_url",
    "file_url",
    "file_uri",
    "fileUri",
    "file_id",
    "file_data",
];
/// The same, of the request as a whole.
const REMEMBERED: &[&str] = &[
    "previous_response_id",
    "conversation",
    "cachedContent",
    "cached_content",
    "prompt",
    "container",
    "mcp_servers",
    "web_search_options",
    "vector_store_ids",
];
/// Members in which everything is text to the model, whatever it is called there.
const PLAIN: &[&str] = &[
    "parameters",
    "parametersJsonSchema",
    "input_schema",
    "schema",
    "json_schema",
    "response_schema",
    "responseSchema",
    "responseJsonSchema",
    "metadata",
    "args",
    "response",
];
/// Ways of being served that cost what the catalogue says, or less.
const USUAL_SERVICE: &[&str] = &[
    "auto",
    "default",
    "flex",
    "standard",
    "standard_only",
    "batch",
];
/// Tools that the caller runs, of those that a provider gives a type of their own.
const CALLERS_TOOLS: &[&str] = &["bash_", "text_editor_", "computer_", "memory_"];

/// The most that a request can take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestBound {
    /// What is in it, in tokens.
    text: u64,
    /// Whether the model reads what is not in it.
    refers: bool,
    /// The most that each answer may have, where it says so.
    output: Option<u64>,
    /// How many answers it asks for.
    choices: u64,
    /// What it foresees of the answer: what does not come true is charged beside the answer.
    foreseen: u64,
    /// The service that it asks for, where that has a price of its own.
    service: Option<Box<str>>,
}

impl RequestBound {
    /// Reads a request of a conversation.
    ///
    /// # Errors
    /// [`Error::Json`] and [`Error::TooLarge`], of a body that can't be read whole.
    pub fn read(form: Dialect, body: &[u8]) -> Result<Self, Error> {
        let request = Json::parse(body)?;
        let mut walk = Walk::default();
        walk.value(&request);
        let set = |name: &str| request.get(name).filter(|value| !value.is_null());
        let tools = set("tools").and_then(Json::as_array).unwrap_or_default();
        let added = if tools.is_empty() {
            ADDED
        } else {
            ADDED_FOR_TOOLS
        };
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let text = length
            .saturating_sub(walk.pictured)
            .saturating_add(walk.pictures.saturating_mul(PICTURE))
            .saturating_add(added);
        let refers = walk.refers
            || REMEMBERED.iter().any(|name| set(name).is_some())
            || tools.iter().any(is_providers_tool);
        let asked = Asked::of(form, &request);
        let service = ["service_tier", "speed"].iter().find_map(|name| {
            let word = set(name)?.as_str()?;
            (!USUAL_SERVICE.contains(&word)).then(|| word.into())
        });
        Ok(Self {
            text,
            refers,
            output: asked.output,
            choices: asked.choices.clamp(1, CHOICES_MAX),
            foreseen: set("prediction").map_or(0, |it| {
                u64::try_from(it.to_text().len()).unwrap_or(u64::MAX)
            }),
            service,
        })
    }

    /// Of what is read and not answered, such as texts that vectors are made of.
    #[must_use]
    pub fn of_reading(body: &[u8]) -> Self {
        Self {
            text: u64::try_from(body.len())
                .unwrap_or(u64::MAX)
                .saturating_add(ADDED),
            output: Some(0),
            choices: 1,
            ..Self::default()
        }
    }

    /// Of what is read and made into sound or pictures.
    #[must_use]
    pub fn of_making(body: &[u8]) -> Self {
        let members = Members::read(body).ok();
        let many = members.as_ref().and_then(|members| members.get("n"));
        let many = many.and_then(|many| Json::parse(many).ok()?.as_u64());
        Self {
            output: Some(MADE),
            choices: many.unwrap_or(1).clamp(1, MADE_MAX),
            ..Self::of_reading(body)
        }
    }

    /// Of files: what they are to a model has nothing to do with their bytes, but is no more than it can read.
    #[must_use]
    pub fn of_files() -> Self {
        Self {
            refers: true,
            output: Some(MADE),
            choices: MADE_MAX,
            ..Self::default()
        }
    }

    /// The most tokens that a model with this context reads. What is not in the request can fill all of it.
    #[must_use]
    pub fn input(&self, context: Option<u64>) -> u64 {
        if self.refers {
            self.text.max(context.unwrap_or(CONTEXT))
        } else {
            self.text
        }
    }

    /// The most tokens that a model writes which can write so many.
    #[must_use]
    pub fn output(&self, most: Option<u64>) -> u64 {
        self.of_each(self.output.unwrap_or_else(|| most.unwrap_or(OUTPUT)))
    }

    /// The most tokens in all answers where each has at most so many.
    #[must_use]
    pub fn of_each(&self, output: u64) -> u64 {
        output
            .saturating_mul(self.choices)
            .saturating_add(self.foreseen)
    }

    /// How many tokens each answer may have where all may have so many together.
    #[must_use]
    pub const fn for_each(&self, output: u64) -> u64 {
        output.saturating_sub(self.foreseen) / self.choices_or_one()
    }

    const fn choices_or_one(&self) -> u64 {
        if self.choices == 0 { 1 } else { self.choices }
    }

    /// The service that is asked for, where it costs something else than the catalogue says.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// The same request, which asks for at most so many tokens in each answer.
    ///
    /// # Errors
    /// [`Error::Json`] and [`Error::TooLarge`], as at [`read`](Self::read); [`Error::Field`] where the limit's place is
    /// taken by something else.
    pub fn lowered(&mut self, form: Dialect, body: &[u8], output: u64) -> Result<Vec<u8>, Error> {
        let Json::Object(mut request) = Json::parse(body)? else {
            return Err(Error::field("", "must be an object"));
        };
        match form {
            Dialect::OpenAiChat => {
                let old = request.get("max_completion_tokens").is_none()
                    && request.get("max_tokens").is_some();
                let name = if old {
                    "max_tokens"
                } else {
                    "max_completion_tokens"
                };
                request.set(name, output);
                if !old {
                    // What a request says beside it must not say more.
                    let _said_twice = request.take("max_tokens");
                }
            }
            Dialect::OpenAiResponses => request.set("max_output_tokens", output),
            Dialect::Gemini => {
                let snake = request.get("generation_config").is_some();
                let name = if snake {
                    "generation_config"
                } else {
                    "generationConfig"
                };
                let mut settings = match request.take(name) {
                    Some(Json::Object(settings)) => settings,
                    None | Some(Json::Null) => Object::new(),
                    Some(_) => return Err(Error::field(name, "must be an object")),
                };
                let _other_spelling = settings.take("max_output_tokens");
                settings.set("maxOutputTokens", output);
                request.set(name, settings);
            }
            Dialect::Anthropic | Dialect::Bedrock | Dialect::Ollama | Dialect::Cohere => {
                request.set("max_tokens", output);
            }
        }
        self.output = Some(output);
        Ok(Json::Object(request).to_bytes())
    }
}

/// What a request says of its answer.
struct Asked {
    output: Option<u64>,
    choices: u64,
}

impl Asked {
    fn of(form: Dialect, request: &Json) -> Self {
        let number = |of: &Json, name: &str| of.get(name).and_then(Json::as_u64);
        // A limit that is there and can't be read as a whole number is none: the provider may read it otherwise.
        let unread = |of: &Json, names: &[&str]| {
            names.iter().any(|name| {
                of.get(name)
                    .is_some_and(|value| !value.is_null() && value.as_u64().is_none())
            })
        };
        let most = |of: &Json, names: &[&str]| {
            let most = names.iter().filter_map(|name| number(of, name)).max();
            most.filter(|_| !unread(of, names))
        };
        match form {
            Dialect::OpenAiChat => Self {
                output: most(request, &["max_tokens", "max_completion_tokens"]),
                choices: number(request, "n").unwrap_or(1),
            },
            Dialect::OpenAiResponses => Self {
                output: most(request, &["max_output_tokens"]),
                choices: 1,
            },
            Dialect::Anthropic | Dialect::Bedrock | Dialect::Ollama | Dialect::Cohere => Self {
                output: most(request, &["max_tokens"]),
                choices: 1,
            },
            Dialect::Gemini => {
                let mut asked = Self {
                    output: None,
                    choices: 1,
                };
                for name in ["generationConfig", "generation_config"] {
                    let Some(settings) = request.get(name) else {
                        continue;
                    };
                    let output = most(settings, &["maxOutputTokens", "max_output_tokens"]);
                    asked.output = asked.output.max(output);
                    for name in ["candidateCount", "candidate_count"] {
                        let choices = number(settings, name).unwrap_or(1);
                        asked.choices = asked.choices.max(choices);
                    }
                }
                asked
            }
        }
    }
}

/// Whether the provider runs a tool, and reads what that finds.
fn is_providers_tool(tool: &Json) -> bool {
    let declares = |name: &str| tool.get(name).is_some();
    match tool.get("type").and_then(Json::as_str) {
        Some("function" | "custom") => false,
        Some(word) => !CALLERS_TOOLS.iter().any(|known| word.starts_with(known)),
        // Anthropic's have no type, Gemini's are in a list.
        None => {
            let own = declares("input_schema")
                || declares("functionDeclarations")
                || declares("function_declarations");
            let others = tool.as_object().is_some_and(|tool| {
                tool.iter().any(|(name, value)| {
                    !value.is_null() && (name.starts_with("google") || name.starts_with("url"))
                })
            });
            !own || others
        }
    }
}

/// What is found in a request.
#[derive(Default)]
struct Walk {
    pictures: u64,
    /// The bytes of pictures, which are not their tokens.
    pictured: u64,
    refers: bool,
}

impl Walk {
    /// The depth is bounded where JSON is read.
    fn value(&mut self, value: &Json) {
        match value {
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
            Json::Array(items) => items.iter().for_each(|item| self.value(item)),
            Json::Object(object) => self.object(object),
        }
    }

    fn object(&mut self, object: &Object) {
        let text = |name: &str| object.get(name).and_then(Json::as_str);
        let media = ["media_type", "mimeType", "mime_type"];
        let media = media.into_iter().find_map(text);
        let calls = text("type").is_some_and(|word| word.ends_with("tool_use"));
        for (name, value) in object.iter() {
            match value.as_str() {
                Some(data) if name == "data" => {
                    if let Some(media) = media {
                        self.data(media, data);
                    }
                }
                Some(place) if REFERENCES.contains(&name) => self.reference(place),
                Some(_) => {}
                None if PLAIN.contains(&name) || (calls && name == "input") => {}
                None => self.value(value),
            }
        }
    }

    fn reference(&mut self, place: &str) {
        match place.strip_prefix("data:") {
            Some(data) => self.data(data, place),
            None => self.refers |= !place.is_empty(),
        }
    }

    /// Data of a type. Sound has more bytes than tokens, at whatever rate; a document's or a film's bytes say nothing.
    fn data(&mut self, media: &str, data: &str) {
        if media.starts_with("image/") {
            self.pictures = self.pictures.saturating_add(1);
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            self.pictured = self.pictured.saturating_add(length);
        } else if !media.starts_with("audio/") && !media.starts_with("text/plain") {
            self.refers = true;
        }
    }
}
