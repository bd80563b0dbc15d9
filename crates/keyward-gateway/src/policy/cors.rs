//! Pages of which origins may read answers (Fetch standard, CORS protocol).

use crate::body::AnswerBody;
use crate::message::{Fields, Header, RequestHead};
use crate::request::headers::vary;
use crate::request::{Answer, Refusal};
use bytes::Bytes;
use hashbrown::HashSet;
use http::{Method, StatusCode};
use keyward_model::resource::policy::{AllowedOrigins, Cors, HeaderNames, OriginPattern};
use keyward_model::{Code, Fault};

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
const ALLOW_METHODS: &str = "access-control-allow-methods";
const ALLOW_HEADERS: &str = "access-control-allow-headers";
const ALLOW_PRIVATE_NETWORK: &str = "access-control-allow-private-network";
const EXPOSE_HEADERS: &str = "access-control-expose-headers";
const MAX_AGE: &str = "access-control-max-age";
const REQUEST_HEADERS: &str = "access-control-request-headers";
const REQUEST_PRIVATE_NETWORK: &str = "access-control-request-private-network";

/// What pages may do, prepared.
#[derive(Debug)]
pub(super) struct CorsPlan {
    /// `None`: every page.
    origins: Option<Origins>,
    methods: Option<Box<[Box<str>]>>,
    /// `None`: every header.
    headers: Option<HashSet<Box<str>>>,
    /// The same as answers to preflights list them.
    header_list: Box<str>,
    expose: Box<str>,
    credentials: bool,
    max_age: Box<str>,
    private_network: bool,
    refuse_others: bool,
}

#[derive(Debug)]
struct Origins {
    exact: HashSet<Box<str>>,
    below: Box<[OriginPattern]>,
    null: bool,
}

/// How the page that a call comes from stands to the policy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The call has no origin: it comes from no page, or from one of this very origin.
    NoPage,
    /// It may read the answer, which names it so.
    Allowed(Box<[u8]>),
    Foreign,
    /// It was told already, by the answer to a preflight.
    Told,
}

/// Whether the call only asks if another may be made.
pub(super) fn is_preflight(head: &RequestHead) -> bool {
    head.method == Method::OPTIONS
        && head.fields.has(Header::Origin)
        && head.fields.has(Header::AccessControlRequestMethod)
}

impl CorsPlan {
    pub(super) fn new(declared: &Cors) -> Self {
        let origins = match &declared.origins {
            AllowedOrigins::Any => None,
            AllowedOrigins::Listed { exact, below, null } => Some(Origins {
                exact: exact.iter().map(|origin| origin.as_str().into()).collect(),
                below: below.as_slice().into(),
                null: *null,
            }),
        };
        let (headers, header_list) = match &declared.headers {
            HeaderNames::Any => (None, String::new()),
            HeaderNames::Listed(names) => (Some(names.iter().cloned().collect()), names.join(", ")),
        };
        let expose = match &declared.expose {
            HeaderNames::Any => "*".to_owned(),
            HeaderNames::Listed(names) => names.join(", "),
        };
        Self {
            origins,
            methods: declared.methods.as_deref().map(Into::into),
            headers,
            header_list: header_list.into(),
            expose: expose.into(),
            credentials: declared.credentials,
            max_age: declared.max_age.as_secs().to_string().into(),
            private_network: declared.private_network,
            refuse_others: declared.refuse_others,
        }
    }

    /// How the page of these fields stands.
    pub(super) fn standing(&self, fields: &Fields) -> Standing {
        let mut values = fields.all(Header::Origin);
        let Some(origin) = values.next() else {
            return Standing::NoPage;
        };
        // A browser names one; whoever names several is none.
        if values.next().is_some() {
            return Standing::Foreign;
        }
        match &self.origins {
            None => Standing::Allowed(Box::from(*b"*")),
            Some(origins) if origins.has(origin) => Standing::Allowed(origin.into()),
            Some(_) => Standing::Foreign,
        }
    }

    /// Refuses calls of other origins, where that is asked for. `secure`: the client speaks TLS with us.
    pub(super) fn lets_in(
        &self,
        head: &RequestHead,
        standing: &Standing,
        secure: bool,
    ) -> Result<(), Fault> {
        if !self.refuse_others || *standing != Standing::Foreign || is_own(&head.fields, secure) {
            return Ok(());
        }
        Err(foreign(&head.fields))
    }

