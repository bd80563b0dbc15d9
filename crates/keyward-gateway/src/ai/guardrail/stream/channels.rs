//! Which parts of an event go on with a text, and which texts end with it, as each dialect has it.

mod chat;

use keyward_llm::Dialect;
use keyward_llm::json::{Spanned, quoted};
use std::ops::Range;

/// A part of a text that grows.
#[derive(Clone, Debug)]
pub(super) struct Delta {
    /// Of which text.
    pub(super) key: String,
    /// Where in the event.
    pub(super) span: Range<usize>,
    /// How more of it is told.
    pub(super) told: Told,
}

/// An event that goes on with a text and says nothing else: what stands before and behind the text, in quotes.
#[derive(Clone, Debug)]
pub(super) struct Told {
    name: String,
    before: String,
    behind: String,
    /// Whether events are numbered.
    numbered: bool,
}

/// What an event does.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    /// In the order in which they stand in it.
    pub(super) steps: Vec<Step>,
    /// Where its number stands.
    pub(super) number: Option<(Range<usize>, u64)>,
}

/// What a part of an event does.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Goes(Delta),
    /// The texts whose keys begin like this are whole.
    Ends(String),
    /// The texts whose keys begin like `all` wait, and what is held back of them is told before what follows; but those
    /// whose keys begin like one of `but`.
    Pauses {
        all: String,
        but: Vec<String>,
    },
}

impl Deltas {
    /// The part of a text that lies here, and whether the text is whole with it.
    pub(super) fn at(&self, span: &Range<usize>) -> Option<(&Delta, bool)> {
        let place = self.steps.iter().position(|step| match step {
            Step::Goes(delta) => delta.span == *span,
            Step::Ends(_) | Step::Pauses { .. } => false,
        })?;
        let Some(Step::Goes(delta)) = self.steps.get(place) else {
            return None;
        };
        let next = self.steps.iter().skip(place + 1).find(|step| match step {
            Step::Goes(other) => other.key == delta.key,
            Step::Ends(prefix) => delta.key.starts_with(&**prefix),
            Step::Pauses { .. } => false,
        });
        Some((delta, matches!(next, Some(Step::Ends(_)))))
    }

    /// Whether a text that was under way is whole before anything of this event.
    pub(super) fn ends_before(&self, key: &str) -> bool {
        let first = self.steps.iter().find(|step| match step {
            Step::Goes(delta) => delta.key == key,
            Step::Ends(prefix) => key.starts_with(&**prefix),
            Step::Pauses { .. } => false,
        });
        matches!(first, Some(Step::Ends(_)))
    }

    /// Whether what is held back of a text that is under way is told before anything of this event.
    pub(super) fn pauses_before(&self, key: &str) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Pauses { all, but } => {
                let begins = |but: &String| key.starts_with(&**but);
                key.starts_with(&**all) && !but.is_empty() && !but.iter().any(begins)
            }
            Step::Goes(_) | Step::Ends(_) => false,
        })
    }

    fn goes(&mut self, delta: Delta) {
        self.steps.push(Step::Goes(delta));
    }

    fn ends(&mut self, prefix: impl Into<String>) {
        self.steps.push(Step::Ends(prefix.into()));
    }
}

impl Told {
    /// The event for more of the text, with this number where they are numbered.
    pub(super) fn write(&self, text: &str, number: u64) -> (String, String) {
        let numbered = if self.numbered {
            format!("\"sequence_number\":{number},")
        } else {
            String::new()
        };
        let before = self.before.replacen(NUMBER, &numbered, 1);
        (self.name.clone(), format!("{before}{text}{}", self.behind))
    }

    pub(super) const fn is_numbered(&self) -> bool {
        self.numbered
    }
}

/// Stands where the number goes: no JSON has it anywhere.
const NUMBER: &str = "\u{1}";

/// What an event does.
pub(super) fn deltas(form: Dialect, data: &[u8], event: &Spanned) -> Deltas {
    let source = Source { data, event };
    match form {
        Dialect::OpenAiChat => source.of_chat(),
        Dialect::OpenAiResponses => source.of_responses(),
        Dialect::Anthropic => source.of_anthropic(),
        Dialect::Gemini => source.of_gemini(),
        // Nobody calls in them: all texts are looked at one by one.
        Dialect::Bedrock | Dialect::Ollama | Dialect::Cohere => Deltas::default(),
    }
}

