//! Signed tokens of several issuers.

use super::super::{Call, Table};
use super::page_table;
use crate::node::Plan;
use crate::token::{Issuer, now};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_jose::jws::{Header, compact};
use keyward_jose::jwt::{self, Claims};
use keyward_jose::key::{Encoding, Part};
use keyward_jose::{LocalSigner, NumericDate, SignatureAlgorithm as A};
use serde_json::{Value, json};

/// A token signed by this secret, whatever its header says; no key of ours would sign some of them.
fn hmac_token(header: &str, claims: &Claims, secret: &[u8]) -> String {
    let claims = serde_json::to_vec(&claims.clone().into_map()).unwrap();
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn orders() -> Call {
    Call::get("/orders/7")
}

const SECRET: &str = "a-shared-secret-of-more-than-32-bytes";

#[tokio::test]
async fn tokens_of_several_issuers_by_header() {
    let (first, second) = (
        Issuer::new("first", A::Es256),
        Issuer::new("second", A::Rs256),
    );
    let shared = Issuer::with_secret("shared", SECRET.as_bytes());
    let stranger = Issuer::new("stranger", A::Es256);
    let node = Plan::default()
        .settings("workers: 1")
        .resource(first.resource(""))
        .resource(second.resource(""))
        .resource(shared.resource_with(&format!("secret: {SECRET}"), ""))
        .api(
            "orders",
            "authentication: { issuers: [first, second, shared], audience: test-api }, authorization: { scopes: [read] }",
        )
        .api(
            "cookie",
            "authentication: { issuers: [first], audience: test-api, token: { cookie: session } }",
        )
        .start()
        .await;
    // The oldest attack on tokens: a public key as the secret of an HMAC.
    let pem = second.key.to_pem(Part::Public, Encoding::Spki).unwrap();
    let der = second.key.to_der(Part::Public, Encoding::Spki).unwrap();
    let jwk = second.public_key();
    let hs256 = r#"{"alg":"HS256","typ":"at+jwt"}"#;
    let confused = |secret: &[u8]| orders().bearer(&hmac_token(hs256, &second.claims(), secret));
    // What an issuer with a shared secret would have to have signed.
    let headed =
        |header: &str| orders().bearer(&hmac_token(header, &shared.claims(), SECRET.as_bytes()));
    let pathed = first
        .key
        .clone()
        .with_kid(Some("../../dev/null".to_owned()));
    let pathed = LocalSigner::new(&pathed.unwrap(), A::Es256).unwrap();
    // A key that the token brings along, which verifies it.
    let own = Issuer::new("own", A::Es256);
    let own_key: Value = serde_json::from_str(&own.public_key()).unwrap();
    let bringing = |name: &str, value: Value| {
        let header = Header::for_signer(&own.signer).with_typ("at+jwt");
        let header = header.with(name, value).unwrap();
        let claims = serde_json::to_vec(&first.claims().into_map()).unwrap();
        orders().bearer(&compact::sign(&claims, &header, &own.signer).unwrap())
    };
    let good = first.token();
    let (_, signature) = good.rsplit_once('.').unwrap();
    let claims = good.split('.').nth(1).unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    let foreign = Issuer {
        url: first.url.clone(),
        ..Issuer::new("foreign", A::Es256)
    };
    let expired = first.sign(&first.claims().with_expiry(NumericDate(now().0 - 600)));
    let mut table = page_table(Table::new("authentication", "tokens"))
        .upstream_headers(&["authorization", "x-keyward-subject"]);
    for (case, call) in [
        ("a token of the first issuer", orders().bearer(&good)),
        (
            "of the second, by another algorithm",
            orders().bearer(&second.token()),
        ),
        (
            "of one with a shared secret (HS256)",
            orders().bearer(&shared.token()),
        ),
        (
            "the scheme in another case",
            orders().header("Authorization", &format!("bEARER {good}")),
        ),
        ("nothing", orders()),
        (
            "another scheme",
            orders().header("Authorization", "Basic YTpi"),
        ),
        (
            "a scheme without a token",
            orders().header("Authorization", "Bearer"),
        ),
        ("two of them", orders().bearer(&good).bearer(&good)),
        (
            "one more in the query",
            Call::get("/orders/7?access_token=x").bearer(&good),
        ),
        (
            "one more in the query, in another spelling",
            Call::get("/orders/7?access%5Ftoken=x").bearer(&good),
        ),
        ("in the query alone", Call::get("/orders/7?access_token=x")),
        (
            "of an issuer that the API does not name",
            orders().bearer(&stranger.token()),
        ),
        ("signed by another key", orders().bearer(&foreign.token())),
        (
            "signed by a public key as a secret (RS256 as HS256), in PEM",
            confused(pem.as_bytes()),
        ),
        (
            "in PEM without its last line end",
            confused(pem.trim_end().as_bytes()),
        ),
        ("in DER", confused(&der)),
        ("as a JWK", confused(jwk.as_bytes())),
        (
            "signed by the key that it brings along (`jwk`)",
            bringing("jwk", own_key),
        ),
        (
            "signed by a key that it says where to fetch (`jku`)",
            bringing("jku", json!(format!("{}/keys", node.upstream.url()))),
        ),
        (
            "naming a key by a path (`kid`)",
            orders().bearer(&jwt::sign(&first.claims(), &pathed, "at+jwt").unwrap()),
        ),
        (
            "with an extension that must be understood (`crit`)",
            headed(r#"{"alg":"HS256","typ":"at+jwt","crit":["exp"],"exp":1}"#),
        ),
        (
            "with an unencoded payload (`b64`)",
            headed(r#"{"alg":"HS256","typ":"at+jwt","crit":["b64"],"b64":false}"#),
        ),
        (
            "with a header that says one thing twice",
            headed(r#"{"alg":"HS256","alg":"HS256","typ":"at+jwt"}"#),
        ),
        (
            "of another kind than an access token (`typ`)",
            headed(r#"{"alg":"HS256","typ":"logout+jwt"}"#),
        ),
        ("`alg: none`", orders().bearer(&format!("{none}.{claims}."))),
        (
            "`alg: none` with a signature",
            orders().bearer(&format!("{none}.{claims}.{signature}")),
        ),
        (
            "for another audience",
            orders().bearer(&first.token_with("aud", Some(json!("other")))),
        ),
        (
            "for an audience that is no text",
            orders().bearer(&first.token_with("aud", Some(json!(7)))),
        ),
        (
            "for nobody",
            orders().bearer(&first.token_with("aud", None)),
        ),
        (
            "of an issuer that is no text",
            orders().bearer(&first.token_with("iss", Some(json!([first.url])))),
        ),
        (
            "before its time",
            orders().bearer(&first.token_with("nbf", Some(json!(now().0 + 600)))),
        ),
        ("expired", orders().bearer(&expired)),
        (
            "without an expiry",
            orders().bearer(&first.token_with("exp", None)),
        ),
        (
            "without the scope",
            orders().bearer(&first.token_with("scope", Some(json!("write")))),
        ),
        (
            "no token at all behind `Bearer`",
            orders().bearer("not-a-token"),
        ),
        (
            "bound in a way that can't be checked",
            orders().bearer(&first.token_with("cnf", Some(json!({ "jwk": {} })))),
        ),
        (
            "in the cookie that the API names",
            Call::get("/cookie/7").header("Cookie", &format!("a=b; session={good}")),
        ),
        (
            "in the header of that API",
            Call::get("/cookie/7").bearer(&good),
        ),
        (
            "in both",
            Call::get("/cookie/7")
                .header("Cookie", &format!("session={good}"))
                .bearer(&good),
        ),
    ] {
        table.drive(&node, case, call).await;
    }
    table.finish();
}
