//! What each policy costs: the guarded call of `bench gateway`, and the same call with one policy more, on one node.

use crate::gateway::{self, Options, Scenario, Traffic};
use crate::peer::{ApiOfBench, Peer};
use crate::report::Bound;

/// The guarded call, and what it is with one policy more. The name of a row is the API's, too.
pub(crate) const APIS: &[ApiOfBench] = &[
    ApiOfBench {
        name: "guarded",
        more: "authorization: { scopes: [read] }",
    },
    ApiOfBench {
        name: "roles-and-claims",
        more: "authorization: { scopes: [read], any_scopes: [read, write], roles: [everyone], claims: { sub: { present: true }, aud: { contains: bench-api } } }",
    },
    ApiOfBench {
        name: "cedar-by-role",
        more: "authorization: { scopes: [read], policies: [by-role] }",
    },
    ApiOfBench {
        name: "cedar-by-call",
        more: "authorization: { scopes: [read], policies: [by-call] }",
    },
    ApiOfBench {
        name: "compression",
        more: "authorization: { scopes: [read] }, compression: { }",
    },
    ApiOfBench {
        name: "capture-of-none",
        more: "authorization: { scopes: [read] }, capture: { sample: 0 }",
    },
    ApiOfBench {
        name: "four-rate-limits",
        more: "authorization: { scopes: [read] }, rate_limits: [ { by: subject, requests: 1000000, per: 1s }, { by: subject, requests: 60000000, per: 1m }, { by: address, requests: 1000000, per: 1s }, { by: route, requests: 1000000, per: 1s } ]",
    },
];

/// Roles and Cedar policies that these APIs name: five policies each.
pub(crate) const RULES: &str = r#"
  - { kind: role, name: everyone, given_to: [ { issuer: bench } ] }
  - kind: access_policy
    name: by-role
    cedar: |
      permit (principal in Role::"everyone", action in Action::"read", resource);
      permit (principal in Role::"editor", action in Action::"write", resource);
      permit (principal in Role::"admin", action, resource);
      forbid (principal in Role::"suspended", action, resource);
      forbid (principal, action == Action::"DELETE", resource) unless { principal in Role::"admin" };
  - kind: access_policy
    name: by-call
    claims: { level: Long }
    cedar: |
      permit (principal in Role::"everyone", action in Action::"read", resource);
      permit (principal, action in Action::"write", resource)
      when { principal.claims has level && principal.claims.level >= 3 };
      forbid (principal, action in Action::"write", resource) when { context.hour >= 22 || context.hour < 6 };
      forbid (principal, action, resource) when { context.address.isInRange(ip("203.0.113.0/24")) };
      forbid (principal, action, resource)
      when { context.headers has "x-region" && context.headers["x-region"] != "eu" };
"#;

const fn scenario(name: &'static str, path: &'static str) -> Scenario {
    Scenario {
        name,
        peer: Peer::KeywardPolicies,
        path,
        traffic: Traffic::OneToken,
    }
}

const SCENARIOS: &[Scenario] = &[
    scenario("guarded", "/guarded/x"),
    scenario("roles and claims", "/roles-and-claims/x"),
    scenario("five Cedar policies by role", "/cedar-by-role/x"),
    scenario("five Cedar policies by call", "/cedar-by-call/x"),
    scenario("compression, not asked for", "/compression/x"),
    scenario("capture of no call", "/capture-of-none/x"),
    scenario("four rate limits", "/four-rate-limits/x"),
];

const fn within(of: &'static str, most_us: f64) -> Bound {
    Bound::Difference {
        of,
        to: "guarded",
        most_us,
    }
}

const BOUNDS: &[Bound] = &[
    within("roles and claims", 5.0),
    within("five Cedar policies by role", 15.0),
    within("five Cedar policies by call", 15.0),
    within("compression, not asked for", 5.0),
    within("capture of no call", 5.0),
    within("four rate limits", 5.0),
];

/// Measures, and prints the price of each over the guarded call.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    gateway::measure_all(options, SCENARIOS, BOUNDS)
}
