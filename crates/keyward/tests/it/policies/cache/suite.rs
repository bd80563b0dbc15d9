//! Named cases of the public suite of tests for HTTP caches (`cache-tests`), and what becomes of them here.
//!
//! Where a case of the suite waits until an answer is stale, the answer here comes with an `Age`: no test sleeps.

use super::{Case, Origin, Table, table};
use crate::node::{Node, Plan};

pub(super) const APIS: [(&str, &str); 4] = [
    ("open", "authentication: none, cache: true"),
    (
        "eager",
        "authentication: none, cache: { default_ttl: 1h, stale_if_error: 1h, set_cookie: strip }",
    ),
    (
        "short",
        "authentication: none, cache: { max_ttl: 1m, key_headers: [x-tenant] }",
    ),
    (
        "deaf",
        "authentication: none, cache: { client_directives: ignore }",
    ),
];

pub(super) async fn node(origin: &Origin) -> Node {
    let mut plan =
        Plan::default()
            .settings("workers: 2")
            .upstream("origin", &[origin.upstream.url()], "");
    for (name, rest) in APIS {
        plan = plan.api_at(name, &format!("/{name}"), "origin", rest);
    }
    plan.start().await
}

macro_rules! cases {
    ($($name:literal, $api:literal, [$(($status:literal, $headers:literal)),* $(,)?], [$($call:literal),* $(,)?];)+) => {
        &[$(Case {
            name: $name,
            api: $api,
            origin: &[$(($status, $headers)),*],
            calls: &[$($call),*],
        }),+]
    };
}

