use super::*;
use keyward_model::Secret;
use keyward_model::id::DataKeyId;
use keyward_model::resource::raw::{Node, Problems, read_resource};
use keyward_model::revision::Origin;

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
    let before = index.epoch();
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
    assert!(index.epoch() > before);
    let name = |key: &str| {
        let entry = index.of_api_key(TeamId::DEFAULT, key.as_bytes())?;
        Some(entry.name.to_string())
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
