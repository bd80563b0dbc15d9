//! The cache: what is kept, for whom and for how long, and how many calls reach the upstream for it.

mod callers;
pub(super) mod coalescing;
mod suite;

use super::Table;
use crate::node::{Node, request};
use keyward_testkit::{Answer, RawClient, Received, Script, Upstream};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

/// An upstream whose answers are told beforehand, path by path.
pub(super) struct Origin {
    pub(super) upstream: Upstream,
    answers: Arc<Mutex<HashMap<String, Vec<Script>>>>,
}

impl Origin {
    pub(super) async fn start() -> Self {
        let answers: Arc<Mutex<HashMap<String, Vec<Script>>>> = Arc::default();
        let told = Arc::clone(&answers);
        let upstream = Upstream::choosing(move |received| {
            let path = received.target().split('?').next().unwrap_or_default();
            let mut answers = told.lock().unwrap();
            match answers.get_mut(path) {
                // The last one is for all that come after it.
                Some(scripts) if scripts.len() > 1 => scripts.remove(0),
                Some(scripts) if scripts.len() == 1 => scripts[0].clone(),
                _ => Script::answer("404 Not Found", &[], ""),
            }
        })
        .await;
        Self { upstream, answers }
    }

    /// What is answered at this path, one after the other.
    pub(super) fn answers(&self, path: &str, scripts: Vec<Script>) {
        self.answers
            .lock()
            .unwrap()
            .insert(path.to_owned(), scripts);
    }

    /// What came for this path.
    pub(super) fn received(&self, path: &str) -> Vec<Received> {
        let mut received = self.upstream.received();
        received.retain(|one| one.target().split('?').next() == Some(path));
        received
    }
}

/// An answer in short: its status and lines of headers. Its body is `body` and its number.
pub(super) fn answer(status: &str, headers: &str, number: usize) -> Script {
    let headers: Vec<(&str, &str)> = headers
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .collect();
    if status.starts_with("304") || status.starts_with("204") {
        let mut text = format!("HTTP/1.1 {status}\r\n");
        for (name, value) in headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        return Script::new().write(format!("{text}\r\n"));
    }
    Script::answer(status, &headers, format!("body {number}"))
}

/// One call on a connection of its own: `GET` and lines of headers.
pub(super) async fn call(node: &Node, target: &str, what: &str) -> Answer {
    let mut lines = what.lines();
    let method = lines.next().unwrap();
    let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    let body = if method == "POST" { "x" } else { "" };
    let mut client = RawClient::connect(node.gateway()).await.unwrap();
    client
        .send(request(method, target, &headers, body))
        .await
        .unwrap();
    let answer = if method == "HEAD" {
        client.answer_to_head().await
    } else {
        client.answer().await
    };
    answer.unwrap_or_else(|error| panic!("{what} {target}: {error}\n{}", node.process.log()))
}

/// One case: what the origin answers, and what is called one after the other. The row tells of the last call.
pub(super) struct Case<'a> {
    pub(super) name: &'a str,
    pub(super) api: &'a str,
    /// (status, headers), for one call after the other.
    pub(super) origin: &'a [(&'a str, &'a str)],
    pub(super) calls: &'a [&'a str],
}

impl Case<'_> {
    pub(super) async fn drive(&self, table: &mut Table, node: &Node, origin: &Origin) -> Answer {
        let path: String = self
            .name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '.' {
                    c
                } else {
                    '-'
                }
            })
            .collect();
        let path = format!("/{path}");
        let scripts = self.origin.iter().enumerate();
        origin.answers(
            &path,
            scripts
                .map(|(number, (status, headers))| answer(status, headers, number + 1))
                .collect(),
        );
        let mut told = Vec::new();
        let mut last = None;
        for (number, what) in self.calls.iter().enumerate() {
            let before = origin.received(&path).len();
            let given = call(node, &format!("/{}{path}", self.api), what).await;
            let received = origin.received(&path).split_off(before);
            let mut line = shown(what);
            if let Some((status, headers)) = self.origin.get(number)
                && !received.is_empty()
            {
                write!(line, " → {}", shown(&format!("{status}\n{headers}"))).unwrap();
            }
            told.push(line);
            last = Some((given, received));
        }
        let (answer, received) = last.unwrap();
        table.add_received(self.name, &told.join("<br>"), &answer, &received);
        answer
    }
}

fn shown(lines: &str) -> String {
    let lines: Vec<_> = lines.lines().collect();
    format!("`{}`", lines.join("; "))
}

/// The table with what is another one each time told in round numbers.
pub(super) fn table(table: Table) -> Table {
    table
        .headers(&[
            "cache-status",
            "age",
            "etag",
            "content-range",
            "content-digest",
        ])
        .upstream_headers(&["if-none-match", "if-modified-since"])
        .masking("cache-status", |value| {
            let (before, rest) = match value.split_once("ttl=") {
                Some(parts) => parts,
                None => return value.to_owned(),
            };
            let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit());
            let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
            let ttl: i64 = number.parse().unwrap();
            let ttl = match ttl {
                // A second may pass while a test runs.
                -5..=5 => "A FEW",
                6.. => "SECONDS",
                _ => "-SECONDS",
            };
            format!("{before}ttl={ttl}{after}")
        })
        .masking("age", |value| {
            let seconds: u64 = value.parse().unwrap();
            match seconds {
                0..60 => "A FEW".to_owned(),
                _ => (seconds / 100 * 100).to_string(),
            }
        })
}
