//! What is remembered of a caller fits the limits that hold now.

use super::member;
use crate::node::{Plan, check_passed, check_problem};
use crate::running::{edit, until_metric};
use crate::token::Issuer;
use keyward_jose::SignatureAlgorithm as A;

#[tokio::test]
async fn a_route_put_before_others_changes_nobodys_counts() {
    let issuer = Issuer::new("main", A::Es256);
    let limits = "rate_limits: [ { name: rate, by: [ subject, route ], requests: 5, per: 1h } ], \
                  quotas: [ { name: quota, by: [ subject, route ], requests: 7, per: month } ]";
    let routes = "{ name: one, match: { path: /one } }, { name: other, match: { path: /other } }";
    let node = Plan::default()
        .settings("workers: 1")
        .resource(issuer.resource(""))
        .api(
            "api",
            &format!(
                "{}, {limits}, routes: [ {routes} ]",
                issuer.authentication("")
            ),
        )
        .start()
        .await;
    let token = issuer.token();
    // Known from the third on, if not before.
    for left in [4, 3, 2, 1] {
        let answer = node.get_with("/api/one", &token).await;
        check_passed(&answer);
        assert_eq!(member(&answer, "rate", "r"), Some(left));
        assert_eq!(member(&answer, "quota", "r"), Some(left + 2));
    }
    edit(&node.process, |text| {
        text.replace(
            routes,
            &format!("{{ name: new, match: {{ path: /new }} }}, {routes}"),
        )
    });
    until_metric(&node.process, "keyward_revision", 2).await;
    // The same token, known from before: each route goes on from its own counts, the new one from none.
    for (path, left) in [("/api/new", 4), ("/api/one", 0), ("/api/other", 4)] {
        let answer = node.get_with(path, &token).await;
        check_passed(&answer);
        assert_eq!(member(&answer, "rate", "r"), Some(left), "{path}");
        assert_eq!(member(&answer, "quota", "r"), Some(left + 2), "{path}");
    }
    check_problem(
        &node.get_with("/api/one", &token).await,
        429,
        "rate_limited",
    );
}
