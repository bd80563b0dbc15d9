//! What operators see: health, metrics, the access log, and never a secret.

use crate::node::{Node, Plan, check_passed, check_problem, request};
use crate::running::{edit, until_metric};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::{RawClient, Script, Upstream};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The samples of a page in Prometheus' text format, read as strictly as `promtool check metrics` does: each
/// family is one block with its help and its kind, labels are escaped, no series comes twice, and histograms
/// add up.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let mut families: BTreeMap<&str, &str> = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut samples = BTreeMap::new();
    let mut current = "";
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect(line);
            assert!(!help.is_empty() && helped.insert(name), "{line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
            assert!(helped.contains(name), "no HELP: {line}");
            assert!(families.insert(name, kind).is_none(), "{line}");
            assert_eq!(
                name.ends_with("_total"),
                kind == "counter",
                "a counter's name ends in _total, and no other's: {line}"
            );
            current = name;
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect(line);
        let name = series.split('{').next().unwrap();
        let suffix = name
            .strip_prefix(current)
            .unwrap_or_else(|| panic!("outside its block: {line}"));
        let suffixes: &[&str] = match families[current] {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(suffixes.contains(&suffix), "{line}");
        let labels = labels(series.strip_prefix(name).unwrap());
        assert_eq!(suffix == "_bucket", labels.contains_key("le"), "{line}");
        let value: f64 = value.parse().expect(line);
        assert!(value >= 0.0, "{line}");
        assert!(
            samples.insert(series.to_owned(), value).is_none(),
            "twice: {line}"
        );
    }
    for (name, kind) in &families {
        if *kind == "histogram" {
            check_histogram(name, &samples);
        }
    }
    assert!(samples.len() > 10, "{page}");
    samples
}

/// The labels between braces, unescaped.
fn labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    if text.is_empty() {
        return labels;
    }
    let mut rest = text.strip_prefix('{').expect(text);
    loop {
        let (name, behind) = rest.split_once("=\"").expect(text);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        assert!(
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'),
            "{text}"
        );
        assert!(name.chars().all(plain) && !name.starts_with("__"), "{text}");
        let mut value = String::new();
        let mut characters = behind.chars();
        loop {
            match characters.next().expect(text) {
                '"' => break,
                '\\' => value.push(match characters.next() {
                    Some('n') => '\n',
                    Some(c @ ('\\' | '"')) => c,
                    other => panic!("no escape: {other:?} in {text}"),
                }),
                other => value.push(other),
            }
        }
        assert!(labels.insert(name.to_owned(), value).is_none(), "{text}");
        rest = characters.as_str();
        if rest == "}" {
            return labels;
        }
        rest = rest.strip_prefix(',').expect(text);
    }
}

/// That the buckets of each series rise, end with all, and that their number is the count.
fn check_histogram(name: &str, samples: &BTreeMap<String, f64>) {
    let bucket = format!("{name}_bucket{{");
    let mut of_series: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (series, count) in samples
        .iter()
        .filter(|(series, _)| series.starts_with(&bucket))
    {
        let (rest, bound) = series.rsplit_once("le=\"").unwrap();
        let bound = bound.strip_suffix("\"}").unwrap();
        let bound: f64 = bound.replace("+Inf", "inf").parse().unwrap();
        let labels = rest.strip_prefix(&bucket).unwrap().trim_end_matches(',');
        of_series
            .entry(labels.to_owned())
            .or_default()
            .push((bound, *count));
    }
    for (labels, mut buckets) in of_series {
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert!(
            buckets.is_sorted_by(|one, other| one.0 < other.0 && one.1 <= other.1),
            "{name} {labels}: {buckets:?}"
        );
        let (bound, all) = *buckets.last().unwrap();
        assert!(bound.is_infinite(), "{name} {labels}: {buckets:?}");
        assert_eq!(samples[&format!("{name}_count{{{labels}}}")], all);
        let sum = samples[&format!("{name}_sum{{{labels}}}")];
        assert_eq!(sum > 0.0, all > 0.0, "{name} {labels}: {sum}");
    }
}

