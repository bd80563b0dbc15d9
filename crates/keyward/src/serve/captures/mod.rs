//! Captured bodies, masked and written by a thread of their own: an object a line.

mod mask;

use crate::configuration::captures::Captures;
use keyward_gateway::capture::{
    CaptureQueue, CaptureReceiver, CaptureSettings, CapturedBody, CapturedCall, End,
};
use keyward_model::resource::Capture;
use mask::{Unwritten, masked};
use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What became of captured calls.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    not_written: AtomicU64,
}

/// The captures as operators see them.
#[derive(Clone, Debug)]
pub(super) struct CaptureStatus {
    settings: CaptureSettings,
    queue: CaptureQueue,
    counts: Arc<Counts>,
}

impl CaptureStatus {
    /// Calls whose bodies were written.
    pub(super) fn written(&self) -> u64 {
        self.counts.written.load(Ordering::Relaxed)
    }

    /// Calls whose bodies could not be: the file is full or fails, or its writer was too slow.
    pub(super) fn dropped(&self) -> u64 {
        self.queue.dropped() + self.counts.not_written.load(Ordering::Relaxed)
    }

    /// Bytes of memory that are not written yet.
    pub(super) fn memory(&self) -> usize {
        self.settings.memory()
    }
}

/// The writer while it runs.
#[derive(Debug)]
pub(super) struct RunningCaptures {
    status: CaptureStatus,
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
    place: watch::Sender<Captures>,
}

impl RunningCaptures {
    /// Begins to write what is captured.
    pub(super) fn start(captures: &Captures) -> Self {
        let (queue, receiver) = CaptureQueue::new();
        let counts = Arc::<Counts>::default();
        let (place, places) = watch::channel(captures.clone());
        let writer = Writer {
            path: captures.file.clone(),
            max_size: captures.max_size,
            places,
            file: None,
            counts: Arc::clone(&counts),
            failing: false,
        };
        let (stop, stopping) = watch::channel(false);
        Self {
            status: CaptureStatus {
                settings: CaptureSettings::new(captures.memory, queue.clone()),
                queue,
                counts,
            },
            task: tokio::spawn(writer.run(receiver, stopping)),
            stop,
            place,
        }
    }

    /// What is captured goes elsewhere from now on, or may be more.
    pub(super) fn replace(&self, captures: &Captures) {
        self.status.settings.resize(captures.memory);
        self.place.send_if_modified(|place| {
            let differs = place != captures;
            place.clone_from(captures);
            differs
        });
    }

    /// What the gateway captures with.
    pub(super) fn settings(&self) -> CaptureSettings {
        self.status.settings.clone()
    }

    pub(super) fn status(&self) -> CaptureStatus {
        self.status.clone()
    }

    /// Waits until everything is written, once the workers have ended.
    pub(super) async fn finish(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "captures: what was left is not written");
        }
    }
}

struct Writer {
    path: PathBuf,
    max_size: u64,
    /// Where it is to be written to.
    places: watch::Receiver<Captures>,
    file: Option<File>,
    counts: Arc<Counts>,
    failing: bool,
}

impl Writer {
    async fn run(mut self, mut receiver: CaptureReceiver, mut stopping: watch::Receiver<bool>) {
        let mut ending = false;
        loop {
            let batch = if ending {
                receiver.try_recv().ok()
            } else {
                tokio::select! {
                    batch = receiver.recv() => batch,
                    // Whoever drops the other end wants no more of it either.
                    _ = stopping.wait_for(|stop| *stop) => {
                        ending = true;
                        continue;
                    }
                }
            };
            let Some(batch) = batch else { return };
            // Masking takes time, and so does a disk.
            tokio::task::block_in_place(|| self.write(batch));
        }
    }

    fn write(&mut self, batch: Vec<CapturedCall>) {
        let count = batch.len() as u64;
        let mut lines = Vec::new();
        for call in batch {
            // Writing to memory does not fail.
            let _infallible = serde_json::to_writer(&mut lines, &line(&call));
            lines.push(b'\n');
        }
        self.follow();
        match self.append(&lines) {
            Ok(()) => {
                self.failing = false;
                self.counts.written.fetch_add(count, Ordering::Relaxed);
            }
            Err(error) => {
                self.counts.not_written.fetch_add(count, Ordering::Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(file = %self.path.display(), "captures: {error}; calls go on without being captured");
                }
            }
        }
    }

    /// Writes to another file, if that was said.
    fn follow(&mut self) {
        // Whoever drops the other end says nothing any more.
        if self.places.has_changed().unwrap_or_default() {
            let place = self.places.borrow_and_update().clone();
            if place.file != self.path {
                self.file = None;
            }
            (self.path, self.max_size) = (place.file, place.max_size);
            self.failing = false;
        }
    }

    /// Adds lines to the file of this name: a new one where the old was moved away.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let moved = match (&self.file, std::fs::metadata(&self.path)) {
            (Some(file), Ok(at_path)) => {
                let own = file.metadata()?;
                (own.dev(), own.ino()) != (at_path.dev(), at_path.ino())
            }
            (None, _) | (_, Err(_)) => true,
        };
        if moved {
            // What callers send is for nobody else's eyes.
            self.file = Some(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .mode(0o600)
                    .open(&self.path)?,
            );
        }
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let size = file.metadata()?.len().saturating_add(lines.len() as u64);
        if size > self.max_size {
            return Err(io::Error::other(format!(
                "the file would have more than {} bytes: move it away, or raise `captures: {{ max_size }}`",
                self.max_size
            )));
        }
        file.write_all(lines)
    }
}

/// A call as it is written.
fn line(call: &CapturedCall) -> Value {
    let usage = &call.usage;
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
    put("time", json!(usage.started.to_string()));
    put("request_id", json!(usage.request_id.to_string()));
    if let Some(trace_id) = usage.trace_id {
        put("trace_id", json!(format!("{trace_id:032x}")));
    }
    put("method", json!(usage.method));
    put("path", json!(usage.path));
    put("status", json!(usage.status));
    if let Some(code) = usage.code {
        put("code", json!(code.as_str()));
    }
    if let Some(labels) = &usage.route {
        put("team", json!(labels.team_name));
        put("api", json!(labels.api));
        put("version", json!(labels.version));
        put("route", json!(labels.route));
    }
    for (name, side) in [("request", &call.request), ("response", &call.response)] {
        if let Some(side) = side {
            put(name, body(&call.declared, side));
        }
    }
    Value::Object(line)
}

/// A body as it is written: the text, or why there is none, and where it ends.
fn body(declared: &Capture, body: &CapturedBody) -> Value {
    let mut told = Map::new();
    let mut put = |name: &str, value: Value| told.insert(name.to_owned(), value);
    put("content_type", json!(body.content_type));
    put("bytes", json!(body.length));
    match body.end {
        End::Whole => {}
        End::Bound => {
            put("cut", json!("max_bytes"));
        }
        End::Memory => {
            put("cut", json!("memory"));
        }
        End::Coded => {
            put("omitted", json!("compressed"));
            return Value::Object(told);
        }
    }
    match masked(declared, &body.content_type, &body.bytes) {
        Ok(text) => put("body", json!(text)),
        Err(Unwritten::Malformed) => put("omitted", json!("malformed")),
        Err(Unwritten::Binary) => put("omitted", json!("binary")),
    };
    Value::Object(told)
}
