//! Reading `kind: api`.

use super::ai;
use super::authentication;
use super::authorization;
use super::capture;
use super::coding;
use super::content;
use super::field::{Field, Fields};
use super::limits;
use super::policy;
use super::problem::Problems;
use super::read::name;
use super::route::{self, ApiOfRoutes};
use super::websocket;
use crate::limit::LimitRule;
use crate::resource::api::IdentityField;
use crate::resource::coding::{Compression, Decompression};
use crate::resource::policy::Policies;
use crate::resource::route::Route;
use crate::resource::{
    Api, Authentication, Authorization, BasePath, Capture, ContentPolicies, IdentityHeaders,
    VersionState, WebSocket,
};
use std::collections::BTreeSet;
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
    "ai",
    "authentication",
    "authorization",
    "rate_limits",
    "quotas",
    "concurrency",
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
    "cache",
    "validation",
    "transformation",
    "idempotency",
];

/// How long a body may stand still, unless said otherwise.
const IDLE_BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// The most identity headers of one API: each goes out with every call.
const IDENTITY_HEADERS_MAX: usize = 32;

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
    let ai = ai::read(fields, problems);
    let base_path = match fields.optional("base_path") {
        // Where the vendors' libraries look for it.
        None if fields.optional("ai").is_some() => "/".parse().ok(),
        Some(field) => base_path(field, problems),
        None => fields
            .required(
                "base_path",
                "say which path leads here, such as /orders",
                problems,
            )
            .and(None),
    };
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
    let authorization = match fields.optional("authorization") {
        Some(field) => authorization::read(field, authentication.as_ref(), problems),
        None => Some(Authorization::default()),
    };
    let limits = limits::read(fields, &[], fields.optional("ai").is_some(), problems);
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
    let content = content::read(
        fields,
        &ContentPolicies::default(),
        authentication.as_ref(),
        problems,
    );
    let without = ContentPolicies::default();
    let shared = SharedByRoutes {
        websocket: websocket.as_ref(),
        identity_headers: identity_headers.as_ref().unwrap_or(&default),
        capture: capture.as_ref().and_then(Option::as_ref),
        authentication: authentication.as_ref(),
        compression: compression.as_ref(),
        decompression: decompression.as_ref(),
        max_body_bytes,
        limits: &limits.rules,
        policies: policies.as_ref().unwrap_or(&no_policies),
        content: content.as_ref().unwrap_or(&without),
    };
    let ai = ai?.map(|mut ai| {
        ai.budgets = limits.budgets;
        ai
    });
    let routes = match &ai {
        Some(ai) => base_path
            .as_ref()
            .map(|path| ai.routes(path, shared.policies)),
        None => routes(fields, base_path.as_ref(), &shared, problems),
    };
    // Its routes have them.
    capture?;
    policies.as_ref()?;
    content?;
    Some(Api {
        version: version?,
        state: state?,
        hosts,
        base_path: base_path?,
        keep_base_path: keep_base_path?,
        routes: routes?,
        authentication: authentication?,
        authorization: authorization?,
        limits: limits.rules,
        identity_headers: identity_headers?,
        max_body_bytes,
        idle_body_timeout: idle_body_timeout?,
        ai,
    })
}

/// What an API says for all its routes.
struct SharedByRoutes<'a> {
    websocket: Option<&'a WebSocket>,
    identity_headers: &'a IdentityHeaders,
    capture: Option<&'a Capture>,
    authentication: Option<&'a Authentication>,
    compression: Option<&'a Arc<Compression>>,
    decompression: Option<&'a Arc<Decompression>>,
    max_body_bytes: Option<u64>,
    limits: &'a [LimitRule],
    policies: &'a Policies,
    content: &'a ContentPolicies,
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
            content: shared.content.clone().for_route(true).map(Box::new),
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
        authentication: shared.authentication,
        compression: shared.compression,
        decompression: shared.decompression,
        max_body_bytes: shared.max_body_bytes,
        limits: shared.limits,
        policies: shared.policies,
        content: shared.content,
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
