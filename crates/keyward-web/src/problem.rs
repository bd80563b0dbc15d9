//! Refusals as `application/problem+json` (RFC 9457), each with the member at fault where there is one.

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use std::fmt;

/// Where the documents describe each code; the code is its last part.
const TYPE_BASE: &str = "https://keyward.dev/problems/";

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $title:literal;)+) => {
        /// What is wrong, by its stable code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum ProblemKind {
            $($(#[$doc])* $name,)+
        }

        impl ProblemKind {
            /// The stable code.
            pub(crate) const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The status it is answered with.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

kinds! {
    /// The call can't be read: its target, a parameter, a header, or JSON that is none.
    Malformed = "malformed", BAD_REQUEST, "The call can't be read";
    /// No token, or one that is not good.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "A token is needed";
    /// The caller is known and may not do this.
    Forbidden = "forbidden", FORBIDDEN, "You may not do this";
    /// A page of another origin.
    CrossSite = "cross_site", FORBIDDEN, "Pages of other origins may not do this";
    /// The listener is not called so.
    UnknownHost = "unknown_host", MISDIRECTED_REQUEST, "Nobody is called so here";
    /// It is not there, or not for the caller to see.
    NotFound = "not_found", NOT_FOUND, "There is no such thing";
    /// The address does not take this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The method is not allowed";
    /// There is one of the same name.
    Exists = "exists", CONFLICT, "It is there already";
    /// What an earlier call with the same key has made was taken away since.
    Gone = "gone", CONFLICT, "It was made, and is gone";
    /// It does not fit what else there is.
    Unfit = "unfit", CONFLICT, "It does not fit the rest of the configuration";
    /// It stands in the node's file.
    ReadOnly = "read_only", CONFLICT, "It stands in the node's own file";
    /// The key of an earlier call stands on another one.
    KeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The key belongs to another call";
    /// Others changed it meanwhile, again and again.
    Contended = "contended", CONFLICT, "Others are changing the same things";
    /// Somebody changed it since it was read.
    Changed = "precondition_failed", PRECONDITION_FAILED, "It is not what you have read";
    /// A change has to say of what.
    Unconditional = "precondition_required", PRECONDITION_REQUIRED, "Say what you have read";
    /// The call does not say how long its body is.
    LengthRequired = "length_required", LENGTH_REQUIRED, "Say how long the body is";
    /// The body is larger than is taken here.
    TooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body is of a type that is not taken here.
    MediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body's media type is not taken here";
    /// What is declared can't be what it is meant to be.
    Invalid = "invalid", UNPROCESSABLE_ENTITY, "What is declared is not right";
    /// A limit has nothing left.
    TooMany = "too_many_requests", TOO_MANY_REQUESTS, "That was too often";
    /// The database or the node can't do it just now.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "It can't be done just now";
    /// A mistake of ours.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong here";
}

/// A part of what was sent, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberFlaw {
    /// Where it stands: a JSON pointer into the body (RFC 6901), or `query:NAME`, `header:NAME`.
    pub(crate) member: String,
    /// A stable code.
    pub(crate) code: &'static str,
    /// What is wrong, and what to do.
    pub(crate) detail: String,
}

/// A refusal.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    kind: ProblemKind,
    detail: String,
    flaws: Vec<MemberFlaw>,
    because: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A refusal with the text for the caller.
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            detail: detail.into(),
            flaws: Vec::new(),
            because: None,
            headers: Vec::new(),
        }))
    }

    /// A refusal because of one part of what was sent.
    pub(crate) fn of_member(
        kind: ProblemKind,
        member: impl Into<String>,
        code: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        Self::new(kind, detail.clone()).with(vec![MemberFlaw {
            member: member.into(),
            code,
            detail,
        }])
    }

    /// What is there for nobody, and what is not for the caller to see.
    pub(crate) fn not_found() -> Self {
        Self::new(
            ProblemKind::NotFound,
            "Nothing of this name is there, as far as you may see",
        )
    }

    /// Adds the parts at fault.
    pub(crate) fn with(mut self, flaws: Vec<MemberFlaw>) -> Self {
        self.0.flaws = flaws;
        self
    }

    /// The same, of a part of what was sent: members stand below `prefix`.
    pub(crate) fn below(mut self, prefix: &str) -> Self {
        for flaw in &mut self.0.flaws {
            flaw.member.insert_str(0, prefix);
        }
        self
    }

    /// The same, told of a thing by its name.
    pub(crate) fn about(mut self, name: &str) -> Self {
        self.0.detail.insert_str(0, &format!("{name}: "));
        self
    }

    /// The parts at fault.
    pub(crate) fn into_flaws(self) -> Vec<MemberFlaw> {
        self.0.flaws
    }

    /// The text for the caller.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Adds what only the operator may know, for the log.
    pub(crate) fn because(mut self, reason: impl fmt::Display) -> Self {
        self.0.because = Some(reason.to_string());
        self
    }

    /// Adds a header to the answer.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    pub(crate) fn kind(&self) -> ProblemKind {
        self.0.kind
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.0.because.as_deref()
    }

    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.headers
    }

    /// The body, under the call's id.
    pub(crate) fn to_json(&self, request_id: &str) -> Value {
        let Parts {
            kind,
            detail,
            flaws,
            ..
        } = &*self.0;
        let mut body = json!({
            "type": format!("{TYPE_BASE}{}", kind.code()),
            "title": kind.title(),
            "status": kind.status().as_u16(),
            "detail": detail,
            "code": kind.code(),
            "request_id": request_id,
        });
        if !flaws.is_empty()
            && let Value::Object(body) = &mut body
        {
            let flaws = flaws.iter().map(
                |flaw| json!({ "member": flaw.member, "code": flaw.code, "detail": flaw.detail }),
            );
            body.insert("errors".to_owned(), flaws.collect());
        }
        body
    }
}

/// What the store says of itself is for the operator.
impl From<keyward_store::Error> for Problem {
    fn from(error: keyward_store::Error) -> Self {
        if matches!(error, keyward_store::Error::NoTeam) {
            return Self::not_found();
        }
        let detail = if matches!(error, keyward_store::Error::Unacknowledged(_)) {
            "It is not known whether this was done: before you try again, look for this call's id in the history (`GET /revisions`)"
        } else {
            "The database can't do this just now: try again, or ask who runs this node"
        };
        Self::new(ProblemKind::Unavailable, detail).because(format!("{error} [{}]", error.code()))
    }
}
