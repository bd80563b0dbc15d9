//! What an answer is found by.
//!
//! Everything that could make the upstream answer differently is in the key, as it was sent and not as it may
//! be read: an attacker who finds an input that is not in it could have an answer of theirs given to others.

use super::store::ResponseCache;
use crate::message::{Class, Fields, Header};
use crate::request::Authenticated;
use crate::request::forward::Call;
use aws_lc_rs::digest;
use keyward_model::resource::content::Cache;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Headers by which clients prove who they are to the upstream itself. An answer to a call that has one is
/// that caller's, unless it is said to be public.
const CREDENTIALS: &[&[u8]] = &[
    b"api-key",
    b"apikey",
    b"authentication",
    b"dpop",
    b"x-access-token",
    b"x-amz-security-token",
    b"x-api-key",
    b"x-api-token",
    b"x-auth-token",
    b"x-csrf-token",
    b"x-goog-api-key",
    b"x-session-token",
    b"x-xsrf-token",
];

/// Headers that make some servers answer another request than the one that was sent, and that no upstream
/// behind a cache gets: what they change stands in no key.
const OVERRIDES: &[&[u8]] = &[
    b"x-forwarded-scheme",
    b"x-forwarded-server",
    b"x-forwarded-ssl",
    b"x-host",
    b"x-http-host-override",
    b"x-http-method",
    b"x-http-method-override",
    b"x-method-override",
    b"x-original-host",
    b"x-url-scheme",
];

/// The address that was called, as it was sent. All answers under one are dropped together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    bytes: Arc<[u8]>,
    /// By a secret of the cache's: made once, it is asked for several times on a call's way.
    hash: u64,
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Whom an answer under an address is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Audience(pub(super) Box<[u8]>);

/// The whole key, but for what `Vary` names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey {
    pub(super) address: Address,
    pub(super) audience: Audience,
}

impl Address {
    /// Team, API, version, host and path with its query.
    pub(super) fn new(call: &Call<'_>, host: &[u8], path_and_query: &[u8]) -> Self {
        let labels = &call.matched.route.route.labels;
        let mut key = Vec::with_capacity(128 + host.len() + path_and_query.len());
        for part in [
            &labels.team.as_u128().to_be_bytes()[..],
            labels.api.as_str().as_bytes(),
            labels.version.as_str().as_bytes(),
            host,
            path_and_query,
        ] {
            push(&mut key, part);
        }
        Self::of(key, &call.worker.shared.responses)
    }

    fn of(bytes: Vec<u8>, cache: &ResponseCache) -> Self {
        Self {
            hash: cache.hash_of(&bytes),
            bytes: bytes.into(),
        }
    }

    /// One that any cache takes, under its name alone.
    #[cfg(test)]
    pub(super) fn named(name: &str) -> Self {
        let hash = name.bytes().fold(7, |hash: u64, byte| {
            hash.wrapping_mul(31).wrapping_add(byte.into())
        });
        Self {
            bytes: name.as_bytes().into(),
            hash,
        }
    }

    /// The same number for the same address.
    pub(super) fn number(&self) -> u64 {
        self.hash
    }
}

impl CacheKey {
    /// `generation` is the number of the compiled route: a changed declaration begins with nothing kept.
    pub(super) fn new(
        call: &Call<'_>,
        cache: &Cache,
        generation: u64,
        address: Address,
        fields: &Fields,
    ) -> Self {
        let mut key = Vec::with_capacity(64);
        push(&mut key, &generation.to_be_bytes());
        push(&mut key, call.matched.path.as_bytes());
        push(&mut key, call.client.scheme().as_bytes());
        // What a trusted proxy says of the call, and the upstream may write into its links.
        if call.admitted.origin().trusted_proxy {
            for field in fields.iter().filter(|field| {
                field.is(Class::OF_PROXIES)
                    || matches!(
                        field.header,
                        Header::XForwardedHost | Header::XForwardedProto
                    )
            }) {
                push(&mut key, field.name);
                push(&mut key, field.value);
            }
        }
        for name in &cache.key_headers {
            // What tells who calls is not among the call's own fields: it is added on the way to the upstream.
            let value = seen_by_upstream(call, fields, name.as_bytes());
            push(&mut key, value.as_deref().unwrap_or_default());
            key.push(u8::from(value.is_some()));
        }
        if cache.per_caller {
            push(&mut key, &caller(call, fields));
        }
        Self {
            address,
            audience: Audience(key.into()),
        }
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.address.bytes.len() + self.audience.0.len()
    }
}

