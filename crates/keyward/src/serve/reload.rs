//! Another configuration while calls go on: read, checked, compiled, and served from then on, or refused
//! with the one before left as it is.

use super::access_log::{OpenLog, RunningLog};
use super::listeners::PreparedListener;
use super::running::Running;
use super::site::{Fitted, Fitting, Held, ServedNode};
use super::watched_files::WatchedFiles;
use crate::configuration::access_log::AccessLog;
use crate::configuration::kept::Kept;
use crate::configuration::reload::needing_restart;
use crate::configuration::{self, NodeConfiguration, Refused, Reread};
use crate::environment;
use keyward_gateway::{Gateway, catalogue, use_catalogue};
use keyward_model::{Clock, Timestamp};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// What operators see of reloads.
#[derive(Debug, Default)]
pub(super) struct ReloadCounts {
    done: AtomicU64,
    failed: AtomicU64,
    refused: AtomicBool,
    /// In microseconds since 1970; 0 for never.
    done_at: AtomicI64,
    /// How long the last one took that was served, in microseconds.
    took: AtomicU64,
    failed_at: AtomicI64,
}

impl ReloadCounts {
    /// Configurations that were read anew and are or were served.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Configurations that were refused.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// When a configuration was last read anew and served.
    pub(super) fn last_done(&self) -> Option<Timestamp> {
        at(&self.done_at)
    }

    /// When a configuration was last read anew and refused.
    pub(super) fn last_failed(&self) -> Option<Timestamp> {
        at(&self.failed_at)
    }

    /// How long the last one took that was served: from when it began to when calls are answered by it.
    pub(super) fn last_took(&self) -> Duration {
        Duration::from_micros(self.took.load(Ordering::Relaxed))
    }

    fn served(&self, now: Timestamp, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.took.store(took, Ordering::Relaxed);
        self.done.fetch_add(1, Ordering::Relaxed);
        self.done_at.store(now.as_micros(), Ordering::Relaxed);
        self.refused.store(false, Ordering::Relaxed);
    }

    fn was_refused(&self, now: Timestamp) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.failed_at.store(now.as_micros(), Ordering::Relaxed);
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Whether the last one was refused, so that what is served is not what stands in the files.
    pub(super) fn refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}

fn at(micros: &AtomicI64) -> Option<Timestamp> {
    let micros = micros.load(Ordering::Relaxed);
    (micros != 0).then(|| Timestamp::from_micros(micros))
}

/// What a reload came to.
struct Served {
    /// How many resources are served.
    resources: usize,
    /// How many of them were read from their text, because it was another.
    read: usize,
}

/// What is served from now on, opened and compiled.
struct Ready {
    listeners: Vec<PreparedListener>,
    opened: OpenLog,
    fitted: Fitted,
}

/// Reads the configuration anew whenever it is asked to.
pub(super) struct Reloader {
    /// Where the configuration stands; `None` when the node runs without.
    pub(super) path: Option<PathBuf>,
    /// What the process was started with, without its resources.
    pub(super) started_with: NodeConfiguration,
    /// What follows beside the gateway.
    pub(super) running: Running,
    /// What is served of files and database.
    pub(super) node: Arc<ServedNode>,
    /// The access log as it is written now.
    pub(super) access_log: AccessLog,
    pub(super) gateway: Arc<Gateway>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) files: WatchedFiles,
    pub(super) counts: Arc<ReloadCounts>,
}

impl Reloader {
    /// Serves what stands in the files now; when it can't be served, says why, and what is served stays.
    /// The access log is opened anew in any case, so that it can be rotated.
    pub(super) async fn reload(&mut self, because: &'static str, log: &RunningLog) {
        let Some(path) = self.path.clone() else {
            self.reopen(log);
            tracing::info!(because, "there is no configuration file to read anew");
            return;
        };
        let begun = self.clock.moment();
        match self.served(path, log).await {
            Ok(Served { resources, read }) => {
                let took = self.clock.moment().since(begun);
                self.counts.served(self.clock.now(), took);
                let revision = self.gateway.revision().0;
                tracing::info!(
                    because,
                    revision,
                    resources,
                    read,
                    ?took,
                    "configuration: reloaded"
                );
            }
            Err(why) => {
                self.reopen(log);
                self.counts.was_refused(self.clock.now());
                let revision = self.gateway.revision().0;
                tracing::error!(
                    because,
                    "configuration: not reloaded, revision {revision} is served as before: {why}"
                );
            }
        }
    }

