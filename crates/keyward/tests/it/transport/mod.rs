//! What stands before the first request, met by clients that others wrote: curl, OpenSSL, Python's `ssl`,
//! HAProxy.

mod acme;
mod balancer;
mod client_certificates;
mod configured;
mod mutual_tls;
mod tls;
mod upstream_http2;
mod upstream_tls;

use keyward_model::{Clock as _, SystemClock};
use keyward_testkit::{KeywardProcess, Upstream, free_ports};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, DnType, Issuer, KeyPair, RevokedCertParams,
    SanType,
};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use time::OffsetDateTime;

/// A certificate authority whose files lie in a folder of their own.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) root: String,
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
        params.distinguished_name.push(
            DnType::CommonName,
            format!("Root {:02x?}", &key.public_key_raw()[1..9]),
        );
        let root = params.self_signed(&key).unwrap().pem();
        let authority = Self {
            folder: tempfile::tempdir().unwrap(),
            issuer: Issuer::new(params, key),
            root: root.clone(),
        };
        authority.file("root.pem", &root);
        authority
    }

    /// A certificate for these names; the first one is the common name too.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        let owned: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(owned).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, names[0]);
        let key = KeyPair::generate().unwrap();
        Issued {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// A client's certificate with this URI among its names and serial number, which ends after `lasts`.
    pub(crate) fn issue_client(&self, uri: &str, serial: u8, lasts: Duration) -> Issued {
        let mut params = CertificateParams::new(vec!["client.internal".to_owned()]).unwrap();
        params
            .subject_alt_names
            .push(SanType::URI(uri.try_into().unwrap()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, name) in [
            (DnType::OrganizationName, "Acme, Inc."),
            (DnType::CommonName, "billing"),
        ] {
            params.distinguished_name.push(kind, name);
        }
        params.serial_number = Some(vec![serial].into());
        params.not_after = now() + lasts;
        let key = KeyPair::generate().unwrap();
        Issued {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// A list of certificates that were taken back.
    fn revoke(&self, serials: &[u8]) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: vec![*serial].into(),
            revocation_time: now(),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now(),
            next_update: now() + HOUR,
            crl_number: vec![1].into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The path of the root's certificate.
    pub(crate) fn root(&self) -> String {
        self.folder.path().join("root.pem").display().to_string()
    }
}

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

fn now() -> OffsetDateTime {
    let now = SystemClock::new().now().as_seconds();
    OffsetDateTime::from_unix_timestamp(now).unwrap()
}

/// An example that runs, with an echo behind it.
struct Example {
    process: KeywardProcess,
    upstream: Upstream,
}

impl Example {
    async fn run(name: &str, moved: &[(&str, &str)], files: &[(&str, &str)]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let text = std::fs::read_to_string(path.join(name)).unwrap();
        assert!(text.starts_with("# "), "{name} says first what it shows");
        let upstream = Upstream::echo().await;
        let echo = upstream.address().to_string();
        let text = moved
            .iter()
            .chain(&[("127.0.0.1:9000", echo.as_str())])
            .fold(text, |text, (from, to)| text.replace(from, to));
        let binary = env!("CARGO_BIN_EXE_keyward");
        let process = KeywardProcess::start_configured(binary, &text, &[], files).await;
        Self { process, upstream }
    }

    fn port(&self) -> u16 {
        self.process.gateway().port()
    }

    /// What the upstream was last told in a header.
    fn told(&self, header: &str) -> Option<String> {
        let received = self.upstream.received().pop()?;
        received.head.field(header).map(str::to_owned)
    }
}

/// What a program said. It runs beside the test, which may be what answers it.
async fn say(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// curl, which finds every host on loopback: the status (0 when there was none) and what else it printed.
async fn curl(port: u16, host: &str, path: &str, arguments: &[&str]) -> (u16, String) {
    let resolve = format!("{host}:{port}:127.0.0.1");
    let url = format!("https://{host}:{port}{path}");
    let fixed = [
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--write-out",
        "\n%{http_code}",
        "--resolve",
        &resolve,
        &url,
    ];
    let output = say("curl", &[arguments, &fixed].concat()).await;
    let said = text(&output.stdout);
    let (body, status) = said.rsplit_once('\n').unwrap_or_default();
    let told = format!("{body}{}", text(&output.stderr));
    (status.parse().unwrap_or_default(), told)
}

/// Runs a Python program of the standard library alone; its standard output.
async fn python(program: &str, arguments: &[&str]) -> String {
    let output = say("python3", &[&["-c", program], arguments].concat()).await;
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{errors}");
    text(&output.stdout)
}

/// Waits until something holds.
async fn wait(what: &str, holds: impl AsyncFn() -> bool) {
    assert!(waited(holds).await, "{what} did not come");
}

/// How long anything may take: an attempt at a certificate that fails, because an authority is just being replaced,
/// is made again after up to a minute.
const PATIENCE: Duration = Duration::from_secs(150);

/// Whether something holds at last.
async fn waited(holds: impl AsyncFn() -> bool) -> bool {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.is_ok()
}
