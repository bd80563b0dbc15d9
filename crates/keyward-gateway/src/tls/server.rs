//! A listener's TLS.

use super::certificate::{Broken, Certificate};
use super::certificate_table::CertificateTable;
use super::challenge::{ALPN, Challenges};
use super::client_trust::verify;
use super::error::TlsError;
use super::presented::PresentedCertificate;
use super::provider::{ClockTime, provider};
use super::quic;
use super::revocation_list::{RevocationLists, revocation_lists};
use super::source::{Watched, certificate, roots};
use super::{CertificateFiles, CertificateSource, TlsSettings, TlsVersion};
use arc_swap::ArcSwap;
use keyward_model::{Clock, Timestamp};
use quinn::crypto::rustls::QuicServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{Acceptor, ClientHello, ProducesTickets, WebPkiClientVerifier};
use rustls::{HandshakeKind, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

/// What may be spoken inside, by its names in RFC 7301's registry.
pub(crate) const HTTP1: &[u8] = b"http/1.1";
pub(crate) const HTTP2: &[u8] = b"h2";
/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A certificate that ends so soon is told of.
const ENDING: Duration = Duration::from_secs(7 * 24 * 3600);

/// A listener's TLS, shared by the workers.
pub struct TlsServer {
    settings: ArcSwap<TlsSettings>,
    clock: Arc<dyn Clock>,
    tickets: ArcSwap<Tickets>,
    files: Mutex<Files>,
    active: ArcSwap<Active>,
    /// Raised when something else is active.
    epoch: AtomicU64,
    unfinished: AtomicUsize,
    challenges: Option<Arc<Challenges>>,
}

/// What was read of the files, and what was put in.
struct Files {
    certificates: Vec<Slot>,
    roots: Option<Watched<Arc<RootCertStore>>>,
    revoked: Option<Watched<Arc<RevocationLists>>>,
}

/// Other settings with their files read, ready to be used.
pub struct PreparedTls {
    settings: TlsSettings,
    files: Files,
}

/// The place of a certificate, in the order of the settings.
enum Slot {
    Watched(CertificateFiles, Watched<Arc<Certificate>>),
    Put(Box<str>, Option<Arc<Certificate>>),
}

impl Slot {
    fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Watched(_, watched) => Some(&watched.value),
            Self::Put(_, certificate) => certificate.as_deref(),
        }
    }
}

/// What the next handshake works with.
struct Active {
    config: Arc<ServerConfig>,
    /// The same inside QUIC, where that is spoken.
    quic: Option<Arc<QuicServerConfig>>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// What sessions are taken up again by. A ticket of one kind of connection is none for the other: what was
/// agreed upon differs.
struct Tickets {
    tcp: Arc<dyn ProducesTickets>,
    quic: Arc<dyn ProducesTickets>,
}

impl Tickets {
    /// AES-256 under keys that are replaced every six hours and kept for another six. They live in this process
    /// alone: after a restart clients shake hands in full once.
    fn new() -> Result<Self, TlsError> {
        let ticketer = || rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|error| setup(&error));
        Ok(Self {
            tcp: ticketer()?,
            quic: ticketer()?,
        })
    }
}

/// A handshake that was finished.
pub(crate) struct Handshake {
    pub(crate) stream: TlsStream<TcpStream>,
    /// The certificate that the client proved itself by.
    pub(crate) client: Option<PresentedCertificate>,
}

/// Why no handshake was finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeFailure {
    #[error("too many handshakes are unfinished")]
    TooMany,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the client's certificate is no longer good: {0}")]
    Resumed(rustls::Error),
    #[error("the names in the client's certificate can't be read")]
    Unreadable,
    #[error("an authority asks if a host is ours that no certificate is being obtained for")]
    NoChallenge,
    #[error("an authority has seen that a host is ours")]
    Validated,
}

