//! Writing a JWK, and thumbprints (RFC 7638, RFC 9278, RFC 9964).

use crate::key::{Key, Material, Part};
use crate::{Error, base64url};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::{Map, Value};
use zeroize::{Zeroize as _, Zeroizing};

/// RFC 9278, section 3, with the hash's name of the registry.
const THUMBPRINT_URI_PREFIX: &str = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:";

/// The members of a JWK in the order in which people read them. Wiped when dropped.
pub(crate) struct Members(Vec<(&'static str, Value)>);

impl Members {
    fn put(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push((name, value.into()));
    }

    fn put_bytes(&mut self, name: &'static str, bytes: &[u8]) {
        self.put(name, base64url::encode(bytes));
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for (_, value) in &mut self.0 {
            if let Value::String(text) = value {
                text.zeroize();
            }
        }
    }
}

impl Key {
    /// The key as a JWK, as text.
    ///
    /// # Errors
    /// [`Error::NoPrivateKey`] when the private part is wanted and not there, [`Error::KeyUnfit`] for the
    /// public part of an `oct` key.
    pub fn to_jwk(&self, part: Part) -> Result<Zeroizing<String>, Error> {
        let members = self.members(part)?;
        // Growing would leave copies behind: the longest JWKs are little longer than their members.
        let size: usize = members
            .0
            .iter()
            .map(|(_, value)| value.as_str().map_or(200, |text| text.len() + 16))
            .sum();
        let certificates: usize = self.parameters.x5c.iter().map(|der| 2 * der.len()).sum();
        let mut text = Zeroizing::new(Vec::with_capacity(size + certificates + 64));
        serde_json::to_writer(&mut *text, &members)
            .map_err(|error| Error::Json("a JWK", error.to_string()))?;
        String::from_utf8(std::mem::take(&mut *text))
            .map(Zeroizing::new)
            .map_err(|_| Error::Json("a JWK", "it is not UTF-8".to_owned()))
    }

    /// The key as a JWK, as JSON to put into something else. A private part is not wiped from it.
    ///
    /// # Errors
    /// As [`to_jwk`](Self::to_jwk).
    pub fn to_jwk_value(&self, part: Part) -> Result<Map<String, Value>, Error> {
        let members = self.members(part)?;
        Ok(members
            .0
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect())
    }

    /// The SHA-256 thumbprint (RFC 7638): the same for the private and the public key, whatever `kid`,
    /// `alg` and `use` are.
    #[must_use]
    pub fn thumbprint(&self) -> [u8; 32] {
        let text = self.thumbprint_input();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        let mut thumbprint = [0; 32];
        thumbprint.copy_from_slice(digest.as_ref());
        thumbprint
    }

    /// The thumbprint as it stands in a `kid` or a `jkt`.
    #[must_use]
    pub fn thumbprint_base64url(&self) -> String {
        base64url::encode(self.thumbprint())
    }

    /// The thumbprint's URI (RFC 9278).
    #[must_use]
    pub fn thumbprint_uri(&self) -> String {
        let mut uri = THUMBPRINT_URI_PREFIX.to_owned();
        base64url::encode_into(self.thumbprint(), &mut uri);
        uri
    }

    /// The required members, sorted, without white space (RFC 7638, section 3). All of them are base64url
    /// or registered names, which JSON does not escape.
    fn thumbprint_input(&self) -> Zeroizing<String> {
        let b64 = |bytes: &[u8]| Zeroizing::new(base64url::encode(bytes));
        Zeroizing::new(match &self.material {
            Material::Rsa(key) => format!(
                r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
                *b64(&key.e),
                *b64(&key.n)
            ),
            Material::Ec(key) => format!(
                r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#,
                key.curve.as_str(),
                *b64(&key.x),
                *b64(&key.y)
            ),
            Material::Okp(key) => format!(
                r#"{{"crv":"{}","kty":"OKP","x":"{}"}}"#,
                key.curve.as_str(),
                *b64(&key.x)
            ),
            Material::Oct(key) => format!(r#"{{"k":"{}","kty":"oct"}}"#, *b64(&key.k)),
            Material::Akp(key) => format!(
                r#"{{"alg":"{}","kty":"AKP","pub":"{}"}}"#,
                key.parameter_set.as_str(),
                *b64(&key.public)
            ),
        })
    }

    pub(crate) fn members(&self, part: Part) -> Result<Members, Error> {
        let private = part == Part::Private;
        if private && !self.is_private() {
            return Err(Error::NoPrivateKey);
        }
        let mut members = Members(Vec::with_capacity(16));
        members.put("kty", self.key_type());
        if let Some(kid) = &self.parameters.kid {
            members.put("kid", kid.as_str());
        }
        match (&self.material, self.parameters.algorithm) {
            (_, Some(algorithm)) => members.put("alg", algorithm.as_str()),
            (Material::Akp(key), None) => members.put("alg", key.parameter_set.as_str()),
            (_, None) => {}
        }
        if let Some(key_use) = self.parameters.key_use {
            members.put("use", key_use.as_str());
        }
        let operations = match part {
            Part::Private => self.parameters.operations.clone(),
            Part::Public => self.public_operations(),
        };
        if let Some(operations) = operations {
            let names: Vec<&str> = operations.iter().map(|one| one.as_str()).collect();
            members.put("key_ops", names);
        }
        self.put_material(&mut members, private)?;
        if !self.parameters.x5c.is_empty() {
            let chain: Vec<String> = self
                .parameters
                .x5c
                .iter()
                .map(|der| STANDARD.encode(der))
                .collect();
            members.put("x5c", chain);
        }
        if let Some(hash) = self.parameters.x5t_s256 {
            members.put_bytes("x5t#S256", &hash);
        }
        Ok(members)
    }

    fn put_material(&self, members: &mut Members, private: bool) -> Result<(), Error> {
        match &self.material {
            Material::Rsa(key) => {
                members.put_bytes("n", &key.n);
                members.put_bytes("e", &key.e);
                if let (true, Some(own)) = (private, &key.private) {
                    members.put_bytes("d", &own.d);
                    members.put_bytes("p", &own.p);
                    members.put_bytes("q", &own.q);
                    members.put_bytes("dp", &own.dp);
                    members.put_bytes("dq", &own.dq);
                    members.put_bytes("qi", &own.qi);
                }
            }
            Material::Ec(key) => {
                members.put("crv", key.curve.as_str());
                members.put_bytes("x", &key.x);
                members.put_bytes("y", &key.y);
                if let (true, Some(d)) = (private, &key.d) {
                    members.put_bytes("d", d);
                }
            }
            Material::Okp(key) => {
                members.put("crv", key.curve.as_str());
                members.put_bytes("x", &key.x);
                if let (true, Some(d)) = (private, &key.d) {
                    members.put_bytes("d", d);
                }
            }
            Material::Oct(key) => {
                if !private {
                    return Err(crate::key::no_public_part());
                }
                members.put_bytes("k", &key.k);
            }
            Material::Akp(key) => {
                members.put_bytes("pub", &key.public);
                if let (true, Some(seed)) = (private, &key.seed) {
                    members.put_bytes("priv", seed);
                }
            }
        }
        Ok(())
    }
}
