//! Reading what happens to a call: `upstream`, `split`, `rewrite`, `mirror`, `redirect`, `respond`.

use super::super::field::{Field, Fields};
use super::super::problem::Problems;
use super::super::read::name;
use super::edits::{Direction, header_pairs};
use super::{ApiOfRoutes, matching, mirror, needs_prefix, too_many};
use crate::name::Name;
use crate::resource::route::{
    Action, FixedResponse, Forward, HostPattern, LocationPath, PathPattern, PathTemplate, Redirect,
    Rewrite, Scheme, Share,
};

/// The most upstreams of one split.
const SHARES_MAX: usize = 16;

/// The largest weight: sums of weights stay far from overflow.
const WEIGHT_MAX: u64 = 1_000_000;

/// The largest body of a fixed response: it is kept in memory, and a page is a matter for an upstream.
const BODY_MAX: usize = 64 * 1024;

/// Where the caller is sent without a word on how: for now, by the same method or with `GET`.
const REDIRECT_STATUS: u16 = 302;

pub(super) fn read(
    fields: &Fields<'_>,
    matched: &PathPattern,
    api: &ApiOfRoutes<'_>,
    problems: &mut Problems,
) -> Option<Action> {
    let written: Vec<Field<'_>> = ["redirect", "respond", "split", "upstream"]
        .iter()
        .filter_map(|key| fields.optional(key))
        .collect();
    if let [first, second, ..] = written.as_slice() {
        problems.error(
            second.place(),
            "contradiction",
            format!(
                "`{}` and `{}` stand in one route: a call goes one way, take one of them out",
                first.key(),
                second.key()
            ),
        );
        return None;
    }
    let mirror = match fields.optional("mirror") {
        Some(field) => Some(mirror::read(field, api.identity_headers, problems)?),
        None => None,
    };
    let shares = match written.first() {
        Some(field) if field.key() == "redirect" => {
            return redirect(*field, matched, problems).map(Action::Redirect);
        }
        Some(field) if field.key() == "respond" => {
            return respond(*field, problems).map(Action::Respond);
        }
        Some(field) if field.key() == "split" => split(*field, problems)?,
        Some(field) => vec![whole(name(*field, problems)?)],
        None => match api.upstream {
            Some(upstream) => vec![whole(upstream.clone())],
            None => {
                problems.error(
                    fields.place(),
                    "missing_key",
                    "`upstream` is missing: name the upstream that calls go to, here or for the whole API",
                );
                return None;
            }
        },
    };
    if let (Some(field), Some(mirror)) = (fields.optional("mirror"), &mirror)
        && shares.iter().any(|share| share.upstream == mirror.upstream)
    {
        problems.warning(
            field.place(),
            "twice",
            format!(
                "`mirror`: `{}` takes the route's calls already, and would get them twice",
                mirror.upstream
            ),
        );
    }
    let rewrite = match fields.optional("rewrite") {
        Some(field) => Some(rewrite(field, matched, problems)?),
        None => None,
    };
    Some(Action::Forward(Forward {
        rewrite,
        shares,
        mirror,
    }))
}

fn whole(upstream: Name) -> Share {
    Share {
        upstream,
        weight: 1,
        when: None,
    }
}

fn split(field: Field<'_>, problems: &mut Problems) -> Option<Vec<Share>> {
    let members = field.filled_list(problems)?;
    if too_many(field, members.len(), SHARES_MAX, problems) {
        return None;
    }
    let shares = members
        .into_iter()
        .map(|member| share(member, problems))
        .collect::<Option<Vec<_>>>()?;
    if shares.iter().all(|share| share.weight == 0) {
        problems.error(
            field.place(),
            "bad_value",
            "`split` has no weight above 0: calls that no `when` takes would go nowhere",
        );
        return None;
    }
    Some(shares)
}

fn share(field: Field<'_>, problems: &mut Problems) -> Option<Share> {
    let fields = field.fields(&["upstream", "weight", "when"], problems)?;
    let upstream = fields
        .required(
            "upstream",
            "name the upstream that takes this share",
            problems,
        )
        .and_then(|field| name(field, problems));
    let when = match fields.optional("when") {
        Some(field) => Some(matching::when(field, problems)?),
        None => None,
    };
    let weight = match fields.optional("weight") {
        Some(field) => field
            .whole(0..=WEIGHT_MAX, problems)
            .and_then(|weight| u32::try_from(weight).ok()),
        None if when.is_some() => Some(0),
        None => {
            problems.error(
                fields.place(),
                "missing_key",
                "`weight` is missing: say which part of the calls goes here, or `when`",
            );
            None
        }
    };
    Some(Share {
        upstream: upstream?,
        weight: weight?,
        when,
    })
}