/// Whether the call carries a credential of any kind, whatever carries it: one that was checked here or by the
/// service that decides about calls, or one that the upstream may check.
pub(super) fn has_credentials(call: &Call<'_>, fields: &Fields) -> bool {
    !matches!(call.admitted.authenticated(), Authenticated::Open)
        || call.matched.route.route.decision.is_some()
        || fields
            .iter()
            .any(|field| is_credential(field.header, field.name))
}

/// Whether a field carries a credential, for us or for the upstream.
pub(in crate::policy) fn is_credential(header: Header, name: &[u8]) -> bool {
    matches!(header, Header::Authorization | Header::Cookie) || CREDENTIALS.contains(&name)
}

/// Takes out what would make an upstream answer something else than what the key says.
pub(super) fn strip_overrides(fields: &mut Fields) {
    fields.retain(|field| !OVERRIDES.contains(&field.name));
}

/// What stands for the caller: who it is, all that the upstream is told of it, and what it sends along itself.
fn caller(call: &Call<'_>, fields: &Fields) -> [u8; 32] {
    let mut text = Vec::new();
    if let Authenticated::Caller(verified) = call.admitted.authenticated() {
        let caller = &verified.caller;
        push(
            &mut text,
            caller.issuer.as_deref().unwrap_or_default().as_bytes(),
        );
        push(&mut text, caller.subject().unwrap_or_default().as_bytes());
        for field in verified.identity.iter() {
            push(&mut text, field.name);
            push(&mut text, field.value);
        }
    }
    let decision = call.matched.route.route.decision.as_deref();
    let decides = |name: &[u8]| decision.is_some_and(|decision| decision.tells_callers_by(name));
    for field in fields
        .iter()
        .filter(|field| is_credential(field.header, field.name) || decides(field.name))
    {
        push(&mut text, field.name);
        push(&mut text, field.value);
    }
    // Credentials are not kept in clear for longer than their call.
    let hash = digest::digest(&digest::SHA256, &text);
    zeroize::Zeroize::zeroize(&mut text);
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    out
}

/// The values of all fields of this name as one (RFC 9110, section 5.3); `None` without any.
pub(super) fn combined(fields: &Fields, name: &[u8]) -> Option<Vec<u8>> {
    let mut values = fields
        .iter()
        .filter(|field| field.name == name)
        .map(|field| field.value);
    let mut all = values.next()?.to_vec();
    for value in values {
        all.extend_from_slice(b", ");
        all.extend_from_slice(value);
    }
    Some(all)
}

/// The value of a header as the upstream gets it from this call: what is told of the caller counts, not what
/// the client sent under its name.
pub(super) fn seen_by_upstream(call: &Call<'_>, fields: &Fields, name: &[u8]) -> Option<Vec<u8>> {
    if let Authenticated::Caller(verified) = call.admitted.authenticated()
        && let Some(told) = combined(&verified.identity, name)
    {
        return Some(told);
    }
    if name == b"host" || name == b"x-forwarded-host" {
        // Part of the address.
        return None;
    }
    combined(fields, name)
}

/// What is called: the authority of a target in absolute form stands in `Host` by now.
pub(in crate::policy) fn host(fields: &Fields) -> &[u8] {
    fields.get(Header::Host).unwrap_or_default()
}

/// Each part with its length, so that no two lists of parts give one key.
fn push(key: &mut Vec<u8>, part: &[u8]) {
    key.extend_from_slice(&(part.len() as u64).to_be_bytes());
    key.extend_from_slice(part);
}
