//! A token's way from the header to a caller (RFC 6750, RFC 7519, RFC 7662, RFC 9449).

use super::bearer::{self, BearerToken};
use super::binding::{self, Binding};
use super::challenge::{self, TokenError};
use super::{Attempt, Authenticated, REMEMBERED_FOR, check_revocations, claims};
use crate::issuer::Introspected;
use crate::message::RequestHead;
use crate::record::CallRecord;
use crate::request::Refusal;
use crate::request::token_cache::{Known, SeenOnce};
use crate::request::verified_caller::VerifiedCaller;
use crate::snapshot::{TokenPolicy, TrustedIssuer};
use crate::worker::Worker;
use keyward_jose::jwt::{self, Claims, Peek};
use keyward_jose::{Error as JoseError, NumericDate};
use keyward_model::resource::issuer::Encrypted;
use keyward_model::{Code, Fault, Timestamp};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// Takes the token out of the headers, and verifies it unless this worker has done so before.
pub(super) async fn authenticate(
    attempt: &Attempt<'_>,
    policy: &TokenPolicy,
    head: &mut RequestHead,
    record: &mut CallRecord,
) -> Result<Authenticated, Refusal> {
    let taken = match bearer::take(&policy.source, policy.forward, head) {
        Ok(taken) => taken,
        Err(fault) => {
            let fields = if fault.code() == Code::TokenMissing {
                // RFC 6750, section 3.1: who sent no credential is told how, not that something was wrong.
                challenge::of_all(attempt, head)
            } else {
                let error = TokenError::of("invalid_request", fault.detail());
                challenge::of_token(attempt, policy, head, false, Some(error))
            };
            return Err(Refusal::with(fault, fields));
        }
    };
    let outcome = checked(attempt, policy, &taken, head, record).await;
    match outcome {
        Ok(verified) => {
            if !policy.forward && taken.is_dpop() {
                head.fields.remove(crate::message::Header::Dpop);
            }
            Ok(Authenticated::Caller(verified))
        }
        Err(fault) => Err(challenge::token_refused(
            attempt,
            policy,
            head,
            taken.is_dpop(),
            fault,
        )),
    }
}

async fn checked(
    attempt: &Attempt<'_>,
    policy: &TokenPolicy,
    taken: &bearer::Taken,
    head: &RequestHead,
    record: &mut CallRecord,
) -> Result<Rc<VerifiedCaller>, Fault> {
    let token = taken.token(&head.fields);
    let verified = known_or_verified(attempt, policy, token).await?;
    // At each call, known token or not: what a token is bound to is another thing than the token.
    if verified.binding.is_some() || taken.is_dpop() || policy.dpop.required {
        let bound = binding::Bound {
            attempt,
            policy,
            taken,
            head,
        };
        let proof = bound.check(verified.binding.as_deref(), record)?;
        if let (Some(proof), Some(common)) = (proof, &attempt.worker.shared_limits) {
            Box::pin(proof.is_first_use_anywhere(common, &policy.dpop)).await?;
        }
    }
    Ok(verified)
}

async fn known_or_verified(
    attempt: &Attempt<'_>,
    policy: &TokenPolicy,
    token: BearerToken<'_>,
) -> Result<Rc<VerifiedCaller>, Fault> {
    let (worker, now) = (attempt.worker, attempt.now);
    let key = policy.cache_key(token.bytes());
    // Read before anything is verified: a change that comes meanwhile makes the entry old at once.
    let key_epoch = worker.shared.issuers.epoch().load();
    let known = worker.tokens.borrow_mut().get(&key, key_epoch, now);
    if let Some(Known::Token(known)) = known {
        worker.metrics.token_hit();
        check_revocations(&worker.shared.revocations, &known, now).inspect_err(|_| {
            worker.tokens.borrow_mut().remove(&key);
        })?;
        return Ok(known);
    }
    let claims;
    let (issuer, remembered_until, whole) = match known.and_then(|known| again(policy, known)) {
        Some((issuer, seen, read)) => {
            worker.metrics.token_hit();
            claims = read;
            (issuer, seen.until, true)
        }
        None => {
            worker.metrics.token_miss();
            attempt.may_try()?;
            let found = verify(worker, policy, token, now).await?;
            claims = found.claims;
            let until = found.until.min(now.plus(REMEMBERED_FOR));
            // Of a token that its issuer was asked about, the claims alone don't tell what may be concluded.
            (found.issuer, until, found.issuer.is_asked())
        }
    };
    let caller = claims::caller(issuer, &claims)?;
    let ends = claims::until(issuer, &caller);
    let verified = Rc::new(VerifiedCaller {
        identity: attempt.route.identity.headers_of(&caller),
        listed: true,
        until: ends.min(remembered_until),
        ends,
        key_epoch,
        revocation_epoch: Cell::new(u64::MAX),
        cells: RefCell::default(),
        access: RefCell::default(),
        budgets: None,
        binding: Binding::of(&claims)?,
        caller: Arc::new(caller),
    });
    check_revocations(&worker.shared.revocations, &verified, now)?;
    let known = match verified.caller.claims_json() {
        Some(claims) if !whole => Known::Once(SeenOnce {
            claims,
            until: verified.until,
            key_epoch,
        }),
        Some(_) | None => Known::Token(Rc::clone(&verified)),
    };
    worker.tokens.borrow_mut().insert(key, known);
    Ok(verified)
}

