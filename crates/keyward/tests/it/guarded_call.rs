//! Guarded APIs: which tokens pass, and how the others are refused.

use crate::node::{Node, Plan, check_passed, check_problem};
use crate::token::{AUDIENCE, Issuer, now};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_jose::jwe::Encrypter;
use keyward_jose::jwt::sign_and_encrypt;
use keyward_jose::key::{KeyUse, Part};
use keyward_jose::{
    Algorithm, ContentEncryption, JwkSet, Key, KeyManagementAlgorithm as M, NumericDate,
    SignatureAlgorithm as A,
};
use keyward_testkit::{Answer, IssuerServer};
use serde_json::{Value, json};

/// 32 bytes and more, as HS256 asks for.
const SECRET: &str = "a-shared-secret-of-more-than-32-bytes";

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[tokio::test]
async fn every_kind_of_issuer_and_algorithm_passes() {
    let inline: Vec<Issuer> = [
        ("es256", A::Es256),
        ("rs256", A::Rs256),
        ("eddsa", A::EdDsa),
        ("ps256", A::Ps256),
        ("es384", A::Es384),
    ]
    .into_iter()
    .map(|(name, algorithm)| Issuer::new(name, algorithm))
    .collect();
    let secret = Issuer::with_secret("secret", SECRET.as_bytes());
    let file = Issuer::new("file", A::Es256);
    let pem = Issuer::new("pem", A::Rs256);
    let url = Issuer::new("url", A::Es256);
    let url_server = IssuerServer::start(url.key_set()).await;
    let discovered = Issuer::new("discovered", A::EdDsa);
    let discovered_server = IssuerServer::start(discovered.key_set()).await;
    let metadata = "/.well-known/openid-configuration";
    discovered_server.set_metadata(metadata, &discovered.url);
    let mut plan = Plan::default()
        .settings("workers: 2\negress: { allow: [ 127.0.0.1 ] }")
        .file("keys.json", file.key_set())
        .file(
            "key.pem",
            pem.key
                .to_pem(Part::Public, keyward_jose::key::Encoding::Spki)
                .unwrap()
                .to_string(),
        )
        .resource(secret.resource_with(&format!("secret: {SECRET}"), ""))
        .resource(file.resource_with("jwks: { file: keys.json }", ""))
        .resource(pem.resource_with("jwks: { file: key.pem }", "algorithms: [RS256]"))
        .resource(url.resource_with(
            &format!("jwks: {{ url: \"{}\" }}", url_server.jwks_url()),
            "",
        ))
        .resource(discovered.resource_with(
            &format!(
                "jwks: {{ discover: \"{}\" }}",
                discovered_server.url(metadata)
            ),
            "",
        ));
    for issuer in &inline {
        plan = plan.resource(issuer.resource(""));
    }
    let all: Vec<&Issuer> = inline
        .iter()
        .chain([&secret, &file, &pem, &url, &discovered])
        .collect();
    for issuer in &all {
        plan = plan.api(&issuer.name, &issuer.authentication(""));
    }
    let names: Vec<&str> = all.iter().map(|issuer| &*issuer.name).collect();
    let every = format!(
        "authentication: {{ issuers: [{}], audience: [other-api, {AUDIENCE}] }}",
        names.join(", ")
    );
    let node = plan.api("every", &every).start().await;
    for issuer in &all {
        for path in [
            format!("/{}/a/b?c=d", issuer.name),
            "/every/a/b?c=d".to_owned(),
        ] {
            let answer = node.get_with(&path, &issuer.token()).await;
            check_passed(&answer);
            let received = node.last_received();
            assert_eq!(received.target(), "/a/b?c=d", "{path}");
            assert_eq!(received.head.field("authorization"), None, "{path}");
            assert_eq!(
                received.head.field("host"),
                Some(&*node.upstream.address().to_string())
            );
            assert_eq!(
                received.head.field("request-id"),
                answer.head.field("request-id")
            );
        }
        // Each API takes its own issuer's alone.
        let other = all.iter().find(|other| other.name != issuer.name).unwrap();
        let answer = node
            .get_with(&format!("/{}/x", issuer.name), &other.token())
            .await;
        check_problem(&answer, 401, "token_invalid");
    }
    assert_eq!(url_server.key_requests(), 1);
    assert_eq!(node.upstream.received().len(), all.len() * 2);
}

/// The one challenge of an answer.
#[track_caller]
fn challenge(answer: &Answer) -> String {
    let values: Vec<&str> = answer.head.values("www-authenticate").collect();
    assert_eq!(values.len(), 1, "{:?}", answer.head);
    values[0].to_owned()
}

