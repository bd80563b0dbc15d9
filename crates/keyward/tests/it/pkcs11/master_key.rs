//! The master key in a token.

use super::token::SoftToken;
use super::{good, keyed, opens, refused};
use crate::management::Managed;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn master(label: &str) -> String {
    format!("master_key: {{ pkcs11: {{ label: {label} }} }}")
}

/// A folder with a configuration and no node.
fn folder(settings: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("format: 1\ndata_dir: data\n{settings}\n");
    std::fs::write(folder.path().join("keyward.yaml"), text).unwrap();
    folder
}

/// Puts other lines into a node's configuration in the place of these.
fn reconfigure(folder: &Path, from: &str, to: &str) {
    let path = folder.join("keyward.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
}

fn key_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("data")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("master.key")
        })
        .collect()
}

/// A node whose master key is derived from the key `first`.
async fn managed(token: &SoftToken) -> (Managed, String) {
    let settings = format!("{}\n{}", token.settings(), master("first"));
    good(token, folder(&settings).path(), &["keys", "make-master"]);
    let managed = Managed::start(token.plan_with(&settings)).await;
    let key = good(
        token,
        &managed.node.process.folder(),
        &["credential", "generate"],
    );
    let key = key.trim().to_owned();
    keyed(&managed, &key).await;
    (managed, key)
}

#[tokio::test]
async fn what_a_token_derives_opens_the_database_after_each_start_and_no_file_does() {
    let token = SoftToken::new();
    let (mut managed, key) = managed(&token).await;
    opens(&managed, &key).await;
    let folder = managed.node.process.folder();
    assert_eq!(key_files(&folder), Vec::<PathBuf>::new());
    managed.node.process.restart().await;
    opens(&managed, &key).await;
    good(&token, &folder, &["audit", "verify"]);
    // What reads no more of the configuration than where data is finds the key as well.
    std::fs::write(folder.join("partner.key"), &key).unwrap();
    let hash = || good(&token, &folder, &["credential", "hash", "partner.key"]);
    assert_eq!(hash(), hash());
    let listed = token.tool(&["--list-objects", "--type", "secrkey"]);
    assert!(
        listed.contains("sensitive, always sensitive, never extractable"),
        "{listed}"
    );

    // A stolen copy of the folder, without the token.
    let copied = tempfile::tempdir().unwrap();
    std::fs::create_dir(copied.path().join("data")).unwrap();
    for name in ["keyward.yaml", "data/keyward.db"] {
        std::fs::copy(folder.join(name), copied.path().join(name)).unwrap();
    }
    let audit = ["audit", "verify"];
    let other = SoftToken::new();
    let error = refused(&other, copied.path(), &audit);
    assert!(
        error.contains("[pkcs11_key_absent]") && error.contains("make-master"),
        "{error}"
    );
    // A node with another master key, which is not made in its place either.
    good(&other, copied.path(), &["keys", "make-master"]);
    let error = refused(&other, copied.path(), &["serve"]);
    assert!(error.contains("[master_key_wrong]"), "{error}");
    reconfigure(copied.path(), &master("first"), "");
    let error = refused(&other, copied.path(), &["serve"]);
    assert!(error.contains("[master_key_missing]"), "{error}");
}

#[test]
fn no_key_is_made_in_silence_and_none_that_could_leave_the_token_is_taken() {
    let token = SoftToken::new();
    let folder = folder(&format!("{}\n{}", token.settings(), master("mine")));
    let serve = ["serve"];
    let absent = refused(&token, folder.path(), &serve);
    assert!(
        absent.contains("`keyward keys make-master --label 'mine'`")
            && absent.contains("[pkcs11_key_absent]"),
        "{absent}"
    );
    let listed = token.tool(&["--list-objects"]);
    assert!(!listed.contains("mine"), "{listed}");
    good(&token, folder.path(), &["keys", "make-master"]);
    let again = refused(&token, folder.path(), &["keys", "make-master"]);
    assert!(again.contains("[pkcs11_key_exists]"), "{again}");

    let make = [
        "--keygen",
        "--key-type",
        "GENERIC:32",
        "--usage-sign",
        "--label",
    ];
    token.tool(&[&make[..], &["open", "--extractable"]].concat());
    reconfigure(folder.path(), &master("mine"), &master("open"));
    let exposed = refused(&token, folder.path(), &serve);
    assert!(exposed.contains("[pkcs11_key_exposed]"), "{exposed}");
    for id in ["01", "02"] {
        token.tool(&[&make[..], &["twice", "--sensitive", "--id", id]].concat());
    }
    reconfigure(folder.path(), &master("open"), &master("twice"));
    let twice = refused(&token, folder.path(), &serve);
    assert!(twice.contains("[pkcs11_key_ambiguous]"), "{twice}");
    assert!(!folder.path().join("data/keyward.db").exists());
}

