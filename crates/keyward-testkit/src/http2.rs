//! Servers that speak HTTP/2 in clear.

use crate::message::{Fields, Head};
use crate::task::Task;
use crate::upstream::{Kept, Received, received};
use bytes::Bytes;
use h2::server::{SendResponse, handshake};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A server's part in one exchange over HTTP/2.
#[derive(Clone, Debug)]
pub struct Http2Script {
    reads_body: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Interim(u16),
    Head(Response<()>),
    Data(Bytes, u64),
    Trailers(HeaderMap),
    End,
    Pause(Duration),
    Mirror,
    Reset(Reason),
    WaitUntilReset,
    GoAway,
    Abort(Reason),
    Close,
}

/// What a connection as a whole is to do.
enum Order {
    GoAway,
    Abort(Reason),
    Close,
}

impl Http2Script {
    /// Reads the whole request.
    #[must_use]
    pub fn new() -> Self {
        Self {
            reads_body: true,
            steps: Vec::new(),
        }
    }

    /// Leaves the request's body unread.
    #[must_use]
    pub fn without_reading_the_body() -> Self {
        Self {
            reads_body: false,
            steps: Vec::new(),
        }
    }

    /// A whole answer.
    #[must_use]
    pub fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        Self::new().head(status, headers).data(body).end()
    }

    /// Sends an interim answer.
    #[must_use]
    pub fn interim(self, status: u16) -> Self {
        self.then(Step::Interim(status))
    }

    /// Sends the answer's head.
    #[must_use]
    pub fn head(self, status: u16, headers: &[(&str, &str)]) -> Self {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        *response.headers_mut() = map(headers);
        self.then(Step::Head(response))
    }

    /// Sends bytes of the body.
    #[must_use]
    pub fn data(self, bytes: impl AsRef<[u8]>) -> Self {
        self.repeat(bytes, 1)
    }

    /// Sends these bytes so many times, as fast as they are taken.
    #[must_use]
    pub fn repeat(self, bytes: impl AsRef<[u8]>, times: u64) -> Self {
        self.then(Step::Data(Bytes::copy_from_slice(bytes.as_ref()), times))
    }

    /// Ends the answer with trailers.
    #[must_use]
    pub fn trailers(self, trailers: &[(&str, &str)]) -> Self {
        self.then(Step::Trailers(map(trailers)))
    }

    /// Ends the answer.
    #[must_use]
    pub fn end(self) -> Self {
        self.then(Step::End)
    }

    /// Waits.
    #[must_use]
    pub fn pause(self, time: Duration) -> Self {
        self.then(Step::Pause(time))
    }

    /// Sends back every piece of the request as soon as it comes, after
    /// [`without_reading_the_body`](Self::without_reading_the_body).
    #[must_use]
    pub fn mirror(self) -> Self {
        self.then(Step::Mirror)
    }

    /// Resets the stream, with a code of RFC 9113, section 7.
    #[must_use]
    pub fn reset(self, code: u32) -> Self {
        self.then(Step::Reset(Reason::from(code)))
    }

    /// Waits until the client resets the stream or is gone; that counts as having left.
    #[must_use]
    pub fn wait_until_reset(self) -> Self {
        self.then(Step::WaitUntilReset)
    }

    /// Announces that the connection takes no more calls, and finishes those it has.
    #[must_use]
    pub fn go_away(self) -> Self {
        self.then(Step::GoAway)
    }

    /// Ends the connection at once, with a code.
    #[must_use]
    pub fn abort(self, code: u32) -> Self {
        self.then(Step::Abort(Reason::from(code)))
    }

    /// Drops the connection without a word.
    #[must_use]
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

impl Default for Http2Script {
    fn default() -> Self {
        Self::new()
    }
}

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        })
        .collect()
}

/// A server on loopback that speaks HTTP/2 with prior knowledge, echoes or follows scripts, and keeps what it
/// was asked.
#[derive(Debug)]
pub struct Http2Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    _task: Task,
}

