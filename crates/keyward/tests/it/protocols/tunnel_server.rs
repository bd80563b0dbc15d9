//! A server that agrees to WebSocket's handshake, and sends back what it is sent.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A server. It ends with the test.
pub(crate) struct TunnelServer {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    heads: Mutex<Vec<String>>,
    /// How many tunnels are open.
    open: AtomicUsize,
}

/// What a server does once it has agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It sends back every byte.
    Mirror,
    /// It reads nothing.
    Stall,
    /// It sends a greeting and closes.
    Greet,
}

impl TunnelServer {
    pub(crate) async fn start() -> Self {
        Self::that(Then::Mirror).await
    }

    pub(crate) async fn that(then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                open.spawn(async move {
                    let _ended = serve(stream, then, &state).await;
                });
            }
        });
        Self {
            address,
            state,
            task,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of the requests so far, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.state.heads.lock().unwrap().clone()
    }

    pub(crate) fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }
}

impl Drop for TunnelServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, then: Then, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    let key = field("sec-websocket-key");
    let protocol = field("sec-websocket-protocol");
    state.heads.lock().unwrap().push(head.to_lowercase());
    let Some(key) = key else {
        let plain = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nplain";
        return stream.write_all(plain).await;
    };
    let hash = digest(
        &SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes(),
    );
    let chosen = protocol.and_then(|offered| {
        let first = offered.split(',').next()?.trim().to_owned();
        Some(format!("sec-websocket-protocol: {first}\r\n"))
    });
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {}\r\n{}x-of-upstream: 1\r\n\r\n",
        STANDARD.encode(hash),
        chosen.unwrap_or_default()
    );
    stream.write_all(answer.as_bytes()).await?;
    state.open.fetch_add(1, Ordering::SeqCst);
    let ended = match then {
        Then::Mirror => {
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await.map(drop)
        }
        Then::Stall => std::future::pending().await,
        Then::Greet => stream.write_all(b"hello and goodbye").await,
    };
    state.open.fetch_sub(1, Ordering::SeqCst);
    ended
}
