//! The load generator: a fixed number of connections on one thread. Each sends its next request when the answer to
//! the last is complete or, at a pace, when the request's time has come.

use crate::process::CpuTime;
use crate::upstream::BODY_BYTES;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// What requests carry.
#[derive(Clone, Copy)]
pub(crate) enum Tokens<'a> {
    /// No credential.
    None,
    /// These in turn, from the first again after the last.
    InTurn(&'a [String]),
    /// Each of these once; the window ends when none is left.
    Once(&'a [String]),
}

/// One scenario's traffic.
#[derive(Clone)]
pub(crate) struct Load<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'a str,
    pub(crate) connections: usize,
    pub(crate) tokens: Tokens<'a>,
    /// More header fields, each with its line's end.
    pub(crate) headers: &'a str,
    /// How to speak TLS, where it is spoken.
    pub(crate) tls: Option<TlsConnector>,
    /// Requests a second over all connections, whether or not the ones before are answered; else as fast as
    /// answers come.
    pub(crate) pace: Option<f64>,
}

/// A connection, in clear or not.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// What one window saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    /// What the first failed request met.
    pub(crate) first_failure: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    /// CPU time of the process under test.
    pub(crate) cpu: CpuTime,
}

/// Latencies up to this many microseconds have a bucket each; the rest share the last.
const BUCKETS: usize = 200_000;

/// The largest head of an answer.
const HEAD_BYTES: usize = 16 * 1024;

/// How long a new connection is waited for before the try counts as failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(10);

/// How long tokens that come in turn are waited for.
const LONGEST_WARM_UP: Duration = Duration::from_secs(60);

struct Counters {
    requests: Cell<u64>,
    failures: Cell<u64>,
    first_failure: RefCell<Option<String>>,
    latencies: RefCell<Vec<u32>>,
    next_token: Cell<usize>,
    stop: Cell<bool>,
}

/// Runs `load` for `warm_up`, then for `window`, and asks `cpu_time` at its two ends.
pub(crate) fn run(
    load: &Load<'_>,
    warm_up: Duration,
    window: Duration,
    cpu_time: &dyn Fn() -> Result<CpuTime, String>,
) -> Result<Window, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the load generator's runtime did not start: {error}"))?;
    let counters = Rc::new(Counters {
        requests: Cell::new(0),
        failures: Cell::new(0),
        first_failure: RefCell::new(None),
        latencies: RefCell::new(vec![0; BUCKETS]),
        next_token: Cell::new(0),
        stop: Cell::new(false),
    });
    let requests = Rc::new(Requests::new(load));
    let target = Rc::new(Target {
        address: load.address,
        tls: load.tls.clone(),
        pace: load.pace,
        begun: now(),
    });
    LocalSet::new().block_on(&runtime, async {
        let connections: Vec<_> = (0..load.connections)
            .map(|_| {
                tokio::task::spawn_local(connection(
                    Rc::clone(&target),
                    Rc::clone(&requests),
                    Rc::clone(&counters),
                ))
            })
            .collect();
        let warm_since = now();
        tokio::time::sleep(warm_up).await;
        // Tokens that come in turn have all been seen before the window, or the first of them would
        // still be new to a cache in it.
        while !warm_up.is_zero()
            && !requests.all_seen(counters.next_token.get())
            && now().saturating_duration_since(warm_since) < LONGEST_WARM_UP
        {
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
        counters.reset();
        let (started, cpu_before) = (now(), cpu_time()?);
        let mut left = window;
        while !left.is_zero() && !counters.stop.get() {
            let nap = left.min(Duration::from_millis(20));
            tokio::time::sleep(nap).await;
            left = window.saturating_sub(now().saturating_duration_since(started));
        }
        // Both at once: what was served, and what it cost.
        let (requests, cpu_after) = (counters.requests.get(), cpu_time()?);
        let seconds = now().saturating_duration_since(started).as_secs_f64();
        counters.stop.set(true);
        for connection in connections {
            connection.abort();
        }
        let latencies = counters.latencies.borrow();
        Ok(Window {
            requests,
            failures: counters.failures.get(),
            first_failure: counters.first_failure.borrow().clone(),
            seconds,
            p50_us: quantile(&latencies, 0.50),
            p99_us: quantile(&latencies, 0.99),
            cpu: cpu_after.since(cpu_before),
        })
    })
}

