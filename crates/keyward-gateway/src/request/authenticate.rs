//! Who calls: a bearer token's way from the header to a [`Caller`] (RFC 6750, RFC 7519), or the connection's
//! certificate.

use super::bearer::{self, BearerToken};
use super::token_cache::{Known, SeenOnce};
use super::verified_caller::VerifiedCaller;
use super::{Client, Refusal, client_certificate};
use crate::message::{Fields, Header, RequestHead};
use crate::record::CallRecord;
use crate::snapshot::{Credentials, Route, TokenPolicy, TrustedIssuer};
use crate::worker::Worker;
use keyward_jose::jwt::{self, Claims, Peek};
use keyward_jose::{Error as JoseError, NumericDate};
use keyward_model::caller::{TokenClaims, TokenFacts, TokenScopes};
use keyward_model::resource::issuer::Encrypted;
use keyward_model::{Caller, Code, Fault, Timestamp};
use keyward_state::limit::Cell as LimitCell;
use keyward_state::revocation::{Revocations, TokenIdentity};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// A verified token is looked at again after this time at the latest, so that nothing that was concluded
/// from it outlives its reason for long.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);

static ANONYMOUS: LazyLock<Arc<Caller>> = LazyLock::new(|| Arc::new(Caller::anonymous()));

/// What authentication found.
#[derive(Clone, Debug)]
pub(crate) enum Authenticated {
    /// The route asks for no credential.
    Open,
    /// A token or a certificate was verified.
    Caller(Rc<VerifiedCaller>),
}

impl Authenticated {
    pub(crate) fn caller(&self) -> &Arc<Caller> {
        match self {
            Self::Open => &ANONYMOUS,
            Self::Caller(verified) => &verified.caller,
        }
    }

    /// Whether the API lists the caller, where it lists any.
    pub(crate) fn is_listed(&self) -> bool {
        match self {
            Self::Open => true,
            Self::Caller(verified) => verified.listed,
        }
    }

    /// What is known of the caller, where there is one.
    pub(crate) fn verified(&self) -> Option<&Rc<VerifiedCaller>> {
        match self {
            Self::Open => None,
            Self::Caller(verified) => Some(verified),
        }
    }

    /// The caller, where there is one to record.
    pub(crate) fn caller_of_record(&self) -> Option<Arc<Caller>> {
        match self {
            Self::Open => None,
            Self::Caller(verified) => Some(Arc::clone(&verified.caller)),
        }
    }

    /// The caller's cell of the route's limit at this place, if it was remembered.
    pub(crate) fn cell(&self, limit: usize) -> Option<Arc<LimitCell>> {
        match self {
            Self::Open => None,
            Self::Caller(verified) => verified.cells.borrow().get(limit).cloned().flatten(),
        }
    }

    pub(crate) fn remember_cell(&self, limit: usize, cell: &Arc<LimitCell>) {
        if let Self::Caller(verified) = self {
            let mut cells = verified.cells.borrow_mut();
            if cells.len() <= limit {
                let more = limit + 1 - cells.len();
                cells.reserve_exact(more);
                cells.resize(limit + 1, None);
            }
            if let Some(place) = cells.get_mut(limit) {
                *place = Some(Arc::clone(cell));
            }
        }
    }
}

/// Finds out who calls, by whatever the route asks for.
pub(crate) async fn authenticate(
    worker: &Worker,
    route: &Route,
    client: &Client,
    head: &mut RequestHead,
    record: &CallRecord,
) -> Result<Authenticated, Refusal> {
    match &route.credentials {
        Credentials::None => Ok(Authenticated::Open),
        Credentials::Token(policy) => token(worker, route, policy, head, record).await,
        Credentials::Certificate(policy) => {
            client_certificate::authenticate(worker, route, policy, client, record)
        }
    }
}

/// Takes the token out of the headers, and verifies it unless this worker has done so before.
async fn token(
    worker: &Worker,
    route: &Route,
    policy: &TokenPolicy,
    head: &mut RequestHead,
    record: &CallRecord,
) -> Result<Authenticated, Refusal> {
    let token = bearer::take(&policy.source, policy.forward, head).map_err(|fault| {
        // RFC 6750, section 3.1: who sent no credential is told how, not that something was wrong.
        let error = (fault.code() != Code::TokenMissing).then_some("invalid_request");
        let text = error.map(|_| fault.detail().to_owned());
        Refusal::with(
            fault,
            challenge(error, text.as_deref(), non_empty(&route.scope_list)),
        )
    })?;
    let now = record.started();
    let verified = known_or_verified(worker, route, policy, token, now).await;
    verified.map(Authenticated::Caller).map_err(|fault| {
        if fault.code().status() == 401 {
            let challenge = challenge(Some("invalid_token"), Some(fault.detail()), None);
            Refusal::with(fault, challenge)
        } else {
            Refusal::from(fault)
        }
    })
}

