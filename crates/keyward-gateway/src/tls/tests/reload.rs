//! Files that change.

use super::authority::{Authority, Files, client};
use super::{meet, shown};
use rustls::version::TLS13;
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn a_changed_certificate_is_shown_from_the_next_handshake_on() {
    let (files, authority) = (Files::new(), Authority::new());
    let pair = files.put("a", &authority.issue(&["a.example", "old.example"]));
    let server = files.server(&[pair]);
    let config = client(&authority, &[&TLS13], None);
    let mut old = meet(&server, &config, "a.example").await.0.unwrap();
    files.put("a", &authority.issue(&["a.example", "new.example"]));
    server.look();
    let fresh = client(&authority, &[&TLS13], None);
    let new = meet(&server, &fresh, "a.example").await.0.unwrap();
    assert_eq!(shown(&new), "a.example new.example");
    // Tickets outlive the change, and so do connections.
    let resumed = meet(&server, &config, "a.example").await.0.unwrap();
    let kind = resumed.get_ref().1.handshake_kind();
    assert_eq!(kind, Some(rustls::HandshakeKind::Resumed));
    old.write_all(b"still open").await.unwrap();
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_holds_nobody_else_back() {
    let (files, authority) = (Files::new(), Authority::new());
    let first = files.put("a", &authority.issue(&["a.example"]));
    let second = files.put("b", &authority.issue(&["b.example", "old.example"]));
    let server = files.server(&[first, second]);
    let asks = async |name: &str| {
        let config = client(&authority, &[&TLS13], None);
        meet(&server, &config, name)
            .await
            .0
            .map(|stream| shown(&stream))
    };
    let newer = authority.issue(&["a.example", "newer.example"]);
    for (name, text) in [
        ("a.pem", ""),
        ("a.pem", "-----BEGIN CERTIFICATE-----\nAA"),
        // The new certificate before its key: a moment of every renewal.
        ("a.pem", newer.certificate.as_str()),
    ] {
        files.write(name, text);
        server.look();
        assert_eq!(asks("a.example").await.unwrap(), "a.example");
    }
    std::fs::remove_file(files.folder.path().join("a.pem")).unwrap();
    files.put("b", &authority.issue(&["b.example", "new.example"]));
    server.look();
    assert_eq!(asks("a.example").await.unwrap(), "a.example");
    assert_eq!(asks("b.example").await.unwrap(), "b.example new.example");
    files.put("a", &newer);
    server.look();
    assert_eq!(asks("a.example").await.unwrap(), "a.example newer.example");
}
