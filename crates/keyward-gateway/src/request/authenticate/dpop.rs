//! Proofs of possession (RFC 9449): read, compared with the call, verified, and found to be fresh and used once. What
//! costs a comparison comes before what costs a signature: who shows a stolen token with a proof of a key of their own
//! makes us compute next to nothing.

#[cfg(test)]
mod tests;

use super::Attempt;
use super::binding::Thumbprint;
use crate::public_url::PublicUrl;
use crate::record::CallRecord;
use crate::snapshot::DpopPolicy;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_jose::jws::compact;
use keyward_jose::jwt;
use keyward_jose::{Error as JoseError, Key, SignatureAlgorithm, Verifier, Verifiers};
use keyward_model::{Code, Fault, Timestamp};
use keyward_state::Error as StateError;
use keyward_state::replay::Use;
use keyward_state::shared::SharedWorker;
use serde_json::Value;
use std::rc::Rc;
use std::time::Duration;

/// How old a proof may be by its own `iat`, and a nonce by ours: as long as a slow client needs to send what it
/// has just signed.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// How far ahead of ours a client's clock may be. One that is further off is told a nonce, which counts instead.
const AHEAD: Duration = Duration::from_secs(5);
/// So long after it was first taken no proof is taken any more.
pub(crate) const REPLAY_WINDOW: Duration = Duration::from_secs(65);
/// Where nodes remember together: how far their clocks may be apart, so that none takes what another has taken and
/// forgotten.
const CLOCKS: Duration = Duration::from_secs(60);
/// A client that uses nonces gets another one when its own is older than this.
const RENEW_AFTER: Duration = Duration::from_secs(20);
/// The longest `jti`: 128 random bits have 22 characters.
const JTI_MAX: usize = 256;

/// A proof whose signature is good, and what it says.
#[derive(Debug)]
pub(crate) struct Proof {
    key: Thumbprint,
    method: Box<str>,
    address: Box<str>,
    token_hash: Option<Box<str>>,
    id: Box<str>,
    issued_at: Timestamp,
    nonce: Option<Box<str>>,
}

/// A proof as it was read. Nobody knows yet who made it.
#[derive(Debug)]
pub(crate) struct Unverified<'t> {
    text: &'t str,
    key: Key,
    algorithm: SignatureAlgorithm,
    says: Proof,
}

/// Reads a proof, with the key that it carries itself (RFC 9449, section 4.3, points 2 to 6).
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read<'t>(
    text: &'t str,
    algorithms: &[SignatureAlgorithm],
) -> Result<Unverified<'t>, String> {
    let peek = jwt::peek(text).map_err(|error| error.to_string())?;
    let header = peek.header();
    if !header
        .typ()
        .is_some_and(|typ| typ.eq_ignore_ascii_case("dpop+jwt"))
    {
        return Err("its `typ` is not `dpop+jwt`".to_owned());
    }
    let algorithm = header.algorithm().map_err(|error| error.to_string())?;
    if !algorithms.contains(&algorithm) {
        return Err(format!("its algorithm, {algorithm}, is not taken here"));
    }
    let Some(Value::Object(jwk)) = header.others().get("jwk") else {
        return Err("its header has no `jwk`".to_owned());
    };
    let key = Key::from_jwk_value(jwk).map_err(|error| format!("its `jwk`: {error}"))?;
    // An algorithm of shared secrets is on no list, but a secret is no public key either.
    if key.is_private() || key.key_type() == "oct" {
        return Err("its `jwk` is no public key".to_owned());
    }
    // The key is the one in the header: whatever `kid` stands beside it or in it names nothing else.
    let key = key
        .with_kid(None)
        .map_err(|error| format!("its `jwk`: {error}"))?;
    let claims = peek.claims();
    let claim = |name: &str| {
        let claim = claims
            .text(name)
            .map_err(|_| format!("its `{name}` is no text"))?;
        claim.ok_or_else(|| format!("it has no `{name}`"))
    };
    let optional = |name: &str| {
        let claim = claims
            .text(name)
            .map_err(|_| format!("its `{name}` is no text"))?;
        Ok::<_, String>(claim.map(Into::into))
    };
    let id = claim("jti")?;
    if id.is_empty() || id.len() > JTI_MAX {
        return Err(format!(
            "its `jti` has none, or more than {JTI_MAX} characters"
        ));
    }
    let issued_at = claims.issued_at().ok_or("it has no `iat`")?;
    let says = Proof {
        key: key.thumbprint(),
        method: claim("htm")?.into(),
        address: claim("htu")?.into(),
        token_hash: optional("ath")?,
        id: id.into(),
        issued_at: Timestamp::from_seconds(issued_at.0),
        nonce: optional("nonce")?,
    };
    Ok(Unverified {
        text,
        key,
        algorithm,
        says,
    })
}

/// A proof that was read and whose signature is good, whatever it is of.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_and_verify(
    text: &str,
    algorithms: &[SignatureAlgorithm],
) -> Result<Proof, String> {
    read(text, algorithms)?.verified()
}

/// What a proof must be of.
pub(super) struct Proven<'a> {
    pub(super) method: &'a str,
    /// The addresses that the call may be known by.
    pub(super) addresses: &'a [PublicUrl],
    /// The path as it was sent.
    pub(super) path: &'a str,
    pub(super) token: &'a [u8],
    /// The key that the token is bound to.
    pub(super) key: &'a Thumbprint,
}

