use super::data_dir::{MasterKeySource, open_existing, open_store};
use super::master_key::{FromEnvironment, KeyPlace, Rotated, rotate};
use crate::configuration::DataPlace;
use keyward_authority::{Keeper, KeeperContext, KeySets, KeySink, Plan};
use keyward_jose::Algorithm;
use keyward_model::resource::KeyAlgorithm;
use keyward_model::{Secret, Timestamp};
use keyward_store::{MasterKey, Store};
use keyward_testkit::FakeClock;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

fn data_dir(folder: &TempDir) -> PathBuf {
    folder.path().join("keyward-data")
}

fn place(folder: &TempDir) -> DataPlace {
    DataPlace {
        data_dir: data_dir(folder),
        postgres: None,
        token: None,
        master_key: None,
    }
}

/// The entity tag of the published set.
async fn published(store: &Store) -> Arc<str> {
    struct Nobody;
    impl KeySink for Nobody {
        fn take(&self, _: &KeySets, _: Timestamp) {}
    }
    let context = KeeperContext {
        store: store.clone(),
        clock: Arc::new(FakeClock::at(NOW)),
        sink: Arc::new(Nobody),
        module: None,
    };
    let plan = Plan::own("https://keyward.example", None).unwrap();
    let keeper = Keeper::open(context, vec![plan]).await.unwrap();
    let sets = keeper.sets();
    sets.own().unwrap().published(NOW).unwrap().entity_tag
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_start_at_once_have_the_same_keys() {
    let folder = tempfile::tempdir().unwrap();
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let place = place(&folder);
        starts.spawn(async move {
            let (store, source) = open_store(&place, None, NOW).await.unwrap();
            (published(&store).await, source.notice().is_some())
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

#[test]
fn sets_take_for_a_token_just_the_algorithms_that_keys_are_made_for_there() {
    for algorithm in KeyAlgorithm::ALL {
        let made = match algorithm.as_str().parse().unwrap() {
            Algorithm::Signature(algorithm) => keyward_pkcs11::is_made_for(algorithm),
            Algorithm::KeyManagement(_) | Algorithm::ContentEncryption(_) => false,
        };
        assert_eq!(algorithm.in_token(), made, "{}", algorithm.as_str());
    }
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
    drop(open_store(&place(&folder), None, NOW).await.unwrap());
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

fn hex(digit: &str) -> Secret<String> {
    Secret::new(digit.repeat(64))
}

async fn rotated(
    place: &DataPlace,
    to: KeyPlace,
    current: Option<&str>,
    new: Option<&str>,
) -> Rotated {
    let given = FromEnvironment {
        current: current.map(hex),
        new: new.map(hex),
    };
    rotate(place, Some(to), given, NOW).await.unwrap()
}

#[tokio::test]
async fn a_key_that_is_replaced_is_told_as_replaced_whatever_becomes_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(&folder);
    let (store, _) = open_store(&place, None, NOW).await.unwrap();
    store.close().await;
    let file = data_dir(&folder).join("master.key");

    // Out of the file, which can't get its other name.
    let taken = data_dir(&folder).join(format!("master.key.until-{}", NOW.as_seconds()));
    std::fs::create_dir(&taken).unwrap();
    let rotation = rotated(&place, KeyPlace::Environment, None, Some("a")).await;
    let why = rotation.left_undone.unwrap();
    assert!(
        why.contains("the old key is in") && why.contains("move it"),
        "{why}"
    );
    let refused = open_store(&place, None, NOW).await.err().unwrap();
    assert!(refused.to_string().contains("say where it is"), "{refused}");
    open_store(&place, Some(hex("a")), NOW)
        .await
        .unwrap()
        .0
        .close()
        .await;

    // Into a file, whose name something else has.
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir_all(file.join("in the way")).unwrap();
    let rotation = rotated(&place, KeyPlace::File, Some("a"), None).await;
    let why = rotation.left_undone.unwrap();
    assert!(why.contains("master.key.next still"), "{why}");
    std::fs::remove_dir_all(&file).unwrap();
    let refused = open_existing(&place, Some(hex("a")), NOW)
        .await
        .err()
        .unwrap();
    assert!(
        refused.to_string().contains("take KEYWARD_MASTER_KEY away"),
        "{refused}"
    );
    open_existing(&place, None, NOW).await.unwrap();
    assert!(file.is_file());
}
