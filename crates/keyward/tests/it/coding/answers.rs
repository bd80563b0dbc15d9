//! Answers that are compressed for those who ask for it.

use super::{packed, text, unpacked, until};
use crate::node::{Node, Plan, check_passed};
use keyward_testkit::{Answer, KeywardProcess, RawClient, Script, Upstream};
use std::process::Command;

const MIB: u64 = 1024 * 1024;
/// A node that holds a body whole, or much of it, grows by more.
const GROWTH_MAX: u64 = 48 * MIB;

/// A node with one worker, whose API `/many` compresses what `upstream` answers, and whose API `/plain` does not.
async fn node(upstream: &Upstream, said: &str) -> Node {
    Plan::default()
        .settings("workers: 1")
        .upstream("many", &[upstream.url()], "")
        .api_at(
            "many",
            "/many",
            "many",
            &format!("authentication: none, compression: {said}"),
        )
        .api_at("plain", "/plain", "many", "authentication: none")
        .start()
        .await
}

/// A node before an upstream that answers so.
async fn answering(status: &str, headers: &[(&str, &str)], body: &str) -> (Node, Upstream) {
    let upstream = Upstream::scripted(Script::answer(status, headers, body)).await;
    (node(&upstream, "true").await, upstream)
}

fn coding(answer: &Answer) -> Option<&str> {
    answer.head.field("content-encoding")
}

const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

#[tokio::test]
async fn an_answer_comes_in_the_coding_that_its_client_likes_best() {
    let text = text();
    let headers = [
        JSON,
        ("etag", "\"7\""),
        ("accept-ranges", "bytes"),
        ("vary", "origin"),
    ];
    let (node, _upstream) = answering("200 OK", &headers, &text).await;
    for (asked, expected) in [
        (Some("gzip"), Some("gzip")),
        (Some("br"), Some("br")),
        (Some("zstd"), Some("zstd")),
        (Some("gzip, deflate, br, zstd"), Some("zstd")),
        (Some("gzip, br;q=0.9"), Some("gzip")),
        (Some("zstd;q=0, *"), Some("gzip")),
        (Some("identity"), None),
        (Some("gzip;q=0"), None),
        (Some(""), None),
        (None, None),
    ] {
        let headers: Vec<_> = asked
            .iter()
            .map(|asked| ("Accept-Encoding", *asked))
            .collect();
        let answer = node.get("/many", &headers).await;
        check_passed(&answer);
        assert_eq!(coding(&answer), expected, "{asked:?}");
        assert_eq!(unpacked(expected, &answer.body), text.as_bytes());
        let vary: Vec<_> = answer.head.values("vary").collect();
        assert_eq!(vary, ["origin", "accept-encoding"], "{asked:?}");
        let (etag, ranges, length) = match expected {
            Some(_) => (Some("W/\"7\""), None, None),
            None => (Some("\"7\""), Some("bytes"), Some(text.len().to_string())),
        };
        assert_eq!(answer.head.field("etag"), etag, "{asked:?}");
        assert_eq!(answer.head.field("accept-ranges"), ranges, "{asked:?}");
        assert_eq!(answer.head.field("content-length"), length.as_deref());
        // An answer without a body has the same head.
        let head = node.call("HEAD", "/many", &headers, "").await;
        for name in ["content-encoding", "etag", "vary", "content-length"] {
            let of = |answer: &Answer| -> Vec<String> {
                answer.head.values(name).map(str::to_owned).collect()
            };
            // The script writes a body after the head of a HEAD too: only its head was read.
            assert_eq!(of(&head), of(&answer), "{name} {asked:?}");
        }
    }
    let plain = node.get("/plain", &[("Accept-Encoding", "gzip")]).await;
    assert_eq!(coding(&plain), None);
    assert_eq!(plain.head.field("vary"), Some("origin"));
}

