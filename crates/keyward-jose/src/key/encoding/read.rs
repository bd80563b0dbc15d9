//! Reading DER.

use super::{Encoding, KEY_BYTES_MAX, curve_oid, ml_dsa_oid, oid, too_large, unknown};
use crate::Error;
use crate::key::der::{Reader, tag, whole_bytes};
use crate::key::{Akp, Curve, Ec, Key, Material, MlDsa, Okp, Rsa, RsaPrivate};
use crate::x509;
use zeroize::Zeroizing;

/// What an AlgorithmIdentifier says about a key.
#[derive(Clone, Copy)]
enum KeyAlgorithm {
    Rsa,
    Curve(Curve),
    MlDsa(MlDsa),
}

/// A key in any encoding: told apart by the first two values.
pub(super) fn any(der: &[u8]) -> Result<(Key, Encoding), Error> {
    if der.len() > KEY_BYTES_MAX {
        return Err(too_large());
    }
    let mut inside = Reader::sequence_of(der)?;
    let (first, _) = inside.value()?;
    let encoding = match (first, inside.next_tag()) {
        (tag::INTEGER, Some(tag::INTEGER)) => Encoding::Pkcs1,
        (tag::INTEGER, Some(tag::SEQUENCE)) => Encoding::Pkcs8,
        (tag::INTEGER, Some(tag::OCTET_STRING)) => Encoding::Sec1,
        (tag::SEQUENCE, Some(tag::BIT_STRING)) => Encoding::Spki,
        (tag::SEQUENCE, Some(tag::SEQUENCE)) => Encoding::Certificate,
        (tag::SEQUENCE, Some(tag::OCTET_STRING)) => return Err(encrypted()),
        _ => return Err(unknown()),
    };
    as_encoding(der, encoding).map(|key| (key, encoding))
}

/// A key in the encoding that is named.
pub(super) fn as_encoding(der: &[u8], encoding: Encoding) -> Result<Key, Error> {
    match encoding {
        Encoding::Pkcs1 => pkcs1(der).map(Material::Rsa),
        Encoding::Pkcs8 => pkcs8(der),
        Encoding::Sec1 => sec1(der, None).map(Material::Ec),
        Encoding::Spki => spki(der),
        Encoding::Certificate => return certificate(der),
    }
    .map(Key::from_material)
}

pub(super) fn encrypted() -> Error {
    Error::KeyForm(
        "the private key is encrypted; decrypt it first (for example with `openssl pkey`)"
            .to_owned(),
    )
}

fn certificate(der: &[u8]) -> Result<Key, Error> {
    x509::public_key(der)?.with_certificates(vec![der.to_vec()])
}

fn pkcs1(der: &[u8]) -> Result<Rsa, Error> {
    let mut values = Reader::sequence_of(der)?;
    let first = values.unsigned()?;
    if first.len() > 1 {
        let e = values.unsigned()?;
        values.end()?;
        return Rsa::public(first.to_vec(), e.to_vec());
    }
    if first != [0] {
        return Err(Error::KeyForm(
            "an RSA key of more than two primes can't be used here; make one of two primes"
                .to_owned(),
        ));
    }
    let n = values.unsigned()?.to_vec();
    let e = values.unsigned()?.to_vec();
    let mut secret = || {
        values
            .unsigned()
            .map(|bytes| Zeroizing::new(bytes.to_vec()))
    };
    let private = RsaPrivate {
        d: secret()?,
        p: secret()?,
        q: secret()?,
        dp: secret()?,
        dq: secret()?,
        qi: secret()?,
    };
    values.end()?;
    Rsa::private(n, e, private)
}

