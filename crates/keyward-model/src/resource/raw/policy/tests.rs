//! Policies as people write them.

use crate::resource::policy::{AllowedOrigins, HeaderNames, Policies};
use crate::resource::raw::tests::{api, read};
use crate::resource::{Api, Spec};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn declared(value: &Json) -> Api {
    match read(&api(value)).unwrap().resource.spec {
        Spec::Api(api) => api,
        Spec::Issuer(_)
        | Spec::Upstream(_)
        | Spec::Credential(_)
        | Spec::Role(_)
        | Spec::AccessPolicy(_)
        | Spec::KeySet(_)
        | Spec::Webhook(_)
        | Spec::ManagementRole(_)
        | Spec::Provider(_)
        | Spec::Model(_)
        | Spec::Prompt(_) => {
            panic!("not an API")
        }
    }
}

fn policies(value: &Json) -> Policies {
    declared(value).routes.remove(0).policies
}

#[track_caller]
fn check_mistakes(key: &str, cases: &[(Json, &str)]) {
    for (value, expected) in cases {
        let problems = read(&api(&json!({ key: value }))).unwrap_err();
        let told = format!("{problems:?}");
        assert!(told.contains(expected), "{expected} is not in {told}");
    }
}

#[test]
fn routes_take_over_what_their_api_says_or_say_something_else() {
    let api = declared(&json!({
        "cors": { "origins": ["*"] },
        "security_headers": true,
        "size_limits": { "url": 100 },
        "ip_filter": { "deny": ["192.0.2.0/24"] },
        "routes": [
            { "name": "as-said" },
            { "name": "off", "match": { "prefix": "/a" }, "cors": "none", "security_headers": false, "size_limits": false, "ip_filter": "none" },
            { "name": "other", "match": { "prefix": "/b" }, "size_limits": { "body": "1KiB" } },
        ],
    }));
    let [said, off, other] = &api.routes[..] else {
        panic!("{:?}", api.routes)
    };
    assert!(said.policies.cors.is_some() && said.policies.ip_filter.is_some());
    assert_eq!(off.policies, Policies::default());
    assert_eq!(other.policies.cors, said.policies.cors);
    let limits = other.policies.size_limits.unwrap();
    assert_eq!((limits.body, limits.url), (Some(1024), None));
}

#[test]
fn files_of_addresses_are_found_where_the_configuration_is() {
    let mut api = declared(&json!({ "ip_filter": {
        "allow": ["10.0.0.0/8"], "allow_files": ["a.txt"], "deny_files": ["b.txt", "c.txt"],
    } }));
    for path in api.paths_mut() {
        *path = Path::new("/etc").join(&path);
    }
    let paths: Vec<_> = api.routes[0].policies.paths().cloned().collect();
    let expected = ["/etc/a.txt", "/etc/b.txt", "/etc/c.txt"].map(PathBuf::from);
    assert_eq!(paths, expected);
}

#[test]
fn what_a_page_may_do_is_little_unless_more_is_said() {
    let cors = policies(
        &json!({ "cors": { "origins": ["https://app.example", "https://*.app.example", "null"] } }),
    )
    .cors
    .unwrap();
    let AllowedOrigins::Listed { exact, below, null } = &cors.origins else {
        panic!("{cors:?}")
    };
    assert_eq!((exact.len(), below.len(), *null), (1, 1, true));
    assert!(!cors.credentials && !cors.private_network && !cors.refuse_others);
    assert_eq!(cors.methods, None);
    let names = ["authorization", "content-type"].map(Into::into);
    assert_eq!(cors.headers, HeaderNames::Listed(names.to_vec()));
    assert_eq!(cors.max_age, Duration::from_secs(600));
}

#[test]
fn mistakes_in_cors_are_told() {
    let with = |more: Json| {
        let mut cors = json!({ "origins": ["https://app.example"], "credentials": true });
        let Json::Object(more) = more else { panic!() };
        cors.as_object_mut().unwrap().extend(more);
        cors
    };
    check_mistakes(
        "cors",
        &[
            (json!({}), "`origins` is missing"),
            (json!({ "origins": [] }), "is empty"),
            (with(json!({ "origins": ["*"] })), "would give every page"),
            (with(json!({ "origins": ["null"] })), "anybody can make"),
            (
                with(json!({ "headers": ["*"] })),
                "beside `credentials: true`",
            ),
            (
                with(json!({ "expose": ["*"] })),
                "beside `credentials: true`",
            ),
            (
                json!({ "origins": ["*", "https://app.example"] }),
                "is everybody",
            ),
            (
                json!({ "origins": ["https://app.example/"] }),
                "is no origin",
            ),
            (
                json!({ "origins": ["https://*.example"] }),
                "can register a name",
            ),
            (
                json!({ "origins": ["https://a.*.app.example"] }),
                "no pattern of origins",
            ),
            (with(json!({ "methods": ["get"] })), "in capital letters"),
            (with(json!({ "headers": ["a b"] })), "is no header name"),
            (with(json!({ "headers": ["X-A", "x-a"] })), "twice"),
            (with(json!({ "max_age": "2d" })), "longer than 24h"),
            (with(json!({ "orgins": [] })), "did you mean `origins`?"),
            (
                json!({ "origins": ["*"], "other_origins": "refuse" }),
                "refuses nobody",
            ),
        ],
    );
}

