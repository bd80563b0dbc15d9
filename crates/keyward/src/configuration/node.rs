//! What `keyward.yaml` says of this node.

use super::access_log::{self, AccessLog};
use super::captures::{self, Captures};
use super::database::{self, DataPlace};
use super::listener::{Listener, default_listeners, listeners};
use super::network::{allow_rules, networks};
use super::pkcs11::{self, Pkcs11};
use super::shared_state::{self, SharedState};
use super::site;
use super::traces::{self, Tracing};
use keyward_gateway::{Allowance, Http2Limits, Http3Limits};
use keyward_model::Network;
use keyward_model::network::AllowRule;
use keyward_model::resource::raw::{Declared, Field, Fields, Node, Problems};
use keyward_state::limit::CELLS_MAX_DEFAULT;
use keyward_store::PostgresSettings;
use keyward_web::SiteLimits;
use serde_json::json;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The one format there is.
const FORMAT: u64 = 1;

/// More threads than this only stand in each other's way.
const WORKERS_MAX: u64 = 1024;

/// Each is a call with a task of its own: more over one connection are of no use to anyone.
const STREAMS_MAX: u32 = 10_000;

/// A connection begins with 64 KiB, of which nothing can be taken back; above a gigabyte nothing is bounded.
const WINDOWS: RangeInclusive<u64> = 64 << 10..=1 << 30;

const KEYS: &[&str] = &[
    "format",
    "listeners",
    "gateway_url",
    "site_url",
    "data_dir",
    "database",
    "pkcs11",
    "master_key",
    "shared_state",
    "workers",
    "trusted_proxies",
    "failed_attempts",
    "site",
    "limits",
    "access_log",
    "audit",
    "tracing",
    "captures",
    "egress",
    "network",
    "resources",
];

const DEFAULT_GATEWAY_URL: &str = "http://localhost:8080";
const DEFAULT_SITE_URL: &str = "http://localhost:8090";
pub(super) const DEFAULT_DATA_DIR: &str = "keyward-data";

/// How many credentials from one address may not be good unless said otherwise: an office behind one address has
/// some each minute, and a flood is held to a few milliseconds of cryptography in each.
const FAILED_ATTEMPTS: Allowance = Allowance {
    attempts: match NonZeroUsize::new(300) {
        Some(attempts) => attempts,
        None => NonZeroUsize::MIN,
    },
    per: Duration::from_secs(60),
};

/// More holds nobody back.
const FAILED_ATTEMPTS_MAX: u64 = 1_000_000;

const FAILED_ATTEMPTS_PER_MAX: Duration = Duration::from_secs(3_600);

/// What is forgotten sooner was never a log.
const AUDIT_KEPT_MIN: Duration = Duration::from_secs(24 * 3600);

/// Fewer leave a limit no room beside the others, and more are ten gigabytes and above.
const COUNTED_SUBJECTS: RangeInclusive<u64> = 1_024..=100_000_000;

/// How a node runs, and the resources that its own files declare.
#[derive(Clone, Debug)]
pub(crate) struct NodeConfiguration {
    /// Where it listens, and for what.
    pub(crate) listeners: Vec<Listener>,
    /// What published APIs and their metadata are called; without a slash at the end.
    pub(crate) gateway_url: Box<str>,
    /// The issuer `self`; without a slash at the end.
    pub(crate) site_url: Box<str>,
    /// Where the master key stands, and the database where no other is named.
    pub(crate) data_dir: PathBuf,
    /// The database where it is not a file in `data_dir`.
    pub(crate) postgres: Option<PostgresSettings>,
    /// A token that keys are in.
    pub(crate) pkcs11: Option<Pkcs11>,
    /// The label of the key in it that the master key is derived from; `None`: the master key is not there.
    pub(crate) master_key: Option<Box<str>>,
    /// How many worker threads serve the gateway; `None` for one a core.
    pub(crate) workers: Option<usize>,
    /// Whose `X-Forwarded-For` and `request-id` are believed.
    pub(crate) trusted_proxies: Vec<Network>,
    /// How many credentials from one address may not be good.
    pub(crate) failed_attempts: Allowance,
    /// How much may be asked of the site.
    pub(crate) site: SiteLimits,
    /// Bounds of the gateway's listeners.
    pub(crate) limits: Limits,
    /// Where calls are logged, and how.
    pub(crate) access_log: AccessLog,
    /// How long audit events are kept; `None`: for good.
    pub(crate) audit_kept: Option<Duration>,
    /// Where traces go, if calls are traced.
    pub(crate) tracing: Option<Tracing>,
    /// Where captured bodies go; `None`: nothing is captured, whatever routes say.
    pub(crate) captures: Option<Captures>,
    /// Addresses that are not public, which the egress may connect to all the same.
    pub(crate) egress_allow: Vec<AllowRule>,
    /// Addresses of this machine and its surroundings that upstreams may have which are not the operator's
    /// own.
    pub(crate) upstreams_allow: Vec<AllowRule>,
    /// What it counts limits in together with other nodes; `None`: it counts by itself.
    pub(crate) shared_state: Option<SharedState>,
    /// The resources, in the order they were declared.
    pub(crate) resources: Vec<Declared>,
}

