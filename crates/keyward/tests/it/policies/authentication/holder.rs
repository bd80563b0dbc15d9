//! Who holds a key, and proves it (RFC 9449).

use crate::token::{Issuer, now};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_jose::jws::{Header, compact};
use keyward_jose::key::Part;
use keyward_jose::{Algorithm, Key, LocalSigner, SignatureAlgorithm};
use keyward_testkit::until;
use serde_json::{Map, Value, json};

/// How far ahead a client's clock may be, in seconds.
pub(crate) const AHEAD: i64 = 5;

/// Waits until the second is over in which nodes began to remember proofs: then the proofs of [`Holder::claims`] are of
/// after that, whichever clock made them.
pub(crate) async fn until_believed() {
    let began = now().0;
    until("another second has begun", async || now().0 > began).await;
}

/// A caller with a key of its own.
pub(crate) struct Holder {
    pub(crate) key: Key,
    pub(crate) signer: LocalSigner,
}

impl Holder {
    pub(crate) fn new() -> Self {
        let algorithm = SignatureAlgorithm::Es256;
        let key = Key::generate(Algorithm::Signature(algorithm), None).unwrap();
        let signer = LocalSigner::new(&key, algorithm).unwrap();
        Self { key, signer }
    }

    /// A token of this issuer that is bound to the key.
    pub(crate) fn token(&self, issuer: &Issuer) -> String {
        let jkt = self.key.thumbprint_base64url();
        issuer.token_with("cnf", Some(json!({ "jkt": jkt })))
    }

    pub(crate) fn jwk(&self, part: Part) -> Value {
        serde_json::from_str(&self.key.to_jwk(part).unwrap()).unwrap()
    }

    /// The claims of a good proof, by a clock that is as far ahead as clocks may be: so it is taken without a nonce
    /// as soon as [`until_believed`] holds, and a test need not wait for five seconds more.
    pub(crate) fn claims(method: &str, address: &str, token: &str) -> Map<String, Value> {
        let mut random = [0; 16];
        rand::fill(&mut random).unwrap();
        let claims = json!({
            "jti": URL_SAFE_NO_PAD.encode(random),
            "htm": method,
            "htu": address,
            "iat": now().0 + AHEAD,
            "ath": URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes())),
        });
        let Value::Object(claims) = claims else {
            panic!("an object")
        };
        claims
    }

    /// A proof with these claims.
    pub(crate) fn sign(&self, claims: &Map<String, Value>) -> String {
        self.sign_as("dpop+jwt", self.jwk(Part::Public), claims)
    }

    pub(crate) fn sign_as(&self, typ: &str, jwk: Value, claims: &Map<String, Value>) -> String {
        let header = Header::for_signer(&self.signer).with_typ(typ);
        let header = header.with("jwk", jwk).unwrap();
        let claims = serde_json::to_vec(claims).unwrap();
        compact::sign(&claims, &header, &self.signer).unwrap()
    }

    /// A good proof.
    pub(crate) fn proof(&self, method: &str, address: &str, token: &str) -> String {
        self.sign(&Self::claims(method, address, token))
    }
}
