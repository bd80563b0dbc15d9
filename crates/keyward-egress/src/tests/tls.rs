//! Whom the egress believes.

use super::{Names, Server, get, ok, policy, redirect};
use crate::{Egress, Error, Policy};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

/// A certificate authority of its own, and an acceptor with a certificate of it for `name`.
fn authority(name: &str) -> (CertificateDer<'static>, tokio_rustls::TlsAcceptor) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (
        root.der().clone(),
        tokio_rustls::TlsAcceptor::from(Arc::new(config)),
    )
}

#[tokio::test]
async fn tls_is_checked_against_the_roots_and_the_name() {
    let (root, acceptor) = authority("issuer.example");
    let (other_root, _) = authority("issuer.example");
    let server = Server::start_at("127.0.0.1:0", vec![ok("keys")], Some(acceptor)).await;
    let port = server.address.port();
    for (name, root, expected) in [
        ("issuer.example", Some(&root), Ok("200 keys")),
        ("other.example", Some(&root), Err("tls")),
        ("issuer.example", Some(&other_root), Err("tls")),
        ("issuer.example", None, Err("tls")),
    ] {
        let policy = Policy {
            extra_roots: root.into_iter().cloned().collect(),
            ..policy(&["127.0.0.1"])
        };
        let egress = Egress::with_resolver(policy, Names::one(name, &["127.0.0.1"])).unwrap();
        let result = get(&egress, &format!("https://{name}:{port}/")).await;
        let result = result.as_deref().map_err(|error| error.code());
        assert_eq!(result, expected, "{name}");
    }
    // An address that is allowed is not believed without its certificate.
    let policy = Policy {
        extra_roots: vec![root],
        ..policy(&["127.0.0.1"])
    };
    let error = get(
        &Egress::new(policy).unwrap(),
        &format!("https://127.0.0.1:{port}/"),
    )
    .await
    .unwrap_err();
    assert_eq!(error.code(), "tls");
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_refused() {
    let plain = Server::start(vec![ok("plain")]).await;
    let (root, acceptor) = authority("issuer.example");
    let server = Server::start_at(
        "127.0.0.1:0",
        vec![redirect(302, &plain.url("/"))],
        Some(acceptor),
    )
    .await;
    let policy = Policy {
        extra_roots: vec![root],
        ..policy(&["127.0.0.1"])
    };
    let names = Names::one("issuer.example", &["127.0.0.1"]);
    let egress = Egress::with_resolver(policy, names).unwrap();
    let error = get(
        &egress,
        &format!("https://issuer.example:{}/", server.address.port()),
    )
    .await
    .unwrap_err();
    assert_eq!(error.code(), "redirect");
    assert_eq!(plain.heads().len(), 0);
}

#[test]
fn a_broken_extra_root_is_refused_at_once() {
    let policy = Policy {
        extra_roots: vec![CertificateDer::from(vec![1, 2, 3])],
        ..policy(&[])
    };
    assert!(matches!(Egress::new(policy), Err(Error::Roots(_))));
}