/// What a node runs with when nothing is written, from the folder it is started in.
impl Default for NodeConfiguration {
    fn default() -> Self {
        Self {
            listeners: default_listeners(),
            gateway_url: DEFAULT_GATEWAY_URL.into(),
            site_url: DEFAULT_SITE_URL.into(),
            data_dir: PathBuf::from(DEFAULT_DATA_DIR),
            postgres: None,
            pkcs11: None,
            master_key: None,
            workers: None,
            trusted_proxies: Vec::new(),
            failed_attempts: FAILED_ATTEMPTS,
            site: site::default_limits(),
            limits: Limits::default(),
            access_log: AccessLog::default(),
            audit_kept: None,
            tracing: None,
            captures: Some(Captures::in_data_dir(Path::new(DEFAULT_DATA_DIR))),
            egress_allow: Vec::new(),
            upstreams_allow: Vec::new(),
            shared_state: None,
            resources: Vec::new(),
        }
    }
}

impl NodeConfiguration {
    /// Where it keeps its data.
    pub(crate) fn data_place(&self) -> DataPlace {
        DataPlace {
            data_dir: self.data_dir.clone(),
            postgres: self.postgres.clone(),
            token: self.pkcs11.as_ref().map(|one| Arc::clone(&one.token)),
            master_key: self.master_key.clone(),
        }
    }

    /// What the node would run with, defaults included, for `check --json`. Durations are in seconds.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let proxies = self.trusted_proxies.iter().map(ToString::to_string);
        let allow = |rules: &[AllowRule]| rules.iter().map(ToString::to_string).collect::<Vec<_>>();
        let listeners: Vec<_> = self.listeners.iter().map(Listener::to_json).collect();
        json!({
            "listeners": listeners,
            "gateway_url": self.gateway_url,
            "site_url": self.site_url,
            "data_dir": self.data_dir,
            "database": self.postgres.as_ref().map_or_else(|| "sqlite".to_owned(), ToString::to_string),
            "shared_state": self.shared_state.as_ref().map_or_else(|| json!("memory"), SharedState::to_json),
            "pkcs11": self.pkcs11.as_ref().map(Pkcs11::to_json),
            "master_key": self.master_key.as_ref().map(|label| json!({ "pkcs11": { "label": label } })),
            "workers": self.workers,
            "trusted_proxies": proxies.collect::<Vec<_>>(),
            "failed_attempts": {
                "attempts": self.failed_attempts.attempts,
                "per": self.failed_attempts.per.as_secs_f64(),
            },
            "site": site::to_json(&self.site),
            "limits": {
                "connections": self.limits.connections,
                "calls_in_flight": self.limits.calls_in_flight,
                "cache_size": self.limits.cache_bytes,
                "idempotency_size": self.limits.idempotency_bytes,
                "counted_subjects": self.limits.counted_subjects,
                "head_bytes": self.limits.head_bytes,
                "head_timeout": self.limits.head_timeout.as_secs_f64(),
                "shutdown_timeout": self.limits.shutdown_timeout.as_secs_f64(),
                "http2": {
                    "streams": self.limits.http2.streams,
                    "stream_window": self.limits.http2.stream_window,
                    "connection_window": self.limits.http2.connection_window,
                },
                "http3": {
                    "streams": self.limits.http3.streams,
                    "stream_window": self.limits.http3.stream_window,
                    "connection_window": self.limits.http3.connection_window,
                },
            },
            "access_log": self.access_log.to_json(),
            "audit": { "keep": self.audit_kept.map(|time| time.as_secs_f64()) },
            "captures": self.captures.as_ref().map(Captures::to_json),
            "tracing": self.tracing.as_ref().map(Tracing::to_json),
            "egress": { "allow": allow(&self.egress_allow) },
            "network": { "upstreams_allow": allow(&self.upstreams_allow) },
        })
    }
}

