//! Key sets: made, published, believed, rotated and taken back while the node runs.

use super::{Asked, Managed, back, expect};
use crate::node::{Plan, check_passed, check_problem};
use crate::token;
use keyward_jose::jwt::{self, Profile};
use keyward_jose::{JwkSet, SignatureAlgorithm, Verifiers};
use keyward_model::{Clock as _, Moment, SystemClock};
use keyward_testkit::until;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

const ISSUER: &str = "https://payments.example";

fn key_set(more: Value) -> Value {
    let mut set = json!({ "name": "payments", "purpose": "tokens", "issuer": ISSUER });
    for (key, value) in more.as_object().unwrap() {
        set[key] = value.clone();
    }
    set
}

/// A node with a key set, an issuer that is known by it, and an API at `/paid` that believes it.
async fn paid(more: Value) -> Managed {
    // Tokens are signed under load here, by one member.
    let calls = "site: { calls: { requests: 1000000, per: 1m } }";
    let managed = Managed::start(Plan::default().settings(calls)).await;
    managed.declare("upstreams", back(&managed)).await;
    managed.declare("key-sets", key_set(more)).await;
    let issuer = json!({ "name": "payments", "issuer": ISSUER, "key_set": "payments" });
    managed.declare("issuers", issuer).await;
    let api = json!({
        "name": "paid", "version": "v1", "state": "published", "base_path": "/paid", "upstream": "back",
        "authentication": { "issuers": ["payments"], "audience": "paid" },
    });
    managed.declare("apis", api).await;
    managed
}

const SET: &str = "/teams/default/key-sets/payments";

async fn signed(managed: &Managed) -> Value {
    let body = json!({ "claims": { "sub": "alice", "aud": "paid" }, "expires_in": "2s" });
    let path = format!("{SET}/tokens");
    expect(&managed.call("POST", &path, Some(body)).await, 200)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap()
}

/// How long a token is used that is made for two seconds: they are counted from the second that has begun.
const USED: Duration = Duration::from_millis(900);

/// A verifier of somebody else's, that keeps its copy of the set for as long as it is told it may.
struct Verifier {
    clock: SystemClock,
    fetched: Option<Moment>,
    max_age: Duration,
    set: JwkSet,
}

impl Verifier {
    async fn check(&mut self, managed: &Managed, token: &str) {
        let now = self.clock.moment();
        if self.fetched.is_none_or(|at| now.since(at) >= self.max_age) {
            let path = "/.well-known/jwks.json/default/payments";
            let answer = managed.node.get(path, &[]).await;
            assert_eq!(answer.status, 200);
            let told = answer.head.field("cache-control").unwrap();
            let seconds = told.strip_prefix("public, max-age=").unwrap();
            self.max_age = Duration::from_secs(seconds.parse().unwrap());
            self.set = JwkSet::parse_public(&answer.body).unwrap();
            self.fetched = Some(now);
        }
        let algorithm = SignatureAlgorithm::Es256;
        let verifiers = Verifiers::new(self.set.keys(), &[algorithm]);
        let profile = Profile::builder()
            .issuer(ISSUER)
            .audience("paid")
            .typ("at+jwt")
            .leeway(5)
            .algorithm(algorithm)
            .build()
            .unwrap();
        jwt::verify(token, &verifiers, &profile, token::now()).unwrap();
    }
}