/// Where the API's authorization servers are listed, as a challenge has it.
fn metadata(node: &Node) -> String {
    format!(
        "resource_metadata=\"http://{}/.well-known/oauth-protected-resource/guarded\"",
        node.gateway()
    )
}

/// That an answer to a call without a token names both ways to show one.
#[track_caller]
fn check_both_ways(node: &Node, answer: &Answer) {
    let values: Vec<&str> = answer.head.values("www-authenticate").collect();
    let metadata = metadata(node);
    let bearer = format!("Bearer realm=\"keyward\", scope=\"read write\", {metadata}");
    let algorithms = "ES256 EdDSA Ed25519 ES384 ES512 PS256 RS256 PS384";
    let dpop =
        format!("DPoP realm=\"keyward\", scope=\"read write\", algs=\"{algorithms}\", {metadata}");
    assert_eq!(values, [bearer, dpop]);
}

struct Refusals {
    node: Node,
    issuer: Issuer,
}

impl Refusals {
    /// A refused token: its status, its code, and the challenge that names the problem's own detail.
    async fn check(&self, what: &str, token: &str, code: &str) -> String {
        let answer = self.node.get_with("/guarded/x", token).await;
        check_problem(&answer, 401, code);
        let detail = answer.json().unwrap()["detail"]
            .as_str()
            .unwrap()
            .to_owned();
        let quoted = detail.replace(['"', '\\'], "'");
        assert_eq!(
            challenge(&answer),
            format!(
                "Bearer realm=\"keyward\", error=\"invalid_token\", error_description=\"{quoted}\", {}",
                metadata(&self.node)
            ),
            "{what}"
        );
        detail
    }

    async fn check_claim(&self, claim: &str, value: Option<Value>, code: &str) -> String {
        let token = self.issuer.token_with(claim, value.clone());
        self.check(&format!("{claim}: {value:?}"), &token, code)
            .await
    }
}

