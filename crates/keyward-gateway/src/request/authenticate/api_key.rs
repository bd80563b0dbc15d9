//! API keys: found, looked up by their keyed hash, and taken out.

use super::{Attempt, Authenticated, REMEMBERED_FOR, challenge, check_revocations};
use crate::message::{Fields, Header, RequestHead};
use crate::request::Refusal;
use crate::request::token_cache::Known;
use crate::request::verified_caller::VerifiedCaller;
use crate::snapshot::{ApiKeyPolicy, decodes_to};
use keyward_model::caller::Method;
use keyward_model::{Code, Fault, api_key};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// How a token is announced (RFC 6750, section 2.1).
const BEARER: &[u8] = b"bearer ";

/// Whether the call carries a key, good or not.
pub(super) fn is_carried(policy: &ApiKeyPolicy, head: &RequestHead) -> bool {
    in_header(policy, head).next().is_some() || in_query(policy, head).next().is_some()
}

/// Takes keys out of headers and query. What the upstream gets of the query was made when the route was found; this
/// one is read by policies, and told to the service that decides about calls.
pub(super) fn take_out(policy: &ApiKeyPolicy, head: &mut RequestHead) {
    for header in policy.place.headers() {
        head.fields.remove_named(header.as_bytes());
    }
    if in_authorization(policy, head).is_some() {
        head.fields.remove(Header::Authorization);
    }
    if let Some(name) = &policy.place.query {
        head.remove_query(name);
    }
}

pub(super) fn authenticate(
    attempt: &Attempt<'_>,
    policy: &ApiKeyPolicy,
    head: &mut RequestHead,
) -> Result<Authenticated, Refusal> {
    let verified = find(policy, head).and_then(|key| {
        let verified = verified(attempt, policy, &key)?;
        check_revocations(&attempt.worker.shared.revocations, &verified, attempt.now)?;
        Ok(verified)
    });
    take_out(policy, head);
    verified.map(Authenticated::Caller).map_err(|fault| {
        let mut fields = Fields::new();
        if fault.code().status() == 401 {
            challenge::api_key(policy, &mut fields);
        }
        Refusal::with(fault, fields)
    })
}

/// The one key of the call.
fn find<'h>(policy: &ApiKeyPolicy, head: &'h RequestHead) -> Result<Cow<'h, [u8]>, Fault> {
    let mut keys = in_header(policy, head).chain(in_query(policy, head));
    match (keys.next(), keys.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => Err(Fault::new(
            Code::CredentialAmbiguous,
            "There is more than one API key; send one, in one place",
        )),
        (None, _) => Err(Fault::new(Code::CredentialMissing, "Send an API key")),
    }
}

fn in_header<'h>(
    policy: &ApiKeyPolicy,
    head: &'h RequestHead,
) -> impl Iterator<Item = Cow<'h, [u8]>> + use<'h> {
    let mut keys: SmallVec<[Cow<'_, [u8]>; 2]> = SmallVec::new();
    for header in policy.place.headers() {
        let values = head.fields.all_named(header);
        keys.extend(values.map(|value| Cow::Borrowed(value.trim_ascii())));
    }
    keys.extend(in_authorization(policy, head).map(Cow::Borrowed));
    keys.into_iter()
}

/// A key of ours in the place of a token, which is never mistaken for one: no token begins as our keys do.
fn in_authorization<'h>(policy: &ApiKeyPolicy, head: &'h RequestHead) -> Option<&'h [u8]> {
    if !policy.place.sdk {
        return None;
    }
    let mut values = head.fields.all(Header::Authorization);
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, key) = value.split_at_checked(BEARER.len())?;
    let key = key.trim_ascii();
    (scheme.eq_ignore_ascii_case(BEARER) && key.starts_with(api_key::PREFIX.as_bytes()))
        .then_some(key)
}

fn in_query<'h>(
    policy: &ApiKeyPolicy,
    head: &'h RequestHead,
) -> impl Iterator<Item = Cow<'h, [u8]>> + use<'h> {
    let keys: SmallVec<[Cow<'_, [u8]>; 2]> = match &policy.place.query {
        Some(name) => head
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| {
                let (own, key) = pair.split_once('=').unwrap_or((pair, ""));
                decodes_to(own.as_bytes(), name.as_bytes()).then(|| decoded(key))
            })
            .collect(),
        None => SmallVec::new(),
    };
    keys.into_iter()
}

/// A key as it is meant: one of ours stands in the query as it is, others may have to be escaped.
fn decoded(key: &str) -> Cow<'_, [u8]> {
    if !key.contains('%') {
        return Cow::Borrowed(key.as_bytes());
    }
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key;
    while let Some((before, escaped)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = escaped.get(..2);
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = escaped.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(b'%');
                rest = escaped;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Cow::Owned(bytes)
}

fn verified(
    attempt: &Attempt<'_>,
    policy: &ApiKeyPolicy,
    key: &[u8],
) -> Result<Rc<VerifiedCaller>, Fault> {
    let (worker, now) = (attempt.worker, attempt.now);
    // A key that was cut or mistyped costs neither a look-up nor a hash.
    api_key::check(key).map_err(|error| {
        Fault::new(
            Code::CredentialInvalid,
            "The API key is not valid; send it as it was issued",
        )
        .because(error)
    })?;
    let index = &worker.shared.credentials;
    let cache_key = policy.cache_key(key);
    // Read first: a change that comes meanwhile makes the entry old at once.
    let epoch = index.key_epoch();
    let known = worker.tokens.borrow_mut().get(&cache_key, epoch, now);
    if let Some(Known::Token(known)) = known {
        worker.metrics.token_hit();
        return Ok(known);
    }
    worker.metrics.token_miss();
    attempt.may_try()?;
    let entry = index.of_api_key(policy.team, key).ok_or_else(|| {
        Fault::new(
            Code::CredentialInvalid,
            "The API key is not valid; send it as it was issued, or get a new one",
        )
        .because("no credential of the API's team has this key")
    })?;
    entry.check(now)?;
    let caller = entry.caller(Method::ApiKey)?;
    let until = now.plus(REMEMBERED_FOR);
    let verified = Rc::new(VerifiedCaller {
        identity: attempt.route.identity.headers_of(&caller),
        listed: true,
        until: entry.expires().map_or(until, |end| end.min(until)),
        ends: entry
            .expires()
            .unwrap_or(keyward_model::Timestamp::from_micros(i64::MAX)),
        key_epoch: epoch,
        revocation_epoch: Cell::new(u64::MAX),
        cells: RefCell::default(),
        access: RefCell::default(),
        budgets: entry.budgets().cloned(),
        binding: None,
        caller: Arc::new(caller),
    });
    let known = Known::Token(Rc::clone(&verified));
    worker.tokens.borrow_mut().insert(cache_key, known);
    Ok(verified)
}
