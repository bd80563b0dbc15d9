use super::*;
use crate::Origin;
use crate::resource::Spec;
use crate::resource::raw::{Node, read_resource};
use crate::resource::upstream::{Balance, HashSource, HealthCheck, HealthProbe};
use serde_json::json;

#[test]
fn addresses_of_targets_are_taken_apart() {
    for (url, expected) in [
        ("http://127.0.0.1:9000", Some(("127.0.0.1", 9000, ""))),
        ("http://Example.test", Some(("example.test", 80, ""))),
        ("http://example.test/", Some(("example.test", 80, ""))),
        ("http://[::1]:8000/api/v2/", Some(("::1", 8000, "/api/v2"))),
        ("http://[::1]", Some(("::1", 80, ""))),
        ("https://example.test:", None),
        ("https://", None),
        ("ftp://example.test", None),
        ("example.test:80", None),
        ("http://", None),
        ("http://user@example.test", None),
        ("http://example.test:0", None),
        ("http://example.test:65536", None),
        ("http://example.test:", None),
        ("http://example.test:+80", None),
        ("http://[::1", None),
        ("http://[::1]80", None),
        ("http://a b", None),
        ("http://example.test/a/../b", None),
        ("http://example.test//a", None),
        ("http://example.test/?q=1", None),
    ] {
        let read = address(url).ok();
        let read = read
            .as_ref()
            .map(|(tls, host, port, path)| (*tls, &**host, *port, &**path));
        assert_eq!(
            read,
            expected.map(|(host, port, path)| (false, host, port, path)),
            "{url}"
        );
    }
    for (url, expected) in [
        ("https://example.test", (true, "example.test", 443, "")),
        (
            "https://example.test:80/a/",
            (true, "example.test", 80, "/a"),
        ),
        ("https://[::1]", (true, "::1", 443, "")),
    ] {
        let (tls, host, port, path) = address(url).unwrap();
        assert_eq!((tls, &*host, port, &*path), expected, "{url}");
    }
}

/// An upstream with these keys beside its target, or the messages.
fn read_with(keys: &serde_json::Value) -> Result<Upstream, String> {
    let mut json = serde_json::json!({
        "kind": "upstream", "name": "u", "targets": [ { "url": "http://a.test" } ]
    });
    let members = json.as_object_mut().unwrap();
    members.extend(keys.as_object().unwrap().clone());
    let mut problems = Problems::new();
    let node = Node::from_json(&json);
    let declared = read_resource(node, Origin::File, &mut problems);
    let told = format!("{problems:?}");
    match declared.filter(|_| !problems.has_errors()) {
        Some(declared) => match declared.resource.spec {
            Spec::Upstream(upstream) => Ok(*upstream),
            Spec::Issuer(_)
            | Spec::Api(_)
            | Spec::Credential(_)
            | Spec::Role(_)
            | Spec::AccessPolicy(_)
            | Spec::KeySet(_)
            | Spec::Webhook(_)
            | Spec::ManagementRole(_)
            | Spec::Provider(_)
            | Spec::Model(_)
            | Spec::Prompt(_) => Err("no upstream".to_owned()),
        },
        None => Err(told),
    }
}

#[test]
fn an_upstream_of_which_nothing_is_said_is_the_default() {
    let read = read_with(&json!({})).unwrap();
    assert_eq!(read, Upstream::of(read.targets.clone()));
}

#[test]
fn policies_are_read() {
    let read = read_with(&json!({
        "balance": { "consistent_hash": { "header": "X-Tenant" } },
        "total_timeout": "90s",
        "max_connections": 10,
        "max_pending": 0,
        "retries": { "attempts": 4, "on": ["connect", 503], "replay_bytes": "1KiB",
            "budget": { "percent": 10, "floor": 5, "window": "1s" }, "backoff": "5ms" },
        "ejection": { "failures": 1, "time": "1s", "max_time": "2s", "max_percent": 100, "statuses": [] },
        "breaker": { "percent": 10, "calls": 5, "window": "1s", "open": "2s" },
        "health_check": { "http": { "path": "/up", "host": "a", "statuses": [204, "300-399"] } },
        "slow_start": "30s",
        "resolve_interval": "5s"
    }))
    .unwrap();
    let balance = Balance::ConsistentHash(HashSource::Header("x-tenant".into()));
    assert_eq!(read.balance, balance);
    assert_eq!(read.retries.on.statuses, [503]);
    assert!(read.retries.on.connect && !read.retries.on.reset && read.retries.same_target);
    assert_eq!(read.retries.replay_bytes, 1024);
    assert_eq!(read.max_pending, 0);
    assert_eq!(read.ejection.unwrap().max_time, Duration::from_secs(2));
    assert_eq!(read.breaker.unwrap().open, Duration::from_secs(2));
    assert_eq!(read.slow_start, Duration::from_secs(30));
    let Some(HealthCheck {
        probe: HealthProbe::Http { statuses, .. },
        ..
    }) = read.health_check
    else {
        panic!("it is asked over HTTP")
    };
    let good = |status| statuses.iter().any(|range| range.contains(status));
    assert!(good(204) && good(302) && !good(200) && !good(400));
    let off = read_with(&json!({ "retries": "none", "ejection": "none" })).unwrap();
    assert_eq!(off.retries.attempts.get(), 1);
    assert_eq!(off.ejection, None);
    for (source, expected) in [
        (json!("address"), HashSource::Address),
        (json!("subject"), HashSource::Subject),
        (json!({ "cookie": "Sid" }), HashSource::Cookie("Sid".into())),
    ] {
        let read = read_with(&json!({ "balance": { "consistent_hash": source } })).unwrap();
        assert_eq!(read.balance, Balance::ConsistentHash(expected));
    }
}