async fn known_or_verified(
    worker: &Worker,
    route: &Route,
    policy: &TokenPolicy,
    token: BearerToken<'_>,
    now: Timestamp,
) -> Result<Rc<VerifiedCaller>, Fault> {
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
    let (issuer, remembered_until, came_before) = match known.and_then(|known| again(policy, known))
    {
        Some((issuer, seen, read)) => {
            worker.metrics.token_hit();
            claims = read;
            (issuer, seen.until, true)
        }
        None => {
            worker.metrics.token_miss();
            let (issuer, verified) = verify(worker, policy, token, now).await?;
            claims = verified;
            (issuer, now.plus(REMEMBERED_FOR), false)
        }
    };
    let caller = caller(issuer, &claims)?;
    let ends = until(issuer, &caller);
    let verified = Rc::new(VerifiedCaller {
        identity: route.identity.headers_of(&caller),
        listed: true,
        until: ends.min(remembered_until),
        ends,
        key_epoch,
        revocation_epoch: Cell::new(u64::MAX),
        cells: RefCell::default(),
        access: RefCell::default(),
        caller: Arc::new(caller),
    });
    check_revocations(&worker.shared.revocations, &verified, now)?;
    let known = match verified.caller.claims_json() {
        Some(claims) if !came_before => Known::Once(SeenOnce {
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

/// Looks the caller up among what was revoked, unless nothing was since the last time.
pub(crate) fn check_revocations(
    revocations: &Revocations,
    verified: &VerifiedCaller,
    now: Timestamp,
) -> Result<(), Fault> {
    let epoch = revocations.epoch();
    if verified.revocation_epoch.get() == epoch {
        return Ok(());
    }
    let index = revocations.load();
    let revoked =
        TokenIdentity::of(&verified.caller).and_then(|identity| index.covers(&identity, now));
    match revoked {
        Some(kind) => Err(
            Fault::new(Code::TokenRevoked, "The token was revoked; get a new one")
                .because(format_args!("revoked by {}", kind.as_str())),
        ),
        None => {
            verified.revocation_epoch.set(index.epoch());
            Ok(())
        }
    }
}

async fn verify<'a>(
    worker: &Worker,
    policy: &'a TokenPolicy,
    token: BearerToken<'_>,
    now: Timestamp,
) -> Result<(&'a TrustedIssuer, Claims), Fault> {
    let decrypted;
    let (signed, peek, encrypted) = match read(token)? {
        (text, Some(peek)) => (text, peek, Encrypted::No),
        (text, None) => {
            decrypted = decrypt(worker, text)?;
            let peek = jwt::peek(&decrypted).map_err(|error| refused(&error))?;
            (decrypted.as_str(), peek, Encrypted::Required)
        }
    };
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
    verified
        .map(|verified| (issuer, verified.claims))
        .map_err(|error| refused(&error))
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

fn until(issuer: &TrustedIssuer, caller: &Caller) -> Timestamp {
    let expiry = caller.expires.map(|at| at.plus(issuer.leeway));
    let aged = issuer
        .max_age
        .and_then(|age| caller.issued_at.map(|at| at.plus(age).plus(issuer.leeway)));
    match (expiry, aged) {
        (Some(one), Some(other)) => one.min(other),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => Timestamp::EPOCH,
    }
}

pub(crate) fn caller(issuer: &TrustedIssuer, claims: &Claims) -> Result<Caller, Fault> {
    let text = |name: &str| {
        claims.text(name).map_err(|_| {
            Fault::new(
                Code::TokenInvalid,
                format!("The token was refused: claim `{name}` is no string"),
            )
        })
    };
    let client = match text("client_id")? {
        Some(client) => Some(client),
        None => text("azp")?,
    };
    let listed;
    let scopes = match claims.text(&issuer.scope_claim) {
        Ok(Some(list)) => TokenScopes::Spaced(list),
        Ok(None) => TokenScopes::None,
        // Some issuers list scopes in an array.
        Err(_) => {
            listed = list(claims, &issuer.scope_claim)?;
            TokenScopes::Listed(&listed)
        }
    };
    let mut caller = Caller::of_token(&TokenFacts {
        claims: match claims.as_text() {
            Some(text) => TokenClaims::Json(text),
            None => TokenClaims::Map(claims.map()),
        },
        subject: claims.subject(),
        client,
        scopes,
        token_id: claims.token_id(),
        session: text("sid")?,
        family: text("keyward_family")?,
    })
    .map_err(|error| {
        Fault::new(Code::TokenInvalid, "The token was refused: it is too long").because(error)
    })?;
    let time = |date: NumericDate| Timestamp::from_seconds(date.0);
    caller.team = Some(issuer.team);
    caller.issuer_name = Some(issuer.name.clone());
    // What the token names is what the route trusts.
    caller.issuer = Some(Arc::clone(&issuer.issuer));
    caller.issued_at = claims.issued_at().map(time);
    caller.expires = claims.expiry().map(time);
    Ok(caller)
}

/// Scopes in an array, of which what is no text is left out.
fn list<'a>(claims: &'a Claims, name: &str) -> Result<Vec<&'a str>, Fault> {
    if let Ok(Some(texts)) = claims.texts(name) {
        return Ok(texts.iter().collect());
    }
    match claims.get(name) {
        Some(serde_json::Value::Array(list)) => {
            Ok(list.iter().filter_map(|scope| scope.as_str()).collect())
        }
        Some(_) | None => Err(Fault::new(
            Code::TokenInvalid,
            format!("The token was refused: claim `{name}` is no list of scopes"),
        )),
    }
}

/// `WWW-Authenticate: Bearer …` (RFC 6750, section 3).
pub(crate) fn challenge(
    error: Option<&str>,
    description: Option<&str>,
    scope: Option<&str>,
) -> Fields {
    let mut text = String::from("Bearer realm=\"keyward\"");
    let parameters = [
        ("error", error),
        ("error_description", description),
        ("scope", scope),
    ];
    for (name, value) in parameters {
        if let Some(value) = value {
            text.push_str(", ");
            text.push_str(name);
            text.push_str("=\"");
            // RFC 6750 allows neither quotes nor backslashes here, nor anything but printable ASCII.
            text.extend(value.chars().map(|c| match c {
                '"' | '\\' => '\'',
                ' '..='~' => c,
                _ => '?',
            }));
            text.push('"');
        }
    }
    let mut fields = Fields::new();
    fields.append(Header::WwwAuthenticate, text.as_bytes());
    fields
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