#[tokio::test]
async fn what_should_not_be_compressed_is_not() {
    let text = text();
    for (status, headers, body, varies) in [
        ("200 OK", vec![JSON], "{\"small\":true}", true),
        ("200 OK", vec![("content-type", "image/png")], &*text, false),
        ("200 OK", vec![], &text, false),
        (
            "200 OK",
            vec![JSON, ("content-encoding", "x-own")],
            &text,
            false,
        ),
        (
            "200 OK",
            vec![JSON, ("cache-control", "private, No-Transform")],
            &text,
            false,
        ),
        (
            "200 OK",
            vec![JSON, ("content-digest", "sha-256=:AAAA:")],
            &text,
            false,
        ),
        (
            "200 OK",
            vec![("content-type", "application/grpc+json")],
            &text,
            false,
        ),
        (
            "206 Partial Content",
            vec![JSON, ("content-range", "bytes 0-9/10")],
            &text,
            false,
        ),
    ] {
        let (node, _upstream) = answering(status, &headers, body).await;
        let answer = node.get("/many", &[("Accept-Encoding", "gzip, br")]).await;
        let told = answer.head.field("content-encoding");
        let own = headers.iter().find(|(name, _)| *name == "content-encoding");
        assert_eq!(told, own.map(|(_, value)| *value), "{headers:?}");
        assert_eq!(answer.text(), body, "{headers:?}");
        assert_eq!(answer.head.field("vary").is_some(), varies, "{headers:?}");
    }
    // Nor for a client that asks not to.
    let (node, _upstream) = answering("200 OK", &[JSON], &text).await;
    let headers = [
        ("Accept-Encoding", "gzip"),
        ("Cache-Control", "no-transform"),
    ];
    assert_eq!(coding(&node.get("/many", &headers).await), None);
    // Errors are answers like others, and a client that takes nothing else gets little things in a coding, too.
    let (node, _upstream) = answering("404 Not Found", &[JSON], &text).await;
    let answer = node.get("/many", &[("Accept-Encoding", "gzip")]).await;
    assert_eq!((answer.status, coding(&answer)), (404, Some("gzip")));
    let (node, _upstream) = answering("200 OK", &[JSON], "{}").await;
    let headers = [("Accept-Encoding", "br, identity;q=0")];
    let answer = node.get("/many", &headers).await;
    assert_eq!(coding(&answer), Some("br"));
    assert_eq!(unpacked(Some("br"), &answer.body), b"{}");
}

#[tokio::test]
async fn an_answer_that_says_nothing_changed_fits_the_one_before() {
    let script = Script::new().write("HTTP/1.1 304 Not Modified\r\netag: \"7\"\r\n\r\n");
    let upstream = Upstream::scripted(script).await;
    let node = node(&upstream, "true").await;
    for (asked, etag) in [("gzip", "W/\"7\""), ("identity", "\"7\"")] {
        let headers = [("Accept-Encoding", asked), ("If-None-Match", "W/\"7\"")];
        let answer = node.get("/many", &headers).await;
        assert_eq!(answer.status, 304);
        assert_eq!(answer.head.field("etag"), Some(etag));
        assert_eq!(answer.head.field("vary"), Some("accept-encoding"));
        assert_eq!(coding(&answer), None);
    }
}

#[tokio::test]
async fn what_is_said_of_codings_and_types_holds() {
    let text = text();
    let headers = [("content-type", "image/svg+xml")];
    let upstream = Upstream::scripted(Script::answer("200 OK", &headers, &text)).await;
    let all = [("Accept-Encoding", "gzip, br, zstd")];
    for (said, expected) in [
        ("true", Some("zstd")),
        ("{ codings: [br, gzip] }", Some("br")),
        ("{ codings: [gzip], levels: { gzip: 9 } }", Some("gzip")),
        ("{ types: [\"image/*\"] }", Some("zstd")),
        ("{ types: [application/json] }", None),
        ("{ min_size: 1MB }", None),
        ("false", None),
    ] {
        let node = node(&upstream, said).await;
        let answer = node.get("/many", &all).await;
        assert_eq!(coding(&answer), expected, "{said}");
        assert_eq!(unpacked(expected, &answer.body), text.as_bytes());
    }
}

