use crate::resource::Spec;
use crate::resource::raw::tests::{api, node, read};
use crate::resource::raw::{Problems, read_resource};
use crate::resource::route::{Action, Condition, LocationPath, Rewrite, TemplatePiece};
use crate::resource::{Api, HostPattern, consistency};
use crate::revision::Origin;
use serde_json::{Value as Json, json};

fn typed(value: &Json) -> Api {
    match read(value).unwrap().resource.spec {
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
        | Spec::Prompt(_) => panic!("not an API"),
    }
}

fn routed(routes: &Json) -> Json {
    api(&json!({ "routes": routes }))
}

#[test]
fn an_api_without_routes_is_one_that_takes_everything() {
    let api = typed(&api(&json!({})));
    assert!(api.hosts.is_empty());
    let [route] = api.routes.as_slice() else {
        panic!("one route")
    };
    assert_eq!(&*route.label, "/echo");
    assert_eq!(route.matching, Default::default());
    let upstreams: Vec<_> = route.upstreams().map(AsRef::as_ref).collect();
    assert_eq!(upstreams, ["echo"]);
}

#[test]
fn everything_that_a_route_may_say_is_read() {
    let api = typed(&api(&json!({
        "hosts": ["API.example.com", "*.example.org"],
        "routes": [
            {
                "name": "order",
                "match": {
                    "path": "/orders/{id}", "methods": ["GET", "PUT"],
                    "headers": { "X-Tenant": "acme", "x-debug": { "present": false } },
                    "query": { "full": { "present": true } }
                },
                "authorization": { "scopes": ["orders"] },
                "rewrite": { "path": "/internal/{id}" },
                "query": { "set": { "v": "2" }, "remove": ["debug"] },
                "request_headers": { "set": { "X-A": "1" }, "add": { "x-b": "2" }, "remove": ["X-C"] },
                "response_headers": { "remove": ["server"] },
                "split": [
                    { "upstream": "echo", "weight": 95 },
                    { "upstream": "canary", "weight": 5, "when": { "headers": { "x-canary": "always" } } }
                ]
            },
            { "match": { "prefix": "/old" }, "redirect": { "status": 308, "prefix": "/new" } },
            { "match": { "path": "/health", "methods": ["GET"] }, "respond": { "body": "well" } }
        ]
    })));
    assert_eq!(
        api.hosts,
        [
            HostPattern::Exact("api.example.com".into()),
            HostPattern::Below("example.org".into())
        ]
    );
    let labels: Vec<_> = api.routes.iter().map(|route| &*route.label).collect();
    assert_eq!(labels, ["order", "/echo/old/*", "GET,HEAD /echo/health"]);
    let order = &api.routes[0];
    let methods: Vec<_> = order.matching.methods.iter().map(AsRef::as_ref).collect();
    assert_eq!(methods, ["GET", "PUT", "HEAD"]);
    let conditions = &order.matching.conditions;
    assert_eq!(
        conditions.headers,
        [
            ("x-tenant".into(), Condition::Equals("acme".into())),
            ("x-debug".into(), Condition::Absent)
        ]
    );
    assert_eq!(conditions.query, [("full".into(), Condition::Present)]);
    assert_eq!(&*order.request_headers.remove[0], "x-c");
    let Action::Forward(forward) = &order.action else {
        panic!("not forwarded")
    };
    let Some(Rewrite::Path(template)) = &forward.rewrite else {
        panic!("no path")
    };
    assert_eq!(
        template.pieces(),
        [
            TemplatePiece::Text("/internal/".into()),
            TemplatePiece::Parameter(0)
        ]
    );
    assert_eq!(forward.shares[1].weight, 5);
    let Action::Redirect(redirect) = &api.routes[1].action else {
        panic!("no redirect")
    };
    assert_eq!(redirect.status, 308);
    assert!(matches!(
        redirect.path,
        LocationPath::Rewritten(Rewrite::Prefix(_))
    ));
}

#[test]
fn values_of_headers_do_not_print() {
    let api = typed(&routed(
        &json!([{ "request_headers": { "set": { "authorization": "Basic aHVudGVyMg==" } } }]),
    ));
    assert!(!format!("{api:?}").contains("aHVudGVyMg"));
}

