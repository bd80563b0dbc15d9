//! Certificate requests (PKCS#10, RFC 2986) and self-signed certificates.

use super::pem;
use crate::key::{Curve, KeyUse, Material, MlDsa, der};
use crate::{Error, Key, NumericDate};
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, PqdsaKeyPair, RSA_PKCS1_SHA256,
};
use core::net::IpAddr;
use rcgen::string::{Ia5String, PrintableString};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyUsagePurpose, PublicKeyData, SanType,
    SerialNumber, SignatureAlgorithm, SigningKey,
};
use time::OffsetDateTime;

/// RFC 5280, section 4.1.2.5: certificates can't name a later time (9999-12-31T23:59:59Z).
const LATEST: i64 = 253_402_300_799;
/// RFC 5280, section 4.1.2.2 allows 20 bytes; 16 random ones never meet again.
const SERIAL_BYTES: usize = 16;
/// More alternative names than any real certificate has.
const NAMES_MAX: usize = 100;

/// Whom a certificate is for. It needs a common name or an alternative name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// `CN`.
    pub common_name: Option<String>,
    /// `O`.
    pub organization: Option<String>,
    /// `OU`.
    pub organizational_unit: Option<String>,
    /// `C`: two letters.
    pub country: Option<String>,
    /// The subject alternative names.
    pub alternative_names: Vec<AlternativeName>,
}

/// A subject alternative name (RFC 5280, section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// A host's name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A mail address.
    Email(String),
    /// A URI.
    Uri(String),
}

impl Key {
    /// A certificate request for this key in DER, signed by it. RSA, P-256, P-384, P-521, Ed25519 and
    /// ML-DSA keys can have one.
    ///
    /// # Errors
    /// [`Error::KeyUnfit`] for other keys, [`Error::NoPrivateKey`], [`Error::Certificate`] when the subject
    /// can't be written.
    pub fn certificate_request(&self, subject: &Subject) -> Result<Vec<u8>, Error> {
        let request = subject
            .parameters(self)?
            .serialize_request(&CertificateSigner::new(self)?)
            .map_err(|error| unwritable(&error))?;
        Ok(request.der().to_vec())
    }

    /// A certificate of this key in DER, signed by itself: valid from and until the times given (both
    /// included). It can sign no other certificate. The same keys as for a request can have one.
    ///
    /// # Errors
    /// Those of [`certificate_request`](Self::certificate_request), and [`Error::Certificate`] when the end
    /// is not after the start or a certificate can't name the time.
    pub fn self_signed_certificate(
        &self,
        subject: &Subject,
        not_before: NumericDate,
        not_after: NumericDate,
    ) -> Result<Vec<u8>, Error> {
        if not_after <= not_before {
            return Err(Error::Certificate(
                "it would end before it starts".to_owned(),
            ));
        }
        let mut parameters = subject.parameters(self)?;
        parameters.not_before = date(not_before)?;
        parameters.not_after = date(not_after)?;
        let mut serial = [0; SERIAL_BYTES];
        rand::fill(&mut serial).map_err(|_| Error::Crypto("random numbers"))?;
        // Positive, and never zero.
        if let Some(first) = serial.first_mut() {
            *first = (*first & 0x7f) | 0x40;
        }
        parameters.serial_number = Some(SerialNumber::from_slice(&serial));
        let certificate = parameters
            .self_signed(&CertificateSigner::new(self)?)
            .map_err(|error| unwritable(&error))?;
        Ok(certificate.der().to_vec())
    }
}

/// A certificate in PEM.
#[must_use]
pub fn certificate_to_pem(der: &[u8]) -> String {
    pem::write("CERTIFICATE", der).to_string()
}

/// A certificate request in PEM.
#[must_use]
pub fn request_to_pem(der: &[u8]) -> String {
    pem::write("CERTIFICATE REQUEST", der).to_string()
}

impl Subject {
    pub(super) fn parameters(&self, key: &Key) -> Result<CertificateParams, Error> {
        if self.common_name.is_none() && self.alternative_names.is_empty() {
            return Err(Error::Certificate(
                "it needs a common name or an alternative name".to_owned(),
            ));
        }
        if self.alternative_names.len() > NAMES_MAX {
            return Err(Error::TooLarge {
                what: "the number of alternative names",
                limit: NAMES_MAX,
            });
        }
        let mut name = DistinguishedName::new();
        if let Some(country) = &self.country {
            let two_letters =
                country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
            let country = PrintableString::try_from(country.as_str())
                .ok()
                .filter(|_| two_letters)
                .ok_or_else(|| {
                    Error::Certificate("a country is two capital letters (ISO 3166)".to_owned())
                })?;
            name.push(
                DnType::CountryName,
                rcgen::DnValue::PrintableString(country),
            );
        }
        for (kind, value) in [
            (DnType::OrganizationName, &self.organization),
            (DnType::OrganizationalUnitName, &self.organizational_unit),
            (DnType::CommonName, &self.common_name),
        ] {
            if let Some(value) = value {
                // RFC 5280, appendix A.1: the upper bounds of all three.
                if value.is_empty() || value.chars().count() > 64 {
                    return Err(Error::Certificate(
                        "a name of the subject has 1 to 64 characters".to_owned(),
                    ));
                }
                name.push(kind, value.as_str());
            }
        }
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = name;
        parameters.subject_alt_names = self
            .alternative_names
            .iter()
            .map(AlternativeName::to_rcgen)
            .collect::<Result<Vec<_>, _>>()?;
        parameters.key_usages = vec![match (&key.material, key.key_use()) {
            (Material::Rsa(_), Some(KeyUse::Encryption)) => KeyUsagePurpose::KeyEncipherment,
            (_, Some(KeyUse::Encryption)) => KeyUsagePurpose::KeyAgreement,
            (_, Some(KeyUse::Signature) | None) => KeyUsagePurpose::DigitalSignature,
        }];
        Ok(parameters)
    }
}