    /// The answer to a preflight.
    pub(super) fn preflight(
        &self,
        head: &RequestHead,
        standing: &mut Standing,
    ) -> Result<Answer, Refusal> {
        let Standing::Allowed(origin) = standing else {
            return Err(foreign(&head.fields).into());
        };
        let mut asked = head.fields.all(Header::AccessControlRequestMethod);
        let (method, None) = (asked.next().unwrap_or_default(), asked.next()) else {
            return Err(refused("A preflight asks for one method").into());
        };
        let listed = self.methods.as_ref().is_none_or(|methods| {
            let mut methods = methods.iter();
            methods.any(|known| known.as_bytes() == method)
        });
        // What is no method at all has led to no route, or to one that takes them all.
        if !listed || Method::from_bytes(method).is_err() {
            let method = String::from_utf8_lossy(method).into_owned();
            return Err(refused(format!("Pages may not call this with `{method}`")).into());
        }
        let mut names = Vec::new();
        for name in header_names(&head.fields) {
            let known = std::str::from_utf8(&name).ok().filter(|name| {
                let headers = self.headers.as_ref();
                headers.map_or_else(|| is_token(name), |headers| headers.contains(*name))
            });
            let Some(known) = known else {
                let name = String::from_utf8_lossy(&name).into_owned();
                return Err(refused(format!("Pages may not send the header `{name}`")).into());
            };
            names.push(known.to_owned());
        }
        let mut fields = Fields::new();
        fields.append_named(ALLOW_ORIGIN, origin);
        if self.credentials {
            fields.append_named(ALLOW_CREDENTIALS, b"true");
        }
        // The route takes the method, else it would not have been found by it.
        let methods = self.methods.as_ref().map(|methods| methods.join(", "));
        let methods = methods.as_deref().map_or(method, str::as_bytes);
        fields.append_named(ALLOW_METHODS, methods);
        // `*` would leave `Authorization` out (Fetch standard): those that are asked for are named.
        let asked = names.join(", ");
        let list = match &self.headers {
            Some(_) => &*self.header_list,
            None => &asked,
        };
        if !list.is_empty() {
            fields.append_named(ALLOW_HEADERS, list.as_bytes());
        }
        let mut private = head.fields.all_named(REQUEST_PRIVATE_NETWORK);
        if self.private_network && private.next() == Some(b"true") {
            fields.append_named(ALLOW_PRIVATE_NETWORK, b"true");
        }
        fields.append_named(MAX_AGE, self.max_age.as_bytes());
        for name in ["access-control-request-method", REQUEST_HEADERS] {
            vary(&mut fields, name.as_bytes());
        }
        *standing = Standing::Told;
        let body = AnswerBody::full(Bytes::new());
        Ok(Answer::own(StatusCode::NO_CONTENT, fields, body))
    }

    /// Says on an answer who may read it, in the place of whatever the upstream says.
    pub(super) fn finish(&self, standing: &Standing, fields: &mut Fields) {
        if *standing != Standing::Told {
            fields.retain(|field| !field.name.starts_with(b"access-control-"));
        }
        if let Standing::Allowed(origin) = standing {
            fields.append_named(ALLOW_ORIGIN, origin);
            if self.credentials {
                fields.append_named(ALLOW_CREDENTIALS, b"true");
            }
            if !self.expose.is_empty() {
                fields.append_named(EXPOSE_HEADERS, self.expose.as_bytes());
            }
        }
        // Also where no page asked: the same address answers pages otherwise, and a cache has to know.
        if self.origins.is_some() {
            vary(fields, b"origin");
        }
    }
}

impl Origins {
    fn has(&self, origin: &[u8]) -> bool {
        let Ok(origin) = std::str::from_utf8(origin) else {
            return false;
        };
        if origin == "null" {
            return self.null;
        }
        self.exact.contains(origin) || self.below.iter().any(|pattern| pattern.covers(origin))
    }
}

