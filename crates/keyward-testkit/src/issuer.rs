//! An issuer that serves its key set and metadata, and fails as told.

use crate::task::Task;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How an issuer fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Answers with this status and no keys.
    Status(u16),
    /// Closes the connection without an answer.
    Close,
    /// Takes the request and never answers.
    Hang,
    /// Answers after this time.
    Slow(Duration),
}

/// An issuer on loopback.
///
/// It serves its key set at `/jwks.json` with an `ETag`, answers `If-None-Match`, serves metadata at
/// `/.well-known/openid-configuration` (and at the addresses that are set), and counts.
#[derive(Debug)]
pub struct IssuerServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _task: Task,
}

#[derive(Debug, Default)]
struct State {
    keys: String,
    /// Raised with every change of the keys, and part of the entity tag.
    version: u64,
    tagged: bool,
    headers: Vec<(String, String)>,
    documents: Vec<(String, String)>,
    failure: Option<Failure>,
    requests: u64,
    key_requests: u64,
    not_modified: u64,
    in_flight: u64,
    most_in_flight: u64,
}

impl IssuerServer {
    /// Starts one that serves `keys`, the text of a JWK set.
    pub async fn start(keys: impl Into<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State {
            keys: keys.into(),
            tagged: true,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        let task = Task::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    // A client that leaves is no failure of the test.
                    let _left = serve(stream, &shared).await;
                });
            }
        });
        Self {
            address,
            state,
            _task: task,
        }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of `path`, which begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The URL of its key set.
    #[must_use]
    pub fn jwks_url(&self) -> String {
        self.url("/jwks.json")
    }

    /// Serves other keys (or whatever the text is) from now on, under another entity tag.
    pub fn set_keys(&self, keys: impl Into<String>) {
        let mut state = self.state();
        state.keys = keys.into();
        state.version += 1;
    }

    /// Sends these headers along with the key set, such as `cache-control`, in place of those before.
    pub fn set_headers(&self, headers: &[(&str, &str)]) {
        self.state().headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
    }

    /// Whether the key set carries an `ETag`. It does unless said otherwise.
    pub fn set_tagged(&self, tagged: bool) {
        self.state().tagged = tagged;
    }

    /// Serves metadata that names `issuer` at `path`, with its key set as `jwks_uri`.
    pub fn set_metadata(&self, path: &str, issuer: &str) {
        let document = serde_json::json!({ "issuer": issuer, "jwks_uri": self.jwks_url() });
        self.set_document(path, document.to_string());
    }

    /// Serves any document at `path`.
    pub fn set_document(&self, path: &str, document: impl Into<String>) {
        let mut state = self.state();
        state.documents.retain(|(at, _)| at != path);
        state.documents.push((path.to_owned(), document.into()));
    }

    /// Fails from now on; `None` makes it work again.
    pub fn set_failure(&self, failure: Option<Failure>) {
        self.state().failure = failure;
    }

    /// How many requests came, for whatever.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state().requests
    }

    /// How many requests came for the key set.
    #[must_use]
    pub fn key_requests(&self) -> u64 {
        self.state().key_requests
    }

    /// How many of them were answered with 304.
    #[must_use]
    pub fn not_modified(&self) -> u64 {
        self.state().not_modified
    }

    /// The most requests that were open at one time.
    #[must_use]
    pub fn most_in_flight(&self) -> u64 {
        self.state().most_in_flight
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

/// Counts a request while it is open.
struct Open<'a>(&'a Mutex<State>);

impl<'a> Open<'a> {
    fn new(state: &'a Mutex<State>) -> Self {
        let mut counts = state.lock().expect("no holder panics");
        counts.requests += 1;
        counts.in_flight += 1;
        counts.most_in_flight = counts.most_in_flight.max(counts.in_flight);
        Self(state)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.lock().expect("no holder panics").in_flight -= 1;
    }
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let open = Open::new(state);
    let head = String::from_utf8_lossy(&head).into_owned();
    let failure = state.lock().expect("no holder panics").failure;
    match failure {
        None => {}
        Some(Failure::Slow(time)) => tokio::time::sleep(time).await,
        Some(Failure::Close) => return Ok(()),
        Some(Failure::Hang) => {
            // Until the client leaves.
            stream.read_u8().await?;
            return Ok(());
        }
        Some(Failure::Status(status)) => {
            let answer = format!("HTTP/1.1 {status} Failing\r\ncontent-length: 0\r\n\r\n");
            return stream.write_all(answer.as_bytes()).await;
        }
    }
    let answer = answer(&head, &mut state.lock().expect("no holder panics"));
    // Whoever has read the answer may ask again before this task goes on.
    drop(open);
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

fn answer(head: &str, state: &mut State) -> String {
    let path = head.split(' ').nth(1).unwrap_or_default();
    if path == "/jwks.json" {
        return key_set(head, state);
    }
    match state.documents.iter().find(|(at, _)| at == path) {
        Some((_, document)) => format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{document}",
            document.len()
        ),
        None => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
    }
}

fn key_set(head: &str, state: &mut State) -> String {
    state.key_requests += 1;
    let tag = format!("\"v{}\"", state.version);
    let mut headers: String = state
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    if state.tagged {
        headers.push_str(&format!("etag: {tag}\r\n"));
        if head
            .to_ascii_lowercase()
            .contains(&format!("if-none-match: {tag}\r\n"))
        {
            state.not_modified += 1;
            return format!("HTTP/1.1 304 Not Modified\r\n{headers}\r\n");
        }
    }
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/jwk-set+json\r\n{headers}content-length: {}\r\n\r\n{}",
        state.keys.len(),
        state.keys
    )
}
