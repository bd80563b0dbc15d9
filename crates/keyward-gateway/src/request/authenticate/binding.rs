//! What a token is bound to (`cnf`, RFC 7800): a key of its holder's, of which each call brings a proof (RFC 9449),
//! or the certificate of its connection (RFC 8705).

use super::Attempt;
use super::bearer::{Proofs, Taken};
use super::dpop::{self, Proof, Proven};
use crate::message::{Header, RequestHead};
use crate::public_url::{PublicUrl, Scheme};
use crate::record::CallRecord;
use crate::snapshot::TokenPolicy;
use aws_lc_rs::constant_time;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_jose::jwt::Claims;
use keyward_model::{Code, Fault};
use serde_json::Value;
use smallvec::SmallVec;

/// A SHA-256 of a key (RFC 7638) or of a certificate.
pub(super) type Thumbprint = [u8; 32];

/// What a token is bound to: one of the two at least.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// `jkt`: the key that proofs are made with (RFC 9449, section 6.1).
    key: Option<Thumbprint>,
    /// `x5t#S256`: the certificate of the connection (RFC 8705, section 3.1).
    certificate: Option<Thumbprint>,
}

impl Binding {
    /// Whether each call needs a proof.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// What these claims bind the token to. A token that is bound in a way that is not known here is refused: it
    /// was never meant for whoever merely has it.
    pub(crate) fn of(claims: &Claims) -> Result<Option<Box<Self>>, Fault> {
        let Some(confirmation) = claims.get("cnf") else {
            return Ok(None);
        };
        let unknown = || {
            Fault::new(
                Code::TokenInvalid,
                "The token is bound to its holder (`cnf`) in a way that can't be checked here; `jkt` and `x5t#S256` can",
            )
        };
        let members = match confirmation {
            Value::Object(members) => members,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => return Err(unknown()),
        };
        let thumbprint = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(value) => {
                let text = value.as_str().ok_or_else(unknown)?;
                let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| unknown())?;
                Thumbprint::try_from(bytes).map(Some).map_err(|_| unknown())
            }
        };
        let binding = Self {
            key: thumbprint("jkt")?,
            certificate: thumbprint("x5t#S256")?,
        };
        if binding.key.is_none() && binding.certificate.is_none() {
            return Err(unknown());
        }
        Ok(Some(Box::new(binding)))
    }
}

/// A call with a token, whose binding is to be checked.
pub(super) struct Bound<'a> {
    pub(super) attempt: &'a Attempt<'a>,
    pub(super) policy: &'a TokenPolicy,
    pub(super) taken: &'a Taken,
    pub(super) head: &'a RequestHead,
}

