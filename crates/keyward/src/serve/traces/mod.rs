//! Traces on their way to a collector: OTLP over HTTP, in batches, through the egress.
//!
//! Nothing here holds a call up. While the collector is away, batches wait, then are given up, and what there
//! is no room for meanwhile is dropped; each is counted.

mod protobuf;
mod spans;

use crate::configuration::traces::Tracing;
use bytes::Bytes;
use keyward_egress::{Egress, Limits, Request, Response, Url};
use keyward_gateway::trace::{SpanQueue, SpanReceiver, TracedCall};
use keyward_model::Clock;
use keyward_model::id::NodeId;
use protobuf::{Value, fields};
use spans::Service;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long the first call of a batch waits for others: traces are looked at by people.
const GATHER: Duration = Duration::from_secs(1);
/// Calls of a batch, beyond which it is sent at once: some half a megabyte, a fraction of what collectors take.
const CALLS_MAX: usize = 512;
/// The first pause after a failure, and the longest; each is twice the one before.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a batch is tried: a collector's restart is outlived; after that, newer traces are worth more.
const TRIED_FOR: Duration = Duration::from_secs(60);
/// How long what waits may take when the node goes down.
const FINISH: Duration = Duration::from_secs(5);

/// What one export may cost. The answer is empty as a rule.
const LIMITS: Limits = Limits {
    max_bytes: 64 * 1024,
    total: Duration::from_secs(10),
    connect: Duration::from_secs(3),
    max_redirects: 0,
};

/// What became of calls that were to be recorded.
#[derive(Debug, Default)]
pub(super) struct ExportCounts {
    exported: AtomicU64,
    given_up: AtomicU64,
    rejected_spans: AtomicU64,
    failures: AtomicU64,
}

/// The export as operators see it.
#[derive(Clone, Debug)]
pub(super) struct ExportStatus {
    queue: SpanQueue,
    counts: Arc<ExportCounts>,
}

impl ExportStatus {
    /// Calls that the collector has taken.
    pub(super) fn exported(&self) -> u64 {
        self.counts.exported.load(Ordering::Relaxed)
    }

    /// Calls that were given up, because the collector did not take them in time or at all.
    pub(super) fn given_up(&self) -> u64 {
        self.counts.given_up.load(Ordering::Relaxed)
    }

    /// Calls that there was no room for while others waited.
    pub(super) fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Spans that the collector says it does not take, of calls that it took.
    pub(super) fn rejected_spans(&self) -> u64 {
        self.counts.rejected_spans.load(Ordering::Relaxed)
    }

    /// Exports that failed, repeated ones included.
    pub(super) fn failures(&self) -> u64 {
        self.counts.failures.load(Ordering::Relaxed)
    }
}

/// The export while it runs.
#[derive(Debug)]
pub(super) struct RunningExport {
    stop: watch::Sender<bool>,
    node: NodeId,
    collector: watch::Sender<Collector>,
    task: JoinHandle<()>,
    status: ExportStatus,
}

impl RunningExport {
    /// Begins to export what comes out of the queue.
    ///
    /// # Errors
    /// When the address or a header can't be used, as a text.
    pub(super) fn start(
        tracing: &Tracing,
        node: NodeId,
        egress: Egress,
        clock: Arc<dyn Clock>,
        (queue, receiver): (SpanQueue, SpanReceiver),
    ) -> Result<Self, keyward_egress::Error> {
        let (collector, collectors) = watch::channel(Collector::of(tracing, node)?);
        let counts = Arc::<ExportCounts>::default();
        let (stop, stopping) = watch::channel(false);
        let exporter = Exporter {
            clock,
            egress,
            collectors,
            counts: Arc::clone(&counts),
            stopping,
            ending: false,
            failing: false,
        };
        Ok(Self {
            stop,
            node,
            collector,
            task: tokio::spawn(exporter.run(receiver)),
            status: ExportStatus { queue, counts },
        })
    }

    pub(super) fn status(&self) -> ExportStatus {
        self.status.clone()
    }

    /// Who gets the next batch, and those that wait.
    ///
    /// # Errors
    /// When the address or a header can't be used, as a text; the one before stays.
    pub(super) fn replace(&self, tracing: &Tracing) -> Result<(), keyward_egress::Error> {
        self.collector
            .send_replace(Collector::of(tracing, self.node)?);
        Ok(())
    }

    /// Exports what waits, once the workers have ended, if that is quickly done.
    pub(super) async fn finish(self) {
        self.stop.send_replace(true);
        let abort = self.task.abort_handle();
        if timeout(FINISH, self.task).await.is_err() {
            abort.abort();
            tracing::warn!("traces: the collector did not take what was left in time");
        }
    }
}

/// Who is exported to, and as whom.
#[derive(Debug)]
struct Collector {
    request: Request,
    service: Service,
}

impl Collector {
    fn of(tracing: &Tracing, node: NodeId) -> Result<Self, keyward_egress::Error> {
        let mut request = Request::at(Url::parse(&tracing.url)?);
        for (name, value) in &tracing.headers {
            request = request.header(name.clone(), value.clone())?;
        }
        Ok(Self {
            request,
            service: Service {
                name: tracing.service_name.clone(),
                node,
            },
        })
    }
}