#[tokio::test]
async fn keys_rotate_under_load_and_no_token_is_refused() {
    // The least that clients which cache the set for its `max-age` leave room for.
    let managed = paid(json!({
        "rotation": "3s", "publish_before": "2s", "max_age": "1s", "token_life": "2s",
    }))
    .await;
    let kids = Mutex::new(BTreeSet::new());
    // Each keeps its tokens as long as they are good, and with them the keys that have retired meanwhile.
    let client = async || {
        let mut verifier = Verifier {
            clock: SystemClock::new(),
            fetched: None,
            max_age: Duration::ZERO,
            set: JwkSet::default(),
        };
        let clock = SystemClock::new();
        let mut held: Vec<(Moment, String, String)> = Vec::new();
        let (mut made, mut of_older_keys) = (0_u32, 0_u32);
        // Four keys, one after another.
        while kids.lock().unwrap().len() < 4 {
            let begun = clock.moment();
            let signed = signed(&managed).await;
            made += 1;
            let kid = text(&signed, "kid").to_owned();
            kids.lock().unwrap().insert(kid.clone());
            held.retain(|(begun, ..)| clock.moment().since(*begun) < USED);
            held.push((begun, kid.clone(), text(&signed, "token").to_owned()));
            // The newest, and one after another of those before.
            let older = usize::try_from(made).unwrap() % held.len();
            for (begun, of, token) in [held.last(), held.get(older)].into_iter().flatten() {
                if clock.moment().since(*begun) < USED {
                    check_passed(&managed.node.get_with("/paid/x", token).await);
                    verifier.check(&managed, token).await;
                    of_older_keys += u32::from(*of != kid);
                }
            }
        }
        (made, of_older_keys)
    };
    let (one, two, three) = tokio::join!(client(), client(), client());
    let calls = one.0 + two.0 + three.0;
    let of_older_keys = one.1 + two.1 + three.1;
    let kids = kids.into_inner().unwrap();
    println!(
        "{calls} tokens of {} keys, {of_older_keys} calls with one whose key signs no more, none refused",
        kids.len()
    );
    assert!(of_older_keys > 0, "no token outlived its key's time");
    let keys = managed.get(&format!("{SET}/keys?limit=500")).await;
    let keys = keys["items"].as_array().unwrap();
    assert!(keys.len() >= kids.len());
    let active = keys.iter().filter(|key| key["state"] == "active");
    assert_eq!(active.count(), 1);
    let mut actions = Vec::new();
    let mut page = managed.get("/audit?limit=500").await;
    loop {
        let events = page["items"].as_array().unwrap().iter();
        actions.extend(events.map(|event| text(event, "action").to_owned()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        page = managed
            .get(&format!("/audit?limit=500&cursor={next}"))
            .await;
    }
    let count = |action: &str| actions.iter().filter(|known| *known == action).count();
    assert!(count("key.change") >= 6, "each step is told");
    assert!(count("key.use") >= usize::try_from(calls).unwrap());
    assert_eq!(managed.get("/audit/verify").await["intact"], true);
}

#[tokio::test]
async fn a_key_is_published_first_then_signs_and_is_taken_back_at_once() {
    let managed =
        paid(json!({ "rotation": "manual", "publish_before": "1s", "max_age": "1s" })).await;
    let keys = format!("{SET}/keys");
    // A set by hand begins empty: nothing signs, and nobody is believed.
    let body = json!({ "claims": { "sub": "alice" } });
    let none = managed
        .call("POST", &format!("{SET}/tokens"), Some(body))
        .await;
    check_problem(&none, 409, "unfit");
    let first = expect(&managed.call("POST", &keys, Some(json!({}))).await, 201);
    assert_eq!(first["state"], "active");
    let old = signed(&managed).await;
    check_passed(&managed.node.get_with("/paid/x", text(&old, "token")).await);

    let next = expect(&managed.call("POST", &keys, Some(json!({}))).await, 201);
    assert_eq!(next["state"], "published");
    let of = |key: &Value, verb: &str| format!("{keys}/{}/{verb}", text(key, "kid"));
    let activate = of(&next, "activate");
    let early = managed.call("POST", &activate, None).await;
    check_problem(&early, 409, "unfit");
    until("every copy of the set has it", async || {
        managed.call("POST", &activate, None).await.status == 200
    })
    .await;
    let new = signed(&managed).await;
    assert_eq!(new["kid"], next["kid"]);
    let before = signed(&managed).await;
    for token in [&new, &before] {
        check_passed(&managed.node.get_with("/paid/x", text(token, "token")).await);
    }
    let withdrawn = managed.call("POST", &of(&next, "withdraw"), None).await;
    assert_eq!(expect(&withdrawn, 200)["state"], "withdrawn");
    let refused = managed.node.get_with("/paid/x", text(&new, "token")).await;
    check_problem(&refused, 401, "token_invalid");
    let set = managed
        .node
        .get("/.well-known/jwks.json/default/payments", &[])
        .await;
    assert!(!set.text().contains(text(&next, "kid")));
    let again = managed.call("POST", &of(&next, "withdraw"), None).await;
    check_problem(&again, 409, "unfit");
    let unknown = managed
        .call("POST", &format!("{keys}/none/withdraw"), None)
        .await;
    check_problem(&unknown, 404, "not_found");
}

#[tokio::test]
async fn keys_are_brought_in_and_certified_and_never_told() {
    let managed = paid(json!({ "rotation": "manual" })).await;
    let keys = format!("{SET}/keys");
    let algorithm = keyward_jose::Algorithm::Signature(SignatureAlgorithm::Es256);
    let mine = keyward_jose::Key::generate(algorithm, None).unwrap();
    let mine = mine.with_kid(Some("mine/1".to_owned())).unwrap();
    let private = mine.to_jwk(keyward_jose::key::Part::Private).unwrap();
    let private: Value = serde_json::from_str(&private).unwrap();
    let asked = Asked::new("POST", keys.clone())
        .by(&managed.token)
        .body(json!({ "private_jwk": private }));
    let answer = managed.send(asked).await;
    let made = expect(&answer, 201);
    assert_eq!(made["kid"], "mine/1");
    let location = answer.head.field("location").unwrap();
    assert!(location.ends_with("/keys/mine%2F1"), "{location}");
    let shown = managed.get(location.strip_prefix("/api/v1").unwrap()).await;
    assert_eq!(shown, made);
    for body in [
        json!({ "private_jwk": private }),
        json!({ "private_jwk": { "kty": "EC" } }),
    ] {
        let refused = managed.call("POST", &keys, Some(body)).await;
        assert!([409, 422].contains(&refused.status), "{}", refused.text());
    }

    let one = format!("{keys}/mine%2F1");
    let subject = json!({ "common_name": "payments", "dns_names": ["payments.example"] });
    let path = format!("{one}/certificate-request");
    let request = expect(&managed.call("POST", &path, Some(subject)).await, 200);
    assert!(text(&request, "pem").starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    let subject = keyward_jose::x509::Subject {
        common_name: Some("payments".to_owned()),
        ..Default::default()
    };
    let now = token::now();
    let certificate = mine
        .self_signed_certificate(&subject, now, now.plus(3600))
        .unwrap();
    let pem = keyward_jose::x509::certificate_to_pem(&certificate);
    let path = format!("{one}/certificates");
    let certified = expect(
        &managed
            .call("PUT", &path, Some(json!({ "pem": pem })))
            .await,
        200,
    );
    assert_eq!(certified["public_jwk"]["x5c"].as_array().unwrap().len(), 1);
    let set = managed
        .node
        .get("/.well-known/jwks.json/default/payments", &[])
        .await;
    assert!(set.text().contains("x5c"));

    // What is private is nowhere: not in answers, the audit log or the history.
    let secret = private["d"].as_str().unwrap();
    for path in ["/audit?limit=500", "/revisions?limit=500", &keys, "/export"] {
        let answer = managed.call("GET", path, None).await;
        assert!(!answer.text().contains(secret), "{path}");
    }
    assert!(!managed.node.process.log().contains(secret));
}

#[tokio::test]
async fn a_team_s_keys_stand_in_its_own_set_and_the_issuer_self_is_the_operators() {
    let managed = paid(json!({})).await;
    managed.team("acme").await;
    let owner = managed
        .member("acme", "olga", "owner", &["read", "write"])
        .await;
    let set = json!({ "name": "payments", "purpose": "tokens", "issuer": "https://acme.example" });
    let declare = Asked::new("POST", "/teams/acme/key-sets")
        .by(&owner)
        .body(set);
    expect(&managed.send(declare).await, 201);
    let kids = async |path: &str| -> BTreeSet<String> {
        let set: Value = managed.node.get(path, &[]).await.json().unwrap();
        let keys = set["keys"].as_array().unwrap().iter();
        keys.map(|key| text(key, "kid").to_owned()).collect()
    };
    let sets = [
        kids("/.well-known/jwks.json").await,
        kids("/.well-known/jwks.json/default/payments").await,
        kids("/.well-known/jwks.json/acme/payments").await,
    ];
    for (index, set) in sets.iter().enumerate() {
        assert!(!set.is_empty(), "{index}");
        for other in sets.iter().skip(index + 1) {
            assert!(set.is_disjoint(other), "{sets:?}");
        }
    }
    let missing = managed
        .node
        .get("/.well-known/jwks.json/acme/none", &[])
        .await;
    assert_eq!(missing.status, 404);
    // A token of acme's set is nothing to an API that believes the other one of that name.
    let body = json!({ "claims": { "sub": "alice", "aud": "paid" } });
    let sign = Asked::new("POST", "/teams/acme/key-sets/payments/tokens")
        .by(&owner)
        .body(body.clone());
    let made = expect(&managed.send(sign).await, 200);
    let refused = managed.node.get_with("/paid/x", text(&made, "token")).await;
    assert_eq!(refused.status, 401);

    // The keys of `self` sign for managers: an owner of the team `default` who is no operator does not touch them.
    let owner = managed
        .member("default", "dora", "owner", &["read", "write"])
        .await;
    let of_self = "/teams/default/key-sets/self";
    let look = Asked::new("GET", format!("{of_self}/keys")).by(&owner);
    let rows = expect(&managed.send(look).await, 200);
    let kid = text(&rows["items"][0], "kid").to_owned();
    for (path, body) in [
        (
            format!("{of_self}/keys"),
            Some(json!({ "algorithm": "ES256" })),
        ),
        (format!("{of_self}/keys/{kid}/withdraw"), None),
        (format!("{of_self}/tokens"), Some(body.clone())),
    ] {
        let mut asked = Asked::new("POST", path.clone()).by(&owner);
        asked.body = body;
        check_problem(&managed.send(asked).await, 403, "forbidden");
    }
    // Nobody signs whatever they like as `self`, and nobody says who issues what a set signs.
    let as_self = managed
        .call("POST", &format!("{of_self}/tokens"), Some(body))
        .await;
    check_problem(&as_self, 403, "forbidden");
    for claim in ["iss", "iat", "exp", "jti"] {
        let body = json!({ "claims": { claim: "x" } });
        let refused = managed
            .call("POST", &format!("{SET}/tokens"), Some(body))
            .await;
        check_problem(&refused, 422, "invalid");
        assert_eq!(
            refused.json().unwrap()["errors"][0]["member"],
            format!("/claims/{claim}")
        );
    }
    let long = json!({ "claims": {}, "expires_in": "25h" });
    let refused = managed
        .call("POST", &format!("{SET}/tokens"), Some(long))
        .await;
    check_problem(&refused, 422, "invalid");
}

#[tokio::test]
async fn an_issuer_and_its_key_set_say_the_same() {
    let managed = paid(json!({})).await;
    for (issuer, code) in [
        (
            json!({ "name": "two", "issuer": "https://other.example", "key_set": "payments" }),
            "contradiction",
        ),
        (
            json!({ "name": "two", "issuer": ISSUER, "key_set": "paymints" }),
            "unknown_reference",
        ),
        (
            json!({ "name": "two", "issuer": ISSUER, "key_set": "payments", "jwks": { "url": "https://a.example/k" } }),
            "contradiction",
        ),
    ] {
        let refused = managed
            .call("POST", "/teams/default/issuers", Some(issuer))
            .await;
        assert!([409, 422].contains(&refused.status), "{}", refused.text());
        assert_eq!(refused.json().unwrap()["errors"][0]["code"], code);
    }
    for set in [
        json!({ "name": "two", "purpose": "tokens" }),
        json!({ "name": "two", "purpose": "encryption", "issuer": ISSUER }),
        json!({ "name": "self", "purpose": "tokens", "issuer": ISSUER }),
        json!({ "name": "two", "purpose": "tokens", "issuer": "https://a.example", "publish_before": "1m" }),
        json!({ "name": "two", "purpose": "tokens", "issuer": "https://a.example", "rotation": "1h" }),
        json!({ "name": "two", "purpose": "tokens", "issuer": "https://a.example", "algorithms": ["HS256"] }),
        json!({ "name": "two", "purpose": "tokens", "issuer": ISSUER }),
    ] {
        let refused = managed
            .call("POST", "/teams/default/key-sets", Some(set.clone()))
            .await;
        assert!(
            [409, 422].contains(&refused.status),
            "{set}: {}",
            refused.text()
        );
    }
    // A set that an issuer is known by does not go away under it.
    let shown = managed.call("GET", SET, None).await;
    let tag = shown.head.field("etag").unwrap().to_owned();
    let delete = Asked::new("DELETE", SET)
        .by(&managed.token)
        .header("if-match", &tag);
    check_problem(&managed.send(delete).await, 409, "unfit");
    // ML-DSA keys stand in a set that asks for them, and in no other.
    let quantum = json!({
        "name": "quantum", "purpose": "tokens", "issuer": "https://quantum.example", "algorithms": ["ML-DSA-65"],
    });
    managed.declare("key-sets", quantum).await;
    let text_of = async |path: &str| managed.node.get(path, &[]).await.text();
    assert!(
        text_of("/.well-known/jwks.json/default/quantum")
            .await
            .contains("ML-DSA-65")
    );
    assert!(!text_of("/.well-known/jwks.json").await.contains("ML-DSA"));
    assert!(
        !text_of("/.well-known/jwks.json/default/payments")
            .await
            .contains("ML-DSA")
    );
}
