//! Reading what stands before the first request of a listener: TLS, and the PROXY protocol.

use super::acme;
use super::network::networks;
use crate::acme::AcmeDeclaration;
use keyward_gateway::Protocols;
use keyward_gateway::proxy_protocol::TrustedSenders;
use keyward_gateway::tls::{
    CertificateFiles, CertificateSource, ClientCertificates, TlsServer, TlsSettings, TlsVersion,
};
use keyward_model::SystemClock;
use keyward_model::resource::raw::{Field, Fields, Problems};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerTls {
    /// For the data plane.
    pub(crate) settings: TlsSettings,
    /// The certificates that are obtained by themselves: those that the settings expect to be put.
    pub(crate) acme: Vec<AcmeDeclaration>,
}

/// Reads `tls` of a listener that speaks these protocols, and perhaps HTTP/3. Relative paths are taken from
/// `directory`. The files are looked at, so that what can't be used is told by `check` already.
pub(super) fn tls(
    field: Field<'_>,
    (protocols, http3): (Protocols, bool),
    directory: &Path,
    problems: &mut Problems,
) -> Option<ListenerTls> {
    let fields = field.fields(
        &["certificates", "client_certificates", "minimum"],
        problems,
    )?;
    let mut acme = Vec::new();
    let certificates = fields
        .required(
            "certificates",
            "say what is shown to clients, such as `certificates: [ { certificate: tls.pem, key: tls.key } ]`",
            problems,
        )?
        .filled_list(problems)?
        .into_iter()
        .map(|member| certificate(member, directory, &mut acme, problems))
        .collect::<Vec<_>>();
    let client_certificates = match fields.optional("client_certificates") {
        Some(field) => Some(client_certificates(field, directory, problems)?),
        None => None,
    };
    let minimum = match fields.optional("minimum") {
        Some(field) => {
            // Without quotes YAML reads a number.
            field.text(problems)?;
            let words =
                [TlsVersion::V12, TlsVersion::V13].map(|version| (version.as_str(), version));
            field.one_of(&words, problems)?
        }
        None => TlsVersion::V12,
    };
    let settings = TlsSettings {
        certificates: certificates.into_iter().collect::<Option<_>>()?,
        client_certificates,
        minimum,
        protocols,
        http3,
    };
    if let Err(error) = TlsServer::load(settings.clone(), Arc::new(SystemClock::new())) {
        problems.error(field.place(), error.code(), format!("`tls`: {error}"));
        return None;
    }
    Some(ListenerTls { settings, acme })
}

fn certificate(
    member: Field<'_>,
    directory: &Path,
    obtained: &mut Vec<AcmeDeclaration>,
    problems: &mut Problems,
) -> Option<CertificateSource> {
    let fields = member.fields(&["certificate", "key", "acme"], problems)?;
    if let Some(field) = fields.optional("acme") {
        if fields.optional("certificate").is_some() || fields.optional("key").is_some() {
            member.refuse(
                "has `acme` beside a file: a certificate is obtained, or it is there",
                problems,
            );
            return None;
        }
        let declaration = acme::read(field, directory, problems)?;
        let source = CertificateSource::Put(declaration.id());
        obtained.push(declaration);
        return Some(source);
    }
    let certificate = path(
        &fields,
        "certificate",
        "name a file in PEM",
        directory,
        problems,
    );
    let key = path(&fields, "key", "name a file in PEM", directory, problems);
    Some(CertificateSource::Files(CertificateFiles {
        certificate: certificate?,
        key: key?,
    }))
}

fn client_certificates(
    field: Field<'_>,
    directory: &Path,
    problems: &mut Problems,
) -> Option<ClientCertificates> {
    let fields = field.fields(&["roots", "required", "revocation_list"], problems)?;
    let roots = path(
        &fields,
        "roots",
        "name a file in PEM with the roots that clients' certificates are checked against",
        directory,
        problems,
    );
    let required = match fields.optional("required") {
        Some(field) => field.boolean(problems),
        None => Some(true),
    };
    let revocation_list = match fields.optional("revocation_list") {
        Some(field) => Some(directory.join(field.text(problems)?)),
        None => None,
    };
    Some(ClientCertificates {
        roots: roots?,
        required: required?,
        revocation_list,
    })
}

fn path(
    fields: &Fields<'_>,
    key: &str,
    advice: &str,
    directory: &Path,
    problems: &mut Problems,
) -> Option<PathBuf> {
    let field = fields.required(key, advice, problems)?;
    field.text(problems).map(|path| directory.join(path))
}

/// Reads `proxy_protocol` of a listener.
pub(super) fn proxy_protocol(field: Field<'_>, problems: &mut Problems) -> Option<TrustedSenders> {
    let fields = field.fields(&["from"], problems)?;
    let from = fields.required(
        "from",
        "say which balancers begin with a header, such as `from: [10.0.0.0/8]`",
        problems,
    )?;
    from.filled_list(problems)?;
    Some(TrustedSenders {
        from: networks(from, problems),
    })
}

/// As `check --json` tells it.
pub(super) fn to_json(tls: &ListenerTls) -> Value {
    let settings = &tls.settings;
    let mut obtained = tls.acme.iter();
    let certificates: Vec<_> = settings
        .certificates
        .iter()
        .map(|source| match source {
            CertificateSource::Files(files) => {
                json!({ "certificate": files.certificate, "key": files.key })
            }
            CertificateSource::Put(_) => obtained.next().map_or(Value::Null, acme::to_json),
        })
        .collect();
    let clients = settings.client_certificates.as_ref().map(|clients| {
        json!({
            "roots": clients.roots,
            "required": clients.required,
            "revocation_list": clients.revocation_list,
        })
    });
    json!({
        "certificates": certificates,
        "client_certificates": clients,
        "minimum": settings.minimum.as_str(),
    })
}
