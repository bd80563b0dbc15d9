//! What the access log says of a decision, and what the caller is not told.

use crate::node::{Plan, check_passed, check_problem};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;
use keyward_testkit::until;
use serde_json::{Value, json};

#[tokio::test]
async fn the_log_names_the_policy_and_the_caller_is_not_told() {
    let issuer = Issuer::new("main", A::Es256);
    let node = Plan::default()
        .settings("workers: 1\naccess_log: { format: json, destination: { file: access.log } }")
        .resource(issuer.resource("roles_from: roles"))
        .resource("- { kind: access_policy, name: hours, claims: { level: Long }, cedar: '@id(\"in\") permit (principal in Role::\"in\", action, resource); @id(\"out\") forbid (principal in Role::\"out\", action, resource); @id(\"sum\") forbid (principal, action, resource) when { principal.claims has level && principal.claims.level + 1 > 9 };' }")
        .api("guarded", &format!("{}, authorization: {{ policies: [hours] }}", issuer.authentication("")))
        .start()
        .await;
    let token = |roles: Value, level: i64| {
        let claims = issuer.claims().with("roles", roles).unwrap();
        issuer.sign(&claims.with("level", json!(level)).unwrap())
    };
    check_passed(&node.get_with("/guarded/1", &token(json!(["in"]), 1)).await);
    let forbidden = node
        .get_with("/guarded/2", &token(json!(["in", "out"]), 1))
        .await;
    check_problem(&forbidden, 403, "policy_refused");
    let unpermitted = node.get_with("/guarded/3", &token(json!([]), 1)).await;
    check_problem(&unpermitted, 403, "policy_refused");
    let failed = node
        .get_with("/guarded/4", &token(json!(["in"]), i64::MAX))
        .await;
    check_problem(&failed, 403, "policy_refused");
    for answer in [&forbidden, &unpermitted, &failed] {
        let text = answer.text();
        assert!(
            !text.contains("hours") && !text.contains("level") && !text.contains("out"),
            "{text}"
        );
        // Not a matter of scopes: no challenge sends a client for another token.
        assert_eq!(answer.head.field("www-authenticate"), None);
    }
    let path = node.process.folder().join("access.log");
    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    };
    until("four lines of the log", async || lines().len() >= 4).await;
    let mut lines = lines();
    lines.sort_by_key(|line| line["path"].to_string());
    let shown: Vec<_> = lines
        .iter()
        .map(|line| (&line["policy"], &line["because"]))
        .collect();
    assert_eq!(shown[0], (&json!("hours/in"), &Value::Null));
    assert_eq!(
        shown[1],
        (
            &json!("hours/out"),
            &json!("forbidden by the policy hours/out")
        )
    );
    assert_eq!(
        shown[2].1,
        &json!("permitted by none of the policies hours")
    );
    let why = shown[3].1.as_str().unwrap();
    assert!(
        why.contains("hours/sum") && why.contains("overflow"),
        "{why}"
    );
}
