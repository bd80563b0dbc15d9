//! Reading what stands before the first request of a listener: TLS, and the PROXY protocol.

use super::network::networks;
use keyward_gateway::proxy_protocol::TrustedSenders;
use keyward_gateway::tls::{
    CertificateFiles, ClientCertificates, TlsServer, TlsSettings, TlsVersion,
};
use keyward_model::SystemClock;
use keyward_model::resource::raw::{Field, Fields, Problems};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads `tls` of a listener. Relative paths are taken from `directory`. The files are looked at, so that
/// what can't be used is told by `check` already.
pub(super) fn tls(
    field: Field<'_>,
    directory: &Path,
    problems: &mut Problems,
) -> Option<TlsSettings> {
    let fields = field.fields(
        &["certificates", "client_certificates", "minimum"],
        problems,
    )?;
    let certificates = fields
        .required(
            "certificates",
            "say what is shown to clients, such as `certificates: [ { certificate: tls.pem, key: tls.key } ]`",
            problems,
        )?
        .filled_list(problems)?
        .into_iter()
        .map(|member| certificate(member, directory, problems))
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
    };
    if let Err(error) = TlsServer::load(settings.clone(), Arc::new(SystemClock::new())) {
        problems.error(field.place(), error.code(), format!("`tls`: {error}"));
        return None;
    }
    Some(settings)
}

fn certificate(
    member: Field<'_>,
    directory: &Path,
    problems: &mut Problems,
) -> Option<CertificateFiles> {
    let fields = member.fields(&["certificate", "key"], problems)?;
    let certificate = path(
        &fields,
        "certificate",
        "name a file in PEM",
        directory,
        problems,
    );
    let key = path(&fields, "key", "name a file in PEM", directory, problems);
    Some(CertificateFiles {
        certificate: certificate?,
        key: key?,
    })
}

fn client_certificates(
    field: Field<'_>,
    directory: &Path,
    problems: &mut Problems,
) -> Option<ClientCertificates> {
    let fields = field.fields(&["roots", "required"], problems)?;
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
    Some(ClientCertificates {
        roots: roots?,
        required: required?,
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
pub(super) fn to_json(settings: &TlsSettings) -> Value {
    let certificates: Vec<_> = settings
        .certificates
        .iter()
        .map(|files| json!({ "certificate": files.certificate, "key": files.key }))
        .collect();
    let clients = settings
        .client_certificates
        .as_ref()
        .map(|clients| json!({ "roots": clients.roots, "required": clients.required }));
    json!({
        "certificates": certificates,
        "client_certificates": clients,
        "minimum": settings.minimum.as_str(),
    })
}
