//! Signed tokens of several issuers.

use super::super::Call;
use super::page_table;
use crate::node::Plan;
use crate::token::{Issuer, now};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_jose::key::{Encoding, Part};
use keyward_jose::{NumericDate, SignatureAlgorithm as A};
use serde_json::json;

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
    let confused = Issuer {
        url: second.url.clone(),
        ..Issuer::with_secret("confused", pem.as_bytes())
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
    let mut table = page_table("tokens").upstream_headers(&["authorization", "x-keyward-subject"]);
    let orders = || Call::get("/orders/7");
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
        ("in the query alone", Call::get("/orders/7?access_token=x")),
        (
            "of an issuer that the API does not name",
            orders().bearer(&stranger.token()),
        ),
        ("signed by another key", orders().bearer(&foreign.token())),
        (
            "signed by a public key as a secret (RS256 as HS256)",
            orders().bearer(&confused.token()),
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
