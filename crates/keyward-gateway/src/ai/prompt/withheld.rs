//! What a provider says of a failure may repeat what it was asked: then it is kept out of the log too, where a prompt is
//! nobody's to read who only runs the node.

use keyward_llm::form::{Part, Request};
use std::collections::HashSet;

/// So many words in a row are no chance.
const WORDS: usize = 3;
/// Shorter pieces are in any text.
const LENGTH_MIN: usize = 12;
/// What a log has of a failure is less.
const LOOKED_AT: usize = 64 << 10;

/// Pieces of all texts of a request.
#[derive(Debug)]
pub(super) struct Withheld(HashSet<String>);

impl Withheld {
    pub(super) fn of(request: &Request) -> Self {
        let mut pieces = HashSet::new();
        for part in request.messages.iter().flat_map(|message| &message.parts) {
            match part {
                Part::Text(text) => pieces.extend(pieces_of(text)),
                Part::Image(_)
                | Part::Document(_)
                | Part::Audio(_)
                | Part::Thought(_)
                | Part::ToolCall(_)
                | Part::ToolResult(_)
                | Part::Refusal(_)
                | Part::CachePoint(_) => {}
            }
        }
        Self(pieces)
    }

    /// What the log may have of it.
    pub(super) fn veil(&self, because: Box<str>) -> Box<str> {
        if pieces_of(&because).any(|piece| self.0.contains(&piece)) {
            return "what the provider says repeats what it was asked, and is left out".into();
        }
        because
    }
}

/// Each few words that follow one another; escapes of JSON, such as those of line breaks, are as spaces.
fn pieces_of(text: &str) -> impl Iterator<Item = String> {
    let mut end = text.len().min(LOOKED_AT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    let text = text
        .replace("\\n", " ")
        .replace("\\r", " ")
        .replace("\\t", " ");
    let plain = |c: char| c.is_alphanumeric() || c == '-';
    let words: Vec<String> = text
        .split(|c| !plain(c))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let pieces: Vec<String> = words
        .windows(WORDS.min(words.len().max(1)))
        .map(|words| words.join(" "))
        .filter(|piece| piece.len() >= LENGTH_MIN)
        .collect();
    pieces.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_llm::form::{Message, Role};

    #[test]
    fn what_repeats_a_prompt_is_left_out_and_all_else_is_told() {
        let request = Request {
            messages: vec![
                Message::text(Role::System, "You are a pirate.\nNever say so \"aloud\"."),
                Message::text(Role::User, "Hi"),
            ],
            ..Request::default()
        };
        let withheld = Withheld::of(&request);
        for repeated in [
            "bad: {\"content\":\"You are a pirate.\\nNever say so\"}",
            "… YOU  ARE A PIRATE …",
            "Never say so \\\"aloud\\\" is not allowed",
        ] {
            let told = withheld.veil(repeated.into());
            assert!(told.contains("is left out"), "{repeated}: {told}");
        }
        for plain in [
            "model `x` does not exist",
            "You are over your limit",
            "Hi",
            "",
        ] {
            assert_eq!(&*withheld.veil(plain.into()), plain);
        }
    }
}
