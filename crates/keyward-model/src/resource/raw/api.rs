//! Reading `kind: api`.

use super::field::{Field, Fields};
use super::problem::Problems;
use super::read::name;
use super::route::{self, ApiOfRoutes};
use super::websocket;
use crate::limit::{LimitSubject, RateLimit};
use crate::name::Name;
use crate::resource::api::IdentityField;
use crate::resource::route::Route;
use crate::resource::{
    Api, Authentication, BasePath, IdentityHeaders, RateLimitRule, TokenSource, VersionState,
    WebSocket,
};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
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
    "max_body",
    "idle_body_timeout",
    "websocket",
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
const TAKEN_HEADERS: &[&str] = &[
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
            "say who may call: `authentication: { issuers: [NAME], audience: … }`, or `authentication: none` to open it to everyone",
            problems,
        )
        .and_then(|field| authentication(field, problems));
    let scopes = match fields.optional("authorization") {
        Some(field) => scopes(field, problems),
        None => Some(BTreeSet::new()),
    };
    if let (Some(Authentication::None), Some(field), Some(scopes)) =
        (&authentication, fields.optional("authorization"), &scopes)
        && !scopes.is_empty()
    {
        problems.error(
            field.place(),
            "contradiction",
            "`authorization` asks for scopes, but `authentication: none` lets everyone call without a token: name issuers, or take the scopes out",
        );
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
    let default = IdentityHeaders::default();
    let routes = routes(
        fields,
        base_path.as_ref(),
        websocket.as_ref(),
        identity_headers.as_ref().unwrap_or(&default),
        authentication == Some(Authentication::None),
        problems,
    );
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

/// The routes: those that are listed, or the one of an API that lists none.
fn routes(
    fields: &Fields<'_>,
    base_path: Option<&BasePath>,
    websocket: Option<&WebSocket>,
    identity_headers: &IdentityHeaders,
    open: bool,
    problems: &mut Problems,
) -> Option<Vec<Route>> {
    let Some(listed) = fields.optional("routes") else {
        let upstream = fields
            .required("upstream", "name the upstream that calls go to", problems)
            .and_then(|field| name(field, problems));
        let mut route = Route::everything(base_path?, upstream?);
        route.websocket = websocket.cloned();
        return Some(vec![route]);
    };
    let upstream = match fields.optional("upstream") {
        Some(field) => Some(name(field, problems)?),
        None => None,
    };
    let api = ApiOfRoutes {
        base_path: base_path?,
        upstream: upstream.as_ref(),
        websocket,
        identity_headers,
        open,
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

fn authentication(field: Field<'_>, problems: &mut Problems) -> Option<Authentication> {
    if let Some(text) = field.as_text() {
        if text == "none" {
            return Some(Authentication::None);
        }
        field.refuse(
            "is neither `none` nor a mapping such as `{ issuers: [NAME], audience: … }`",
            problems,
        );
        return None;
    }
    let fields = field.fields(&["issuers", "audience", "token", "forward_token"], problems)?;
    let mut issuers: Vec<Name> = Vec::new();
    if let Some(list) = fields.required(
        "issuers",
        "name the issuers whose tokens are taken (`self` is this node)",
        problems,
    ) {
        for member in list.filled_list(problems).unwrap_or_default() {
            match name(member, problems) {
                Some(issuer) if issuers.contains(&issuer) => {
                    member.refuse("stands in the list twice", problems);
                }
                Some(issuer) => issuers.push(issuer),
                None => {}
            }
        }
    }
    let audiences = fields
        .required(
            "audience",
            "say what the token's `aud` must name, so that a token for another API is refused here",
            problems,
        )
        .map(|audience| match audience.as_text() {
            Some(_) => audience
                .text(problems)
                .map(Into::into)
                .into_iter()
                .collect(),
            None if audience.filled_list(problems).is_some() => audience.texts(problems),
            None => Vec::new(),
        });
    let token = match fields.optional("token") {
        Some(field) => token_source(field, problems),
        None => Some(TokenSource::Header),
    };
    let forward_token = match fields.optional("forward_token") {
        Some(field) => field.boolean(problems),
        None => Some(false),
    };
    Some(Authentication::Jwt {
        issuers,
        audiences: audiences?,
        token: token?,
        forward_token: forward_token?,
    })
}

fn token_source(field: Field<'_>, problems: &mut Problems) -> Option<TokenSource> {
    if let Some(text) = field.as_text() {
        if text == "header" {
            return Some(TokenSource::Header);
        }
        field.refuse("is neither `header` nor `{ cookie: NAME }`", problems);
        return None;
    }
    let fields = field.fields(&["cookie"], problems)?;
    let cookie = fields.required("cookie", "name the cookie that holds the token", problems)?;
    cookie
        .parsed(
            |text| is_token(text).then(|| text.into()),
            "is no cookie name: it has letters, digits and !#$%&'*+-.^_`|~ alone (RFC 6265)",
            problems,
        )
        .map(TokenSource::Cookie)
}

pub(super) fn scopes(field: Field<'_>, problems: &mut Problems) -> Option<BTreeSet<String>> {
    let fields = field.fields(&["scopes"], problems)?;
    let list = fields.required(
        "scopes",
        "list the scopes a caller needs, all of them",
        problems,
    )?;
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
