//! Callers who prove themselves by a certificate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// How a client's certificate becomes a caller. The listener has checked it against its own roots by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutualTls {
    /// Which of the certificate's names is the caller's subject.
    pub subject: CertificateName,
    /// Who may call.
    pub callers: Callers,
    /// PEM: roots of this API's own, against which the certificate is checked besides.
    pub roots: Option<PathBuf>,
    /// Whether the upstream gets the certificate, in `Client-Cert` (RFC 9440).
    pub forward_certificate: bool,
    /// Whether the certificate may come from a trusted proxy that ended TLS, in `Client-Cert` (RFC 9440).
    pub proxied: bool,
}

/// A kind of name in a certificate. The words are those of RFC 8705, section 2.1.2, with one beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertificateName {
    /// A `uniformResourceIdentifier` of the `subjectAltName`, such as a SPIFFE ID.
    SanUri,
    /// A `dNSName` of the `subjectAltName`. One with a `*` names nobody.
    SanDns,
    /// An `rfc822Name` of the `subjectAltName`.
    SanEmail,
    /// A common name of the subject.
    CommonName,
    /// The whole subject as RFC 4514 writes it: `CN=billing,O=Acme`.
    SubjectDn,
}

/// Who of those that the roots certify may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callers {
    /// All of them.
    Certified,
    /// Those with one of these names, compared byte by byte, with the scopes that each has.
    Listed(BTreeMap<Box<str>, BTreeSet<String>>),
}

impl CertificateName {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::SanUri,
        Self::SanDns,
        Self::SanEmail,
        Self::CommonName,
        Self::SubjectDn,
    ];

    /// As written in `subject`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SanUri => "san_uri",
            Self::SanDns => "san_dns",
            Self::SanEmail => "san_email",
            Self::CommonName => "common_name",
            Self::SubjectDn => "subject_dn",
        }
    }
}

impl Callers {
    /// Whether nobody has a scope.
    #[must_use]
    pub fn grants_nothing(&self) -> bool {
        match self {
            Self::Certified => true,
            Self::Listed(callers) => callers.values().all(BTreeSet::is_empty),
        }
    }
}