#[derive(Debug)]
struct Shared {
    streams_max: Option<u32>,
    /// The n-th request gets the n-th script, those after the last get the last; without any, an echo.
    scripts: Vec<Http2Script>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    begun: usize,
    received: Vec<Received>,
    connections: u64,
    open: u64,
    left: u64,
    /// Streams at once on one connection.
    together: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

impl Http2Upstream {
    /// A server that answers as [`Upstream::echo`](crate::Upstream::echo) does.
    pub async fn echo() -> Self {
        Self::start(Vec::new(), None).await
    }

    /// A server that follows this script for each request.
    pub async fn scripted(script: Http2Script) -> Self {
        Self::start(vec![script], None).await
    }

    /// A server that follows the n-th script for the n-th request, and the last for all after it.
    pub async fn scripts(scripts: Vec<Http2Script>) -> Self {
        Self::start(scripts, None).await
    }

    /// The same, with a bound on the streams of a connection.
    pub async fn start(scripts: Vec<Http2Script>, streams_max: Option<u32>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            streams_max,
            scripts,
            state: Mutex::default(),
        });
        let for_task = Arc::clone(&shared);
        let task = Task::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&for_task);
                open.spawn(async move {
                    shared.state().connections += 1;
                    shared.state().open += 1;
                    let _counted = Open(&shared);
                    // What goes wrong is the client's doing, and often the test's aim.
                    let _ended = serve(stream, &shared).await;
                });
                while open.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            shared,
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
        self.shared.state().received.clone()
    }

    /// How many requests' heads have come.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.shared.state().begun
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.state().connections
    }

    /// How many are open.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        self.shared.state().open
    }

    /// How many exchanges the client has left in the middle.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.shared.state().left
    }

    /// The most streams that were open at once on one connection.
    #[must_use]
    pub fn together(&self) -> u64 {
        self.shared.state().together
    }
}

/// Counts a connection while it is open.
struct Open<'a>(&'a Shared);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.state().open -= 1;
    }
}

async fn serve(stream: TcpStream, shared: &Arc<Shared>) -> Result<(), h2::Error> {
    let _unneeded = stream.set_nodelay(true);
    let mut builder = h2::server::Builder::new();
    if let Some(most) = shared.streams_max {
        builder.max_concurrent_streams(most);
    }
    let mut connection = match shared.streams_max {
        Some(_) => builder.handshake(stream).await?,
        None => handshake(stream).await?,
    };
    let (orders, mut ordered) = mpsc::unbounded_channel();
    let mut calls = tokio::task::JoinSet::new();
    loop {
        let order = tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(accepted) => {
                    let (request, answer) = accepted?;
                    while calls.try_join_next().is_some() {}
                    calls.spawn(exchange(request, answer, Arc::clone(shared), orders.clone()));
                    let together = u64::try_from(calls.len()).unwrap_or(u64::MAX);
                    let mut state = shared.state();
                    state.together = state.together.max(together);
                    continue;
                }
                None => break,
            },
            order = ordered.recv() => order,
        };
        match order {
            Some(Order::GoAway) => connection.graceful_shutdown(),
            Some(Order::Abort(reason)) => connection.abrupt_shutdown(reason),
            Some(Order::Close) | None => return Ok(()),
        }
    }
    Ok(())
}

async fn exchange(
    request: Request<RecvStream>,
    mut answer: SendResponse<Bytes>,
    shared: Arc<Shared>,
    orders: mpsc::UnboundedSender<Order>,
) {
    let (parts, mut body) = request.into_parts();
    let head = Head {
        first_line: format!(
            "{} {} HTTP/2",
            parts.method,
            parts
                .uri
                .path_and_query()
                .map_or("", http::uri::PathAndQuery::as_str)
        ),
        fields: parts
            .uri
            .authority()
            .map(|authority| (":authority".to_owned(), authority.to_string()))
            .into_iter()
            .chain(fields(&parts.headers))
            .collect(),
    };
    let number = {
        let mut state = shared.state();
        state.begun += 1;
        state.begun - 1
    };
    let script = shared.scripts.get(number).or(shared.scripts.last());
    let reads = script.is_none_or(|script| script.reads_body);
    let arrived = if reads {
        match receive(head, &mut body).await {
            Ok(arrived) => arrived,
            Err(_) => {
                shared.state().left += 1;
                return;
            }
        }
    } else {
        received(head, Fields::new(), Kept::new())
    };
    let echo = arrived.to_json().to_string();
    let is_head = arrived.method() == "HEAD";
    shared.state().received.push(arrived);
    let followed = match script {
        Some(script) => follow(script, &mut answer, &mut body, &orders).await,
        None => {
            let length = echo.len().to_string();
            let script = Http2Script::new().head(
                200,
                &[
                    ("content-type", "application/json"),
                    ("content-length", &length),
                ],
            );
            let script = if is_head { script } else { script.data(&echo) };
            follow(&script.end(), &mut answer, &mut body, &orders).await
        }
    };
    if followed.is_err() {
        shared.state().left += 1;
    }
}

