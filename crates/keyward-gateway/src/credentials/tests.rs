use super::*;
use keyward_model::caller::Method;
use keyward_model::id::DataKeyId;
use keyward_model::resource::raw::{Node, Problems, read_resource};
use keyward_model::revision::Origin;
use keyward_model::{Code, Secret};
use serde_json::json;

fn key(id: u128) -> (DataKeyId, Secret<[u8; 32]>) {
    let fill = u8::try_from(id).unwrap();
    (DataKeyId::from_u128(id), Secret::new([fill; 32]))
}

fn credential(json: serde_json::Value) -> Arc<Resource> {
    let mut problems = Problems::new();
    let declared = read_resource(Node::from_json(&json), Origin::File, &mut problems);
    Arc::new(declared.unwrap_or_else(|| panic!("{problems:?}")).resource)
}

const KEY: &str = "a-key-that-was-made-elsewhere";

#[test]
fn a_key_is_found_under_whatever_key_it_was_hashed_and_by_its_team_alone() {
    let old = CredentialKeys::new(key(1), []);
    let hashed = old.hash_api_key(KEY.as_bytes()).to_string();
    let index = CredentialIndex::new(CredentialKeys::new(key(2), [key(1)]));
    let before = index.key_epoch();
    let entries = index
        .prepare(&[
            credential(
                json!({ "kind": "credential", "name": "old", "api_key": { "hash": hashed } }),
            ),
            credential(
                json!({ "kind": "credential", "name": "new", "api_key": format!("{KEY}-2") }),
            ),
        ])
        .unwrap();
    assert!(index.of_api_key(TeamId::DEFAULT, KEY.as_bytes()).is_none());
    index.publish(entries);
    assert!(index.key_epoch() > before);
    let name = |key: &str| {
        let entry = index.of_api_key(TeamId::DEFAULT, key.as_bytes())?;
        Some(entry.resource.name.to_string())
    };
    assert_eq!(name(KEY).as_deref(), Some("old"));
    assert_eq!(name(&format!("{KEY}-2")).as_deref(), Some("new"));
    assert_eq!(name(&format!("{KEY}-3")), None);
    let other = TeamId::from_u128(7);
    assert!(index.of_api_key(other, KEY.as_bytes()).is_none());
}

#[test]
fn a_hash_under_a_foreign_key_is_refused_and_changes_nothing() {
    let foreign = CredentialKeys::new(key(9), []).hash_api_key(KEY.as_bytes());
    let index = CredentialIndex::new(CredentialKeys::new(key(1), []));
    let refused = index.prepare(&[credential(
        json!({ "kind": "credential", "name": "x", "api_key": { "hash": foreign.to_string() } }),
    )]);
    let (name, error) = refused.unwrap_err();
    assert_eq!((name.as_str(), error), ("x", NoSuchKey(foreign.key)));
}

#[test]
fn a_password_is_bound_to_its_name_and_is_no_api_key() {
    let keys = CredentialKeys::new(key(1), [key(2)]);
    let password = "0123456789abcdefghijkl";
    let hash = keys.hash_password("batch", password);
    assert!(keys.is_password(&hash, "batch", password));
    assert!(!keys.is_password(&hash, "batch2", password));
    assert!(!keys.is_password(&hash, "batch", "0123456789abcdefghijkm"));
    assert_ne!(
        keys.hash_api_key(b"batch:0123456789abcdefghijkl").hash,
        hash.hash
    );
    let older = CredentialKeys::new(key(2), []).hash_password("batch", password);
    assert!(keys.is_password(&older, "batch", password));
    let unknown = CredentialKeys::new(key(3), []).hash_password("batch", password);
    assert!(!keys.is_password(&unknown, "batch", password));
    assert_eq!(format!("{keys:?}"), "CredentialKeys([secret])");
}

#[test]
fn a_caller_has_what_its_credential_says_until_that_ends() {
    let index = CredentialIndex::new(CredentialKeys::new(key(1), []));
    let declared = [credential(json!({
        "kind": "credential", "name": "batch", "api_key": KEY, "subject": "billing",
        "scopes": ["read"], "roles": ["auditor"], "expires": "2027-01-01T00:00:00Z",
    }))];
    index.publish(index.prepare(&declared).unwrap());
    let entry = index.of_api_key(TeamId::DEFAULT, KEY.as_bytes()).unwrap();
    let caller = entry.caller(Method::ApiKey).unwrap();
    assert_eq!(caller.subject(), Some("billing"));
    assert_eq!(caller.issuer.as_deref(), Some(ISSUER));
    assert!(caller.scopes.contains("read") && !caller.scopes.contains("write"));
    assert_eq!(caller.claim("roles"), Some(json!(["auditor"])));
    assert_eq!(
        caller.credential.unwrap().to_string(),
        caller.token_id().unwrap()
    );
    let end = 1_798_761_600;
    assert_eq!(entry.check(Timestamp::from_seconds(end - 1)), Ok(()));
    let over = entry.check(Timestamp::from_seconds(end)).unwrap_err();
    assert_eq!(over.code(), Code::CredentialExpired);
}

fn named(name: &str, more: serde_json::Value) -> Arc<Resource> {
    let mut json = json!({ "kind": "credential", "name": name });
    let members = json.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    credential(json)
}

fn row(name: &str, now: Option<serde_json::Value>) -> CredentialRow {
    CredentialRow {
        team: TeamId::DEFAULT,
        name: name.parse().unwrap(),
        now: now.map(|more| named(name, more)),
    }
}

/// Which credential is taken for each of these keys.
fn taken<const N: usize>(index: &CredentialIndex, keys: [&str; N]) -> [Option<String>; N] {
    keys.map(|key| {
        let entry = index.of_api_key(TeamId::DEFAULT, key.as_bytes())?;
        Some(entry.resource.name.to_string())
    })
}

