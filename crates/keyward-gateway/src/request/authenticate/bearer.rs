//! Finding the token in a request, and taking it out of what goes on.

use crate::message::{Fields, Header, RequestHead, Span};
use crate::snapshot::decodes_to;
use keyward_model::resource::TokenSource;
use keyward_model::{Code, Fault};

/// A token as it stood in a header: not copied, since most are known already by their hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct BearerToken<'a>(&'a [u8]);

impl<'a> BearerToken<'a> {
    /// The token's bytes, whatever they are.
    pub(super) fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// The token's text, if it has the characters of one (`b64token`, RFC 6750, section 2.1).
    pub(super) fn text(self) -> Result<&'a str, Fault> {
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

/// What was taken out of a request: where the token stands, and by which scheme it was shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    place: Span,
    scheme: Scheme,
}

/// How a token was shown.
#[derive(Clone, Copy, Debug)]
enum Scheme {
    /// `Bearer` (RFC 6750), or a cookie.
    Bearer,
    /// `DPoP` (RFC 9449, section 7.1), with where its proof stands.
    Dpop(Proofs),
}

/// The `DPoP` headers of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proofs {
    None,
    One(Span),
    Several,
}

impl Taken {
    /// The token.
    pub(super) fn token<'f>(&self, fields: &'f Fields) -> BearerToken<'f> {
        BearerToken(self.place.of(fields.bytes()))
    }

    /// Whether it came by the scheme `DPoP`.
    pub(super) fn is_dpop(&self) -> bool {
        matches!(self.scheme, Scheme::Dpop(_))
    }

    /// The proofs that came along.
    pub(super) fn proofs(&self) -> Proofs {
        match self.scheme {
            Scheme::Bearer => Proofs::None,
            Scheme::Dpop(proofs) => proofs,
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
    head: &mut RequestHead,
) -> Result<Taken, Fault> {
    let in_query = head.query().is_some_and(has_token);
    let fields = &mut head.fields;
    match source {
        TokenSource::Header => {
            let (place, is_dpop) = from_authorization(fields)?;
            if in_query {
                return Err(ambiguous(
                    "A token stands in `Authorization` and in the query; send it in `Authorization` alone",
                ));
            }
            let scheme = if is_dpop {
                Scheme::Dpop(proofs(fields))
            } else {
                Scheme::Bearer
            };
            if !forward {
                remove(fields);
            }
            Ok(Taken { place, scheme })
        }
        TokenSource::Cookie(name) => {
            let place = from_cookie(name, fields)?;
            if in_query || in_authorization(fields) {
                return Err(ambiguous(
                    "A token stands in the cookie and elsewhere; send it in the cookie alone",
                ));
            }
            if !forward {
                remove_cookie(name, fields);
            }
            Ok(Taken {
                place,
                scheme: Scheme::Bearer,
            })
        }
    }
}

/// Takes out what `Authorization` says, and the proof that goes with it.
pub(super) fn remove(fields: &mut Fields) {
    fields.retain(|field| !matches!(field.header, Header::Authorization | Header::Dpop));
}

/// Whether `Authorization` begins with one of these schemes, which are in lower case.
pub(super) fn has_scheme(head: &RequestHead, schemes: &[&[u8]]) -> bool {
    head.fields.all(Header::Authorization).any(|value| {
        let scheme = value.split(|byte| *byte == b' ').next();
        scheme.is_some_and(|scheme| {
            schemes
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known))
        })
    })
}

/// Whether the cookie of this name is there.
pub(super) fn has_cookie(head: &RequestHead, name: &str) -> bool {
    cookies(&head.fields).any(|cookie| named(cookie, name).is_some())
}

fn proofs(fields: &Fields) -> Proofs {
    let mut values = fields.all(Header::Dpop);
    match (values.next(), values.next(), fields.place(Header::Dpop)) {
        (Some(_), None, Some(place)) => Proofs::One(place),
        (None, _, _) | (Some(_), None, None) => Proofs::None,
        (Some(_), Some(_), _) => Proofs::Several,
    }
}