async fn receive(head: Head, body: &mut RecvStream) -> Result<Received, h2::Error> {
    let mut kept = Kept::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        kept.add(&piece);
    }
    let trailers = body.trailers().await?;
    let trailers = trailers.as_ref().map(fields).unwrap_or_default();
    Ok(received(head, trailers, kept))
}

fn fields(map: &HeaderMap) -> Fields {
    map.iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), value)
        })
        .collect()
}

async fn follow(
    script: &Http2Script,
    answer: &mut SendResponse<Bytes>,
    body: &mut RecvStream,
    orders: &mpsc::UnboundedSender<Order>,
) -> Result<(), h2::Error> {
    let mut sending: Option<SendStream<Bytes>> = None;
    let mut steps = script.steps.iter().peekable();
    while let Some(step) = steps.next() {
        match (step, &mut sending) {
            (Step::Interim(status), _) => {
                let mut interim = Response::new(());
                *interim.status_mut() = StatusCode::from_u16(*status).expect("a status");
                answer.send_informational(interim)?;
            }
            (Step::Head(head), _) => {
                let ends = matches!(steps.peek(), Some(Step::End));
                sending = Some(answer.send_response(head.clone(), ends)?);
                if ends {
                    return Ok(());
                }
            }
            (Step::Data(bytes, times), Some(sending)) => {
                for _ in 0..*times {
                    send(sending, bytes.clone()).await?;
                }
            }
            (Step::Trailers(trailers), Some(sending)) => {
                sending.send_trailers(trailers.clone())?;
            }
            (Step::End, Some(sending)) => sending.send_data(Bytes::new(), true)?,
            (Step::Pause(time), _) => tokio::time::sleep(*time).await,
            (Step::Mirror, Some(sending)) => {
                while let Some(piece) = body.data().await {
                    let piece = piece?;
                    body.flow_control().release_capacity(piece.len())?;
                    send(sending, piece).await?;
                }
            }
            (Step::Reset(reason), Some(sending)) => sending.send_reset(*reason),
            (Step::Reset(reason), None) => answer.send_reset(*reason),
            (Step::WaitUntilReset, Some(sending)) => {
                let reason = std::future::poll_fn(|context| sending.poll_reset(context)).await?;
                return Err(reason.into());
            }
            (Step::WaitUntilReset, None) => {
                let reason = std::future::poll_fn(|context| answer.poll_reset(context)).await?;
                return Err(reason.into());
            }
            (Step::GoAway, _) => ordered(orders, Order::GoAway),
            (Step::Abort(reason), _) => ordered(orders, Order::Abort(*reason)),
            (Step::Close, _) => ordered(orders, Order::Close),
            (Step::Data(..) | Step::Trailers(_) | Step::End | Step::Mirror, None) => {
                panic!("a script begins its answer with a head")
            }
        }
    }
    Ok(())
}

fn ordered(orders: &mpsc::UnboundedSender<Order>, order: Order) {
    // A connection that is gone has nothing more to do.
    let _gone = orders.send(order);
}

/// Sends bytes as the client takes them.
async fn send(sending: &mut SendStream<Bytes>, mut bytes: Bytes) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        sending.reserve_capacity(bytes.len());
        let room = match sending.capacity() {
            0 => match std::future::poll_fn(|context| sending.poll_capacity(context)).await {
                Some(room) => room?,
                None => return Err(Reason::CANCEL.into()),
            },
            room => room,
        };
        sending.send_data(bytes.split_to(room.min(bytes.len())), false)?;
    }
    Ok(())
}
