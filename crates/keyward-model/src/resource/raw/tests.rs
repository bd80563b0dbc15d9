use super::*;
use crate::limit::Allowance;
use crate::resource::authentication::Dpop;
use crate::resource::coding::ContentCoding;
use crate::resource::mutual_tls::{Callers, CertificateName};
use crate::resource::{Authentication, IssuerKeys, Spec, TokenMethod, TokenSource, consistency};
use crate::revision::Origin;
use serde_json::{Value as Json, json};

pub(super) fn node(value: &Json) -> Node {
    Node::from_json(value)
}

pub(super) fn read(value: &Json) -> Result<Declared, Vec<String>> {
    let mut problems = Problems::new();
    let read = read_resource(node(value), Origin::File, &mut problems);
    let messages = problems
        .as_slice()
        .iter()
        .map(|problem| problem.message.clone())
        .collect();
    read.ok_or(messages)
}

/// The API of the contract's example with the members of `changes` put over it; `null` takes one out.
pub(super) fn api(changes: &Json) -> Json {
    with(
        json!({
            "kind": "api", "team": "default", "name": "echo", "version": "v1", "state": "published",
            "base_path": "/echo", "upstream": "echo",
            "authentication": { "issuers": ["bench"], "audience": "bench-api" },
            "authorization": { "scopes": ["read"] },
            "rate_limits": [ { "by": "subject", "requests": 1_000_000, "per": "1s" } ]
        }),
        changes,
    )
}

fn issuer(changes: &Json) -> Json {
    with(
        json!({
            "kind": "issuer", "name": "bench", "issuer": "https://issuer.bench",
            "jwks": { "file": "jwks.json" }, "algorithms": ["RS256", "ES256", "EdDSA"]
        }),
        changes,
    )
}

/// An API whose callers show a certificate.
fn clients(mutual_tls: Json) -> Json {
    api(&json!({ "authentication": { "mutual_tls": mutual_tls } }))
}

fn with(mut base: Json, changes: &Json) -> Json {
    let members = base.as_object_mut().unwrap();
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            members.remove(key);
        } else {
            members.insert(key.clone(), value.clone());
        }
    }
    base
}

#[test]
fn the_contracts_api_is_read() {
    let declared = read(&api(&json!({}))).unwrap();
    let Spec::Api(api) = declared.resource.spec else {
        panic!("not an API")
    };
    assert_eq!(
        api.authentication,
        Authentication::tokens(TokenMethod {
            issuers: vec!["bench".parse().unwrap()],
            audiences: vec!["bench-api".into()],
            token: TokenSource::Header,
            forward_token: false,
            dpop: Dpop::default(),
            proxied_certificate: false,
        })
    );
    assert_eq!(api.limits[0].name.as_str(), "subject-1");
    let Allowance::Rate(rate) = api.limits[0].allows else {
        panic!("{:?}", api.limits[0]);
    };
    assert_eq!(rate.burst.get(), 1_000_000);
    assert_eq!(api.identity_headers.headers.len(), 4);
}

#[test]
fn callers_by_certificate_have_the_scopes_that_are_given_to_them() {
    let declared = read(&clients(json!({
        "subject": "san_uri",
        "callers": ["spiffe://a/audit", { "name": "spiffe://a/billing", "scopes": ["read"] }],
        "roots": "clients.pem",
    })))
    .unwrap();
    let Spec::Api(mut api) = declared.resource.spec else {
        panic!("not an API")
    };
    let read = api.authentication.mutual_tls().unwrap().clone();
    assert_eq!(read.subject, CertificateName::SanUri);
    assert!(!read.forward_certificate);
    let Callers::Listed(callers) = read.callers else {
        panic!("nobody is listed")
    };
    let callers: Vec<_> = callers
        .iter()
        .map(|(name, scopes)| (&**name, scopes.iter().map(|scope| &**scope).collect()))
        .collect();
    let expected: [(&str, Vec<&str>); 2] = [
        ("spiffe://a/audit", vec![]),
        ("spiffe://a/billing", vec!["read"]),
    ];
    assert_eq!(callers, expected);
    let paths: Vec<_> = api.paths_mut().collect();
    assert_eq!(paths, [std::path::Path::new("clients.pem")]);
}