/// The claims of a token that came once before, with whose they are.
fn again(policy: &TokenPolicy, known: Known) -> Option<(&TrustedIssuer, SeenOnce, Claims)> {
    let Known::Once(seen) = known else {
        return None;
    };
    let claims = Claims::parse(seen.claims.as_bytes(), jwt::TOKEN_MAX).ok()?;
    let issuer = policy.issuer(claims.issuer()?)?;
    Some((issuer, seen, claims))
}

/// What a token says that is good.
struct Found<'a> {
    issuer: &'a TrustedIssuer,
    claims: Claims,
    /// Until when its issuer's word counts, where that was asked.
    until: Timestamp,
}

async fn verify<'a>(
    worker: &Worker,
    policy: &'a TokenPolicy,
    token: BearerToken<'_>,
    now: Timestamp,
) -> Result<Found<'a>, Fault> {
    let decrypted;
    let read = match (read(token), policy.asked()) {
        // What is no token of JOSE is opaque, and its issuer has to say what it means.
        (Err(_), Some(issuer)) => return asked(issuer, policy, token, now).await,
        (read, _) => read?,
    };
    let (signed, peek, encrypted) = match read {
        (text, Some(peek)) => (text, peek, Encrypted::No),
        (text, None) => {
            decrypted = decrypt(worker, text)?;
            let peek = jwt::peek(&decrypted).map_err(|error| refused(&error))?;
            (decrypted.as_str(), peek, Encrypted::Required)
        }
    };
    if let Some(issuer) = policy.asked() {
        let named = peek.claims().issuer();
        if named.is_none_or(|named| named == &*issuer.issuer) {
            return asked(issuer, policy, token, now).await;
        }
    }
    let issuer = trusted(policy, &peek, encrypted)?;
    let date = NumericDate(now.as_seconds());
    let keys = match issuer.keys.current(worker.clock.moment()) {
        Ok(keys) => keys,
        // The process has just started, or the issuer was away for long.
        Err(_) => issuer.keys.wait_for_keys().await?,
    };
    let verified = match peek.verify(&keys.verifiers, &issuer.profile, date) {
        Err(unknown @ JoseError::KeyUnknown(_)) => {
            // The key may be newer than what we have of the set.
            let again = jwt::peek(signed).map_err(|error| refused(&error))?;
            let newer = match again.header().kid() {
                Some(kid) => issuer.keys.wait_for_refresh(kid, keys.generation).await,
                None => None,
            };
            let newer = newer.ok_or_else(|| refused(&unknown))?;
            again.verify(&newer.verifiers, &issuer.profile, date)
        }
        outcome => outcome,
    };
    let verified = verified.map_err(|error| refused(&error))?;
    Ok(Found {
        issuer,
        claims: verified.claims,
        until: now.plus(REMEMBERED_FOR),
    })
}

/// What the token's issuer says of it (RFC 7662).
async fn asked<'a>(
    issuer: &'a TrustedIssuer,
    policy: &TokenPolicy,
    token: BearerToken<'_>,
    now: Timestamp,
) -> Result<Found<'a>, Fault> {
    let Introspected { claims, until } = issuer.keys.introspect(token.text()?).await?;
    check_answer(issuer, policy, &claims, now)?;
    Ok(Found {
        issuer,
        claims,
        until,
    })
}

