//! What a choice among a model's targets has to know of a call: about how much it asks, what it needs, and for whom.

use super::chain::Chain;
use super::plan::AiTarget;
use crate::upstream::hash_of;
use keyward_llm::Dialect;
use keyward_llm::form::{Message, Output, Part, Request, Usage};
use keyward_llm::json::Json;
use keyward_model::resource::{AskedAbility, Sticky, TargetCondition};

/// Bytes of text that make about a token, over the languages and tokenizers in use.
const BYTES_OF_TOKEN: u64 = 4;
/// A string that is longer and has no space is no text but a picture or a file in base64.
const LONGEST_WORD: usize = 1_024;
/// What such a one counts for: about what providers count for a picture.
const TOKENS_OF_PICTURE: u64 = 1_000;
/// What an answer takes, where the request does not say how long it may be.
const USUAL_OUTPUT: u64 = 1_000;

/// Abilities as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs(u8);

impl Needs {
    pub(crate) fn add(&mut self, ability: AskedAbility) {
        self.0 |= 1 << ability as u8;
    }

    /// Those that are in both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in either.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All of these.
    pub(crate) fn of(abilities: impl IntoIterator<Item = AskedAbility>) -> Self {
        let mut needs = Self::default();
        for ability in abilities {
            needs.add(ability);
        }
        needs
    }
}

impl Chain<'_> {
    /// Whether a target takes the call.
    pub(super) fn fits(&self, when: &TargetCondition) -> bool {
        let bounded = when.min_input_tokens > 0 || when.max_input_tokens.is_some();
        if bounded {
            let tokens = self.input_tokens();
            let over = when.max_input_tokens.is_some_and(|most| tokens > most);
            if over || tokens < when.min_input_tokens {
                return false;
            }
        }
        let wanted = Needs::of(when.abilities.iter().copied());
        if !wanted.is_empty() && self.needs().and(wanted).is_empty() {
            return false;
        }
        let caller = self.call.admitted.authenticated().caller();
        when.claims.is_empty() || keyward_access::claims_fit(caller, &when.claims)
    }

    /// Whether the catalogue knows that a target lacks what is asked for.
    pub(super) fn lacks(&self, target: &AiTarget) -> bool {
        !target.lacks.is_empty() && !self.needs().and(target.lacks).is_empty()
    }

    /// What the call costs at a target, about: what is asked, and as much of an answer as it may have or as is usual.
    pub(super) fn cost(&self, target: &AiTarget) -> Option<i64> {
        let usage = Usage {
            input: self.input_tokens(),
            output: self.output_tokens(),
            ..Usage::default()
        };
        let price = target.price.as_ref()?;
        Some(price.cost(&usage, Default::default())?.0)
    }

    /// What is alike of calls that go to the same target.
    pub(super) fn key(&self, by: &Sticky) -> Option<u64> {
        match by {
            Sticky::Subject => {
                let caller = self.call.admitted.authenticated().caller();
                if let Some(subject) = caller.subject() {
                    let issuer = caller.issuer.as_deref().unwrap_or_default();
                    // A line break stands in neither.
                    return Some(hash_of(format!("{issuer}\n{subject}").as_bytes()));
                }
                let credential = caller.credential?;
                Some(hash_of(credential.to_string().as_bytes()))
            }
            Sticky::Header(name) => {
                let mut keys = self.asked.sticky.iter();
                keys.find(|(known, _)| known == name).map(|(_, key)| *key)
            }
            Sticky::User => {
                let members = self.asked.body.members().ok()?;
                let named = members
                    .string("user")
                    .or_else(|| members.string("safety_identifier"))
                    .or_else(|| {
                        let metadata = Json::parse(members.get("metadata")?).ok()?;
                        Some(metadata.get("user_id")?.as_str()?.to_owned())
                    })?;
                Some(hash_of(named.as_bytes()))
            }
        }
    }

    /// About how many tokens are asked: enough to choose by, and for nothing that is paid for.
    pub(super) fn input_tokens(&self) -> u64 {
        *self.tokens.get_or_init(|| tokens_of(&self.asked.body))
    }

    fn output_tokens(&self) -> u64 {
        let Ok(members) = self.asked.body.members() else {
            return USUAL_OUTPUT;
        };
        let whole = |value: &[u8]| Json::parse(value).ok()?.as_u64();
        let names: &[&str] = match self.asked.form {
            Dialect::OpenAiChat => &["max_completion_tokens", "max_tokens"],
            Dialect::OpenAiResponses => &["max_output_tokens"],
            Dialect::Anthropic => &["max_tokens"],
            Dialect::Gemini | Dialect::Bedrock | Dialect::Ollama | Dialect::Cohere => &[],
        };
        let told = names
            .iter()
            .find_map(|name| members.get(name).and_then(whole));
        told.map_or(USUAL_OUTPUT, |most| most.min(USUAL_OUTPUT))
    }

    /// What the call needs of those abilities that a target lacks or asks about.
    pub(super) fn needs(&self) -> Needs {
        *self.needed.get_or_init(|| {
            if self.asked.task.is_some() {
                return Needs::default();
            }
            let told = told_of(&self.asked.body).and(self.asked.model.looks_for);
            if told.is_empty() {
                return Needs::default();
            }
            match self.request() {
                Ok(request) => of_request(request).and(told),
                // What only a provider of the caller's dialect can read: its words are all there is.
                Err(_) => told,
            }
        })
    }
}

