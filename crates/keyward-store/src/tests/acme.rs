use super::*;

on_each_database! {
    a_certificate_of_a_hundred_names_is_kept_once,
    accounts_and_certificates_are_kept_and_replaced,
    their_keys_are_not_in_the_file,
}

const DIRECTORY: &str = "https://ca.example/directory";

fn certificate(key: &str) -> AcmeCertificate {
    AcmeCertificate {
        chain: format!("the chain of {key}"),
        key: Secret::new(key.to_owned()),
        obtained: NOW,
    }
}

async fn accounts_and_certificates_are_kept_and_replaced(bench: Bench) {
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

async fn their_keys_are_not_in_the_file(bench: Bench) {
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
    let files = bench.files();
    let seen = |text: &str| {
        let mut files = files.iter();
        files.any(|bytes| String::from_utf8_lossy(bytes).contains(text))
    };
    assert!(seen("acme_certificates") && seen("the chain"));
    assert!(!seen("nobody-may-see"));
}

async fn a_certificate_of_a_hundred_names_is_kept_once(bench: Bench) {
    let store = bench.open().await;
    let names: Vec<_> = (0..100)
        .map(|number| format!("a-rather-long-name-of-a-host-{number:03}.department.example"))
        .collect();
    let names = names.join(" ");
    for chain in ["first", "second"] {
        let certificate = AcmeCertificate {
            chain: chain.to_owned(),
            key: Secret::new("a key".to_owned()),
            obtained: NOW,
        };
        store
            .put_acme_certificate("https://ca.example", &names, &certificate)
            .await
            .unwrap();
    }
    let kept = store.acme_certificate("https://ca.example", &names).await;
    assert_eq!(kept.unwrap().unwrap().chain, "second");
    // Not by the code alone.
    let twice = sqlx::query(
        "INSERT INTO acme_certificates (id, directory, names, chain, key_sealed, obtained_at)
         SELECT 'another', directory, names, chain, key_sealed, obtained_at FROM acme_certificates",
    )
    .execute(store.pool())
    .await;
    assert!(error::is_unique_violation(&twice.unwrap_err()));
}
