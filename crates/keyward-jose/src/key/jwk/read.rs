//! Reading a JWK: members that are known are checked, the others ignored (RFC 7517, section 4).

use super::{JWK_BYTES_MAX, KID_BYTES_MAX, SECRET_BYTES_MAX};
use crate::algorithm::Algorithm;
use crate::key::{
    Akp, Curve, Ec, Key, KeyOperation, KeyUse, Material, MlDsa, Oct, Okp, Parameters, Rsa,
    RsaPrivate,
};
use crate::{Error, base64url, json, x509};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use zeroize::{Zeroize as _, Zeroizing};

/// Wrong types and forms, said the same way everywhere.
const TEXT: &str = "a string is needed";
const TEXTS: &str = "an array of strings is needed";

impl Key {
    /// Reads a JWK: strict JSON, known members of the right type and form, a sound key.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::TooLarge`], [`Error::Base64`] and [`Error::KeyMember`] for what is
    /// malformed; [`Error::KeyInvalid`] for a key that can't be (a point off its curve, a private key
    /// that belongs to another public key, `use` against `key_ops`, a certificate of another key);
    /// [`Error::AlgorithmNotAllowed`] for an `alg` that does not exist here.
    ///
    /// ```
    /// # use keyward_jose::Key;
    /// let key = Key::from_jwk(br#"{"kty": "OKP", "crv": "Ed25519",
    ///     "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#)?;
    /// assert_eq!(key.thumbprint_base64url(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    /// # Ok::<(), keyward_jose::Error>(())
    /// ```
    pub fn from_jwk(text: &[u8]) -> Result<Self, Error> {
        let mut members = json::object("a JWK", text, JWK_BYTES_MAX)?;
        let key = Self::from_jwk_value(&members);
        wipe(&mut members);
        key
    }

    /// The same from JSON that has been read already. Duplicate members can't be seen any more: read it
    /// strictly.
    ///
    /// # Errors
    /// As [`from_jwk`](Self::from_jwk).
    pub fn from_jwk_value(members: &Map<String, Value>) -> Result<Self, Error> {
        let members = Source(members);
        let material = material(&members)?;
        let parameters = parameters(&members)?;
        let mut key = Self {
            material,
            parameters,
        };
        key.check_parameters()?;
        if let Some(chain) = members.texts("x5c")? {
            let chain = chain
                .into_iter()
                .map(|text| {
                    // RFC 7517, section 4.7: base64, not base64url.
                    STANDARD.decode(text).map_err(|_| {
                        Error::KeyMember("x5c", "it holds something that is not base64".to_owned())
                    })
                })
                .collect::<Result<Vec<_>, _>>()?;
            x509::check_chain_of(&key, &chain)?;
            key.parameters.x5c = chain;
        }
        check_certificate_hashes(&mut key, &members)?;
        Ok(key)
    }
}

/// Overwrites every string: a private key's members are among them.
pub(crate) fn wipe(members: &mut Map<String, Value>) {
    for value in members.values_mut() {
        wipe_value(value);
    }
}

fn wipe_value(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe_value),
        Value::Object(members) => wipe(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

struct Source<'a>(&'a Map<String, Value>);

impl<'a> Source<'a> {
    fn text(&self, name: &'static str) -> Result<Option<&'a str>, Error> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Error::KeyMember(name, TEXT.to_owned())),
        }
    }

    fn texts(&self, name: &'static str) -> Result<Option<Vec<&'a str>>, Error> {
        let wrong = || Error::KeyMember(name, TEXTS.to_owned());
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Array(values)) => values
                .iter()
                .map(|value| value.as_str().ok_or_else(wrong))
                .collect::<Result<Vec<_>, _>>()
                .map(Some),
            Some(_) => Err(wrong()),
        }
    }

    fn bytes(&self, name: &'static str) -> Result<Option<Vec<u8>>, Error> {
        self.text(name)?
            .map(|text| base64url::decode(name, text))
            .transpose()
    }

    fn secret(&self, name: &'static str) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        Ok(self.bytes(name)?.map(Zeroizing::new))
    }

    fn needed<T>(name: &'static str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| Error::KeyMember(name, "it is missing".to_owned()))
    }

    fn needed_bytes(&self, name: &'static str) -> Result<Vec<u8>, Error> {
        Self::needed(name, self.bytes(name)?)
    }
}

