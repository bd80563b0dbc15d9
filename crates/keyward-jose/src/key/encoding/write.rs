//! Writing DER and PEM.

use super::{Encoding, Part, curve_oid, ml_dsa_oid, oid, pem};
use crate::Error;
use crate::key::der::{tag, write, write_bit_string, write_unsigned};
use crate::key::{Ec, Key, Material, Rsa};
use zeroize::Zeroizing;

impl Key {
    /// The key as DER.
    ///
    /// # Errors
    /// [`Error::KeyForm`] when the encoding can't carry this key or part, [`Error::NoPrivateKey`] when the
    /// private part is wanted and not there.
    pub fn to_der(&self, part: Part, encoding: Encoding) -> Result<Zeroizing<Vec<u8>>, Error> {
        if let Material::Oct(_) = &self.material {
            return Err(Error::KeyForm(
                "an `oct` key has no DER or PEM; write it as a JWK".to_owned(),
            ));
        }
        if part == Part::Private && !self.is_private() {
            return Err(Error::NoPrivateKey);
        }
        match (encoding, part) {
            (Encoding::Pkcs8, Part::Private) => self.pkcs8(),
            (Encoding::Spki, Part::Public) => Ok(self.spki()),
            (Encoding::Pkcs1, _) => match &self.material {
                Material::Rsa(key) => match part {
                    Part::Public => Ok(rsa_public(key)),
                    Part::Private => rsa_private(key),
                },
                Material::Ec(_) | Material::Okp(_) | Material::Oct(_) | Material::Akp(_) => {
                    Err(only("RSA keys", encoding))
                }
            },
            (Encoding::Sec1, Part::Private) => match &self.material {
                Material::Ec(key) => sec1(key, true),
                Material::Rsa(_) | Material::Okp(_) | Material::Oct(_) | Material::Akp(_) => {
                    Err(only("EC keys", encoding))
                }
            },
            (Encoding::Pkcs8 | Encoding::Sec1, Part::Public) => Err(only("private keys", encoding)),
            (Encoding::Spki, Part::Private) => Err(only("public keys", encoding)),
            (Encoding::Certificate, _) => Err(Error::KeyForm(
                "a certificate is not another form of a key; make one that is signed".to_owned(),
            )),
        }
    }

    /// The key as PEM (RFC 7468).
    ///
    /// # Errors
    /// Those of [`to_der`](Self::to_der).
    pub fn to_pem(&self, part: Part, encoding: Encoding) -> Result<Zeroizing<String>, Error> {
        let der = self.to_der(part, encoding)?;
        Ok(pem::write(pem::label(encoding, part), &der))
    }

    /// The SubjectPublicKeyInfo; empty for an `oct` key, which never gets here.
    fn spki(&self) -> Zeroizing<Vec<u8>> {
        let (algorithm, key) = match &self.material {
            Material::Rsa(key) => (algorithm(oid::RSA, Some(&null())), rsa_public(key)),
            Material::Ec(key) => (ec_algorithm(key), Zeroizing::new(key.point())),
            Material::Okp(key) => (
                algorithm(curve_oid(key.curve), None),
                Zeroizing::new(key.x.clone()),
            ),
            Material::Akp(key) => (
                algorithm(ml_dsa_oid(key.parameter_set), None),
                Zeroizing::new(key.public.clone()),
            ),
            Material::Oct(_) => return Zeroizing::default(),
        };
        write(tag::SEQUENCE, &[&algorithm, &write_bit_string(&key)])
    }

    /// PrivateKeyInfo, version 0: read by everything that reads any version.
    fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (algorithm, key) = match &self.material {
            Material::Rsa(key) => (algorithm(oid::RSA, Some(&null())), rsa_private(key)?),
            Material::Ec(key) => (ec_algorithm(key), sec1(key, false)?),
            Material::Okp(key) => (
                algorithm(curve_oid(key.curve), None),
                write(
                    tag::OCTET_STRING,
                    &[key.d.as_ref().ok_or(Error::NoPrivateKey)?],
                ),
            ),
            Material::Akp(key) => (
                algorithm(ml_dsa_oid(key.parameter_set), None),
                write(
                    tag::CONTEXT_0_PRIMITIVE,
                    &[key.seed.as_ref().ok_or(Error::NoPrivateKey)?],
                ),
            ),
            Material::Oct(_) => return Err(only("key pairs", Encoding::Pkcs8)),
        };
        Ok(write(
            tag::SEQUENCE,
            &[
                &write_unsigned(&[0]),
                &algorithm,
                &write(tag::OCTET_STRING, &[&key]),
            ],
        ))
    }
}

fn rsa_public(key: &Rsa) -> Zeroizing<Vec<u8>> {
    write(
        tag::SEQUENCE,
        &[&write_unsigned(&key.n), &write_unsigned(&key.e)],
    )
}

fn rsa_private(key: &Rsa) -> Result<Zeroizing<Vec<u8>>, Error> {
    let private = key.private.as_ref().ok_or(Error::NoPrivateKey)?;
    Ok(write(
        tag::SEQUENCE,
        &[
            &write_unsigned(&[0]),
            &write_unsigned(&key.n),
            &write_unsigned(&key.e),
            &write_unsigned(&private.d),
            &write_unsigned(&private.p),
            &write_unsigned(&private.q),
            &write_unsigned(&private.dp),
            &write_unsigned(&private.dq),
            &write_unsigned(&private.qi),
        ],
    ))
}

/// ECPrivateKey. Inside PKCS#8 the curve stands outside (RFC 5915, section 3, leaves it to the reader;
/// OpenSSL writes it so).
fn sec1(key: &Ec, with_curve: bool) -> Result<Zeroizing<Vec<u8>>, Error> {
    let d = key.d.as_ref().ok_or(Error::NoPrivateKey)?;
    let curve = if with_curve {
        let id = write(tag::OBJECT_IDENTIFIER, &[curve_oid(key.curve)]);
        write(tag::CONTEXT_0, &[&id])
    } else {
        Zeroizing::default()
    };
    Ok(write(
        tag::SEQUENCE,
        &[
            &write_unsigned(&[1]),
            &write(tag::OCTET_STRING, &[d]),
            &curve,
            &write(tag::CONTEXT_1, &[&write_bit_string(&key.point())]),
        ],
    ))
}

fn ec_algorithm(key: &Ec) -> Zeroizing<Vec<u8>> {
    let curve = write(tag::OBJECT_IDENTIFIER, &[curve_oid(key.curve)]);
    algorithm(oid::EC, Some(&curve))
}

fn algorithm(id: &[u8], parameters: Option<&[u8]>) -> Zeroizing<Vec<u8>> {
    let id = write(tag::OBJECT_IDENTIFIER, &[id]);
    write(tag::SEQUENCE, &[&id, parameters.unwrap_or_default()])
}

fn null() -> Zeroizing<Vec<u8>> {
    write(tag::NULL, &[])
}

fn only(what: &str, encoding: Encoding) -> Error {
    Error::KeyForm(format!("{} carries only {what}", encoding.as_str()))
}
