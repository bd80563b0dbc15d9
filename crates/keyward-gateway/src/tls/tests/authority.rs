//! A certificate authority, and the files that it fills.

use crate::settings::Protocols;
use crate::tls::{
    CertificateFiles, CertificateSource, ClientCertificates, TlsError, TlsServer, TlsSettings,
    TlsVersion,
};
use keyward_model::{Clock, Timestamp};
use keyward_testkit::FakeClock;
use rcgen::{
    CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, Issuer,
    KeyPair, RevokedCertParams, SanType,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

pub(crate) struct Authority {
    pub(crate) root: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key in PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Test Root");
        let root = params.self_signed(&key).unwrap().pem();
        Self {
            root,
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(CertificateParams::new(names).unwrap())
    }

    /// A client's: `CN=billing, O=Acme`, a DNS name, a SPIFFE ID and an e-mail.
    pub(crate) fn issue_client(&self) -> Issued {
        let mut params = CertificateParams::new(vec!["billing.internal".to_owned()]).unwrap();
        for name in [
            SanType::URI("spiffe://acme.example/billing".try_into().unwrap()),
            SanType::Rfc822Name("billing@acme.example".try_into().unwrap()),
        ] {
            params.subject_alt_names.push(name);
        }
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Acme");
        params
            .distinguished_name
            .push(DnType::CommonName, "billing");
        params.serial_number = Some(vec![0x7f, 0x01].into());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// A list of certificates that were taken back, which is over after `lasts`.
    pub(crate) fn revoke(&self, serials: &[&[u8]], from: Timestamp, lasts: Duration) -> String {
        let now = time::OffsetDateTime::from_unix_timestamp(from.as_seconds()).unwrap();
        let revoked_certs = serials
            .iter()
            .map(|serial| RevokedCertParams {
                serial_number: serial.to_vec().into(),
                revocation_time: now,
                reason_code: None,
                invalidity_date: None,
            })
            .collect();
        let list = CertificateRevocationListParams {
            this_update: now,
            next_update: now + lasts,
            crl_number: vec![1].into(),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    fn sign(&self, params: CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        Issued {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.root.as_bytes()).unwrap();
        roots.add(root).unwrap();
        roots
    }
}

/// A folder of certificates, and a clock.
pub(crate) struct Files {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: Arc<FakeClock>,
}

impl Files {
    pub(crate) fn new() -> Self {
        let real = keyward_model::SystemClock::new().now();
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(FakeClock::at(real)),
        }
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Where a certificate is then.
    pub(crate) fn put(&self, name: &str, issued: &Issued) -> CertificateFiles {
        CertificateFiles {
            certificate: self.write(&format!("{name}.pem"), &issued.certificate),
            key: self.write(&format!("{name}.key"), &issued.key),
        }
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as Arc<dyn Clock>
    }

    pub(crate) fn load(&self, settings: TlsSettings) -> Result<Arc<TlsServer>, TlsError> {
        TlsServer::load(settings, self.clock()).map(Arc::new)
    }

    /// A server that shows these.
    pub(crate) fn server(&self, certificates: &[CertificateFiles]) -> Arc<TlsServer> {
        self.load(settings(certificates)).unwrap()
    }

    /// A server that asks for clients' certificates of this authority.
    pub(crate) fn mutual(
        &self,
        server: &Issued,
        clients: &Authority,
        required: bool,
    ) -> Arc<TlsServer> {
        let roots = self.write("clients.pem", &clients.root);
        self.load(TlsSettings {
            client_certificates: Some(ClientCertificates {
                roots,
                required,
                revocation_list: None,
            }),
            ..settings(&[self.put("server", server)])
        })
        .unwrap()
    }
}

pub(crate) fn settings(certificates: &[CertificateFiles]) -> TlsSettings {
    TlsSettings {
        protocols: Protocols::BOTH,
        http3: false,
        certificates: certificates
            .iter()
            .cloned()
            .map(CertificateSource::Files)
            .collect(),
        client_certificates: None,
        minimum: TlsVersion::V12,
    }
}

/// Who a client believes, by which versions, and how it proves itself.
pub(crate) fn client(
    authority: &Authority,
    versions: &[&'static rustls::SupportedProtocolVersion],
    identity: Option<&Issued>,
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(crate::tls::provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(authority.roots());
    let mut config = match identity {
        Some(issued) => {
            let chain = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![chain], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A connection over loopback, the client's end first.
#[expect(
    clippy::disallowed_methods,
    reason = "a test plays the client, on loopback"
)]
pub(crate) async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

/// Connects as a client, and reads what comes first: with TLS 1.3 a server's refusal of a client comes
/// after the client's handshake, and so do tickets.
pub(crate) async fn connect(
    config: &Arc<ClientConfig>,
    name: &str,
    socket: TcpStream,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    use tokio::io::AsyncReadExt as _;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut stream = TlsConnector::from(Arc::clone(config))
        .connect(name, socket)
        .await?;
    let mut greeting = [0; 1];
    stream.read_exact(&mut greeting).await?;
    Ok(stream)
}
