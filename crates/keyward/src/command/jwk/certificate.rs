//! `keyward jwk certificate-request` and `keyward jwk self-sign`.

use crate::command::input::Input;
use crate::command::key_arguments::read_key;
use crate::command::time::{now, seconds};
use crate::command::{Failure, terminal};
use clap::{Args, ValueHint};
use keyward_jose::key::Part;
use keyward_jose::x509::{AlternativeName, Subject, certificate_to_pem, request_to_pem};
use std::net::IpAddr;

/// Make a certificate request for a key (PKCS#10, PEM)
///
/// RSA, P-256, P-384, P-521 and Ed25519 keys can have one. Give at least a common name or an alternative
/// name.
#[derive(Args, Debug)]
pub(in crate::command) struct Request {
    #[command(flatten)]
    names: Names,

    /// The private key: a JWK, PEM or DER; `-` is standard input
    #[arg(default_value = "-", value_name = "KEY", value_hint = ValueHint::FilePath)]
    key: Input,
}

/// Make a certificate of a key, signed by itself (PEM)
///
/// RSA, P-256, P-384, P-521 and Ed25519 keys can have one. It can sign no other certificate.
#[derive(Args, Debug)]
pub(in crate::command) struct SelfSign {
    #[command(flatten)]
    names: Names,

    /// How long it is good, from now on
    #[arg(long, value_name = "DURATION", value_parser = seconds, default_value = "90d")]
    expires_in: u64,

    /// Write the private key as a JWK with the certificate in `x5c`, in place of the certificate
    #[arg(long)]
    jwk: bool,

    /// The private key: a JWK, PEM or DER; `-` is standard input
    #[arg(default_value = "-", value_name = "KEY", value_hint = ValueHint::FilePath)]
    key: Input,
}

/// Whom the certificate is for.
#[derive(Args, Debug)]
struct Names {
    /// The common name
    #[arg(long, value_name = "CN")]
    common_name: Option<String>,

    /// The organization
    #[arg(long, value_name = "O")]
    organization: Option<String>,

    /// The organizational unit
    #[arg(long, value_name = "OU")]
    organizational_unit: Option<String>,

    /// The country, in two letters
    #[arg(long, value_name = "C")]
    country: Option<String>,

    /// A host's name, as a subject alternative name; may be given more than once
    #[arg(long, value_name = "HOST")]
    dns: Vec<String>,

    /// An address, as a subject alternative name; may be given more than once
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,

    /// A mail address, as a subject alternative name; may be given more than once
    #[arg(long, value_name = "ADDRESS")]
    email: Vec<String>,

    /// A URI, as a subject alternative name; may be given more than once
    #[arg(long, value_name = "URI")]
    uri: Vec<String>,
}

impl Names {
    fn subject(self) -> Subject {
        let dns = self.dns.into_iter().map(AlternativeName::Dns);
        let ip = self.ip.into_iter().map(AlternativeName::Ip);
        let email = self.email.into_iter().map(AlternativeName::Email);
        let uri = self.uri.into_iter().map(AlternativeName::Uri);
        Subject {
            common_name: self.common_name,
            organization: self.organization,
            organizational_unit: self.organizational_unit,
            country: self.country,
            alternative_names: dns.chain(ip).chain(email).chain(uri).collect(),
        }
    }
}

impl Request {
    pub(super) fn run(self) -> Result<(), Failure> {
        const WHAT: &str = "jwk certificate-request";
        let request = read_key(&self.key)?
            .certificate_request(&self.names.subject())
            .map_err(Failure::jose(WHAT))?;
        terminal::write(request_to_pem(&request).as_bytes())
    }
}

impl SelfSign {
    pub(super) fn run(self) -> Result<(), Failure> {
        const WHAT: &str = "jwk self-sign";
        let key = read_key(&self.key)?;
        let now = now();
        let certificate = key
            .self_signed_certificate(&self.names.subject(), now, now.plus(self.expires_in))
            .map_err(Failure::jose(WHAT))?;
        if !self.jwk {
            return terminal::write(certificate_to_pem(&certificate).as_bytes());
        }
        let jwk = key
            .with_certificates(vec![certificate])
            .and_then(|key| key.to_jwk(Part::Private))
            .map_err(Failure::jose(WHAT))?;
        terminal::write_line(&jwk)
    }
}