/// Whether the token is a JWE in compact form: five parts instead of three (RFC 7516, section 9).
pub(super) fn is_encrypted(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 4
}

/// Whether the query has a token (RFC 6750, section 2.3).
pub(super) fn has_token(query: &str) -> bool {
    query.split('&').any(|parameter| {
        // However it is spelled: the upstream decodes names too.
        let (name, _) = parameter.split_once('=').unwrap_or((parameter, ""));
        decodes_to(name.as_bytes(), b"access_token")
    })
}

/// Whether `Authorization` shows a token, in a form that any server may read as one.
pub(super) fn in_authorization(fields: &Fields) -> bool {
    fields.all(Header::Authorization).any(|value| {
        // By white space of any kind: another server may be less strict than we are.
        let mut words = value.split(u8::is_ascii_whitespace);
        words.find(|word| !word.is_empty()).is_some_and(|scheme| {
            scheme.eq_ignore_ascii_case(b"bearer") || scheme.eq_ignore_ascii_case(b"dpop")
        })
    })
}

/// The token, and whether the scheme is `DPoP`: RFC 6750, section 2.1; RFC 9449, section 7.1.
fn from_authorization(fields: &Fields) -> Result<(Span, bool), Fault> {
    let mut values = fields.all(Header::Authorization);
    let (Some(text), Some(place)) = (values.next(), fields.place(Header::Authorization)) else {
        return Err(missing("Send a token as `Authorization: Bearer …`"));
    };
    if values.next().is_some() {
        return Err(ambiguous(
            "`Authorization` stands there twice; send one credential",
        ));
    }
    let scheme_end = text
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(text.len());
    let (scheme, rest) = text.split_at(scheme_end);
    let is_dpop = scheme.eq_ignore_ascii_case(b"dpop");
    if !is_dpop && !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(missing(
            "`Authorization` holds no bearer token; send `Authorization: Bearer …`",
        ));
    }
    let start = text.len() - rest.trim_ascii_start().len();
    let length = rest.trim_ascii().len();
    if length == 0 {
        return Err(missing("There is no token after `Bearer`"));
    }
    Ok((place.part(start, start + length), is_dpop))
}

fn cookies(fields: &Fields) -> impl Iterator<Item = &str> {
    fields
        .all(Header::Cookie)
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(';'))
        .map(str::trim)
}

fn named<'a>(cookie: &'a str, name: &str) -> Option<&'a str> {
    cookie
        .split_once('=')
        .filter(|(own, _)| *own == name)
        .map(|(_, value)| value)
}

pub(crate) fn from_cookie(name: &str, fields: &mut Fields) -> Result<Span, Fault> {
    if !fields.all(Header::Cookie).all(<[u8]>::is_ascii) {
        return Err(ambiguous(
            "`Cookie` has a character outside ASCII, which servers read differently; take it out",
        ));
    }
    let mut values = cookies(fields).filter_map(|cookie| named(cookie, name));
    let Some(value) = values.next() else {
        return Err(missing(&format!(
            "The cookie `{name}` with the token is missing"
        )));
    };
    let value = value.to_owned();
    if values.next().is_some() {
        return Err(ambiguous(
            "The cookie with the token stands there twice; send it once",
        ));
    }
    drop(values);
    Ok(fields.keep(value.as_bytes()))
}

