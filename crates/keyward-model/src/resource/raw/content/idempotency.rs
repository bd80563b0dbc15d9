//! Reading `idempotency`.

use crate::resource::authentication::{Authentication, AuthenticationMethod};
use crate::resource::content::{AnonymousKeys, Idempotency};
use crate::resource::raw::field::Field;
use crate::resource::raw::limits::ON_OUTAGE;
use crate::resource::raw::problem::Problems;
use std::sync::Arc;
use std::time::Duration;

const KEYS: &[&str] = &[
    "methods",
    "required",
    "keep",
    "max_body",
    "max_answer",
    "release",
    "on_unknown",
    "anonymous",
    "on_outage",
];

/// Methods that are not safe, so that doing them twice may make a difference (RFC 9110, section 9.2).
const METHODS: &[(&str, &str)] = &[
    ("POST", "POST"),
    ("PATCH", "PATCH"),
    ("PUT", "PUT"),
    ("DELETE", "DELETE"),
];
/// What is read whole is memory, of each call that is in flight.
const BODY_MAX: u64 = 16 << 20;
/// Room for the largest answer is set aside for each call that is under way.
const ANSWER_MAX: u64 = 4 << 20;
/// Less has no room for the head of an answer.
const ANSWER_MIN: u64 = 1 << 10;
/// A key that is kept for longer is a record, and belongs into a database.
const KEEP_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// There are no more that say that nothing was done.
const RELEASED_MAX: usize = 32;

/// Reads it. The inner `None`: keys go on to the upstream, and nothing is done with them.
pub(super) fn read(
    field: Field<'_>,
    authentication: Option<&Authentication>,
    problems: &mut Problems,
) -> Option<Option<Arc<Idempotency>>> {
    let usual = Idempotency::default();
    match field.as_boolean() {
        Some(false) => return Some(None),
        Some(true) => {
            anonymous(field, None, authentication, problems)?;
            return Some(Some(Arc::new(usual)));
        }
        None => {}
    }
    let fields = field.fields(KEYS, problems)?;
    let methods = match fields.optional("methods") {
        Some(field) => methods(field, problems),
        None => Some(usual.methods),
    };
    let required = match fields.optional("required") {
        Some(field) => field.boolean(problems),
        None => Some(usual.required),
    };
    let keep = match fields.optional("keep") {
        Some(field) => keep(field, problems),
        None => Some(usual.keep),
    };
    let mut size = |key: &str, range: std::ops::RangeInclusive<u64>, told: &str, usual| {
        let Some(field) = fields.optional(key) else {
            return Some(usual);
        };
        let bytes = field.byte_size(problems)?;
        if !range.contains(&bytes) {
            field.refuse(&format!("is not between {told}"), problems);
            return None;
        }
        usize::try_from(bytes).ok()
    };
    let max_body_bytes = size(
        "max_body",
        1..=BODY_MAX,
        "1 byte and 16MiB",
        usual.max_body_bytes,
    );
    let max_answer_bytes = size(
        "max_answer",
        ANSWER_MIN..=ANSWER_MAX,
        "1KiB and 4MiB",
        usual.max_answer_bytes,
    );
    let released = match fields.optional("release") {
        Some(field) => released(field, problems),
        None => Some(usual.released),
    };
    let release_unknown = match fields.optional("on_unknown") {
        Some(field) => field.one_of(&[("keep", false), ("release", true)], problems),
        None => Some(usual.release_unknown),
    };
    let on_outage = match fields.optional("on_outage") {
        Some(field) => field.one_of(&ON_OUTAGE, problems),
        None => Some(usual.on_outage),
    };
    let anonymous = anonymous(
        field,
        fields.optional("anonymous"),
        authentication,
        problems,
    );
    Some(Some(Arc::new(Idempotency {
        methods: methods?,
        required: required?,
        keep: keep?,
        max_body_bytes: max_body_bytes?,
        max_answer_bytes: max_answer_bytes?,
        released: released?,
        release_unknown: release_unknown?,
        anonymous: anonymous?,
        on_outage: on_outage?,
    })))
}

fn methods(field: Field<'_>, problems: &mut Problems) -> Option<Vec<Box<str>>> {
    let mut methods: Vec<Box<str>> = Vec::new();
    for member in field.filled_list(problems)? {
        let method = member.one_of(METHODS, problems)?;
        if methods.iter().any(|known| **known == *method) {
            member.refuse("stands in the list twice", problems);
        } else {
            methods.push(method.into());
        }
    }
    Some(methods)
}

fn keep(field: Field<'_>, problems: &mut Problems) -> Option<Duration> {
    let keep = field.positive_duration(problems)?;
    if keep > KEEP_MAX {
        field.refuse(
            "is longer than 7 days: what has to be known for longer belongs into the upstream's database",
            problems,
        );
        return None;
    }
    Some(keep)
}

fn released(field: Field<'_>, problems: &mut Problems) -> Option<Vec<u16>> {
    let members = field.list(problems)?;
    if members.len() > RELEASED_MAX {
        field.refuse("has more than 32 statuses", problems);
        return None;
    }
    let mut statuses = Vec::new();
    for member in members {
        let status = member.whole(400..=599, problems)?;
        statuses.push(u16::try_from(status).ok()?);
    }
    Some(statuses)
}

