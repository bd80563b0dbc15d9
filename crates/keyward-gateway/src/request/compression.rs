//! Answers that are compressed on their way to clients that ask for it (RFC 9110, section 8.4).

use super::Answer;
use super::headers::vary;
use crate::coding::{Acceptable, Compressing, acceptable};
use crate::message::{Fields, Header, RequestHead};
use crate::snapshot::Route;
use crate::worker::Worker;
use http::{Method, StatusCode};
use keyward_model::resource::coding::{Compression, ContentCoding};
use std::sync::Arc;

/// What says something of an answer's very bytes (RFC 9530, RFC 3230): who sends it wants them to arrive.
const DIGESTS: &[&str] = &["content-digest", "repr-digest", "digest", "content-md5"];

/// What a call's client takes, of what its route would do.
#[derive(Debug)]
pub(crate) struct Wanted {
    compression: Arc<Compression>,
    acceptable: Acceptable,
}

/// What is known before the call is sent on: `head` is as the client sent it.
pub(super) fn wanted(route: &Route, head: &RequestHead) -> Option<Wanted> {
    let compression = route.compression.as_ref()?;
    let acceptable = if says(&head.fields, b"no-transform") {
        Acceptable::default()
    } else {
        let values = head.fields.all(Header::AcceptEncoding);
        acceptable(values, &compression.codings)
    };
    Some(Wanted {
        compression: Arc::clone(compression),
        acceptable,
    })
}

/// Compresses the answer, if it may be and should be, and says so in its head.
pub(super) fn compress(worker: &Worker, wanted: &Wanted, method: &Method, answer: &mut Answer) {
    let Wanted {
        compression,
        acceptable,
    } = wanted;
    if answer.status == StatusCode::NOT_MODIFIED {
        // As the answer would have been that this one stands for.
        vary(&mut answer.fields, b"accept-encoding");
        if !acceptable.codings.is_empty() {
            weaken_etag(&mut answer.fields);
        }
        return;
    }
    if !may_be_coded(compression, answer) {
        return;
    }
    // For caches: this answer, or another one under the same address, depends on what the client takes.
    vary(&mut answer.fields, b"accept-encoding");
    let head_only = *method == Method::HEAD;
    let length = if head_only {
        answer.declared_length
    } else {
        answer.body.left()
    };
    let small = length.is_some_and(|length| length < compression.min_bytes);
    if (small && !acceptable.must) || length == Some(0) {
        return;
    }
    let coding = if head_only {
        acceptable.codings.first().copied()
    } else {
        coded(worker, wanted, answer)
    };
    let Some(coding) = coding else {
        return;
    };
    let fields = &mut answer.fields;
    fields.set(Header::ContentEncoding, coding.as_str().as_bytes());
    // Ranges of what is compressed anew each time can't be asked for.
    fields.remove(Header::AcceptRanges);
    weaken_etag(fields);
    answer.declared_length = None;
}

/// Puts a coder into the answer's way: the best one that there is memory for.
fn coded(worker: &Worker, wanted: &Wanted, answer: &mut Answer) -> Option<ContentCoding> {
    let levels = &wanted.compression.levels;
    let (coding, compressing) = wanted.acceptable.codings.iter().find_map(|coding| {
        let compressing = Compressing::new(*coding, levels, &worker.coding)?;
        Some((*coding, compressing))
    })?;
    let body = std::mem::replace(
        &mut answer.body,
        crate::body::AnswerBody::full(bytes::Bytes::new()),
    );
    answer.body = body.compressed(compressing);
    Some(coding)
}

/// Whether an answer like this is compressed for whoever takes it.
fn may_be_coded(compression: &Compression, answer: &Answer) -> bool {
    let fields = &answer.fields;
    let whole = !answer.status.is_informational()
        && !matches!(
            answer.status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT
        )
        && !fields.has(Header::ContentRange);
    whole
        && !fields.has(Header::ContentEncoding)
        && !says(fields, b"no-transform")
        && !DIGESTS
            .iter()
            .any(|name| fields.all_named(name).next().is_some())
        && !fields.all(Header::Trailer).any(names_digest)
        && media_type(fields).is_some_and(|kind| {
            let mut types = compression.types.iter();
            // Whoever speaks gRPC compresses by itself, message by message.
            !kind.starts_with("application/grpc") && types.any(|pattern| pattern.covers(&kind))
        })
}

/// Whether a digest is to follow the body (RFC 9530, section 4).
fn names_digest(trailer: &[u8]) -> bool {
    trailer
        .split(|byte| *byte == b',')
        .map(|name| name.trim_ascii().to_ascii_lowercase())
        .any(|name| DIGESTS.iter().any(|digest| digest.as_bytes() == name))
}

/// The type alone, in lower case.
fn media_type(fields: &Fields) -> Option<String> {
    let value = std::str::from_utf8(fields.get(Header::ContentType)?).ok()?;
    let kind = value.split(';').next()?.trim();
    Some(kind.to_ascii_lowercase())
}

/// Whether `Cache-Control` has this directive (RFC 9111, section 5.2).
fn says(fields: &Fields, directive: &[u8]) -> bool {
    fields
        .all(Header::CacheControl)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|said| said.trim_ascii().eq_ignore_ascii_case(directive))
}

/// Two answers that differ in their bytes may not share a strong validator (RFC 9110, section 8.8.1).
fn weaken_etag(fields: &mut Fields) {
    if let Some(etag) = fields.get(Header::Etag)
        && !etag.starts_with(b"W/")
    {
        let weak = [b"W/", etag].concat();
        fields.set(Header::Etag, &weak);
    }
}
