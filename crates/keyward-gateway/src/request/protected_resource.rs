//! What an API tells of itself as a protected resource (RFC 9728): who issues the tokens that it takes, and in which
//! ways they are shown. Clients find it from a challenge, and then their way to a token by themselves.
//!
//! **Which API answers.** An API's metadata is at `/.well-known/oauth-protected-resource`, with its own path behind
//! (section 3.1). Whatever path a client asks about, the API with the longest base path that it is below answers,
//! among those of the called host, as for calls. Where several APIs share that base path (their routes differ, or
//! their conditions), they are one resource to a client: what is told is of all of them that take tokens.

use super::path::RequestPath;
use super::{Answer, Refusal};
use crate::body::AnswerBody;
use crate::message::{Fields, Header, RequestHead};
use crate::public_url::PublicUrl;
use crate::snapshot::{LocalSnapshot, Route};
use crate::worker::Worker;
use bytes::Bytes;
use http::{Method, StatusCode};
use keyward_model::{Code, Fault};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Where metadata is, with the resource's own path behind (reserved: no API can hide behind it).
const PATH: &str = "/.well-known/oauth-protected-resource";

/// It changes when the configuration does; clients look again soon after.
const CACHE_CONTROL: &[u8] = b"public, max-age=300";

/// The metadata (RFC 9728, section 2).
#[derive(Serialize)]
struct Metadata<'a> {
    resource: String,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    authorization_servers: BTreeSet<&'a str>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    scopes_supported: BTreeSet<&'a str>,
    bearer_methods_supported: &'static [&'static str],
    resource_name: &'a str,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    dpop_signing_alg_values_supported: BTreeSet<&'a str>,
    dpop_bound_access_tokens_required: bool,
}

/// The address of the metadata of the route's API, for a challenge.
pub(super) fn address(worker: &Worker, route: &Route, head: &RequestHead) -> Option<String> {
    let public = known_as(&worker.settings.public_url, route, head)?;
    let base_path = &*route.resource.base_path;
    let base_path = if base_path == "/" { "" } else { base_path };
    Some(format!(
        "{}{PATH}{}{base_path}",
        public.origin(),
        public.prefix()
    ))
}

/// What the route's API is called: by its own host, where it names any.
fn known_as<'a>(
    public: &'a PublicUrl,
    route: &Route,
    head: &RequestHead,
) -> Option<Cow<'a, PublicUrl>> {
    if !route.resource.names_hosts {
        return Some(Cow::Borrowed(public));
    }
    let host = head.authority().map(str::as_bytes);
    let host = host.or_else(|| head.fields.get(Header::Host))?;
    let host = std::str::from_utf8(host).ok()?;
    public.with_host(host).map(Cow::Owned)
}

/// The answer, if it is metadata that is asked for.
pub(super) fn answer(
    worker: &Worker,
    snapshot: &LocalSnapshot,
    head: &RequestHead,
    path: &RequestPath<'_>,
) -> Result<Option<Answer>, Refusal> {
    let asked = path.for_matching().strip_prefix(PATH);
    let Some(asked) = asked.filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
        return Ok(None);
    };
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let fault = Fault::new(
            Code::MethodNotAllowed,
            format!(
                "Metadata is read with GET; {} is not served here",
                head.method
            ),
        );
        let mut allow = Fields::new();
        allow.append(Header::Allow, b"GET, HEAD");
        return Err(Refusal::with(fault, allow));
    }
    let public = &worker.settings.public_url;
    // What stands before the paths that arrive here stands in the resource's address too.
    let asked = asked.strip_prefix(public.prefix()).unwrap_or(asked);
    let asked = if asked.is_empty() { "/" } else { asked };
    let host = head.authority().map(str::as_bytes);
    let host = host.or_else(|| head.fields.get(Header::Host));
    let host = host.and_then(|host| std::str::from_utf8(host).ok());
    let routes = snapshot.shared.resource_at(host, asked);
    let Some(body) = metadata(public, &routes, head) else {
        return Err(Fault::new(
            Code::NotFound,
            "No API that takes tokens is published under this path; check the address",
        )
        .into());
    };
    let mut fields = Fields::new();
    fields.append(Header::CacheControl, CACHE_CONTROL);
    fields.append(Header::ContentType, b"application/json");
    let body = AnswerBody::full(Bytes::from(body));
    Ok(Some(Answer::own(StatusCode::OK, fields, body)))
}

fn metadata(public: &PublicUrl, routes: &[&Route], head: &RequestHead) -> Option<Vec<u8>> {
    let policies = || routes.iter().filter_map(|route| route.credentials.token());
    let first = routes
        .iter()
        .find(|route| route.credentials.token().is_some())?;
    let known = known_as(public, first, head)?;
    let base_path = &*first.resource.base_path;
    let resource = match (base_path, public.prefix()) {
        // RFC 9728, section 1.2: without a path, the origin alone.
        ("/", _) => known.to_string(),
        (base_path, _) => format!("{known}{base_path}"),
    };
    let issuers = policies().flat_map(|policy| policy.issuers.iter());
    let metadata = Metadata {
        resource,
        authorization_servers: issuers
            .map(|issuer| &*issuer.issuer)
            // Others have no address that a client could go to.
            .filter(|issuer| issuer.starts_with("https://") || issuer.starts_with("http://"))
            .collect(),
        scopes_supported: routes
            .iter()
            .filter(|route| route.credentials.token().is_some())
            .flat_map(|route| route.scopes.iter().map(String::as_str))
            .collect(),
        bearer_methods_supported: &["header"],
        resource_name: first.labels.api.as_str(),
        dpop_signing_alg_values_supported: policies()
            .flat_map(|policy| policy.dpop.algorithms.iter())
            .map(|algorithm| algorithm.as_str())
            .collect(),
        dpop_bound_access_tokens_required: policies().all(|policy| policy.dpop.required),
    };
    serde_json::to_vec(&metadata).ok()
}
