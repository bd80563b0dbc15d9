//! A certificate that a client has proved itself by, for as long as its connection lasts.

use super::ClientCertificate;
use super::server::TlsServer;
use keyward_model::Timestamp;
use rustls_pki_types::CertificateDer;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A chain is looked at again after this time at the latest, so that what is between the certificate and
/// its root, or a list of revoked ones, may end meanwhile.
const GOOD_FOR: Duration = Duration::from_secs(300);

/// What a client showed in the handshake. A connection may live for long after that: whether the
/// certificate still counts is asked at each call, which costs two comparisons as a rule.
pub(crate) struct PresentedCertificate {
    pub(crate) certificate: ClientCertificate,
    /// The certificate, then those between it and the root.
    chain: Box<[CertificateDer<'static>]>,
    server: Arc<TlsServer>,
    /// By which of the server's roots it was last verified, and until when that holds.
    verified: Cell<(u64, Timestamp)>,
    /// Whether a call has found that it counts no more.
    over: Cell<bool>,
}

impl PresentedCertificate {
    /// Of a certificate that was verified `now` by the server's roots of this epoch. `None` when its names
    /// can't be read.
    pub(super) fn verified(
        chain: &[CertificateDer<'_>],
        server: &Arc<TlsServer>,
        epoch: u64,
        now: Timestamp,
    ) -> Option<Self> {
        let certificate = ClientCertificate::read(chain.first()?)?;
        Some(Self {
            verified: Cell::new((epoch, good_until(&certificate, now))),
            over: Cell::new(false),
            certificate,
            chain: chain
                .iter()
                .map(|der| CertificateDer::from(der.to_vec()))
                .collect(),
            server: Arc::clone(server),
        })
    }

    /// Whether the listener would let the client in with it now.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), rustls::Error> {
        // Read first: roots that change meanwhile make this outcome old at once.
        let epoch = self.server.epoch();
        let (verified_by, until) = self.verified.get();
        if verified_by != epoch || now >= until {
            let verified = self.server.verify_client(&self.chain, now);
            self.over.set(verified.is_err());
            verified?;
            let until = good_until(&self.certificate, now);
            self.verified.set((epoch, until));
        }
        Ok(())
    }

    /// Whether it counted no more when it was last looked at: a connection keeps its certificate, so that the
    /// client has to make another one.
    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }

    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
}

fn good_until(certificate: &ClientCertificate, now: Timestamp) -> Timestamp {
    // RFC 5280, section 4.1.2.5: the last second is within.
    let end = certificate.not_after.plus(Duration::from_secs(1));
    now.plus(GOOD_FOR).min(end)
}

impl fmt::Debug for PresentedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.certificate.fmt(f)
    }
}