#[tokio::test]
async fn every_wrong_token_is_refused_with_its_challenge() {
    let issuer = Issuer::new("main", A::Rs256);
    let stranger = Issuer {
        url: issuer.url.clone(),
        ..Issuer::new("stranger", A::Rs256)
    };
    let node = Plan::default()
        .settings("workers: 1")
        .resource(issuer.resource(""))
        .api(
            "guarded",
            &format!(
                "{}, authorization: {{ scopes: [read, write] }}",
                issuer.authentication("")
            ),
        )
        .start()
        .await;
    let suite = Refusals { node, issuer };
    let (node, issuer) = (&suite.node, &suite.issuer);

    let missing = node.get("/guarded/x", &[]).await;
    check_problem(&missing, 401, "token_missing");
    check_both_ways(node, &missing);
    for value in ["Basic YTpi", "Bearer", "Bearer ", "DPoP"] {
        let answer = node.get("/guarded/x", &[("Authorization", value)]).await;
        check_problem(&answer, 401, "token_missing");
        check_both_ways(node, &answer);
    }

    let good = issuer.token();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let broken = format!("{message}.{flipped}{}", &signature[1..]);
    suite
        .check("broken signature", &broken, "token_invalid")
        .await;
    for (what, token) in [
        ("no token", "x".to_owned()),
        ("two parts", message.to_owned()),
        ("no signature", format!("{message}.")),
        ("four parts", format!("{good}.x")),
        ("other claims", {
            let claims = base64url(
                json!({"iss": issuer.url, "sub": "admin", "aud": AUDIENCE, "exp": 9_999_999_999_u64})
                    .to_string(),
            );
            format!("{header}.{claims}.{signature}")
        }),
        ("another's key under the same name", stranger.token()),
    ] {
        suite.check(what, &token, "token_invalid").await;
    }
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let header = base64url(json!({"alg": none, "typ": "at+jwt"}).to_string());
        for token in [
            format!("{header}.{claims}."),
            format!("{header}.{claims}.{signature}"),
        ] {
            suite.check(none, &token, "token_invalid").await;
        }
    }
    // The public key, as everyone can write it, for an HMAC secret.
    let encoding = keyward_jose::key::Encoding::Spki;
    let pem = issuer.key.to_pem(Part::Public, encoding).unwrap();
    let der = issuer.key.to_der(Part::Public, encoding).unwrap();
    for secret in [pem.as_bytes(), &der, issuer.public_key().as_bytes()] {
        let header = base64url(
            json!({"alg": "HS256", "typ": "at+jwt", "kid": issuer.key.kid()}).to_string(),
        );
        let message = format!("{header}.{claims}");
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
        let token = format!("{message}.{}", base64url(tag));
        suite.check("confusion", &token, "token_invalid").await;
    }
    // A key in the header, and where to fetch one.
    for (name, value) in [
        ("jwk", serde_json::from_str(&stranger.public_key()).unwrap()),
        ("jku", json!("http://127.0.0.1:1/keys")),
    ] {
        let header = keyward_jose::jws::Header::for_signer(&stranger.signer)
            .with_typ("at+jwt")
            .with(name, value);
        let token = header.map(|header| {
            keyward_jose::jws::compact::sign(
                serde_json::to_string(issuer.claims().map())
                    .unwrap()
                    .as_bytes(),
                &header,
                &stranger.signer,
            )
            .unwrap()
        });
        suite.check(name, &token.unwrap(), "token_invalid").await;
    }

    let expired = suite
        .check_claim("exp", Some(json!(now().0 - 120)), "token_expired")
        .await;
    assert!(expired.contains("expired"), "{expired}");
    suite.check_claim("exp", None, "token_invalid").await;
    suite
        .check_claim("exp", Some(json!("9999999999")), "token_invalid")
        .await;
    suite
        .check_claim("nbf", Some(json!(now().0 + 120)), "token_invalid")
        .await;
    suite
        .check_claim("iat", Some(json!(now().0 + 120)), "token_invalid")
        .await;
    suite
        .check_claim("aud", Some(json!("another-api")), "token_invalid")
        .await;
    suite.check_claim("aud", None, "token_invalid").await;
    suite
        .check_claim(
            "iss",
            Some(json!("https://elsewhere.example")),
            "token_invalid",
        )
        .await;
    suite
        .check_claim(
            "iss",
            Some(json!(format!("{}/", issuer.url))),
            "token_invalid",
        )
        .await;
    suite.check_claim("iss", None, "token_invalid").await;
    for typ in ["id_token+jwt", "logout+jwt", "dpop+jwt", "JOSE"] {
        let token = issuer.sign_as(&issuer.claims(), typ);
        suite.check(typ, &token, "token_invalid").await;
    }

    for scopes in [&["read"][..], &["write"], &["reader", "writes"], &[]] {
        let token = issuer.sign(&issuer.claims().with_scopes(scopes));
        let answer = node.get_with("/guarded/x", &token).await;
        check_problem(&answer, 403, "insufficient_scope");
        let detail = answer.json().unwrap()["detail"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(
            challenge(&answer),
            format!(
                "Bearer realm=\"keyward\", error=\"insufficient_scope\", error_description=\"{detail}\", scope=\"read write\", {}",
                metadata(node)
            )
        );
    }
    // Two credentials (RFC 6750, sections 2 and 3.1).
    let bearer = format!("Bearer {good}");
    let twice = [("Authorization", &*bearer), ("Authorization", &*bearer)];
    let answer = node.get("/guarded/x", &twice).await;
    check_problem(&answer, 400, "token_ambiguous");
    assert!(challenge(&answer).contains("error=\"invalid_request\""));
    let answer = node
        .get_with(&format!("/guarded/x?a=b&access_token={good}"), &good)
        .await;
    check_problem(&answer, 400, "token_ambiguous");

    assert_eq!(node.upstream.received(), []);
    let both = issuer.sign(&issuer.claims().with_scopes(["write", "read"]));
    check_passed(&node.get_with("/guarded/x", &both).await);
}

#[tokio::test]
async fn a_token_that_fits_in_no_header_is_refused() {
    let issuer = Issuer::new("main", A::Es256);
    let node = Plan::default()
        .settings("workers: 1")
        .resource(issuer.resource(""))
        .api("guarded", &issuer.authentication(""))
        .start()
        .await;
    let answer = node.get_with("/guarded/x", &"a".repeat(1 << 20)).await;
    check_problem(&answer, 431, "headers_too_large");
    // It fits in the head, and is larger than any token.
    let answer = node.get_with("/guarded/x", &"a".repeat(40_000)).await;
    check_problem(&answer, 401, "token_invalid");
    assert_eq!(node.upstream.received(), []);
    // A large one that is good passes.
    let claims = issuer.claims().with("filler", json!("x".repeat(6_000)));
    let token = issuer.sign(&claims.unwrap());
    check_passed(&node.get_with("/guarded/x", &token).await);
}

