//! Secrets: needed, and never told.

use super::{Asked, Managed, back, expect};
use crate::node::{Plan, check_problem};
use serde_json::{Value, json};
use std::path::Path;

const SECRET: &str = "a-secret-that-nobody-may-see-again";
const OTHER: &str = "another-secret-that-is-just-as-good";

/// HS256 by the secret.
fn token(secret: &str) -> String {
    let key = json!({ "kty": "oct", "k": encoded(secret) });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    std::fs::write(&path, key.to_string()).unwrap();
    let claims = r#"{"iss":"https://partner.example","sub":"alice","aud":"partner"}"#;
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(["jwt", "sign", "--alg", "HS256", "--claims", claims, "--key"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn encoded(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

fn holds(folder: &Path, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holds(&path, needle));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            if bytes
                .windows(needle.len())
                .any(|window| window == needle.as_bytes())
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

fn issuer(secret: &str) -> Value {
    json!({
        "name": "partner", "issuer": "https://partner.example",
        "secret": secret, "algorithms": ["HS256"],
    })
}

#[tokio::test]
async fn a_secret_works_and_is_in_no_answer_no_log_and_no_file() {
    let managed = Managed::start(Plan::default()).await;
    managed.declare("upstreams", back(&managed)).await;
    let made = managed.declare("issuers", issuer(SECRET)).await;
    let reference = made["secret"].as_str().unwrap().to_owned();
    assert!(reference.starts_with("${SECRET:"), "{reference}");
    managed
        .declare("apis", json!({
            "name": "partner", "version": "v1", "state": "published", "base_path": "/partner",
            "upstream": "back", "authentication": { "issuers": ["partner"], "audience": "partner" },
        }))
        .await;
    assert_eq!(
        managed
            .node
            .get_with("/partner/a", &token(SECRET))
            .await
            .status,
        200
    );
    assert_eq!(
        managed
            .node
            .get_with("/partner/a", &token(OTHER))
            .await
            .status,
        401
    );

    // What was read can be sent back as it is: the reference stands for the secret.
    let at = "/teams/default/issuers/partner";
    let put = |body: Value| {
        let asked = Asked::new("PUT", at)
            .by(&managed.token)
            .header("if-match", "*");
        managed.send(asked.body(body))
    };
    let mut longer = managed.get(at).await;
    longer["leeway"] = json!("1m");
    expect(&put(longer).await, 200);
    assert_eq!(
        managed
            .node
            .get_with("/partner/a", &token(SECRET))
            .await
            .status,
        200
    );
    // The same secret is the same, another is a change.
    let same = expect(&put(issuer(SECRET)).await, 200);
    assert_eq!(same["secret"], reference.as_str());
    let other = expect(&put(issuer(OTHER)).await, 200);
    assert_ne!(other["secret"], reference.as_str());
    assert_eq!(
        managed
            .node
            .get_with("/partner/a", &token(OTHER))
            .await
            .status,
        200
    );
    // And back, by its revision alone.
    let revision = same["revision"].as_u64().unwrap();
    let back = managed
        .call("POST", &format!("/revisions/{revision}/rollback"), None)
        .await;
    expect(&back, 200);
    assert_eq!(
        managed
            .node
            .get_with("/partner/a", &token(SECRET))
            .await
            .status,
        200
    );

    for path in [
        "/teams/default/issuers",
        "/revisions/1/compare",
        "/audit",
        "/export",
        at,
    ] {
        let told = managed.get(path).await.to_string();
        assert!(!told.contains(SECRET) && !told.contains(OTHER), "{path}");
    }
    let folder = managed.node.process.folder();
    let mut node = managed.node;
    node.process.restart().await;
    assert_eq!(
        node.get_with("/partner/a", &token(SECRET)).await.status,
        200
    );
    for secret in [SECRET, OTHER] {
        assert_eq!(holds(&folder, secret), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_reference_counts_only_where_its_secret_belongs() {
    let managed = Managed::start(Plan::default()).await;
    managed.declare("upstreams", back(&managed)).await;
    let made = managed.declare("issuers", issuer(SECRET)).await;
    let reference = made["secret"].as_str().unwrap();
    // Elsewhere it would tell whoever reads that place.
    for stolen in [
        reference,
        "${ENV:KEYWARD_MASTER_KEY}",
        "${FILE:/etc/passwd}",
        "x${y}",
    ] {
        let body = json!({
            "name": "thief", "issuer": "https://thief.example", "jwks": { "url": "https://thief.example/keys" },
            "scope_claim": stolen,
        });
        let answer = managed
            .call("POST", "/teams/default/issuers", Some(body))
            .await;
        check_problem(&answer, 422, "invalid");
        assert_eq!(
            answer.json().unwrap()["errors"][0]["member"],
            "/scope_claim",
            "{stolen}"
        );
    }
    let unknown = issuer("${SECRET:AAAAAAAAAAAAAAAAAAAAAAAA}");
    let answer = managed
        .call("POST", "/teams/default/issuers", Some(unknown))
        .await;
    check_problem(&answer, 422, "invalid");
    // Another team has none of it.
    managed.team("blue").await;
    let answer = managed
        .call("POST", "/teams/blue/issuers", Some(issuer(reference)))
        .await;
    check_problem(&answer, 422, "invalid");
    assert_eq!(answer.json().unwrap()["errors"][0]["member"], "/secret");
    // No file of the node is read for anybody.
    for (plural, body, member) in [
        (
            "issuers",
            json!({ "name": "f", "issuer": "https://f.example", "jwks": { "file": "/etc/passwd" } }),
            "/jwks/file",
        ),
        (
            "access-policies",
            json!({ "name": "f", "file": "/etc/passwd" }),
            "/file",
        ),
        (
            "upstreams",
            json!({ "name": "f", "targets": [{ "url": "https://f.example" }], "tls": { "roots": "/etc/passwd" } }),
            "/tls",
        ),
    ] {
        let answer = managed
            .call("POST", &format!("/teams/default/{plural}"), Some(body))
            .await;
        check_problem(&answer, 422, "invalid");
        assert_eq!(
            answer.json().unwrap()["errors"][0]["member"],
            member,
            "{}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn of_an_api_key_only_its_hash_is_kept() {
    let managed = Managed::start(Plan::default()).await;
    managed.declare("upstreams", back(&managed)).await;
    managed
        .declare(
            "apis",
            json!({
                "name": "keyed", "version": "v1", "state": "published", "base_path": "/keyed",
                "upstream": "back", "authentication": { "api_key": { "header": "X-API-Key" } },
            }),
        )
        .await;
    let generated = std::process::Command::new(env!("CARGO_BIN_EXE_keyward"))
        .args(["credential", "generate"])
        .output()
        .unwrap();
    let key = String::from_utf8(generated.stdout)
        .unwrap()
        .trim()
        .to_owned();
    let credential = json!({ "name": "robot", "api_key": key });
    let made = managed.declare("credentials", credential.clone()).await;
    assert!(
        made["api_key"]["hash"]
            .as_str()
            .unwrap()
            .starts_with("kh1."),
        "{made}"
    );
    let called = |key: String| {
        let node = &managed.node;
        async move { node.get("/keyed/a", &[("X-API-Key", &key)]).await.status }
    };
    assert_eq!(called(key.clone()).await, 200);
    // The same key is the same credential.
    let put = Asked::new("PUT", "/teams/default/credentials/robot").by(&managed.token);
    let same = managed
        .send(put.header("if-match", "*").body(credential))
        .await;
    assert_eq!(expect(&same, 200)["revision"], made["revision"]);
    let off = Asked::new("PATCH", "/teams/default/credentials/robot")
        .by(&managed.token)
        .header("if-match", "*")
        .body(json!({ "enabled": false }));
    expect(&managed.send(off).await, 200);
    assert_eq!(called(key.clone()).await, 401);
    assert_eq!(
        holds(&managed.node.process.folder().join("data"), &key),
        Vec::<String>::new()
    );
    let weak = json!({ "name": "weak", "password": "too short" });
    let answer = managed
        .call("POST", "/teams/default/credentials", Some(weak))
        .await;
    check_problem(&answer, 422, "invalid");
    assert!(!answer.text().contains("too short"), "{}", answer.text());
}

/// Whoever reads an API reads no credential of its upstream; what is no secret stays readable.
#[tokio::test]
async fn credentials_for_upstreams_are_sealed_and_a_change_of_one_is_a_change() {
    let managed = Managed::start(Plan::default()).await;
    managed.declare("upstreams", back(&managed)).await;
    let api = |credential: &str| {
        json!({
            "name": "edited", "version": "v1", "state": "published", "base_path": "/edited",
            "upstream": "back", "authentication": "none",
            "routes": [{
                "request_headers": { "set": { "Authorization": credential, "x-env": "prod" } },
                "query": { "add": { "key": "a$${b", "v": "2" } },
            }],
        })
    };
    let at = "/teams/default/apis/edited:v1";
    let arrives = async |credential: &str| {
        assert_eq!(managed.node.get("/edited/a", &[]).await.status, 200);
        let received = managed.node.last_received();
        assert_eq!(received.head.field("authorization"), Some(credential));
        assert_eq!(received.head.field("x-env"), Some("prod"));
        assert!(
            received.target().contains("key=a%24%7Bb"),
            "{}",
            received.target()
        );
    };
    let made = managed.declare("apis", api("Bearer the-first-one")).await;
    let edits = &made["routes"][0];
    let told = |edits: &Value| edits["request_headers"]["set"]["Authorization"].clone();
    let first = told(edits);
    assert!(
        first.as_str().unwrap().starts_with("${SECRET:value."),
        "{made}"
    );
    assert_eq!(edits["request_headers"]["set"]["x-env"], "prod");
    assert_eq!(edits["query"]["add"]["v"], "2");
    assert_ne!(edits["query"]["add"]["key"], "a$${b");
    arrives("Bearer the-first-one").await;

    let put = |body: Value| {
        let asked = Asked::new("PUT", at)
            .by(&managed.token)
            .header("if-match", "*");
        managed.send(asked.body(body))
    };
    let same = expect(&put(api("Bearer the-first-one")).await, 200);
    assert_eq!(same["revision"], made["revision"]);
    let other = expect(&put(api("Bearer the-second-one")).await, 200);
    assert_ne!(other["revision"], made["revision"]);
    assert_ne!(told(&other["routes"][0]), first);
    arrives("Bearer the-second-one").await;
    // What was read can be sent back as it is.
    let mut read = managed.get(at).await;
    read["keep_base_path"] = json!(true);
    expect(&put(read).await, 200);
    arrives("Bearer the-second-one").await;
    let mut third = api("Bearer the-third-one");
    third["kind"] = json!("api");
    let apply = json!({ "resources": [third] });
    for changes in [1, 0] {
        let applied = managed.call("POST", "/apply", Some(apply.clone())).await;
        let applied = expect(&applied, 200);
        assert_eq!(applied["changes"].as_array().unwrap().len(), changes);
    }
    arrives("Bearer the-third-one").await;
    let to = made["revision"].as_u64().unwrap();
    let path = format!("/revisions/{to}/rollback");
    let rolled = expect(&managed.call("POST", &path, None).await, 200);
    assert_eq!(rolled["put_back"], json!(["edited:v1"]));
    arrives("Bearer the-first-one").await;

    for path in [at, "/revisions/1/compare", "/audit", "/export"] {
        let told = managed.get(path).await.to_string();
        assert!(
            !told.contains("the-first-one") && !told.contains("-one"),
            "{path}: {told}"
        );
    }
    let data = managed.node.process.folder().join("data");
    assert_eq!(holds(&data, "the-second-one"), Vec::<String>::new());

    // Whoever writes headers has no other secret of the team sent to them.
    let made = managed.declare("issuers", issuer(SECRET)).await;
    let answer = put(api(made["secret"].as_str().unwrap())).await;
    check_problem(&answer, 422, "invalid");
    assert_eq!(
        answer.json().unwrap()["errors"][0]["member"],
        "/routes/0/request_headers/set/Authorization"
    );
    let answer = managed
        .call("POST", "/teams/default/issuers", Some(json!({
            "name": "thief", "issuer": "https://thief.example", "secret": first, "algorithms": ["HS256"],
        })))
        .await;
    check_problem(&answer, 422, "invalid");
}

/// A `${` that is meant comes as `$${`, in secrets as everywhere.
#[tokio::test]
async fn a_secret_is_kept_as_it_is_meant() {
    let managed = Managed::start(Plan::default()).await;
    managed.declare("upstreams", back(&managed)).await;
    let meant = "a-secret-with-${braces}-that-is-long-enough";
    let made = managed
        .declare("issuers", issuer(&meant.replace("${", "$${")))
        .await;
    assert!(made["secret"].as_str().unwrap().starts_with("${SECRET:"));
    managed
        .declare("apis", json!({
            "name": "partner", "version": "v1", "state": "published", "base_path": "/partner",
            "upstream": "back", "authentication": { "issuers": ["partner"], "audience": "partner" },
        }))
        .await;
    let node = &managed.node;
    let called = node.get_with("/partner/a", &token(meant)).await;
    assert_eq!(called.status, 200);
}

#[tokio::test]
async fn private_keys_are_refused_and_hashes_of_people_s_passwords_are_not_told() {
    let managed = Managed::start(Plan::default()).await;
    let public = json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
    let with = |member: &str, value: &str| {
        let mut key = public.clone();
        key[member] = json!(value);
        key
    };
    for (key, member) in [
        (
            with("d", "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"),
            "d",
        ),
        (json!({ "kty": "oct", "k": encoded(SECRET) }), "k"),
    ] {
        let body = json!({
            "name": "private", "issuer": "https://private.example",
            "jwks": { "keys": [public, key] },
        });
        let answer = managed
            .call("POST", "/teams/default/issuers", Some(body))
            .await;
        check_problem(&answer, 422, "invalid");
        let error = &answer.json().unwrap()["errors"][0];
        assert_eq!(error["member"], format!("/jwks/keys/1/{member}"));
        assert_eq!(error["code"], "private_key");
    }
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ubybiyqMCUGHcTc0eJWzsBkKwqQnw";
    let made = managed
        .declare(
            "credentials",
            json!({ "name": "alice", "password": { "argon2": hash } }),
        )
        .await;
    let reference = made["password"]["argon2"].as_str().unwrap();
    assert!(reference.starts_with("${SECRET:argon2."), "{made}");
    let at = "/teams/default/credentials/alice";
    let mut again = managed.get(at).await;
    again["scopes"] = json!(["read"]);
    let put = Asked::new("PUT", at)
        .by(&managed.token)
        .header("if-match", "*");
    expect(&managed.send(put.body(again)).await, 200);
    for path in [at, "/revisions/0/compare", "/audit", "/export"] {
        let told = managed.get(path).await.to_string();
        assert!(!told.contains("argon2id"), "{path}: {told}");
    }
}
