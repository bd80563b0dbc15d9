//! The access log: one line for each call that is chosen, written by a thread of its own from what the
//! workers hand over in batches.

mod line;
mod mask;

use crate::configuration::access_log::{AccessLog, LogDestination, LogFormat, Sample};
use keyward_gateway::UsageReceiver;
use keyward_model::UsageRecord;
use line::{JsonLines, human};
use mask::Mask;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// The log that is being written.
#[derive(Debug)]
pub(super) struct RunningLog {
    next: Arc<Mutex<Option<Writer>>>,
    thread: JoinHandle<()>,
}

/// A log that is open and not written yet.
#[derive(Debug)]
pub(super) struct OpenLog(Writer);

impl RunningLog {
    /// Starts the thread. It ends when the gateway has drained and everything is written.
    pub(super) fn start(
        log: &AccessLog,
        data_dir: &Path,
        records: UsageReceiver,
    ) -> io::Result<Self> {
        let mut writer = Writer::open(log, data_dir)?;
        let next: Arc<Mutex<Option<Writer>>> = Arc::default();
        let replaced_by = Arc::clone(&next);
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                for batch in records {
                    let replacement = replaced_by
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .take();
                    if let Some(replacement) = replacement {
                        writer = replacement;
                    }
                    writer.write(&batch);
                }
            })?;
        Ok(Self { next, thread })
    }

    /// Lines go to `log` from the next batch on. The same file, opened anew, is another one when the old
    /// was moved away (rotated) meanwhile.
    pub(super) fn replace(&self, log: OpenLog) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(log.0);
    }

    /// Waits until everything is written. Blocks until the gateway has drained.
    pub(super) fn finish(self) -> io::Result<()> {
        self.thread
            .join()
            .map_err(|_| io::Error::other("the access log's thread panicked"))
    }
}

impl OpenLog {
    /// Opens what is configured.
    pub(super) fn open(log: &AccessLog, data_dir: &Path) -> io::Result<Self> {
        Writer::open(log, data_dir).map(Self)
    }
}

fn open(destination: &LogDestination) -> io::Result<Option<Box<dyn Write + Send>>> {
    Ok(match destination {
        LogDestination::Off => None,
        LogDestination::StandardOutput => Some(Box::new(io::stdout())),
        LogDestination::StandardError => Some(Box::new(io::stderr())),
        LogDestination::File(path) => {
            // Who called what is for nobody else's eyes.
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)
                .map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?;
            Some(Box::new(file))
        }
    })
}

struct Writer {
    form: Form,
    sample: Sample,
    mask: Mask,
    out: Option<Box<dyn Write + Send>>,
    failing: bool,
    lines: Vec<u8>,
}

#[derive(Debug)]
enum Form {
    Json(JsonLines),
    Human,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}

impl Writer {
    fn open(log: &AccessLog, data_dir: &Path) -> io::Result<Self> {
        Ok(Self {
            form: match log.format {
                LogFormat::Json => Form::Json(JsonLines::new(log.fields)),
                LogFormat::Human => Form::Human,
            },
            sample: log.sample,
            mask: Mask::new(log.mask, data_dir)?,
            out: open(&log.destination)?,
            failing: false,
            lines: Vec::new(),
        })
    }

    fn write(&mut self, batch: &[UsageRecord]) {
        let Some(out) = &mut self.out else { return };
        // Lines are made in memory: pieces of a few bytes each would go through the writer one by one.
        self.lines.clear();
        let mut chosen = batch
            .iter()
            .filter(|record| has_failed(record) || self.sample.takes(spread(record)));
        let written = chosen
            .try_for_each(|record| match &mut self.form {
                Form::Json(form) => {
                    form.write(&mut self.lines, record, &self.mask);
                    Ok(())
                }
                Form::Human => human(&mut self.lines, record, &self.mask),
            })
            .and_then(|()| out.write_all(&self.lines))
            .and_then(|()| out.flush());
        // A full disk must not stop calls, nor fill the other log with one complaint a batch.
        match written {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(%error, "the access log can't be written; calls go on without it");
            }
            Err(_) => {}
        }
    }
}