/// One request over a new connection: whether the address answers 200, and what else if not.
pub(crate) fn probe(load: &Load<'_>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let requests = Requests::new(load);
    runtime.block_on(async {
        let exchange = async {
            let mut stream = connect(load.address, load.tls.as_ref())
                .await
                .map_err(|error| error.to_string())?;
            let mut request = Vec::new();
            requests.write(0, &mut request);
            let mut buffer = vec![0; HEAD_BYTES + BODY_BYTES];
            exchange(&mut *stream, &request, &mut buffer).await
        };
        tokio::time::timeout(Duration::from_secs(2), exchange)
            .await
            .unwrap_or_else(|_| Err("no answer within 2 s".to_owned()))
    })
}

impl Counters {
    fn reset(&self) {
        self.requests.set(0);
        self.failures.set(0);
        *self.first_failure.borrow_mut() = None;
        self.latencies.borrow_mut().fill(0);
    }

    fn record(&self, result: Result<(), String>, took: Duration) {
        match result {
            Ok(()) => {
                self.requests.set(self.requests.get() + 1);
                let bucket = usize::try_from(took.as_micros())
                    .unwrap_or(BUCKETS)
                    .min(BUCKETS - 1);
                if let Some(count) = self.latencies.borrow_mut().get_mut(bucket) {
                    *count += 1;
                }
            }
            Err(why) => {
                self.failures.set(self.failures.get() + 1);
                self.first_failure.borrow_mut().get_or_insert(why);
            }
        }
    }
}

/// The bytes of a request before and behind its token.
struct Requests {
    before: Vec<u8>,
    after: Vec<u8>,
    tokens: Vec<Box<[u8]>>,
    once: bool,
}

impl Requests {
    fn new(load: &Load<'_>) -> Self {
        let (tokens, once) = match load.tokens {
            Tokens::None => (&[] as &[String], false),
            Tokens::InTurn(tokens) => (tokens, false),
            Tokens::Once(tokens) => (tokens, true),
        };
        let line = if tokens.is_empty() {
            ""
        } else {
            "authorization: Bearer "
        };
        Self {
            before: format!(
                "GET {} HTTP/1.1\r\nhost: {}\r\nuser-agent: keyward-bench\r\naccept: */*\r\n{}{line}",
                load.path, load.address, load.headers
            )
            .into_bytes(),
            after: if tokens.is_empty() {
                b"\r\n".to_vec()
            } else {
                b"\r\n\r\n".to_vec()
            },
            tokens: tokens.iter().map(|token| token.as_bytes().into()).collect(),
            once,
        }
    }

    /// Whether each token that comes in turn was sent once, when this many requests were.
    fn all_seen(&self, number: usize) -> bool {
        self.once || number >= self.tokens.len()
    }

    /// Writes the request of this number; false when its tokens are used up.
    fn write(&self, number: usize, request: &mut Vec<u8>) -> bool {
        if self.once && number >= self.tokens.len() {
            return false;
        }
        request.clear();
        request.extend_from_slice(&self.before);
        if let Some(index) = number.checked_rem(self.tokens.len())
            && let Some(token) = self.tokens.get(index)
        {
            request.extend_from_slice(token);
        }
        request.extend_from_slice(&self.after);
        true
    }
}

/// Where requests go, and when.
struct Target {
    address: SocketAddr,
    tls: Option<TlsConnector>,
    pace: Option<f64>,
    begun: Instant,
}

impl Target {
    /// Waits until the request of this number is due, and tells since when its latency counts: since it was due, where
    /// no connection was free by then. (Timers have a millisecond's grain: requests come in small bursts.)
    async fn due(&self, number: usize) -> Instant {
        let Some(pace) = self.pace else {
            return now();
        };
        let due = self.begun + Duration::from_secs_f64(number as f64 / pace);
        if due <= now() {
            return due;
        }
        tokio::time::sleep_until(due.into()).await;
        now()
    }
}