impl Bound<'_> {
    /// That whoever calls is whom the token was given to. The proof of it, where there is one, is used for the
    /// first time at this node; other nodes are not asked yet.
    pub(super) fn check(
        &self,
        binding: Option<&Binding>,
        record: &mut CallRecord,
    ) -> Result<Option<Proof>, Fault> {
        if let Some(thumbprint) = binding.and_then(|binding| binding.certificate.as_ref()) {
            self.check_certificate(thumbprint)?;
        }
        let key = binding.and_then(|binding| binding.key.as_ref());
        match (key, self.taken.is_dpop()) {
            (Some(key), true) => self.check_proof(key, record).map(Some),
            // RFC 9449, section 7.2: else whoever stole it would say that it is not bound.
            (Some(_), false) => Err(Fault::new(
                Code::ProofMissing,
                "The token is bound to a key; send it as `Authorization: DPoP …` with a proof in `DPoP`",
            )),
            (None, true) => Err(Fault::new(
                Code::TokenInvalid,
                "The token is not bound to a key (`cnf` has no `jkt`); get one that is, or send it as `Authorization: Bearer …`",
            )),
            (None, false) if self.policy.dpop.required => Err(unbound()),
            (None, false) => Ok(None),
        }
    }

    fn check_certificate(&self, expected: &Thumbprint) -> Result<(), Fault> {
        let attempt = self.attempt;
        let proxied = attempt
            .certificate
            .filter(|_| self.policy.proxied_certificate);
        let shown = match (attempt.client.certificate(), proxied) {
            (_, Some(proxied)) => {
                proxied.check(attempt.now)?;
                proxied.thumbprint()
            }
            (Some(presented), None) => {
                presented
                    .check(attempt.now)
                    .map_err(|error| {
                        Fault::new(
                            Code::BindingMismatch,
                            "The certificate that the token is bound to is no longer good; get another, and a token for it",
                        )
                        .because(error)
                    })?;
                Some(&*presented.certificate.thumbprint)
            }
            (None, None) => None,
        };
        let Some(shown) = shown else {
            return Err(Fault::new(
                Code::BindingMismatch,
                "The token is bound to a client certificate, and the connection was made without one",
            ));
        };
        let expected = URL_SAFE_NO_PAD.encode(expected);
        constant_time::verify_slices_are_equal(shown.as_bytes(), expected.as_bytes()).map_err(
            |_| {
                Fault::new(
                    Code::BindingMismatch,
                    "The token is bound to another client certificate than the connection's",
                )
            },
        )
    }

    fn check_proof(&self, key: &Thumbprint, record: &mut CallRecord) -> Result<Proof, Fault> {
        let (attempt, policy) = (self.attempt, &self.policy.dpop);
        let place = match self.taken.proofs() {
            Proofs::One(place) => place,
            Proofs::None => {
                return Err(Fault::new(
                    Code::ProofMissing,
                    "A token that is shown as `Authorization: DPoP …` needs a proof in `DPoP`",
                ));
            }
            Proofs::Several => {
                return Err(Fault::new(
                    Code::ProofInvalid,
                    "`DPoP` stands there twice; send one proof",
                ));
            }
        };
        attempt.may_try()?;
        let text = std::str::from_utf8(place.of(self.head.fields.bytes())).unwrap_or_default();
        let read = dpop::read(text, &policy.algorithms).map_err(|why| {
            Fault::new(Code::ProofInvalid, format!("The proof was refused: {why}"))
        })?;
        let addresses = self.addresses();
        let proof = read.verify(&Proven {
            method: self.head.method.as_str(),
            addresses: &addresses,
            path: self.head.path(),
            token: self.taken.token(&self.head.fields).bytes(),
            key,
        })?;
        proof.is_fresh(attempt, policy, record)?;
        proof.is_first_use(attempt)?;
        Ok(proof)
    }

    /// What the call's address may be called. Of an API that names hosts, the host that was called, which is one
    /// of those; else the configured address alone, whatever `Host` says: anybody can write that.
    fn addresses(&self) -> SmallVec<[PublicUrl; 2]> {
        let settings = &self.attempt.worker.settings;
        let public = &settings.public_url;
        let host = self.head.fields.get(Header::Host);
        let host = host.and_then(|host| std::str::from_utf8(host).ok());
        if !self.attempt.route.resource.names_hosts {
            return SmallVec::from_iter([public.clone()]);
        }
        let mut addresses = SmallVec::new();
        if let Some(host) = host {
            addresses.extend(public.with_host(host));
            // TLS may end here although the configured address is another one's.
            if self.attempt.client.is_protected() && public.scheme() == Scheme::Http {
                addresses.extend(PublicUrl::parse(&format!("https://{host}")));
            }
        }
        addresses
    }
}

/// What is told of a token that is bound to no key, where only those are taken that are.
pub(crate) fn unbound() -> Fault {
    Fault::new(
        Code::TokenInvalid,
        "This API takes tokens that are bound to a key alone (DPoP); get one",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn binding(confirmation: Value) -> Result<Option<Box<Binding>>, Code> {
        let claims = Claims::new().with("cnf", confirmation).unwrap();
        Binding::of(&claims).map_err(|fault| fault.code())
    }

    #[test]
    fn a_token_that_is_bound_in_a_way_nobody_knows_is_refused() {
        let good = URL_SAFE_NO_PAD.encode([7; 32]);
        for confirmation in [
            json!(null),
            json!("x"),
            json!([]),
            json!({}),
            json!({ "jwk": {} }),
            json!({ "jkt": 7 }),
            json!({ "jkt": "AAAA" }),
            json!({ "jkt": format!("{good}=") }),
            json!({ "jkt": good, "x5t#S256": "" }),
        ] {
            let found = binding(confirmation.clone());
            assert_eq!(found, Err(Code::TokenInvalid), "{confirmation}");
        }
        let found = binding(json!({ "jkt": good, "x5t#S256": good })).unwrap();
        let both = Binding {
            key: Some([7; 32]),
            certificate: Some([7; 32]),
        };
        assert_eq!(found.as_deref(), Some(&both));
        assert_eq!(Binding::of(&Claims::new()), Ok(None));
    }
}