struct Source<'e> {
    data: &'e [u8],
    event: &'e Spanned,
}

impl Source<'_> {
    /// The members of the event by these names, as they stand there, each with a comma behind it.
    fn repeated(&self, names: &[&str]) -> String {
        let mut out = String::new();
        for member in self.event.members() {
            if names.contains(&&*member.name) {
                let value = self.data.get(member.value.span.clone());
                let value = value.and_then(|value| std::str::from_utf8(value).ok());
                out.push_str(&format!(
                    "{}:{},",
                    quoted(&member.name),
                    value.unwrap_or("null")
                ));
            }
        }
        out
    }

    fn of_chat(&self) -> Deltas {
        let mut found = Deltas::default();
        for choice in items(self.event, "choices") {
            let index = number(choice, "index");
            let before = format!(
                "{{{}\"choices\":[{{\"index\":{index},\"delta\":{{",
                self.repeated(&["id", "object", "created", "model", "system_fingerprint"])
            );
            let delta = choice.get("delta");
            let texts = chat::texts(index, self.data, delta.map_or(&[][..], Spanned::members));
            found.steps.push(Step::Pauses {
                all: format!("{index}/"),
                but: texts.under_way,
            });
            for grown in texts.grown {
                found.goes(Delta {
                    key: grown.key,
                    span: grown.span,
                    told: Told {
                        name: String::new(),
                        before: format!("{before}{}", grown.open),
                        behind: format!("{}}},\"finish_reason\":null}}]}}", grown.close),
                        numbered: false,
                    },
                });
            }
            for ended in texts.ended {
                found.ends(ended);
            }
            if is_said(choice, "finish_reason") {
                found.ends(format!("{index}/"));
            }
        }
        if self.event.get("error").is_some() {
            found.ends("");
        }
        found
    }

    fn of_responses(&self) -> Deltas {
        let kind = text(self.event, "type");
        let mut found = Deltas::default();
        if let Some(told) = self.event.get("sequence_number")
            && let Some(number) = told.as_number().and_then(|number| number.parse().ok())
        {
            found.number = Some((told.span.clone(), number));
        }
        let output = format!("{}/", number(self.event, "output_index"));
        let part = ["content_index", "summary_index"].map(|key| number(self.event, key));
        if let Some(what) = kind.strip_suffix(".delta")
            && let Some(delta) = self.event.get("delta")
            // Sound, in base64.
            && what != "response.audio"
        {
            let same = ["item_id", "output_index", "content_index", "summary_index"];
            found.goes(Delta {
                key: format!("{output}{}/{what}", part.join("/")),
                span: delta.span.clone(),
                told: Told {
                    name: kind.to_owned(),
                    before: format!(
                        "{{\"type\":{},{NUMBER}{}\"delta\":",
                        quoted(kind),
                        self.repeated(&same)
                    ),
                    behind: "}".to_owned(),
                    numbered: found.number.is_some(),
                },
            });
        } else if kind.ends_with(".done") {
            found.ends(output);
        } else if matches!(
            kind,
            "response.completed" | "response.failed" | "response.incomplete" | "error"
        ) {
            found.ends("");
        }
        found
    }

    fn of_anthropic(&self) -> Deltas {
        let mut found = Deltas::default();
        let index = number(self.event, "index");
        let told = |kind: &str, field: &str| Told {
            name: "content_block_delta".to_owned(),
            before: format!(
                "{{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{{\"type\":{},{}:",
                quoted(kind),
                quoted(field)
            ),
            behind: "}}".to_owned(),
            numbered: false,
        };
        match text(self.event, "type") {
            "content_block_start" => {
                let block = self.event.get("content_block");
                for (field, kind) in [("text", "text_delta"), ("thinking", "thinking_delta")] {
                    if let Some(text) = block.and_then(|block| block.get(field)) {
                        found.goes(Delta {
                            key: format!("{index}/{field}"),
                            span: text.span.clone(),
                            told: told(kind, field),
                        });
                    }
                }
            }
            "content_block_delta" => {
                let Some(delta) = self.event.get("delta") else {
                    return found;
                };
                let kind = text(delta, "type");
                for member in delta.members() {
                    if member.name != "type" && member.value.as_str().is_some() {
                        found.goes(Delta {
                            key: format!("{index}/{}", member.name),
                            span: member.value.span.clone(),
                            told: told(kind, &member.name),
                        });
                    }
                }
            }
            "content_block_stop" => found.ends(format!("{index}/")),
            "message_stop" | "message_delta" | "error" => found.ends(""),
            _ => {}
        }
        found
    }

    fn of_gemini(&self) -> Deltas {
        let mut found = Deltas::default();
        for candidate in items(self.event, "candidates") {
            let index = number(candidate, "index");
            let thought_key = format!("{index}/thought");
            let text_key = format!("{index}/text");
            let parts = candidate
                .get("content")
                .and_then(|content| content.get("parts"));
            for part in parts.map_or(&[][..], Spanned::items) {
                let Some(text) = part.get("text") else {
                    // What is not text stands behind all text before it.
                    found.ends(thought_key.clone());
                    found.ends(text_key.clone());
                    if let Some(call) = part.get("functionCall") {
                        self.of_gemini_call(index, call, &mut found);
                    }
                    continue;
                };
                let thought = part
                    .get("thought")
                    .is_some_and(|thought| self.data.get(thought.span.clone()) == Some(b"true"));
                let (key, other, mark) = if thought {
                    (&thought_key, &text_key, ",\"thought\":true")
                } else {
                    (&text_key, &thought_key, "")
                };
                found.ends(other.clone());
                found.goes(Delta {
                    key: key.clone(),
                    span: text.span.clone(),
                    told: Told {
                        name: String::new(),
                        before: format!(
                            "{{{}\"candidates\":[{{\"index\":{index},\"content\":{{\"role\":\"model\",\"parts\":[{{\"text\":",
                            self.repeated(&["modelVersion", "responseId"])
                        ),
                        behind: format!("{mark}}}]}}}}]}}"),
                        numbered: false,
                    },
                });
            }
            if is_said(candidate, "finishReason") {
                found.ends(format!("{index}/"));
            }
        }
        if self.event.get("error").is_some() {
            found.ends("");
        }
        found
    }
}

