//! Clients that prove themselves.

use super::authority::{Authority, Files, client, settings};
use super::meet;
use crate::tls::{ClientCertificates, HandshakeFailure, TlsSettings};
use crate::transport::AcceptFailure;
use keyward_model::Clock as _;
use rustls::CertificateError;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
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
        let found = peer.unwrap().tls.unwrap().certificate.unwrap().certificate;
        assert_eq!(found.common_names, [Box::<str>::from("billing")]);
        assert_eq!(&*found.subject, "CN=billing,O=Acme");
        assert!(found.issuer.contains("CN=Test Root"), "{}", found.issuer);
        assert_eq!(found.dns_names, [Box::<str>::from("billing.internal")]);
        assert_eq!(
            found.uris,
            [Box::<str>::from("spiffe://acme.example/billing")]
        );
        assert_eq!(found.emails, [Box::<str>::from("billing@acme.example")]);
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

#[tokio::test]
async fn a_certificate_is_looked_at_again_while_its_connection_lasts() {
    let (files, authority, clients) = (Files::new(), Authority::new(), Authority::new());
    let server = files.mutual(&authority.issue(&["a.example"]), &clients, true);
    let own = clients.issue_client();
    let config = client(&authority, &[&TLS13], Some(&own));
    let (stream, peer) = meet(&server, &config, "a.example").await;
    stream.unwrap();
    let shown = peer.unwrap().tls.unwrap().certificate.unwrap();
    let now = files.clock.now();
    assert!(shown.check(now).is_ok());
    let end = shown.certificate.not_after;
    assert!(shown.check(end).is_ok(), "the last second counts");
    let over = shown.check(end.plus(Duration::from_secs(1)));
    assert!(
        matches!(
            over,
            Err(rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. }
            ))
        ),
        "{over:?}"
    );
    assert!(shown.check(now).is_ok(), "what failed is not remembered");
    // Its root is taken away.
    files.write("clients.pem", &Authority::new().root);
    server.look();
    assert!(shown.check(now).is_err());
    files.write("clients.pem", &clients.root);
    server.look();
    assert!(shown.check(now).is_ok());
}

#[tokio::test]
async fn a_certificate_that_was_taken_back_is_refused() {
    const HOUR: Duration = Duration::from_secs(3600);
    let (files, authority, clients) = (Files::new(), Authority::new(), Authority::new());
    let now = files.clock.now();
    let revocation_list = files.write("clients.crl", &clients.revoke(&[&[0x11]], now, HOUR));
    let server = files
        .load(TlsSettings {
            client_certificates: Some(ClientCertificates {
                roots: files.write("clients.pem", &clients.root),
                required: true,
                revocation_list: Some(revocation_list),
            }),
            ..settings(&[files.put("server", &authority.issue(&["a.example"]))])
        })
        .unwrap();
    let own = clients.issue_client();
    let config = client(&authority, &[&TLS13], Some(&own));
    let (stream, peer) = meet(&server, &config, "a.example").await;
    stream.unwrap();
    let shown = peer.unwrap().tls.unwrap().certificate.unwrap();
    assert!(shown.check(now).is_ok());
    // The certificate's number is put on the list: open connections see it too.
    files.write(
        "clients.crl",
        &clients.revoke(&[&[0x11], &[0x7f, 0x01]], now, HOUR),
    );
    server.look();
    let revoked = shown.check(now);
    assert!(
        matches!(
            revoked,
            Err(rustls::Error::InvalidCertificate(CertificateError::Revoked))
        ),
        "{revoked:?}"
    );
    assert!(meet(&server, &config, "a.example").await.1.is_err());
    // What can't be used leaves what was read before in use.
    for broken in [
        "",
        "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
    ] {
        files.write("clients.crl", broken);
        server.look();
        assert!(shown.check(now).is_err());
    }
    // A list that another authority has signed says nothing of this one's, and refuses all the same.
    files.write("clients.crl", &Authority::new().revoke(&[], now, HOUR));
    server.look();
    assert!(shown.check(now).is_err());
    files.write("clients.crl", &clients.revoke(&[], now, HOUR));
    server.look();
    assert!(shown.check(now).is_ok());
    assert!(meet(&server, &config, "a.example").await.1.is_ok());
    // Nobody gains by keeping the next list from arriving.
    files.clock.advance(2 * HOUR);
    assert!(shown.check(files.clock.now()).is_err());
}

#[tokio::test]
async fn a_session_from_before_a_certificate_was_required_does_not_replace_it() {
    let (files, authority, clients) = (Files::new(), Authority::new(), Authority::new());
    let own = clients.issue_client();
    for version in [&TLS12, &TLS13] {
        for was_asked_for in [false, true] {
            let server = files.mutual(&authority.issue(&["a.example"]), &clients, false);
            let asked_for = TlsSettings::clone(&server.settings());
            let follow = |settings| server.replace(server.prepare(settings).unwrap()).unwrap();
            if !was_asked_for {
                follow(TlsSettings {
                    client_certificates: None,
                    ..asked_for.clone()
                });
            }
            let nobody = client(&authority, &[version], None);
            let billing = client(&authority, &[version], Some(&own));
            for config in [&nobody, &billing] {
                meet(&server, config, "a.example").await.0.unwrap();
            }
            let mut required = asked_for;
            required.client_certificates.as_mut().unwrap().required = true;
            follow(required);
            let (_, peer) = meet(&server, &nobody, "a.example").await;
            assert!(peer.is_err(), "{version:?} {was_asked_for}: {peer:?}");
            // Who has one is asked for it.
            let (_, peer) = meet(&server, &billing, "a.example").await;
            assert!(peer.unwrap().tls.unwrap().certificate.is_some());
        }
    }
}

#[test]
fn every_chain_that_comes_inside_quic_is_looked_at_as_things_are_now() {
    let (files, authority, clients) = (Files::new(), Authority::new(), Authority::new());
    let server = files.mutual(&authority.issue(&["a.example"]), &clients, false);
    let own = clients.issue_client();
    let chain = [CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
    let epoch = server.epoch();
    assert!(server.quic_client(&chain, epoch).unwrap().is_some());
    assert!(server.quic_client(&[], epoch).unwrap().is_none());
    // One is required from now on, which a handshake that has begun before does not know.
    let mut settings = TlsSettings::clone(&server.settings());
    settings.client_certificates.as_mut().unwrap().required = true;
    server.replace(server.prepare(settings).unwrap()).unwrap();
    assert!(server.quic_client(&chain, epoch).unwrap().is_some());
    assert!(matches!(
        server.quic_client(&[], epoch),
        Err(HandshakeFailure::Resumed(_))
    ));
    // Its root is taken away: a session that is taken up again still has the chain.
    files.write("clients.pem", &Authority::new().root);
    server.look();
    assert!(matches!(
        server.quic_client(&chain, epoch),
        Err(HandshakeFailure::Resumed(_))
    ));
}
