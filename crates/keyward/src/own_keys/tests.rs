use super::data_dir::{MasterKeySource, open_store};
use super::*;
use crate::configuration::DataPlace;
use keyward_jose::jwe::{Encrypter, Message};
use keyward_jose::key::{KeyUse, Part};
use keyward_jose::{Verifiers, key::Key};
use keyward_model::Secret;
use keyward_store::{KeyChange, KeyState, KeyTimes, MasterKey};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
const SIGNED: [SignatureAlgorithm; 2] = [SignatureAlgorithm::Es256, SignatureAlgorithm::Rs256];

fn data_dir(folder: &TempDir) -> PathBuf {
    folder.path().join("keyward-data")
}

fn place(folder: &TempDir) -> DataPlace {
    DataPlace {
        data_dir: data_dir(folder),
        postgres: None,
    }
}

async fn open(folder: &TempDir) -> (Store, OwnKeys) {
    let (store, _) = open_store(&place(folder), None, NOW).await.unwrap();
    let keys = OwnKeys::load(&store, NOW).await.unwrap();
    (store, keys)
}

fn kids(keys: &OwnKeys, now: Timestamp) -> BTreeSet<String> {
    let set = keys.key_set(now).unwrap();
    set.keys()
        .iter()
        .map(|key| key.kid().unwrap().to_owned())
        .collect()
}

fn encryption_key(keys: &OwnKeys, now: Timestamp) -> Option<Key> {
    let set = keys.key_set(now).unwrap();
    set.keys()
        .iter()
        .find(|key| key.key_use() == Some(KeyUse::Encryption))
        .cloned()
}

/// Whether what each of our signers makes is verified with the published set.
fn check_signatures(keys: &OwnKeys, now: Timestamp) {
    let set = JwkSet::parse_public(keys.published(now).unwrap().json.as_bytes()).unwrap();
    let verifiers = Verifiers::new(set.keys(), &SIGNED);
    for algorithm in SIGNED {
        let signer = keys.signer(algorithm, now).unwrap();
        let signature = signer.sign_now(b"message").unwrap();
        verifiers
            .verify(algorithm, signer.kid(), b"message", &signature)
            .unwrap();
        assert!(
            verifiers
                .verify(algorithm, signer.kid(), b"another", &signature)
                .is_err()
        );
    }
}

#[tokio::test]
async fn the_first_start_makes_keys_and_later_starts_find_them() {
    let folder = tempfile::tempdir().unwrap();
    let (store, keys) = open(&folder).await;
    let first = keys.published(NOW).unwrap();
    check_signatures(&keys, NOW);
    store.close().await;

    let (store, keys) = open(&folder).await;
    assert_eq!(keys.published(NOW).unwrap(), first);
    check_signatures(&keys, NOW);
    let rows = store.keys(TeamId::DEFAULT, "self").await.unwrap();
    let kinds: BTreeSet<_> = rows.iter().map(|row| row.algorithm.as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["ES256", "RS256", "ECDH-ES"]));
    for row in &rows {
        assert_eq!(row.state, KeyState::Active);
        assert_eq!((row.times.published, row.times.activated), (NOW, Some(NOW)));
    }
    assert_eq!(store.verify_audit_chain().await.unwrap().events, 3);
}

#[tokio::test]
async fn the_published_set_is_public_and_says_what_each_key_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let (_, keys) = open(&folder).await;
    let published = keys.published(NOW).unwrap();
    let set: serde_json::Value = serde_json::from_str(&published.json).unwrap();
    let keys = set["keys"].as_array().unwrap();
    let said: Vec<_> = keys
        .iter()
        .map(|key| {
            (
                key["kty"].as_str().unwrap(),
                key["use"].as_str().unwrap(),
                key["alg"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            ("EC", "sig", Some("ES256")),
            ("RSA", "sig", Some("RS256")),
            ("EC", "enc", None)
        ]
    );
    for key in keys {
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "`{private}` is published");
        }
        assert!(key["kid"].is_string());
    }
    assert_eq!(&*published.cache_control, "public, max-age=900");
    assert!(published.entity_tag.starts_with('"') && published.entity_tag.len() == 34);
    assert!(
        KEY_SET_MAX_AGE <= PUBLISH_BEFORE,
        "a copy may outlive the wait for a new key"
    );
}

#[tokio::test]
async fn what_is_encrypted_to_us_we_decrypt_in_every_way_that_fits_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let (_, keys) = open(&folder).await;
    let (_, stranger) = open(&tempfile::tempdir().unwrap()).await;
    let key = encryption_key(&keys, NOW).unwrap();
    for algorithm in KEY_MANAGEMENT_ALGORITHMS {
        let encrypter = Encrypter::new(&key, algorithm, ContentEncryption::A256Gcm).unwrap();
        let text = encrypter.encrypt_compact(&Message::new(b"secret")).unwrap();
        let decrypted = keys.decrypters(NOW).decrypt_compact(&text).unwrap();
        assert_eq!(&decrypted.plaintext[..], b"secret");
        assert!(stranger.decrypters(NOW).decrypt_compact(&text).is_err());
    }
}

