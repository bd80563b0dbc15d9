//! Who a client is by its certificate.

use super::distinguished_name;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_model::Timestamp;
use std::fmt::Write as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What a client's certificate says. It was checked against the listener's roots, and the client proved to
/// have its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The SHA-256 of the certificate, as `cnf` has it in `x5t#S256` (RFC 8705, section 3.1).
    pub thumbprint: Box<str>,
    /// The subject as RFC 4514 writes it, such as `CN=billing,O=Acme`.
    pub subject: Box<str>,
    /// The common names of the subject that are text.
    pub common_names: Vec<Box<str>>,
    /// `dNSName`s of the `subjectAltName`, as they stand there.
    pub dns_names: Vec<Box<str>>,
    /// `uniformResourceIdentifier`s, a SPIFFE ID among them.
    pub uris: Vec<Box<str>>,
    /// `rfc822Name`s.
    pub emails: Vec<Box<str>>,
    /// The serial number in hexadecimal digits, as it is encoded.
    pub serial: Box<str>,
    /// Who issued it, written like the subject.
    pub issuer: Box<str>,
    /// When it begins.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

impl ClientCertificate {
    /// Reads a certificate in DER; `None` when its names can't be read.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let (mut dns_names, mut uris, mut emails) = (Vec::new(), Vec::new(), Vec::new());
        let alternative = certificate.subject_alternative_name().ok()?;
        for name in alternative
            .iter()
            .flat_map(|names| &names.value.general_names)
        {
            match name {
                GeneralName::DNSName(name) => dns_names.push((*name).into()),
                GeneralName::URI(uri) => uris.push((*uri).into()),
                GeneralName::RFC822Name(email) => emails.push((*email).into()),
                GeneralName::OtherName(..)
                | GeneralName::X400Address(_)
                | GeneralName::DirectoryName(_)
                | GeneralName::EDIPartyName(_)
                | GeneralName::IPAddress(_)
                | GeneralName::RegisteredID(_)
                | GeneralName::Invalid(..) => {}
            }
        }
        let common_names = certificate
            .subject()
            .iter_common_name()
            .filter_map(|name| name.as_str().ok())
            .map(Into::into)
            .collect();
        let mut serial = String::new();
        for byte in certificate.raw_serial() {
            // Into a text this can't fail.
            let _written = write!(serial, "{byte:02x}");
        }
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
        let validity = certificate.validity();
        Some(Self {
            thumbprint: URL_SAFE_NO_PAD.encode(hash).into(),
            subject: distinguished_name::text(certificate.subject()).into(),
            common_names,
            dns_names,
            uris,
            emails,
            serial: serial.into(),
            issuer: distinguished_name::text(certificate.issuer()).into(),
            not_before: Timestamp::from_seconds(validity.not_before.timestamp()),
            not_after: Timestamp::from_seconds(validity.not_after.timestamp()),
        })
    }
}