/// Bounds of the gateway's listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The most connections from clients, over all workers.
    pub(crate) connections: u32,
    /// The most calls that are not answered to their end, over all workers; more are refused.
    pub(crate) calls_in_flight: u32,
    /// Memory for answers that are kept for other calls, in bytes.
    pub(crate) cache_bytes: usize,
    /// Memory for idempotency keys and the answers to their calls, in bytes.
    pub(crate) idempotency_bytes: usize,
    /// The most subjects of limits that are counted at one time.
    pub(crate) counted_subjects: NonZeroUsize,
    /// The largest request head in bytes.
    pub(crate) head_bytes: usize,
    /// How long a request's head may take to arrive, and a connection may stay idle.
    pub(crate) head_timeout: Duration,
    /// How long running calls may take to end when the node goes down.
    pub(crate) shutdown_timeout: Duration,
    /// Bounds on a connection of HTTP/2.
    pub(crate) http2: Http2Limits,
    /// Bounds on a connection of HTTP/3.
    pub(crate) http3: Http3Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            calls_in_flight: 65_536,
            cache_bytes: 64 << 20,
            idempotency_bytes: 128 << 20,
            counted_subjects: CELLS_MAX_DEFAULT,
            head_bytes: 64 << 10,
            head_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(30),
            http2: Http2Limits::default(),
            http3: Http3Limits::default(),
        }
    }
}

/// Reads a node's configuration. Relative paths are taken from `directory`.
pub(super) fn read(
    node: Node,
    directory: &Path,
    problems: &mut Problems,
) -> Option<NodeConfiguration> {
    let fields = Fields::of(&node, "the configuration", KEYS, problems)?;
    format(&fields, problems);
    let postgres = match fields.optional("database") {
        Some(field) => database::read(field, directory, problems),
        None => Some(None),
    };
    let pkcs11 = pkcs11::read(&fields, directory, problems);
    let master_key = pkcs11::read_master_key(&fields, problems);
    let shared_state = match fields.optional("shared_state") {
        Some(field) => shared_state::read(field, directory, problems),
        None => Some(None),
    };
    let listeners = listeners(&fields, directory, problems);
    let gateway_url = origin(&fields, "gateway_url", DEFAULT_GATEWAY_URL, problems);
    let site_url = origin(&fields, "site_url", DEFAULT_SITE_URL, problems);
    let data_dir = match fields.optional("data_dir") {
        Some(field) => field.text(problems).map(|path| directory.join(path)),
        None => Some(directory.join(DEFAULT_DATA_DIR)),
    };
    let workers = fields.optional("workers").and_then(|field| {
        let workers = field.whole(1..=WORKERS_MAX, problems)?;
        usize::try_from(workers).ok()
    });
    let trusted_proxies = match fields.optional("trusted_proxies") {
        Some(field) => networks(field, problems),
        None => Vec::new(),
    };
    let failed_attempts = match fields.optional("failed_attempts") {
        Some(field) => allowance(field, FAILED_ATTEMPTS, problems),
        None => Some(FAILED_ATTEMPTS),
    };
    let site = match fields.optional("site") {
        Some(field) => site::read(field, problems),
        None => Some(site::default_limits()),
    };
    let limits = match fields.optional("limits") {
        Some(field) => limits(field, problems),
        None => Some(Limits::default()),
    };
    let audit_kept = match fields.optional("audit") {
        Some(field) => audit_kept(field, problems),
        None => Some(None),
    };
    let access_log = match fields.optional("access_log") {
        Some(field) => access_log::read(field, directory, problems),
        None => Some(AccessLog::default()),
    };
    let egress_allow = allowed(&fields, "egress", "allow", problems);
    let tracing = match fields.optional("tracing") {
        Some(field) => traces::read(field, egress_allow.is_empty(), problems).map(Some),
        None => Some(None),
    };
    let at = data_dir.as_deref().unwrap_or(directory);
    let captures = match fields.optional("captures") {
        Some(field) => captures::read(field, at, directory, problems),
        None => Some(Some(Captures::in_data_dir(at))),
    };
    let upstreams_allow = allowed(&fields, "network", "upstreams_allow", problems);
    let resources = match fields.optional("resources") {
        Some(field) => field
            .list(problems)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|member| super::resource(member.node().clone(), directory, problems))
            .collect(),
        None => Vec::new(),
    };
    Some(NodeConfiguration {
        listeners,
        gateway_url: gateway_url?,
        site_url: site_url?,
        data_dir: data_dir?,
        postgres: postgres?,
        pkcs11: pkcs11?,
        master_key: master_key?,
        workers,
        trusted_proxies,
        failed_attempts: failed_attempts?,
        site: site?,
        limits: limits?,
        access_log: access_log?,
        audit_kept: audit_kept?,
        tracing: tracing?,
        captures: captures?,
        egress_allow,
        upstreams_allow,
        shared_state: shared_state?,
        resources,
    })
}

