//! Finding the token in a request, and taking it out of what goes on.

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue};
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
pub(super) fn take(
    source: &TokenSource,
    forward: bool,
    headers: &mut HeaderMap,
) -> Result<BearerToken, Fault> {
    match source {
        TokenSource::Header => {
            let token = from_authorization(headers)?;
            if !forward {
                headers.remove(AUTHORIZATION);
            }
            Ok(token)
        }
        TokenSource::Cookie(name) => {
            let token = from_cookie(name, headers)?;
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

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn taken(source: &TokenSource, headers: &mut HeaderMap) -> Result<String, Code> {
        let token = take(source, false, headers).map_err(|fault| fault.code())?;
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
        let mut headers = map(&[("authorization", "Bearer a.b.c")]);
        assert!(take(&TokenSource::Header, true, &mut headers).is_ok());
        assert!(headers.contains_key(AUTHORIZATION));
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
        assert!(take(&source, false, &mut only).is_ok());
        assert!(only.is_empty());
        let code = |value: &'static str| taken(&source, &mut map(&[("cookie", value)]));
        assert_eq!(code("xsid=a; sidx=b"), Err(Code::TokenMissing));
        assert_eq!(code("sid=a; sid=b"), Err(Code::TokenAmbiguous));
        let mut header = map(&[("authorization", "Bearer a.b.c")]);
        assert!(take(&source, false, &mut header).is_err());
    }
}
