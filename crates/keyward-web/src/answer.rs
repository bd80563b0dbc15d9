//! Answers: a status, JSON, and the headers that every answer of the site has.

use crate::problem::Problem;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use serde_json::Value;
use std::convert::Infallible;

/// What the site sends.
pub(crate) type HttpAnswer = Response<AnswerBody>;

/// What an answer's body is: whole, or a stream.
pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// On every answer. Nothing of the API is a page: nothing may be loaded, framed or guessed.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// What an endpoint answers.
pub(crate) struct Answer {
    status: StatusCode,
    body: Content,
    headers: Vec<(HeaderName, String)>,
}

/// What an answer holds.
enum Content {
    Nothing,
    Json(Value),
    Events(BoxStream<'static, Bytes>),
    File(Bytes, String),
}

impl Answer {
    /// 200 with this body.
    pub(crate) fn ok(body: Value) -> Self {
        Self {
            status: StatusCode::OK,
            body: Content::Json(body),
            headers: Vec::new(),
        }
    }

    /// 201 with what was made, and where it is.
    pub(crate) fn created(body: Value, location: String) -> Self {
        Self {
            status: StatusCode::CREATED,
            body: Content::Json(body),
            headers: vec![(LOCATION, location)],
        }
    }

    /// 200 with a file of this media type.
    pub(crate) fn file(bytes: Bytes, media_type: String) -> Self {
        Self {
            status: StatusCode::OK,
            body: Content::File(bytes, media_type),
            headers: Vec::new(),
        }
    }

    /// 308: it is there, for good.
    pub(crate) fn moved(location: String) -> Self {
        Self {
            status: StatusCode::PERMANENT_REDIRECT,
            headers: vec![(LOCATION, location)],
            ..Self::nothing()
        }
    }

    /// 200 with a stream of server-sent events.
    pub(crate) fn events(stream: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self {
            status: StatusCode::OK,
            body: Content::Events(stream.boxed()),
            headers: Vec::new(),
        }
    }

    /// 204.
    pub(crate) fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: Content::Nothing,
            headers: Vec::new(),
        }
    }

    /// 304: the caller has it already.
    pub(crate) fn not_modified() -> Self {
        Self {
            status: StatusCode::NOT_MODIFIED,
            ..Self::nothing()
        }
    }

    /// Adds the entity tag of what is answered.
    pub(crate) fn tagged(self, tag: String) -> Self {
        self.header(ETAG, tag)
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// As it is sent, under this call's id.
pub(crate) fn sent(outcome: Result<Answer, Problem>, request_id: &str) -> HttpAnswer {
    let mut response = match outcome {
        Ok(answer) => of_answer(answer),
        Err(problem) => of_problem(&problem, request_id),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        // A page says for itself what it may load.
        headers.entry(name).or_insert(value);
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

fn whole(body: String) -> AnswerBody {
    Full::new(Bytes::from(body)).boxed_unsync()
}

fn of_answer(answer: Answer) -> HttpAnswer {
    let typed = |body: AnswerBody, media_type: &'static str| {
        let mut response = Response::new(body);
        let media_type = HeaderValue::from_static(media_type);
        response.headers_mut().insert(CONTENT_TYPE, media_type);
        response
    };
    let mut response = match answer.body {
        Content::Json(body) => typed(whole(body.to_string()), "application/json"),
        Content::Events(stream) => {
            let frames = stream.map(|piece| Ok(Frame::data(piece)));
            typed(StreamBody::new(frames).boxed_unsync(), "text/event-stream")
        }
        Content::File(bytes, media_type) => {
            let mut response = Response::new(Full::new(bytes).boxed_unsync());
            if let Ok(media_type) = HeaderValue::from_str(&media_type) {
                response.headers_mut().insert(CONTENT_TYPE, media_type);
            }
            response
        }
        Content::Nothing => Response::new(Empty::new().boxed_unsync()),
    };
    *response.status_mut() = answer.status;
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn of_problem(problem: &Problem, request_id: &str) -> HttpAnswer {
    let body = problem.to_json(request_id).to_string();
    let mut response = Response::new(whole(body));
    *response.status_mut() = problem.kind().status();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    for (name, value) in problem.headers() {
        headers.append(name, value.clone());
    }
    response
}