impl TlsServer {
    /// Reads the files and gets ready.
    ///
    /// # Errors
    /// [`TlsError`] with the file that can't be used.
    pub fn load(settings: TlsSettings, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let files = Files::read(&settings, &clock)?;
        let tickets = Tickets::new()?;
        let active = activate(&settings, &files, &clock, &tickets)?;
        Ok(Self {
            settings: ArcSwap::from_pointee(settings),
            clock,
            tickets: ArcSwap::from_pointee(tickets),
            files: Mutex::new(files),
            active: ArcSwap::from_pointee(active),
            epoch: AtomicU64::new(0),
            unfinished: AtomicUsize::new(0),
            challenges: None,
        })
    }

    /// Reads the files of other settings, and changes nothing yet.
    ///
    /// # Errors
    /// [`TlsError`] with the file that can't be used.
    pub fn prepare(&self, settings: TlsSettings) -> Result<PreparedTls, TlsError> {
        let files = Files::read(&settings, &self.clock)?;
        activate(&settings, &files, &self.clock, &self.tickets.load())?;
        Ok(PreparedTls { settings, files })
    }

    /// Uses other settings from the next handshake on. Certificates that were [put](Self::put) stay where their
    /// names are still asked for. Connections go on as they were agreed upon; clients' certificates are held
    /// against what holds now with their next call. Where other certificates are asked of clients, sessions are not
    /// taken up again: a session has the certificate that was shown when it began, or none.
    ///
    /// # Errors
    /// [`TlsError::Setup`] when they can't be used with what was put; those before stay.
    pub fn replace(&self, prepared: PreparedTls) -> Result<(), TlsError> {
        let PreparedTls {
            settings,
            files: mut read,
        } = prepared;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in &mut read.certificates {
            let Slot::Put(name, place) = slot else {
                continue;
            };
            *place = files.certificates.iter().find_map(|slot| match slot {
                Slot::Put(own, certificate) if own == name => certificate.clone(),
                Slot::Put(..) | Slot::Watched(..) => None,
            });
        }
        let tickets = if settings.client_certificates == self.settings().client_certificates {
            self.tickets.load_full()
        } else {
            Arc::new(Tickets::new()?)
        };
        let active = activate(&settings, &read, &self.clock, &tickets)?;
        self.tickets.store(tickets);
        *files = read;
        self.settings.store(Arc::new(settings));
        self.active.store(Arc::new(active));
        self.epoch.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

impl Files {
    fn read(settings: &TlsSettings, clock: &Arc<dyn Clock>) -> Result<Self, TlsError> {
        let mut certificates = Vec::with_capacity(settings.certificates.len());
        for source in &settings.certificates {
            certificates.push(match source {
                CertificateSource::Files(files) => {
                    let paths: [&Path; 2] = [&files.certificate, &files.key];
                    let watched = Watched::first(&paths, |contents| certificate(files, contents))?;
                    tell(&watched.value, &files.certificate, clock.now());
                    Slot::Watched(files.clone(), watched)
                }
                CertificateSource::Put(name) => Slot::Put(name.clone(), None),
            });
        }
        let roots = match &settings.client_certificates {
            Some(clients) => Some(Watched::first(&[&clients.roots], |contents| {
                roots(&clients.roots, contents)
            })?),
            None => None,
        };
        let list = settings
            .client_certificates
            .as_ref()
            .and_then(|clients| clients.revocation_list.as_deref());
        let revoked = match list {
            Some(path) => {
                let lists = Watched::first(&[path], |contents| revocation_lists(path, contents))?;
                tell_lists(&lists.value, path, clock.now());
                Some(lists)
            }
            None => None,
        };
        Ok(Self {
            certificates,
            roots,
            revoked,
        })
    }
}

impl TlsServer {
    /// The same, answering `tls-alpn-01` too (RFC 8737).
    #[must_use]
    pub fn with_challenges(self, challenges: Arc<Challenges>) -> Self {
        Self {
            challenges: Some(challenges),
            ..self
        }
    }

    /// What it was made of.
    #[must_use]
    pub fn settings(&self) -> Arc<TlsSettings> {
        self.settings.load_full()
    }

    /// Looks at the files forever.
    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let server = Arc::clone(&self);
            if tokio::task::spawn_blocking(move || server.look())
                .await
                .is_err()
            {
                // The runtime is going down.
                return;
            }
        }
    }