fn spki(der: &[u8]) -> Result<Material, Error> {
    let mut values = Reader::sequence_of(der)?;
    let algorithm = algorithm(values.sequence()?)?;
    let key = values.bit_string()?;
    values.end()?;
    match algorithm {
        KeyAlgorithm::Rsa => {
            let mut values = Reader::sequence_of(key)?;
            let n = values.unsigned()?.to_vec();
            let e = values.unsigned()?.to_vec();
            values.end()?;
            Rsa::public(n, e).map(Material::Rsa)
        }
        KeyAlgorithm::Curve(curve) if curve.is_ec() => {
            let (x, y) = Ec::coordinates(curve, key)?;
            Ec::public(curve, x, y).map(Material::Ec)
        }
        KeyAlgorithm::Curve(curve) => Okp::public(curve, key.to_vec()).map(Material::Okp),
        KeyAlgorithm::MlDsa(parameter_set) => {
            Akp::public(parameter_set, key.to_vec()).map(Material::Akp)
        }
    }
}

/// OneAsymmetricKey (RFC 5958, section 2): version 0, or version 1 with the public key.
fn pkcs8(der: &[u8]) -> Result<Material, Error> {
    let mut values = Reader::sequence_of(der)?;
    let version = values.unsigned()?;
    let algorithm = algorithm(values.sequence()?)?;
    let key = values.expect(tag::OCTET_STRING, "the private key's OCTET STRING")?;
    // The attributes say nothing that a JWK could.
    values.optional(tag::CONTEXT_0)?;
    let public = match (version, values.optional(tag::CONTEXT_1_PRIMITIVE)?) {
        ([0], None) => None,
        ([1], Some(public)) => Some(whole_bytes(public)?),
        _ => {
            return Err(Error::KeyForm(
                "PKCS#8: the version does not fit the contents".to_owned(),
            ));
        }
    };
    values.end()?;
    match algorithm {
        KeyAlgorithm::Rsa => pkcs1(key).and_then(|key| match key.private {
            Some(_) => Ok(Material::Rsa(key)),
            None => Err(Error::NoPrivateKey),
        }),
        KeyAlgorithm::Curve(curve) if curve.is_ec() => {
            let key = sec1(key, Some(curve))?;
            match public {
                Some(point) if point != key.point() => Err(other_public_key()),
                Some(_) | None => Ok(Material::Ec(key)),
            }
        }
        KeyAlgorithm::Curve(curve) => {
            let mut inner = Reader::new(key);
            let d = secret(inner.expect(tag::OCTET_STRING, "the key's OCTET STRING")?);
            inner.end()?;
            match public {
                Some(x) => Okp::private(curve, x.to_vec(), d),
                None => Okp::from_private(curve, d),
            }
            .map(Material::Okp)
        }
        KeyAlgorithm::MlDsa(parameter_set) => {
            let key = ml_dsa(parameter_set, key)?;
            match public {
                Some(public) if public != key.public => Err(other_public_key()),
                Some(_) | None => Ok(Material::Akp(key)),
            }
        }
    }
}

/// The three forms of RFC 9881, section 6.
fn ml_dsa(parameter_set: MlDsa, der: &[u8]) -> Result<Akp, Error> {
    let mut values = Reader::new(der);
    match values.value()? {
        (tag::CONTEXT_0_PRIMITIVE, seed) => {
            values.end()?;
            Akp::from_seed(parameter_set, secret(seed))
        }
        (tag::SEQUENCE, both) => {
            values.end()?;
            let mut both = Reader::new(both);
            let seed = both.expect(tag::OCTET_STRING, "the seed")?;
            let expanded = both.expect(tag::OCTET_STRING, "the expanded key")?;
            both.end()?;
            let key = Akp::from_seed(parameter_set, secret(seed))?;
            if key.expands_to(expanded)? {
                Ok(key)
            } else {
                Err(Error::KeyInvalid(
                    "the ML-DSA seed and the expanded key do not belong together".to_owned(),
                ))
            }
        }
        (tag::OCTET_STRING, _) => Err(Error::KeyForm(
            "this ML-DSA key is without its seed, which is the private key here (RFC 9964); export it \
             with the seed"
                .to_owned(),
        )),
        _ => Err(unknown()),
    }
}