#[test]
fn a_wrong_pin_a_missing_module_and_a_missing_token_are_each_told_as_such() {
    let token = SoftToken::new();
    let wrong = token.settings_with_a_wrong_pin();
    let folder = folder(&format!("{wrong}\n{}", master("mine")));
    let serve = ["serve"];
    let pin = refused(&token, folder.path(), &serve);
    assert!(pin.contains("[pkcs11_pin_refused]"), "{pin}");
    assert_eq!(token.logins(), 1, "once and not again");

    let right = token.settings();
    reconfigure(folder.path(), &wrong, &right);
    let module = right.replace("libsofthsm2.so", "libnone.so");
    reconfigure(folder.path(), &right, &module);
    let missing = refused(&token, folder.path(), &serve);
    assert!(
        missing.contains("libnone.so") && missing.contains("[pkcs11_module]"),
        "{missing}"
    );
    // A library that is no module.
    let other = right.replace(super::token::MODULE, "/bin/sh");
    reconfigure(folder.path(), &module, &other);
    let none = refused(&token, folder.path(), &serve);
    assert!(none.contains("[pkcs11_module]"), "{none}");
    let elsewhere = right.replace("token: keyward", "token: elsewhere");
    reconfigure(folder.path(), &other, &elsewhere);
    let absent = refused(&token, folder.path(), &serve);
    assert!(
        absent.contains("`elsewhere`") && absent.contains("[pkcs11_token_absent]"),
        "{absent}"
    );
}

#[test]
fn what_names_no_token_or_shows_a_pin_is_found_before_anything_runs() {
    let token = SoftToken::new();
    let folder = folder(&master("mine"));
    let check = ["check"];
    let unnamed = refused(&token, folder.path(), &check);
    assert!(unnamed.contains("no token is named"), "{unnamed}");
    let shown = token.settings().replace("${FILE:", "$${FILE:");
    reconfigure(folder.path(), &master("mine"), &shown);
    let output = super::run(&token, folder.path(), &check);
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("secret_in_clear"), "{said}");
    reconfigure(folder.path(), &shown, &token.settings());
    let told = good(&token, folder.path(), &["check", "--json"]);
    assert!(
        told.contains("libsofthsm2.so") && !told.contains(super::token::PIN),
        "{told}"
    );
}