    /// Reads the files again, and uses what has changed from the next handshake on. What can't be used is
    /// told to the log, and what was read before stays.
    pub fn look(&self) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let settings = self.settings();
        let mut changed = false;
        for slot in &mut files.certificates {
            let Slot::Watched(files, watched) = slot else {
                continue;
            };
            let paths: [&Path; 2] = [&files.certificate, &files.key];
            if watched.look(&paths, |contents| certificate(files, contents)) {
                tracing::info!(certificate = %files.certificate.display(), "a certificate was replaced");
                tell(&watched.value, &files.certificate, self.clock.now());
                changed = true;
            }
        }
        if let (Some(watched), Some(clients)) = (&mut files.roots, &settings.client_certificates) {
            let path: &Path = &clients.roots;
            if watched.look(&[path], |contents| roots(path, contents)) {
                tracing::info!(roots = %path.display(), "the roots of clients' certificates were replaced");
                changed = true;
            }
        }
        let list = settings.client_certificates.as_ref();
        if let (Some(watched), Some(path)) = (
            &mut files.revoked,
            list.and_then(|clients| clients.revocation_list.as_deref()),
        ) && watched.look(&[path], |contents| revocation_lists(path, contents))
        {
            tracing::info!(list = %path.display(), "the list of revoked certificates was replaced");
            tell_lists(&watched.value, path, self.clock.now());
            changed = true;
        }
        if changed && let Err(error) = self.reactivate(&files) {
            tracing::error!(%error, "changed certificates can't be used: those before stay");
        }
    }

    /// Uses a certificate (PEM, chain and key) from the next handshake on, at the places of this name.
    ///
    /// # Errors
    /// [`TlsError::Setup`] when it can't be used; the one before stays.
    pub fn put(&self, name: &str, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let certificate = Certificate::read(chain, key).map_err(|broken| match broken {
            Broken::Certificate(why) | Broken::Key(why) => TlsError::Setup(why),
        })?;
        let certificate = Arc::new(certificate);
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in &mut files.certificates {
            if let Slot::Put(own, place) = slot
                && **own == *name
            {
                *place = Some(Arc::clone(&certificate));
            }
        }
        self.reactivate(&files)
    }

    fn reactivate(&self, files: &Files) -> Result<(), TlsError> {
        let active = activate(&self.settings(), files, &self.clock, &self.tickets.load())?;
        self.active.store(Arc::new(active));
        self.epoch.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Shows a certificate authority that the host is ours, which is all that such a connection is for. No
    /// certificate is asked of it, whatever the listener asks of others.
    async fn validate(&self, start: StartHandshake<TcpStream>) -> HandshakeFailure {
        let hello = start.client_hello();
        let challenges = self.challenges.as_ref();
        let config = hello.server_name().and_then(|host| challenges?.alpn(host));
        let Some(config) = config else {
            return HandshakeFailure::NoChallenge;
        };
        match start.into_stream(config).await {
            Ok(mut stream) => {
                // The validator has what it wanted, and may be gone.
                let _closed = stream.shutdown().await;
                HandshakeFailure::Validated
            }
            Err(error) => HandshakeFailure::Io(error),
        }
    }

    /// A number that is another one once clients' certificates are checked against something else.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Checks a client's chain as a handshake would now.
    pub(super) fn verify_client(
        &self,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), rustls::Error> {
        match &self.active.load().verifier {
            Some(verifier) => verify(verifier.as_ref(), chain, now),
            None => Err(rustls::Error::NoCertificatesPresented),
        }
    }

    /// What QUIC shakes hands with, where it is spoken.
    pub(crate) fn quic(&self) -> Option<Arc<QuicServerConfig>> {
        self.active.load().quic.clone()
    }

    /// The certificate of a client that has shaken hands inside QUIC since this epoch. Whether it took up a session
    /// is not told there, so that every chain is looked at once more: those of resumed sessions need it.
    pub(crate) fn quic_client(
        self: &Arc<Self>,
        chain: &[CertificateDer<'_>],
        epoch: u64,
    ) -> Result<Option<PresentedCertificate>, HandshakeFailure> {
        let active = self.active.load_full();
        let Some(verifier) = &active.verifier else {
            return Ok(None);
        };
        if chain.is_empty() {
            return without_certificate(verifier.as_ref());
        }
        let now = self.clock.now();
        verify(verifier.as_ref(), chain, now).map_err(HandshakeFailure::Resumed)?;
        let client = PresentedCertificate::verified(chain, self, epoch, now);
        Ok(Some(client.ok_or(HandshakeFailure::Unreadable)?))
    }

    /// Begins a handshake, which is unfinished as long as the value lives.
    pub(crate) fn begin_handshake(&self, most: usize) -> Result<Unfinished<'_>, HandshakeFailure> {
        Unfinished::begin(&self.unfinished, most)
    }

    /// How many handshakes are unfinished, over all workers.
    pub(crate) fn unfinished(&self) -> usize {
        self.unfinished.load(Ordering::Relaxed)
    }

    /// Shakes hands. The caller sets the bound of time; at most `most` are unfinished at once, over all
    /// workers.
    pub(crate) async fn handshake(
        self: &Arc<Self>,
        socket: TcpStream,
        most: usize,
    ) -> Result<Handshake, HandshakeFailure> {
        let _unfinished = Unfinished::begin(&self.unfinished, most)?;
        // Read first: certificates that are verified by older roots are verified again.
        let epoch = self.epoch();
        let active = self.active.load_full();
        let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
        if is_validation(&start.client_hello()) {
            return Err(self.validate(start).await);
        }
        let stream = start.into_stream(Arc::clone(&active.config)).await?;
        let (_, connection) = stream.get_ref();
        let client = match (connection.peer_certificates(), &active.verifier) {
            (Some(chain @ [_, ..]), Some(verifier)) => {
                let now = self.clock.now();
                // A ticket brings back the certificate of the first handshake without a look at it: it may
                // have ended since, or its root may have been taken away.
                if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
                    verify(verifier.as_ref(), chain, now).map_err(HandshakeFailure::Resumed)?;
                }
                let client = PresentedCertificate::verified(chain, self, epoch, now);
                Some(client.ok_or(HandshakeFailure::Unreadable)?)
            }
            (Some(_) | None, Some(verifier)) => without_certificate(verifier.as_ref())?,
            (Some(_) | None, None) => None,
        };
        Ok(Handshake { stream, client })
    }
}

