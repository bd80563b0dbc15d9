//! What a provider says of a failure may repeat what it was asked: then it is kept out of the log too, where a prompt is
//! nobody's to read who only runs the node.

use keyward_llm::Target;
use keyward_llm::form::Request;
use serde_json::Value;
use std::collections::HashSet;

/// So many letters in a row, whatever stands between them, are no chance.
const LETTERS: usize = 12;
/// Of scripts that write words in one or two.
const WIDE_LETTERS: usize = 5;
/// What a log has of a failure is less.
const LOOKED_AT: usize = 64 << 10;

/// The letters of all texts of a request.
#[derive(Debug)]
pub(super) struct Withheld(Vec<Vec<char>>);

impl Withheld {
    pub(super) fn of(request: &Request) -> Self {
        let mut texts = Vec::new();
        // As it is written: messages, what tools are and take, schemas, and whatever comes later.
        let written = super::asked::DIALECT.write_request(request, &Target::default());
        let body = written
            .ok()
            .and_then(|outgoing| serde_json::from_slice(&outgoing.body).ok());
        match body {
            Some(Value::Object(members)) => {
                let members = members.iter().filter(|(name, _)| *name != "model");
                members.for_each(|(_, value)| take(value, &mut texts));
            }
            Some(
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_),
            )
            | None => {}
        }
        Self(texts)
    }

    /// What the log may have of it.
    pub(super) fn veil(&self, because: Box<str>) -> Box<str> {
        let said = letters(
            because
                .get(..floor(&because, LOOKED_AT))
                .unwrap_or_default(),
        );
        let repeats = |length: usize, counts: fn(&[char]) -> bool| {
            let said: HashSet<&[char]> = said.windows(length).filter(|row| counts(row)).collect();
            let mut rows = self.0.iter().flat_map(|text| text.windows(length));
            !said.is_empty() && rows.any(|row| said.contains(row))
        };
        if repeats(LETTERS, |_| true)
            || repeats(WIDE_LETTERS, |row| row.iter().all(|c| is_wide(*c)))
        {
            return "what the provider says repeats what it was asked, and is left out".into();
        }
        because
    }
}

fn take(value: &Value, texts: &mut Vec<Vec<char>>) {
    match value {
        Value::String(text) => texts.push(letters(text)),
        Value::Array(items) => items.iter().for_each(|item| take(item, texts)),
        Value::Object(members) => members.values().for_each(|value| take(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Small letters and digits alone; escapes of JSON, such as those of line breaks, are as spaces.
fn letters(text: &str) -> Vec<char> {
    let text = text
        .replace("\\n", " ")
        .replace("\\r", " ")
        .replace("\\t", " ");
    let letters = text.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// Whether a letter is one of Chinese, Japanese or Korean.
const fn is_wide(letter: char) -> bool {
    matches!(letter, '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_llm::form::{Message, Role, Tool};
    use keyward_llm::json::Json;

    #[test]
    fn what_repeats_a_prompt_is_left_out_and_all_else_is_told() {
        let schema =
            br#"{"type":"object","properties":{"a":{"description":"The colour of the parrot"}}}"#;
        let request = Request {
            model: "a-model-of-a-long-name".to_owned(),
            messages: vec![
                Message::text(
                    Role::System,
                    "You are a pirate.\nNever say so \"aloud\". 你是一个海盗，永远不要说。",
                ),
                Message::text(Role::User, "Hi"),
            ],
            tools: vec![Tool {
                name: "look".to_owned(),
                description: Some("Looks through the spyglass".to_owned()),
                parameters: Some(Json::parse(schema).unwrap()),
                strict: None,
                cache: None,
            }],
            ..Request::default()
        };
        let withheld = Withheld::of(&request);
        for repeated in [
            "bad: {\"content\":\"You are a pirate.\\nNever say so\"}",
            "… YOU  ARE A PIRATE …",
            "Never say so \\\"aloud\\\" is not allowed",
            "错误：“一个海盗，永远”",
            "tool `looks through the spyglass` is bad",
            "colour of the parrot: no such keyword",
        ] {
            let told = withheld.veil(repeated.into());
            assert!(told.contains("is left out"), "{repeated}: {told}");
        }
        for plain in [
            "model `a-model-of-a-long-name` does not exist",
            "You are over your limit",
            "额度不足",
            "Hi",
            "",
        ] {
            assert_eq!(&*withheld.veil(plain.into()), plain);
        }
    }
}
