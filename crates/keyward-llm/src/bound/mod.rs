//! The most that a request can make a model read and write, told from its body alone, before it is sent.
//!
//! What holds a budget must not be below what is charged in the end, whoever's tokenizer counts. So nothing is tokenized
//! here: a token stands for a byte at least, in every tokenizer of bytes, and a request's JSON is no shorter than the text in
//! it. What is charged by something else than its length (pictures, documents, what the provider fetches or remembers) has
//! bounds of its own, each a constant here.

mod asked;
mod walk;

#[cfg(test)]
mod tests;

use crate::dialect::Dialect;
use crate::error::Error;
use crate::json::{Json, Members, Object};
use asked::Asked;
use walk::Walk;

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

/// Members of the request as a whole by which the provider fetches or remembers what is not in it.
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
    /// Whether it reads what is no text.
    pictures: bool,
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
        asked::check_names(form, &request)?;
        let mut walk = Walk::default();
        walk.value("", &request);
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
            || (form == Dialect::OpenAiResponses && set("input").is_some_and(walk::names_kept))
            || tools.iter().any(is_providers_tool);
        let asked = Asked::of(form, &request);
        let service = ["service_tier", "speed"].iter().find_map(|name| {
            let word = set(name)?.as_str()?;
            (!USUAL_SERVICE.contains(&word)).then(|| word.into())
        });
        Ok(Self {
            text,
            refers,
            pictures: walk.pictures > 0,
            output: asked.output,
            choices: asked.choices,
            foreseen: set("prediction").map_or(0, |it| {
                u64::try_from(it.to_text().len()).unwrap_or(u64::MAX)
            }),
            service,
        })
    }

    /// Of what is read and not answered, such as texts that vectors are made of.
    #[must_use]
    pub fn of_reading(body: &[u8]) -> Self {
        let mut walk = Walk::default();
        if let Ok(request) = Json::parse(body) {
            walk.value("", &request);
        }
        Self {
            refers: walk.refers,
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
        let many = many.and_then(|many| Json::parse(many).ok());
        Self {
            output: Some(MADE),
            choices: asked::count(many.as_ref(), MADE_MAX),
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

    /// Whether its text does not tell what the model reads: nobody can count that here.
    #[must_use]
    pub const fn is_opaque(&self) -> bool {
        self.refers || self.pictures
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