async fn metrics(node: &Node) -> BTreeMap<String, f64> {
    let answer = node.process.operations_get("/metrics").await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.head.field("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    samples(&answer.text())
}

/// The sum of the samples of this name with all of these labels.
fn sum(samples: &BTreeMap<String, f64>, name: &str, labels: &[&str]) -> f64 {
    let matching = samples.iter().filter(|(series, _)| {
        series.split('{').next() == Some(name) && labels.iter().all(|label| series.contains(label))
    });
    matching.map(|(_, value)| value).sum()
}

#[tokio::test]
async fn metrics_are_valid_and_move_with_the_calls() {
    let issuer = Issuer::new("main", A::Es256);
    let node = Plan::default()
        .settings("workers: 3\naccess_log: { destination: off }")
        .resource(issuer.resource(""))
        .api(
            "guarded",
            &format!(
                "{}, rate_limits: [ {{ by: subject, requests: 10, per: 1h }} ]",
                issuer.authentication("")
            ),
        )
        .api("open", "authentication: none")
        .start()
        .await;
    let before = metrics(&node).await;
    assert_eq!(sum(&before, "keyward_requests_total", &[]), 0.0);
    let token = issuer.token();
    for _ in 0..15 {
        node.get_with("/guarded/x", &token).await;
    }
    for _ in 0..4 {
        check_problem(&node.get("/guarded/x", &[]).await, 401, "token_missing");
        check_passed(&node.call("POST", "/open/x", &[], "12345").await);
        check_problem(&node.get("/nowhere", &[]).await, 404, "not_found");
    }
    // The counters are written when an answer has ended, which its reader can see before.
    let mut waited = Duration::ZERO;
    let after = loop {
        let after = metrics(&node).await;
        let unrouted = sum(&after, "keyward_unrouted_requests_total", &[]);
        // How a worker is, it tells ten times a second.
        let known = sum(&after, "keyward_token_cache_entries", &[]);
        if sum(&after, "keyward_requests_total", &[]) + unrouted >= 27.0
            && known == sum(&after, "keyward_token_cache_misses_total", &[])
        {
            break after;
        }
        assert!(waited < PATIENCE, "{after:#?}");
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    };
    let requests = |labels: &[&str]| sum(&after, "keyward_requests_total", labels);
    let guarded = "api=\"guarded\"";
    assert_eq!(requests(&[guarded, "status=\"2xx\""]), 10.0);
    assert_eq!(requests(&[guarded, "status=\"4xx\""]), 9.0);
    assert_eq!(requests(&["api=\"open\"", "status=\"2xx\""]), 4.0);
    assert_eq!(sum(&after, "keyward_rate_limited_total", &[guarded]), 5.0);
    assert_eq!(sum(&after, "keyward_unrouted_requests_total", &[]), 4.0);
    assert_eq!(
        sum(
            &after,
            "keyward_request_bytes_total",
            &["api=\"open\"", "direction=\"in\""]
        ),
        20.0
    );
    assert!(
        sum(
            &after,
            "keyward_request_bytes_total",
            &["api=\"open\"", "direction=\"out\""]
        ) > 100.0
    );
    let cached = sum(&after, "keyward_token_cache_hits_total", &[]);
    let verified = sum(&after, "keyward_token_cache_misses_total", &[]);
    // Each worker verifies a token once.
    assert_eq!(cached + verified, 15.0);
    assert!((1.0..=3.0).contains(&verified), "{verified}");
    assert!(sum(&after, "keyward_connections_total", &[]) >= 27.0);
    let histogram = "keyward_request_duration_seconds";
    assert_eq!(sum(&after, &format!("{histogram}_count"), &[guarded]), 19.0);
    // Refused calls went to no upstream.
    for (histogram, count) in [
        ("keyward_first_byte_seconds", 19.0),
        ("keyward_upstream_answer_seconds", 10.0),
    ] {
        assert_eq!(
            sum(&after, &format!("{histogram}_count"), &[guarded]),
            count
        );
    }
    let limit = [guarded, "limit=\"subject-1\""];
    assert_eq!(sum(&after, "keyward_limit_refusals_total", &limit), 5.0);
    for (code, count) in [
        ("rate_limited", 5.0),
        ("token_missing", 4.0),
        ("not_found", 4.0),
        ("overloaded", 0.0),
    ] {
        let label = format!("code=\"{code}\"");
        assert_eq!(
            sum(&after, "keyward_problems_total", &[&label]),
            count,
            "{code}"
        );
    }
    let uses = sum(&after, "keyward_upstream_connection_uses_total", &[]);
    assert_eq!(uses, 14.0);
    let workers = |name| {
        after
            .keys()
            .filter(|series| series.starts_with(name))
            .count()
    };
    assert_eq!(workers("keyward_worker_busy_seconds_total{"), 3);
    for present in [
        "keyward_build_info",
        "process_cpu_seconds_total",
        "process_open_fds",
    ] {
        assert!(sum(&after, present, &[]) > 0.0, "{present}");
    }
}

#[tokio::test]
async fn metrics_of_routes_outlive_a_reload_and_names_are_all_that_becomes_a_label() {
    let node = Plan::default()
        .settings("workers: 1\naccess_log: { destination: off }")
        .api("open", "authentication: none")
        .start()
        .await;
    check_passed(&node.get("/open/x", &[]).await);
    for number in 0..50 {
        let path = format!("/open/{number}");
        let method = format!("M{number}");
        node.call(&method, &path, &[("x-forwarded-for", "203.0.113.7")], "")
            .await;
        node.get(&format!("/nowhere/{number}"), &[]).await;
    }
    edit(&node.process, |text| text + "# changed\n");
    until_metric(&node.process, "keyward_revision", 2).await;
    let after = metrics(&node).await;
    assert_eq!(sum(&after, "keyward_requests_total", &[]), 51.0);
    let series = after
        .keys()
        .filter(|series| series.starts_with("keyward_requests_total"));
    // One route, by six classes.
    assert_eq!(series.count(), 6);
    let served = sum(
        &after,
        "keyward_configuration_last_reload_timestamp_seconds",
        &["outcome=\"served\""],
    );
    assert!(served > 1.7e9, "{served}");
}

#[tokio::test]
async fn a_node_that_drains_is_healthy_but_not_ready() {
    let upstream = Upstream::scripted(
        Script::new()
            .pause(Duration::from_secs(2))
            .write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone"),
    )
    .await;
    let node = Plan::default()
        .settings("workers: 2")
        .upstream("slow", &[upstream.url()], "")
        .api_at("slow", "/slow", "slow", "authentication: none")
        .start()
        .await;
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/nothing", 404)] {
        let answer = node.process.operations_get(path).await.unwrap();
        assert_eq!(answer.status, status, "{path}");
    }
    // Operations are not served to callers, nor the other way round.
    check_problem(&node.get("/metrics", &[]).await, 404, "not_found");
    check_problem(&node.get("/healthz", &[]).await, 404, "not_found");
    let answer = node.process.operations_get("/slow/x").await.unwrap();
    assert_eq!(answer.status, 404);

    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client
        .send(request(
            "GET",
            "/slow/x",
            &[("Connection", "keep-alive")],
            "",
        ))
        .await
        .unwrap();
    let mut waited = Duration::ZERO;
    while upstream.received().is_empty() {
        assert!(waited < PATIENCE);
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
    node.process.signal("TERM");
    loop {
        let ready = node.process.operations_get("/readyz").await.unwrap();
        if ready.status == 503 {
            break;
        }
        assert_eq!(ready.status, 200);
        assert!(waited < PATIENCE);
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
    let healthy = node.process.operations_get("/healthz").await.unwrap();
    assert_eq!(healthy.status, 200);
    // The call that runs is answered to its end, on a connection that says it closes.
    let answer = client.answer().await.unwrap();
    check_passed(&answer);
    assert_eq!(answer.text(), "done");
    assert_eq!(answer.head.field("connection"), Some("close"));
    let (status, log) = node.process.stop().await;
    assert!(status.success(), "{status}: {log}");
}

/// The lines of the access log, once there are so many.
async fn lines(node: &Node, count: usize) -> Vec<Value> {
    let path = node.process.folder().join("access.log");
    let mut waited = Duration::ZERO;
    loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() >= count && text.ends_with('\n') {
            return lines
                .iter()
                .map(|line| {
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
                })
                .collect();
        }
        assert!(waited < PATIENCE, "{} of {count}:\n{text}", lines.len());
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
}

#[tokio::test]
async fn every_call_leaves_one_line_that_says_what_it_was() {
    let issuer = Issuer::new("main", A::Es256);
    let node = Plan::default()
        .settings("workers: 1\naccess_log: { format: json, destination: { file: access.log } }")
        .resource(issuer.resource(""))
        .upstream("dead", &["http://127.0.0.1:9".to_owned()], "")
        .api(
            "api",
            &format!(
                "{}, rate_limits: [ {{ name: few, by: subject, requests: 2, per: 1h }} ]",
                issuer.authentication("")
            ),
        )
        .api_at("dead", "/dead", "dead", "authentication: none")
        .start()
        .await;
    let claims = issuer.claims().with("client_id", json!("app-1")).unwrap();
    let token = issuer.sign(&claims);
    let bearer = format!("Bearer {token}");
    let sent = [("Authorization", &*bearer)];
    let mut answers = vec![
        node.call("POST", "/api/a/b?secret=query", &sent, "12345")
            .await,
        node.get("/api/x", &[]).await,
        node.get_with("/api/x", &token).await,
        node.get_with("/api/x", &token).await,
        node.get("/dead/x", &[]).await,
        node.get("/nowhere", &[]).await,
        node.call("PURGE", "/nowhere", &[], "").await,
    ];
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client.send("junk\r\n\r\n").await.unwrap();
    answers.push(client.answer().await.unwrap());

    let lines = lines(&node, answers.len()).await;
    assert_eq!(lines.len(), answers.len());
    for (answer, (method, path, status, code)) in answers.iter().zip([
        ("POST", "/api/a/b", 200, Value::Null),
        ("GET", "/api/x", 401, json!("token_missing")),
        ("GET", "/api/x", 200, Value::Null),
        ("GET", "/api/x", 429, json!("rate_limited")),
        ("GET", "/dead/x", 502, json!("upstream_unreachable")),
        ("GET", "/nowhere", 404, json!("not_found")),
        ("PURGE", "/nowhere", 404, json!("not_found")),
        ("-", "-", 400, json!("bad_request")),
    ]) {
        let id = answer.head.field("request-id").unwrap();
        let mut found = lines.iter().filter(|line| line["request_id"] == id);
        let line = found
            .next()
            .unwrap_or_else(|| panic!("no line for {path}: {lines:#?}"));
        assert_eq!(found.next(), None);
        assert_eq!(
            (
                &line["method"],
                &line["path"],
                &line["status"],
                &line["code"]
            ),
            (&json!(method), &json!(path), &json!(status), &code),
            "{line}"
        );
        assert_eq!(line["address"], "127.0.0.1");
        assert!(
            line["time"]
                .as_str()
                .is_some_and(|time| time.len() >= 20 && time.contains('T')),
            "{line}"
        );
        assert!(
            line["revision"].is_u64() && line["total_us"].is_u64(),
            "{line}"
        );
        // A request that could not be read was no call: its answer counts for nothing.
        if method != "-" {
            assert_eq!(line["bytes_out"], answer.body.len(), "{line}");
        }
    }
    let line = |at: usize| {
        let id = answers[at].head.field("request-id").unwrap();
        lines.iter().find(|line| line["request_id"] == id).unwrap()
    };
    let first = line(0);
    for (key, value) in [
        ("team", json!("default")),
        ("api", json!("api")),
        ("version", json!("v1")),
        ("route", json!("/api")),
        ("issuer", json!(issuer.url)),
        ("subject", json!("alice")),
        ("client", json!("app-1")),
        ("bytes_in", json!(5)),
        ("authentication", json!("jwt")),
    ] {
        assert_eq!(first[key], value, "{key}: {first}");
    }
    assert!(first["upstream_us"].as_u64().unwrap() > 0);
    assert_eq!(
        (&line(3)["limit"], &line(3)["blame"]),
        (&json!("few"), &json!("caller"))
    );
    assert_eq!(line(4)["blame"], "upstream");
    // What the caller is not told stands in the log.
    assert!(line(4)["because"].as_str().unwrap().contains("127.0.0.1:9"));
    assert!(!answers[4].text().contains("127.0.0.1:9"));
}

/// The middle of a token's part: enough to find it by, whatever was cut off around it.
fn marks(token: &str) -> Vec<String> {
    token
        .split('.')
        .skip(1)
        .map(|part| part[part.len() / 2..].chars().take(16).collect())
        .collect()
}

#[tokio::test]
async fn no_secret_gets_into_a_log_or_a_metric() {
    const SECRET: &str = "this-secret-is-shared-with-one-issuer";
    for format in ["json", "human"] {
        let issuer = Issuer::with_secret("main", SECRET.as_bytes());
        let node = Plan::default()
            .settings(&format!("workers: 1\naccess_log: {{ format: {format}, destination: {{ file: access.log }} }}"))
            .resource(issuer.resource_with(&format!("secret: {SECRET}"), ""))
            .api("api", &issuer.authentication(""))
            .api("cookie", &issuer.authentication("token: { cookie: sid }"))
            .start()
            .await;
        let good = issuer.token();
        let expired = issuer.token_with("exp", Some(json!(1)));
        let broken = format!("{}AAAA", &good[..good.len() - 4]);
        for token in [&good, &expired, &broken] {
            node.get_with("/api/x", token).await;
            node.get("/cookie/x", &[("Cookie", &format!("sid={token}"))])
                .await;
            node.get(&format!("/api/x?access_token={token}"), &[]).await;
            node.get("/api/x", &[("Authorization", &format!("Basic {token}"))])
                .await;
            // Of a request that can't be read.
            let mut client = RawClient::connect(node.gateway()).await.unwrap();
            client
                .send(format!("GET /api/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nHost: y\r\n\r\n"))
                .await
                .unwrap();
            check_problem(&client.answer().await.unwrap(), 400, "bad_request");
        }
        let path = node.process.folder().join("access.log");
        let mut waited = Duration::ZERO;
        while std::fs::read_to_string(&path)
            .unwrap_or_default()
            .lines()
            .count()
            < 15
        {
            assert!(waited < PATIENCE);
            tokio::time::sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
        let written = format!(
            "{}{}{}",
            std::fs::read_to_string(&path).unwrap(),
            node.process
                .operations_get("/metrics")
                .await
                .unwrap()
                .text(),
            node.process.log(),
        );
        let key = std::fs::read_to_string(node.process.folder().join("data/master.key")).unwrap();
        let mut secrets = vec![SECRET.to_owned(), key.trim().to_owned()];
        secrets.extend(
            [&good, &expired, &broken]
                .into_iter()
                .flat_map(|token| marks(token)),
        );
        for secret in secrets {
            assert!(
                secret.len() >= 16 && !written.contains(&secret),
                "{secret} in\n{written}"
            );
        }
    }
}