struct Exporter {
    clock: Arc<dyn Clock>,
    egress: Egress,
    collectors: watch::Receiver<Collector>,
    counts: Arc<ExportCounts>,
    stopping: watch::Receiver<bool>,
    /// Whether the node goes down: what waits is sent, and nothing is waited for.
    ending: bool,
    failing: bool,
}

/// Why an export has failed.
enum Failure {
    /// It may be otherwise later; perhaps not before some time.
    Passing(String, Option<Duration>),
    /// The collector does not want this.
    Lasting(String),
}

impl Exporter {
    async fn run(mut self, mut receiver: SpanReceiver) {
        loop {
            let batch = self.gather(&mut receiver).await;
            if !batch.is_empty() {
                Box::pin(self.export(&batch)).await;
            } else if self.ending {
                return;
            }
        }
    }

    /// The calls of the next batch; none when there is nothing more to wait for.
    async fn gather(&mut self, receiver: &mut SpanReceiver) -> Vec<TracedCall> {
        let mut batch = Vec::new();
        let mut gathered = None;
        while batch.len() < CALLS_MAX {
            if self.ending {
                match receiver.try_recv() {
                    Ok(calls) => batch.extend(calls),
                    Err(_) => break,
                }
                continue;
            }
            let waited_enough = async {
                match &mut gathered {
                    Some(gathered) => Pin::as_mut(gathered).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                calls = receiver.recv() => match calls {
                    Some(calls) => {
                        gathered.get_or_insert_with(|| Box::pin(sleep(GATHER)));
                        batch.extend(calls);
                    }
                    None => {
                        self.ending = true;
                        break;
                    }
                },
                () = waited_enough => break,
                // Whoever drops the other end wants no more of it either.
                _ = self.stopping.wait_for(|stop| *stop) => self.ending = true,
            }
        }
        batch
    }

    /// Sends a batch, again and again for a while if need be.
    async fn export(&mut self, batch: &[TracedCall]) {
        let body = spans::request(&self.collectors.borrow().service, batch);
        let body = Bytes::from(body);
        let begun = self.clock.moment();
        let mut pause = PAUSE;
        loop {
            let (why, wait) = match self.send(body.clone()).await {
                Ok(rejected) => {
                    self.succeeded(batch, rejected);
                    return;
                }
                Err(Failure::Passing(why, wait)) => (why, wait.unwrap_or(pause).min(PAUSE_MAX)),
                Err(Failure::Lasting(why)) => {
                    self.failed(&why);
                    break;
                }
            };
            self.failed(&why);
            if self.ending || self.clock.moment().since(begun) + wait > TRIED_FOR {
                break;
            }
            tokio::select! {
                () = sleep(wait) => {}
                // It is tried once more.
                _ = self.stopping.wait_for(|stop| *stop) => self.ending = true,
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        let count = batch.len() as u64;
        self.counts.given_up.fetch_add(count, Ordering::Relaxed);
    }

    async fn send(&self, body: Bytes) -> Result<u64, Failure> {
        let request = self.collectors.borrow().request.clone();
        let request = request.post("application/x-protobuf", body);
        let answer = self
            .egress
            .fetch(request, LIMITS)
            .await
            .map_err(|error| Failure::Passing(error.to_string(), None))?;
        let told = || format!("the collector answered {}", answer.status);
        match answer.status {
            200..=299 => Ok(rejected(&answer.body)),
            // The statuses that OTLP calls retryable.
            429 | 502 | 503 | 504 => Err(Failure::Passing(told(), retry_after(&answer))),
            _ => Err(Failure::Lasting(told())),
        }
    }

    fn succeeded(&mut self, batch: &[TracedCall], rejected: u64) {
        if std::mem::take(&mut self.failing) {
            tracing::info!("traces: the collector takes them again");
        }
        if rejected > 0 {
            let sent: u64 = batch.iter().map(spans::count).sum();
            tracing::warn!(
                rejected,
                sent,
                "traces: the collector does not take all spans"
            );
            let counter = &self.counts.rejected_spans;
            counter.fetch_add(rejected, Ordering::Relaxed);
        }
        let count = batch.len() as u64;
        self.counts.exported.fetch_add(count, Ordering::Relaxed);
    }

    /// Told once, until it works again: else a collector that is away fills the log.
    fn failed(&mut self, why: &str) {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!("traces: the collector does not take them, calls go on: {why}");
        }
    }
}

/// How many spans an `ExportTraceServiceResponse` says were not taken.
fn rejected(response: &[u8]) -> u64 {
    let partial = fields(response).find_map(|(field, value)| match value {
        Value::Bytes(partial) if field == 1 => Some(partial),
        Value::Bytes(_) | Value::Number(_) => None,
    });
    let rejected = partial.and_then(|partial| {
        fields(partial).find_map(|(field, value)| match value {
            Value::Number(count) if field == 1 => Some(count),
            Value::Number(_) | Value::Bytes(_) => None,
        })
    });
    rejected.unwrap_or_default()
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let value = answer.headers.get(http::header::RETRY_AFTER)?;
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_collector_rejects_is_read() {
        let mut response = protobuf::Message::default();
        response.message(1, |partial| {
            partial.number(1, 7);
            partial.bytes(2, b"too old");
        });
        assert_eq!(rejected(&response.into_bytes()), 7);
        for nothing in [&b""[..], b"\x0a\x00", b"garbage", b"\xff\xff"] {
            assert_eq!(rejected(nothing), 0, "{nothing:?}");
        }
    }
}