/// A successor as a later rotation would store it.
async fn publish(
    store: &Store,
    purpose: KeyPurpose,
    algorithm: Algorithm,
    at: Timestamp,
) -> String {
    let key = succession::first_key(purpose, algorithm, at).unwrap();
    let waiting = NewKey {
        state: KeyState::Published,
        times: KeyTimes {
            published: at,
            ready: at.plus(PUBLISH_BEFORE),
            ..KeyTimes::default()
        },
        ..key
    };
    store
        .insert_key(TeamId::DEFAULT, ISSUER, &waiting, "test", at)
        .await
        .unwrap();
    waiting.kid
}

async fn states(store: &Store, kid: &str) -> (KeyState, bool) {
    let rows = store.keys(TeamId::DEFAULT, ISSUER).await.unwrap();
    let row = rows.iter().find(|row| row.kid == kid).unwrap();
    (row.state, store.private_jwk(row).await.unwrap().is_some())
}

#[tokio::test]
async fn a_successor_takes_over_when_its_time_has_come_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let (store, keys) = open(&folder).await;
    let es256 = SignatureAlgorithm::Es256;
    let old = keys.signer(es256, NOW).unwrap().kid().unwrap().to_owned();
    let new = publish(&store, KeyPurpose::Sign, Algorithm::Signature(es256), NOW).await;

    let early = NOW.plus(ACTIVE_FOR).minus(Duration::from_secs(1));
    let keys = OwnKeys::load(&store, early).await.unwrap();
    assert_eq!(keys.signer(es256, early).unwrap().kid(), Some(old.as_str()));
    assert!(kids(&keys, early).is_superset(&BTreeSet::from([old.clone(), new.clone()])));

    let due = NOW.plus(ACTIVE_FOR);
    let keys = OwnKeys::load(&store, due).await.unwrap();
    assert_eq!(keys.signer(es256, due).unwrap().kid(), Some(new.as_str()));
    assert!(
        kids(&keys, due).contains(&old),
        "tokens that it signed are to be verified"
    );
    assert_eq!(states(&store, &old).await, (KeyState::Retiring, true));
    assert_eq!(states(&store, &new).await, (KeyState::Active, true));
    check_signatures(&keys, due);

    let over = due.plus(TOKEN_LIFE_MAX + LEEWAY);
    assert!(
        !kids(&keys, over).contains(&old),
        "what was loaded before knows it too"
    );
    let keys = OwnKeys::load(&store, over).await.unwrap();
    assert!(!kids(&keys, over).contains(&old));
    assert_eq!(states(&store, &old).await, (KeyState::Retired, false));
    store.verify_audit_chain().await.unwrap();
}

#[tokio::test]
async fn an_encryption_key_decrypts_longer_than_it_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (store, keys) = open(&folder).await;
    let old = encryption_key(&keys, NOW).unwrap();
    let ecdh_es = KeyManagementAlgorithm::EcdhEs;
    publish(
        &store,
        KeyPurpose::Encrypt,
        Algorithm::KeyManagement(ecdh_es),
        NOW,
    )
    .await;
    let encrypter = Encrypter::new(&old, ecdh_es, ContentEncryption::A256Gcm).unwrap();
    let text = encrypter.encrypt_compact(&Message::new(b"secret")).unwrap();

    let due = NOW.plus(ACTIVE_FOR);
    let keys = OwnKeys::load(&store, due).await.unwrap();
    assert_ne!(encryption_key(&keys, due).unwrap().kid(), old.kid());
    let last = due.plus(PUBLISH_BEFORE + TOKEN_LIFE_MAX);
    assert!(keys.decrypters(last).decrypt_compact(&text).is_ok());
    let over = last.plus(LEEWAY);
    assert!(keys.decrypters(over).decrypt_compact(&text).is_err());
}

#[tokio::test]
async fn a_withdrawn_key_is_gone_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (store, keys) = open(&folder).await;
    let es256 = SignatureAlgorithm::Es256;
    let kid = keys.signer(es256, NOW).unwrap().kid().unwrap().to_owned();
    let rows = store.keys(TeamId::DEFAULT, ISSUER).await.unwrap();
    let row = rows.iter().find(|row| row.kid == kid).unwrap();
    let withdrawn = KeyChange {
        id: row.id,
        version: row.version,
        state: KeyState::Withdrawn,
        times: KeyTimes {
            withdrawn: Some(NOW),
            ..row.times
        },
    };
    store.change_keys(&[withdrawn], "test", NOW).await.unwrap();
    let keys = OwnKeys::load(&store, NOW).await.unwrap();
    assert!(!kids(&keys, NOW).contains(&kid));
    assert!(keys.signer(es256, NOW).is_none());
    assert!(keys.signer(SignatureAlgorithm::Rs256, NOW).is_some());
}