/// What curl says over HTTP/2 in clear.
fn curl(arguments: &[&str], url: &str) -> (String, String) {
    let fixed = [
        "--silent",
        "--show-error",
        "--http2-prior-knowledge",
        "--max-time",
        "60",
    ];
    let told = Command::new("curl")
        .args(fixed)
        .args(["--dump-header", "/dev/stderr"])
        .args(arguments)
        .arg(url)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(told.stderr), text(told.stdout))
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_it_is_the_same() {
    let text = text();
    let large = text.repeat(100);
    let upstream = Upstream::scripts(vec![
        Script::answer("200 OK", &[JSON], &text),
        Script::answer("200 OK", &[JSON], &text),
        Script::answer("200 OK", &[JSON], &text),
        Script::answer("200 OK", &[JSON], &large),
        Script::answer("200 OK", &[JSON], "read"),
    ])
    .await;
    let configuration = format!(
        "format: 1
listeners:
  - {{ address: 127.0.0.1:8080, serves: gateway, protocols: [http1, http2] }}
  - {{ address: 127.0.0.1:9090, serves: operations }}
captures: {{ file: captures.jsonl }}
resources:
  - {{ kind: upstream, name: a, targets: [ {{ url: \"{}\" }} ] }}
  - {{ kind: api, name: many, version: v1, state: published, base_path: /many, upstream: a, authentication: none, compression: true, decompression: true, capture: {{ bodies: [request, response], content_types: [application/json], max_bytes: 1KiB }} }}
",
        upstream.url()
    );
    let binary = env!("CARGO_BIN_EXE_keyward");
    let process = KeywardProcess::start_configured(binary, &configuration, &[], &[]).await;
    let url = format!("http://{}/many", process.gateway());
    for (coding, expected) in [
        ("gzip", &text),
        ("br", &text),
        ("zstd", &text),
        ("br", &large),
    ] {
        let asked = format!("Accept-Encoding: {coding}");
        let (head, body) = curl(&["--compressed", "--header", &asked], &url);
        assert!(
            head.contains(&format!("content-encoding: {coding}")),
            "{head}"
        );
        assert!(!head.contains("content-length"), "{head}");
        assert_eq!(&body, expected, "{coding}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    std::fs::write(&file, packed("zstd", text.as_bytes())).unwrap();
    let data = format!("@{}", file.display());
    let arguments = [
        "--data-binary",
        &data,
        "--header",
        "Content-Encoding: zstd",
        "--header",
        "Content-Type: application/json",
    ];
    let (_, body) = curl(&arguments, &url);
    assert_eq!(body, "read");
    let received = upstream.received().pop().unwrap();
    assert_eq!(received.body_length, text.len() as u64);
    // What is captured is what the upstream got and sent, not what it was packed into.
    let path = process.folder().join("captures.jsonl");
    let begun = || std::fs::read_to_string(&path).unwrap_or_default();
    until("five captures", || begun().lines().count() == 5).await;
    let lines: Vec<serde_json::Value> = begun()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &lines {
        let request = line["request"]["bytes"].as_u64();
        let response = line["response"]["bytes"].as_u64().unwrap();
        match request {
            Some(request) => assert_eq!((request, response), (text.len() as u64, 4)),
            None => assert!(response == text.len() as u64 || response == large.len() as u64),
        }
    }
}

/// The next piece of an answer in chunks.
async fn chunk(client: &mut RawClient) -> Vec<u8> {
    let mut size = Vec::new();
    while !size.ends_with(b"\r\n") {
        size.extend(client.bytes(1).await.unwrap());
    }
    let size = String::from_utf8(size).unwrap();
    let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
    let mut piece = client.bytes(size + 2).await.unwrap();
    piece.truncate(size);
    piece
}

#[tokio::test]
async fn events_are_flushed_as_they_come() {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let script = Script::new()
        .write(head)
        .write_chunk("data: one\n\n")
        .wait_until_closed();
    let upstream = Upstream::scripted(script).await;
    let node = node(&upstream, "true").await;
    for coding in ["gzip", "br", "zstd"] {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        let call = format!("GET /many HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n");
        client.send(call).await.unwrap();
        let answer = client.answer_to_head().await.unwrap();
        assert_eq!(answer.head.field("content-encoding"), Some(coding));
        // The upstream says no more, and does not end.
        let event = begun(coding, &chunk(&mut client).await);
        assert_eq!(event, b"data: one\n\n", "{coding}");
    }
    until("what clients left is left", || upstream.left() == 3).await;
}

/// What a stream that has not ended holds so far.
fn begun(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 1024];
    let length = match coding {
        "gzip" => {
            let mut decoder = flate2::Decompress::new_gzip(15);
            decoder
                .decompress(bytes, &mut out, flate2::FlushDecompress::None)
                .unwrap();
            usize::try_from(decoder.total_out()).unwrap()
        }
        "br" => {
            use brotli::enc::StandardAlloc;
            let alloc = StandardAlloc::default;
            let mut state = brotli::BrotliState::new_strict(alloc(), alloc(), alloc());
            let (mut left, mut used) = (bytes.len(), 0);
            let (mut room, mut written, mut total) = (out.len(), 0, 0);
            brotli::BrotliDecompressStream(
                &mut left,
                &mut used,
                bytes,
                &mut room,
                &mut written,
                &mut out,
                &mut total,
                &mut state,
            );
            written
        }
        _ => {
            let mut decoder = zstd_safe::DCtx::create();
            let mut room = zstd_safe::OutBuffer::around(out.as_mut_slice());
            let mut input = zstd_safe::InBuffer::around(bytes);
            decoder.decompress_stream(&mut room, &mut input).unwrap();
            room.pos()
        }
    };
    out.truncate(length);
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_is_not_held_and_other_calls_go_on() {
    let length = 256 * MIB;
    let piece = "x".repeat(64 * 1024);
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n");
    let large = Script::new()
        .write(head)
        .repeat(piece, length / (64 * 1024));
    let upstream = Upstream::scripted(large).await;
    let node = node(&upstream, "{ levels: { br: 5 } }").await;
    let before = node.process.peak_bytes();
    for coding in ["gzip", "br", "zstd"] {
        let url = format!("http://{}/many", node.gateway());
        let asked = format!("Accept-Encoding: {coding}");
        // curl decodes, and tells how much came over the wire.
        let downloading = tokio::task::spawn_blocking(move || {
            let arguments = [
                "--silent",
                "--show-error",
                "--fail",
                "--compressed",
                "--max-time",
                "120",
                "--header",
                &asked,
                "--output",
                "/dev/null",
                "--write-out",
                "%{size_download}",
                &url,
            ];
            Command::new("curl").args(arguments).output().unwrap()
        });
        let mut others = 0;
        while !downloading.is_finished() {
            assert_eq!(node.get("/nowhere", &[]).await.status, 404);
            others += 1;
        }
        let told = downloading.await.unwrap();
        assert!(
            told.status.success(),
            "{coding} {}",
            String::from_utf8_lossy(&told.stderr)
        );
        let over_the_wire: u64 = String::from_utf8(told.stdout).unwrap().parse().unwrap();
        assert!(over_the_wire < MIB, "{coding} {over_the_wire}");
        assert!(others > 5, "{coding} {others}");
    }
    let growth = node.process.peak_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_cancels_the_call() {
    // Nothing that compresses well: it has to be sent.
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
    let piece: String = (0..2000u32)
        .map(|number| format!("{:08x}", number.wrapping_mul(2_654_435_761)))
        .collect();
    let script = Script::new()
        .write(head)
        .repeat(format!("{:x}\r\n{piece}\r\n", piece.len()), 100_000);
    let upstream = Upstream::scripted(script).await;
    let node = node(&upstream, "true").await;
    for coding in ["gzip", "br", "zstd"] {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        let call = format!("GET /many HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n");
        client.send(call).await.unwrap();
        client.answer_to_head().await.unwrap();
        client.skip(10_000).await.unwrap();
    }
    until("the upstream is left", || upstream.open_connections() == 0).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_made_to_look_whole() {
    let script = Script::new()
        .write("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 9000\r\n\r\nshort")
        .close();
    let upstream = Upstream::scripted(script).await;
    let node = node(&upstream, "true").await;
    for coding in ["gzip", "br", "zstd"] {
        let mut client = RawClient::connect(node.gateway()).await.unwrap();
        let call = format!("GET /many HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n");
        client.send(call).await.unwrap();
        let answer = client.answer().await;
        assert!(answer.is_err(), "{answer:?}");
    }
}
