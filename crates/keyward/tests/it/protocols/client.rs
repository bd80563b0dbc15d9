//! A client that speaks HTTP/2, by the library that hyper uses.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use keyward_testkit::until;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// How long a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A connection in clear.
pub(crate) struct Http2Client {
    send: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Reply {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.to_str().ok()
    }
}

impl Http2Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::with(address, &h2::client::Builder::new()).await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a client of a test connects to what is tested"
    )]
    pub(crate) async fn with(address: SocketAddr, builder: &h2::client::Builder) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (send, connection) = builder.handshake(socket).await.unwrap();
        Self {
            send,
            connection: tokio::spawn(connection),
        }
    }

    /// Waits until the server has said that it knows extended `CONNECT`.
    pub(crate) async fn until_extended_connect(&mut self) {
        until("extended CONNECT is said to be known", async || {
            self.send.is_extended_connect_protocol_enabled()
        })
        .await;
    }

    /// Sends a request's head; the body follows unless it `ends` here.
    pub(crate) async fn send(
        &mut self,
        request: Request<()>,
        ends: bool,
    ) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let mut send = self.send.clone().ready().await.unwrap();
        send.send_request(request, ends).unwrap()
    }

    /// Sends a request with a body that is all there, and reads the answer.
    pub(crate) async fn call(&mut self, request: Request<()>, body: &'static [u8]) -> Reply {
        self.try_call(request, body).await.unwrap()
    }

    pub(crate) async fn try_call(
        &mut self,
        request: Request<()>,
        body: &'static [u8],
    ) -> Result<Reply, h2::Error> {
        let (answer, mut stream) = self.send(request, body.is_empty()).await;
        if !body.is_empty() {
            stream.send_data(Bytes::from_static(body), true)?;
        }
        let answer = tokio::time::timeout(PATIENCE, async { read(answer.await?).await });
        answer.await.unwrap()
    }

    /// How many calls at one time the server lets it have.
    pub(crate) fn streams(&self) -> usize {
        self.send.current_max_send_streams()
    }

    /// How the connection ends.
    pub(crate) async fn ended(&mut self) -> Result<(), h2::Error> {
        let ended = tokio::time::timeout(PATIENCE, &mut self.connection).await;
        ended.unwrap().unwrap()
    }
}

impl Drop for Http2Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Reads an answer to its end.
pub(crate) async fn read(answer: Response<RecvStream>) -> Result<Reply, h2::Error> {
    let (head, mut stream) = answer.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    Ok(Reply {
        status: head.status.as_u16(),
        fields: head.headers,
        body,
        trailers: stream.trailers().await?,
    })
}

/// A request for a path of the tests' host.
pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let uri = format!("http://gateway.test{path}");
    let mut builder = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap()
}

pub(crate) fn get(path: &str) -> Request<()> {
    request("GET", path, &[])
}
