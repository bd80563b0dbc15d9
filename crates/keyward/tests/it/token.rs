//! Issuers of tokens, for the APIs of a test.

use keyward_jose::jws::{Header, compact};
use keyward_jose::jwt::{self, Claims};
use keyward_jose::key::Part;
use keyward_jose::{Algorithm, Key, LocalSigner, NumericDate, SignatureAlgorithm};
use keyward_model::{Clock as _, SystemClock};
use serde_json::Value;

/// Whom tokens are for.
pub(crate) const AUDIENCE: &str = "test-api";

/// An issuer with one key.
pub(crate) struct Issuer {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) key: Key,
    pub(crate) signer: LocalSigner,
}

/// Now, in seconds.
pub(crate) fn now() -> NumericDate {
    NumericDate(SystemClock::new().now().as_seconds())
}

impl Issuer {
    /// An issuer called `https://NAME.example` with a new key.
    pub(crate) fn new(name: &str, algorithm: SignatureAlgorithm) -> Self {
        let key = Key::generate(Algorithm::Signature(algorithm), None).unwrap();
        Self {
            name: name.to_owned(),
            url: format!("https://{name}.example"),
            signer: LocalSigner::new(&key, algorithm).unwrap(),
            key,
        }
    }

    /// An issuer with a shared secret.
    pub(crate) fn with_secret(name: &str, secret: &[u8]) -> Self {
        let key = Key::from_secret(secret).unwrap();
        Self {
            name: name.to_owned(),
            url: format!("https://{name}.example"),
            signer: LocalSigner::new(&key, SignatureAlgorithm::Hs256).unwrap(),
            key,
        }
    }

    /// Its public key set.
    pub(crate) fn key_set(&self) -> String {
        format!("{{\"keys\":[{}]}}", self.public_key())
    }

    pub(crate) fn public_key(&self) -> String {
        self.key.to_jwk(Part::Public).unwrap().to_string()
    }

    /// Its resource with the keys in it.
    pub(crate) fn resource(&self, rest: &str) -> String {
        self.resource_with(
            &format!("jwks: {{ keys: [ {} ] }}", self.public_key()),
            rest,
        )
    }

    /// Its resource with keys from elsewhere.
    pub(crate) fn resource_with(&self, keys: &str, rest: &str) -> String {
        format!(
            "- {{ kind: issuer, name: {}, issuer: \"{}\", {keys}, {rest} }}",
            self.name, self.url
        )
    }

    /// `authentication` of an API that takes its tokens.
    pub(crate) fn authentication(&self, rest: &str) -> String {
        format!(
            "authentication: {{ issuers: [{}], audience: {AUDIENCE}, {rest} }}",
            self.name
        )
    }

    /// Claims that pass, for five minutes.
    pub(crate) fn claims(&self) -> Claims {
        Claims::new()
            .with_issuer(&self.url)
            .with_subject("alice")
            .with_audience([AUDIENCE])
            .with_issued_at(now())
            .with_expiry(now().plus(300))
            .with_scopes(["read"])
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &Claims) -> String {
        self.sign_as(claims, "at+jwt")
    }

    pub(crate) fn sign_as(&self, claims: &Claims, typ: &str) -> String {
        jwt::sign(claims, &self.signer, typ).unwrap()
    }

    /// A token that passes.
    pub(crate) fn token(&self) -> String {
        self.sign(&self.claims())
    }

    /// A token of this caller.
    pub(crate) fn token_of(&self, subject: &str) -> String {
        self.sign(&self.claims().with_subject(subject))
    }

    /// A token with one claim set to something else, of whatever type, or taken out.
    pub(crate) fn token_with(&self, claim: &str, value: Option<Value>) -> String {
        let mut map = self.claims().into_map();
        match value {
            Some(value) => map.insert(claim.to_owned(), value),
            None => map.remove(claim),
        };
        let header = Header::for_signer(&self.signer).with_typ("at+jwt");
        let claims = serde_json::to_vec(&map).unwrap();
        compact::sign(&claims, &header, &self.signer).unwrap()
    }
}