fn material(members: &Source<'_>) -> Result<Material, Error> {
    if members.0.contains_key("keys") && !members.0.contains_key("kty") {
        return Err(Error::KeyMember(
            "kty",
            "it is missing; this is a JWK set, and one key of it is needed".to_owned(),
        ));
    }
    match Source::needed("kty", members.text("kty")?)? {
        "RSA" => rsa(members).map(Material::Rsa),
        "EC" => ec(members).map(Material::Ec),
        "OKP" => okp(members).map(Material::Okp),
        "oct" => {
            let k = Source::needed("k", members.secret("k")?)?;
            Oct::new(k).map(Material::Oct)
        }
        "AKP" => akp(members).map(Material::Akp),
        other => {
            let kty: String = other.chars().take(40).collect();
            Err(Error::KeyMember(
                "kty",
                format!("`{kty}` is no key type that is known here"),
            ))
        }
    }
}

fn rsa(members: &Source<'_>) -> Result<Rsa, Error> {
    let n = members.needed_bytes("n")?;
    let e = members.needed_bytes("e")?;
    if members.0.contains_key("oth") {
        return Err(Error::KeyMember(
            "oth",
            "keys of more than two primes can't be used here; make one of two".to_owned(),
        ));
    }
    let d = members.secret("d")?;
    let p = members.secret("p")?;
    let q = members.secret("q")?;
    let dp = members.secret("dp")?;
    let dq = members.secret("dq")?;
    let qi = members.secret("qi")?;
    match (d, p, q, dp, dq, qi) {
        (None, None, None, None, None, None) => Rsa::public(n, e),
        (Some(d), None, None, None, None, None) => Rsa::complete(n, e, d),
        (Some(d), Some(p), Some(q), Some(dp), Some(dq), Some(qi)) => {
            let private = RsaPrivate {
                d,
                p,
                q,
                dp,
                dq,
                qi,
            };
            Rsa::private(n, e, private)
        }
        _ => Err(Error::KeyMember(
            "d",
            "a private RSA key has `d` alone, or all of `d`, `p`, `q`, `dp`, `dq` and `qi` \
             (RFC 7518, section 6.3.2)"
                .to_owned(),
        )),
    }
}

fn curve(members: &Source<'_>) -> Result<Curve, Error> {
    Source::needed("crv", members.text("crv")?)?.parse()
}

fn ec(members: &Source<'_>) -> Result<Ec, Error> {
    let curve = curve(members)?;
    let x = members.needed_bytes("x")?;
    let y = members.needed_bytes("y")?;
    match members.secret("d")? {
        Some(d) => Ec::private(curve, x, y, d),
        None => Ec::public(curve, x, y),
    }
}

fn okp(members: &Source<'_>) -> Result<Okp, Error> {
    let curve = curve(members)?;
    let x = members.needed_bytes("x")?;
    match members.secret("d")? {
        Some(d) => Okp::private(curve, x, d),
        None => Okp::public(curve, x),
    }
}

fn akp(members: &Source<'_>) -> Result<Akp, Error> {
    // RFC 9964, section 3: `alg` is required, since it alone says what the key is.
    let name = Source::needed("alg", members.text("alg")?)?;
    let parameter_set = MlDsa::ALL
        .iter()
        .copied()
        .find(|set| set.as_str() == name)
        .ok_or_else(|| {
            Error::KeyMember(
                "alg",
                "an AKP key is for ML-DSA-44, -65 or -87 here".to_owned(),
            )
        })?;
    let public = members.needed_bytes("pub")?;
    match members.secret("priv")? {
        Some(seed) => Akp::private(parameter_set, public, seed),
        None => Akp::public(parameter_set, public),
    }
}