async fn driven(name: Table, cases: &[Case<'_>]) {
    let origin = Origin::start().await;
    let node = node(&origin).await;
    let mut table = table(name);
    for case in cases {
        case.drive(&mut table, &node, &origin).await;
    }
    table.finish();
}

#[tokio::test]
async fn how_long_an_answer_is_fresh() {
    driven(
        Table::new("cache", "freshness"),
        cases! {
            "freshness-max-age", "open", [("200 OK", "Cache-Control: max-age=3600")], ["GET", "GET"];
            "freshness-max-age-0", "open", [("200 OK", "Cache-Control: max-age=0")], ["GET", "GET"];
            "freshness-max-age-age", "open", [("200 OK", "Cache-Control: max-age=3600\nAge: 7200")], ["GET", "GET"];
            "freshness-max-age-date", "open", [("200 OK", "Cache-Control: max-age=3600\nDate: Thu, 01 Jan 2026 00:00:00 GMT")], ["GET", "GET"];
            "freshness-max-age-negative", "open", [("200 OK", "Cache-Control: max-age=-3600")], ["GET", "GET"];
            "freshness-max-age-quoted", "open", [("200 OK", "Cache-Control: max-age=\"3600\"")], ["GET", "GET"];
            "freshness-max-age-decimal-five", "open", [("200 OK", "Cache-Control: max-age=3600.5")], ["GET", "GET"];
            "freshness-max-age-100a", "open", [("200 OK", "Cache-Control: max-age=100a")], ["GET", "GET"];
            "freshness-max-age-max-plus", "open", [("200 OK", "Cache-Control: max-age=99999999999")], ["GET", "GET"];
            "freshness-max-age-extension", "open", [("200 OK", "Cache-Control: foobar, max-age=3600")], ["GET", "GET"];
            "freshness-max-age-case-insenstive", "open", [("200 OK", "Cache-Control: MaX-aGe=3600")], ["GET", "GET"];
            "freshness-max-age-s-maxage-shared-longer", "open", [("200 OK", "Cache-Control: max-age=3600, s-maxage=1\nAge: 5")], ["GET", "GET"];
            "freshness-max-age-s-maxage-shared-shorter", "open", [("200 OK", "Cache-Control: max-age=1, s-maxage=3600\nAge: 5")], ["GET", "GET"];
            "freshness-s-maxage-shared", "open", [("200 OK", "Cache-Control: s-maxage=3600")], ["GET", "GET"];
            "freshness-expires-future", "open", [("200 OK", "Expires: Fri, 31 Dec 2100 00:00:00 GMT")], ["GET", "GET"];
            "freshness-expires-past", "open", [("200 OK", "Expires: Thu, 01 Jan 2026 00:00:00 GMT")], ["GET", "GET"];
            "freshness-expires-invalid", "open", [("200 OK", "Expires: 0")], ["GET", "GET"];
            "freshness-max-age-expires", "open", [("200 OK", "Cache-Control: max-age=3600\nExpires: Thu, 01 Jan 2026 00:00:00 GMT")], ["GET", "GET"];
            "freshness-max-age-0-expires", "open", [("200 OK", "Cache-Control: max-age=0\nExpires: Fri, 31 Dec 2100 00:00:00 GMT")], ["GET", "GET"];
            "freshness-none", "open", [("200 OK", "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT")], ["GET", "GET"];
            "age-parse-nonnumeric", "open", [("200 OK", "Cache-Control: max-age=3600\nAge: abc")], ["GET", "GET"];
            "age-parse-prefix-twoline", "open", [("200 OK", "Cache-Control: max-age=3600\nAge: 7200\nAge: 0")], ["GET", "GET"];
            "age-parse-parameter", "open", [("200 OK", "Cache-Control: max-age=3600\nAge: 7200;foo=bar")], ["GET", "GET"];
            "status-404-fresh", "open", [("404 Not Found", "Cache-Control: max-age=3600")], ["GET", "GET"];
            "status-503-fresh", "open", [("503 Service Unavailable", "Cache-Control: max-age=3600")], ["GET", "GET"];
            "status-599-must-understand", "open", [("599 Whatever", "Cache-Control: max-age=3600, no-store, must-understand")], ["GET", "GET"];
            "status-200-must-understand", "open", [("200 OK", "Cache-Control: max-age=3600, no-store, must-understand")], ["GET", "GET"];
            "heuristic-200-default-ttl", "eager", [("200 OK", "X: 1")], ["GET", "GET"];
            "heuristic-201-default-ttl", "eager", [("201 Created", "X: 1")], ["GET", "GET"];
            "max-ttl-shortens", "short", [("200 OK", "Cache-Control: max-age=3600\nAge: 100")], ["GET", "GET"];
        },
    )
    .await;
}

#[tokio::test]
async fn what_an_answer_says_of_being_kept() {
    driven(
        Table::new("cache", "directives"),
        cases! {
            "cc-resp-private-shared", "open", [("200 OK", "Cache-Control: private, max-age=3600")], ["GET", "GET"];
            "cc-resp-no-store", "open", [("200 OK", "Cache-Control: no-store")], ["GET", "GET"];
            "cc-resp-no-store-case-insensitive", "open", [("200 OK", "Cache-Control: No-StOrE, max-age=3600")], ["GET", "GET"];
            "cc-resp-no-store-fresh", "open", [("200 OK", "Cache-Control: max-age=10000, no-store\nExpires: Fri, 31 Dec 2100 00:00:00 GMT")], ["GET", "GET"];
            "cc-resp-no-cache", "open", [("200 OK", "Cache-Control: max-age=10000, no-cache")], ["GET", "GET"];
            "cc-resp-no-cache-revalidate", "open", [("200 OK", "Cache-Control: no-cache\nETag: \"abcd\""), ("304 Not Modified", "ETag: \"abcd\"")], ["GET", "GET"];
            "headers-omit-headers-listed-in-Cache-Control-no-cache", "open", [("200 OK", "Cache-Control: no-cache=\"a, b\"\nCache-Control: max-age=3600")], ["GET", "GET"];
            "cc-resp-must-revalidate-fresh", "open", [("200 OK", "Cache-Control: max-age=10000, must-revalidate\nETag: \"abcd\"")], ["GET", "GET"];
            "cc-resp-must-revalidate-stale", "open", [("200 OK", "Cache-Control: max-age=2, must-revalidate\nAge: 10\nETag: \"abcd\""), ("304 Not Modified", "ETag: \"abcd\"\nCache-Control: max-age=2")], ["GET", "GET\nCache-Control: max-stale"];
            "set-cookie-not-kept", "open", [("200 OK", "Cache-Control: max-age=3600\nSet-Cookie: a=b")], ["GET", "GET"];
            "set-cookie-stripped", "eager", [("200 OK", "Cache-Control: max-age=3600\nSet-Cookie: a=b")], ["GET", "GET"];
            "vary-star", "open", [("200 OK", "Cache-Control: max-age=3600\nVary: *")], ["GET", "GET"];
            "vary-match", "open", [("200 OK", "Cache-Control: max-age=3600\nVary: Foo")], ["GET\nFoo: 1", "GET\nFoo: 1"];
            "vary-no-match", "open", [("200 OK", "Cache-Control: max-age=3600\nVary: Foo")], ["GET\nFoo: 1", "GET\nFoo: 2"];
            "vary-omit", "open", [("200 OK", "Cache-Control: max-age=3600\nVary: Foo")], ["GET", "GET\nFoo: 1"];
            "vary-normalise-combine", "open", [("200 OK", "Cache-Control: max-age=3600\nVary: Foo")], ["GET\nFoo: 1, 2", "GET\nFoo: 1\nFoo: 2"];
            "vary-3-no-match", "open", [("200 OK", "Cache-Control: max-age=3600\nVary: Foo, Bar\nVary: Baz")], ["GET\nFoo: 1\nBar: a\nBaz: x", "GET\nFoo: 1\nBar: a\nBaz: y"];
            "vary-invalidate-keeps-both", "open", [("200 OK", "Cache-Control: max-age=3600\nVary: Foo"), ("200 OK", "Cache-Control: max-age=3600\nVary: Foo")], ["GET\nFoo: 1", "GET\nFoo: 2", "GET\nFoo: 1"];
            "vary-x-forwarded-for", "open", [("200 OK", "Cache-Control: max-age=3600\nVary: X-Forwarded-For")], ["GET", "GET"];
            "coded-without-vary", "open", [("200 OK", "Cache-Control: max-age=3600\nContent-Encoding: br")], ["GET\nAccept-Encoding: br", "GET"];
            "key-header", "short", [("200 OK", "Cache-Control: max-age=30")], ["GET\nX-Tenant: a", "GET\nX-Tenant: b"];
        },
    )
    .await;
}

#[tokio::test]
async fn what_a_request_asks_for() {
    driven(
        Table::new("cache", "requests"),
        cases! {
            "ccreq-ma0", "open", [("200 OK", "Cache-Control: max-age=3600\nAge: 10")], ["GET", "GET\nCache-Control: max-age=0"];
            "ccreq-magreaterage", "open", [("200 OK", "Cache-Control: max-age=3600\nAge: 1800")], ["GET", "GET\nCache-Control: max-age=600"];
            "ccreq-max-stale-age", "open", [("200 OK", "Cache-Control: max-age=1500\nAge: 2000\nETag: \"a\"")], ["GET", "GET\nCache-Control: max-stale=1000"];
            "ccreq-min-fresh-age", "open", [("200 OK", "Cache-Control: max-age=1500\nAge: 1000")], ["GET", "GET\nCache-Control: min-fresh=1000"];
            "ccreq-no-cache", "open", [("200 OK", "Cache-Control: max-age=3600")], ["GET", "GET\nCache-Control: no-cache"];
            "ccreq-no-cache-etag", "open", [("200 OK", "Cache-Control: max-age=3600\nETag: \"abc\""), ("304 Not Modified", "ETag: \"abc\"")], ["GET", "GET\nCache-Control: no-cache"];
            "ccreq-no-store", "open", [("200 OK", "Cache-Control: max-age=3600")], ["GET\nCache-Control: no-store", "GET"];
            "ccreq-oic", "open", [("200 OK", "Cache-Control: max-age=3600")], ["GET\nCache-Control: only-if-cached"];
            "pragma-request-no-cache", "open", [("200 OK", "Cache-Control: max-age=3600")], ["GET", "GET\nPragma: no-cache"];
            "ccreq-no-cache-ignored", "deaf", [("200 OK", "Cache-Control: max-age=3600")], ["GET", "GET\nCache-Control: no-cache"];
            "conditional-etag-strong-respond", "open", [("200 OK", "Cache-Control: max-age=3600\nETag: \"abcdef\"")], ["GET", "GET\nIf-None-Match: \"abcdef\""];
            "conditional-etag-weak-respond", "open", [("200 OK", "Cache-Control: max-age=3600\nETag: W/\"abcdef\"")], ["GET", "GET\nIf-None-Match: \"other\", \"abcdef\""];
            "conditional-etag-precedence", "open", [("200 OK", "Cache-Control: max-age=3600\nETag: \"a\"\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT")], ["GET", "GET\nIf-None-Match: \"b\"\nIf-Modified-Since: Fri, 02 Jan 2026 00:00:00 GMT"];
            "conditional-lm-fresh", "open", [("200 OK", "Cache-Control: max-age=3600\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT")], ["GET", "GET\nIf-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT"];
            "conditional-first-call", "open", [("200 OK", "Cache-Control: max-age=3600\nETag: \"a\"")], ["GET\nIf-None-Match: \"x\"", "GET"];
            "precondition-if-match", "open", [("200 OK", "Cache-Control: max-age=3600\nETag: \"a\"")], ["GET", "GET\nIf-Match: \"a\""];
            "partial-store-complete-reuse-partial", "open", [("200 OK", "Cache-Control: max-age=3600")], ["GET", "GET\nRange: bytes=-1"];
            "partial-store-complete-reuse-partial-no-last", "open", [("200 OK", "Cache-Control: max-age=3600")], ["GET", "GET\nRange: bytes=1-"];
            "partial-unsatisfiable", "open", [("200 OK", "Cache-Control: max-age=3600")], ["GET", "GET\nRange: bytes=100-"];
            "a digest of the whole, and a part", "open", [("200 OK", "Cache-Control: max-age=3600\nContent-Digest: sha-256=:AA==:")], ["GET", "GET\nRange: bytes=0-1"];
            "partial-if-range-other", "open", [("200 OK", "Cache-Control: max-age=3600\nETag: \"a\"")], ["GET", "GET\nRange: bytes=0-1\nIf-Range: \"b\""];
            "partial-store-partial-reuse-partial", "open", [("206 Partial Content", "Cache-Control: max-age=3600\nContent-Range: bytes 0-5/10")], ["GET\nRange: bytes=0-5", "GET\nRange: bytes=0-5"];
            "head-from-stored-get", "open", [("200 OK", "Cache-Control: max-age=3600")], ["GET", "HEAD"];
            "method-POST", "open", [("200 OK", "Cache-Control: max-age=3600")], ["POST", "POST"];
        },
    )
    .await;
}

#[tokio::test]
async fn when_the_upstream_fails_or_is_asked_again() {
    driven(
        Table::new("cache", "stale"),
        cases! {
            "stale-while-revalidate", "open", [("200 OK", "Cache-Control: max-age=10, stale-while-revalidate=3600\nAge: 60")], ["GET", "GET"];
            "stale-while-revalidate-window", "open", [("200 OK", "Cache-Control: max-age=10, stale-while-revalidate=20\nAge: 600\nETag: \"a\"")], ["GET", "GET"];
            "stale-sie-503", "open", [("200 OK", "Cache-Control: max-age=10, stale-if-error=3600\nAge: 60"), ("503 Service Unavailable", "X: 1")], ["GET", "GET"];
            "stale-sie-404", "open", [("200 OK", "Cache-Control: max-age=10, stale-if-error=3600\nAge: 60"), ("404 Not Found", "X: 1")], ["GET", "GET"];
            "stale-sie-window", "open", [("200 OK", "Cache-Control: max-age=10, stale-if-error=20\nAge: 600\nETag: \"a\""), ("503 Service Unavailable", "X: 1")], ["GET", "GET"];
            "stale-503-configured", "eager", [("200 OK", "Cache-Control: max-age=10\nAge: 60"), ("503 Service Unavailable", "X: 1")], ["GET", "GET"];
            "stale-503-must-revalidate", "eager", [("200 OK", "Cache-Control: max-age=10, must-revalidate\nAge: 60\nETag: \"a\""), ("503 Service Unavailable", "X: 1")], ["GET", "GET"];
            "conditional-lm-stale", "open", [("200 OK", "Cache-Control: max-age=10\nAge: 60\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT"), ("304 Not Modified", "Cache-Control: max-age=3600")], ["GET", "GET"];
            "304-etag-update-response", "open", [("200 OK", "Cache-Control: max-age=10\nAge: 60\nETag: \"a\""), ("304 Not Modified", "Cache-Control: max-age=3600\nETag: \"a\"")], ["GET", "GET", "GET"];
            "304-of-another-etag", "open", [("200 OK", "Cache-Control: max-age=10\nAge: 60\nETag: \"a\""), ("304 Not Modified", "ETag: \"b\""), ("200 OK", "Cache-Control: max-age=3600\nETag: \"b\"")], ["GET", "GET"];
            "changed-when-asked", "open", [("200 OK", "Cache-Control: max-age=10\nAge: 60\nETag: \"a\""), ("200 OK", "Cache-Control: max-age=3600\nETag: \"b\"")], ["GET", "GET"];
            "invalidate-POST", "open", [("200 OK", "Cache-Control: max-age=3600"), ("200 OK", "X: 1")], ["GET", "POST", "GET"];
            "invalidate-POST-failed", "open", [("200 OK", "Cache-Control: max-age=3600"), ("500 Internal Server Error", "X: 1")], ["GET", "POST", "GET"];
            "invalidate-DELETE", "open", [("200 OK", "Cache-Control: max-age=3600"), ("204 No Content", "X: 1")], ["GET", "DELETE", "GET"];
            "invalidate-M-SEARCH", "open", [("200 OK", "Cache-Control: max-age=3600"), ("200 OK", "X: 1")], ["GET", "M-SEARCH", "GET"];
        },
    )
    .await;
}