#[test]
fn what_is_wrong_with_a_route_is_told() {
    for (routes, expected) in [
        (json!([]), "`routes` is empty"),
        (
            json!([{ "mach": {} }]),
            "unknown key `mach`: did you mean `match`?",
        ),
        (
            json!([{ "match": { "path": "/a", "prefix": "/a" } }]),
            "a `path` and a `prefix`",
        ),
        (
            json!([{ "match": { "path": "/a/*" } }]),
            "`/a/*` has a `*`: write `prefix`",
        ),
        (json!([{ "match": { "path": "/a/" } }]), "ends with a slash"),
        (
            json!([{ "match": { "prefix": "a" } }]),
            "`prefix`: `a` begins with `/`",
        ),
        (
            json!([{ "match": { "methods": [] } }]),
            "`methods` is empty",
        ),
        (json!([{ "match": { "methods": ["get"] } }]), "write `GET`"),
        (
            json!([{ "match": { "methods": ["GET", "GET"] } }]),
            "stands in the list twice",
        ),
        (
            json!([{ "match": { "methods": ["TRACE"] } }]),
            "serves to nobody",
        ),
        (
            json!([{ "match": { "headers": { "x y": "1" } } }]),
            "`x y` is no header name",
        ),
        (
            json!([{ "match": { "headers": { "x": "1", "X": "2" } } }]),
            "stands there twice",
        ),
        (
            json!([{ "match": { "headers": { "x": true } } }]),
            "put it in quotes",
        ),
        (
            json!([{ "match": { "headers": { "x": " a" } } }]),
            "can't be a header's value",
        ),
        (
            json!([{ "match": { "headers": { "x": {} } } }]),
            "`present` is missing",
        ),
        (
            json!([{ "match": { "query": { "x": { "absent": true } } } }]),
            "unknown key `absent`",
        ),
        (json!([{ "rewrite": {} }]), "`rewrite` changes nothing"),
        (
            json!([{ "rewrite": { "path": "/{id}" } }]),
            "names the parameter `{id}`",
        ),
        (
            json!([{ "rewrite": { "path": "//x" } }]),
            "can't stand in a path",
        ),
        (
            json!([{ "match": { "path": "/a" }, "rewrite": { "prefix": "/b" } }]),
            "`match` has a whole `path`",
        ),
        (json!([{ "query": {} }]), "`query` changes nothing"),
        (
            json!([{ "query": { "set": { "a": 1 } } }]),
            "put it in quotes",
        ),
        (
            json!([{ "request_headers": { "set": { "Host": "a" } } }]),
            "`Host` is set or taken out by the gateway itself",
        ),
        (
            json!([{ "request_headers": { "remove": ["Transfer_Encoding"] } }]),
            "is set or taken out by the gateway itself",
        ),
        (
            json!([{ "request_headers": { "set": { "X_Keyward_Subject": "admin" } } }]),
            "tells the upstream who calls",
        ),
        (
            json!([{ "response_headers": { "set": { "x-a": "1\r\nx-b: 2" } } }]),
            "can't be a header's value",
        ),
        (
            json!([{ "upstream": "echo", "respond": {} }]),
            "`respond` and `upstream` stand in one route",
        ),
        (
            json!([{ "rewrite": { "path": "/a" }, "respond": {} }]),
            "`rewrite` changes what an upstream gets",
        ),
        (json!([{ "split": [] }]), "`split` is empty"),
        (
            json!([{ "split": [{ "upstream": "a" }] }]),
            "`weight` is missing",
        ),
        (
            json!([{ "split": [{ "upstream": "a", "when": { "headers": { "x": "1" } } }] }]),
            "no weight above 0",
        ),
        (
            json!([{ "split": [{ "upstream": "a", "weight": 1, "when": {} }] }]),
            "`when` asks for nothing",
        ),
        (
            json!([{ "mirror": {} }]),
            "`upstream` is missing: name the upstream that gets the copies",
        ),
        (
            json!([{ "mirror": { "upstream": "a", "percent": 0 } }]),
            "`percent` is a whole number from 1 to 100",
        ),
        (
            json!([{ "mirror": { "upstream": "a", "max_body": "2MiB" } }]),
            "is more than 1MiB",
        ),
        (
            json!([{ "mirror": { "upstream": "a", "max_in_flight": 0 } }]),
            "`max_in_flight` is a whole number from 1 to 10000",
        ),
        (
            json!([{ "mirror": { "upstream": "a", "timeout": "1h" } }]),
            "is longer than 10m",
        ),
        (
            json!([{ "mirror": { "upstream": "a", "request_headers": { "set": { "x-keyward-mirrored": "0" } } } }]),
            "tells the upstream who calls",
        ),
        (
            json!([{ "mirror": { "upstream": "a" }, "redirect": { "host": "a" } }]),
            "`mirror` changes what an upstream gets or answers, but `redirect` calls none",
        ),
        (
            json!([{ "redirect": {} }]),
            "leads back to where the call came from",
        ),
        (
            json!([{ "redirect": { "status": 304, "host": "a" } }]),
            "sends nobody elsewhere",
        ),
        (
            json!([{ "redirect": { "host": "http://a" } }]),
            "is no host",
        ),
        (json!([{ "redirect": { "host": "a:0" } }]), "is no host"),
        (
            json!([{ "redirect": { "scheme": "ftp" } }]),
            "is none of `http`, `https`",
        ),
        (
            json!([{ "respond": { "status": 101 } }]),
            "a whole number from 200 to 599",
        ),
        (
            json!([{ "respond": { "status": 204, "body": "a" } }]),
            "has none",
        ),
        (
            json!([{ "respond": { "body": "a".repeat(65537) } }]),
            "is longer than 64KiB",
        ),
        (
            json!([{ "respond": { "headers": { "content-length": "1" } } }]),
            "by the gateway itself",
        ),
        (
            json!([{ "match": { "path": "/a" } }, { "match": { "path": "/a" } }]),
            "two routes are called `/echo/a`",
        ),
    ] {
        let messages = read(&routed(&routes)).expect_err(expected);
        assert!(
            messages.iter().any(|message| message.contains(expected)),
            "{expected:?} is not among {messages:#?}"
        );
    }
    for (changes, expected) in [
        (json!({ "hosts": [] }), "`hosts` is empty"),
        (json!({ "hosts": ["*"] }), "leave `hosts` out"),
        (
            json!({ "hosts": ["a.example", "A.example"] }),
            "stands in the list twice",
        ),
        (
            json!({ "hosts": ["a.example:80"] }),
            "`a.example:80` has a port",
        ),
        (
            json!({ "upstream": null, "routes": [{ "match": { "path": "/a" } }] }),
            "`upstream` is missing: name the upstream that calls go to, here or for the whole API",
        ),
        (
            json!({
                "authentication": "none", "authorization": null,
                "routes": [{ "authorization": { "scopes": ["a"] } }]
            }),
            "lets everyone call without a token",
        ),
    ] {
        let messages = read(&api(&changes)).expect_err(expected);
        assert!(
            messages.iter().any(|message| message.contains(expected)),
            "{expected:?} is not among {messages:#?}"
        );
    }
}

