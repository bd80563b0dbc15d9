use crate::resource::raw::{Node, Problems, read_resource};
use crate::resource::{Prompt, Spec};
use crate::revision::Origin;
use serde_json::{Value, json};

fn with(more: Value) -> Value {
    let mut all = json!({
        "kind": "prompt", "name": "translate", "version": "v1", "state": "published",
        "model": "fast",
        "messages": [{ "role": "user", "text": "{{ text }}" }],
    });
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

fn read(json: &Value) -> Result<Box<Prompt>, String> {
    let mut problems = Problems::new();
    let read = read_resource(Node::from_json(json), Origin::File, &mut problems);
    let told: Vec<String> = problems
        .as_slice()
        .iter()
        .map(|problem| problem.message.clone())
        .collect();
    match read.map(|declared| declared.resource.spec) {
        Some(Spec::Prompt(prompt)) => Ok(prompt),
        Some(_) => panic!("not a prompt"),
        None => Err(told.join("\n")),
    }
}

#[test]
fn variables_are_schemas_with_bounds_of_their_own() {
    let prompt = read(&with(json!({ "variables": {
        "text": {},
        "to": { "type": "string", "enum": ["de", "fr"], "default": "fr", "description": "Where to" },
        "tries": { "type": "integer", "minimum": 1, "maximum": 5, "required": false },
        "items": { "type": "array", "items": { "type": "object", "properties": {
            "name": { "max_length": 10 }, "note": { "required": false },
        } }, "max_items": 3 },
        "photo": { "type": "image", "max_size": "1MiB" },
    } })))
    .unwrap();
    let of = |name: &str| &prompt.variables[name];
    assert_eq!(
        of("text").schema,
        json!({ "type": "string", "maxLength": 20_000 })
    );
    assert!(of("text").required && !of("to").required && !of("tries").required);
    assert_eq!(of("to").default, Some(json!("fr")));
    assert_eq!(
        of("tries").schema,
        json!({ "type": "integer", "minimum": 1, "maximum": 5 })
    );
    let item = &of("items").schema["items"];
    assert_eq!(item["required"], json!(["name"]));
    assert_eq!(item["additionalProperties"], false);
    assert_eq!(of("items").schema["maxItems"], 3);
    assert_eq!(of("photo").image.unwrap().max_bytes, 1 << 20);
    assert!(!of("photo").image.unwrap().addresses);
}

#[test]
fn what_a_prompt_can_not_be_is_told() {
    let deep = (0..8).fold(
        json!({ "type": "string" }),
        |inner, _| json!({ "type": "array", "items": inner }),
    );
    for (more, expected) in [
        (json!({ "messages": [] }), "`messages` is empty"),
        (
            json!({ "messages": [{ "role": "system", "text": "a" }] }),
            "the last is the user's",
        ),
        (
            json!({ "messages": [{ "role": "usr", "text": "a" }] }),
            "did you mean `user`?",
        ),
        (
            json!({ "messages": [{ "role": "user" }] }),
            "`text` is missing",
        ),
        (
            json!({ "messages": [{ "role": "user", "text": "a", "parts": [] }] }),
            "a message has `text`, or `parts`",
        ),
        (
            json!({ "messages": [{ "role": "system", "parts": [{ "image": "a" }] }, { "role": "user", "text": "a" }] }),
            "pictures are in the user's messages alone",
        ),
        (
            json!({ "variables": { "To": {} } }),
            "is no name that templates can say",
        ),
        (
            json!({ "variables": { "loop": {} } }),
            "is no name that templates can say",
        ),
        (
            json!({ "variables": { "a": { "type": "strin" } } }),
            "did you mean `string`?",
        ),
        (
            json!({ "variables": { "a": { "maxlength": 3 } } }),
            "did you mean `max_length`?",
        ),
        (
            json!({ "variables": { "a": { "required": true, "default": "x" } } }),
            "what has a `default` need not be sent",
        ),
        (
            json!({ "variables": { "a": { "type": "integer", "enum": ["x"] } } }),
            "is of another type",
        ),
        (
            json!({ "variables": { "a": { "type": "array", "items": { "type": "image" } } } }),
            "is a picture in something else",
        ),
        (
            json!({ "variables": { "a": { "type": "object", "properties": { "b": { "default": 1 } } } } }),
            "unknown key `default`",
        ),
        (
            json!({ "variables": { "a": deep } }),
            "nests deeper than 6 levels",
        ),
        (
            json!({ "variables": { "a": { "type": "image", "max_size": "1GiB" } } }),
            "is none from 1 to 20MiB",
        ),
        (
            json!({ "parameters": { "temperature": 3 } }),
            "no number from 0 to 2",
        ),
        (
            json!({ "parameters": { "temprature": 1 } }),
            "did you mean `temperature`?",
        ),
        (
            json!({ "parameters": { "reasoning_effort": "hi" } }),
            "is none of",
        ),
        (json!({ "output": "json" }), "is none of `text`"),
        (
            json!({ "output": { "schema": { "type": "array" } } }),
            "is no schema of an object",
        ),
        (
            json!({ "output": { "schema": { "type": "object" }, "repairs": 9 } }),
            "a whole number from 0 to 3",
        ),
        (
            json!({ "output": { "schema": { "type": "object" } }, "tools": [{ "name": "t" }] }),
            "an answer that fits a schema calls no tools",
        ),
        (json!({ "tools": [{ "name": "a b" }] }), "is no tool's name"),
        (
            json!({ "tools": [{ "name": "a" }, { "name": "a" }] }),
            "the name of another tool",
        ),
        (json!({ "tool_choice": "required" }), "needs `tools`"),
        (json!({ "trial": {} }), "`weight` is missing"),
        (
            json!({ "examples": [{ "variables": {} }] }),
            "`answer` is missing",
        ),
        (
            json!({ "messages": [{ "role": "user", "text": "a".repeat(70_000) }] }),
            "it has more than 65536 bytes",
        ),
    ] {
        let told = read(&with(more.clone())).unwrap_err();
        assert!(told.contains(expected), "{more}: {told}");
    }
}

#[test]
fn a_prompt_has_what_was_written() {
    let prompt = read(&with(json!({
        "parameters": { "temperature": 0.2, "max_output_tokens": 100, "seed": -1, "stop": ["END"], "reasoning_effort": "low" },
        "output": { "schema": { "type": "object" } },
        "partials": { "tone": "Be kind." },
        "trial": { "weight": 0 },
    })))
    .unwrap();
    assert_eq!(prompt.parameters.seed, Some(-1));
    assert_eq!(prompt.parameters.reasoning_effort, Some("low"));
    assert_eq!(prompt.rounds(), 2);
    assert_eq!(prompt.trial, Some(0));
    let templates: Vec<String> = prompt.templates().map(|(path, _)| path.join(".")).collect();
    assert_eq!(templates, ["messages.0.text", "partials.tone"]);
}
