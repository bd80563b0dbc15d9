//! The access log: one line for each call, written by a thread of its own from what the workers hand
//! over in batches.

use crate::configuration::access_log::{AccessLog, LogDestination, LogFormat};
use keyward_gateway::UsageReceiver;
use keyward_model::UsageRecord;
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::thread::JoinHandle;
use std::time::Duration;

/// Starts the thread. It ends when the gateway has drained and everything is written.
pub(super) fn start(log: &AccessLog, records: UsageReceiver) -> io::Result<JoinHandle<()>> {
    let mut writer = Writer {
        format: log.format,
        out: open(&log.destination)?,
        failing: false,
        lines: Vec::new(),
    };
    std::thread::Builder::new()
        .name("access-log".to_owned())
        .spawn(move || {
            for batch in records {
                writer.write(&batch);
            }
        })
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
    format: LogFormat,
    out: Option<Box<dyn Write + Send>>,
    failing: bool,
    lines: Vec<u8>,
}

impl Writer {
    fn write(&mut self, batch: &[UsageRecord]) {
        let Some(out) = &mut self.out else { return };
        // Lines are made in memory: pieces of a few bytes each would go through the writer one by one.
        self.lines.clear();
        let written = batch
            .iter()
            .try_for_each(|record| match self.format {
                LogFormat::Json => json(&mut self.lines, record),
                LogFormat::Human => human(&mut self.lines, record),
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

/// A line as programs read it. Durations are in microseconds.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: String,
    method: &'a str,
    path: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blame: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<std::net::IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    revision: u64,
    bytes_in: u64,
    bytes_out: u64,
    total_us: u64,
    upstream_us: u64,
    first_byte_us: u64,
}

fn json(out: &mut Vec<u8>, record: &UsageRecord) -> io::Result<()> {
    let route = record.route.as_deref();
    let caller = record.caller.as_deref();
    let line = Line {
        time: record.started.to_string(),
        request_id: record.request_id.to_string(),
        method: &record.method,
        path: &record.path,
        status: record.status,
        code: record.code.map(keyward_model::Code::as_str),
        blame: record.blame.map(keyward_model::Blame::as_str),
        because: record.because.as_deref(),
        limit: record.limit.as_deref(),
        address: record.address,
        team: route.map(|route| route.team_name.as_str()),
        api: route.map(|route| route.api.as_str()),
        version: route.map(|route| route.version.as_str()),
        route: route.map(|route| &*route.route),
        authentication: caller.map(|caller| caller.method.as_str()),
        issuer: caller.and_then(|caller| caller.issuer.as_deref()),
        subject: caller.and_then(|caller| caller.subject()),
        client: caller.and_then(|caller| caller.client()),
        revision: record.revision.0,
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        total_us: micros(record.times.total),
        upstream_us: micros(record.times.upstream),
        first_byte_us: micros(record.times.first_byte),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// A line as people read it. What came from outside is escaped, so that it can neither forge a line nor
/// steer a terminal.
fn human(out: &mut Vec<u8>, record: &UsageRecord) -> io::Result<()> {
    let caller = record.caller.as_deref();
    let subject = caller.and_then(|caller| caller.subject()).unwrap_or("-");
    write!(
        out,
        "{} {} {} {} {:.1}ms {}",
        record.started,
        record.status,
        record.method.escape_default(),
        record.path.escape_default(),
        record.times.total.as_secs_f64() * 1e3,
        subject.escape_default(),
    )?;
    if let Some(address) = record.address {
        write!(out, " from {address}")?;
    }
    if let Some(code) = record.code {
        write!(out, " [{code}]")?;
    }
    if let Some(because) = &record.because {
        write!(out, " ({})", because.escape_default())?;
    }
    writeln!(out, " {}", record.request_id)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::id::{NodeId, RequestId};
    use keyward_model::usage::Times;
    use keyward_model::{Caller, Code, Revision, Timestamp, caller::TokenFacts};
    use std::sync::Arc;

    fn record(path: &str, subject: &str) -> UsageRecord {
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
            method: "GET".into(),
            path: path.into(),
            status: 404,
            code: Some(Code::NotFound),
            blame: Some(Code::NotFound.blame()),
            because: None,
            limit: None,
            model: None,
            bytes_in: 0,
            bytes_out: 10,
            times: Times::default(),
        }
    }

    fn line(
        write: fn(&mut Vec<u8>, &UsageRecord) -> io::Result<()>,
        record: &UsageRecord,
    ) -> String {
        let mut out = Vec::new();
        write(&mut out, record).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_json_line_is_one_object() {
        let line = line(json, &record("/a", "al\nice"));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["code"], "not_found");
        assert_eq!(value["subject"], "al\nice");
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn nobody_forges_a_line_or_steers_a_terminal() {
        let line = line(human, &record("/a", "x\n1970 200 GET /admin \u{1b}[2J"));
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains('\u{1b}'));
    }
}
