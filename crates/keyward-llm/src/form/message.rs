//! What is said, by whom.

use crate::dialect::Dialect;
use crate::json::Json;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What, in its order.
    pub parts: Vec<Part>,
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The operator of the application; older dialects' word.
    System,
    /// The operator of the application; OpenAI's newer word.
    Developer,
    /// The one who asks; results of tools are theirs too.
    User,
    /// The model.
    Assistant,
}

/// A part of a message or of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text.
    Text(String),
    /// A picture.
    Image(Image),
    /// A document.
    Document(Document),
    /// Sound.
    Audio(Audio),
    /// What the model thought before.
    Thought(Thought),
    /// A tool that the model calls.
    ToolCall(ToolCall),
    /// What a tool gave.
    ToolResult(ToolResult),
    /// Why the model will not.
    Refusal(String),
    /// What stands before it may be kept by the provider for the next call.
    CachePoint(CacheLife),
}

/// How long a provider keeps what it has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheLife {
    /// As the provider does by default.
    Short,
    /// An hour.
    Hour,
}

/// Where content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Here, in base64.
    Inline {
        /// Its type, such as `image/png`.
        media_type: String,
        /// In base64, as it came.
        data: String,
    },
    /// Where the provider can fetch it.
    Address(String),
    /// With the provider, under this id.
    File(String),
    /// Here, as plain text.
    Text(String),
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Where it is.
    pub source: Source,
    /// How closely it is looked at, as OpenAI names it.
    pub detail: Option<String>,
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Where it is.
    pub source: Source,
    /// What it is called.
    pub name: Option<String>,
}

/// Sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// Its type, such as `audio/wav`.
    pub media_type: String,
    /// In base64.
    pub data: String,
}

/// What a model thought, as far as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thought {
    /// What is shown of it.
    pub text: String,
    /// What the maker wants to see again.
    pub signature: Option<Signature>,
    /// Whether there is only the signature: nothing is shown.
    pub redacted: bool,
}

/// A maker's proof of what its model thought: it means something to that maker alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Whose it is.
    pub maker: Dialect,
    /// As it came.
    pub value: String,
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// By what its result will name it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments: a JSON object as text, as the model wrote it.
    pub arguments: String,
    /// The maker's signature, when it goes with the call (Gemini).
    pub signature: Option<Signature>,
}

/// What a tool gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// Of which call.
    pub id: String,
    /// Of which tool, when that is told.
    pub name: Option<String>,
    /// Text, images and documents.
    pub content: Vec<Part>,
    /// Whether it tells of an error.
    pub is_error: bool,
}

impl Message {
    /// A message of parts.
    #[must_use]
    pub const fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, parts }
    }

    /// A message that is text.
    #[must_use]
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self::new(role, vec![Part::Text(text.into())])
    }
}

impl Role {
    /// Whether it instructs rather than converses.
    #[must_use]
    pub const fn instructs(self) -> bool {
        match self {
            Self::System | Self::Developer => true,
            Self::User | Self::Assistant => false,
        }
    }
}

impl ToolCall {
    /// The arguments as an object: what stands in the text where it is one, else nothing.
    pub(crate) fn object(&self) -> Option<Json> {
        if self.arguments.trim().is_empty() {
            return Some(Json::Object(crate::json::Object::new()));
        }
        Json::parse(self.arguments.as_bytes())
            .ok()
            .filter(|json| json.as_object().is_some())
    }
}

impl ToolResult {
    /// The text of a result that is text alone.
    pub(crate) fn as_text(&self) -> Option<String> {
        joined(&self.content)
    }
}

/// The text of parts that are text alone.
pub(crate) fn joined(parts: &[Part]) -> Option<String> {
    let mut all = String::new();
    for part in parts {
        match part {
            Part::Text(text) => all.push_str(text),
            Part::CachePoint(_) => {}
            Part::Image(_)
            | Part::Document(_)
            | Part::Audio(_)
            | Part::Thought(_)
            | Part::ToolCall(_)
            | Part::ToolResult(_)
            | Part::Refusal(_) => return None,
        }
    }
    Some(all)
}