#[test]
fn mistakes_in_the_other_policies_are_told() {
    check_mistakes(
        "ip_filter",
        &[
            (json!({}), "says nothing"),
            (json!({ "allow": [] }), "is empty"),
            (
                json!({ "allow": ["10.0.0.1/8"] }),
                "zeros behind the prefix",
            ),
            (json!({ "deny": ["localhost"] }), "is no range of addresses"),
            (json!({ "deny": ["::1", "::1"] }), "twice"),
            (json!({ "alow": ["::1"] }), "did you mean `allow`?"),
        ],
    );
    check_mistakes(
        "size_limits",
        &[
            (json!({}), "bounds nothing"),
            (json!({ "url": 0 }), "lets no call through"),
            (json!({ "headers": "1 KB" }), "is no size"),
            (json!({ "header_fields": 0 }), "from 1 to 10000"),
        ],
    );
    check_mistakes(
        "security_headers",
        &[
            (json!({ "preset": "page" }), "`api`, `web`, `none`"),
            (json!({ "preset": "none" }), "sets nothing"),
            (
                json!({ "frame_options": "SAMEORIGIN" }),
                "`deny`, `same_origin`",
            ),
            (json!({ "referrer_policy": "never" }), "no-referrer"),
            (
                json!({ "content_security_policy": "a\nb" }),
                "can't be a header's value",
            ),
            (
                json!({ "strict_transport_security": { "preload": true } }),
                "include_subdomains",
            ),
            (
                json!({ "remove": ["Content-Length"] }),
                "can't be taken off",
            ),
        ],
    );
    let decision = |more: Json| {
        let mut decision = json!({ "upstream": "gate" });
        let Json::Object(more) = more else { panic!() };
        decision.as_object_mut().unwrap().extend(more);
        decision
    };
    check_mistakes(
        "external_decision",
        &[
            (json!({}), "`upstream` is missing"),
            (decision(json!({ "path": "decide" })), "is no path"),
            (
                decision(json!({ "request_headers": ["Content-Length"] })),
                "can't be chosen here",
            ),
            (
                decision(json!({ "set_headers": ["X_Forwarded_For"] })),
                "can't be chosen here",
            ),
            (
                decision(json!({ "set_headers": ["cookie"] })),
                "can't be chosen here",
            ),
            (decision(json!({ "timeout": "1m" })), "longer than 30s"),
            (decision(json!({ "cache": {} })), "`ttl` is missing"),
            (
                decision(json!({ "cache": { "ttl": "1d" } })),
                "longer than 1h",
            ),
            (
                decision(json!({ "cache": { "ttl": "1s", "by": ["cookie"] } })),
                "leaves out `authorization`",
            ),
            (
                decision(json!({ "on_failure": "pass" })),
                "`refuse`, `allow`",
            ),
        ],
    );
    let twice = json!({ "max_body": "1MB", "size_limits": { "body": "1MB" } });
    let told = format!("{:?}", read(&api(&twice)).unwrap_err());
    assert!(told.contains("the same thing twice"), "{told}");
}

#[test]
fn a_preset_holds_but_for_what_is_said() {
    let headers = policies(&json!({ "security_headers": {
        "preset": "web", "nosniff": false, "frame_options": "deny",
        "content_security_policy": "default-src 'self'", "strict_transport_security": { "max_age": "1h" },
    } }))
    .security_headers
    .unwrap();
    let value = |name: &str| {
        let mut set = headers.set.iter().filter(|(known, _)| **known == *name);
        let value = set.next().map(|(_, value)| &**value);
        assert!(set.next().is_none(), "{name} twice");
        value
    };
    assert_eq!(value("x-content-type-options"), None);
    assert_eq!(value("x-frame-options"), Some("DENY"));
    assert_eq!(value("content-security-policy"), Some("default-src 'self'"));
    assert_eq!(value("cross-origin-opener-policy"), Some("same-origin"));
    let age = headers.strict_transport.unwrap().max_age;
    assert_eq!(age, Duration::from_secs(3600));
}
