//! What the gateway's listener answers itself.

use super::path::RequestPath;
use super::{Answer, Refusal};
use crate::body::AnswerBody;
use crate::message::{Fields, Header, RequestHead};
use crate::published_keys::PublishedKeySets;
use crate::tls::Challenges;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, StatusCode};
use keyward_model::{Code, Fault};

/// What a certificate authority is told that asks if a host is ours (RFC 8555, section 8.3).
pub(crate) fn challenge_answer(challenges: &Challenges, path: &RequestPath<'_>) -> Option<Answer> {
    let text = challenges.http(path.for_matching())?;
    let body = Bytes::copy_from_slice(text.as_bytes());
    let mut fields = Fields::new();
    fields.append(Header::ContentType, b"application/octet-stream");
    Some(Answer::own(StatusCode::OK, fields, AnswerBody::full(body)))
}

/// The answer, if the path is one of ours.
pub(crate) fn answer(
    published: &ArcSwap<PublishedKeySets>,
    head: &RequestHead,
    path: &RequestPath<'_>,
) -> Result<Option<Answer>, Refusal> {
    let published = published.load();
    let Some(keys) = published.at(path.for_matching()) else {
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
        let mut allow = Fields::new();
        allow.append(Header::Allow, b"GET, HEAD");
        return Err(Refusal::with(fault, allow));
    }
    let mut fields = Fields::new();
    fields.append(Header::Etag, keys.etag.as_bytes());
    fields.append(Header::CacheControl, keys.cache_control.as_bytes());
    let known = head
        .fields
        .all(Header::IfNoneMatch)
        .any(|wanted| names(wanted, keys.etag.as_bytes()));
    let (status, body) = if known {
        (StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        fields.append(Header::ContentType, b"application/jwk-set+json");
        (StatusCode::OK, keys.body.clone())
    };
    Ok(Some(Answer::own(status, fields, AnswerBody::full(body))))
}

/// Whether `If-None-Match` names the tag (RFC 9110, section 13.1.2: weak comparison).
fn names(wanted: &[u8], etag: &[u8]) -> bool {
    wanted
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag)
}