/// The words without which a body needs no such thing, in any dialect.
const WORDS: &[(AskedAbility, &[&str])] = &[
    (AskedAbility::Tools, &["\"tools\""]),
    (AskedAbility::JsonSchema, &["schema", "Schema"]),
    (AskedAbility::Reasoning, &["reasoning", "thinking"]),
    (AskedAbility::Vision, &["image"]),
    (AskedAbility::Pdf, &["file", "document", "pdf"]),
    (AskedAbility::AudioIn, &["audio"]),
];

fn told_of(body: &[u8]) -> Needs {
    let tells = |words: &[&str]| {
        words
            .iter()
            .any(|word| memchr::memmem::find(body, word.as_bytes()).is_some())
    };
    let told = WORDS.iter().filter(|(_, words)| tells(words));
    Needs::of(told.map(|(ability, _)| *ability))
}

fn of_request(request: &Request) -> Needs {
    let mut needs = Needs::default();
    if !request.tools.is_empty() {
        needs.add(AskedAbility::Tools);
    }
    if matches!(request.output, Output::Schema(_)) {
        needs.add(AskedAbility::JsonSchema);
    }
    let reasoning = request.reasoning.as_ref();
    if reasoning.is_some_and(|asked| asked.effort.is_some() || asked.budget.is_some()) {
        needs.add(AskedAbility::Reasoning);
    }
    let parts = |message: &Message| {
        message
            .parts
            .iter()
            .fold(Needs::default(), |needs, part| needs.or(of_part(part)))
    };
    request
        .messages
        .iter()
        .fold(needs, |needs, message| needs.or(parts(message)))
}

fn of_part(part: &Part) -> Needs {
    match part {
        Part::Image(_) => Needs::of([AskedAbility::Vision]),
        Part::Document(_) => Needs::of([AskedAbility::Pdf]),
        Part::Audio(_) => Needs::of([AskedAbility::AudioIn]),
        Part::ToolResult(result) => result
            .content
            .iter()
            .fold(Needs::default(), |needs, part| needs.or(of_part(part))),
        Part::Text(_)
        | Part::Thought(_)
        | Part::ToolCall(_)
        | Part::Refusal(_)
        | Part::CachePoint(_) => Needs::default(),
    }
}

/// About the tokens of the texts in JSON.
fn tokens_of(body: &[u8]) -> u64 {
    let (mut text, mut pictures) = (0_u64, 0_u64);
    let mut rest = body;
    while let Some(begin) = memchr::memchr(b'"', rest) {
        let inside = rest.get(begin + 1..).unwrap_or_default();
        let mut end = 0;
        // The quote that no stroke stands before, or the end.
        loop {
            match memchr::memchr2(b'"', b'\\', inside.get(end..).unwrap_or_default()) {
                Some(at) if inside.get(end + at) == Some(&b'\\') => end += at + 2,
                Some(at) => {
                    end += at;
                    break;
                }
                None => {
                    end = inside.len();
                    break;
                }
            }
        }
        let string = inside.get(..end.min(inside.len())).unwrap_or_default();
        if string.len() > LONGEST_WORD
            && memchr::memchr(b' ', string).is_none()
            && string.is_ascii()
        {
            pictures += 1;
        } else {
            text += string.len() as u64;
        }
        rest = inside.get(end + 1..).unwrap_or_default();
    }
    text / BYTES_OF_TOKEN + pictures * TOKENS_OF_PICTURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_about_a_quarter_of_the_text_s_bytes_and_pictures_count_for_themselves() {
        assert_eq!(tokens_of(b"{}"), 0);
        let text = format!(r#"{{"content":"{}"}}"#, "word ".repeat(800));
        assert!((1_000..1_010).contains(&tokens_of(text.as_bytes())));
        let picture = format!(
            r#"{{"url":"data:image/png;base64,{}"}}"#,
            "A".repeat(1 << 20)
        );
        assert!((1_000..1_010).contains(&tokens_of(picture.as_bytes())));
        let quoted = format!(r#"{{"content":"{}"}}"#, r#"a \"b\" \\"#.repeat(400));
        assert!((1_000..1_010).contains(&tokens_of(quoted.as_bytes())));
        // What does not end is counted as far as it goes.
        assert_eq!(tokens_of(br#"{"content":"abcd\"#), (7 + 5) / 4);
    }

    #[test]
    fn words_tell_what_may_be_needed() {
        let told = told_of(br#"{"tools":[],"messages":[{"content":"an image"}]}"#);
        assert_eq!(told, Needs::of([AskedAbility::Tools, AskedAbility::Vision]));
    }
}