fn format(fields: &Fields<'_>, problems: &mut Problems) {
    let Some(field) = fields.required("format", "write `format: 1` at the top", problems) else {
        return;
    };
    if field
        .whole(0..=u64::MAX, problems)
        .is_some_and(|format| format != FORMAT)
    {
        field.refuse(
            "is a format that this version does not know: it knows format 1",
            problems,
        );
    }
}

/// A URL under which something is known: scheme, host and port, a path for the issuer.
fn origin(
    fields: &Fields<'_>,
    key: &str,
    default: &str,
    problems: &mut Problems,
) -> Option<Box<str>> {
    let Some(field) = fields.optional(key) else {
        return Some(default.into());
    };
    field.parsed(
        |text| {
            let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
            let plain = rest
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~:/[]%".contains(&b));
            let host = rest.split('/').next().unwrap_or_default();
            (plain && !host.is_empty() && !rest.ends_with('/')).then(|| text.into())
        },
        "is no address of this kind: write https://host, with a port or a path if need be, and without a slash at the end",
        problems,
    )
}

/// How many attempts may fail in which time; what is not said is as in `default`.
pub(super) fn allowance(
    field: Field<'_>,
    default: Allowance,
    problems: &mut Problems,
) -> Option<Allowance> {
    let fields = field.fields(&["attempts", "per"], problems)?;
    let attempts = match fields.optional("attempts") {
        Some(field) => {
            let attempts = field.whole(1..=FAILED_ATTEMPTS_MAX, problems)?;
            NonZeroUsize::new(usize::try_from(attempts).ok()?)?
        }
        None => default.attempts,
    };
    let per = match fields.optional("per") {
        Some(field) => {
            let per = field.positive_duration(problems)?;
            if per > FAILED_ATTEMPTS_PER_MAX {
                field.refuse(
                    "is more than 1h: whoever shares an address with a flood would be locked out for as long",
                    problems,
                );
                return None;
            }
            per
        }
        None => default.per,
    };
    Some(Allowance { attempts, per })
}

/// `audit`: how long events are kept.
fn audit_kept(field: Field<'_>, problems: &mut Problems) -> Option<Option<Duration>> {
    let fields = field.fields(&["keep"], problems)?;
    let Some(field) = fields.optional("keep") else {
        return Some(None);
    };
    let time = field.positive_duration(problems)?;
    if time < AUDIT_KEPT_MIN {
        field.refuse(
            "is less than a day: nobody would have looked at what was done before it is forgotten",
            problems,
        );
        return None;
    }
    Some(Some(time))
}

