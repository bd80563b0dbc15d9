//! Whether a prompt can be called: its templates, schemas, defaults and examples, looked at when it is configured.

use super::rendering;
use super::template::{Templates, Unrendered};
use super::variables::{fill, inputs_schema};
use crate::policy::validation::{Schema, schema_alone};
use keyward_model::resource::Prompt;
use keyward_model::resource::prompt::{Output, PromptPart};
use serde_json::Value;

/// Something that is wrong with a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptFlaw {
    /// Where: keys, and numbers of members of lists, from the prompt on.
    pub path: Vec<Box<str>>,
    /// What.
    pub detail: String,
    /// Whether the prompt can't be called for it.
    pub fatal: bool,
}

impl PromptFlaw {
    pub(super) fn fatal(path: &[Box<str>], detail: impl Into<String>) -> Self {
        Self {
            path: path.to_vec(),
            detail: detail.into(),
            fatal: true,
        }
    }
}

/// All that is wrong with a prompt.
#[must_use]
pub fn check_prompt(prompt: &Prompt) -> Vec<PromptFlaw> {
    let mut flaws = Vec::new();
    let (templates, mut used) = Templates::compile(prompt, &mut flaws);
    for (index, message) in prompt.messages.iter().enumerate() {
        for (part, what) in message.parts.iter().enumerate() {
            let PromptPart::Image(name) = what else {
                continue;
            };
            used.variables.insert(name.clone());
            let variable = prompt.variables.get(name);
            if variable.is_none_or(|variable| variable.image.is_none()) {
                let path = path(&["messages", &index.to_string(), "parts", &part.to_string()]);
                let why = format!(
                    "`image`: `{name}` is no variable of type `image`: declare it under `variables`"
                );
                flaws.push(PromptFlaw::fatal(&path, why));
            }
        }
    }
    let unused = |kind: &str, name: &str, why: &str| PromptFlaw {
        path: path(&[kind, name]),
        detail: why.to_owned(),
        fatal: false,
    };
    for name in prompt.variables.keys() {
        if !used.variables.contains(name) {
            let why = format!("`{name}` is used by no message: take it out, or name it in one");
            flaws.push(unused("variables", name, &why));
        }
    }
    for name in prompt.partials.keys() {
        if !used.partials.contains(name) {
            let why = format!("`{name}` is used by no message: take it out, or name it in one");
            flaws.push(unused("partials", name, &why));
        }
    }
    let inputs = schemas(prompt, &mut flaws);
    let output = match &prompt.output {
        Output::Text => None,
        Output::Schema(output) => {
            let path = path(&["output", "schema"]);
            compiled(&output.schema, &path, &mut flaws)
        }
    };
    for (index, tool) in prompt.tools.iter().enumerate() {
        if let Some(parameters) = &tool.parameters {
            let path = path(&["tools", &index.to_string(), "parameters"]);
            compiled(parameters, &path, &mut flaws);
        }
    }
    let usable = !flaws.iter().any(|flaw| flaw.fatal);
    if let Some(inputs) = inputs.filter(|_| usable) {
        examples(prompt, &templates, (&inputs, output.as_ref()), &mut flaws);
    }
    flaws
}

fn path(keys: &[&str]) -> Vec<Box<str>> {
    keys.iter().map(|key| (*key).into()).collect()
}

fn compiled(schema: &Value, path: &[Box<str>], flaws: &mut Vec<PromptFlaw>) -> Option<Schema> {
    match schema_alone(schema) {
        Ok(schema) => Some(schema),
        Err(why) => {
            flaws.push(PromptFlaw::fatal(path, why));
            None
        }
    }
}

/// Each variable by itself, so that what is wrong is told where it stands; then all of them.
fn schemas(prompt: &Prompt, flaws: &mut Vec<PromptFlaw>) -> Option<Schema> {
    for (name, variable) in &prompt.variables {
        let path_of = path(&["variables", name]);
        let Some(schema) = compiled(&variable.schema, &path_of, flaws) else {
            continue;
        };
        if let Some(default) = &variable.default
            && !schema.takes(default)
        {
            let path = path(&["variables", name, "default"]);
            let why = unfit(&schema, default);
            flaws.push(PromptFlaw::fatal(&path, format!("`default`: {why}")));
        }
    }
    compiled(&inputs_schema(prompt), &path(&["variables"]), flaws)
}

/// What is first wrong with a value.
fn unfit(schema: &Schema, value: &Value) -> String {
    let found = schema.mistakes(value, 0, 1).into_iter().next();
    match found {
        Some((pointer, detail)) if pointer.is_empty() => detail,
        Some((pointer, detail)) => format!("at `{pointer}`: {detail}"),
        None => "it does not fit".to_owned(),
    }
}

fn examples(
    prompt: &Prompt,
    templates: &Templates,
    (inputs, output): (&Schema, Option<&Schema>),
    flaws: &mut Vec<PromptFlaw>,
) {
    for (index, example) in prompt.examples.iter().enumerate() {
        let index = index.to_string();
        let sent = Value::Object(example.variables.clone());
        if !inputs.takes(&sent) {
            let path = path(&["examples", &index, "variables"]);
            let why = format!(
                "`variables`: the example's don't fit the prompt's: {}",
                unfit(inputs, &sent)
            );
            flaws.push(PromptFlaw::fatal(&path, why));
            continue;
        }
        let answer = path(&["examples", &index, "answer"]);
        match output {
            Some(schema) if !schema.takes(&example.answer) => {
                let why = format!(
                    "`answer`: it does not fit the output's schema: {}",
                    unfit(schema, &example.answer)
                );
                flaws.push(PromptFlaw::fatal(&answer, why));
            }
            None if !example.answer.is_string() => {
                let why = "`answer`: the output is text, and so is this: put it in quotes";
                flaws.push(PromptFlaw::fatal(&answer, why));
            }
            Some(_) | None => {}
        }
        let mut values = example.variables.clone();
        fill(prompt, &mut values);
        let made = templates
            .context(&values)
            .and_then(|context| rendering::messages(prompt, templates, &context, &values));
        if let Err(error) = made {
            let path = path(&["examples", &index]);
            let why = match error {
                Unrendered::TooMuch => {
                    "the templates make more of it than may be, or take too long".to_owned()
                }
                Unrendered::Empty => {
                    "the last message comes out empty with these variables".to_owned()
                }
                Unrendered::Failed(why) => why,
            };
            flaws.push(PromptFlaw::fatal(&path, why));
        }
    }
}