#[tokio::test]
async fn the_master_key_moves_into_the_token_on_to_another_key_and_out_again_and_breaks_nothing() {
    let token = SoftToken::new();
    let mut managed = Managed::start(token.plan()).await;
    let folder = managed.node.process.folder();
    let key = good(&token, &folder, &["credential", "generate"]);
    let key = key.trim().to_owned();
    keyed(&managed, &key).await;
    let file = folder.join("data/master.key");
    let old = std::fs::read_to_string(&file).unwrap();
    let rotate = |to: &str| good(&token, &folder, &["keys", "rotate-master", "--to", to]);
    let none = refused(
        &token,
        &folder,
        &["keys", "rotate-master", "--to", "pkcs11:first"],
    );
    assert!(none.contains("[pkcs11_key_absent]"), "{none}");
    for label in ["first", "second"] {
        good(&token, &folder, &["keys", "make-master", "--label", label]);
    }
    opens(&managed, &key).await;

    // From the file into the token. The node that runs goes on.
    let said = rotate("pkcs11:first");
    assert!(
        said.contains("the key `first` of the PKCS#11 token"),
        "{said}"
    );
    opens(&managed, &key).await;
    assert!(!file.exists());
    let [kept] = &key_files(&folder)[..] else {
        panic!("the old key is kept under another name")
    };
    assert_eq!(std::fs::read_to_string(kept).unwrap(), old);
    let error = refused(&token, &folder, &["audit", "verify"]);
    assert!(error.contains("[master_key_missing]"), "{error}");
    let settings = token.settings();
    reconfigure(
        &folder,
        &settings,
        &format!("{settings}\n{}", master("first")),
    );
    managed.node.process.restart().await;
    opens(&managed, &key).await;
    // Where the machine stopped before the old file got its other name, it is in nobody's way.
    std::fs::copy(kept, &file).unwrap();
    managed.node.process.restart().await;
    opens(&managed, &key).await;
    std::fs::remove_file(&file).unwrap();

    // From one key of the token to another.
    let unsaid = refused(&token, &folder, &["keys", "rotate-master"]);
    assert!(unsaid.contains("--to pkcs11:LABEL"), "{unsaid}");
    let same = refused(
        &token,
        &folder,
        &["keys", "rotate-master", "--to", "pkcs11:first"],
    );
    assert!(same.contains("[contradiction]"), "{same}");
    let said = rotate("pkcs11:second");
    assert!(
        said.contains("leave the key `first` in the token"),
        "{said}"
    );
    let error = refused(&token, &folder, &["audit", "verify"]);
    assert!(error.contains("[master_key_wrong]"), "{error}");
    reconfigure(&folder, &master("first"), &master("second"));
    managed.node.process.restart().await;
    opens(&managed, &key).await;

    // And out of it, into a file.
    let said = rotate("file");
    assert!(said.contains("take `master_key` out"), "{said}");
    let new = std::fs::read_to_string(&file).unwrap();
    assert_ne!(new, old);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // While the configuration names the token still, it is said where the key is: also where the machine stopped before
    // the new key got its name.
    std::fs::rename(&file, folder.join("data/master.key.next")).unwrap();
    for _ in 0..2 {
        let error = refused(&token, &folder, &["audit", "verify"]);
        assert!(error.contains("data/master.key since"), "{error}");
        assert!(error.contains("take `master_key` out"), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), new);
    reconfigure(&folder, &master("second"), "");
    managed.node.process.restart().await;
    opens(&managed, &key).await;
    // One that was cut off between the database and the file is brought to its end by the next start.
    std::fs::rename(&file, folder.join("data/master.key.next")).unwrap();
    managed.node.process.restart().await;
    opens(&managed, &key).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), new);
    assert_eq!(managed.get("/audit/verify").await["intact"], true);
}

#[tokio::test]
async fn a_backup_opens_with_the_token_that_it_was_sealed_under() {
    let token = SoftToken::new();
    let (managed, _) = managed(&token).await;
    let node = managed.node.process.folder();
    good(&token, &node, &["backup", "saved"]);
    let settings = format!("{}\n{}", token.settings(), master("first"));
    let elsewhere = folder(&settings);
    let saved = node.join("saved").display().to_string();
    good(&token, elsewhere.path(), &["restore", &saved]);
    good(&token, elsewhere.path(), &["audit", "verify"]);
    let other = SoftToken::new();
    let third = folder(&format!("{}\n{}", other.settings(), master("first")));
    good(&other, third.path(), &["keys", "make-master"]);
    let error = refused(&other, third.path(), &["restore", &saved]);
    assert!(error.contains("[master_key_wrong]"), "{error}");
}

#[tokio::test]
async fn a_module_that_never_answers_keeps_no_process_from_ending_with_its_error() {
    let token = SoftToken::new();
    let settings = format!("{}\n{}", token.settings(), master("first"));
    let folder = folder(&settings);
    good(&token, folder.path(), &["keys", "make-master"]);
    let key = good(&token, folder.path(), &["credential", "generate"]);
    std::fs::write(folder.path().join("partner.key"), key).unwrap();
    token.hang();
    for command in [&["serve"][..], &["credential", "hash", "partner.key"]] {
        let error = refused(&token, folder.path(), command);
        assert!(error.contains("[pkcs11_silent]"), "{command:?}: {error}");
    }
}
