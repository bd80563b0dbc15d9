//! What the gateway's listener answers itself.

use super::path::RequestPath;
use crate::body::AnswerBody;
use crate::snapshot::LocalSnapshot;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use http::request::Parts;
use http::{Method, Response, StatusCode};

/// The key set's address (reserved: no API can hide behind it).
const JWKS_PATH: &str = "/.well-known/jwks.json";

/// The answer, if the path is one of ours.
pub(crate) fn answer(
    snapshot: &LocalSnapshot,
    head: &Parts,
    path: &RequestPath,
) -> Option<Response<AnswerBody>> {
    if path.for_matching() != JWKS_PATH {
        return None;
    }
    let keys = snapshot.shared.published_keys.as_ref()?;
    let mut answer = Response::new(AnswerBody::full(Bytes::new()));
    if !matches!(head.method, Method::GET | Method::HEAD) {
        *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        answer
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(answer);
    }
    let headers = answer.headers_mut();
    headers.insert(ETAG, keys.etag.clone());
    headers.insert(CACHE_CONTROL, keys.cache_control.clone());
    if head
        .headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|wanted| names(wanted, &keys.etag))
    {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return Some(answer);
    }
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/jwk-set+json"),
    );
    *answer.body_mut() = AnswerBody::full(keys.body.clone());
    Some(answer)
}

/// Whether `If-None-Match` names the tag (RFC 9110, section 13.1.2: weak comparison).
fn names(wanted: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(wanted), Ok(etag)) = (wanted.to_str(), etag.to_str()) else {
        return false;
    };
    wanted
        .split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}