/// What is done with the keys of strangers, which has to be said wherever there may be any: a key is remembered for
/// its caller, and all strangers would be one.
fn anonymous(
    policy: Field<'_>,
    field: Option<Field<'_>>,
    authentication: Option<&Authentication>,
    problems: &mut Problems,
) -> Option<AnonymousKeys> {
    let open = matches!(authentication, Some(Authentication::None));
    let lets_strangers_in = open
        || authentication.is_some_and(|known| {
            known
                .methods()
                .iter()
                .any(|method| matches!(method, AuthenticationMethod::Anonymous))
        });
    let Some(field) = field else {
        if lets_strangers_in {
            let choice = if open {
                "say `anonymous: share` if those who call are told apart by what they send the upstream, or ask for a credential"
            } else {
                "say `anonymous: refuse`, `ignore` or `share`"
            };
            problems.error(
                policy.place(),
                "missing_key",
                format!(
                    "`idempotency`: keys are remembered for their caller, and callers without a credential are not told apart: {choice}"
                ),
            );
            return None;
        }
        return Some(AnonymousKeys::Refuse);
    };
    let chosen = field.one_of(
        &[
            ("refuse", AnonymousKeys::Refuse),
            ("ignore", AnonymousKeys::Ignore),
            ("share", AnonymousKeys::Share),
        ],
        problems,
    )?;
    if open && chosen != AnonymousKeys::Share {
        problems.error(
            field.place(),
            "contradiction",
            "`anonymous`: with `authentication: none` no caller is known, so that no key would count: say `share`, or take `idempotency` out",
        );
        return None;
    }
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use crate::limit::OnOutage;
    use crate::resource::Spec;
    use crate::resource::content::{AnonymousKeys, Idempotency};
    use crate::resource::raw::tests::{api, read};
    use serde_json::{Value as Json, json};
    use std::sync::Arc;
    use std::time::Duration;

    fn of_routes(value: &Json) -> Vec<Option<Arc<Idempotency>>> {
        let Spec::Api(api) = read(&api(value)).unwrap().resource.spec else {
            panic!("it is an API");
        };
        let routes = api.routes.into_iter();
        routes
            .map(|route| route.content.and_then(|content| content.idempotency))
            .collect()
    }

    fn mistake(value: &Json) -> String {
        format!("{:?}", read(&api(value)).unwrap_err())
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        let usual = Some(Arc::new(Idempotency::default()));
        assert_eq!(
            of_routes(&json!({ "idempotency": true })),
            std::slice::from_ref(&usual)
        );
        assert_eq!(of_routes(&json!({ "idempotency": {} })), [usual]);
        assert_eq!(of_routes(&json!({ "idempotency": false })), [None]);
        assert_eq!(of_routes(&json!({})), [None]);
    }

    #[test]
    fn a_route_says_it_otherwise_than_its_api() {
        let routes = of_routes(&json!({
            "idempotency": { "keep": "1h" },
            "routes": [
                { "match": { "prefix": "/" } },
                {
                    "match": { "path": "/pay" },
                    "idempotency": {
                        "methods": ["POST", "PUT"], "required": true, "max_body": "4KiB", "max_answer": "8KiB",
                        "release": [503], "on_unknown": "release", "anonymous": "ignore", "on_outage": "allow_locally",
                    },
                },
                { "match": { "path": "/log" }, "idempotency": false },
            ],
        }));
        let of_api = Idempotency {
            keep: Duration::from_secs(3600),
            ..Idempotency::default()
        };
        let own = Idempotency {
            methods: vec!["POST".into(), "PUT".into()],
            required: true,
            keep: Idempotency::DEFAULT_KEEP,
            max_body_bytes: 4096,
            max_answer_bytes: 8192,
            released: vec![503],
            release_unknown: true,
            anonymous: AnonymousKeys::Ignore,
            on_outage: OnOutage::AllowLocally,
        };
        let expected = [Some(Arc::new(of_api)), Some(Arc::new(own)), None];
        assert_eq!(routes, expected);
    }

    #[test]
    fn mistakes_are_told() {
        for (value, expected) in [
            (json!({ "methods": ["GET"] }), "none of `POST`, `PATCH`"),
            (json!({ "methods": [] }), "at least one entry"),
            (json!({ "methods": ["POST", "POST"] }), "twice"),
            (json!({ "keep": "30d" }), "`keep`"),
            (json!({ "keep": "169h" }), "longer than 7 days"),
            (json!({ "keep": "0s" }), "no time at all"),
            (json!({ "max_body": "1GiB" }), "16MiB"),
            (json!({ "max_answer": "10" }), "1KiB and 4MiB"),
            (json!({ "release": [200] }), "from 400 to 599"),
            (json!({ "on_unknown": "forget" }), "`keep`, `release`"),
            (json!({ "on_outage": "keep" }), "`allow_locally`, `refuse`"),
            (json!({ "header": "x" }), "unknown key `header`"),
        ] {
            let told = mistake(&json!({ "idempotency": value }));
            assert!(told.contains(expected), "{expected} is not in {told}");
        }
        let told = mistake(&json!({
            "routes": [ { "match": { "path": "/old" }, "redirect": { "host": "x.example" }, "idempotency": true } ]
        }));
        assert!(told.contains("`idempotency` changes what"), "{told}");
    }

    #[test]
    fn what_becomes_of_strangers_keys_has_to_be_said() {
        for (authentication, value, expected) in [
            (json!("none"), json!(true), "say `anonymous: share`"),
            (json!("none"), json!({}), "say `anonymous: share`"),
            (
                json!("none"),
                json!({ "anonymous": "ignore" }),
                "no key would count",
            ),
            (
                json!([{ "issuers": ["bench"], "audience": "a" }, { "anonymous": true }]),
                json!(true),
                "`ignore` or `share`",
            ),
        ] {
            let told = mistake(&json!({ "authentication": authentication, "idempotency": value }));
            assert!(told.contains(expected), "{expected} is not in {told}");
        }
        let shared = of_routes(&json!({
            "authentication": "none", "authorization": null,
            "idempotency": { "anonymous": "share" },
        }));
        assert_eq!(shared[0].as_ref().unwrap().anonymous, AnonymousKeys::Share);
    }
}