/// A client without a certificate. A handshake in full fails where one is required; but this one may have taken up a
/// session that began when none was, or inside QUIC have begun before other settings were used.
fn without_certificate<T>(
    verifier: &dyn ClientCertVerifier,
) -> Result<Option<T>, HandshakeFailure> {
    if verifier.client_auth_mandatory() {
        return Err(HandshakeFailure::Resumed(
            rustls::Error::NoCertificatesPresented,
        ));
    }
    Ok(None)
}

/// Whether a certificate authority asks if a host is ours (RFC 8737, section 3).
fn is_validation(client: &ClientHello<'_>) -> bool {
    let Some(mut protocols) = client.alpn() else {
        return false;
    };
    protocols.next() == Some(ALPN) && protocols.next().is_none()
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer")
            .field("settings", &self.settings())
            .finish_non_exhaustive()
    }
}

fn activate(
    settings: &TlsSettings,
    files: &Files,
    clock: &Arc<dyn Clock>,
    tickets: &Tickets,
) -> Result<Active, TlsError> {
    let verifier = match (&files.roots, &settings.client_certificates) {
        (Some(roots), Some(clients)) => {
            let builder =
                WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots.value), provider());
            let builder = if clients.required {
                builder
            } else {
                builder.allow_unauthenticated()
            };
            // Certificates between a client's and the root are few, and in the hands of the authority that
            // would list them: what the lists are for is clients. One that no list speaks of, and a list that
            // is over, refuse: who stops an authority's lists from arriving must not gain by it.
            let builder = match &files.revoked {
                Some(revoked) => builder
                    .with_crls(revoked.value.lists.iter().cloned())
                    .only_check_end_entity_revocation()
                    .enforce_revocation_expiration(),
                None => builder,
            };
            Some(builder.build().map_err(|error| setup(&error))?)
        }
        (Some(_) | None, _) => None,
    };
    let versions: &[_] = match settings.minimum {
        TlsVersion::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V13 => &[&rustls::version::TLS13],
    };
    let certificates = files.certificates.iter().filter_map(Slot::certificate);
    let table = Arc::new(CertificateTable::new(certificates));
    let config = |versions: &[&'static SupportedProtocolVersion]| {
        let builder =
            ServerConfig::builder_with_details(provider(), Arc::new(ClockTime(Arc::clone(clock))))
                .with_protocol_versions(versions)
                .map_err(|error| setup(&error))?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        Ok::<_, TlsError>(builder.with_cert_resolver(Arc::<CertificateTable>::clone(&table)))
    };
    let quic = if settings.http3 {
        let config = config(&[&rustls::version::TLS13])?;
        Some(quic::config(config, Arc::clone(&tickets.quic))?)
    } else {
        None
    };
    let mut config = config(versions)?;
    let protocols = settings.protocols;
    // The preferred first.
    config.alpn_protocols = [(protocols.http2, HTTP2), (protocols.http1, HTTP1)]
        .into_iter()
        .filter(|(spoken, _)| *spoken)
        .map(|(_, name)| name.to_vec())
        .collect();
    config.ticketer = Arc::clone(&tickets.tcp);
    Ok(Active {
        config: Arc::new(config),
        quic,
        verifier,
    })
}

