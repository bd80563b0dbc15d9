//! Finding the token in a request, and taking it out of what goes on.

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue};
use http::request::Parts;
use keyward_model::resource::TokenSource;
use keyward_model::{Code, Fault};
use std::ops::Range;

/// A token as it stood in a header: not copied, since most are known already by their hash.
#[derive(Clone, Debug)]
pub(super) struct BearerToken {
    header: HeaderValue,
    place: Range<usize>,
}

impl BearerToken {
    /// The token's bytes, whatever they are.
    pub(super) fn bytes(&self) -> &[u8] {
        self.header
            .as_bytes()
            .get(self.place.clone())
            .unwrap_or_default()
    }

    /// The token's text, if it has the characters of one (`b64token`, RFC 6750, section 2.1).
    pub(super) fn text(&self) -> Result<&str, Fault> {
        let plain = |byte: &u8| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
        };
        match std::str::from_utf8(self.bytes()) {
            Ok(text) if text.bytes().all(|byte| plain(&byte)) => Ok(text),
            Ok(_) | Err(_) => Err(Fault::new(
                Code::TokenInvalid,
                "The token has a character that no token has; send it as it was issued",
            )),
        }
    }
}

/// The token. Unless it is to be forwarded it is no longer in the headers afterwards.
///
/// A token in another place too is refused (RFC 6750, section 2): the upstream could believe the one that
/// nobody checked.
pub(super) fn take(
    source: &TokenSource,
    forward: bool,
    head: &mut Parts,
) -> Result<BearerToken, Fault> {
    let in_query = head.uri.query().is_some_and(has_token);
    let headers = &mut head.headers;
    match source {
        TokenSource::Header => {
            let token = from_authorization(headers)?;
            if in_query {
                return Err(ambiguous(
                    "A token stands in `Authorization` and in the query; send it in `Authorization` alone",
                ));
            }
            if !forward {
                headers.remove(AUTHORIZATION);
            }
            Ok(token)
        }
        TokenSource::Cookie(name) => {
            let token = from_cookie(name, headers)?;
            if in_query || headers.get_all(AUTHORIZATION).iter().any(is_bearer) {
                return Err(ambiguous(
                    "A token stands in the cookie and elsewhere; send it in the cookie alone",
                ));
            }
            if !forward {
                remove_cookie(name, headers);
            }
            Ok(token)
        }
    }
}

/// Whether the token is a JWE in compact form: five parts instead of three (RFC 7516, section 9).
pub(super) fn is_encrypted(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 4
}

/// Whether the query has a token (RFC 6750, section 2.3).
fn has_token(query: &str) -> bool {
    query
        .split('&')
        .any(|parameter| parameter.starts_with("access_token="))
}

fn is_bearer(value: &HeaderValue) -> bool {
    let scheme = value.as_bytes().split(|byte| *byte == b' ').next();
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
}

/// RFC 6750, section 2.1.
fn from_authorization(headers: &HeaderMap) -> Result<BearerToken, Fault> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(missing("Send a token as `Authorization: Bearer …`"));
    };
    if values.next().is_some() {
        return Err(ambiguous(
            "`Authorization` stands there twice; send one credential",
        ));
    }
    let text = value.as_bytes();
    let scheme_end = text
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(text.len());
    let (scheme, rest) = text.split_at(scheme_end);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(missing(
            "`Authorization` holds no bearer token; send `Authorization: Bearer …`",
        ));
    }
    let start = text.len() - rest.trim_ascii_start().len();
    let place = start..start + rest.trim_ascii().len();
    if place.is_empty() {
        return Err(missing("There is no token after `Bearer`"));
    }
    let header = value.clone();
    Ok(BearerToken { header, place })
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(str::trim)
}

fn named<'a>(cookie: &'a str, name: &str) -> Option<&'a str> {
    cookie
        .split_once('=')
        .filter(|(own, _)| *own == name)
        .map(|(_, value)| value)
}

fn from_cookie(name: &str, headers: &HeaderMap) -> Result<BearerToken, Fault> {
    let readable = |value: &HeaderValue| value.to_str().is_ok();
    if !headers.get_all(COOKIE).iter().all(readable) {
        return Err(ambiguous(
            "`Cookie` has a character outside ASCII, which servers read differently; take it out",
        ));
    }
    let mut values = cookies(headers).filter_map(|cookie| named(cookie, name));
    let Some(value) = values.next() else {
        return Err(missing(&format!(
            "The cookie `{name}` with the token is missing"
        )));
    };
    if values.next().is_some() {
        return Err(ambiguous(
            "The cookie with the token stands there twice; send it once",
        ));
    }
    let header = HeaderValue::from_str(value).map_err(|_| ambiguous("The cookie can't be read"))?;
    let place = 0..header.len();
    Ok(BearerToken { header, place })
}

