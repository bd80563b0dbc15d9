//! The header `Idempotency-Key`, and what a key is remembered by.
//!
//! The draft's key is a string of a structured field (RFC 9651, section 3.3.3), in quotes. Clients that were written
//! for older services send the key without quotes: that is the same key.

use crate::message::{Fields, RequestHead};
use crate::policy::cache::{host, is_credential};
use crate::request::Authenticated;
use crate::request::forward::Call;
use aws_lc_rs::digest;
use keyward_model::Caller;
use keyward_model::resource::content::AnonymousKeys;
use zeroize::Zeroize as _;

/// The header.
const NAME: &[u8] = b"idempotency-key";
/// The longest key, in bytes: what clients of Stripe know as the most.
pub(super) const KEY_MAX: usize = 255;

/// A key as a client means it: printable ASCII, 1 to [`KEY_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdempotencyKey(Vec<u8>);

/// Why a key can't be read, in words for the caller.
pub(super) type NoKey = &'static str;

/// SHA-256.
pub(super) type Digest = [u8; 32];

/// Whose a key is, of what, and for which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The caller.
    pub(super) caller: Digest,
    /// The key, in its API.
    pub(super) key: Digest,
    /// The request that is sent with it.
    pub(super) request: Digest,
}

impl IdempotencyKey {
    #[cfg(feature = "fuzzing")]
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The call's key; `None` without one.
    pub(super) fn of(fields: &Fields) -> Result<Option<Self>, NoKey> {
        let mut values = fields
            .iter()
            .filter(|field| field.name == NAME)
            .map(|field| field.value);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err("there are two of them");
        }
        Self::parse(value).map(Some)
    }

    pub(super) fn parse(value: &[u8]) -> Result<Self, NoKey> {
        let value = value.trim_ascii();
        let key = match value.split_first() {
            Some((b'"', quoted)) => string(quoted)?,
            Some(_) | None => token(value)?,
        };
        match key.len() {
            0 => Err("it is empty"),
            1..=KEY_MAX => Ok(Self(key)),
            _ => Err("it has more than 255 characters"),
        }
    }
}

/// What follows the first quote of a string.
fn string(quoted: &[u8]) -> Result<Vec<u8>, NoKey> {
    let mut key = Vec::new();
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if bytes.as_slice().is_empty() => return Ok(key),
            b'"' => return Err("something follows the closing quote"),
            b'\\' => match bytes.next() {
                Some(escaped @ (b'"' | b'\\')) => key.push(*escaped),
                Some(_) | None => return Err("`\\` stands before `\"` and `\\` alone"),
            },
            b' '..=b'~' => key.push(*byte),
            _ => return Err("it has other characters than printable ASCII"),
        }
    }
    Err("the closing quote is missing")
}

/// A key without quotes. What would end a member of a list, or a value, is not taken: it is more likely two keys, or a
/// key and something else.
fn token(value: &[u8]) -> Result<Vec<u8>, NoKey> {
    let good = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
    if value.iter().all(good) {
        Ok(value.to_vec())
    } else {
        Err(
            "without quotes it has letters, digits and punctuation alone, and neither `\"`, `,`, `;` nor `\\`",
        )
    }
}

/// What stands for the caller: who it is, and not what proves it, since a token may have been renewed between two
/// tries. `None`: nobody is known, and `anonymous` does not let them share.
pub(super) fn caller(call: &Call<'_>, fields: &Fields, anonymous: AnonymousKeys) -> Option<Digest> {
    let known = match call.admitted.authenticated() {
        Authenticated::Open => None,
        Authenticated::Caller(verified) => of_known(&verified.caller),
    };
    let decision = call.matched.route.route.decision.as_deref();
    let decides = |name: &[u8]| decision.is_some_and(|decision| decision.tells_callers_by(name));
    known.or_else(|| (anonymous == AnonymousKeys::Share).then(|| of_stranger(fields, decides)))
}

/// `None` where nothing tells the caller from others.
fn of_known(caller: &Caller) -> Option<Digest> {
    let credential = caller.credential.map(|id| id.to_string());
    if caller.subject().is_none() && caller.client().is_none() && credential.is_none() {
        return None;
    }
    let team = format!("{:?}", caller.team);
    let mut text = Vec::new();
    for part in [
        Some("caller"),
        Some(caller.method.as_str()),
        Some(&*team),
        caller.issuer.as_deref(),
        caller.subject(),
        caller.client(),
        credential.as_deref(),
    ] {
        push(&mut text, part.unwrap_or_default().as_bytes());
        text.push(u8::from(part.is_some()));
    }
    Some(hashed(text))
}

