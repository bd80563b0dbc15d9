//! Handshakes over loopback with the client side of the TLS library; other clients are met in the
//! binary's tests.

mod authority;
mod challenge;
mod mutual;
mod reload;

pub(crate) use authority::{Authority, Files, Issued, client, connect, connection, settings};

use super::*;
use crate::settings::{Limits, ListenerSettings, Protocols};
use crate::transport::{AcceptFailure, ApplicationProtocol, Peer, Transport, accept};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const CLIENT: &str = "192.0.2.7:40000";

type ClientStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Both ends of a handshake.
async fn meet(
    server: &Arc<TlsServer>,
    config: &Arc<ClientConfig>,
    name: &str,
) -> (std::io::Result<ClientStream>, Result<Peer, AcceptFailure>) {
    let (near, far) = connection().await;
    let listener = ListenerSettings {
        protocols: Protocols::BOTH,
        tls: Some(Arc::clone(server)),
        ..plain()
    };
    let serving = async {
        let (mut transport, peer) =
            accept(&Limits::default(), &listener, far, CLIENT.parse().unwrap()).await?;
        assert!(matches!(transport, Transport::Tls(_)));
        // A client that was refused may be gone already.
        let _written = transport.write_all(b"!").await;
        let _flushed = transport.flush().await;
        Ok(peer)
    };
    tokio::join!(connect(config, name, near), serving)
}

fn plain() -> ListenerSettings {
    ListenerSettings::from("127.0.0.1:0".parse::<SocketAddr>().unwrap())
}

/// The DNS names of the certificate that the client was shown.
fn shown(stream: &ClientStream) -> String {
    let (_, connection) = stream.get_ref();
    let certificate = connection.peer_certificates().unwrap().first().unwrap();
    ClientCertificate::read(certificate)
        .unwrap()
        .dns_names
        .join(" ")
}

#[tokio::test]
async fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let (files, authority) = (Files::new(), Authority::new());
    let put = |name: &str, names: &[&str]| files.put(name, &authority.issue(names));
    let server = files.server(&[
        put("default", &["default.example", "127.0.0.1"]),
        put("one", &["one.example", "other.example"]),
        put("wild", &["*.site.example", "*.a.example"]),
        put("exact", &["exact.example"]),
    ]);
    let config = client(&authority, &[&TLS13], None);
    for (asked, expected) in [
        ("one.example", "one.example other.example"),
        ("OTHER.example", "one.example other.example"),
        ("exact.example", "exact.example"),
        ("any.site.example", "*.site.example *.a.example"),
        ("b.a.example", "*.site.example *.a.example"),
        // Without a name in the handshake: an address is never one.
        ("127.0.0.1", "default.example"),
    ] {
        let (stream, peer) = meet(&server, &config, asked).await;
        assert_eq!(shown(&stream.unwrap()), expected, "{asked}");
        let peer = peer.unwrap();
        assert_eq!(peer.address.to_string(), CLIENT);
        let tls = peer.tls.unwrap();
        let name = (asked != "127.0.0.1").then(|| asked.to_ascii_lowercase());
        assert_eq!(tls.server_name.as_deref(), name.as_deref());
        assert_eq!(tls.protocol, Some(ApplicationProtocol::Http2));
        assert!(tls.certificate.is_none());
    }
    // A star is one label: the default is shown, and the client refuses it.
    for asked in ["c.b.a.example", "unknown.test"] {
        let (stream, peer) = meet(&server, &config, asked).await;
        assert!(
            stream
                .unwrap_err()
                .to_string()
                .contains("not valid for name")
        );
        assert!(matches!(peer, Err(AcceptFailure::Handshake(_))));
    }
}

#[tokio::test]
async fn both_versions_are_spoken_and_the_older_one_can_be_refused() {
    let (files, authority) = (Files::new(), Authority::new());
    let certificate = files.put("a", &authority.issue(&["a.example"]));
    let server = files.server(std::slice::from_ref(&certificate));
    let (old, new) = (
        client(&authority, &[&TLS12], None),
        client(&authority, &[&TLS13], None),
    );
    for (config, version, group) in [
        (&new, ProtocolVersion::TLSv1_3, NamedGroup::X25519MLKEM768),
        (&old, ProtocolVersion::TLSv1_2, NamedGroup::X25519),
    ] {
        let stream = meet(&server, config, "a.example").await.0.unwrap();
        let (_, connection) = stream.get_ref();
        assert_eq!(connection.protocol_version(), Some(version));
        let agreed = connection.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(agreed, group);
    }
    let strict = TlsSettings {
        minimum: TlsVersion::V13,
        ..settings(&[certificate])
    };
    let strict = files.load(strict).unwrap();
    assert!(meet(&strict, &new, "a.example").await.0.is_ok());
    let (stream, peer) = meet(&strict, &old, "a.example").await;
    assert!(stream.is_err());
    assert!(matches!(peer, Err(AcceptFailure::Handshake(_))));
}

