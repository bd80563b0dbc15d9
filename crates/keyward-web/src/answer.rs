//! Answers: a status, JSON, and the headers that every answer of the site has.

use crate::problem::Problem;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;

/// What the site sends.
pub(crate) type HttpAnswer = Response<Full<Bytes>>;

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
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    body: Option<Value>,
    headers: Vec<(HeaderName, String)>,
}

impl Answer {
    /// 200 with this body.
    pub(crate) fn ok(body: Value) -> Self {
        Self {
            status: StatusCode::OK,
            body: Some(body),
            headers: Vec::new(),
        }
    }

    /// 201 with what was made, and where it is.
    pub(crate) fn created(body: Value, location: String) -> Self {
        Self {
            status: StatusCode::CREATED,
            body: Some(body),
            headers: vec![(LOCATION, location)],
        }
    }

    /// 201 with what was made and is kept nowhere.
    pub(crate) fn made(body: Value) -> Self {
        Self {
            status: StatusCode::CREATED,
            ..Self::ok(body)
        }
    }

    /// 204.
    pub(crate) fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: None,
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
        headers.insert(name, value);
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

fn of_answer(answer: Answer) -> HttpAnswer {
    let mut response = match answer.body {
        Some(body) => {
            let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        }
        None => Response::default(),
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
    let mut response = Response::new(Full::new(Bytes::from(body)));
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
