//! The schemas of `kind: provider` and `kind: model`, and of what an API says of AI.

use super::authentication::{authorization, claims};
use super::schema::{
    about, boolean, choice, filled, name, object, one_of, pattern, positive_duration, put, url,
    whole,
};
use super::traffic::{By, budgets};
use keyward_model::resource::AskedAbility;
use serde_json::{Value, json};

/// What providers speak.
const DIALECTS: &[&str] = &[
    "openai-chat",
    "openai-responses",
    "anthropic",
    "gemini",
    "bedrock-converse",
    "ollama",
    "cohere",
];

pub(super) fn provider_schema() -> Value {
    let mut credentials = filled(credential());
    put(&mut credentials, "maxItems", json!(64));
    let ejection = object(
        &[],
        json!({
            "failures": whole(1, 1_000),
            "time": positive_duration(),
            "max_time": positive_duration(),
        }),
    );
    let mut schema = object(
        &[],
        json!({
            "catalogue": about(name(), "What the catalogue calls it; its own name unless said otherwise"),
            "dialect": about(choice(DIALECTS), "What it speaks, where the catalogue does not know it"),
            "base_url": about(url(), "Where it is, in place of what the catalogue says"),
            "at": about(words(), "What stands for the words in braces of the catalogue's address"),
            "api_version": about(
                json!({ "type": "string", "pattern": "^[A-Za-z0-9.-]{1,40}$" }),
                "Of Azure: calls go to a deployment's own address",
            ),
            "key_header": choice(&["authorization", "x-api-key", "x-goog-api-key", "api-key"]),
            "credentials": about(credentials, "The keys that it is called with"),
            "own_key": about(choice(&["refuse", "allow", "require"]), "Whether callers bring keys of their own"),
            "shared": about(json!({ "const": false }), "Only in nodes' own files"),
            "connect_timeout": positive_duration(),
            "first_token_timeout": about(positive_duration(), "To the first token of a stream"),
            "total_timeout": about(positive_duration(), "Of one answer"),
            "ejection": about(
                one_of(vec![json!({ "const": "none" }), ejection]),
                "When what fails is asked last for a while",
            ),
        }),
    );
    put(
        &mut schema,
        "oneOf",
        json!([
            { "required": ["dialect", "base_url"], "properties": { "catalogue": false } },
            { "properties": { "dialect": false } },
        ]),
    );
    schema
}

/// A key, or an account of a cloud: one of them.
fn credential() -> Value {
    let sealed = "Comes in as it is, and is told as a reference";
    let secret = || {
        let text =
            json!({ "type": "string", "minLength": 1, "maxLength": 4096, "pattern": "^[!-~]+$" });
        about(text, sealed)
    };
    let aws = object(
        &["access_key_id", "secret_access_key"],
        json!({
            "access_key_id": { "type": "string", "pattern": "^[A-Za-z0-9]{16,128}$" },
            "secret_access_key": secret(),
            "session_token": secret(),
            "region": segment(),
        }),
    );
    let account = json!({ "type": "string", "minLength": 1, "maxLength": 16_384 });
    let google = object(
        &["service_account"],
        json!({ "service_account": about(account, sealed) }),
    );
    let entra = object(
        &["tenant", "client_id", "client_secret"],
        json!({
            "tenant": segment(),
            "client_id": segment(),
            "client_secret": secret(),
            "authority": about(url(), "Where tokens come from, in place of the public cloud's"),
            "scope": { "type": "string", "pattern": "^[!-~]{1,4096}$" },
        }),
    );
    let mut members = json!({
        "key": secret(),
        "aws": about(aws, "Keys that sign requests to Bedrock"),
        "google": about(google, "An account that gets tokens for Vertex"),
        "entra": about(entra, "A client of Microsoft Entra that gets tokens for Azure"),
        "weight": whole(1, 1_000_000),
    });
    for (name, schema) in budgets(By::Itself) {
        put(
            &mut members,
            &name,
            about(schema, "While one is used up, the key is passed over"),
        );
    }
    let mut credential = object(&[], members);
    let one_of_them = ["key", "aws", "google", "entra"].map(|way| json!({ "required": [way] }));
    put(&mut credential, "oneOf", json!(one_of_them));
    credential
}

/// What is one segment of an address.
fn segment() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", "maxLength": 128 })
}

fn words() -> Value {
    json!({ "type": "object", "maxProperties": 8, "additionalProperties": segment() })
}

