//! Lists of certificates that their authorities have taken back (RFC 5280, section 5).

use super::error::TlsError;
use keyward_model::Timestamp;
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;
use std::path::Path;
use std::sync::Arc;
use webpki::BorrowedCertRevocationList;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};
use zeroize::Zeroizing;

/// The lists of a file.
#[derive(Debug)]
pub(super) struct RevocationLists {
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
    /// When the first of them is to be replaced.
    pub(super) next_update: Timestamp,
}

/// Reads lists in PEM. Who signed them is seen when a certificate is checked by them.
pub(super) fn revocation_lists(
    path: &Path,
    contents: &[Zeroizing<Vec<u8>>],
) -> Result<Arc<RevocationLists>, TlsError> {
    let failed = |why: String| TlsError::file(path, why);
    let mut lists = Vec::new();
    let mut next_update = None;
    for pem in contents {
        for list in CertificateRevocationListDer::pem_slice_iter(pem) {
            let list = list.map_err(|error| failed(format!("that is no PEM: {error}")))?;
            let broken = |why: &dyn std::fmt::Debug| {
                failed(format!("a revocation list in it can't be used: {why:?}"))
            };
            BorrowedCertRevocationList::from_der(&list).map_err(|error| broken(&error))?;
            let (_, parsed) =
                CertificateRevocationList::from_der(&list).map_err(|error| broken(&error))?;
            let next = parsed.next_update().ok_or_else(|| {
                failed("a revocation list in it does not say when the next one comes".to_owned())
            })?;
            let next = Timestamp::from_seconds(next.timestamp());
            next_update = Some(next_update.map_or(next, |other| next.min(other)));
            lists.push(list);
        }
    }
    let next_update = next_update
        .ok_or_else(|| failed("there is no revocation list in it: write it as PEM".to_owned()))?;
    Ok(Arc::new(RevocationLists { lists, next_update }))
}
