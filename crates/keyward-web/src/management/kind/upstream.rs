//! The schema of `kind: upstream`.

use super::issuer::count;
use super::schema::{
    about, bytes, choice, filled, object, one_of, pattern, positive_duration, put, text, url, whole,
};
use serde_json::{Value, json};

pub(super) fn schema() -> Value {
    let target = object(
        &["url"],
        json!({ "url": url(), "weight": whole(1, 1_000_000) }),
    );
    let mut targets = filled(target);
    put(&mut targets, "maxItems", json!(256));
    object(
        &["targets"],
        json!({
            "targets": about(targets, "Where calls go"),
            "balance": balance(),
            "connect_timeout": positive_duration(),
            "response_timeout": positive_duration(),
            "total_timeout": positive_duration(),
            "idle_timeout": positive_duration(),
            "max_connections": count(),
            "max_pending": about(whole(0, 1_000_000), "Goes with `max_connections`"),
            "retries": retries(),
            "ejection": ejection(),
            "breaker": breaker(),
            "health_check": health_check(),
            "slow_start": positive_duration(),
            "resolve_interval": about(positive_duration(), "1s at least; for targets that have names"),
            "tls": about(
                object(&["server_name"], json!({ "server_name": pattern("^[A-Za-z0-9]([A-Za-z0-9.-]{0,60}[A-Za-z0-9])?$") })),
                "For targets that begin with https://. Certificates and roots are files, which only the node's own file can name",
            ),
            "protocol": choice(&["http1", "http2", "auto"]),
            "ping_interval": about(positive_duration(), "1s at least; goes with HTTP/2"),
        }),
    )
}

fn balance() -> Value {
    let of = one_of(vec![
        choice(&["address", "subject"]),
        object(
            &["header"],
            json!({ "header": pattern("^[A-Za-z0-9-]{1,64}$") }),
        ),
        object(
            &["cookie"],
            json!({ "cookie": pattern("^[A-Za-z0-9_-]{1,64}$") }),
        ),
    ]);
    one_of(vec![
        choice(&["round_robin", "least_requests", "latency"]),
        object(&["consistent_hash"], json!({ "consistent_hash": of })),
    ])
}

/// Statuses that say that something failed behind us.
fn status() -> Value {
    json!({ "type": "integer", "enum": [408, 425, 429, 500, 502, 503, 504, 507, 508, 599] })
}

fn retries() -> Value {
    let budget = object(
        &[],
        json!({ "percent": whole(0, 100), "floor": whole(0, 1_000_000), "window": positive_duration() }),
    );
    let on = filled(one_of(vec![
        choice(&["connect", "reset", "timeout"]),
        status(),
    ]));
    one_of(vec![
        json!({ "const": "none" }),
        object(
            &[],
            json!({
                "attempts": whole(2, 10),
                "on": on,
                "replay_bytes": about(bytes(), "16MiB at most"),
                "budget": budget,
                "backoff": about(positive_duration(), "10s at most"),
            }),
        ),
    ])
}

fn ejection() -> Value {
    one_of(vec![
        json!({ "const": "none" }),
        object(
            &[],
            json!({
                "failures": count(),
                "time": positive_duration(),
                "max_time": about(positive_duration(), "No shorter than `time`"),
                "max_percent": whole(0, 100),
                "statuses": json!({ "type": "array", "items": status() }),
            }),
        ),
    ])
}

fn breaker() -> Value {
    object(
        &[],
        json!({
            "percent": whole(1, 100),
            "calls": count(),
            "window": positive_duration(),
            "open": positive_duration(),
        }),
    )
}

fn health_check() -> Value {
    let status = one_of(vec![whole(100, 599), pattern("^[1-5][0-9][0-9]-599$")]);
    let http = object(
        &["path"],
        json!({
            "path": pattern("^/[A-Za-z0-9._~/-]{0,200}$"),
            "host": pattern("^[A-Za-z0-9.-]{1,100}$"),
            "statuses": filled(status),
        }),
    );
    let mut schema = object(
        &[],
        json!({
            "http": http,
            "tcp": { "const": true },
            "grpc": one_of(vec![json!({ "const": true }), object(&["service"], json!({ "service": text() }))]),
            "interval": about(positive_duration(), "100ms at least"),
            "timeout": positive_duration(),
            "healthy": count(),
            "unhealthy": count(),
        }),
    );
    let has = |key: &str| json!({ "required": [key] });
    put(
        &mut schema,
        "oneOf",
        json!([has("http"), has("tcp"), has("grpc")]),
    );
    schema
}