pub(super) fn model_schema() -> Value {
    let model = || json!({ "type": "string", "pattern": "^[A-Za-z0-9_@:-][A-Za-z0-9_.@:-]*(/[A-Za-z0-9_@:-][A-Za-z0-9_.@:-]*)*$", "maxLength": 256 });
    let target = |weighted: bool| {
        let mut members = json!({
            "provider": name(),
            "model": model(),
            "alias": about(name(), "Another model of the team, with all who answer for it"),
            "when": about(condition(), "Which calls it takes"),
            "price": about(price(), "What its tokens cost, in place of what the catalogue says: US dollars for a million"),
            "context": about(whole(1, 1_000_000_000), "How many tokens it can read"),
            "max_output": about(whole(1, 1_000_000_000), "How many tokens it can write"),
            "abilities": about(
                json!({ "type": "array", "items": choice(&AskedAbility::ALL.map(AskedAbility::as_str)) }),
                "All of what it can",
            ),
        });
        if weighted {
            put(&mut members, "weight", whole(1, 1_000_000));
        }
        let mut target = object(&[], members);
        put(
            &mut target,
            "oneOf",
            json!([
                { "required": ["provider", "model"], "properties": { "alias": false } },
                {
                    "required": ["alias"],
                    "properties": {
                        "provider": false, "model": false, "price": false, "context": false,
                        "max_output": false, "abilities": false,
                    },
                },
            ]),
        );
        target
    };
    let header = pattern("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$");
    let by = one_of(vec![
        choice(&["subject", "user"]),
        object(&["header"], json!({ "header": header })),
    ]);
    let sticky = object(&["sticky"], json!({ "sticky": by }));
    let bounded = |items| {
        let mut list = filled(items);
        put(&mut list, "maxItems", json!(64));
        list
    };
    let mut members = json!({
        "targets": about(bounded(target(true)), "Who answers, chosen as `choose` says"),
        "fallbacks": about(bounded(target(false)), "Who answers when none of them does, in order"),
        "choose": about(
            one_of(vec![choice(&["weighted", "latency", "busy", "cost"]), sticky]),
            "Which target is asked first",
        ),
        "hedge": about(
            object(&["after"], json!({ "after": positive_duration() })),
            "When another target is asked beside one that sends no first token",
        ),
        "authorization": about(authorization(), "What callers need besides what the API asks for"),
        "attempts": whole(1, 16),
        "allow_model_members": about(
            boolean(false),
            "Whether callers may choose other models of a provider by members of the body",
        ),
    });
    for (name, schema) in budgets(By::Holder) {
        put(
            &mut members,
            &name,
            about(schema, "Over all APIs that serve it"),
        );
    }
    with_guarded(object(&["targets"], members))
}

/// US dollars for a million tokens.
fn price() -> Value {
    let dollars = || pattern("^(0|[1-9][0-9]{0,5})(\\.[0-9]{1,6})?$");
    object(
        &["input", "output"],
        json!({
            "input": dollars(),
            "output": dollars(),
            "cached_input": dollars(),
            "cache_write": dollars(),
            "reasoning": dollars(),
        }),
    )
}

/// Which calls a target takes.
fn condition() -> Value {
    let abilities = AskedAbility::ALL.map(AskedAbility::as_str);
    let tokens = object(
        &[],
        json!({ "min": whole(0, 1_000_000_000), "max": whole(0, 1_000_000_000) }),
    );
    let mut condition = object(
        &[],
        json!({
            "input_tokens": about(tokens, "About how much is asked, in tokens"),
            "abilities": about(filled(choice(&abilities)), "What is asked needs one of these"),
            "claims": about(claims(), "What the caller's token says"),
        }),
    );
    put(&mut condition, "minProperties", json!(1));
    condition
}

/// With what holds for the calls of models.
fn with_guarded(mut schema: Value) -> Value {
    if let Some(Value::Object(members)) = schema.get_mut("properties") {
        members.extend(
            super::guardrail::members()
                .into_iter()
                .map(|(key, member)| (key.to_owned(), member)),
        );
    }
    schema
}

/// What an API says of AI.
pub(super) fn served() -> Value {
    let mut names = filled(name());
    put(&mut names, "uniqueItems", json!(true));
    put(&mut names, "maxItems", json!(1_000));
    let models = one_of(vec![json!({ "const": "all" }), names]);
    let mut served = filled(name());
    put(&mut served, "uniqueItems", json!(true));
    put(&mut served, "maxItems", json!(1_000));
    let prompts = one_of(vec![json!({ "const": "all" }), served]);
    let mut schema = object(
        &[],
        json!({
            "models": about(models, "Which it offers"),
            "prompts": about(prompts, "Which prompts it serves; none unless said otherwise"),
        }),
    );
    let either = json!([{ "required": ["models"] }, { "required": ["prompts"] }]);
    put(&mut schema, "anyOf", either);
    with_guarded(schema)
}
