use super::*;
use keyward_jose::jws::Header;
use keyward_jose::key::Part;
use keyward_jose::{Algorithm, LocalSigner};
use serde_json::{Map, json};

const ES256: &[SignatureAlgorithm] = &[SignatureAlgorithm::Es256];

struct Holder {
    key: Key,
    signer: LocalSigner,
}

impl Holder {
    fn new(algorithm: SignatureAlgorithm) -> Self {
        let key = Key::generate(Algorithm::Signature(algorithm), None).unwrap();
        let signer = LocalSigner::new(&key, algorithm).unwrap();
        Self { key, signer }
    }

    fn jwk(&self, part: Part) -> Value {
        serde_json::from_str(&self.key.to_jwk(part).unwrap()).unwrap()
    }

    fn sign(&self, typ: &str, jwk: Option<Value>, claims: &Value) -> String {
        let mut header = Header::for_signer(&self.signer).with_typ(typ);
        if let Some(jwk) = jwk {
            header = header.with("jwk", jwk).unwrap();
        }
        compact::sign(claims.to_string().as_bytes(), &header, &self.signer).unwrap()
    }

    fn proof(&self, claims: &Value) -> String {
        self.sign("dpop+jwt", Some(self.jwk(Part::Public)), claims)
    }
}

fn claims(change: &[(&str, Value)]) -> Value {
    let mut claims = Map::new();
    for (name, value) in [
        ("jti", json!("one")),
        ("htm", json!("GET")),
        ("htu", json!("https://api.example/a")),
        ("iat", json!(1_795_000_000)),
        (
            "ath",
            json!(URL_SAFE_NO_PAD.encode(digest(&SHA256, b"token"))),
        ),
    ] {
        claims.insert(name.to_owned(), value);
    }
    for (name, value) in change {
        if value.is_null() {
            claims.remove(*name);
        } else {
            claims.insert((*name).to_owned(), value.clone());
        }
    }
    Value::Object(claims)
}

fn refusal(text: &str) -> String {
    read_and_verify(text, ES256).unwrap_err()
}

#[test]
fn a_proof_is_read_and_is_of_its_call_alone() {
    let holder = Holder::new(SignatureAlgorithm::Es256);
    let proof = read_and_verify(&holder.proof(&claims(&[])), ES256).unwrap();
    let thumbprint = holder.key.thumbprint();
    let other = Holder::new(SignatureAlgorithm::Es256).key.thumbprint();
    let address = [PublicUrl::parse("https://api.example").unwrap()];
    let elsewhere = [PublicUrl::parse("https://other.example").unwrap()];
    for (method, addresses, path, token, key, code) in [
        ("GET", &address, "/a", "token", &thumbprint, None),
        (
            "POST",
            &address,
            "/a",
            "token",
            &thumbprint,
            Some(Code::ProofInvalid),
        ),
        (
            "get",
            &address,
            "/a",
            "token",
            &thumbprint,
            Some(Code::ProofInvalid),
        ),
        (
            "GET",
            &elsewhere,
            "/a",
            "token",
            &thumbprint,
            Some(Code::ProofInvalid),
        ),
        (
            "GET",
            &address,
            "/b",
            "token",
            &thumbprint,
            Some(Code::ProofInvalid),
        ),
        (
            "GET",
            &address,
            "/a",
            "token2",
            &thumbprint,
            Some(Code::ProofInvalid),
        ),
        (
            "GET",
            &address,
            "/a",
            "token",
            &other,
            Some(Code::BindingMismatch),
        ),
    ] {
        let found = proof.check(&Proven {
            method,
            addresses,
            path,
            token: token.as_bytes(),
            key,
        });
        let found = found.err().map(|fault| fault.code());
        assert_eq!(found, code, "{method} {path} {token}");
    }
}

#[test]
fn a_proof_without_the_tokens_hash_is_of_no_token() {
    let holder = Holder::new(SignatureAlgorithm::Es256);
    let proof = read_and_verify(&holder.proof(&claims(&[("ath", Value::Null)])), ES256).unwrap();
    let found = proof.check(&Proven {
        method: "GET",
        addresses: &[PublicUrl::parse("https://api.example").unwrap()],
        path: "/a",
        token: b"token",
        key: &holder.key.thumbprint(),
    });
    assert_eq!(found.unwrap_err().code(), Code::ProofInvalid);
}

