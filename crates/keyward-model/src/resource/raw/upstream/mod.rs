//! Reading `kind: upstream`.

mod policy;
#[cfg(test)]
mod tests;
mod tls;

pub(super) use policy::header_name;

use crate::resource::raw::field::{Field, Fields};
use crate::resource::raw::problem::Problems;
use crate::resource::upstream::Protocol;
use crate::resource::{Target, Upstream};
use std::net::Ipv6Addr;
use std::num::NonZeroU32;
use std::time::Duration;

/// The keys beside those of every resource.
pub(super) const KEYS: &[&str] = &[
    "targets",
    "balance",
    "connect_timeout",
    "response_timeout",
    "total_timeout",
    "idle_timeout",
    "max_connections",
    "max_pending",
    "retries",
    "ejection",
    "breaker",
    "health_check",
    "slow_start",
    "resolve_interval",
    "tls",
    "protocol",
    "ping_interval",
];

/// The largest weight: sums of weights stay far from overflow.
pub(super) const WEIGHT_MAX: u64 = 1_000_000;
/// A call looks at all targets when some are out: more than these belong behind a name of their own.
const TARGETS_MAX: usize = 256;
/// Connections to one target.
const CONNECTIONS_MAX: u64 = 1_000_000;
/// Names are asked for no more often than this.
const RESOLVE_MIN: Duration = Duration::from_secs(1);
/// Targets are asked whether they are there no more often than this.
const PING_MIN: Duration = Duration::from_secs(1);

pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Upstream> {
    let mut targets = Vec::new();
    if let Some(field) = fields.required(
        "targets",
        "say where calls go, such as `targets: [ { url: \"http://127.0.0.1:9000\" } ]`",
        problems,
    ) {
        let members = field.filled_list(problems).unwrap_or_default();
        if members.len() > TARGETS_MAX {
            problems.error(
                field.place(),
                "bad_value",
                format!("`targets`: there are more than {TARGETS_MAX}: put a name with many addresses, or a balancer, before them"),
            );
        }
        for member in members {
            targets.extend(target(member, problems));
        }
    }
    let tls = match fields.optional("tls") {
        Some(field) => {
            if !targets.is_empty() && !targets.iter().any(|target| target.tls) {
                field.refuse(
                    "does nothing here: no target of this upstream begins with https://",
                    problems,
                );
            }
            Some(tls::read(field, problems)?)
        }
        None => None,
    };
    let default = Upstream::of(targets);
    let protocol = protocol(fields, &default.targets, problems);
    let ping_interval = ping_interval(fields, protocol, default.ping_interval, problems);
    let balance = match fields.optional("balance") {
        Some(field) => policy::balance(field, problems),
        None => Some(default.balance),
    };
    let retries = match fields.optional("retries") {
        Some(field) => policy::retries(field, problems),
        None => Some(default.retries),
    };
    let ejection = match fields.optional("ejection") {
        Some(field) => policy::ejection(field, problems),
        None => Some(default.ejection),
    };
    let breaker = match fields.optional("breaker") {
        Some(field) => policy::breaker(field, problems).map(Some),
        None => Some(None),
    };
    let health_check = match fields.optional("health_check") {
        Some(field) => policy::health_check(field, protocol, problems).map(Some),
        None => Some(None),
    };
    let bounds = connections(fields, default.max_pending, problems);
    let resolve_interval = resolve_interval(fields, &default.targets, problems);
    let mut time = |key: &str, default: Duration| match fields.optional(key) {
        Some(field) => field.positive_duration(problems),
        None => Some(default),
    };
    let connect_timeout = time("connect_timeout", default.connect_timeout);
    let response_timeout = time("response_timeout", default.response_timeout);
    let total_timeout = time("total_timeout", Duration::ZERO);
    let idle_timeout = time("idle_timeout", default.idle_timeout);
    let slow_start = time("slow_start", default.slow_start);
    let (max_connections, max_pending) = bounds?;
    Some(Upstream {
        targets: default.targets,
        tls,
        protocol: protocol?,
        ping_interval: ping_interval?,
        balance: balance?,
        connect_timeout: connect_timeout?,
        response_timeout: response_timeout?,
        total_timeout: total_timeout.map(|time| (!time.is_zero()).then_some(time))?,
        idle_timeout: idle_timeout?,
        max_connections,
        max_pending,
        retries: retries?,
        ejection: ejection?,
        breaker: breaker?,
        health_check: health_check?,
        slow_start: slow_start?,
        resolve_interval: resolve_interval?,
    })
}

fn protocol(fields: &Fields<'_>, targets: &[Target], problems: &mut Problems) -> Option<Protocol> {
    let Some(field) = fields.optional("protocol") else {
        return Some(Protocol::default());
    };
    let protocol = field.one_of(
        &[
            ("http1", Protocol::Http1),
            ("http2", Protocol::Http2),
            ("auto", Protocol::Auto),
        ],
        problems,
    )?;
    if protocol == Protocol::Auto && !targets.is_empty() && !targets.iter().any(|target| target.tls)
    {
        field.refuse(
            "does nothing here: a target chooses in its TLS handshake, and none of this upstream begins with https://; write http2 for targets that speak it in clear",
            problems,
        );
    }
    Some(protocol)
}

