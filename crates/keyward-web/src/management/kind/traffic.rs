//! The schemas of what an API or one of its routes says of traffic: limits, sizes and policies.
//!
//! Policies that have much to say (`cors`, `validation`, …) are described by their keys: what stands under each is
//! told by the guide, and by the refusal of what is wrong.

use super::schema::{
    about, boolean, bytes, choice, filled, name, object, one_of, pattern, positive_duration, put,
    whole,
};
use serde_json::{Map, Value, json};

/// What limits count by.
const SUBJECTS: &[&str] = &[
    "subject", "client", "team", "issuer", "key", "address", "route", "api",
];

/// Policies that an API and its routes may have: the guide of each, and whether `off` takes it away.
const POLICIES: &[(&str, &str)] = &[
    ("compression", "compression"),
    ("decompression", "compression"),
    ("websocket", "protocols"),
    ("capture", "observing"),
    ("size_limits", "bounds"),
    ("ip_filter", "bounds"),
    ("cors", "browsers"),
    ("security_headers", "browsers"),
    ("external_decision", "external-decision"),
    ("cache", "caching"),
    ("validation", "validation"),
    ("transformation", "transformation"),
    ("idempotency", "idempotency"),
];

/// How much money, as decimal text.
const MONEY: &str = r"^(0\.[0-9]{0,11}[1-9]|[1-9][0-9]{0,5}(\.[0-9]{1,12})?)$";

/// By what a limit counts that has to say it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// It has to.
    Said,
    /// Unless said, by what has it.
    Holder,
    /// It is what has it.
    Itself,
}

/// `rate_limits` and `quotas` that count calls, tokens or money, of what has AI models.
pub(super) fn budgets(counted: By) -> Map<String, Value> {
    let mut members = Map::new();
    for key in ["rate_limits", "quotas"] {
        let amounts = [
            ("requests", whole(1, 1_000_000_000)),
            ("tokens", whole(1, 1_000_000_000)),
            ("cost", about(pattern(MONEY), "US dollars, as decimal text")),
        ];
        let forms = amounts.map(|(unit, amount)| budget(key, unit, &amount, counted));
        let mut list = json!({ "type": "array", "items": one_of(forms.to_vec()) });
        put(&mut list, "maxItems", json!(16));
        members.insert(key.to_owned(), list);
    }
    members
}

fn budget(key: &str, unit: &str, amount: &Value, counted: By) -> Value {
    let mut members = json!({ unit: amount, "name": name(), "on_outage": outage() });
    let mut also = |key: &str, schema| put(&mut members, key, schema);
    if key == "quotas" {
        also("per", choice(&["minute", "hour", "day", "week", "month"]));
    } else {
        also("per", about(positive_duration(), "31d at most"));
        also("burst", amount.clone());
    }
    if unit != "requests" {
        let lowers = about(
            boolean(false),
            "Whether a call is asked to write less where less is left than it may take",
        );
        also("lower_max_tokens", lowers);
    }
    if unit == "cost" {
        let unpriced = about(
            choice(&["refuse", "free"]),
            "What becomes of calls whose price is not known",
        );
        also("unpriced", unpriced);
    }
    let mut required = vec![unit, "per"];
    if counted != By::Itself {
        also("by", by_of(&[SUBJECTS, &["model"]].concat()));
    }
    if counted == By::Said {
        required.push("by");
    }
    object(&required, members)
}

/// The members that APIs and routes share.
pub(super) fn members() -> Map<String, Value> {
    let mut members = Map::new();
    let mut put = |key: &str, schema| members.insert(key.to_owned(), schema);
    put(
        "rate_limits",
        limits(
            &["by", "requests", "per"],
            json!({
                "by": by(), "requests": whole(1, 1_000_000_000), "per": about(positive_duration(), "31d at most"),
                "burst": whole(1, 1_000_000_000), "name": name(), "on_outage": outage(),
            }),
        ),
    );
    put(
        "quotas",
        limits(
            &["by", "requests", "per"],
            json!({
                "by": by(), "requests": whole(1, 1_000_000_000), "per": choice(&["minute", "hour", "day", "week", "month"]),
                "name": name(), "on_outage": outage(),
            }),
        ),
    );
    put(
        "concurrency",
        limits(
            &["by", "calls"],
            json!({
                "by": by(), "calls": whole(1, 1_000_000_000), "name": name(), "on_outage": outage(),
            }),
        ),
    );
    put("max_body", bytes());
    put("idle_body_timeout", positive_duration());
    for (key, guide) in POLICIES {
        let schema = json!({ "type": ["object", "boolean", "string", "array"] });
        put(
            key,
            about(schema, &format!("See the guide `docs/guides/{guide}.md`")),
        );
    }
    members
}

fn limits(required: &[&str], members: Value) -> Value {
    let mut list = json!({ "type": "array", "items": object(required, members) });
    put(&mut list, "maxItems", json!(16));
    list
}

fn by() -> Value {
    by_of(SUBJECTS)
}

fn by_of(subjects: &[&str]) -> Value {
    let subject = || {
        one_of(vec![
            choice(subjects),
            pattern("^claim:[A-Za-z0-9_]{1,60}$"),
            pattern("^header:[Xx]-[A-Za-z0-9-]{1,60}$"),
        ])
    };
    let mut several = filled(subject());
    put(&mut several, "maxItems", json!(4));
    put(&mut several, "uniqueItems", json!(true));
    one_of(vec![subject(), several])
}

fn outage() -> Value {
    choice(&["allow_locally", "refuse"])
}