fn rewrite(field: Field<'_>, matched: &PathPattern, problems: &mut Problems) -> Option<Rewrite> {
    let fields = field.fields(&["path", "prefix"], problems)?;
    let read = path_or_prefix(field, &fields, matched, problems)?;
    if read.is_none() {
        problems.error(
            field.place(),
            "missing_key",
            "`rewrite` changes nothing: write `path` or `prefix` under it",
        );
    }
    read
}

/// A new path, if one is written. The outer `None`: something is wrong with it.
fn path_or_prefix(
    field: Field<'_>,
    fields: &Fields<'_>,
    matched: &PathPattern,
    problems: &mut Problems,
) -> Option<Option<Rewrite>> {
    match (fields.optional("path"), fields.optional("prefix")) {
        (Some(_), Some(_)) => {
            problems.error(
                field.place(),
                "contradiction",
                format!(
                    "`{}` has a `path` and a `prefix`: it has one of them",
                    field.key()
                ),
            );
            None
        }
        (Some(path), None) => {
            let template = template(path, matched, false, problems)?;
            Some(Some(Rewrite::Path(template)))
        }
        (None, Some(prefix)) => {
            needs_prefix(prefix, matched, problems)?;
            let template = template(prefix, matched, true, problems)?;
            Some(Some(Rewrite::Prefix(template)))
        }
        (None, None) => Some(None),
    }
}

fn template(
    field: Field<'_>,
    matched: &PathPattern,
    prefix: bool,
    problems: &mut Problems,
) -> Option<PathTemplate> {
    match PathTemplate::parse(field.text(problems)?, matched, prefix) {
        Ok(template) => Some(template),
        Err(why) => {
            field.refuse(&why.to_string(), problems);
            None
        }
    }
}

fn redirect(field: Field<'_>, matched: &PathPattern, problems: &mut Problems) -> Option<Redirect> {
    let fields = field.fields(&["status", "scheme", "host", "path", "prefix"], problems)?;
    let status = match fields.optional("status") {
        Some(field) => {
            let status = field
                .whole(300..=399, problems)
                .and_then(|status| u16::try_from(status).ok())?;
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                field.refuse(
                    "sends nobody elsewhere: write 301 or 308 for good, 302, 303 or 307 for now",
                    problems,
                );
                return None;
            }
            status
        }
        None => REDIRECT_STATUS,
    };
    let scheme = match fields.optional("scheme") {
        Some(field) => Some(field.one_of(
            &[("http", Scheme::Http), ("https", Scheme::Https)],
            problems,
        )?),
        None => None,
    };
    let host = match fields.optional("host") {
        Some(field) => Some(field.parsed(
            host,
            "is no host: write a name such as `api.example.com`, with `:port` behind it if need be",
            problems,
        )?),
        None => None,
    };
    let path = match path_or_prefix(field, &fields, matched, problems)? {
        Some(rewrite) => LocationPath::Rewritten(rewrite),
        None => LocationPath::Same,
    };
    if scheme.is_none() && host.is_none() && path == LocationPath::Same {
        problems.error(
            field.place(),
            "bad_value",
            "`redirect` leads back to where the call came from: write `scheme`, `host`, `path` or `prefix` under it",
        );
        return None;
    }
    Some(Redirect {
        status,
        scheme,
        host,
        path,
    })
}

/// A host name with a port or without.
fn host(text: &str) -> Option<Box<str>> {
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let good_port = port.is_none_or(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    match name.parse() {
        Ok(HostPattern::Exact(_)) if good_port => Some(text.to_ascii_lowercase().into()),
        Ok(HostPattern::Exact(_) | HostPattern::Below(_)) | Err(_) => None,
    }
}

fn respond(field: Field<'_>, problems: &mut Problems) -> Option<FixedResponse> {
    let fields = field.fields(&["status", "headers", "body"], problems)?;
    let status = match fields.optional("status") {
        Some(field) => field
            .whole(200..=599, problems)
            .and_then(|status| u16::try_from(status).ok())?,
        None => 200,
    };
    let headers = match fields.optional("headers") {
        Some(field) => header_pairs(field, Direction::Response, problems)?,
        None => Vec::new(),
    };
    let body = match fields.optional("body") {
        Some(field) => {
            let body = field.text(problems)?;
            if body.len() > BODY_MAX {
                field.refuse("is longer than 64KiB: let an upstream serve it", problems);
                return None;
            }
            // RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5.
            if matches!(status, 204 | 205 | 304) {
                problems.error(
                    field.place(),
                    "contradiction",
                    format!(
                        "`body`: an answer with status {status} has none: take one of them out"
                    ),
                );
                return None;
            }
            body
        }
        None => "",
    };
    Some(FixedResponse {
        status,
        headers,
        body: body.into(),
    })
}