    async fn served(&mut self, path: PathBuf, log: &RunningLog) -> Result<Served, String> {
        // Nobody changes anything else until this is served, or refused.
        let mut held = self.node.held().await;
        let known = catalogue();
        let served = self.read_and_serve(&mut held, path, log).await;
        if served.is_err() {
            // With a catalogue that came with what is refused, nothing of the database might fit any more.
            use_catalogue(known);
        }
        served
    }

    async fn read_and_serve(
        &mut self,
        held: &mut Held,
        path: PathBuf,
        log: &RunningLog,
    ) -> Result<Served, String> {
        let Reread {
            kept,
            report,
            read,
            before,
        } = self.read(held, path).await?;
        for problem in report.problems() {
            tracing::warn!("{}", report.told(problem));
        }
        let (kept, ready) = self.ready(held, kept).await?;
        let Ready {
            listeners,
            opened,
            fitted,
        } = match ready {
            Ok(ready) => ready,
            Err(why) => {
                // What is served goes on to be what changes of the database are checked with.
                held.kept = before.put_back(kept);
                return Err(why);
            }
        };
        let count = self.node.publish(held, fitted).await;
        let configuration = kept.configuration();
        log.replace(opened);
        self.running.follow(configuration, listeners);
        self.access_log = configuration.access_log.clone();
        let fixed = needing_restart(&self.started_with, configuration);
        if !fixed.is_empty() {
            tracing::warn!(
                "configuration: {} can't change in a running process, and what it was started with holds: restart (or upgrade in place) to apply",
                fixed.join(", ")
            );
        }
        held.kept = Some(kept);
        self.node.files_have_changed();
        Ok(Served {
            resources: count,
            read,
        })
    }

    /// Makes ready to serve what was read, which is given back in any case; on a thread of its own, where it takes long.
    async fn ready(
        &self,
        held: &Held,
        kept: Kept,
    ) -> Result<(Kept, Result<Ready, String>), String> {
        let (listeners, opened) = match self.beside_the_gateway(kept.configuration()) {
            Ok(beside) => beside,
            Err(why) => return Ok((kept, Err(why))),
        };
        let gateway = Arc::clone(&self.gateway);
        let (beside, unfit) = (held.beside.clone(), held.unfit.clone());
        let database = Arc::clone(&held.database);
        let fitting = tokio::task::spawn_blocking(move || {
            let fitting = Fitting {
                gateway: &gateway,
                revision: gateway.revision().next(),
                kept: &kept,
                beside: &beside,
            };
            // Whoever changes the files is told that they don't fit, and can put it right: nothing more of the
            // database is left out for them.
            let fitted = fitting.fit_but(&database, &unfit);
            (kept, fitted)
        });
        let (kept, fitted) = fitting.await.map_err(|error| error.to_string())?;
        let ready = fitted.map(|fitted| Ready {
            listeners,
            opened,
            fitted,
        });
        Ok((kept, ready))
    }

    /// What follows the configuration beside the gateway, opened.
    fn beside_the_gateway(
        &self,
        configuration: &NodeConfiguration,
    ) -> Result<(Vec<PreparedListener>, OpenLog), String> {
        let listeners = self.running.prepare(&self.started_with, configuration)?;
        let opened = OpenLog::open(&configuration.access_log, &self.started_with.data_dir)
            .map_err(|error| format!("access_log: {error} [access_log]"))?;
        Ok((listeners, opened))
    }

    /// What runs beside the gateway, to be ended.
    pub(super) fn into_running(self) -> Running {
        self.running
    }

    async fn read(&self, held: &mut Held, path: PathBuf) -> Result<Reread, String> {
        let before = held.kept.take();
        let reading = tokio::task::spawn_blocking(move || {
            configuration::reread(before, &path, &environment::variable)
        });
        match reading.await.map_err(|error| error.to_string())? {
            Ok(reread) => {
                self.files.were_read(reread.kept.files().to_vec());
                Ok(reread)
            }
            Err(Refused { why, files, before }) => {
                self.files.were_read(files);
                held.kept = before.map(|before| *before);
                Err(why)
            }
        }
    }

    /// The log as it is written now, opened anew.
    fn reopen(&self, log: &RunningLog) {
        match OpenLog::open(&self.access_log, &self.started_with.data_dir) {
            Ok(opened) => log.replace(opened),
            Err(error) => {
                tracing::error!(%error, "the access log can't be opened anew and goes on where it was");
            }
        }
    }
}
