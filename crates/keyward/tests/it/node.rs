//! A node that runs: the binary as a process, with an upstream of its own behind it.

use keyward_testkit::{Answer, KeywardProcess, RawClient, Upstream};
use std::fmt::Write as _;
use std::net::SocketAddr;

/// The process and the upstream `echo` that its APIs go to.
pub(crate) struct Node {
    pub(crate) process: KeywardProcess,
    pub(crate) upstream: Upstream,
}

/// What a node is started with: built up, then started.
#[derive(Default)]
pub(crate) struct Plan {
    settings: String,
    resources: String,
    files: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

impl Plan {
    /// Lines for the top of the configuration.
    pub(crate) fn settings(mut self, lines: &str) -> Self {
        self.settings.push_str(lines);
        self.settings.push('\n');
        self
    }

    /// Resources in YAML, each beginning with `- kind:`.
    pub(crate) fn resource(mut self, yaml: impl AsRef<str>) -> Self {
        self.resources.push_str(yaml.as_ref());
        self.resources.push('\n');
        self
    }

    /// A file in the node's folder.
    pub(crate) fn file(mut self, name: &str, contents: impl Into<String>) -> Self {
        self.files.push((name.to_owned(), contents.into()));
        self
    }

    /// A variable of its environment.
    pub(crate) fn environment(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// An API `name` at `/name` on the upstream `echo`, with whatever else is said of it.
    pub(crate) fn api(self, name: &str, rest: &str) -> Self {
        self.api_at(name, &format!("/{name}"), "echo", rest)
    }

    pub(crate) fn api_at(self, name: &str, base_path: &str, upstream: &str, rest: &str) -> Self {
        self.resource(format!(
            "- {{ kind: api, team: default, name: {name}, version: v1, state: published, base_path: {base_path}, upstream: {upstream}, {rest} }}"
        ))
    }

    /// An upstream with these addresses.
    pub(crate) fn upstream(self, name: &str, urls: &[String], rest: &str) -> Self {
        let mut targets = String::new();
        for url in urls {
            write!(targets, "{{ url: \"{url}\" }}, ").unwrap();
        }
        self.resource(format!(
            "- {{ kind: upstream, name: {name}, targets: [ {targets} ], {rest} }}"
        ))
    }

    /// Starts it with an echo as the upstream `echo`.
    pub(crate) async fn start(self) -> Node {
        let upstream = Upstream::echo().await;
        let this = self.upstream("echo", &[upstream.url()], "");
        fn borrowed(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
            let pairs = pairs.iter();
            pairs.map(|(name, text)| (&**name, &**text)).collect()
        }
        let process = KeywardProcess::start_in(
            env!("CARGO_BIN_EXE_keyward"),
            &borrowed(&this.environment),
            &this.settings,
            &this.resources,
            &borrowed(&this.files),
        )
        .await;
        Node { process, upstream }
    }
}

impl Node {
    pub(crate) fn gateway(&self) -> SocketAddr {
        self.process.gateway()
    }

    /// GETs a path on a connection of its own.
    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.call("GET", path, headers, "").await
    }

    /// GETs a path with a token in `Authorization`.
    pub(crate) async fn get_with(&self, path: &str, token: &str) -> Answer {
        let value = format!("Bearer {token}");
        self.get(path, &[("Authorization", &value)]).await
    }

    /// One call on a connection of its own.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut client = RawClient::connect(self.gateway()).await.unwrap();
        let bytes = request(method, path, headers, body);
        // What is refused early is not read to its end.
        let _refused = client.send(bytes).await;
        let answer = if method == "HEAD" {
            client.answer_to_head().await
        } else {
            client.answer().await
        };
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.process.log()))
    }

    /// What the upstream has received, as its echo tells it to a caller.
    #[track_caller]
    pub(crate) fn last_received(&self) -> keyward_testkit::Received {
        self.upstream.received().pop().expect("something arrived")
    }
}

/// A request as text. Its connection closes after it, unless `headers` speak of `Connection`.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: api.example\r\n");
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("connection"))
    {
        text.push_str("Connection: close\r\n");
    }
    if !body.is_empty() {
        write!(text, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    text.push_str("\r\n");
    text.push_str(body);
    text
}

/// That the answer is a problem (RFC 9457) with this status and code, under its request id.
#[track_caller]
pub(crate) fn check_problem(answer: &Answer, status: u16, code: &str) {
    let shown = format!("{:?}\n{}", answer.head, answer.text());
    assert_eq!(answer.status, status, "{shown}");
    assert_eq!(
        answer.head.field("content-type"),
        Some("application/problem+json"),
        "{shown}"
    );
    let problem = answer.json().expect(&shown);
    assert_eq!(problem["code"], code, "{shown}");
    assert_eq!(problem["status"], status, "{shown}");
    assert_eq!(
        problem["type"],
        format!("https://keyward.dev/problems/{code}"),
        "{shown}"
    );
    for text in ["title", "detail"] {
        assert!(
            problem[text].as_str().is_some_and(|text| !text.is_empty()),
            "{shown}"
        );
    }
    let id = answer.head.field("request-id").expect(&shown);
    assert_eq!(problem["request_id"], id, "{shown}");
}

/// That the answer passed, with a request id.
#[track_caller]
pub(crate) fn check_passed(answer: &Answer) {
    assert_eq!(answer.status, 200, "{:?}\n{}", answer.head, answer.text());
    assert!(answer.head.field("request-id").is_some());
}