fn remove_cookie(name: &str, headers: &mut HeaderMap) {
    let rest: Vec<&str> = cookies(headers)
        .filter(|cookie| !cookie.is_empty() && named(cookie, name).is_none())
        .collect();
    let rest = HeaderValue::from_str(&rest.join("; "))
        .ok()
        .filter(|rest| !rest.is_empty());
    match rest {
        Some(rest) => headers.insert(COOKIE, rest),
        None => headers.remove(COOKIE),
    };
}

fn missing(detail: &str) -> Fault {
    Fault::new(Code::TokenMissing, detail)
}

fn ambiguous(detail: &str) -> Fault {
    Fault::new(Code::TokenAmbiguous, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: HeaderMap) -> Parts {
        let mut head = http::Request::new(()).into_parts().0;
        head.headers = headers;
        head
    }

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    /// What is taken, with the headers left in place of those given.
    fn taken(source: &TokenSource, headers: &mut HeaderMap) -> Result<String, Code> {
        let mut head = head(std::mem::take(headers));
        let token = take(source, false, &mut head);
        *headers = head.headers;
        let token = token.map_err(|fault| fault.code())?;
        token
            .text()
            .map(str::to_owned)
            .map_err(|fault| fault.code())
    }

    #[test]
    fn one_bearer_token_is_taken_out_of_the_header() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c "] {
            let mut headers = map(&[("x", "y")]);
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(
                taken(&TokenSource::Header, &mut headers),
                Ok("a.b.c".to_owned())
            );
            assert_eq!(headers, map(&[("x", "y")]));
        }
        let mut forwarded = head(map(&[("authorization", "Bearer a.b.c")]));
        assert!(take(&TokenSource::Header, true, &mut forwarded).is_ok());
        assert!(forwarded.headers.contains_key(AUTHORIZATION));
    }

    #[test]
    fn anything_but_one_bearer_token_is_refused() {
        let code =
            |fields: &[(&'static str, &'static str)]| taken(&TokenSource::Header, &mut map(fields));
        assert_eq!(code(&[]), Err(Code::TokenMissing));
        assert_eq!(
            code(&[("authorization", "Basic YTpi")]),
            Err(Code::TokenMissing)
        );
        assert_eq!(
            code(&[("authorization", "Bearer")]),
            Err(Code::TokenMissing)
        );
        assert_eq!(
            code(&[("authorization", "Bearera.b.c")]),
            Err(Code::TokenMissing)
        );
        assert_eq!(
            code(&[("authorization", "Bearer a b")]),
            Err(Code::TokenInvalid)
        );
        assert_eq!(
            code(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]),
            Err(Code::TokenAmbiguous)
        );
        assert_eq!(code(&[("cookie", "token=a.b.c")]), Err(Code::TokenMissing));
    }

    #[test]
    fn a_cookie_is_the_only_place_where_a_route_says_so() {
        let source = TokenSource::Cookie("sid".into());
        let mut headers = map(&[("cookie", "a=b; sid=x.y.z; c=d")]);
        assert_eq!(taken(&source, &mut headers), Ok("x.y.z".to_owned()));
        assert_eq!(headers, map(&[("cookie", "a=b; c=d")]));
        let mut only = map(&[("cookie", "sid=x.y.z")]);
        assert!(taken(&source, &mut only).is_ok());
        assert!(only.is_empty());
        let code = |value: &'static str| taken(&source, &mut map(&[("cookie", value)]));
        assert_eq!(code("xsid=a; sidx=b"), Err(Code::TokenMissing));
        assert_eq!(code("sid=a; sid=b"), Err(Code::TokenAmbiguous));
        let mut header = map(&[("authorization", "Bearer a.b.c")]);
        assert!(taken(&source, &mut header).is_err());
    }

    #[test]
    fn a_token_in_two_places_is_refused() {
        let code =
            |source: &TokenSource, uri: &'static str, fields: &[(&'static str, &'static str)]| {
                let mut head = head(map(fields));
                head.uri = http::Uri::from_static(uri);
                take(source, false, &mut head)
                    .map(|_| ())
                    .map_err(|fault| fault.code())
            };
        let bearer = ("authorization", "Bearer a.b.c");
        let cookie = ("cookie", "sid=x.y.z");
        let in_cookie = TokenSource::Cookie("sid".into());
        let in_header = TokenSource::Header;
        let refused = Err(Code::TokenAmbiguous);
        assert_eq!(code(&in_cookie, "/", &[cookie, bearer]), refused);
        assert_eq!(code(&in_cookie, "/?access_token=a", &[cookie]), refused);
        assert_eq!(code(&in_header, "/?x=y&access_token=a", &[bearer]), refused);
        assert!(code(&in_header, "/?x_access_token=a", &[bearer]).is_ok());
        let basic = ("authorization", "Basic YTpi");
        assert!(code(&in_cookie, "/", &[cookie, basic]).is_ok());
    }
}
