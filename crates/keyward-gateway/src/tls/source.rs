//! Files that certificates, keys and roots come from, looked at again and again.

use super::CertificateFiles;
use super::certificate::{Broken, Certificate, certificates};
use super::error::TlsError;
use aws_lc_rs::digest::{Context, SHA256};
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The largest file: a list of some 200,000 revoked certificates. The system's whole set of roots has a
/// thirtieth of it.
const FILE_MAX: u64 = 8 * 1024 * 1024;

/// Which contents were found: SHA-256.
pub(crate) type Digest = [u8; 32];

/// What files held. Some hold keys.
type Contents = Vec<Zeroizing<Vec<u8>>>;

/// What was last read of some files: it stays until what is found there can be used.
#[derive(Debug)]
pub(super) struct Watched<T> {
    pub(super) value: T,
    digest: Digest,
    /// What is wrong now, so that it is told once.
    failure: Option<TlsError>,
}

impl<T> Watched<T> {
    /// Reads for the first time.
    pub(super) fn first(
        paths: &[&Path],
        parse: impl FnOnce(&[Zeroizing<Vec<u8>>]) -> Result<T, TlsError>,
    ) -> Result<Self, TlsError> {
        let (digest, contents) = read_all(paths)?;
        Ok(Self {
            value: parse(&contents)?,
            digest,
            failure: None,
        })
    }

    /// Reads again. Whether there is another value now; what is wrong is told to the log, once.
    pub(super) fn look(
        &mut self,
        paths: &[&Path],
        parse: impl FnOnce(&[Zeroizing<Vec<u8>>]) -> Result<T, TlsError>,
    ) -> bool {
        let read = read_all(paths).and_then(|(digest, contents)| {
            if digest == self.digest {
                return Ok(None);
            }
            parse(&contents).map(|value| Some((digest, value)))
        });
        match read {
            Ok(None) => {
                self.failure = None;
                false
            }
            Ok(Some((digest, value))) => {
                (self.value, self.digest, self.failure) = (value, digest, None);
                true
            }
            Err(error) => {
                if self.failure.as_ref() != Some(&error) {
                    tracing::warn!(%error, "a changed file can't be used: what was read before stays in use");
                    self.failure = Some(error);
                }
                false
            }
        }
    }
}

fn read_all(paths: &[&Path]) -> Result<(Digest, Contents), TlsError> {
    let mut context = Context::new(&SHA256);
    let mut contents = Vec::with_capacity(paths.len());
    for path in paths {
        let bytes = read(path)?;
        context.update(&bytes.len().to_be_bytes());
        context.update(&bytes);
        contents.push(bytes);
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    Ok((digest, contents))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let failed = |error: std::io::Error| TlsError::file(path, format!("can't be read: {error}"));
    let file = File::open(path).map_err(failed)?;
    // Room for the whole, so that no half of a key is left behind when it grows.
    let length = file.metadata().map_err(failed)?.len().min(FILE_MAX);
    let room = usize::try_from(length).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    file.take(FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(TlsError::file(path, "has more than 8 MiB"));
    }
    Ok(bytes)
}

/// A certificate with its key.
pub(super) fn certificate(
    files: &CertificateFiles,
    contents: &[Zeroizing<Vec<u8>>],
) -> Result<Arc<Certificate>, TlsError> {
    let [chain, key] = contents else {
        return Err(TlsError::Setup("two files make a certificate".to_owned()));
    };
    match Certificate::read(chain, key) {
        Ok(certificate) => Ok(Arc::new(certificate)),
        Err(Broken::Certificate(why)) => Err(TlsError::file(&files.certificate, why)),
        Err(Broken::Key(why)) => Err(TlsError::file(&files.key, why)),
    }
}

/// Roots to check others against. A file of roots that holds one which can't be parsed is refused: half of
/// a list is not what was meant.
pub(super) fn roots(
    path: &Path,
    contents: &[Zeroizing<Vec<u8>>],
) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for pem in contents {
        for root in certificates(pem).map_err(|why| TlsError::file(path, why))? {
            roots.add(root).map_err(|error| {
                TlsError::file(path, format!("a root in it can't be used: {error}"))
            })?;
        }
    }
    Ok(Arc::new(roots))
}

/// Reads roots once, with the digest of what was read.
pub(crate) fn source_of_roots(path: &Path) -> Result<(Digest, Arc<RootCertStore>), TlsError> {
    let read = Watched::first(&[path], |contents| roots(path, contents))?;
    Ok((read.digest, read.value))
}

/// Reads a certificate with its key once, with the digest of what was read.
pub(crate) fn source_of_identity(
    certificate_file: &Path,
    key_file: &Path,
) -> Result<(Digest, Arc<CertifiedKey>), TlsError> {
    let files = CertificateFiles {
        certificate: certificate_file.to_owned(),
        key: key_file.to_owned(),
    };
    let read = Watched::first(&[certificate_file, key_file], |contents| {
        certificate(&files, contents)
    })?;
    Ok((read.digest, Arc::clone(&read.value.certified)))
}
