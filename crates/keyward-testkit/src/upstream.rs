//! Servers that stand behind the gateway in a test.

use crate::message::{Fields, Framing, Head, read_body};
use crate::script::Script;
use crate::task::Task;
use aws_lc_rs::digest::{Context, SHA256};
use serde_json::{Value, json};
use std::io::Result;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Read at once: large bodies are passed through in a test of seconds, not minutes.
const BUFFER: usize = 64 * 1024;
/// So much of a body is kept to look at.
const KEPT_MAX: usize = 16 * 1024;

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The request line and the header fields.
    pub head: Head,
    /// The trailer fields.
    pub trailers: Fields,
    /// How long the body was.
    pub body_length: u64,
    /// SHA-256 of the body in lower-case hexadecimal.
    pub body_sha256: String,
    /// The first 16 KiB of the body.
    pub body: Vec<u8>,
}

impl Received {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.head.first_line.split(' ').next().unwrap_or_default()
    }

    /// The request target: path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        self.head.first_line.split(' ').nth(1).unwrap_or_default()
    }

    /// What an echo answers with.
    pub(crate) fn to_json(&self) -> Value {
        let target = self.target();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        json!({
            "method": self.method(),
            "target": target,
            "path": path,
            "query": query,
            "headers": self.head.fields,
            "trailers": self.trailers,
            "body": {
                "length": self.body_length,
                "sha256": self.body_sha256,
                "text": String::from_utf8_lossy(&self.body),
            },
        })
    }
}

/// A server on loopback that echoes or follows scripts, and keeps what it was asked.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _task: Task,
}

#[derive(Debug, Default)]
struct State {
    received: Vec<Received>,
    connections: u64,
    open: u64,
    left: u64,
    written: u64,
}

/// What a server does with its requests.
enum Behaviour {
    Echo,
    /// The n-th request gets the n-th script, those after the last get the last.
    Scripts(Vec<Script>),
    /// Each request gets the script that is made for it.
    Chosen(Box<dyn Fn(&Received) -> Script + Send + Sync>),
}

impl Upstream {
    /// A server that answers each request with a JSON object of what arrived: `method`, `target`, `path`,
    /// `query`, `headers` and `trailers` (pairs in order, doubles included), `body` (`length`, `sha256`,
    /// `text`). It keeps connections open, and reads bodies of any length.
    pub async fn echo() -> Self {
        Self::start(Behaviour::Echo).await
    }

    /// The same at an address of the test's choice, for what one name stands for in turn.
    pub async fn echo_at(address: SocketAddr) -> Self {
        Self::listen(address, Behaviour::Echo).await
    }

    /// A server that follows this script for each request.
    pub async fn scripted(script: Script) -> Self {
        Self::start(Behaviour::Scripts(vec![script])).await
    }

    /// A server that follows the n-th script for the n-th request, and the last for all after it.
    pub async fn scripts(scripts: Vec<Script>) -> Self {
        Self::start(Behaviour::Scripts(scripts)).await
    }

    /// A server that reads each request to its end and follows the script that `choose` gives for it.
    pub async fn choosing(choose: impl Fn(&Received) -> Script + Send + Sync + 'static) -> Self {
        Self::start(Behaviour::Chosen(Box::new(choose))).await
    }

    async fn start(behaviour: Behaviour) -> Self {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), behaviour).await
    }

    async fn listen(address: SocketAddr, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(address)
            .await
            .expect("the address on loopback is free");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, behaviour) = (Arc::clone(&state), Arc::new(behaviour));
        let task = Task::spawn(async move {
            // Those that are open end with the server.
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, behaviour) = (Arc::clone(&shared), Arc::clone(&behaviour));
                open.spawn(async move {
                    let _counted = Connection::new(&shared);
                    // What goes wrong is the client's doing, and often the test's aim.
                    if serve(stream, &behaviour, &shared).await.is_err() {
                        locked(&shared).left += 1;
                    }
                });
                while open.try_join_next().is_some() {}
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

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, in the order in which they were read to their end.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        locked(&self.state).received.clone()
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> u64 {
        locked(&self.state).connections
    }

    /// How many are open.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        locked(&self.state).open
    }

    /// How many the client left in the middle of a request or an answer.
    #[must_use]
    pub fn left(&self) -> u64 {
        locked(&self.state).left
    }

    /// How many bytes of its scripts the other sides have taken.
    #[must_use]
    pub fn written(&self) -> u64 {
        locked(&self.state).written
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no holder panics")
}

/// Counts a connection while it is open.
struct Connection<'a>(&'a Mutex<State>);

impl<'a> Connection<'a> {
    fn new(state: &'a Mutex<State>) -> Self {
        let mut counts = locked(state);
        counts.connections += 1;
        counts.open += 1;
        Self(state)
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        locked(self.0).open -= 1;
    }
}

async fn serve(stream: TcpStream, behaviour: &Behaviour, state: &Mutex<State>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(BUFFER, stream);
    while let Some(head) = Head::read(&mut stream).await? {
        match behaviour {
            Behaviour::Echo => {
                let received = receive(&mut stream, head).await?;
                let answer = received.to_json().to_string();
                let is_head = received.method() == "HEAD";
                locked(state).received.push(received);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    answer.len()
                );
                let body = if is_head { "" } else { &answer };
                stream.write_all(format!("{head}{body}").as_bytes()).await?;
            }
            Behaviour::Chosen(choose) => {
                let received = receive(&mut stream, head).await?;
                let script = choose(&received);
                locked(state).received.push(received);
                let wrote = |bytes| {
                    locked(state).written += u64::try_from(bytes).unwrap_or(u64::MAX);
                };
                if !script.follow(&mut stream, wrote).await? {
                    return Ok(());
                }
            }
            Behaviour::Scripts(scripts) => {
                let at = locked(state).received.len();
                let Some(script) = scripts.get(at).or(scripts.last()) else {
                    return Ok(());
                };
                let received = if script.reads_body {
                    receive(&mut stream, head).await?
                } else {
                    without_body(head)
                };
                locked(state).received.push(received);
                let wrote = |bytes| {
                    locked(state).written += u64::try_from(bytes).unwrap_or(u64::MAX);
                };
                if !script.follow(&mut stream, wrote).await? {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

async fn receive(stream: &mut BufReader<TcpStream>, head: Head) -> Result<Received> {
    let framing = Framing::of_request(&head)?;
    if head.field("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let mut body = Kept::new();
    let trailers = read_body(stream, framing, |piece| body.add(piece)).await?;
    Ok(received(head, trailers, body))
}

/// What is kept of a body that is read.
pub(crate) struct Kept {
    hash: Context,
    length: u64,
    kept: Vec<u8>,
}

impl Kept {
    pub(crate) fn new() -> Self {
        Self {
            hash: Context::new(&SHA256),
            length: 0,
            kept: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, piece: &[u8]) {
        self.hash.update(piece);
        self.length += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let room = KEPT_MAX - self.kept.len();
        self.kept
            .extend_from_slice(piece.get(..room).unwrap_or(piece));
    }
}

fn without_body(head: Head) -> Received {
    received(head, Fields::new(), Kept::new())
}

/// What was received of a body, with the digest of all of it.
pub(crate) fn received(head: Head, trailers: Fields, body: Kept) -> Received {
    Received {
        head,
        trailers,
        body_length: body.length,
        body_sha256: hexadecimal(body.hash.finish().as_ref()),
        body: body.kept,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