fn limits(field: Field<'_>, problems: &mut Problems) -> Option<Limits> {
    let default = Limits::default();
    let fields = field.fields(
        &[
            "connections",
            "calls_in_flight",
            "cache_size",
            "idempotency_size",
            "counted_subjects",
            "head_bytes",
            "head_timeout",
            "shutdown_timeout",
            "http2",
            "http3",
        ],
        problems,
    )?;
    let connections = match fields.optional("connections") {
        Some(field) => field
            .whole(1..=u64::from(u32::MAX), problems)
            .and_then(|count| u32::try_from(count).ok()),
        None => Some(default.connections),
    };
    let calls_in_flight = match fields.optional("calls_in_flight") {
        Some(field) => field
            .whole(1..=u64::from(u32::MAX), problems)
            .and_then(|count| u32::try_from(count).ok()),
        None => Some(default.calls_in_flight),
    };
    let cache_bytes = match fields.optional("cache_size") {
        Some(field) => field
            .byte_size(problems)
            .and_then(|bytes| usize::try_from(bytes).ok()),
        None => Some(default.cache_bytes),
    };
    let idempotency_bytes = match fields.optional("idempotency_size") {
        Some(field) => {
            let bytes = field.byte_size(problems)?;
            // Half of it is a caller's, which has to hold the largest answer that a route may keep.
            if bytes < 16 << 20 {
                field.refuse("is less than 16MiB", problems);
                return None;
            }
            usize::try_from(bytes).ok()
        }
        None => Some(default.idempotency_bytes),
    };
    let counted_subjects = match fields.optional("counted_subjects") {
        Some(field) => field
            .whole(COUNTED_SUBJECTS, problems)
            .and_then(|count| NonZeroUsize::new(usize::try_from(count).ok()?)),
        None => Some(default.counted_subjects),
    };
    let head_bytes = match fields.optional("head_bytes") {
        Some(field) => {
            let bytes = field.byte_size(problems)?;
            // Below 8 KiB (hyper's own least) and above 1 MiB nothing that works is left.
            if !(8 << 10..=1 << 20).contains(&bytes) {
                field.refuse("is not between 8KiB and 1MiB", problems);
                return None;
            }
            usize::try_from(bytes).ok()
        }
        None => Some(default.head_bytes),
    };
    let head_timeout = match fields.optional("head_timeout") {
        Some(field) => field.positive_duration(problems),
        None => Some(default.head_timeout),
    };
    let shutdown_timeout = match fields.optional("shutdown_timeout") {
        Some(field) => field.duration(problems),
        None => Some(default.shutdown_timeout),
    };
    let http2 = match fields.optional("http2") {
        Some(field) => http2_limits(field, problems),
        None => Some(default.http2),
    };
    let http3 = match fields.optional("http3") {
        Some(field) => http3_limits(field, problems),
        None => Some(default.http3),
    };
    Some(Limits {
        connections: connections?,
        calls_in_flight: calls_in_flight?,
        cache_bytes: cache_bytes?,
        idempotency_bytes: idempotency_bytes?,
        counted_subjects: counted_subjects?,
        head_bytes: head_bytes?,
        head_timeout: head_timeout?,
        shutdown_timeout: shutdown_timeout?,
        http2: http2?,
        http3: http3?,
    })
}

fn http2_limits(field: Field<'_>, problems: &mut Problems) -> Option<Http2Limits> {
    let default = Http2Limits::default();
    let default = [
        default.streams,
        default.stream_window,
        default.connection_window,
    ];
    let [streams, stream_window, connection_window] = streams(field, default, problems)?;
    Some(Http2Limits {
        streams,
        stream_window,
        connection_window,
    })
}

fn http3_limits(field: Field<'_>, problems: &mut Problems) -> Option<Http3Limits> {
    let default = Http3Limits::default();
    let default = [
        default.streams,
        default.stream_window,
        default.connection_window,
    ];
    let [streams, stream_window, connection_window] = streams(field, default, problems)?;
    Some(Http3Limits {
        streams,
        stream_window,
        connection_window,
    })
}

/// The bounds on a connection with streams: how many at a time, the window of each, and that of all.
fn streams(field: Field<'_>, default: [u32; 3], problems: &mut Problems) -> Option<[u32; 3]> {
    let fields = field.fields(&["streams", "stream_window", "connection_window"], problems)?;
    let [streams, stream_window, connection_window] = default;
    let streams = match fields.optional("streams") {
        Some(field) => field
            .whole(1..=u64::from(STREAMS_MAX), problems)
            .and_then(|count| u32::try_from(count).ok()),
        None => Some(streams),
    };
    let mut window = |key, default| {
        let Some(field) = fields.optional(key) else {
            return Some(default);
        };
        let bytes = field.byte_size(problems)?;
        if !WINDOWS.contains(&bytes) {
            field.refuse("is not between 64KiB and 1GiB", problems);
            return None;
        }
        u32::try_from(bytes).ok()
    };
    let stream_window = window("stream_window", stream_window);
    let connection_window = window("connection_window", connection_window);
    Some([streams?, stream_window?, connection_window?])
}

fn allowed(
    fields: &Fields<'_>,
    section: &str,
    key: &str,
    problems: &mut Problems,
) -> Vec<AllowRule> {
    fields
        .optional(section)
        .and_then(|field| field.fields(&[key], problems))
        .and_then(|fields| fields.optional(key))
        .map(|field| allow_rules(field, problems))
        .unwrap_or_default()
}
