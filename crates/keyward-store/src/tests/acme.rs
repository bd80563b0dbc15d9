use super::*;

const DIRECTORY: &str = "https://ca.example/directory";

fn certificate(key: &str) -> AcmeCertificate {
    AcmeCertificate {
        chain: format!("the chain of {key}"),
        key: Secret::new(key.to_owned()),
        obtained: NOW,
    }
}

#[tokio::test]
async fn accounts_and_certificates_are_kept_and_replaced() {
    let bench = Bench::new();
    let store = bench.open().await;
    assert!(store.acme_account(DIRECTORY).await.unwrap().is_none());
    for text in ["first", "second"] {
        let secret = Secret::new(text.to_owned());
        store
            .put_acme_account(DIRECTORY, &secret, NOW)
            .await
            .unwrap();
        let found = store.acme_account(DIRECTORY).await.unwrap().unwrap();
        assert_eq!(found.reveal(), text);
        store
            .put_acme_certificate(DIRECTORY, "a.example b.example", &certificate(text))
            .await
            .unwrap();
    }
    store.close().await;
    let store = bench.open().await;
    let found = store
        .acme_certificate(DIRECTORY, "a.example b.example")
        .await;
    let found = found.unwrap().unwrap();
    assert_eq!(found.chain, "the chain of second");
    assert_eq!(found.key.reveal(), "second");
    assert_eq!(found.obtained, NOW);
    for (directory, names) in [
        (DIRECTORY, "a.example"),
        ("https://other.example", "a.example b.example"),
    ] {
        let other = store.acme_certificate(directory, names).await.unwrap();
        assert!(other.is_none(), "{directory} {names}");
    }
    assert_eq!(store.verify_audit_chain().await.unwrap().events, 4);
}

#[tokio::test]
async fn their_keys_are_not_in_the_file() {
    let bench = Bench::new();
    let store = bench.open().await;
    let secret = Secret::new("an-account-key-nobody-may-see".to_owned());
    let secret_one = AcmeCertificate {
        chain: "the chain".to_owned(),
        ..certificate("a-key-nobody-may-see")
    };
    store
        .put_acme_account(DIRECTORY, &secret, NOW)
        .await
        .unwrap();
    store
        .put_acme_certificate(DIRECTORY, "a.example", &secret_one)
        .await
        .unwrap();
    store.close().await;
    let bytes = std::fs::read(bench.path()).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("acme_certificates") && text.contains("the chain"));
    assert!(!text.contains("nobody-may-see"));
}
