//! Several methods in a stated order.

use super::super::{Call, Table};
use super::page_table;
use crate::node::Plan;
use crate::token::Issuer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_jose::SignatureAlgorithm as A;
use keyward_model::ApiKey;

const PASSWORD: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

#[tokio::test]
async fn what_is_presented_decides_and_the_first_of_two() {
    let issuer = Issuer::new("main", A::Es256);
    let key = ApiKey::from_random(&[9; 32]).reveal().to_owned();
    let node = Plan::default()
        .settings("workers: 1")
        .resource(issuer.resource(""))
        .resource(format!("- {{ kind: credential, name: machine, api_key: {key}, scopes: [read] }}"))
        .resource(format!("- {{ kind: credential, name: batch, password: {PASSWORD} }}"))
        .api(
            "open",
            "authentication: [ { issuers: [main], audience: test-api }, { api_key: { header: X-API-Key } }, { basic: true }, { anonymous: true } ], routes: [ { name: all, upstream: echo }, { name: guarded, match: { prefix: /guarded }, upstream: echo, authorization: { scopes: [read] } }, { name: staff, match: { prefix: /staff }, upstream: echo, authorization: { any_roles: [staff] } } ]",
        )
        .api(
            "machines",
            "authentication: [ { api_key: { header: X-API-Key } }, { basic: true } ]",
        )
        .api(
            "passed-on",
            "authentication: [ { issuers: [main], audience: test-api, forward_token: true }, { basic: true } ]",
        )
        .api(
            "closed",
            "authentication: [ { api_key: { header: X-API-Key } }, { issuers: [main], audience: test-api } ]",
        )
        .api(
            "pages",
            "authentication: [ { issuers: [main], audience: test-api, token: { cookie: session } }, { api_key: { header: X-API-Key } }, { anonymous: true } ]",
        )
        .api(
            "keys",
            "authentication: [ { api_key: { header: X-API-Key } }, { anonymous: true } ]",
        )
        .start()
        .await;
    let token = issuer.token();
    let basic = STANDARD.encode(format!("batch:{PASSWORD}"));
    let mut table = page_table(Table::new("authentication", "several"))
        .upstream_headers(&[
            "authorization",
            "x-api-key",
            "x-keyward-issuer",
            "x-keyward-subject",
        ])
        .naming(&key, "KEY")
        .naming("\t", "\\t");
    let open = || Call::get("/open/7");
    let pages = || Call::get("/pages/7");
    let session = format!("session={token}");
    let closed = || Call::get("/closed/7");
    let basic = format!("Basic {basic}");
    for (case, call) in [
        ("a token", open().bearer(&token)),
        ("an API key", open().header("X-API-Key", &key)),
        (
            "a name and password",
            open().header("Authorization", &basic),
        ),
        ("nothing: a call without a name", open()),
        (
            "nothing, where a scope is asked for",
            Call::get("/open/guarded"),
        ),
        (
            "a token and a key: the first of the API's methods counts",
            open().bearer(&token).header("X-API-Key", &key),
        ),
        (
            "a wrong token and a good key: no second try",
            open().bearer("wrong").header("X-API-Key", &key),
        ),
        (
            "a wrong key: never a call without a name",
            open().header("X-API-Key", "kwk_wrong"),
        ),
        (
            "a scheme that no method reads",
            open().header("Authorization", "Negotiate abc"),
        ),
        (
            "an empty `Authorization`",
            open().header("Authorization", ""),
        ),
        (
            "nothing, where a role is asked for",
            Call::get("/open/staff"),
        ),
        (
            "a key without the role",
            Call::get("/open/staff").header("X-API-Key", &key),
        ),
        (
            "a token in the query alone: never a call without a name",
            Call::get("/open/7?access_token=x"),
        ),
        (
            "a token in the query, and a key",
            Call::get("/open/7?a=b&access_token=x").header("X-API-Key", &key),
        ),
        (
            "a token in the query, and one in the header",
            Call::get("/open/7?access_token=x").bearer(&token),
        ),
        (
            "a token in the query of an API that takes none",
            Call::get("/machines/7?access_token=x").header("X-API-Key", &key),
        ),
        (
            "a key that has the scope",
            Call::get("/open/guarded").header("X-API-Key", &key),
        ),
        (
            "a password without the scope",
            Call::get("/open/guarded").header("Authorization", &basic),
        ),
        (
            "the other order: the key counts",
            closed().bearer(&token).header("X-API-Key", &key),
        ),
        ("there, a token alone", closed().bearer(&token)),
        ("there, nothing", closed()),
        (
            "there, a wrong key and a good token",
            closed().bearer(&token).header("X-API-Key", "kwk_wrong"),
        ),
        (
            "a good key, and a name and password that nobody checked",
            Call::get("/machines/7")
                .header("X-API-Key", &key)
                .header("Authorization", "Basic YWRtaW46YWRtaW4="),
        ),
        (
            "the same in a form that other servers may read",
            Call::get("/machines/7")
                .header("X-API-Key", &key)
                .header("Authorization", "Basic\tYWRtaW46YWRtaW4="),
        ),
        (
            "a token that is passed on, where the other method reads the same header",
            Call::get("/passed-on/7").bearer(&token),
        ),
        (
            "a token in the cookie that the API names",
            pages().header("Cookie", &session),
        ),
        ("there, nothing: a call without a name", pages()),
        (
            "there, a good token in the header: never a call without a name",
            pages().bearer(&token),
        ),
        (
            "a wrong one, in a form that other servers may read",
            pages().header("Authorization", "bearer\twrong"),
        ),
        (
            "one with a proof",
            pages()
                .header("Authorization", &format!("DPoP {token}"))
                .header("DPoP", "x"),
        ),
        (
            "a token in the cookie and one in the header",
            pages().header("Cookie", &session).bearer(&token),
        ),
        (
            "a good key, and a token in the header that nobody checked",
            pages().header("X-API-Key", &key).bearer(&token),
        ),
        (
            "what is no token is the upstream's own",
            pages().header("Authorization", "Basic YTpi"),
        ),
        (
            "so is a token, of an API that takes none",
            Call::get("/keys/7").bearer("abc"),
        ),
        (
            "a key twice",
            closed().header("X-API-Key", &key).header("X-API-Key", "x"),
        ),
    ] {
        table.drive(&node, case, call).await;
    }
    table.finish();
}
