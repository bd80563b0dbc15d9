//! Who a client is by its certificate.

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
    /// The subject as text, in the certificate's order, such as `O=Acme, CN=billing`.
    pub subject: Box<str>,
    /// The first common name of the subject.
    pub common_name: Option<Box<str>>,
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
        let common_name = certificate
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .map(Into::into);
        let mut serial = String::new();
        for byte in certificate.raw_serial() {
            // Into a text this can't fail.
            let _written = write!(serial, "{byte:02x}");
        }
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
        Some(Self {
            thumbprint: URL_SAFE_NO_PAD.encode(hash).into(),
            subject: certificate.subject().to_string().into(),
            common_name,
            dns_names,
            uris,
            emails,
            serial: serial.into(),
            issuer: certificate.issuer().to_string().into(),
            not_after: Timestamp::from_seconds(certificate.validity().not_after.timestamp()),
        })
    }
}