impl AlternativeName {
    fn to_rcgen(&self) -> Result<SanType, Error> {
        let ascii = |text: &String| {
            Ia5String::try_from(text.as_str())
                .ok()
                .filter(|_| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
                .ok_or_else(|| {
                    Error::Certificate(
                        "an alternative name is of ASCII without spaces (write a domain in its \
                         xn-- form)"
                            .to_owned(),
                    )
                })
        };
        Ok(match self {
            Self::Dns(name) => SanType::DnsName(ascii(name)?),
            Self::Ip(address) => SanType::IpAddress(*address),
            Self::Email(address) => SanType::Rfc822Name(ascii(address)?),
            Self::Uri(uri) => SanType::URI(ascii(uri)?),
        })
    }
}

/// A key as rcgen asks for it. Its own key pair would keep the private key without ever wiping it.
pub(super) struct CertificateSigner {
    pair: Pair,
    public: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

enum Pair {
    Rsa(rsa::KeyPair),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    MlDsa(PqdsaKeyPair),
}

impl CertificateSigner {
    pub(super) fn new(key: &Key) -> Result<Self, Error> {
        let unsound = |_| Error::Crypto("preparing a key to sign a certificate");
        match &key.material {
            Material::Rsa(own) => {
                let private = key.to_der(crate::key::Part::Private, crate::key::Encoding::Pkcs1)?;
                Ok(Self {
                    pair: Pair::Rsa(rsa::KeyPair::from_der(&private).map_err(unsound)?),
                    public: der::write(
                        der::tag::SEQUENCE,
                        &[&der::write_unsigned(&own.n), &der::write_unsigned(&own.e)],
                    )
                    .to_vec(),
                    algorithm: &rcgen::PKCS_RSA_SHA256,
                })
            }
            Material::Ec(own) => {
                let (signing, algorithm) = ecdsa(own.curve).ok_or_else(|| unfit(key))?;
                let d = own.d.as_ref().ok_or(Error::NoPrivateKey)?;
                let public = own.point();
                let pair = EcdsaKeyPair::from_private_key_and_public_key(signing, d, &public)
                    .map_err(unsound)?;
                Ok(Self {
                    pair: Pair::Ec(pair),
                    public,
                    algorithm,
                })
            }
            Material::Okp(own) if own.curve == Curve::Ed25519 => {
                let d = own.d.as_ref().ok_or(Error::NoPrivateKey)?;
                let pair = Ed25519KeyPair::from_seed_and_public_key(d, &own.x).map_err(unsound)?;
                Ok(Self {
                    pair: Pair::Ed25519(pair),
                    public: own.x.clone(),
                    algorithm: &rcgen::PKCS_ED25519,
                })
            }
            Material::Akp(own) => {
                let seed = own.seed.as_ref().ok_or(Error::NoPrivateKey)?;
                let pair =
                    PqdsaKeyPair::from_seed(own.parameter_set.signing(), seed).map_err(unsound)?;
                Ok(Self {
                    pair: Pair::MlDsa(pair),
                    public: own.public.clone(),
                    algorithm: match own.parameter_set {
                        MlDsa::MlDsa44 => &rcgen::PKCS_ML_DSA_44,
                        MlDsa::MlDsa65 => &rcgen::PKCS_ML_DSA_65,
                        MlDsa::MlDsa87 => &rcgen::PKCS_ML_DSA_87,
                    },
                })
            }
            Material::Okp(_) | Material::Oct(_) => Err(unfit(key)),
        }
    }
}

impl PublicKeyData for CertificateSigner {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl SigningKey for CertificateSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let failed = |_| rcgen::Error::RingUnspecified;
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            Pair::Ec(pair) => Ok(pair
                .sign(&random, message)
                .map_err(failed)?
                .as_ref()
                .to_vec()),
            Pair::MlDsa(pair) => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                pair.sign(message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Pair::Ed25519(pair) => Ok(pair.try_sign(message).map_err(failed)?.as_ref().to_vec()),
        }
    }
}

fn ecdsa(curve: Curve) -> Option<(&'static EcdsaSigningAlgorithm, &'static SignatureAlgorithm)> {
    match curve {
        Curve::P256 => Some((
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            &rcgen::PKCS_ECDSA_P256_SHA256,
        )),
        Curve::P384 => Some((
            &ECDSA_P384_SHA384_ASN1_SIGNING,
            &rcgen::PKCS_ECDSA_P384_SHA384,
        )),
        Curve::P521 => Some((
            &ECDSA_P521_SHA512_ASN1_SIGNING,
            &rcgen::PKCS_ECDSA_P521_SHA512,
        )),
        Curve::Secp256k1 | Curve::Ed25519 | Curve::X25519 => None,
    }
}

pub(super) fn unfit(key: &Key) -> Error {
    Error::KeyUnfit(format!(
        "certificates and requests are made here for RSA, P-256, P-384, P-521, Ed25519 and ML-DSA keys, not \
         for {}",
        key.description()
    ))
}

fn date(time: NumericDate) -> Result<OffsetDateTime, Error> {
    let outside = || Error::Certificate("its times are from 1970 to 9999".to_owned());
    if !(0..=LATEST).contains(&time.0) {
        return Err(outside());
    }
    OffsetDateTime::from_unix_timestamp(time.0).map_err(|_| outside())
}

pub(super) fn unwritable(error: &rcgen::Error) -> Error {
    Error::Certificate(format!("it can't be written: {error}"))
}