/// The issuer says that the token is good: whether it is for us, and still.
fn check_answer(
    issuer: &TrustedIssuer,
    policy: &TokenPolicy,
    claims: &Claims,
    now: Timestamp,
) -> Result<(), Fault> {
    let invalid = |detail: &str| Err(Fault::new(Code::TokenInvalid, detail));
    if claims
        .issuer()
        .is_some_and(|named| named != &*issuer.issuer)
    {
        return invalid("The token's issuer is not one that this API trusts");
    }
    let now = now.as_seconds();
    let leeway = i64::try_from(issuer.leeway.as_secs()).unwrap_or(i64::MAX);
    match claims.expiry() {
        Some(expiry) if expiry.0.saturating_add(leeway) <= now => {
            return Err(Fault::new(
                Code::TokenExpired,
                "The token was refused: it has expired",
            ));
        }
        Some(_) => {}
        None => {
            return invalid("The token was refused: its issuer does not say when it ends (`exp`)");
        }
    }
    let begins = claims.not_before();
    if begins.is_some_and(|begins| begins.0 > now.saturating_add(leeway)) {
        return invalid("The token was refused: its time has not come (`nbf`)");
    }
    let ours = |audience: &str| policy.audiences.iter().any(|own| **own == *audience);
    if !claims.audiences().iter().any(ours) {
        return invalid("The token was refused: it is for another audience");
    }
    Ok(())
}

/// Reads a signed token; of an encrypted one there is the text alone.
fn read(token: BearerToken<'_>) -> Result<(&str, Option<Peek<'_>>), Fault> {
    let unchecked = std::str::from_utf8(token.bytes()).ok();
    let read = match unchecked.map(|text| (text, jwt::peek(text))) {
        // What can be read is base64url and full stops: there is no need to look at each character.
        Some((text, Ok(peek))) => return Ok((text, Some(peek))),
        Some((_, Err(error))) => Err(refused(&error)),
        None => Ok(None),
    };
    let text = token.text()?;
    if bearer::is_encrypted(text) {
        Ok((text, None))
    } else {
        read.map(|peek| (text, peek))
    }
}

/// What is inside an encrypted token: signed, then encrypted (RFC 7519, section 11.2).
fn decrypt(worker: &Worker, token: &str) -> Result<String, Fault> {
    let decrypters = worker.shared.decrypters.load();
    let decrypted = decrypters
        .decrypt_compact(token)
        .map_err(|error| refused(&error))?;
    String::from_utf8(decrypted.plaintext.to_vec()).map_err(|_| {
        Fault::new(
            Code::TokenInvalid,
            "The token was refused: what it encrypts is no signed token",
        )
    })
}

/// The issuer that the token names, if the route trusts it. The name is not verified yet: it only picks
/// whose keys must verify it.
pub(crate) fn trusted<'a>(
    policy: &'a TokenPolicy,
    peek: &Peek<'_>,
    encrypted: Encrypted,
) -> Result<&'a TrustedIssuer, Fault> {
    let named = peek.claims().issuer();
    let issuer = named.and_then(|named| policy.issuer(named));
    let issuer = issuer.ok_or_else(|| {
        Fault::new(
            Code::TokenInvalid,
            "The token's issuer is not one that this API trusts",
        )
        .because(format_args!("iss is {named:?}"))
    })?;
    match (issuer.encrypted, encrypted) {
        (Encrypted::No, Encrypted::No) | (Encrypted::Required, Encrypted::Required) => Ok(issuer),
        (Encrypted::No, Encrypted::Required) => Err(Fault::new(
            Code::TokenInvalid,
            "The token is encrypted; this issuer's are only signed",
        )),
        (Encrypted::Required, Encrypted::No) => Err(Fault::new(
            Code::TokenInvalid,
            "The token is not encrypted; this issuer's must be",
        )),
    }
}

pub(crate) fn refused(error: &JoseError) -> Fault {
    let over = matches!(error, JoseError::Expired(_) | JoseError::TooOld(_));
    let code = if over {
        Code::TokenExpired
    } else {
        Code::TokenInvalid
    };
    let detail = format!("The token was refused: {error}");
    Fault::new(code, detail).because(error.code())
}