#[tokio::test]
async fn a_token_comes_from_where_the_api_says() {
    let issuer = Issuer::new("main", A::Es256);
    let node = Plan::default()
        .settings("workers: 1")
        .resource(issuer.resource(""))
        .api("cookie", &issuer.authentication("token: { cookie: sid }"))
        .api(
            "cookie-on",
            &issuer.authentication("token: { cookie: sid }, forward_token: true"),
        )
        .api("header", &issuer.authentication(""))
        .api("header-on", &issuer.authentication("forward_token: true"))
        .start()
        .await;
    let token = issuer.token();
    let cookie = format!("a=b; sid={token}; c=d");
    let bearer = format!("Bearer {token}");

    check_passed(&node.get("/cookie/x", &[("Cookie", &cookie)]).await);
    assert_eq!(node.last_received().head.field("cookie"), Some("a=b; c=d"));
    let alone = format!("sid={token}");
    check_passed(&node.get("/cookie/x", &[("Cookie", &alone)]).await);
    assert_eq!(node.last_received().head.values("cookie").count(), 0);
    check_passed(&node.get("/cookie-on/x", &[("Cookie", &cookie)]).await);
    assert_eq!(node.last_received().head.field("cookie"), Some(&*cookie));
    check_passed(&node.get("/header/x", &[("Authorization", &bearer)]).await);
    assert_eq!(node.last_received().head.values("authorization").count(), 0);
    check_passed(
        &node
            .get("/header-on/x", &[("Authorization", &bearer)])
            .await,
    );
    let received = node.last_received();
    assert_eq!(received.head.field("authorization"), Some(&*bearer));

    let before = node.upstream.received().len();
    // The wrong place is no place.
    let answer = node.get("/header/x", &[("Cookie", &cookie)]).await;
    check_problem(&answer, 401, "token_missing");
    let answer = node.get("/cookie/x", &[("Cookie", "a=b")]).await;
    check_problem(&answer, 401, "token_missing");
    // Two places: an upstream could believe the one that was not checked.
    let both = [("Cookie", &*cookie), ("Authorization", &*bearer)];
    let answer = node.get("/cookie/x", &both).await;
    check_problem(&answer, 400, "token_ambiguous");
    let twice = [("Cookie", &*cookie), ("Cookie", &*alone)];
    let answer = node.get("/cookie/x", &twice).await;
    check_problem(&answer, 400, "token_ambiguous");
    assert_eq!(node.upstream.received().len(), before);
}

#[tokio::test]
async fn encrypted_tokens_pass_where_they_are_asked_for() {
    let sealed = Issuer::new("sealed", A::Es256);
    let signed = Issuer::new("signed", A::Es256);
    let node = Plan::default()
        .settings("workers: 1")
        .resource(sealed.resource("encrypted: required"))
        .resource(signed.resource(""))
        .api("sealed", &sealed.authentication(""))
        .api("signed", &signed.authentication(""))
        .start()
        .await;
    let published = node.get("/.well-known/jwks.json", &[]).await;
    check_passed(&published);
    let keys = JwkSet::parse_public(&published.body).unwrap();
    let recipients: Vec<&Key> = keys
        .keys()
        .iter()
        .filter(|key| key.key_use() == Some(KeyUse::Encryption))
        .collect();
    assert!(!recipients.is_empty(), "{}", published.text());
    for recipient in recipients {
        // It does not say which of the algorithms for its type: all may be used.
        for algorithm in [M::EcdhEs, M::EcdhEsA128Kw, M::EcdhEsA256Kw] {
            for encryption in [ContentEncryption::A256Gcm, ContentEncryption::A128CbcHs256] {
                let encrypter = Encrypter::new(recipient, algorithm, encryption).unwrap();
                let encrypt = |issuer: &Issuer| {
                    sign_and_encrypt(&issuer.claims(), &issuer.signer, "at+jwt", &encrypter)
                        .unwrap()
                };
                check_passed(&node.get_with("/sealed/x", &encrypt(&sealed)).await);
                assert_eq!(node.last_received().target(), "/x");
                let answer = node.get_with("/signed/x", &encrypt(&signed)).await;
                check_problem(&answer, 401, "token_invalid");
                // What is inside is held to the same rules.
                let expired = sealed.claims().with_expiry(NumericDate(now().0 - 120));
                let token =
                    sign_and_encrypt(&expired, &sealed.signer, "at+jwt", &encrypter).unwrap();
                let answer = node.get_with("/sealed/x", &token).await;
                check_problem(&answer, 401, "token_expired");
            }
        }
    }
    let answer = node.get_with("/sealed/x", &sealed.token()).await;
    check_problem(&answer, 401, "token_invalid");
    check_passed(&node.get_with("/signed/x", &signed.token()).await);
    // Encrypted to somebody else.
    let algorithm = M::EcdhEsA256Kw;
    let other = Key::generate(Algorithm::KeyManagement(algorithm), None).unwrap();
    let encrypter = Encrypter::new(
        &other.public().unwrap(),
        algorithm,
        ContentEncryption::A256Gcm,
    )
    .unwrap();
    let token = sign_and_encrypt(&sealed.claims(), &sealed.signer, "at+jwt", &encrypter).unwrap();
    let answer = node.get_with("/sealed/x", &token).await;
    check_problem(&answer, 401, "token_invalid");
}