/// Whether the page's origin is the host that is called. In clear, TLS may have ended before us.
fn is_own(fields: &Fields, secure: bool) -> bool {
    let mut origins = fields.all(Header::Origin);
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return false;
    };
    let own = origin
        .strip_prefix(b"https://")
        .or_else(|| origin.strip_prefix(b"http://").filter(|_| !secure));
    own.zip(fields.get(Header::Host))
        .is_some_and(|(own, host)| own.eq_ignore_ascii_case(host))
}

/// The names that a preflight asks for, in lower case.
fn header_names(fields: &Fields) -> impl Iterator<Item = Vec<u8>> {
    fields
        .all_named(REQUEST_HEADERS)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(|name| name.trim_ascii().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
}

fn is_token(name: &str) -> bool {
    http::HeaderName::from_bytes(name.as_bytes()).is_ok()
}

fn foreign(fields: &Fields) -> Fault {
    let origins: Vec<_> = fields
        .all(Header::Origin)
        .map(|origin| String::from_utf8_lossy(origin).into_owned())
        .collect();
    Fault::new(
        Code::OriginRefused,
        "Pages of this origin may not call this; if they should, the API's publisher lists the origin",
    )
    .because(format_args!("the origin is {origins:?}"))
}

fn refused(detail: impl Into<Box<str>>) -> Fault {
    Fault::new(Code::PreflightRefused, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(origins: AllowedOrigins) -> CorsPlan {
        CorsPlan::new(&Cors {
            origins,
            methods: None,
            headers: HeaderNames::Any,
            expose: HeaderNames::Listed(Vec::new()),
            credentials: false,
            max_age: std::time::Duration::from_secs(5),
            private_network: false,
            refuse_others: true,
        })
    }

    fn listed() -> CorsPlan {
        plan(AllowedOrigins::Listed {
            exact: vec!["https://app.example".parse().unwrap()],
            below: vec!["https://*.app.example".parse().unwrap()],
            null: false,
        })
    }

    #[test]
    fn a_page_stands_as_its_one_origin_does() {
        let plan = listed();
        for (origin, allowed) in [
            ("https://app.example", true),
            ("https://a.app.example", true),
            ("https://APP.example", false),
            ("https://app.example.evil.test", false),
            ("null", false),
            ("", false),
        ] {
            let standing = plan.standing(&Fields::from([("origin", origin)]));
            let expected = if allowed {
                Standing::Allowed(origin.as_bytes().into())
            } else {
                Standing::Foreign
            };
            assert_eq!(standing, expected, "{origin}");
        }
        let two = Fields::from([
            ("origin", "https://app.example"),
            ("origin", "https://evil.test"),
        ]);
        assert_eq!(plan.standing(&two), Standing::Foreign);
        assert_eq!(plan.standing(&Fields::new()), Standing::NoPage);
    }

    #[test]
    fn pages_of_the_called_host_are_not_foreign() {
        let plan = listed();
        for (origin, secure, passes) in [
            ("https://api.example", true, true),
            ("http://api.example", true, false),
            ("http://api.example", false, true),
            ("https://api.example:8443", true, false),
            ("https://evil.test", true, false),
        ] {
            let text = format!("POST / HTTP/1.1\r\nHost: api.example\r\nOrigin: {origin}\r\n\r\n");
            let head = RequestHead::parsed(&text);
            let standing = plan.standing(&head.fields);
            let passed = plan.lets_in(&head, &standing, secure).is_ok();
            assert_eq!(passed, passes, "{origin}");
        }
    }

    #[test]
    fn vary_is_said_once_and_only_where_the_answer_differs() {
        let mut fields =
            Fields::from([("vary", "Accept, Origin"), ("access-control-max-age", "9")]);
        listed().finish(&Standing::NoPage, &mut fields);
        assert_eq!(fields, Fields::from([("vary", "Accept, Origin")]));
        let mut fields = Fields::new();
        listed().finish(&Standing::Foreign, &mut fields);
        assert_eq!(fields, Fields::from([("vary", "origin")]));
        let mut fields = Fields::new();
        plan(AllowedOrigins::Any).finish(&Standing::Allowed(Box::from(*b"*")), &mut fields);
        assert_eq!(fields, Fields::from([(ALLOW_ORIGIN, "*")]));
    }
}
