//! Whether answers follow a JSON schema.

use super::Side;
use keyward_llm::form::{Answer, Assembly, Part};
use keyward_llm::{Context, Dialect, StreamReader};
use keyward_model::resource::guardrail::GuardAction;
use serde_json::Value;

/// An answer, read from the caller's dialect; `None` where it can't be, and then nobody knows what it says.
pub(super) fn read(form: Dialect, context: &Context, body: &[u8], stream: bool) -> Option<Answer> {
    if !stream {
        return form.read_answer(body, context).ok();
    }
    let mut reader = StreamReader::new(form, context);
    let mut assembly = Assembly::new();
    for event in reader.push(body).into_iter().chain(reader.finish()) {
        assembly.take(event);
    }
    assembly.finish().ok()
}

/// The guardrails whose schema an answer does not follow.
pub(super) fn misfits(side: &Side, answer: Option<&Answer>) -> Vec<(usize, GuardAction)> {
    let schemas = side.schemas.iter();
    let misfits = schemas.filter(|(_, _, schema)| {
        let fits = |text: &str| {
            let value: Option<Value> = serde_json::from_str(text).ok();
            value.is_some_and(|value| schema.takes(&value))
        };
        !answer.is_some_and(|answer| texts(answer).all(|text| fits(&text)))
    });
    misfits
        .map(|(guard, action, _)| (*guard, *action))
        .collect()
}

/// What is said. A turn that calls tools and says nothing is on the way to an answer, and a refusal is none.
fn texts(answer: &Answer) -> impl Iterator<Item = String> {
    answer.candidates.iter().filter_map(|candidate| {
        let mut text = String::new();
        let mut on_the_way = false;
        for part in &candidate.parts {
            match part {
                Part::Text(more) => text.push_str(more),
                Part::ToolCall(_) | Part::Refusal(_) => on_the_way = true,
                Part::Image(_)
                | Part::Document(_)
                | Part::Audio(_)
                | Part::Thought(_)
                | Part::ToolResult(_)
                | Part::CachePoint(_) => {}
            }
        }
        (!on_the_way || !text.is_empty()).then_some(text)
    })
}