fn ping_interval(
    fields: &Fields<'_>,
    protocol: Option<Protocol>,
    default: Duration,
    problems: &mut Problems,
) -> Option<Duration> {
    let Some(field) = fields.optional("ping_interval") else {
        return Some(default);
    };
    if protocol == Some(Protocol::Http1) {
        field.refuse(
            "does nothing here: only HTTP/2 can ask; write `protocol: http2` or `auto` too",
            problems,
        );
    }
    let interval = field.duration(problems)?;
    if interval < PING_MIN {
        field.refuse("is too often: 1s at least", problems);
        return None;
    }
    Some(interval)
}

fn connections(
    fields: &Fields<'_>,
    pending: u32,
    problems: &mut Problems,
) -> Option<(Option<NonZeroU32>, u32)> {
    let most = match fields.optional("max_connections") {
        Some(field) => {
            let count = field.whole(1..=CONNECTIONS_MAX, problems)?;
            u32::try_from(count).ok().and_then(NonZeroU32::new)
        }
        None => None,
    };
    let pending = match fields.optional("max_pending") {
        Some(field) => {
            if most.is_none() {
                field.refuse(
                    "does nothing here: calls wait for a connection only where `max_connections` bounds them",
                    problems,
                );
            }
            u32::try_from(field.whole(0..=CONNECTIONS_MAX, problems)?).ok()?
        }
        None => pending,
    };
    Some((most, pending))
}

fn resolve_interval(
    fields: &Fields<'_>,
    targets: &[Target],
    problems: &mut Problems,
) -> Option<Duration> {
    let Some(field) = fields.optional("resolve_interval") else {
        return Some(Duration::from_secs(30));
    };
    let interval = field.duration(problems)?;
    if interval < RESOLVE_MIN {
        field.refuse("is too often: 1s at least", problems);
        return None;
    }
    let named = |target: &Target| target.host.parse::<std::net::IpAddr>().is_err();
    if !targets.is_empty() && !targets.iter().any(named) {
        field.refuse(
            "does nothing here: the targets are addresses, not names",
            problems,
        );
    }
    Some(interval)
}

fn target(field: Field<'_>, problems: &mut Problems) -> Option<Target> {
    let fields = field.fields(&["url", "weight"], problems)?;
    let weight = match fields.optional("weight") {
        Some(field) => field
            .whole(1..=WEIGHT_MAX, problems)
            .and_then(|weight| u32::try_from(weight).ok())
            .and_then(NonZeroU32::new),
        None => Some(NonZeroU32::MIN),
    };
    let url = fields.required(
        "url",
        "a target is an address, such as http://127.0.0.1:9000",
        problems,
    )?;
    let target = one_target(url, problems)?;
    Some(Target {
        weight: weight?,
        ..target
    })
}

/// The target that an address stands for, such as `https://api.example/v1`.
///
/// # Errors
/// What is wrong with the address.
pub fn read_target(url: &str) -> Result<Target, &'static str> {
    let (tls, host, port, path_prefix) = address(url)?;
    Ok(Target {
        tls,
        host,
        port,
        path_prefix,
        weight: NonZeroU32::MIN,
    })
}

/// The one address of something that is called like an upstream.
pub(super) fn one_target(url: Field<'_>, problems: &mut Problems) -> Option<Target> {
    match read_target(url.text(problems)?) {
        Ok(target) => Some(target),
        Err(why) => {
            url.refuse(why, problems);
            None
        }
    }
}

/// Whether TLS is spoken, host, port, path.
type Address = (bool, Box<str>, u16, Box<str>);

/// The parts of `http[s]://host[:port][/path]`, or what is wrong.
fn address(url: &str) -> Result<Address, &'static str> {
    const FORM: &str =
        "is no address of a target: write http://host:port or https://host, with a path if need be";
    let (tls, rest) = match url.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, url.strip_prefix("http://").ok_or(FORM)?),
    };
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at_checked(slash).ok_or(FORM)?,
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err("has a user in it: credentials for an upstream don't go into its address");
    }
    let (host, port) = host_and_port(authority, if tls { "443" } else { "80" }).ok_or(FORM)?;
    if path.contains(['?', '#']) {
        return Err("has a query or a fragment: a target is a host with a path at most");
    }
    let clean = path.bytes().all(|b| {
        b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'/' | b'-'
                    | b'.'
                    | b'_'
                    | b'~'
                    | b'%'
                    | b':'
                    | b'@'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
            )
    });
    let dotted = path.split('/').any(|segment| matches!(segment, "." | ".."));
    if !clean || dotted || path.contains("//") {
        return Err("has a path that could be read in two ways: use plain segments");
    }
    Ok((tls, host, port, path.trim_end_matches('/').into()))
}

fn host_and_port(authority: &str, default_port: &str) -> Option<(Box<str>, u16)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        (
            host,
            rest.strip_prefix(':')
                .map_or_else(|| rest.is_empty().then_some(default_port), Some)?,
        )
    } else {
        let (host, port) = authority
            .split_once(':')
            .unwrap_or((authority, default_port));
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) {
            return None;
        }
        (host, port)
    };
    if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some((host.to_ascii_lowercase().into(), port))
}