#[test]
fn routes_take_over_what_their_api_says_of_codings_or_say_something_else() {
    let declared = read(&api(&json!({
        "max_body": "2MB",
        "compression": { "codings": ["gzip"], "types": ["Text/*", "+json"], "min_size": 0 },
        "decompression": true,
        "routes": [
            { "name": "as-said" },
            { "name": "off", "match": { "prefix": "/a" }, "compression": false, "decompression": false },
            { "name": "other", "match": { "prefix": "/b" }, "compression": true },
        ],
    })))
    .unwrap();
    let Spec::Api(api) = declared.resource.spec else {
        panic!("not an API")
    };
    let [said, off, other] = api.routes.as_slice() else {
        panic!("not three routes")
    };
    let compression = said.compression.as_ref().unwrap();
    assert_eq!(compression.codings, [ContentCoding::Gzip]);
    assert_eq!((compression.min_bytes, compression.levels.gzip), (0, 5));
    let covered = ["text/html", "application/json", "application/a+json"];
    let covered = covered.map(|kind| compression.types.iter().any(|known| known.covers(kind)));
    assert_eq!(covered, [true, false, true]);
    let decompression = said.decompression.as_ref().unwrap();
    assert_eq!(decompression.codings, ContentCoding::ALL);
    assert_eq!(
        (decompression.max_bytes, decompression.max_ratio),
        (2_000_000, 100)
    );
    assert_eq!((&off.compression, &off.decompression), (&None, &None));
    assert_eq!(other.compression.as_ref().unwrap().codings.len(), 3);
    assert_eq!(other.decompression, said.decompression);
}

#[test]
fn identity_headers_are_kept_in_the_one_spelling_that_is_compared() {
    let declared = read(&api(
        &json!({ "identity_headers": { "X_User": "subject", "x-tenant": "claim:org" } }),
    ))
    .unwrap();
    let Spec::Api(api) = declared.resource.spec else {
        panic!("not an API")
    };
    let names: Vec<_> = api
        .identity_headers
        .headers
        .iter()
        .map(|(name, _)| name.as_ref())
        .collect();
    assert_eq!(names, ["x-user", "x-tenant"]);
}

#[test]
fn a_secret_is_its_bytes_or_what_its_base64_encodes() {
    let text = "0123456789abcdef0123456789abcdef";
    for (written, bytes) in [
        (text.to_owned(), text.as_bytes().to_vec()),
        (format!("base64:{}", "_".repeat(43)), vec![]),
        (format!("base64:{}8", "_".repeat(42)), vec![0xff; 32]),
        (format!("base64:{}8=", "/".repeat(42)), vec![0xff; 32]),
    ] {
        let read = read(&issuer(
            &json!({ "jwks": null, "secret": written, "algorithms": ["HS256"] }),
        ));
        match read {
            Ok(declared) => {
                let Spec::Issuer(issuer) = declared.resource.spec else {
                    panic!("no issuer")
                };
                let IssuerKeys::Secret(secret) = issuer.keys else {
                    panic!("no secret")
                };
                assert_eq!(*secret.reveal(), bytes);
            }
            Err(messages) => {
                assert!(bytes.is_empty(), "{messages:?}");
                assert!(
                    messages.iter().all(|message| !message.contains("__")),
                    "{messages:?}"
                );
            }
        }
    }
}