fn some<const N: usize>(names: [&str; N]) -> [Option<String>; N] {
    names.map(|name| (!name.is_empty()).then(|| name.to_owned()))
}

const KEYS: [&str; 3] = [
    "a-key-that-was-made-elsewhere-1",
    "a-key-that-was-made-elsewhere-2",
    "a-key-that-was-made-elsewhere-3",
];

fn api_key(number: usize) -> serde_json::Value {
    json!({ "api_key": KEYS[number] })
}

fn change(index: &CredentialIndex, rows: &[CredentialRow]) {
    index.publish(index.prepare_rows(rows, false));
}

fn left_out(index: &CredentialIndex) -> Vec<(String, UntakenCredential)> {
    let left_out = index.left_out().into_iter();
    let mut left_out: Vec<_> = left_out
        .map(|one| (one.resource.name.to_string(), one.why))
        .collect();
    left_out.sort_by(|one, other| one.0.cmp(&other.0));
    left_out
}

fn shown(other: &str) -> UntakenCredential {
    UntakenCredential::Clash(Clash::Shown {
        other: other.parse().unwrap(),
        member: "api_key",
    })
}

#[test]
fn rows_change_one_at_a_time_and_one_takes_what_another_gives_up() {
    let index = CredentialIndex::new(CredentialKeys::new(key(1), []));
    let rows = [row("a", Some(api_key(0))), row("b", Some(api_key(1)))];
    index.publish(index.prepare_rows(&rows, true));
    assert_eq!(taken(&index, KEYS), some(["a", "b", ""]));
    // Each has the other's.
    let rows = [row("a", Some(api_key(1))), row("b", Some(api_key(0)))];
    change(&index, &rows);
    assert_eq!(taken(&index, KEYS), some(["b", "a", ""]));
    change(&index, &[row("a", None), row("c", Some(api_key(2)))]);
    assert_eq!(taken(&index, KEYS), some(["b", "", "c"]));
    // All that there is, and nothing of before.
    index.publish(index.prepare_rows(&[row("d", Some(api_key(1)))], true));
    assert_eq!(taken(&index, KEYS), some(["", "d", ""]));
    assert_eq!(left_out(&index), []);
}

#[test]
fn what_can_not_stand_beside_another_is_left_out_until_it_can() {
    let index = CredentialIndex::new(CredentialKeys::new(key(1), []));
    change(&index, &[row("a", Some(api_key(0)))]);
    change(&index, &[row("b", Some(api_key(0)))]);
    assert_eq!(taken(&index, KEYS), some(["a", "", ""]));
    assert_eq!(left_out(&index), [("b".to_owned(), shown("a"))]);
    change(&index, &[row("a", None)]);
    assert_eq!(taken(&index, KEYS), some(["b", "", ""]));
    assert_eq!(left_out(&index), []);
    let foreign = CredentialKeys::new(key(9), []).hash_api_key(b"x");
    let hashed = json!({ "api_key": { "hash": foreign.to_string() } });
    change(&index, &[row("c", Some(hashed))]);
    let unknown = UntakenCredential::Key(NoSuchKey(foreign.key));
    assert_eq!(left_out(&index), [("c".to_owned(), unknown)]);
    change(&index, &[row("c", None)]);
    assert_eq!(left_out(&index), []);
}

#[test]
fn what_the_files_declare_comes_before_rows_and_these_are_back_when_it_goes() {
    let index = CredentialIndex::new(CredentialKeys::new(key(1), []));
    let rows = [row("a", Some(api_key(0))), row("b", Some(api_key(1)))];
    change(&index, &rows);
    // One of the same name, and with the key of the other.
    let declared = [named("a", api_key(1)), named("x", api_key(2))];
    let prepared = index.prepare(&declared).unwrap();
    assert_eq!(prepared.left_out().count(), 2);
    assert_eq!(left_out(&index), []);
    index.publish(prepared);
    assert_eq!(taken(&index, KEYS), some(["", "a", "x"]));
    let clash = UntakenCredential::Clash(Clash::Name);
    assert_eq!(
        left_out(&index),
        [("a".to_owned(), clash), ("b".to_owned(), shown("a"))]
    );
    // Nothing that the rows do changes what the files say.
    change(&index, &[row("x", Some(api_key(0)))]);
    assert_eq!(taken(&index, KEYS), some(["", "a", "x"]));
    index.publish(index.prepare(&[]).unwrap());
    assert_eq!(left_out(&index), [("x".to_owned(), shown("a"))]);
    assert_eq!(taken(&index, KEYS), some(["a", "b", ""]));
}

#[test]
fn what_is_known_of_passwords_stays_while_keys_come_and_go() {
    let index = CredentialIndex::new(CredentialKeys::new(key(1), []));
    let password = json!({ "username": "batch", "password": "0123456789abcdefghijkl" });
    let (keys, passwords) = (index.key_epoch(), index.password_epoch());
    change(&index, &[row("a", Some(api_key(0)))]);
    assert!(index.key_epoch() > keys);
    assert_eq!(index.password_epoch(), passwords);
    change(&index, &[row("p", Some(password))]);
    assert!(index.password_epoch() > passwords);
    assert!(index.load().of_username(TeamId::DEFAULT, "batch").is_some());
    let (keys, passwords) = (index.key_epoch(), index.password_epoch());
    change(&index, &[row("p", None)]);
    assert_eq!(index.key_epoch(), keys);
    assert!(index.password_epoch() > passwords);
    assert!(index.load().of_username(TeamId::DEFAULT, "batch").is_none());
}
