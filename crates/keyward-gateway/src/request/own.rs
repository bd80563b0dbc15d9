//! What the gateway's listener answers itself.

use super::Refusal;
use super::path::RequestPath;
use crate::body::AnswerBody;
use crate::snapshot::LocalSnapshot;
use crate::tls::Challenges;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use keyward_model::{Code, Fault};

/// The key set's address (reserved: no API can hide behind it).
const JWKS_PATH: &str = "/.well-known/jwks.json";

/// What a certificate authority is told that asks if a host is ours (RFC 8555, section 8.3).
pub(crate) fn challenge_answer(
    challenges: &Challenges,
    path: &RequestPath,
) -> Option<Response<AnswerBody>> {
    let text = challenges.http(path.for_matching())?;
    let body = Bytes::copy_from_slice(text.as_bytes());
    let mut answer = Response::new(AnswerBody::full(body));
    let media_type = HeaderValue::from_static("application/octet-stream");
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    Some(answer)
}

/// The answer, if the path is one of ours.
pub(crate) fn answer(
    snapshot: &LocalSnapshot,
    head: &Parts,
    path: &RequestPath,
) -> Result<Option<Response<AnswerBody>>, Refusal> {
    let published = snapshot.shared.published_keys.as_ref();
    let Some(keys) = published.filter(|_| path.for_matching() == JWKS_PATH) else {
        return Ok(None);
    };
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let fault = Fault::new(
            Code::MethodNotAllowed,
            format!(
                "The key set is read with GET; {} is not served here",
                head.method
            ),
        );
        let allow = HeaderMap::from_iter([(ALLOW, HeaderValue::from_static("GET, HEAD"))]);
        return Err(Refusal::with(fault, allow));
    }
    let mut answer = Response::new(AnswerBody::full(Bytes::new()));
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
        return Ok(Some(answer));
    }
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/jwk-set+json"),
    );
    *answer.body_mut() = AnswerBody::full(keys.body.clone());
    Ok(Some(answer))
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