/// What checking these APIs together says; each has its own name, base path `/a` and upstream `echo`.
fn together(apis: &[Json]) -> Vec<String> {
    let mut problems = Problems::new();
    let upstream =
        json!({ "kind": "upstream", "name": "echo", "targets": [ { "url": "http://a" } ] });
    let apis = apis.iter().enumerate().map(|(index, changes)| {
        let mut whole = json!({
            "name": format!("api-{index}"), "base_path": "/a",
            "authentication": "none", "authorization": null
        });
        whole
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        api(&whole)
    });
    let declared: Vec<_> = apis
        .chain([upstream])
        .filter_map(|resource| read_resource(node(&resource), Origin::File, &mut problems))
        .collect();
    let all: Vec<_> = declared.iter().collect();
    consistency::check(&all, "http://localhost:8090", &mut problems);
    let problems = problems.as_slice().iter();
    problems.map(|problem| problem.message.clone()).collect()
}

#[test]
fn routes_that_no_rule_tells_apart_are_refused() {
    let with = |matching: Json| json!({ "routes": [{ "match": matching }] });
    for (apis, expected) in [
        (
            vec![json!({}), json!({})],
            Some("`/a` is taken by the API `api-0`"),
        ),
        (vec![json!({ "hosts": ["x.example"] }), json!({})], None),
        (
            vec![
                json!({ "hosts": ["x.example"] }),
                json!({ "hosts": ["*.example"] }),
            ],
            None,
        ),
        (
            vec![
                json!({ "hosts": ["x.example", "y.example"] }),
                json!({ "hosts": ["Y.example"] }),
            ],
            Some("is taken on `y.example` by the API `api-0`"),
        ),
        (vec![json!({}), json!({ "state": "draft" })], None),
        (vec![json!({}), with(json!({ "methods": ["GET"] }))], None),
        (
            vec![
                with(json!({ "methods": ["GET"] })),
                with(json!({ "methods": ["POST"] })),
            ],
            None,
        ),
        (
            vec![
                with(json!({ "methods": ["GET"] })),
                with(json!({ "methods": ["PUT", "HEAD"] })),
            ],
            Some(
                "a call of `/a/*` could be for `PUT,HEAD /a/*` and for the route `GET,HEAD /a/*` of the API `api-0`",
            ),
        ),
        (
            vec![
                with(json!({ "path": "/{x}" })),
                with(json!({ "path": "/{y}" })),
            ],
            Some("a call of `/a/{y}` could be for"),
        ),
        (
            vec![
                with(json!({ "path": "/{x}" })),
                with(json!({ "prefix": "/{y}" })),
            ],
            None,
        ),
        (
            vec![
                with(json!({ "path": "/{x}" })),
                with(json!({ "path": "/y" })),
            ],
            None,
        ),
        (
            vec![
                with(json!({ "prefix": "/b" })),
                json!({ "base_path": "/a/b" }),
            ],
            Some("a call of `/a/b/*` could be for"),
        ),
        (
            vec![
                with(json!({ "headers": { "api-version": "1" } })),
                with(json!({ "headers": { "api-version": "2" } })),
            ],
            None,
        ),
        (
            vec![
                with(json!({ "headers": { "api-version": "1" } })),
                with(json!({ "headers": { "x-other": "2" } })),
            ],
            Some("no rule tells which"),
        ),
        (
            vec![
                with(json!({ "headers": { "api-version": "1" } })),
                with(json!({ "headers": { "api-version": "1" }, "query": { "x": "2" } })),
            ],
            None,
        ),
        (
            vec![
                json!({ "base_path": "/.well-known", "routes": [{ "match": { "path": "/jwks.json" } }] }),
            ],
            Some("`routes`: `/.well-known/jwks.json` is hidden"),
        ),
        (
            vec![
                json!({ "base_path": "/", "routes": [{ "match": { "prefix": "/.well-known/acme-challenge/{x}" } }] }),
            ],
            Some("is hidden: the gateway itself answers at `/.well-known/acme-challenge`"),
        ),
        (
            vec![json!({ "routes": [{ "upstream": "ecko" }] })],
            Some("there is no upstream `ecko`: did you mean `echo`?"),
        ),
    ] {
        let messages = together(&apis);
        match expected {
            None => assert!(messages.is_empty(), "{apis:?}: {messages:?}"),
            Some(expected) => assert!(
                messages.iter().any(|message| message.contains(expected)),
                "{expected:?} is not among {messages:?}"
            ),
        }
    }
}

#[test]
fn routes_that_are_looked_at_one_by_one_are_few() {
    let routes: Vec<_> = (0..65)
        .map(|number| {
            json!({ "name": format!("r{number}"), "match": { "headers": { "x": number.to_string() } } })
        })
        .collect();
    assert_eq!(together(&[json!({ "routes": routes[..64] })]), [""; 0]);
    let messages = together(&[json!({ "routes": routes })]);
    assert!(
        messages[0].contains("64 routes share the path `/a/*` already"),
        "{messages:?}"
    );
}
