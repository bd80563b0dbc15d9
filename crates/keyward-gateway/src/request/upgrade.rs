//! WebSocket's opening handshake (RFC 6455, section 4): what a client asks for, and whether the upstream has
//! agreed to it.

use super::{Client, Refusal};
use crate::body::RequestBody;
use crate::message::{AnswerHead, Fields, Header, RequestHead, Version};
use crate::snapshot::Route;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use keyward_model::{Code, Fault};

/// What is spoken in the tunnel, as `Upgrade` names it.
const PROTOCOL: &[u8] = b"websocket";
/// The one version there is (RFC 6455, section 4.1).
const VERSION: &[u8] = b"13";
/// What is added to a key before it is hashed (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The length of a key.
const KEY_BYTES: usize = 16;

/// Whether the call asks for a tunnel, on a route that has some. On others, `Upgrade` is a wish that is not
/// granted (RFC 9110, section 7.8).
pub(super) fn screen(
    route: &Route,
    client: &Client,
    head: &RequestHead,
    body: &RequestBody,
) -> Result<bool, Refusal> {
    let Some(plan) = &route.plan.websocket else {
        return Ok(false);
    };
    let fields = &head.fields;
    if head.method != Method::GET
        || head.version == Version::Http10
        || !has_token(fields, Header::Upgrade, PROTOCOL)
    {
        return Ok(false);
    }
    if !has_token(fields, Header::Connection, b"upgrade") {
        return Err(malformed("`Upgrade` was sent without `Connection: Upgrade`").into());
    }
    if body.left() != Some(0) {
        return Err(malformed("A WebSocket's handshake has no body").into());
    }
    if only(fields, Header::SecWebsocketVersion) != Some(VERSION) {
        let fault = Fault::new(
            Code::UpgradeRequired,
            "`Sec-WebSocket-Version` has to be 13, the one version that is spoken here",
        );
        let mut fields = Fields::new();
        fields.append(Header::SecWebsocketVersion, VERSION);
        return Err(Refusal::with(fault, fields));
    }
    let key = only(fields, Header::SecWebsocketKey);
    let bytes = key.and_then(|key| STANDARD.decode(key).ok());
    if bytes.is_none_or(|bytes| bytes.len() != KEY_BYTES) {
        return Err(malformed("`Sec-WebSocket-Key` is not 16 bytes in base64").into());
    }
    if fields.has(Header::Origin) {
        // A browser says which page asks; whatever sends several is none.
        let origin = only(fields, Header::Origin).unwrap_or_default();
        let host = fields.get(Header::Host);
        if !plan.lets_in(origin, host, client.scheme() == "https") {
            let fault = Fault::new(
                Code::OriginRefused,
                "The page that asks is of an origin that may not open this tunnel",
            );
            let origin = String::from_utf8_lossy(origin).into_owned();
            return Err(fault.because(format_args!("origin is {origin:?}")).into());
        }
    }
    Ok(true)
}

/// What the upstream is asked for; the key and the version are among the client's fields.
pub(super) fn ask(fields: &mut Fields) {
    fields.append(Header::Connection, b"Upgrade");
    fields.append(Header::Upgrade, PROTOCOL);
}

/// Whether the upstream's answer of 101 agrees to what `asked` holds; else what is wrong with it.
pub(super) fn check(asked: &Fields, answer: &AnswerHead) -> Result<(), &'static str> {
    let fields = &answer.fields;
    if !has_token(fields, Header::Upgrade, PROTOCOL)
        || !has_token(fields, Header::Connection, b"upgrade")
    {
        return Err("101 without `Upgrade: websocket` and `Connection: Upgrade`");
    }
    let key = asked.get(Header::SecWebsocketKey).unwrap_or_default();
    if only(fields, Header::SecWebsocketAccept) != Some(accept_of(key).as_bytes()) {
        return Err("101 with a `Sec-WebSocket-Accept` that is not that of the key");
    }
    if fields.has(Header::SecWebsocketProtocol) {
        let chosen = only(fields, Header::SecWebsocketProtocol).unwrap_or_default();
        let mut offered = asked
            .all(Header::SecWebsocketProtocol)
            .flat_map(|value| value.split(|byte| *byte == b','));
        if !offered.any(|offer| offer.trim_ascii() == chosen) {
            return Err("101 with a `Sec-WebSocket-Protocol` that was not offered");
        }
    }
    Ok(())
}

/// What agrees to a key (RFC 6455, section 4.2.2).
fn accept_of(key: &[u8]) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(GUID);
    STANDARD.encode(hash.finish())
}

/// The value of the field, if there is one alone.
fn only(fields: &Fields, header: Header) -> Option<&[u8]> {
    let mut values = fields.all(header);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// Whether a token stands in the field's list, in any case of letters.
fn has_token(fields: &Fields, header: Header, token: &[u8]) -> bool {
    fields
        .all(header)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|member| member.trim_ascii().eq_ignore_ascii_case(token))
}

fn malformed(detail: &'static str) -> Fault {
    Fault::new(Code::BadRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn asked(protocols: &str) -> Fields {
        Fields::from([
            ("sec-websocket-key", KEY),
            ("sec-websocket-protocol", protocols),
        ])
    }

    fn answer(fields: Fields) -> AnswerHead {
        AnswerHead {
            status: StatusCode::SWITCHING_PROTOCOLS,
            version: Version::Http11,
            fields,
        }
    }

    #[test]
    fn a_key_has_the_answer_that_the_rfc_gives_it() {
        assert_eq!(accept_of(KEY.as_bytes()), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn an_upstream_agrees_to_what_was_asked() {
        let accept = accept_of(KEY.as_bytes());
        let good = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, upgrade"),
            ("sec-websocket-accept", accept.as_str()),
            ("sec-websocket-protocol", "chat"),
        ];
        assert_eq!(
            check(&asked("a, chat"), &answer(Fields::from(good))),
            Ok(())
        );
        for (at, value) in [
            (0, "h2c"),
            (1, "close"),
            (2, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo"),
            (3, "other"),
            (3, "a, chat"),
        ] {
            let mut bad = good;
            bad[at].1 = value;
            assert!(
                check(&asked("a, chat"), &answer(Fields::from(bad))).is_err(),
                "{value}"
            );
        }
        let twice = Fields::from([good[0], good[1], good[2], good[2]]);
        assert!(check(&asked(""), &answer(twice)).is_err());
    }
}