impl Oct {
    /// A secret of at least one byte. Whether it is long enough depends on the algorithm. What is a public
    /// key in some other form is no secret: who takes it for one lets everybody sign (CVE-2015-9235).
    pub(crate) fn new(k: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        if k.is_empty() {
            return Err(Error::KeyMember("k", "it is empty".to_owned()));
        }
        if k.len() > SECRET_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "the secret of an `oct` key",
                limit: SECRET_BYTES_MAX,
            });
        }
        if is_public_text(&k) {
            return Err(Error::KeyInvalid(
                "the secret is a public key or a certificate, which everyone has".to_owned(),
            ));
        }
        Ok(Self { k })
    }
}

fn is_public_text(secret: &[u8]) -> bool {
    const MARKS: [&[u8]; 3] = [b"-----BEGIN ", b"ssh-", b"ecdsa-sha2-"];
    let text = secret.trim_ascii_start();
    MARKS.iter().any(|mark| text.starts_with(mark)) || Key::from_der(secret).is_ok()
}

fn parameters(members: &Source<'_>) -> Result<Parameters, Error> {
    let kid = members.text("kid")?;
    if kid.is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
        return Err(Error::TooLarge {
            what: "`kid`",
            limit: KID_BYTES_MAX,
        });
    }
    let key_use = match members.text("use")? {
        None => None,
        Some("sig") => Some(KeyUse::Signature),
        Some("enc") => Some(KeyUse::Encryption),
        // RFC 7517, section 4.2, allows others: such a key is for nothing that is done here.
        Some(_) => {
            return Err(Error::KeyMember(
                "use",
                "only `sig` and `enc` are known here".to_owned(),
            ));
        }
    };
    let operations = members
        .texts("key_ops")?
        .map(|names| operations(&names))
        .transpose()?;
    let algorithm = members
        .text("alg")?
        .map(str::parse::<Algorithm>)
        .transpose()?;
    // Never followed (it would make the key's author choose our connections), but a string it must be.
    members.text("x5u")?;
    Ok(Parameters {
        kid: kid.map(str::to_owned),
        key_use,
        operations,
        algorithm,
        x5c: Vec::new(),
        x5t_s256: None,
    })
}

/// RFC 7517, section 4.3: no value twice; other values may be there and allow nothing here.
fn operations(names: &[&str]) -> Result<Vec<KeyOperation>, Error> {
    let mut operations = Vec::with_capacity(names.len().min(KeyOperation::ALL.len()));
    for (index, name) in names.iter().enumerate() {
        if names.iter().skip(index + 1).any(|other| other == name) {
            return Err(Error::KeyMember(
                "key_ops",
                "it names an operation twice".to_owned(),
            ));
        }
        operations.extend(
            KeyOperation::ALL
                .iter()
                .find(|operation| operation.as_str() == *name),
        );
    }
    Ok(operations)
}

/// RFC 7517, sections 4.8 and 4.9. SHA-1's is compared and then forgotten.
///
/// What is no hash of the right length says nothing about a certificate and is left out: there are issuers
/// that publish the hash in hexadecimal and that in base64url, and their keys are good.
fn check_certificate_hashes(key: &mut Key, members: &Source<'_>) -> Result<(), Error> {
    let own = key.parameters.x5c.first();
    let sha1 = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
    let sha256 = &aws_lc_rs::digest::SHA256;
    for (name, algorithm) in [("x5t", sha1), ("x5t#S256", sha256)] {
        let given = members
            .text(name)?
            .and_then(|text| base64url::decode(name, text).ok())
            .filter(|hash| hash.len() == algorithm.output_len());
        let Some(given) = given else {
            continue;
        };
        if let Some(own) = own
            && aws_lc_rs::digest::digest(algorithm, own).as_ref() != given
        {
            return Err(Error::KeyMember(
                name,
                "it belongs to another certificate than the first of `x5c`".to_owned(),
            ));
        }
        if name == "x5t#S256" {
            key.parameters.x5t_s256 = given.try_into().ok();
        }
    }
    Ok(())
}
