use crate::api_key::ApiKey;
use crate::limit::OnOutage;
use crate::resource::authentication::{AuthenticationMethod, Dpop};
use crate::resource::credential::{CredentialProof, KeyMaterial, PasswordMaterial};
use crate::resource::raw::{Declared, Node, Problems, read_resource};
use crate::resource::{Api, Credential, Spec, consistency};
use crate::revision::Origin;
use serde_json::{Value as Json, json};

fn read(value: &Json) -> Result<Declared, String> {
    let mut problems = Problems::new();
    let declared = read_resource(Node::from_json(value), Origin::File, &mut problems);
    declared.ok_or_else(|| {
        let told: Vec<_> = problems.as_slice().iter().collect();
        told.iter()
            .map(|problem| problem.message.as_str())
            .collect::<Vec<_>>()
            .join("\n")
    })
}

fn credential(change: &Json) -> Json {
    let mut base = json!({ "kind": "credential", "name": "batch" });
    for (key, value) in change.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

fn typed(change: &Json) -> Credential {
    match read(&credential(change)).unwrap().resource.spec {
        Spec::Credential(credential) => *credential,
        Spec::Api(_)
        | Spec::Issuer(_)
        | Spec::Upstream(_)
        | Spec::Role(_)
        | Spec::AccessPolicy(_)
        | Spec::KeySet(_)
        | Spec::Webhook(_)
        | Spec::ManagementRole(_)
        | Spec::Provider(_)
        | Spec::Model(_)
        | Spec::Prompt(_) => panic!("no credential"),
    }
}

fn api(authentication: &Json) -> Json {
    json!({
        "kind": "api", "name": "a", "version": "v1", "state": "published", "base_path": "/a",
        "upstream": "u", "authentication": authentication,
    })
}

fn typed_api(authentication: &Json) -> Api {
    match read(&api(authentication)).unwrap().resource.spec {
        Spec::Api(api) => api,
        Spec::Credential(_)
        | Spec::Issuer(_)
        | Spec::Upstream(_)
        | Spec::Role(_)
        | Spec::AccessPolicy(_)
        | Spec::KeySet(_)
        | Spec::Webhook(_)
        | Spec::ManagementRole(_)
        | Spec::Provider(_)
        | Spec::Model(_)
        | Spec::Prompt(_) => panic!("no API"),
    }
}

const LONG: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn credentials_are_read_and_their_secrets_do_not_print() {
    let key = ApiKey::from_random(&[7; 32]);
    let read = typed(&json!({
        "api_key": key.reveal(), "subject": "billing", "scopes": ["read"], "roles": ["auditor"],
        "expires": "2027-06-30T00:00:00+02:00", "enabled": false,
    }));
    assert!(
        matches!(&read.proof, CredentialProof::ApiKey(KeyMaterial::Clear(read)) if read.reveal() == key.reveal())
    );
    assert_eq!(&*read.subject, "billing");
    assert_eq!(read.expires.unwrap().as_seconds(), 1_814_306_400);
    assert!(!read.enabled && read.scopes.contains("read") && read.roles.contains("auditor"));
    assert!(!format!("{read:?}").contains(key.reveal()));

    let read = typed(&json!({ "password": LONG }));
    let CredentialProof::Password { username, password } = &read.proof else {
        panic!("no password")
    };
    assert!(matches!(password, PasswordMaterial::Clear(_)));
    assert_eq!((&**username, &*read.subject), ("batch", "batch"));
    assert!(read.enabled && read.expires.is_none());
    assert!(!format!("{read:?}").contains(LONG));
}

#[test]
fn what_is_wrong_with_a_credential_is_told_without_its_secret() {
    let argon2 = |costs: &str| json!({ "password": { "argon2": format!("$argon2id$v=19${costs}$c2FsdHNhbHQ$aGFzaA") } });
    let mistyped = format!("{}x", &ApiKey::from_random(&[7; 32]).reveal()[..52]);
    for (change, expected) in [
        (
            json!({}),
            "`api_key` is missing: write `api_key: ${ENV:NAME}`",
        ),
        (
            json!({ "api_key": "short" }),
            "`api_key`: this is no API key: a key that was made elsewhere has 20 to 512",
        ),
        (
            json!({ "api_key": mistyped }),
            "its last six characters do not fit",
        ),
        (
            json!({ "api_key": 7 }),
            "`api_key` is a text that isn't empty (in quotes where it is a number), or `{ hash: kh1.… }`",
        ),
        (
            json!({ "api_key": { "hash": "kh1.x" } }),
            "`hash`: this is no keyed hash",
        ),
        (
            json!({ "api_key": { "hush": "x" } }),
            "unknown key `hush`: did you mean `hash`?",
        ),
        (
            json!({ "api_key": LONG, "password": LONG }),
            "`password` stands beside `api_key`",
        ),
        (
            json!({ "api_key": LONG, "username": "a" }),
            "`username` goes with `password`",
        ),
        (
            json!({ "password": "hunter2" }),
            "`password` has 7 bytes: one that a machine made has at least 22",
        ),
        (
            json!({ "password": LONG, "username": "a:b" }),
            "has a colon, with which a name ends",
        ),
        (
            json!({ "password": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA" }),
            "as it stands it would be the password itself",
        ),
        (
            json!({ "password": { "argon2": "$2b$10$abc" } }),
            "`argon2`: this is no hash of argon2id",
        ),
        (json!({ "password": {} }), "it has exactly one of `hash`"),
        (argon2("m=1048576,t=1,p=1"), "a check would cost too much"),
        (argon2("m=1024,t=100,p=1"), "a check would cost too much"),
        (argon2("m=1024,t=1,p=64"), "a check would cost too much"),
        (argon2("x=1"), "a check would cost too much"),
        (
            json!({ "api_key": LONG, "expires": "2027-06-30" }),
            "`expires`: `2027-06-30` is no point in time",
        ),
        (json!({ "api_key": LONG, "scopes": ["a b"] }), "is no scope"),
        (
            json!({ "api_key": LONG, "enabled": "no" }),
            "`enabled` is `true` or `false`",
        ),
        (json!({ "api_key": LONG, "subject": "a\nb" }), "is no name"),
    ] {
        let told = read(&credential(&change)).unwrap_err();
        assert!(told.contains(expected), "{change}: {told}");
        assert!(!told.contains("hunter2") && !told.contains(LONG), "{told}");
    }
}

#[test]
fn two_credentials_that_are_shown_alike_are_refused() {
    let with = |name: &str, change: &Json| {
        let mut value = credential(change);
        value["name"] = json!(name);
        read(&value).unwrap()
    };
    let same_key = [
        with("a", &json!({ "api_key": LONG })),
        with("b", &json!({ "api_key": LONG })),
    ];
    let same_name = [
        with("a", &json!({ "password": LONG, "username": "x" })),
        with(
            "b",
            &json!({ "password": format!("{LONG}2"), "username": "x" }),
        ),
    ];
    let apart = [
        with("a", &json!({ "api_key": LONG })),
        with("b", &json!({ "password": LONG })),
    ];
    for (declared, alike) in [(&same_key, true), (&same_name, true), (&apart, false)] {
        let mut problems = Problems::new();
        let declared: Vec<&Declared> = declared.iter().collect();
        consistency::check(&declared, "https://self.example", &mut problems);
        let told = problems.as_slice().iter().any(|problem| {
            problem.code == "duplicate_credential" && !problem.message.contains(LONG)
        });
        assert_eq!(told, alike);
    }
}

#[test]
fn methods_stand_in_the_order_they_were_written() {
    let tokens = json!({ "issuers": ["a"], "audience": "x" });
    let api = typed_api(&json!([
        { "api_key": { "header": "X-API-Key", "query": "key" } },
        { "issuers": ["a"], "audience": "x", "dpop": { "tokens": "required", "nonce": "always", "algorithms": ["ES256"], "on_outage": "allow_locally" } },
        { "basic": true },
        { "mutual_tls": { "subject": "san_uri", "proxied": true } },
        { "anonymous": true },
    ]));
    let methods = api.authentication.methods();
    let names: Vec<_> = methods.iter().map(AuthenticationMethod::as_str).collect();
    assert_eq!(
        names,
        ["api_key", "issuers", "basic", "mutual_tls", "anonymous"]
    );
    let dpop = &api.authentication.token().unwrap().dpop;
    let expected = Dpop {
        required: true,
        nonce: true,
        algorithms: vec!["ES256".into()],
        on_outage: OnOutage::AllowLocally,
    };
    assert_eq!(*dpop, expected);
    assert!(api.authentication.takes_proxied_certificates());
    assert_eq!(
        typed_api(&tokens).authentication.token().unwrap().dpop,
        Dpop::default()
    );
}

#[test]
fn what_is_wrong_with_methods_is_told() {
    let tokens = json!({ "issuers": ["a"], "audience": "x" });
    let with = |key: &str, value: Json| {
        let mut tokens = tokens.clone();
        tokens[key] = value;
        tokens
    };
    for (authentication, expected) in [
        (json!([]), "`authentication` is empty"),
        (
            json!([tokens, tokens]),
            "two methods with `issuers`, and a call couldn't say which it means: name all issuers in one",
        ),
        (
            json!([{ "basic": true }, { "basic": true }]),
            "two methods with `basic`",
        ),
        (
            json!([{ "anonymous": true }, tokens]),
            "it is the last of several methods",
        ),
        (
            json!([{ "anonymous": true }]),
            "it is the last of several methods",
        ),
        (json!({ "anonymous": true }), "write `authentication: none`"),
        (
            json!([tokens, { "anonymous": false }]),
            "says nothing: write `anonymous: true`",
        ),
        (
            json!({ "api_key": {} }),
            "`api_key`: say where the key stands",
        ),
        (
            json!({ "api_key": { "header": "Authorization" } }),
            "is read as something else here",
        ),
        (
            json!({ "api_key": { "header": "x-keyward-key" } }),
            "is read as something else here",
        ),
        (
            json!({ "api_key": { "header": "a b" } }),
            "is no header name",
        ),
        (
            json!({ "api_key": { "query": "access_token" } }),
            "is no name for a key in the query",
        ),
        (
            json!({ "api_key": { "header": "x-key" }, "basic": true }),
            "`basic` stands beside `api_key`",
        ),
        (json!({ "basic": false }), "`basic` is a mapping"),
        (json!({ "basic": { "realm": "a\"b" } }), "is no realm"),
        (
            with("dpop", json!("always")),
            "is none of `accepted`, `required`",
        ),
        (
            with("dpop", json!({ "nonce": "never" })),
            "is none of `when_stale`, `always`",
        ),
        (
            with("dpop", json!({ "algorithms": ["HS256"] })),
            "names an algorithm of shared secrets",
        ),
        (
            with("dpop", json!({ "algorithms": [] })),
            "`algorithms` is empty",
        ),
        (
            with("dpop", json!({ "on_outage": "allow" })),
            "is none of `allow_locally`, `refuse`",
        ),
        (
            with("api_key", json!({ "header": "x-key" })),
            "`issuers` stands beside `api_key`",
        ),
        (
            json!({ "issuers": ["a"], "audience": "x", "token": { "cookie": "c" }, "dpop": "required" }),
            "the token comes in a cookie",
        ),
    ] {
        let told = read(&api(&authentication)).unwrap_err();
        assert!(told.contains(expected), "{authentication}: {told}");
    }
}

#[test]
fn an_issuer_is_asked_or_has_keys_and_is_asked_alone() {
    let issuer = |name: &str, change: &Json| {
        let mut base =
            json!({ "kind": "issuer", "name": name, "issuer": format!("https://{name}.example") });
        for (key, value) in change.as_object().unwrap() {
            base[key] = value.clone();
        }
        base
    };
    let asked = json!({ "introspection": { "url": "https://a.example/i", "client_id": "g", "client_secret": "hunter2" } });
    for (change, expected) in [
        (json!({ "introspection": {} }), "`url` is missing"),
        (
            json!({ "introspection": { "url": "ftp://a", "client_id": "g", "client_secret": "s" } }),
            "is no address",
        ),
        (
            json!({ "introspection": { "url": "https://a/i", "client_id": "g", "client_secret": 7 } }),
            "`client_secret` is a text",
        ),
        (
            json!({ "introspection": { "url": "https://a/i", "client_id": "g", "client_secret": "hunter2", "cache_for": "1h" } }),
            "is more than 5m",
        ),
        (
            json!({ "introspection": {}, "jwks": { "file": "x" } }),
            "`jwks` stands beside `introspection`",
        ),
        (
            json!({ "introspection": {}, "algorithms": ["ES256"] }),
            "`algorithms` stands beside `introspection`",
        ),
    ] {
        let told = read(&issuer("a", &change)).unwrap_err();
        assert!(told.contains(expected), "{change}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let declared = [
        read(&issuer("a", &asked)).unwrap(),
        read(&issuer("b", &asked)).unwrap(),
        read(&json!({ "kind": "upstream", "name": "u", "targets": [{ "url": "http://a" }] }))
            .unwrap(),
        read(&api(
            &json!([{ "issuers": ["a", "b"], "audience": "x" }, { "anonymous": true }]),
        ))
        .unwrap(),
    ];
    let mut problems = Problems::new();
    let declared: Vec<&Declared> = declared.iter().collect();
    consistency::check(&declared, "https://self.example", &mut problems);
    let told = problems.as_slice().first().unwrap();
    assert!(
        told.message.contains("it would be shown to the wrong one"),
        "{told:?}"
    );
}