impl Unverified<'_> {
    /// The proof, if it is of this call, this token and its key, and the signature is that key's: in this order.
    pub(super) fn verify(self, proven: &Proven<'_>) -> Result<Proof, Fault> {
        self.says.check(proven)?;
        self.verified()
            .map_err(|why| Fault::new(Code::ProofInvalid, format!("The proof was refused: {why}")))
    }

    /// That the signature is of the key that the proof carries (point 7).
    fn verified(self) -> Result<Proof, String> {
        let verifier = Verifier::new(&self.key, self.algorithm)
            .map_err(|error| format!("its `jwk`: {error}"))?;
        let verifiers = Verifiers::from(verifier);
        compact::verify(self.text, &verifiers).map_err(|error| {
            if matches!(
                error,
                JoseError::KeyUnknown(_) | JoseError::SignatureInvalid
            ) {
                "its signature is not of the key in its `jwk`".to_owned()
            } else {
                error.to_string()
            }
        })?;
        Ok(self.says)
    }
}

impl Proof {
    /// That the proof is of this call, this token and its key (points 8, 9 and 12).
    fn check(&self, proven: &Proven<'_>) -> Result<(), Fault> {
        let invalid = |why: String| Err(Fault::new(Code::ProofInvalid, why));
        if *self.method != *proven.method {
            return invalid(format!(
                "The proof is for another method (`htm`), and this call's is {}",
                proven.method
            ));
        }
        let mut addresses = proven.addresses.iter();
        if !addresses.any(|known| known.is_address_of(proven.path, &self.address)) {
            let called: Vec<_> = proven.addresses.iter().map(ToString::to_string).collect();
            return invalid(format!(
                "The proof is for another address (`htu`); this one is known as {}{}",
                called.join(" or "),
                proven.path
            ));
        }
        let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, proven.token));
        if self.token_hash.as_deref() != Some(&*hash) {
            return invalid("The proof is not for this token (`ath`)".to_owned());
        }
        if self.key != *proven.key {
            return Err(Fault::new(
                Code::BindingMismatch,
                "The proof was made with another key than the one that the token is bound to",
            ));
        }
        Ok(())
    }

    /// That the proof was made just now, and after what remembers which were used began to do so (point 11;
    /// section 11.1).
    ///
    /// Where it carries a nonce of ours, that tells its age, whatever the client's clock says; else its `iat`
    /// does. Who has neither is told a nonce to try again with.
    pub(super) fn is_fresh(
        &self,
        attempt: &Attempt<'_>,
        policy: &DpopPolicy,
        record: &mut CallRecord,
    ) -> Result<(), Fault> {
        let (now, shared) = (attempt.now, &attempt.worker.shared);
        let since = shared.replays.remembers_since();
        // Where nodes remember together, what was used before the last connection may be forgotten.
        let common = attempt.worker.shared_limits.as_ref();
        let since = common
            .and_then(|common| common.remembers_since())
            .map_or(since, |connected| connected.max(since));
        let stale = |why: &'static str| Err(Fault::new(Code::NonceNeeded, why));
        let Some(nonce) = &self.nonce else {
            // A client whose clock is ahead may have used it before we began, with a time of after.
            let after_start = self.issued_at > since.plus(AHEAD);
            let in_time = self.issued_at.plus(GOOD_FOR) >= now && self.issued_at <= now.plus(AHEAD);
            return if policy.nonce {
                stale("The proof carries no nonce; make one with the nonce in `DPoP-Nonce`")
            } else if after_start && in_time {
                Ok(())
            } else {
                stale(
                    "The proof was not made just now by our clock; make one with the nonce in `DPoP-Nonce`",
                )
            };
        };
        let made = shared.nonces.made_at(nonce);
        match made {
            Some(made) if made > since && made.plus(GOOD_FOR) >= now && made <= now.plus(AHEAD) => {
                if now.since(made) > RENEW_AFTER {
                    record.tell_nonce(shared.nonces.issue(now));
                }
                Ok(())
            }
            Some(_) => {
                stale("The proof's nonce is too old; make one with the nonce in `DPoP-Nonce`")
            }
            None => stale(
                "The proof's nonce is not one of ours; make one with the nonce in `DPoP-Nonce`",
            ),
        }
    }

    /// That it is used for the first time at this node. Comes last: only who has the key can use up its identifiers.
    pub(super) fn is_first_use(&self, attempt: &Attempt<'_>) -> Result<(), Fault> {
        let memory = &attempt.worker.shared.replays;
        match memory.first_use(&self.key, self.id.as_bytes(), attempt.begun) {
            Ok(Use::First) => Ok(()),
            Ok(Use::Again) => Err(replayed()),
            Err(error @ StateError::ReplayShareFull { .. }) => Err(Fault::new(
                Code::TooManyProofs,
                "More proofs were used with your key in the last minute than are remembered of one; try again in a minute, and call less often",
            )
            .because(error)),
            Err(error) => Err(Fault::new(
                Code::Overloaded,
                "No more proofs can be taken just now; try again in a minute",
            )
            .because(error)),
        }
    }

    /// The same at all nodes together, where they remember together.
    pub(super) async fn is_first_use_anywhere(
        &self,
        common: &Rc<SharedWorker>,
        policy: &DpopPolicy,
    ) -> Result<(), Fault> {
        let (key, id) = (&self.key, self.id.as_bytes());
        let found = common.first_use(key, id, REPLAY_WINDOW + CLOCKS, policy.on_outage);
        match found.await {
            Some(Use::First) => Ok(()),
            Some(Use::Again) => Err(replayed()),
            None => Err(Fault::new(
                Code::ProofsUnavailable,
                "Whether the proof was used before can't be told just now; try again in a moment, with a new one",
            )),
        }
    }
}

fn replayed() -> Fault {
    Fault::new(
        Code::ProofReplayed,
        "The proof was used before (`jti`); make a new one for each call",
    )
}