#[test]
fn a_signature_is_not_looked_at_before_the_key_is_the_tokens() {
    let holder = Holder::new(SignatureAlgorithm::Es256);
    let good = holder.proof(&claims(&[]));
    // Signed by nobody: looked at, this one is refused for its signature.
    let (message, _) = good.rsplit_once('.').unwrap();
    let unsigned = format!("{message}.{}", URL_SAFE_NO_PAD.encode([1; 64]));
    let other = Holder::new(SignatureAlgorithm::Es256).key.thumbprint();
    let own = holder.key.thumbprint();
    for (text, key, method, code) in [
        (&good, &own, "GET", None),
        (&unsigned, &own, "GET", Some(Code::ProofInvalid)),
        (&unsigned, &other, "GET", Some(Code::BindingMismatch)),
        (&good, &other, "GET", Some(Code::BindingMismatch)),
        (&good, &other, "POST", Some(Code::ProofInvalid)),
    ] {
        let found = read(text, ES256).unwrap().verify(&Proven {
            method,
            addresses: &[PublicUrl::parse("https://api.example").unwrap()],
            path: "/a",
            token: b"token",
            key,
        });
        let found = found.err().map(|fault| fault.code());
        assert_eq!(found, code, "{method} {text}");
    }
}

#[test]
fn what_is_no_proof_is_refused() {
    let holder = Holder::new(SignatureAlgorithm::Es256);
    let public = || Some(holder.jwk(Part::Public));
    let good = holder.proof(&claims(&[]));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let long = "x".repeat(300);
    for (text, why) in [
        (String::new(), "three parts"),
        (holder.sign("JWT", public(), &claims(&[])), "`typ`"),
        (holder.sign("dpop+jwt", None, &claims(&[])), "no `jwk`"),
        (
            holder.sign("dpop+jwt", Some(holder.jwk(Part::Private)), &claims(&[])),
            "no public key",
        ),
        (
            holder.sign(
                "dpop+jwt",
                Some(json!({ "kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" })),
                &claims(&[]),
            ),
            "jwk",
        ),
        (
            // No library would write such a header: it is put in the place of a good one.
            {
                let header = json!({ "alg": "ES256", "typ": "dpop+jwt", "jwk": "x" });
                let (_, rest) = good.split_once('.').unwrap();
                format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
            },
            "an object is needed",
        ),
        (
            holder.sign(
                "dpop+jwt",
                Some(Holder::new(SignatureAlgorithm::Es256).jwk(Part::Public)),
                &claims(&[]),
            ),
            "signature",
        ),
        (
            format!("{message}.{flipped}{}", &signature[1..]),
            "signature",
        ),
        (holder.proof(&claims(&[("jti", Value::Null)])), "no `jti`"),
        (holder.proof(&claims(&[("jti", json!(""))])), "`jti`"),
        (holder.proof(&claims(&[("jti", json!(long))])), "`jti`"),
        (
            holder.proof(&claims(&[("htm", json!(7))])),
            "`htm` is no text",
        ),
        (holder.proof(&claims(&[("htu", Value::Null)])), "no `htu`"),
        (holder.proof(&claims(&[("iat", Value::Null)])), "no `iat`"),
        (
            holder.proof(&claims(&[("nonce", json!([]))])),
            "`nonce` is no text",
        ),
    ] {
        let found = refusal(&text);
        assert!(found.contains(why), "{why}: {found}");
    }
}

#[test]
fn the_key_of_a_proof_is_the_one_in_it_whatever_it_is_called() {
    let holder = Holder::new(SignatureAlgorithm::Es256);
    for kid in [json!(null), json!("another"), json!("../../dev/null")] {
        let mut jwk = holder.jwk(Part::Public);
        match kid.as_str() {
            Some(kid) => jwk["kid"] = json!(kid),
            None => {
                jwk.as_object_mut().unwrap().remove("kid");
            }
        }
        let text = holder.sign("dpop+jwt", Some(jwk), &claims(&[]));
        let proof = read_and_verify(&text, ES256).unwrap();
        assert_eq!(proof.key, holder.key.thumbprint(), "{kid}");
    }
}

#[test]
fn an_algorithm_that_is_not_listed_is_refused_and_one_of_secrets_always() {
    let ed25519 = Holder::new(SignatureAlgorithm::EdDsa);
    let text = ed25519.proof(&claims(&[]));
    assert!(refusal(&text).contains("is not taken here"));
    assert!(read_and_verify(&text, &[SignatureAlgorithm::EdDsa]).is_ok());
    // The oldest attack: a "public key" that everybody can sign with.
    let key = Key::from_secret(&[7; 32]).unwrap();
    let signer = LocalSigner::new(&key, SignatureAlgorithm::Hs256).unwrap();
    let secret = Holder { key, signer };
    let jwk = secret.jwk(Part::Private);
    let text = secret.sign("dpop+jwt", Some(jwk), &claims(&[]));
    let found = read_and_verify(&text, &[SignatureAlgorithm::Hs256]).unwrap_err();
    assert!(found.contains("no public key"), "{found}");
}