/// Whether a call was refused, failed, or was left by its client: such calls are logged whatever the
/// sample is.
fn has_failed(record: &UsageRecord) -> bool {
    record.code.is_some() || record.status == 0 || record.status >= 500
}

/// The request id, whose values follow on each other, as a number that is evenly spread: so the same
/// calls are chosen wherever their records are looked at. (The last steps of the hash MurmurHash3.)
fn spread(record: &UsageRecord) -> u64 {
    let id = record.request_id.as_u128();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "both halves go in, one after the other"
    )]
    let mut spread = (id as u64) ^ ((id >> 64) as u64);
    spread = (spread ^ (spread >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    spread = (spread ^ (spread >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    spread ^ (spread >> 33)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use keyward_model::caller::TokenFacts;
    use keyward_model::id::{NodeId, RequestId};
    use keyward_model::usage::{HttpVersion, Times};
    use keyward_model::{Caller, Code, Revision, Timestamp};

    /// A call that was refused.
    pub(crate) fn record(path: &str, subject: &str) -> UsageRecord {
        UsageRecord {
            request_id: RequestId::from_u128(1),
            trace_id: None,
            node: NodeId::from_u128(1),
            revision: Revision(3),
            started: Timestamp::EPOCH,
            route: None,
            address: None,
            application: None,
            credential: None,
            caller: Some(Arc::new(
                Caller::of_token(&TokenFacts {
                    subject: Some(subject),
                    ..TokenFacts::default()
                })
                .unwrap(),
            )),
            protocol: HttpVersion::Http11,
            method: "GET".into(),
            path: path.into(),
            status: 404,
            grpc_status: None,
            code: Some(Code::NotFound),
            blame: Some(Code::NotFound.blame()),
            because: None,
            limit: None,
            policy: None,
            guardrails: None,
            answer_cache: None,
            model: None,
            bytes_in: 0,
            bytes_out: 10,
            times: Times::default(),
        }
    }

    /// A call that passed.
    fn passed(number: u128) -> UsageRecord {
        UsageRecord {
            request_id: RequestId::from_u128(number),
            status: 200,
            code: None,
            blame: None,
            ..record("/passed", "alice")
        }
    }

    fn written(log: &AccessLog, records: &[UsageRecord]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = AccessLog {
            destination: LogDestination::File(path.clone()),
            ..log.clone()
        };
        Writer::open(&log, folder.path()).unwrap().write(records);
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn sampled(share: f64) -> AccessLog {
        AccessLog {
            sample: Sample::of(share).unwrap(),
            ..AccessLog::default()
        }
    }

    #[test]
    fn a_sample_has_its_share_of_calls_that_follow_on_each_other() {
        let start = 0x1234_5678_9abc_def0_0fed_cba9_8765_4321;
        let records: Vec<UsageRecord> = (0..10_000).map(|number| passed(start + number)).collect();
        for (share, least, most) in [(0.0, 0, 0), (0.1, 900, 1100), (1.0, 10_000, 10_000)] {
            let lines = written(&sampled(share), &records).len();
            assert!((least..=most).contains(&lines), "{share}: {lines}");
        }
    }

    #[test]
    fn failures_are_logged_whatever_the_sample_is() {
        let refused = record("/refused", "alice");
        let left = UsageRecord {
            status: 0,
            path: "/left".into(),
            ..passed(1)
        };
        let broken = UsageRecord {
            status: 503,
            path: "/broken".into(),
            ..passed(2)
        };
        let lines = written(&sampled(0.0), &[passed(3), refused, left, broken]);
        assert_eq!(lines.len(), 3, "{lines:?}");
        for (line, path) in lines.iter().zip(["/refused", "/left", "/broken"]) {
            assert!(line.contains(path), "{lines:?}");
        }
    }
}