#[tokio::test]
async fn a_key_whose_parts_do_not_belong_together_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder).await;
    let es512 = Algorithm::Signature(SignatureAlgorithm::Es512);
    let key = succession::first_key(KeyPurpose::Sign, es512, NOW).unwrap();
    let other = Key::generate(es512, None).unwrap();
    let mixed = NewKey {
        private_jwk: Secret::new(other.to_jwk(Part::Private).unwrap().to_string()),
        ..key
    };
    store
        .insert_key(TeamId::DEFAULT, ISSUER, &mixed, "test", NOW)
        .await
        .unwrap();
    let refused = OwnKeys::load(&store, NOW).await.unwrap_err();
    assert!(refused.to_string().contains("not one key's"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_start_at_once_have_the_same_keys() {
    let folder = tempfile::tempdir().unwrap();
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let place = place(&folder);
        starts.spawn(async move {
            let (store, source) = open_store(&place, None, NOW).await.unwrap();
            let keys = OwnKeys::load(&store, NOW).await.unwrap();
            check_signatures(&keys, NOW);
            (
                keys.published(NOW).unwrap().entity_tag,
                source.notice().is_some(),
            )
        });
    }
    let started = starts.join_all().await;
    let tags: BTreeSet<_> = started.iter().map(|(tag, _)| tag.clone()).collect();
    assert_eq!(tags.len(), 1);
    assert_eq!(
        started.iter().filter(|(_, made)| *made).count(),
        1,
        "one made the master key"
    );
    let left: Vec<_> = std::fs::read_dir(data_dir(&folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".new"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn master_key_file(folder: &TempDir) -> PathBuf {
    data_dir(folder).join("master.key")
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

async fn refusal(folder: &TempDir, from_environment: Option<&str>) -> String {
    let given = from_environment.map(|text| Secret::new(text.to_owned()));
    match open_store(&place(folder), given, NOW).await {
        Ok(_) => "none".to_owned(),
        Err(failure) => failure.to_string(),
    }
}

#[tokio::test]
async fn a_master_key_is_made_for_the_owner_alone_and_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let (store, source) = open_store(&place(&folder), None, NOW).await.unwrap();
    let path = master_key_file(&folder);
    assert!(source.notice().unwrap().contains(path.to_str().unwrap()));
    assert_eq!((mode(&path), mode(&data_dir(&folder))), (0o600, 0o700));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(MasterKey::parse(&text).is_ok() && text.ends_with('\n'));
    store.close().await;
    let (_, source) = open_store(&place(&folder), None, NOW).await.unwrap();
    assert_eq!(
        (source.notice(), source),
        (None, MasterKeySource::File(path))
    );
}

#[tokio::test]
async fn a_given_master_key_is_used_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let given = MasterKey::generate().unwrap().to_text();
    let (_, source) = open_store(&place(&folder), Some(given.clone()), NOW)
        .await
        .unwrap();
    assert_eq!(source, MasterKeySource::Environment);
    assert!(!master_key_file(&folder).exists());
    assert_eq!(refusal(&folder, Some(given.reveal())).await, "none");
    let other = MasterKey::generate().unwrap().to_text();
    assert!(
        refusal(&folder, Some(other.reveal()))
            .await
            .contains("[master_key_wrong]")
    );
    let none = refusal(&folder, Some("")).await;
    assert!(
        none.starts_with("keyward: KEYWARD_MASTER_KEY: ")
            && none.contains("[master_key_malformed]"),
        "{none}"
    );
    // Without it no new one is made beside a database that another key has encrypted.
    assert!(
        refusal(&folder, None)
            .await
            .contains("[master_key_missing]")
    );
    assert!(!master_key_file(&folder).exists());
}

#[tokio::test]
async fn a_master_key_file_that_others_can_read_or_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder).await);
    let path = master_key_file(&folder);
    for exposed in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(exposed)).unwrap();
        let why = refusal(&folder, None).await;
        assert!(
            why.contains("[master_key_exposed]") && why.contains("chmod 600"),
            "{why}"
        );
    }
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(refusal(&folder, None).await, "none");
    for bad in [String::new(), "hunter2".to_owned(), "A".repeat(2_000)] {
        std::fs::write(&path, &bad).unwrap();
        let why = refusal(&folder, None).await;
        assert!(
            why.contains("[master_key_malformed]") && !why.contains("hunter2"),
            "{why}"
        );
    }
}