impl Source<'_> {
    /// The arguments of a call that are told piece by piece.
    fn of_gemini_call(&self, index: &str, call: &Spanned, found: &mut Deltas) {
        if call.get("name").is_some() {
            // Another call.
            found.ends(format!("{index}/args "));
        }
        for argument in items(call, "partialArgs") {
            let (Some(value), path) = (argument.get("stringValue"), text(argument, "jsonPath"))
            else {
                continue;
            };
            let key = format!("{index}/args {path}");
            found.goes(Delta {
                key: key.clone(),
                span: value.span.clone(),
                told: Told {
                    name: String::new(),
                    before: format!(
                        "{{{}\"candidates\":[{{\"index\":{index},\"content\":{{\"role\":\"model\",\"parts\":[{{\"functionCall\":{{\"willContinue\":true,\"partialArgs\":[{{\"jsonPath\":{},\"willContinue\":true,\"stringValue\":",
                        self.repeated(&["modelVersion", "responseId"]),
                        quoted(path)
                    ),
                    behind: "}]}}]}}]}".to_owned(),
                    numbered: false,
                },
            });
            let goes_on = argument
                .get("willContinue")
                .is_some_and(|goes_on| self.data.get(goes_on.span.clone()) == Some(b"true"));
            if !goes_on {
                found.ends(key);
            }
        }
    }
}

fn items<'e>(value: &'e Spanned, name: &str) -> &'e [Spanned] {
    value.get(name).map_or(&[], Spanned::items)
}

/// A number that tells items apart; that of the first where it is not told.
fn number<'e>(value: &'e Spanned, name: &str) -> &'e str {
    let number = value.get(name).and_then(Spanned::as_number);
    number.unwrap_or("0")
}

fn text<'e>(value: &'e Spanned, name: &str) -> &'e str {
    let text = value.get(name).and_then(Spanned::as_str);
    text.unwrap_or_default()
}

fn is_said(value: &Spanned, name: &str) -> bool {
    value.get(name).and_then(Spanned::as_str).is_some()
}
