//! What an answer says of what it took: tokens, or what else is counted.

use super::{Asked, Task};
use crate::form::Usage;
use crate::json::{Json, Members};

/// What is counted where tokens are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// Pictures that were made.
    pub images: u64,
    /// Letters that were read out.
    pub characters: u64,
    /// Sound that was listened to, in milliseconds.
    pub audio_ms: u64,
    /// Searches that a reranker counts.
    pub searches: u64,
}

/// What an answer took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Tokens, where they are told.
    pub usage: Option<Usage>,
    /// What else is counted.
    pub units: Units,
}

impl Told {
    /// What is known before an answer is read, and of one that is not: how much was to be read out.
    #[must_use]
    pub fn of_request(asked: &Asked<'_>) -> Self {
        let mut told = Self::default();
        if asked.task == Task::Speech
            && let Ok(members) = Members::read(asked.body)
        {
            let text = members.string("input").unwrap_or_default();
            told.units.characters = text.chars().count() as u64;
        }
        told
    }

    /// What an event of a stream of this task says besides.
    pub fn look(&mut self, task: Task, event: &[u8]) {
        // Only events at the end tell of tokens, and pictures in others are large.
        let word = b"\"usage\"";
        if !event.windows(word.len()).any(|bytes| bytes == word) {
            return;
        }
        let Ok(json) = Json::parse(event) else { return };
        if let Some(usage) = json.get("usage").and_then(tokens) {
            self.usage = Some(usage);
        }
        if matches!(task, Task::Images | Task::ImageEdits) {
            self.units.images += 1;
        }
    }
}

pub(super) fn told(asked: &Asked<'_>, answer: &Json) -> Told {
    let mut told = Told::of_request(asked);
    let of_gemini = |answer: &Json| {
        let counts = answer.get("usageMetadata")?;
        Some(Usage {
            input: counts.get("promptTokenCount")?.as_u64()?,
            ..Usage::default()
        })
    };
    let of_cohere = |answer: &Json| {
        let billed = answer.get("meta")?.get("billed_units")?;
        Some(Usage {
            input: billed.get("input_tokens")?.as_u64()?,
            ..Usage::default()
        })
    };
    let of_ollama = |answer: &Json| {
        Some(Usage {
            input: answer.get("prompt_eval_count")?.as_u64()?,
            ..Usage::default()
        })
    };
    told.usage = answer
        .get("usage")
        .and_then(tokens)
        .or_else(|| of_gemini(answer))
        .or_else(|| of_cohere(answer))
        .or_else(|| of_ollama(answer));
    let list = |name: &str| answer.get(name).and_then(Json::as_array).map(<[Json]>::len);
    match asked.task {
        Task::Images | Task::ImageEdits | Task::ImageVariations => {
            told.units.images = list("data").unwrap_or_default() as u64;
        }
        Task::Transcriptions | Task::Translations => {
            let seconds = answer.get("usage").and_then(|usage| usage.get("seconds"));
            let seconds = seconds.or_else(|| answer.get("duration"));
            told.units.audio_ms = seconds.and_then(milliseconds).unwrap_or_default();
        }
        Task::Rerank => {
            let billed = answer.get("meta").and_then(|meta| meta.get("billed_units"));
            let searches = billed.and_then(|billed| billed.get("search_units"));
            told.units.searches = searches.and_then(Json::as_u64).unwrap_or_default();
        }
        Task::Embeddings
        | Task::EmbedContent
        | Task::EmbedContents
        | Task::CountTokens
        | Task::CountContent
        | Task::Speech
        | Task::Moderations => {}
    }
    told
}

/// Seconds, as a number or a text of one.
fn milliseconds(seconds: &Json) -> Option<u64> {
    let text = match seconds {
        Json::Number(number) => number.as_str(),
        Json::String(text) => text,
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => return None,
    };
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let places: String = places.chars().chain("000".chars()).take(3).collect();
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(1_000)?.checked_add(places.parse().ok()?)
}

/// Tokens in the words of OpenAI's various forms.
fn tokens(usage: &Json) -> Option<Usage> {
    let of = |of: &Json, names: &[&str]| names.iter().find_map(|name| of.get(name)?.as_u64());
    let total = of(usage, &["total_tokens"]);
    let input = of(usage, &["prompt_tokens", "input_tokens"]).or(total)?;
    let output = of(usage, &["completion_tokens", "output_tokens"]);
    let details = usage
        .get("input_tokens_details")
        .or_else(|| usage.get("input_token_details"))
        .or_else(|| usage.get("prompt_tokens_details"));
    let detail = |name: &str| details.and_then(|details| of(details, &[name]));
    Some(Usage {
        input,
        output: output.unwrap_or_default(),
        audio_input: detail("audio_tokens").unwrap_or_default(),
        cached_input: detail("cached_tokens").unwrap_or_default(),
        ..Usage::default()
    })
}