/// Takes the cookie of this name out.
pub(crate) fn remove_cookie(name: &str, fields: &mut Fields) {
    let rest: Vec<&str> = cookies(fields)
        .filter(|cookie| !cookie.is_empty() && named(cookie, name).is_none())
        .collect();
    let rest = rest.join("; ");
    fields.remove(Header::Cookie);
    if !rest.is_empty() {
        fields.append(Header::Cookie, rest.as_bytes());
    }
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

    fn head(target: &str, fields: &[(&str, &str)]) -> RequestHead {
        let mut text = format!("GET {target} HTTP/1.1\r\nhost: a\r\n");
        for (name, value) in fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let mut head = RequestHead::parsed(&text);
        head.fields.remove(Header::Host);
        head
    }

    /// What is taken, and the fields that are left.
    fn taken(source: &TokenSource, fields: &[(&str, &str)]) -> Result<(String, Fields), Code> {
        let mut head = head("/", fields);
        let taken = take(source, false, &mut head).map_err(|fault| fault.code())?;
        let token = taken.token(&head.fields).text();
        let token = token.map(str::to_owned).map_err(|fault| fault.code())?;
        Ok((token, head.fields))
    }

    #[test]
    fn one_bearer_token_is_taken_out_of_the_header() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c "] {
            assert_eq!(
                taken(
                    &TokenSource::Header,
                    &[("x", "y"), ("authorization", value)]
                ),
                Ok(("a.b.c".to_owned(), Fields::from([("x", "y")])))
            );
        }
        let mut forwarded = head("/", &[("authorization", "Bearer a.b.c")]);
        assert!(take(&TokenSource::Header, true, &mut forwarded).is_ok());
        assert!(forwarded.fields.has(Header::Authorization));
    }

    #[test]
    fn a_token_with_a_proof_is_taken_with_it() {
        for (proofs, expected) in [
            (&[][..], "none"),
            (&["p.q.r"][..], "p.q.r"),
            (&["p.q.r", "p.q.r"][..], "several"),
        ] {
            let mut fields = vec![("authorization", "dpop a.b.c")];
            fields.extend(proofs.iter().map(|proof| ("dpop", *proof)));
            let mut head = head("/", &fields);
            let taken = take(&TokenSource::Header, false, &mut head).unwrap();
            assert!(taken.is_dpop());
            assert_eq!(taken.token(&head.fields).text().unwrap(), "a.b.c");
            let found = match taken.proofs() {
                Proofs::None => "none",
                Proofs::One(place) => std::str::from_utf8(place.of(head.fields.bytes())).unwrap(),
                Proofs::Several => "several",
            };
            assert_eq!(found, expected);
            assert_eq!(head.fields, Fields::new());
        }
    }

    #[test]
    fn anything_but_one_bearer_token_is_refused() {
        let code = |fields: &[(&str, &str)]| taken(&TokenSource::Header, fields).map(|_| ());
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
        assert_eq!(
            taken(&source, &[("cookie", "a=b; sid=x.y.z; c=d")]),
            Ok(("x.y.z".to_owned(), Fields::from([("cookie", "a=b; c=d")])))
        );
        assert_eq!(
            taken(&source, &[("cookie", "sid=x.y.z")]),
            Ok(("x.y.z".to_owned(), Fields::new()))
        );
        let code = |value: &str| taken(&source, &[("cookie", value)]).map(|_| ());
        assert_eq!(code("xsid=a; sidx=b"), Err(Code::TokenMissing));
        assert_eq!(code("sid=a; sid=b"), Err(Code::TokenAmbiguous));
        assert!(taken(&source, &[("authorization", "Bearer a.b.c")]).is_err());
    }

    #[test]
    fn a_token_in_two_places_is_refused() {
        let code = |source: &TokenSource, target: &str, fields: &[(&str, &str)]| {
            take(source, false, &mut head(target, fields))
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
        for spelled in ["/?access%5Ftoken=a", "/?%61ccess_token=a", "/?access_token"] {
            assert_eq!(code(&in_header, spelled, &[bearer]), refused, "{spelled}");
            assert_eq!(code(&in_cookie, spelled, &[cookie]), refused, "{spelled}");
        }
        for other in [
            "/?x_access_token=a",
            "/?access_token_x=a",
            "/?a=access_token",
        ] {
            assert!(code(&in_header, other, &[bearer]).is_ok(), "{other}");
        }
        for spelled in ["bearer a", "Bearer\ta", "DPoP a", "Bearer"] {
            let beside = ("authorization", spelled);
            assert_eq!(
                code(&in_cookie, "/", &[cookie, beside]),
                refused,
                "{spelled}"
            );
        }
        let basic = ("authorization", "Basic YTpi");
        assert!(code(&in_cookie, "/", &[cookie, basic]).is_ok());
    }
}
