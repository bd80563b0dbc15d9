//! What goes along with a translation: where a request goes, to which model, and what the call's own facts are.

use crate::error::Error;
use crate::json::Object;

/// What a request's address says beside its body (Gemini has the model and the streaming there).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// The model.
    pub model: String,
    /// Whether the answer is streamed.
    pub stream: bool,
}

/// The facts of one call that translation needs and can't know: there is no clock and no chance in this crate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// What is this call's alone: letters and digits, at most 32. Ids are made of it where a provider gives none.
    pub id: String,
    /// Seconds since 1970.
    pub now: u64,
}

/// The model that is asked, and what is special about it and its provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The model, as the provider names it.
    pub model: String,
    /// The most it can write, where that is known: a dialect may want it said.
    pub max_output: Option<u64>,
    /// What is special.
    pub quirks: Quirks,
}

/// How providers differ that speak the same dialect. The default is the dialect as its inventor speaks it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// `max_tokens` is the name, not `max_completion_tokens`.
    pub old_max_tokens: bool,
    /// The role `developer` is not known: `system` is.
    pub no_developer_role: bool,
    /// What the seed is called.
    pub seed_name: SeedName,
    /// A tool that must be called is `any`, whether it is named or not (Mistral).
    pub any_tool: bool,
    /// A tool that must be called can't be said (Moonshot).
    pub no_required_tool: bool,
    /// Content is text alone, and not a list.
    pub text_only: bool,
    /// `strict` and `additionalProperties` are taken out of tools.
    pub loose_tools: bool,
    /// What the assistant thought goes back with its message, as `reasoning_content`.
    pub returns_reasoning: bool,
    /// `cache_control` is kept on text.
    pub cache_control: bool,
    /// The model reasons by effort (`adaptive`), not by a budget (Anthropic's newer ones).
    pub adaptive_reasoning: bool,
    /// The model knows levels of reasoning, not budgets, and wants its signatures again (Gemini from 3 on).
    pub reasoning_levels: bool,
    /// A stream is asked without `stream_options`, which the provider does not know.
    pub no_stream_options: bool,
    /// How many documents a reranker gives is `top_k`, and it gives them as `data` (Voyage).
    pub rerank_top_k: bool,
    /// It is spoken at the addresses of Google's Vertex.
    pub on_vertex: bool,
    /// Which members of a request choose other models than `model` says.
    pub model_members: ModelMembers,
}

/// Which members of a request choose other models than `model` says. They are refused where nothing is translated: whom
/// callers may ask is decided by the model's name alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModelMembers {
    /// None that is known beside those of tools.
    #[default]
    None,
    /// Whatever they are, they may be used.
    Allowed,
    /// OpenRouter's.
    OpenRouter,
    /// Those of Vercel's gateway.
    Vercel,
    /// Those of all routers that are known: for a server of which nothing is.
    Any,
}

/// What the seed is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeedName {
    /// `seed`.
    #[default]
    Seed,
    /// `random_seed` (Mistral).
    RandomSeed,
}

/// A request as it goes to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// What stands behind the provider's base address.
    pub path: String,
    /// The body.
    pub body: Vec<u8>,
    /// What was left out, since it has no bearing on what the model answers, or was said in another way: told to the
    /// caller.
    pub notes: Vec<String>,
}

impl Outgoing {
    pub(super) fn new(path: impl Into<String>, body: Object, notes: Vec<String>) -> Self {
        let mut unique: Vec<String> = Vec::with_capacity(notes.len());
        for note in notes {
            if !unique.contains(&note) {
                unique.push(note);
            }
        }
        Self {
            path: path.into(),
            body: crate::json::Json::Object(body).to_bytes(),
            notes: unique,
        }
    }
}

/// The model's name, where it may be part of a path: a name such as `../../admin` would lead elsewhere.
pub(crate) fn path_segment(model: &str) -> Result<&str, Error> {
    let letters = |segment: &str| {
        segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte))
    };
    let sound = |segment: &str| {
        !segment.is_empty() && letters(segment) && !segment.bytes().all(|byte| byte == b'.')
    };
    if model.split('/').all(sound) {
        Ok(model)
    } else {
        Err(Error::ModelName(model.chars().take(100).collect()))
    }
}