#[test]
fn discovery_asks_where_the_standard_puts_the_metadata() {
    for (issuer_name, discover, expected) in [
        (
            "https://id.example/tenant",
            json!(true),
            "https://id.example/tenant/.well-known/openid-configuration",
        ),
        (
            "https://id.example/",
            json!(true),
            "https://id.example/.well-known/openid-configuration",
        ),
        (
            "tenant",
            json!("https://id.example/.well-known/oauth-authorization-server"),
            "https://id.example/.well-known/oauth-authorization-server",
        ),
    ] {
        let declared = read(&issuer(
            &json!({ "issuer": issuer_name, "jwks": { "discover": discover } }),
        ))
        .unwrap();
        let Spec::Issuer(issuer) = declared.resource.spec else {
            panic!("no issuer")
        };
        let IssuerKeys::Url { url, discover, .. } = issuer.keys else {
            panic!("no address")
        };
        assert_eq!((url.as_ref(), discover), (expected, true));
    }
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    for (resource, expected) in [
        (json!([]), "is a mapping"),
        (
            json!({ "name": "a" }),
            "`kind` is missing: a resource says what it is, one of `issuer`, `upstream`, `api`",
        ),
        (
            json!({ "kind": "isuer", "name": "a" }),
            "did you mean `issuer`?",
        ),
        (
            api(&json!({ "audiance": "x" })),
            "unknown key `audiance`: an api has",
        ),
        (
            api(&json!({ "basepath": "/x" })),
            "unknown key `basepath`: did you mean `base_path`?",
        ),
        (
            api(&json!({ "authentication": { "issuers": ["a"], "audiance": "x" } })),
            "unknown key `audiance`: did you mean `audience`?",
        ),
        (
            api(&json!({ "authentication": null })),
            "`authentication` is missing: say who may call",
        ),
        (
            api(&json!({ "authentication": "nobody" })),
            "`authentication`: `nobody` is neither `none` nor a mapping",
        ),
        (
            api(&json!({ "authentication": "none" })),
            "`authorization` asks for scopes, but `authentication: none`",
        ),
        (
            api(&json!({ "authentication": { "issuers": [], "audience": "x" } })),
            "`issuers` is empty",
        ),
        (
            api(&json!({ "authentication": { "issuers": ["a"], "audience": [] } })),
            "`audience` is empty",
        ),
        (
            api(&json!({ "authentication": { "issuers": ["a"] } })),
            "`audience` is missing",
        ),
        (
            api(&json!({ "authentication": { "issuers": ["a", "a"], "audience": "x" } })),
            "stands in the list twice",
        ),
        (
            api(
                &json!({ "authentication": { "issuers": ["a"], "audience": "x", "token": { "cookie": "a b" } } }),
            ),
            "is no cookie name",
        ),
        (
            clients(json!({})),
            "`subject` is missing: say which name of a certificate is the caller's",
        ),
        (
            clients(json!({ "subject": "san_url" })),
            "`subject`: `san_url` is none of `san_uri`, `san_dns`, `san_email`, `common_name`, `subject_dn`: did you mean `san_uri`?",
        ),
        (
            clients(json!({ "subject": "san_uri" })),
            "`authorization` asks for scopes, which no certificate carries",
        ),
        (
            clients(json!({ "subject": "san_uri", "callers": [] })),
            "`callers` is empty",
        ),
        (
            clients(json!({ "subject": "san_dns", "callers": ["*.internal"] })),
            "`*.internal` is no caller's name: names are compared exactly",
        ),
        (
            clients(json!({ "subject": "san_dns", "callers": ["a", { "name": "a" }] })),
            "stands in the list twice",
        ),
        (
            clients(json!({ "subject": "san_dns", "callers": [{ "scopes": ["a"] }] })),
            "`name` is missing: as its certificate has it",
        ),
        (
            clients(
                json!({ "subject": "san_dns", "callers": [{ "name": "a", "scopes": ["b c"] }] }),
            ),
            "is no scope",
        ),
        (
            api(
                &json!({ "authentication": { "mutual_tls": { "subject": "san_uri" }, "audience": "x" } }),
            ),
            "`audience` stands beside `mutual_tls`: each method is an entry of its own",
        ),
        (
            api(&json!({ "compression": "on" })),
            "`compression` is a mapping of keys to values, not `on`",
        ),
        (
            api(&json!({ "compression": { "codings": ["gzip", "deflate"] } })),
            "`deflate` is none of `zstd`, `br`, `gzip`",
        ),
        (
            api(&json!({ "compression": { "codings": ["gzip", "gzip"] } })),
            "stands in the list twice",
        ),
        (
            api(&json!({ "compression": { "types": ["*/*"] } })),
            "is no media type: write `application/json`, `text/*` or `+json`",
        ),
        (
            api(&json!({ "compression": { "levels": { "br": 11 } } })),
            "`br` is a whole number from 0 to 9",
        ),
        (
            api(&json!({ "decompression": { "max_ratio": 0 } })),
            "`max_ratio` is a whole number from 1 to 1032",
        ),
        (
            api(&json!({ "max_body": "1MB", "decompression": { "max_size": "2MB" } })),
            "is more than `max_body`, which is the most that the upstream gets",
        ),
        (api(&json!({ "team": "other" })), "the team `default` alone"),
        (api(&json!({ "name": "Echo" })), "`name`: `Echo` is no name"),
        (
            api(&json!({ "version": 1 })),
            "`version` is a text (put it in quotes), not `1`",
        ),
        (api(&json!({ "state": null })), "`state` is missing"),
        (
            api(&json!({ "state": "publised" })),
            "did you mean `published`?",
        ),
        (
            api(&json!({ "base_path": "/echo/" })),
            "ends with a slash: write it without",
        ),
        (api(&json!({ "base_path": "/a%20b" })), "is no base path"),
        (
            api(&json!({ "keep_base_path": "yes" })),
            "`keep_base_path` is `true` or `false`, not `yes`",
        ),
        (
            api(&json!({ "authorization": { "scopes": ["a b"] } })),
            "is no scope",
        ),
        (
            api(&json!({ "rate_limits": [ { "by": "ip", "requests": 1, "per": "1s" } ] })),
            "`by`: `ip` is none of `subject`, `client`, `team`, `issuer`, `key`, `address`, `model`, `route`, `api`, `claim:NAME`, `header:NAME`",
        ),
        (
            api(&json!({ "rate_limits": [ { "by": "route", "requests": 0, "per": "1s" } ] })),
            "`requests` is a whole number from 1 to 4294967295, not `0`",
        ),
        (
            api(&json!({ "rate_limits": [ { "by": "route", "requests": 1, "per": 60 } ] })),
            "`per` is a duration such as 250ms, 30s, 5m or 1h, not `60`",
        ),
        (
            api(&json!({ "rate_limits": [ { "by": "route", "requests": 1, "per": "0s" } ] })),
            "is no time at all",
        ),
        (
            api(&json!({ "rate_limits": [ { "by": "adress", "requests": 1, "per": "1s" } ] })),
            "`by`: `adress` is none of `subject`, `client`, `team`, `issuer`, `key`, `address`, `model`, `route`, `api`, `claim:NAME`, `header:NAME`: did you mean `address`?",
        ),
        (
            api(
                &json!({ "rate_limits": [ { "by": "header:authorization", "requests": 1, "per": "1s" } ] }),
            ),
            "`by`: `header:authorization` is a credential: count by `subject`, `client` or `key`, which are what it proves",
        ),
        (
            api(
                &json!({ "rate_limits": [ { "by": ["subject", "subject"], "requests": 1, "per": "1s" } ] }),
            ),
            "`by`: `subject` stands in the list twice",
        ),
        (
            api(&json!({ "rate_limits": [ { "by": "subject", "requests": 1, "per": "day" } ] })),
            "`per`: a rate limit has a duration, such as 1s, 1m or 1h; windows of the calendar (`day`) are what `quotas` has",
        ),
        (
            api(&json!({ "quotas": [ { "by": "subject", "requests": 1, "per": "1h" } ] })),
            "`per`: `1h` is none of `minute`, `hour`, `day`, `week`, `month`",
        ),
        (
            api(&json!({ "concurrency": [ { "by": "subject", "calls": 0 } ] })),
            "`calls` is a whole number from 1 to 4294967295, not `0`",
        ),
        (
            api(
                &json!({ "concurrency": [ { "by": "subject", "calls": 2, "on_outage": "allow" } ] }),
            ),
            "`on_outage`: `allow` is none of `allow_locally`, `refuse`",
        ),
        (
            api(
                &json!({ "quotas": [ { "by": "subject", "requests": 1, "per": "day", "name": "subject-1" } ] }),
            ),
            "two limits of the same calls are called `subject-1`: answers name the limit, so each needs its own `name`",
        ),
        (
            api(&json!({ "rate_limits": [ { "by": "route", "requests": 1, "per": "60d" } ] })),
            "is longer than 31d",
        ),
        (
            api(&json!({ "identity_headers": { "Authorization": "subject" } })),
            "`Authorization` is set or taken out by the gateway itself",
        ),
        (
            api(&json!({ "identity_headers": { "x_forwarded_for": "subject" } })),
            "is set or taken out by the gateway itself",
        ),
        (
            api(&json!({ "identity_headers": { "x user": "subject" } })),
            "is no header name",
        ),
        (
            api(&json!({ "identity_headers": { "x-a": "subject", "X_A": "client" } })),
            "stands there twice",
        ),
        (
            api(&json!({ "identity_headers": { "x-a": "email" } })),
            "write `subject`, `issuer`, `client`, `scopes` or `claim:NAME`",
        ),
        (
            api(&json!({ "max_body": "1 MB" })),
            "`max_body`: `1 MB` is no size",
        ),
        (
            api(&json!({ "websocket": { "idle": "5m" } })),
            "unknown key `idle`",
        ),
        (
            api(&json!({ "websocket": { "idle_timeout": "0s" } })),
            "`idle_timeout`",
        ),
        (
            api(&json!({ "websocket": { "origins": ["https://app.example/"] } })),
            "`origins`: `https://app.example/` is no origin as browsers write it",
        ),
        (
            api(&json!({ "websocket": { "origins": ["https://a.example", "https://a.example"] } })),
            "stands in the list twice",
        ),
        (
            issuer(&json!({ "name": "self" })),
            "is the name of this node's own issuer",
        ),
        (issuer(&json!({ "issuer": null })), "`issuer` is missing"),
        (issuer(&json!({ "jwks": null })), "`jwks` is missing"),
        (issuer(&json!({ "jwks": {} })), "exactly one of"),
        (
            issuer(&json!({ "jwks": { "file": "a", "url": "https://a" } })),
            "exactly one of",
        ),
        (
            issuer(&json!({ "jwks": { "url": "issuer.example/keys" } })),
            "is no address",
        ),
        (
            issuer(&json!({ "jwks": { "file": "a", "stale_for": "1h" } })),
            "goes with `url` or `discover` alone",
        ),
        (
            issuer(&json!({ "issuer": "tenant", "jwks": { "discover": true } })),
            "needs an `issuer` that is an https:// address",
        ),
        (
            issuer(&json!({ "secret": "0123456789abcdef0123456789abcdef" })),
            "not both",
        ),
        (
            issuer(&json!({ "jwks": null, "secret": "hunter2" })),
            "`secret` has 7 bytes: a shared secret has at least 32",
        ),
        (
            issuer(&json!({ "jwks": null, "secret": "base64:§" })),
            "neither base64 nor base64url",
        ),
        (issuer(&json!({ "leeway": "1h" })), "is more than 5m"),
        (
            issuer(&json!({ "encrypted": true })),
            "is none of `no`, `required`",
        ),
        (
            json!({ "kind": "upstream", "name": "u" }),
            "`targets` is missing",
        ),
        (
            json!({ "kind": "upstream", "name": "u", "targets": [] }),
            "`targets` is empty",
        ),
        (
            json!({ "kind": "upstream", "name": "u", "targets": [ { "url": "ftp://a" } ] }),
            "write http://host:port or https://host",
        ),
        (
            json!({ "kind": "upstream", "name": "u", "targets": [ { "url": "http://a", "weight": 0 } ] }),
            "`weight` is a whole number from 1",
        ),
    ] {
        let messages = read(&resource).expect_err(expected);
        assert!(
            messages.iter().any(|message| message.contains(expected)),
            "{expected:?} is not among {messages:#?}"
        );
        assert!(!messages.iter().any(|message| message.contains("hunter2")));
    }
}

