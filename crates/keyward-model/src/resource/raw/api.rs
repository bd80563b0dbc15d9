//! Reading `kind: api`.

use super::authentication;
use super::capture;
use super::coding;
use super::field::{Field, Fields};
use super::policy;
use super::problem::Problems;
use super::read::name;
use super::route::{self, ApiOfRoutes};
use super::websocket;
use crate::limit::{LimitSubject, RateLimit};
use crate::resource::api::IdentityField;
use crate::resource::coding::{Compression, Decompression};
use crate::resource::policy::Policies;
use crate::resource::route::Route;
use crate::resource::{
    Api, BasePath, Capture, IdentityHeaders, RateLimitRule, VersionState, WebSocket,
};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// The keys beside those of every resource.
pub(super) const KEYS: &[&str] = &[
    "version",
    "state",
    "hosts",
    "base_path",
    "keep_base_path",
    "upstream",
    "routes",
    "authentication",
    "authorization",
    "rate_limits",
    "identity_headers",
    "capture",
    "max_body",
    "idle_body_timeout",
    "compression",
    "decompression",
    "websocket",
    "size_limits",
    "ip_filter",
    "cors",
    "security_headers",
    "external_decision",
];

/// How long a body may stand still, unless said otherwise.
const IDLE_BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// The most limits of one API: each costs a look-up per call.
const RATE_LIMITS_MAX: usize = 16;

/// The most identity headers of one API: each goes out with every call.
const IDENTITY_HEADERS_MAX: usize = 32;

/// The longest time of a rate limit: counts are kept in memory for as long.
const RATE_LIMIT_PER_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

/// Headers that frame the message, belong to the connection (RFC 9110, section 7.6.1) or carry
/// credentials or addresses: the gateway sets or strips these itself.
pub(super) const TAKEN_HEADERS: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "request-id",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Api> {
    let version = fields
        .required(
            "version",
            "an API is known by its name and its version, such as v1",
            problems,
        )
        .and_then(|field| name(field, problems));
    let states = VersionState::ALL.map(|state| (state.as_str(), state));
    let state = fields
        .required(
            "state",
            "say `draft`, `published`, `deprecated` or `retired`",
            problems,
        )
        .and_then(|field| field.one_of(&states, problems));
    let base_path = fields
        .required(
            "base_path",
            "say which path leads here, such as /orders",
            problems,
        )
        .and_then(|field| base_path(field, problems));
    let keep_base_path = match fields.optional("keep_base_path") {
        Some(field) => field.boolean(problems),
        None => Some(false),
    };
    let hosts = match fields.optional("hosts") {
        Some(field) => route::hosts(field, problems),
        None => Vec::new(),
    };
    let authentication = fields
        .required(
            "authentication",
            "say who may call: `authentication: { issuers: [NAME], audience: … }`, `{ mutual_tls: { … } }`, or `authentication: none` to open it to everyone",
            problems,
        )
        .and_then(|field| authentication::read(field, problems));
    let scopes = match fields.optional("authorization") {
        Some(field) => scopes(field, problems),
        None => Some(BTreeSet::new()),
    };
    let without_scopes = authentication
        .as_ref()
        .and_then(authentication::without_scopes);
    if let (Some(why), Some(field), Some(scopes)) =
        (without_scopes, fields.optional("authorization"), &scopes)
        && !scopes.is_empty()
    {
        problems.error(field.place(), "contradiction", why);
    }
    let rate_limits = match fields.optional("rate_limits") {
        Some(field) => rate_limits(field, problems),
        None => Vec::new(),
    };
    let identity_headers = match fields.optional("identity_headers") {
        Some(field) => identity_headers(field, problems),
        None => Some(IdentityHeaders::default()),
    };
    let max_body_bytes = match fields.optional("max_body") {
        Some(field) => Some(field.byte_size(problems)?),
        None => None,
    };
    let idle_body_timeout = match fields.optional("idle_body_timeout") {
        Some(field) => field.positive_duration(problems),
        None => Some(IDLE_BODY_TIMEOUT),
    };
    let websocket = match fields.optional("websocket") {
        Some(field) => websocket::read(field, problems)?,
        None => None,
    };
    let compression = match fields.optional("compression") {
        Some(field) => coding::compression(field, problems)?,
        None => None,
    };
    let decompression = match fields.optional("decompression") {
        Some(field) => coding::decompression(field, max_body_bytes, problems)?,
        None => None,
    };
    let capture = match fields.optional("capture") {
        Some(field) => capture::read(field, problems),
        None => Some(None),
    };
    let policies = policy::read(fields, &Policies::default(), problems);
    if let (Some(policies), Some(field)) = (&policies, fields.optional("max_body"))
        && policies
            .size_limits
            .is_some_and(|limits| limits.body.is_some())
    {
        problems.error(
            field.place(),
            "contradiction",
            "`max_body` and `size_limits: { body: … }` say the same thing twice: take one of them out",
        );
    }
    let default = IdentityHeaders::default();
    let no_policies = Policies::default();
    let shared = SharedByRoutes {
        websocket: websocket.as_ref(),
        identity_headers: identity_headers.as_ref().unwrap_or(&default),
        capture: capture.as_ref().and_then(Option::as_ref),
        without_scopes,
        compression: compression.as_ref(),
        decompression: decompression.as_ref(),
        max_body_bytes,
        policies: policies.as_ref().unwrap_or(&no_policies),
    };
    let routes = routes(fields, base_path.as_ref(), &shared, problems);
    // Its routes have them.
    capture?;
    policies.as_ref()?;
    Some(Api {
        version: version?,
        state: state?,
        hosts,
        base_path: base_path?,
        keep_base_path: keep_base_path?,
        routes: routes?,
        authentication: authentication?,
        scopes: scopes?,
        rate_limits,
        identity_headers: identity_headers?,
        max_body_bytes,
        idle_body_timeout: idle_body_timeout?,
    })
}