/// ECPrivateKey; `outer` is the curve that the PKCS#8 around it names.
fn sec1(der: &[u8], outer: Option<Curve>) -> Result<Ec, Error> {
    let mut values = Reader::sequence_of(der)?;
    if values.unsigned()? != [1] {
        return Err(Error::KeyForm("SEC1: the version must be 1".to_owned()));
    }
    let d = secret(values.expect(tag::OCTET_STRING, "the private key's OCTET STRING")?);
    let inner = match values.optional(tag::CONTEXT_0)? {
        Some(parameters) => {
            let mut parameters = Reader::new(parameters);
            let curve = named_curve(&mut parameters)?;
            parameters.end()?;
            Some(curve)
        }
        None => None,
    };
    let point = match values.optional(tag::CONTEXT_1)? {
        Some(public) => {
            let mut public = Reader::new(public);
            let point = public.bit_string()?;
            public.end()?;
            Some(point)
        }
        None => None,
    };
    values.end()?;
    let curve = match (outer, inner) {
        (Some(outer), Some(inner)) if outer != inner => {
            return Err(Error::KeyForm("the key names two curves".to_owned()));
        }
        (Some(curve), _) | (None, Some(curve)) => curve,
        (None, None) => return Err(Error::KeyForm("SEC1: the curve is missing".to_owned())),
    };
    match point {
        Some(point) => {
            let (x, y) = Ec::coordinates(curve, point)?;
            Ec::private(curve, x, y, d)
        }
        None => Ec::from_private(curve, d),
    }
}

fn algorithm(mut values: Reader<'_>) -> Result<KeyAlgorithm, Error> {
    let id = values.expect(tag::OBJECT_IDENTIFIER, "the algorithm")?;
    if id == oid::EC {
        let curve = named_curve(&mut values)?;
        values.end()?;
        return Ok(KeyAlgorithm::Curve(curve));
    }
    if id == oid::RSA {
        // RFC 3279 wants NULL there; some leave it out.
        if values
            .optional(tag::NULL)?
            .is_some_and(|null| !null.is_empty())
        {
            return Err(unknown());
        }
        values.end()?;
        return Ok(KeyAlgorithm::Rsa);
    }
    if id == oid::RSA_PSS {
        return Err(Error::KeyForm(
            "the key is marked for RSASSA-PSS only, which a JWK can't say; write it anew as \
             rsaEncryption and name the algorithm with `alg`"
                .to_owned(),
        ));
    }
    // RFC 8410, section 3, and RFC 9881, section 2: no parameters.
    values.end()?;
    let okp = [Curve::Ed25519, Curve::X25519]
        .into_iter()
        .find(|curve| curve_oid(*curve) == id)
        .map(KeyAlgorithm::Curve);
    let ml_dsa = || {
        MlDsa::ALL
            .iter()
            .copied()
            .find(|set| ml_dsa_oid(*set) == id)
            .map(KeyAlgorithm::MlDsa)
    };
    okp.or_else(ml_dsa).ok_or_else(|| {
        Error::KeyForm(
            "a key of this algorithm is not known here: RSA, EC, Ed25519, X25519 and ML-DSA are"
                .to_owned(),
        )
    })
}

fn named_curve(values: &mut Reader<'_>) -> Result<Curve, Error> {
    let (found, id) = values.value()?;
    if found != tag::OBJECT_IDENTIFIER {
        return Err(Error::KeyForm(
            "the curve is spelled out; only named curves are taken".to_owned(),
        ));
    }
    Curve::ALL
        .iter()
        .copied()
        .find(|curve| curve.is_ec() && curve_oid(*curve) == id)
        .ok_or_else(|| {
            Error::KeyForm(
                "this curve is not known here: P-256, P-384, P-521 and secp256k1 are".to_owned(),
            )
        })
}

fn secret(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.to_vec())
}

fn other_public_key() -> Error {
    Error::KeyInvalid("the private key does not belong to the public key".to_owned())
}
