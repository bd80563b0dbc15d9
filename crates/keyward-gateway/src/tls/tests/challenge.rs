//! A certificate authority that asks.

use super::authority::{Authority, Files, client, connection};
use super::{CLIENT, meet, plain};
use crate::settings::{Limits, ListenerSettings, Protocols};
use crate::tls::{Challenges, HandshakeFailure, TlsServer, TlsSettings};
use crate::transport::{AcceptFailure, accept};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ClientConfig;
use rustls::version::TLS13;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// What a validator does: it speaks nothing but `acme-tls/1`, and looks at the certificate itself.
fn validator(authority: &Authority) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&client(authority, &[&TLS13], None));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    Arc::new(config)
}

async fn validate(server: &Arc<TlsServer>, config: &Arc<ClientConfig>) -> (String, AcceptFailure) {
    let (near, far) = connection().await;
    let listener = ListenerSettings {
        protocols: Protocols::BOTH,
        tls: Some(Arc::clone(server)),
        ..plain()
    };
    let limits = Limits::default();
    let (shaken, accepted) = tokio::join!(
        TlsConnector::from(Arc::clone(config)).connect("a.example".try_into().unwrap(), near),
        accept(&limits, &listener, far, CLIENT.parse().unwrap())
    );
    // The library refuses the certificate as a server's, having seen it.
    (shaken.unwrap_err().to_string(), accepted.unwrap_err())
}

#[tokio::test]
async fn a_validator_is_shown_the_answer_as_long_as_it_is_due() {
    let (files, authority, clients) = (Files::new(), Authority::new(), Authority::new());
    let challenges = Arc::new(Challenges::default());
    let issued = authority.issue(&["a.example"]);
    // A validator shows no certificate, whatever is asked of clients.
    let required = files.mutual(&issued, &clients, true);
    let settings = TlsSettings::clone(&required.settings());
    let server = TlsServer::load(settings, files.clock()).unwrap();
    let server = Arc::new(server.with_challenges(Arc::clone(&challenges)));
    let config = validator(&authority);
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&[7; 32])];
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let presented = challenges
        .present_alpn("A.example", certificate.der().to_vec(), key.serialize_der())
        .unwrap();
    let (shown, _) = validate(&server, &config).await;
    assert!(shown.contains("UnsupportedCriticalExtension"), "{shown}");
    drop(presented);
    let (shown, failure) = validate(&server, &config).await;
    assert!(!shown.contains("UnsupportedCriticalExtension"), "{shown}");
    assert!(matches!(
        failure,
        AcceptFailure::Handshake(HandshakeFailure::NoChallenge)
    ));
}

#[tokio::test]
async fn a_certificate_that_is_put_is_shown_from_then_on() {
    let (files, authority) = (Files::new(), Authority::new());
    let settings = TlsSettings {
        protocols: Protocols::BOTH,
        http3: false,
        certificates: vec![crate::tls::CertificateSource::Put("own".into())],
        ..super::settings(&[])
    };
    let server = files.load(settings).unwrap();
    let config = client(&authority, &[&TLS13], None);
    assert!(meet(&server, &config, "a.example").await.0.is_err());
    let issued = authority.issue(&["a.example"]);
    let (chain, key) = (issued.certificate.as_bytes(), issued.key.as_bytes());
    server.put("another", chain, key).unwrap();
    assert!(meet(&server, &config, "a.example").await.0.is_err());
    server.put("own", chain, key).unwrap();
    assert!(meet(&server, &config, "a.example").await.0.is_ok());
    assert!(server.put("own", chain, b"no key").is_err());
    assert!(meet(&server, &config, "a.example").await.0.is_ok());
}

#[test]
fn a_token_is_answered_as_long_as_it_is_due() {
    let challenges = Arc::new(Challenges::default());
    let path = "/.well-known/acme-challenge/token";
    let presented = challenges.present_http("token", "token.thumbprint");
    assert_eq!(challenges.http(path).as_deref(), Some("token.thumbprint"));
    for other in [
        "/.well-known/acme-challenge/",
        "/token",
        "/.well-known/acme-challenge/token/",
    ] {
        assert_eq!(challenges.http(other), None, "{other}");
    }
    drop(presented);
    assert_eq!(challenges.http(path), None);
}