#[test]
fn a_protocol_is_read_with_what_goes_with_it() {
    for (keys, protocol) in [
        (json!({}), Protocol::Http1),
        (json!({ "protocol": "http1" }), Protocol::Http1),
        (json!({ "protocol": "http2" }), Protocol::Http2),
        (
            json!({ "protocol": "auto", "targets": [ { "url": "https://a.test" }, { "url": "http://b.test" } ] }),
            Protocol::Auto,
        ),
    ] {
        assert_eq!(read_with(&keys).unwrap().protocol, protocol, "{keys}");
    }
    for (check, service) in [
        (json!({ "grpc": true }), ""),
        (json!({ "grpc": { "service": "a.v1.B" } }), "a.v1.B"),
    ] {
        let keys =
            json!({ "protocol": "http2", "ping_interval": "10s", "health_check": check.clone() });
        let read = read_with(&keys).unwrap();
        assert_eq!(read.ping_interval, Duration::from_secs(10));
        let probe = HealthProbe::Grpc {
            service: service.into(),
        };
        assert_eq!(read.health_check.unwrap().probe, probe, "{check}");
    }
}

#[test]
fn what_can_not_work_is_refused_with_a_reason() {
    for (keys, expected) in [
        (json!({ "balance": "random" }), "round_robin"),
        (
            json!({ "balance": "least_request" }),
            "did you mean `least_requests`",
        ),
        (
            json!({ "balance": "consistent_hash" }),
            "does not say of what",
        ),
        (
            json!({ "balance": { "consistent_hash": { "header": "a", "cookie": "b" } } }),
            "one of them",
        ),
        (
            json!({ "balance": { "consistent_hash": { "header": "a b" } } }),
            "is no header",
        ),
        (json!({ "retries": { "attempts": 1 } }), "from 2 to 10"),
        (json!({ "retries": { "on": ["teapot"] } }), "is no failure"),
        (
            json!({ "retries": { "on": [404] } }),
            "would be wrong a second time",
        ),
        (json!({ "retries": { "on": [] } }), "is empty"),
        (json!({ "retries": { "replay_bytes": "1GB" } }), "too large"),
        (
            json!({ "retries": { "atempts": 3 } }),
            "did you mean `attempts`",
        ),
        (
            json!({ "ejection": { "time": "10s", "max_time": "1s" } }),
            "shorter than `time`",
        ),
        (
            json!({ "ejection": { "max_percent": 101 } }),
            "from 0 to 100",
        ),
        (
            json!({ "breaker": { "percent": 0 } }),
            "from the first call on",
        ),
        (json!({ "health_check": {} }), "one of them"),
        (
            json!({ "health_check": { "tcp": false } }),
            "leave `health_check` out",
        ),
        (
            json!({ "health_check": { "http": { "path": "up" } } }),
            "is no path",
        ),
        (
            json!({ "health_check": { "http": { "path": "/", "statuses": ["299-200"] } } }),
            "neither a status",
        ),
        (
            json!({ "health_check": { "tcp": true, "interval": "10ms" } }),
            "too often",
        ),
        (json!({ "protocol": "h2" }), "is none of `http1`, `http2`"),
        (json!({ "protocol": "auto" }), "write http2 for targets"),
        (json!({ "ping_interval": "10s" }), "only HTTP/2 can ask"),
        (
            json!({ "protocol": "http2", "ping_interval": "10ms" }),
            "too often",
        ),
        (
            json!({ "health_check": { "grpc": true } }),
            "is asked over HTTP/2",
        ),
        (
            json!({ "protocol": "http2", "health_check": { "grpc": false } }),
            "leave `health_check` out",
        ),
        (
            json!({ "protocol": "http2", "health_check": { "grpc": {} } }),
            "`service` is missing",
        ),
        (
            json!({ "protocol": "http2", "health_check": { "grpc": { "service": "a b" } } }),
            "is no service",
        ),
        (
            json!({ "protocol": "http2", "health_check": { "grpc": true, "tcp": true } }),
            "one of them",
        ),
        (json!({ "max_pending": 1 }), "does nothing here"),
        (json!({ "max_connections": 0 }), "from 1 to"),
        (json!({ "total_timeout": "0s" }), "no time at all"),
        (json!({ "resolve_interval": "10ms" }), "too often"),
        (
            json!({ "targets": [ { "url": "http://10.0.0.1" } ], "resolve_interval": "10s" }),
            "not names",
        ),
        (
            json!({ "targets": vec![json!({ "url": "http://a" }); 257] }),
            "more than 256",
        ),
    ] {
        let told = read_with(&keys).unwrap_err();
        assert!(told.contains(expected), "{keys}: {told}");
    }
}