/// What an API says for all its routes.
struct SharedByRoutes<'a> {
    websocket: Option<&'a WebSocket>,
    identity_headers: &'a IdentityHeaders,
    capture: Option<&'a Capture>,
    without_scopes: Option<&'static str>,
    compression: Option<&'a Arc<Compression>>,
    decompression: Option<&'a Arc<Decompression>>,
    max_body_bytes: Option<u64>,
    policies: &'a Policies,
}

/// The routes: those that are listed, or the one of an API that lists none.
fn routes(
    fields: &Fields<'_>,
    base_path: Option<&BasePath>,
    shared: &SharedByRoutes<'_>,
    problems: &mut Problems,
) -> Option<Vec<Route>> {
    let Some(listed) = fields.optional("routes") else {
        let upstream = fields
            .required("upstream", "name the upstream that calls go to", problems)
            .and_then(|field| name(field, problems));
        return Some(vec![Route {
            compression: shared.compression.cloned(),
            decompression: shared.decompression.cloned(),
            capture: shared.capture.cloned(),
            websocket: shared.websocket.cloned(),
            policies: shared.policies.clone(),
            ..Route::everything(base_path?, upstream?)
        }]);
    };
    let upstream = match fields.optional("upstream") {
        Some(field) => Some(name(field, problems)?),
        None => None,
    };
    let api = ApiOfRoutes {
        base_path: base_path?,
        upstream: upstream.as_ref(),
        websocket: shared.websocket,
        identity_headers: shared.identity_headers,
        capture: shared.capture,
        without_scopes: shared.without_scopes,
        compression: shared.compression,
        decompression: shared.decompression,
        max_body_bytes: shared.max_body_bytes,
        policies: shared.policies,
    };
    let routes = route::routes(listed, &api, problems);
    if let (Some(field), Some(upstream)) = (fields.optional("upstream"), &upstream)
        && !routes.is_empty()
        && !routes
            .iter()
            .any(|route| route.upstreams().any(|named| named == upstream))
    {
        problems.warning(
            field.place(),
            "unused",
            format!(
                "`upstream`: no route goes to `{upstream}`: take it out, or a route is missing"
            ),
        );
    }
    Some(routes)
}

fn base_path(field: Field<'_>, problems: &mut Problems) -> Option<BasePath> {
    let text = field.text(problems)?;
    match text.parse::<BasePath>() {
        Ok(path) => Some(path),
        Err(_) if text.len() > 1 && text.trim_end_matches('/').parse::<BasePath>().is_ok() => {
            field.refuse("ends with a slash: write it without", problems);
            None
        }
        Err(_) => {
            field.refuse(
                "is no base path: it begins with `/`, and its segments have letters, digits, `-`, `.`, `_`, `~` alone, none of them `.` or `..`",
                problems,
            );
            None
        }
    }
}

pub(super) fn scopes(field: Field<'_>, problems: &mut Problems) -> Option<BTreeSet<String>> {
    let fields = field.fields(&["scopes"], problems)?;
    let list = fields.required(
        "scopes",
        "list the scopes a caller needs, all of them",
        problems,
    )?;
    scope_list(list, problems)
}

/// Scopes, each once.
pub(super) fn scope_list(list: Field<'_>, problems: &mut Problems) -> Option<BTreeSet<String>> {
    let mut scopes = BTreeSet::new();
    for member in list.list(problems)? {
        // RFC 6749, section 3.3: any printable character but space, quote and backslash.
        let scope = member.parsed(
            |text| {
                text.bytes()
                    .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'))
                    .then(|| text.to_owned())
            },
            "is no scope: it has printable ASCII without spaces, quotes and backslashes (RFC 6749, section 3.3)",
            problems,
        );
        if let Some(scope) = scope
            && !scopes.insert(scope)
        {
            member.refuse("stands in the list twice", problems);
        }
    }
    Some(scopes)
}

