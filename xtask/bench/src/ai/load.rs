//! The load generator for AI calls: requests with a body, answers whole or streamed, each checked for its last word.

use super::mock::{FIRST_WORD, LAST_WORD, find};
use crate::load::{Window, now, quantile};
use crate::process::CpuTime;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// Up to when a call's time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Whole,
    FirstToken,
}

/// One scenario's traffic.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    /// Head and body.
    pub(crate) request: Rc<[u8]>,
    pub(crate) connections: usize,
    pub(crate) until: Until,
    /// Whether the answer is one of the provider's, with words, and no plain one.
    pub(crate) speaks: bool,
}

/// Latencies up to this many microseconds have a bucket each; the rest share the last: the slowest of peers take a second.
const BUCKETS: usize = 2_000_000;
/// No answer of the provider's is longer, in any dialect.
const ANSWER_MAX: usize = 256 * 1024;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(10);
/// How long a probe waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

struct Counters {
    requests: Cell<u64>,
    failures: Cell<u64>,
    first_failure: RefCell<Option<String>>,
    latencies: RefCell<Vec<u32>>,
    stop: Cell<bool>,
}

impl Counters {
    fn reset(&self) {
        self.requests.set(0);
        self.failures.set(0);
        *self.first_failure.borrow_mut() = None;
        self.latencies.borrow_mut().fill(0);
    }

    fn record(&self, result: Result<Duration, String>) {
        match result {
            Ok(took) => {
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

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the load generator's runtime did not start: {error}"))
}

/// Runs `load` for `warm_up`, then for `window`, and asks `cpu_time` at its two ends.
pub(crate) fn run(
    load: &Load,
    warm_up: Duration,
    window: Duration,
    cpu_time: &dyn Fn() -> Result<CpuTime, String>,
) -> Result<Window, String> {
    let counters = Rc::new(Counters {
        requests: Cell::new(0),
        failures: Cell::new(0),
        first_failure: RefCell::new(None),
        latencies: RefCell::new(vec![0; BUCKETS]),
        stop: Cell::new(false),
    });
    LocalSet::new().block_on(&runtime()?, async {
        let connections: Vec<_> = (0..load.connections)
            .map(|_| tokio::task::spawn_local(connection(load.clone(), Rc::clone(&counters))))
            .collect();
        tokio::time::sleep(warm_up).await;
        counters.reset();
        let (started, cpu_before) = (now(), cpu_time()?);
        tokio::time::sleep(window).await;
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

/// One request over a new connection: whether the answer is whole, and what else if not.
pub(crate) fn probe(load: &Load) -> Result<(), String> {
    runtime()?.block_on(async {
        let exchange = async {
            let mut stream = connected(load.address).await?;
            exchange(&mut stream, load, &mut Vec::new()).await
        };
        let answered = tokio::time::timeout(PATIENCE, exchange).await;
        answered
            .unwrap_or_else(|_| Err("no answer in time".to_owned()))
            .map(|_| ())
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the load generator is a client, not the gateway"
)]
pub(super) async fn connected(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("connect: {error}"))?;
    stream
        .set_nodelay(true)
        .map_err(|error| format!("connect: {error}"))?;
    Ok(stream)
}

async fn connection(load: Load, counters: Rc<Counters>) {
    let mut buffer = Vec::with_capacity(ANSWER_MAX);
    'connect: while !counters.stop.get() {
        let mut stream = match connected(load.address).await {
            Ok(stream) => stream,
            Err(why) => {
                counters.record(Err(why));
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                continue;
            }
        };
        while !counters.stop.get() {
            let result = exchange(&mut stream, &load, &mut buffer).await;
            let broken = result.is_err();
            counters.record(result);
            if broken {
                continue 'connect;
            }
        }
    }
}

/// Sends one request and reads its answer to the end; how long it took to what counts.
async fn exchange(
    stream: &mut TcpStream,
    load: &Load,
    buffer: &mut Vec<u8>,
) -> Result<Duration, String> {
    let begun = now();
    stream
        .write_all(&load.request)
        .await
        .map_err(|error| format!("send: {error}"))?;
    buffer.clear();
    let mut end = None;
    let mut first_token = None;
    loop {
        let read = stream
            .read_buf(buffer)
            .await
            .map_err(|error| format!("receive: {error}"))?;
        if read == 0 {
            return Err("the connection ended within an answer".to_owned());
        }
        if end.is_none() {
            end = ending(buffer)?;
        }
        if load.until == Until::FirstToken
            && first_token.is_none()
            && find(buffer, FIRST_WORD).is_some()
        {
            first_token = Some(now().saturating_duration_since(begun));
        }
        let complete = match end {
            None => false,
            Some(End::Length(length)) => buffer.len() >= length,
            Some(End::Chunks) => buffer.ends_with(b"0\r\n\r\n"),
        };
        if complete {
            break;
        }
        if buffer.len() > ANSWER_MAX {
            return Err("an answer without end".to_owned());
        }
    }
    if load.speaks && find(buffer, LAST_WORD).is_none() {
        return Err(format!(
            "an answer without its last word: {}",
            String::from_utf8_lossy(buffer.get(..200).unwrap_or(buffer))
        ));
    }
    match load.until {
        Until::Whole => Ok(now().saturating_duration_since(begun)),
        Until::FirstToken => first_token.ok_or_else(|| "no first token".to_owned()),
    }
}

/// How the end of an answer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Of head and body together.
    Length(usize),
    Chunks,
}

/// Once the head is there.
fn ending(so_far: &[u8]) -> Result<Option<End>, String> {
    let Some(head_end) = find(so_far, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = so_far.get(..head_end).unwrap_or_default();
    if !head.starts_with(b"HTTP/1.1 200") {
        let shown = so_far.get(..so_far.len().min(600)).unwrap_or_default();
        return Err(format!("answered `{}`", String::from_utf8_lossy(shown)));
    }
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let mut lines = text.lines();
    if text.contains("transfer-encoding: chunked") {
        return Ok(Some(End::Chunks));
    }
    let length: Option<usize> =
        lines.find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    match length {
        Some(length) => Ok(Some(End::Length(head_end + 4 + length))),
        None => Err(format!("an answer whose end can't be known: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_answer_is_known_from_its_head() {
        let check = |text: &str, expected: Result<Option<End>, ()>| {
            assert_eq!(ending(text.as_bytes()).map_err(|_| ()), expected, "{text}");
        };
        check("HTTP/1.1 200 OK\r\n", Ok(None));
        let told = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        check(told, Ok(Some(End::Length(told.len() + 3))));
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            Ok(Some(End::Chunks)),
        );
        check("HTTP/1.1 200 OK\r\n\r\n", Err(()));
        check(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
            Err(()),
        );
    }
}
