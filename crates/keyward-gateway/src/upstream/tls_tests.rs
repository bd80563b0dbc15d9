//! Whom we believe to be a target.

use super::tls::{UpstreamTls, connect_tls};
use crate::settings::{Limits, ListenerSettings, Protocols};
use crate::tls::tests::{Authority, Files, connection};
use crate::tls::{TlsError, TlsServer};
use crate::transport::accept;
use keyward_model::resource::upstream::Protocol;
use keyward_model::resource::{UpstreamIdentity, UpstreamTls as Declared};
use std::net::SocketAddr;
use std::sync::Arc;

/// Connects to a target called `host`, and says whether it was taken, and for whom it took us.
async fn call(
    server: &Arc<TlsServer>,
    tls: &UpstreamTls,
    host: &str,
) -> Result<Option<String>, String> {
    let (near, far) = connection().await;
    let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let listener = ListenerSettings {
        protocols: Protocols::BOTH,
        tls: Some(Arc::clone(server)),
        ..ListenerSettings::from(address)
    };
    let limits = Limits::default();
    let (taken, served) = tokio::join!(
        connect_tls(near, tls, host),
        accept(&limits, &listener, far, address)
    );
    taken.map_err(|error| error.to_string())?;
    let (_, peer) = served.map_err(|error| error.to_string())?;
    let certificate = peer.tls.unwrap().certificate;
    Ok(certificate
        .and_then(|own| own.certificate.common_names.into_iter().next())
        .map(String::from))
}

#[tokio::test]
async fn a_target_must_have_a_certificate_for_its_name_from_a_known_root() {
    let (files, authority) = (Files::new(), Authority::new());
    let issued = authority.issue(&["target.example", "127.0.0.1"]);
    let server = files.server(&[files.put("target", &issued)]);
    let roots = Some(files.write("roots.pem", &authority.root));
    let other = Some(files.write("other.pem", &Authority::new().root));
    let named = |roots: &Option<std::path::PathBuf>, name: Option<&str>| {
        Some(Declared {
            roots: roots.clone(),
            identity: None,
            server_name: name.map(Into::into),
        })
    };
    for (declared, host, passes) in [
        (named(&roots, None), "target.example", true),
        (named(&roots, None), "127.0.0.1", true),
        (named(&roots, None), "other.example", false),
        (named(&roots, Some("target.example")), "other.example", true),
        (
            named(&roots, Some("other.example")),
            "target.example",
            false,
        ),
        (named(&other, None), "target.example", false),
        // The system doesn't know the test's root.
        (None, "target.example", false),
        (
            named(&None, Some("target.example")),
            "target.example",
            false,
        ),
    ] {
        let tls = UpstreamTls::new(declared.as_ref(), Protocol::Http1, &files.clock()).unwrap();
        let called = call(&server, &tls, host).await;
        assert_eq!(called.is_ok(), passes, "{declared:?} {host}: {called:?}");
    }
}

#[tokio::test]
async fn we_prove_ourselves_where_a_target_asks() {
    let (files, authority, clients) = (Files::new(), Authority::new(), Authority::new());
    let server = files.mutual(&authority.issue(&["target.example"]), &clients, true);
    let identity = files.put("own", &clients.issue_client());
    let declared = Declared {
        roots: Some(files.write("roots.pem", &authority.root)),
        identity: Some(UpstreamIdentity {
            certificate: identity.certificate,
            key: identity.key,
        }),
        server_name: None,
    };
    let tls = UpstreamTls::new(Some(&declared), Protocol::Http1, &files.clock()).unwrap();
    let known = call(&server, &tls, "target.example").await;
    assert_eq!(known, Ok(Some("billing".to_owned())));
    let same = UpstreamTls::new(Some(&declared), Protocol::Http1, &files.clock()).unwrap();
    assert_eq!(same, tls, "connections outlive a reload");
    files.put("own", &clients.issue_client());
    let renewed = UpstreamTls::new(Some(&declared), Protocol::Http1, &files.clock()).unwrap();
    assert_ne!(renewed, tls);
    let anonymous = Declared {
        identity: None,
        ..declared
    };
    let tls = UpstreamTls::new(Some(&anonymous), Protocol::Http1, &files.clock()).unwrap();
    assert!(call(&server, &tls, "target.example").await.is_err());
}

#[test]
fn files_that_can_not_be_used_are_named() {
    let files = Files::new();
    let missing = files.folder.path().join("missing.pem");
    let declared = Declared {
        roots: Some(missing.clone()),
        ..Declared::default()
    };
    let error = UpstreamTls::new(Some(&declared), Protocol::Http1, &files.clock()).unwrap_err();
    assert!(matches!(error, TlsError::File { path, .. } if path == missing));
}