fn rate_limits(field: Field<'_>, problems: &mut Problems) -> Vec<RateLimitRule> {
    let Some(members) = field.list(problems) else {
        return Vec::new();
    };
    if members.len() > RATE_LIMITS_MAX {
        problems.error(
            field.place(),
            "too_many",
            format!(
                "`rate_limits` has {} entries: {RATE_LIMITS_MAX} are the most",
                members.len()
            ),
        );
        return Vec::new();
    }
    let mut rules: Vec<RateLimitRule> = Vec::new();
    for (index, member) in members.into_iter().enumerate() {
        let Some(rule) = rate_limit(member, index, problems) else {
            continue;
        };
        if rules.iter().any(|other| other.name == rule.name) {
            problems.error(
                member.place(),
                "duplicate_name",
                format!("two rate limits are called `{}`: answers name the limit, so each needs its own `name`", rule.name),
            );
        }
        rules.push(rule);
    }
    rules
}

fn rate_limit(field: Field<'_>, index: usize, problems: &mut Problems) -> Option<RateLimitRule> {
    let fields = field.fields(&["by", "requests", "per", "burst", "name"], problems)?;
    let words = [
        LimitSubject::Subject,
        LimitSubject::Address,
        LimitSubject::Route,
    ]
    .map(|subject| (subject.as_str(), subject));
    let by = fields
        .required(
            "by",
            "say what is counted: `subject`, `address` or `route`",
            problems,
        )
        .and_then(|field| field.one_of(&words, problems));
    let requests = fields
        .required("requests", "say how many requests pass", problems)
        .and_then(|field| count(field, problems));
    let per = fields
        .required("per", "say in which time, such as 1s or 1m", problems)
        .and_then(|field| {
            let per = field.positive_duration(problems)?;
            if per > RATE_LIMIT_PER_MAX {
                field.refuse("is longer than 31d", problems);
                return None;
            }
            Some(per)
        });
    let burst = match fields.optional("burst") {
        Some(field) => Some(count(field, problems)?),
        None => requests,
    };
    let given = match fields.optional("name") {
        Some(field) => name(field, problems),
        None => {
            let by = by.map_or("limit", LimitSubject::as_str);
            format!("{by}-{}", index + 1).parse().ok()
        }
    };
    Some(RateLimitRule {
        name: given?,
        limit: RateLimit {
            by: by?,
            requests: requests?,
            per: per?,
            burst: burst?,
        },
    })
}

fn count(field: Field<'_>, problems: &mut Problems) -> Option<NonZeroU32> {
    let count = field.whole(1..=u64::from(u32::MAX), problems)?;
    u32::try_from(count).ok().and_then(NonZeroU32::new)
}

fn identity_headers(field: Field<'_>, problems: &mut Problems) -> Option<IdentityHeaders> {
    let entries = field.entries(problems)?;
    if entries.len() > IDENTITY_HEADERS_MAX {
        problems.error(
            field.place(),
            "too_many",
            format!(
                "`identity_headers` has {} entries: {IDENTITY_HEADERS_MAX} are the most",
                entries.len()
            ),
        );
        return None;
    }
    let mut headers: Vec<(Box<str>, IdentityField)> = Vec::new();
    for entry in entries {
        let Some(what) = identity_field(entry, problems) else {
            continue;
        };
        // Servers that turn `-` into `_` can't tell the two apart, so neither do we.
        let header = entry.key().to_ascii_lowercase().replace('_', "-");
        let refusal = if !is_token(&header) || header.is_empty() {
            Some("is no header name: it has letters, digits and `-` alone")
        } else if TAKEN_HEADERS.contains(&header.as_str()) {
            Some("is set or taken out by the gateway itself: choose another, such as x-user")
        } else if headers.iter().any(|(known, _)| known.as_ref() == header) {
            Some("stands there twice (letter case and `_` for `-` make no difference)")
        } else {
            None
        };
        match refusal {
            Some(why) => problems.error(
                entry.place(),
                "bad_value",
                format!(
                    "`identity_headers`: `{}` {why}",
                    super::shortened(entry.key())
                ),
            ),
            None => headers.push((header.into(), what)),
        }
    }
    Some(IdentityHeaders { headers })
}

fn identity_field(field: Field<'_>, problems: &mut Problems) -> Option<IdentityField> {
    field.parsed(
        |text| match text {
            "issuer" => Some(IdentityField::Issuer),
            "subject" => Some(IdentityField::Subject),
            "client" => Some(IdentityField::Client),
            "scopes" => Some(IdentityField::Scopes),
            _ => text
                .strip_prefix("claim:")
                .filter(|claim| !claim.is_empty())
                .map(|claim| IdentityField::Claim(claim.into())),
        },
        "tells nothing of the caller: write `subject`, `issuer`, `client`, `scopes` or `claim:NAME`",
        problems,
    )
}

/// Whether this is a token of RFC 9110, section 5.6.2: what names of headers and cookies are made of.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