async fn connection(target: Rc<Target>, requests: Rc<Requests>, counters: Rc<Counters>) {
    let mut request = Vec::with_capacity(2048);
    let mut buffer = vec![0; HEAD_BYTES + BODY_BYTES];
    'connect: while !counters.stop.get() {
        let mut stream = match connect(target.address, target.tls.as_ref()).await {
            Ok(stream) => stream,
            Err(error) => {
                counters.record(Err(format!("connect: {error}")), Duration::ZERO);
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                continue;
            }
        };
        while !counters.stop.get() {
            let number = counters.next_token.get();
            counters.next_token.set(number + 1);
            if !requests.write(number, &mut request) {
                counters.stop.set(true);
                return;
            }
            let started = target.due(number).await;
            let result = exchange(&mut *stream, &request, &mut buffer).await;
            let broken = result.is_err();
            counters.record(result, now().saturating_duration_since(started));
            if broken {
                continue 'connect;
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the load generator is a client, not the gateway"
)]
async fn connect(
    address: SocketAddr,
    tls: Option<&TlsConnector>,
) -> std::io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    let name = ServerName::IpAddress(address.ip().into());
    Ok(Box::new(tls.connect(name, stream).await?))
}

/// Sends one request and reads its answer to the end: 200 with the whole body, or why not.
async fn exchange(
    stream: &mut (impl Stream + ?Sized),
    request: &[u8],
    buffer: &mut [u8],
) -> Result<(), String> {
    stream
        .write_all(request)
        .await
        .map_err(|error| format!("send: {error}"))?;
    stream
        .flush()
        .await
        .map_err(|error| format!("send: {error}"))?;
    let mut filled = 0;
    let mut whole = None;
    loop {
        let free = buffer.get_mut(filled..).unwrap_or_default();
        let read = stream
            .read(free)
            .await
            .map_err(|error| format!("receive: {error}"))?;
        if read == 0 {
            return Err("the connection ended within an answer".to_owned());
        }
        filled += read;
        let so_far = buffer.get(..filled).unwrap_or_default();
        if whole.is_none() {
            whole = whole_length(so_far)?;
        }
        match whole {
            Some(length) if filled == length => return Ok(()),
            Some(length) if filled > length => {
                return Err("more bytes than the answer has".to_owned());
            }
            Some(_) | None => {}
        }
    }
}

/// Once the head is there: the length of head and body.
fn whole_length(so_far: &[u8]) -> Result<Option<usize>, String> {
    let Some(head_end) = so_far.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = so_far.get(..head_end).unwrap_or_default();
    if !head.starts_with(b"HTTP/1.1 200") {
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        return Err(format!("answered `{}`", String::from_utf8_lossy(line)));
    }
    let length = head
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let (name, value) = line.split_at_checked(15)?;
            name.eq_ignore_ascii_case(b"content-length:")
                .then_some(value)
        })
        .find_map(|value| {
            std::str::from_utf8(value)
                .ok()?
                .trim()
                .parse::<usize>()
                .ok()
        });
    match length {
        Some(length) if length == BODY_BYTES => Ok(Some(head_end + 4 + length)),
        Some(length) => Err(format!(
            "a body of {length} bytes where {BODY_BYTES} were expected"
        )),
        None => Err("an answer without content-length".to_owned()),
    }
}

/// The latency in microseconds below which this share of the requests lies.
pub(crate) fn quantile(latencies: &[u32], share: f64) -> u64 {
    let total: u64 = latencies.iter().map(|count| u64::from(*count)).sum();
    let mut left = (total as f64 * share) as u64;
    for (bucket, count) in latencies.iter().enumerate() {
        let count = u64::from(*count);
        if count > left {
            return bucket as u64;
        }
        left -= count;
    }
    latencies.len() as u64
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures with the machine's clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
