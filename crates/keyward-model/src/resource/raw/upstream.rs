//! Reading `kind: upstream`.

use super::field::{Field, Fields};
use super::problem::Problems;
use super::upstream_tls;
use crate::resource::{Target, Upstream};
use std::net::Ipv6Addr;
use std::num::NonZeroU32;
use std::time::Duration;

/// The keys beside those of every resource.
pub(super) const KEYS: &[&str] = &[
    "targets",
    "connect_timeout",
    "response_timeout",
    "idle_timeout",
    "tls",
];

/// The largest weight: sums of weights stay far from overflow.
const WEIGHT_MAX: u64 = 1_000_000;

pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Upstream> {
    let mut targets = Vec::new();
    if let Some(field) = fields.required(
        "targets",
        "say where calls go, such as `targets: [ { url: \"http://127.0.0.1:9000\" } ]`",
        problems,
    ) {
        for member in field.filled_list(problems).unwrap_or_default() {
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
            Some(upstream_tls::read(field, problems)?)
        }
        None => None,
    };
    let mut duration = |key: &str, default: u64| match fields.optional(key) {
        Some(field) => field.positive_duration(problems),
        None => Some(Duration::from_secs(default)),
    };
    Some(Upstream {
        connect_timeout: duration("connect_timeout", 5)?,
        response_timeout: duration("response_timeout", 60)?,
        idle_timeout: duration("idle_timeout", 60)?,
        targets,
        tls,
    })
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
    let text = url.text(problems)?;
    let (tls, host, port, path_prefix) = match address(text) {
        Ok(address) => address,
        Err(why) => {
            url.refuse(why, problems);
            return None;
        }
    };
    Some(Target {
        tls,
        host,
        port,
        path_prefix,
        weight: weight?,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_targets_are_taken_apart() {
        for (url, expected) in [
            ("http://127.0.0.1:9000", Some(("127.0.0.1", 9000, ""))),
            ("http://Example.test", Some(("example.test", 80, ""))),
            ("http://example.test/", Some(("example.test", 80, ""))),
            ("http://[::1]:8000/api/v2/", Some(("::1", 8000, "/api/v2"))),
            ("http://[::1]", Some(("::1", 80, ""))),
            ("https://example.test:", None),
            ("https://", None),
            ("ftp://example.test", None),
            ("example.test:80", None),
            ("http://", None),
            ("http://user@example.test", None),
            ("http://example.test:0", None),
            ("http://example.test:65536", None),
            ("http://example.test:", None),
            ("http://example.test:+80", None),
            ("http://[::1", None),
            ("http://[::1]80", None),
            ("http://a b", None),
            ("http://example.test/a/../b", None),
            ("http://example.test//a", None),
            ("http://example.test/?q=1", None),
        ] {
            let read = address(url).ok();
            let read = read
                .as_ref()
                .map(|(tls, host, port, path)| (*tls, &**host, *port, &**path));
            assert_eq!(
                read,
                expected.map(|(host, port, path)| (false, host, port, path)),
                "{url}"
            );
        }
        for (url, expected) in [
            ("https://example.test", (true, "example.test", 443, "")),
            (
                "https://example.test:80/a/",
                (true, "example.test", 80, "/a"),
            ),
            ("https://[::1]", (true, "::1", 443, "")),
        ] {
            let (tls, host, port, path) = address(url).unwrap();
            assert_eq!((tls, &*host, port, &*path), expected, "{url}");
        }
    }
}