/// What an operator should know of a certificate.
fn tell(certificate: &Certificate, path: &Path, now: Timestamp) {
    let (path, ends) = (path.display(), certificate.not_after);
    if ends <= now {
        tracing::warn!(certificate = %path, %ends, "the certificate is over: clients will refuse it");
    } else if ends.since(now) < ENDING {
        tracing::warn!(certificate = %path, %ends, "the certificate ends soon");
    }
    if certificate.names.is_empty() {
        tracing::warn!(
            certificate = %path,
            "the certificate has no DNS name among its alternative names: it is shown to clients only where none fits better"
        );
    }
}

/// What an operator should know of lists of revoked certificates.
fn tell_lists(lists: &RevocationLists, path: &Path, now: Timestamp) {
    let (list, next) = (path.display(), lists.next_update);
    if next <= now {
        tracing::warn!(%list, %next, "a list of revoked certificates is over: clients are refused until it is replaced");
    }
}

fn setup(error: &dyn fmt::Display) -> TlsError {
    TlsError::Setup(error.to_string())
}

pub(super) fn unix_time(now: Timestamp) -> UnixTime {
    let seconds = u64::try_from(now.as_seconds()).unwrap_or_default();
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// A handshake is unfinished as long as this lives.
pub(crate) struct Unfinished<'a>(&'a AtomicUsize);

impl<'a> Unfinished<'a> {
    fn begin(count: &'a AtomicUsize, most: usize) -> Result<Self, HandshakeFailure> {
        // Counted first, so that two that come at once can't both take the last place.
        let begun = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) >= most {
            return Err(HandshakeFailure::TooMany);
        }
        Ok(begun)
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