#[tokio::test]
async fn a_session_is_resumed_in_both_versions() {
    let (files, authority) = (Files::new(), Authority::new());
    let server = files.server(&[files.put("a", &authority.issue(&["a.example"]))]);
    for version in [&TLS12, &TLS13] {
        let config = client(&authority, &[version], None);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let stream = meet(&server, &config, "a.example").await.0.unwrap();
            assert_eq!(
                stream.get_ref().1.handshake_kind(),
                Some(kind),
                "{version:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_let_go() {
    let (files, authority) = (Files::new(), Authority::new());
    let listener = ListenerSettings {
        protocols: Protocols::BOTH,
        tls: Some(files.server(&[files.put("a", &authority.issue(&["a.example"]))])),
        ..plain()
    };
    let (_near, far) = connection().await;
    let accepted = accept(&Limits::default(), &listener, far, CLIENT.parse().unwrap()).await;
    assert!(matches!(accepted, Err(AcceptFailure::Late(_))));
}

#[tokio::test]
async fn only_so_many_handshakes_are_unfinished_at_once() {
    let (files, authority) = (Files::new(), Authority::new());
    let server = files.server(&[files.put("a", &authority.issue(&["a.example"]))]);
    let config = client(&authority, &[&TLS13], None);
    let limits = Limits {
        handshakes: 1,
        ..Limits::default()
    };
    let listener = ListenerSettings {
        protocols: Protocols::BOTH,
        tls: Some(Arc::clone(&server)),
        ..plain()
    };
    let address = CLIENT.parse().unwrap();
    {
        let (_silent, far) = connection().await;
        let waiting = accept(&limits, &listener, far, address);
        let mut waiting = std::pin::pin!(waiting);
        assert!(futures_poll(waiting.as_mut()).is_pending());
        let (_near, far) = connection().await;
        let refused = accept(&limits, &listener, far, address).await;
        assert!(matches!(
            refused,
            Err(AcceptFailure::Handshake(HandshakeFailure::TooMany))
        ));
    }
    // The silent one is gone, and its place free.
    assert!(meet(&server, &config, "a.example").await.0.is_ok());
}

/// Polls once.
fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[tokio::test]
async fn a_balancers_header_comes_before_the_handshake() {
    let (files, authority) = (Files::new(), Authority::new());
    let config = client(&authority, &[&TLS13], None);
    let listener = ListenerSettings {
        protocols: Protocols::BOTH,
        proxy_protocol: Some(crate::proxy_protocol::TrustedSenders {
            from: vec!["10.0.0.0/8".parse().unwrap()],
        }),
        tls: Some(files.server(&[files.put("a", &authority.issue(&["a.example"]))])),
        ..plain()
    };
    let limits = Limits::default();
    for (from, header, expected) in [
        (
            "10.0.0.1:5000",
            "PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n",
            Some(CLIENT),
        ),
        ("10.0.0.1:5000", "PROXY UNKNOWN\r\n", Some("10.0.0.1:5000")),
        // A trusted one says who calls, or nothing.
        ("10.0.0.1:5000", "", None),
        ("192.0.2.1:5000", "", Some("192.0.2.1:5000")),
        // A stranger is not believed.
        (
            "192.0.2.1:5000",
            "PROXY TCP4 10.0.0.9 198.51.100.1 40000 443\r\n",
            None,
        ),
    ] {
        let (mut near, far) = connection().await;
        near.write_all(header.as_bytes()).await.unwrap();
        let serving = async {
            let accepted = accept(&limits, &listener, far, from.parse().unwrap()).await;
            let (mut transport, peer) = accepted.ok()?;
            transport.write_all(b"!").await.ok()?;
            transport.flush().await.ok()?;
            Some(peer.address.to_string())
        };
        let (stream, served) = tokio::join!(connect(&config, "a.example", near), serving);
        assert_eq!(served.as_deref(), expected, "{from} {header}");
        assert_eq!(stream.is_ok(), expected.is_some(), "{from} {header}");
    }
}

#[test]
fn what_can_not_be_used_is_refused_with_its_file() {
    let (files, authority) = (Files::new(), Authority::new());
    let (one, other) = (
        authority.issue(&["a.example"]),
        authority.issue(&["a.example"]),
    );
    let good = files.put("good", &one);
    let missing = files.folder.path().join("missing.pem");
    let mixed = files.write("mixed.key", &other.key);
    let nothing = files.write("nothing.pem", "nothing\n");
    let broken = files.write(
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    for (certificate, key, file, why) in [
        (&missing, &good.key, &missing, "can't be read"),
        (&nothing, &good.key, &nothing, "no certificate in it"),
        (&broken, &good.key, &broken, "X.509"),
        (&good.certificate, &nothing, &nothing, "no private key"),
        (
            &good.certificate,
            &mixed,
            &mixed,
            "not that of the certificate",
        ),
        (&good.certificate, &broken, &broken, "no private key"),
    ] {
        let pair = CertificateFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        };
        let error = files.load(settings(&[good.clone(), pair])).unwrap_err();
        let TlsError::File { path, why: said } = &error else {
            panic!("{error}");
        };
        assert_eq!(path, file, "{error}");
        assert!(said.contains(why), "{error}");
        assert!(!error.to_string().contains(one.key.lines().nth(1).unwrap()));
    }
}