/// A stranger is what it sends for the upstream to know it by, and what the service that decides about calls says of it.
fn of_stranger(fields: &Fields, decides: impl Fn(&[u8]) -> bool) -> Digest {
    let mut text = Vec::new();
    push(&mut text, b"stranger");
    for field in fields.iter() {
        if is_credential(field.header, field.name) || decides(field.name) {
            push(&mut text, field.name);
            push(&mut text, field.value);
        }
    }
    hashed(text)
}

impl Named {
    /// A key counts in its API, on all routes: one that is used on another is used for another request. `body` is the
    /// whole.
    pub(super) fn of(
        call: &Call<'_>,
        caller: Digest,
        key: &IdempotencyKey,
        head: &RequestHead,
        body: &[u8],
    ) -> Self {
        let labels = &call.matched.route.route.labels;
        let team = format!("{:?}", labels.team);
        let mut name = Vec::new();
        for part in [
            team.as_bytes(),
            labels.api.as_str().as_bytes(),
            labels.version.as_str().as_bytes(),
            host(&head.fields),
            &key.0,
        ] {
            push(&mut name, part);
        }
        let mut request = Vec::new();
        for part in [
            head.method.as_str().as_bytes(),
            head.path_and_query().as_bytes(),
            // The same bytes are something else as another type.
            head.fields.get_named(b"content-type").unwrap_or_default(),
            digest::digest(&digest::SHA256, body).as_ref(),
        ] {
            push(&mut request, part);
        }
        Self {
            caller,
            key: hashed(name),
            request: hashed(request),
        }
    }
}

/// Each part with its length, so that no two lists of parts give one text.
fn push(text: &mut Vec<u8>, part: &[u8]) {
    text.extend_from_slice(&(part.len() as u64).to_be_bytes());
    text.extend_from_slice(part);
}

/// Its hash; the text may hold credentials and is not left behind.
fn hashed(mut text: Vec<u8>) -> Digest {
    let hash = digest::digest(&digest::SHA256, &text);
    text.zeroize();
    let mut out = Digest::default();
    for (to, from) in out.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Result<String, NoKey> {
        let key = IdempotencyKey::parse(value.as_bytes())?;
        Ok(String::from_utf8(key.0).unwrap())
    }

    #[test]
    fn a_key_is_the_same_with_and_without_quotes() {
        for (value, expected) in [
            (
                "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"",
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
            ),
            (
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
            ),
            (" order:17/pay ", "order:17/pay"),
            ("\"a b, c;d\"", "a b, c;d"),
            (r#""a\"b\\c""#, "a\"b\\c"),
        ] {
            assert_eq!(parsed(value).as_deref(), Ok(expected), "{value}");
        }
        let longest = "k".repeat(KEY_MAX);
        assert_eq!(parsed(&longest), Ok(longest.clone()));
        assert_eq!(parsed(&format!("\"{longest}\"")), Ok(longest));
    }

    #[test]
    fn what_is_no_key_is_told() {
        let too_long = "k".repeat(KEY_MAX + 1);
        for (value, expected) in [
            ("", "empty"),
            ("\"\"", "empty"),
            (&*too_long, "more than 255"),
            ("\"abc", "closing quote is missing"),
            ("\"abc\";p=1", "follows the closing quote"),
            ("\"a\", \"b\"", "follows the closing quote"),
            (r#""a\n""#, "`\\` stands before"),
            (r#""a\"#, "`\\` stands before"),
            ("\"ä\"", "printable ASCII"),
            ("a, b", "without quotes"),
            ("a;p=1", "without quotes"),
            ("ä", "without quotes"),
        ] {
            let told = parsed(value).unwrap_err();
            assert!(told.contains(expected), "{value}: {told}");
        }
        let two = Fields::from([("idempotency-key", "a"), ("idempotency-key", "a")]);
        assert_eq!(IdempotencyKey::of(&two), Err("there are two of them"));
        assert_eq!(IdempotencyKey::of(&Fields::new()), Ok(None));
    }

    #[test]
    fn strangers_are_told_apart_by_what_they_send_the_upstream() {
        let of = |fields: &[(&str, &str)]| {
            let mut all = Fields::new();
            for (name, value) in fields {
                all.append_named(name, value.as_bytes());
            }
            of_stranger(&all, |name| name == b"x-user")
        };
        let nothing = of(&[]);
        assert_eq!(nothing, of(&[("accept", "*/*")]));
        let cookie = of(&[("cookie", "session=1")]);
        assert_ne!(nothing, cookie);
        assert_ne!(cookie, of(&[("cookie", "session=2")]));
        assert_ne!(cookie, of(&[("x-api-key", "session=1")]));
        assert_ne!(of(&[("x-user", "alice")]), of(&[("x-user", "bob")]));
    }
}