#[test]
fn what_does_not_fit_together_is_told() {
    let upstream = |name: &str| json!({ "kind": "upstream", "name": name, "targets": [ { "url": "http://a" } ] });
    let open = json!({ "authentication": "none", "authorization": null });
    let open_at =
        |name: &str, path: &str| with(api(&open), &json!({ "name": name, "base_path": path }));
    for (resources, expected) in [
        (
            vec![issuer(&json!({})), upstream("echo"), api(&json!({}))],
            None,
        ),
        (
            vec![upstream("echo"), open_at("a", "/a"), open_at("b", "/a/b")],
            None,
        ),
        (
            vec![upstream("echo"), upstream("echo"), open_at("a", "/")],
            Some("two resources of kind `upstream`"),
        ),
        (
            vec![upstream("echo"), open_at("a", "/a"), open_at("a", "/b")],
            Some("two resources of kind `api` with the name `a` version `v1`"),
        ),
        (
            vec![upstream("echo"), open_at("a", "/a"), open_at("b", "/a")],
            Some("`/a` is taken by the API `a`"),
        ),
        (
            vec![upstream("ecko"), open_at("a", "/a")],
            Some("there is no upstream `echo`: did you mean `ecko`?"),
        ),
        (
            vec![
                with(upstream("echo"), &json!({ "protocol": "http2" })),
                with(open_at("a", "/a"), &json!({ "websocket": true })),
            ],
            Some("`websocket` is for upstreams that are spoken to in HTTP/1.1"),
        ),
        (
            vec![
                upstream("echo"),
                with(open_at("a", "/a"), &json!({ "websocket": true })),
            ],
            None,
        ),
        (
            vec![upstream("other"), open_at("a", "/a")],
            Some("there is no upstream `echo`: declare it"),
        ),
        (
            vec![upstream("echo"), upstream("spare"), open_at("a", "/a")],
            Some("upstream `spare` is used by no API"),
        ),
        (
            vec![upstream("echo"), open_at("a", "/.well-known/jwks.json")],
            Some("the gateway itself answers"),
        ),
        (
            vec![
                upstream("echo"),
                open_at("a", "/.well-known/oauth-protected-resource/x"),
            ],
            Some("the gateway itself answers"),
        ),
        (
            vec![
                upstream("echo"),
                api(&json!({})),
                issuer(&json!({ "name": "bensh" })),
            ],
            Some("there is no issuer `bench`: did you mean `bensh`?"),
        ),
        (
            vec![
                upstream("echo"),
                api(&json!({ "authentication": { "issuers": ["self"], "audience": "x" } })),
            ],
            None,
        ),
        (
            vec![
                upstream("echo"),
                issuer(&json!({})),
                issuer(&json!({ "name": "b" })),
                api(&json!({ "authentication": { "issuers": ["bench", "b"], "audience": "x" } })),
            ],
            Some("both stand for `https://issuer.bench`"),
        ),
        (
            vec![issuer(&json!({ "issuer": "http://localhost:8090" }))],
            Some("is this node itself"),
        ),
    ] {
        let mut problems = Problems::new();
        let declared: Vec<_> = resources
            .iter()
            .filter_map(|resource| read_resource(node(resource), Origin::File, &mut problems))
            .collect();
        assert_eq!(problems.as_slice(), []);
        consistency::check(
            &declared.iter().collect::<Vec<_>>(),
            "http://localhost:8090",
            &mut problems,
        );
        let messages: Vec<_> = problems
            .as_slice()
            .iter()
            .map(|problem| &problem.message)
            .collect();
        match expected {
            None => assert!(messages.is_empty(), "{messages:?}"),
            Some(expected) => assert!(
                messages.iter().any(|message| message.contains(expected)),
                "{expected:?} is not among {messages:?}"
            ),
        }
    }
}
