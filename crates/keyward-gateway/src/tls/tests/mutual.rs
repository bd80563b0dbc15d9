//! Clients that prove themselves.

use super::authority::{Authority, Files, client};
use super::meet;
use crate::tls::HandshakeFailure;
use crate::transport::AcceptFailure;
use rustls::version::{TLS12, TLS13};
use std::time::Duration;

#[tokio::test]
async fn a_clients_certificate_says_who_it_is() {
    let (files, authority, clients) = (Files::new(), Authority::new(), Authority::new());
    let server = files.mutual(&authority.issue(&["a.example"]), &clients, true);
    let issued = clients.issue_client();
    for version in [&TLS12, &TLS13] {
        let config = client(&authority, &[version], Some(&issued));
        let (stream, peer) = meet(&server, &config, "a.example").await;
        stream.unwrap();
        let found = peer.unwrap().tls.unwrap().certificate.unwrap();
        assert_eq!(found.common_name.as_deref(), Some("billing"));
        assert_eq!(&*found.subject, "O=Acme, CN=billing");
        assert!(found.issuer.contains("CN=Test Root"), "{}", found.issuer);
        assert_eq!(found.dns_names, ["billing.internal".into()]);
        assert_eq!(found.uris, ["spiffe://acme.example/billing".into()]);
        assert_eq!(found.emails, ["billing@acme.example".into()]);
        assert_eq!(&*found.serial, "7f01");
        // SHA-256 without padding.
        assert_eq!(found.thumbprint.len(), 43);
    }
}

#[tokio::test]
async fn a_required_certificate_must_be_there_and_of_the_right_root() {
    let (files, authority, clients) = (Files::new(), Authority::new(), Authority::new());
    let stranger = Authority::new().issue_client();
    // For servers: its key is not meant for clients.
    let misused = clients.issue(&["a.example"]);
    let own = clients.issue_client();
    let issued = authority.issue(&["a.example"]);
    for (required, identity, passes) in [
        (true, None, false),
        (true, Some(&stranger), false),
        (true, Some(&own), true),
        (false, None, true),
        (false, Some(&stranger), false),
        (false, Some(&own), true),
    ] {
        let server = files.mutual(&issued, &clients, required);
        for version in [&TLS12, &TLS13] {
            let config = client(&authority, &[version], identity);
            let (stream, peer) = meet(&server, &config, "a.example").await;
            assert_eq!(stream.is_ok(), passes);
            let certificate = peer.map(|peer| peer.tls.unwrap().certificate.is_some());
            assert_eq!(certificate.ok(), passes.then_some(identity.is_some()));
        }
    }
    // A certificate that names no purpose serves for any.
    let server = files.mutual(&issued, &clients, true);
    let config = client(&authority, &[&TLS13], Some(&misused));
    assert!(meet(&server, &config, "a.example").await.0.is_ok());
}

#[tokio::test]
async fn a_session_is_not_resumed_by_a_certificate_that_is_no_longer_good() {
    let (files, authority, clients) = (Files::new(), Authority::new(), Authority::new());
    let server = files.mutual(&authority.issue(&["a.example"]), &clients, true);
    let own = clients.issue_client();
    let config = client(&authority, &[&TLS13], Some(&own));
    for _ in 0..2 {
        let (stream, peer) = meet(&server, &config, "a.example").await;
        stream.unwrap();
        assert!(peer.unwrap().tls.unwrap().certificate.is_some());
    }
    // Its root is taken away.
    files.write("clients.pem", &Authority::new().root);
    server.look();
    let (_, peer) = meet(&server, &config, "a.example").await;
    assert!(
        matches!(
            peer,
            Err(AcceptFailure::Handshake(HandshakeFailure::Resumed(_)))
        ),
        "{peer:?}"
    );
}

#[tokio::test]
async fn a_clients_certificate_ends() {
    let (files, authority, clients) = (Files::new(), Authority::new(), Authority::new());
    let server = files.mutual(&authority.issue(&["a.example"]), &clients, true);
    let own = clients.issue_client();
    let config = client(&authority, &[&TLS13], Some(&own));
    assert!(meet(&server, &config, "a.example").await.1.is_ok());
    // What the test's authority issues ends in the year 4096.
    files
        .clock
        .advance(Duration::from_secs(2200 * 365 * 24 * 3600));
    assert!(meet(&server, &config, "a.example").await.1.is_err());
}
