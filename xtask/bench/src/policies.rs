//! What each policy costs: the guarded call of `bench gateway`, and the same call with one policy more, on one node.

use crate::gateway::{self, Options, Scenario, Traffic};
use crate::peer::{ApiOfBench, Peer};
use crate::report::Bound;

/// The guarded call, and what it is with one policy more. The name of a row is the API's, too.
pub(crate) const APIS: &[ApiOfBench] = &[
    api("guarded", &[]),
    api("roles-and-claims", &[ROLES]),
    api(
        "cedar-by-role",
        &["authorization: { scopes: [read], policies: [by-role] }"],
    ),
    api(
        "cedar-by-call",
        &["authorization: { scopes: [read], policies: [by-call] }"],
    ),
    api("ip-filter", &[IP_FILTER]),
    api("cors", &[CORS]),
    api("security-headers", &["security_headers: true"]),
    api("size-limits", &[SIZES]),
    api("compression", &["compression: { }"]),
    api("capture-of-none", &["capture: { sample: 0 }"]),
    api("four-rate-limits", &[RATES]),
    api("quota-and-concurrency", &[QUOTA]),
    api("validation", &[VALIDATION]),
    api("cache", &["cache: true"]),
    api("transformation", &[TRANSFORMATION]),
    api("external-decision", &[DECISION]),
    api(
        "every",
        &[
            ROLES,
            IP_FILTER,
            CORS,
            "security_headers: true",
            SIZES,
            "compression: { }",
            "capture: { sample: 0 }",
            RATES,
            QUOTA,
            VALIDATION,
            "cache: true",
            TRANSFORMATION,
            DECISION,
        ],
    ),
    api(
        "every-and-cedar",
        &[
            "authorization: { scopes: [read], roles: [everyone], claims: { sub: { present: true } }, policies: [by-call] }",
            IP_FILTER,
            CORS,
            "security_headers: true",
            SIZES,
            "compression: { }",
            "capture: { sample: 0 }",
            RATES,
            QUOTA,
            VALIDATION,
            "cache: true",
            TRANSFORMATION,
            DECISION,
        ],
    ),
];

const ROLES: &str = "authorization: { scopes: [read], any_scopes: [read, write], roles: [everyone], claims: { sub: { present: true }, aud: { contains: bench-api } } }";
const IP_FILTER: &str = "ip_filter: { allow: [127.0.0.0/8, 10.0.0.0/8, \"2001:db8::/32\"], deny: [127.0.0.66, 10.1.0.0/16] }";
const CORS: &str = "cors: { origins: [\"https://app.example\"], credentials: true }";
const SIZES: &str = "size_limits: { body: 1MiB, url: 2KiB, headers: 16KiB, header_fields: 50 }";
const RATES: &str = "rate_limits: [ { by: subject, requests: 1000000, per: 1s }, { by: subject, requests: 60000000, per: 1m }, { by: address, requests: 1000000, per: 1s }, { by: route, requests: 1000000, per: 1s } ]";
const QUOTA: &str = "quotas: [ { by: subject, requests: 4000000000, per: month } ], concurrency: [ { by: subject, calls: 1000 } ]";
const VALIDATION: &str = "validation: { openapi: { openapi: 3.1.0, info: { title: a, version: v1 }, paths: { \"/{item}\": { get: { parameters: [ { in: path, name: item, required: true, schema: { type: string, maxLength: 20 } }, { in: query, name: page, schema: { type: integer, maximum: 100 } } ], responses: { } } } } } }";
const TRANSFORMATION: &str =
    "transformation: { request: { headers: { set: { x-customer: \"{{ caller.subject }}\" } } } }";
const DECISION: &str = "external_decision: { upstream: echo, set_headers: [x-user], cache: { ttl: 60s, any_path: true } }";

const fn api(name: &'static str, more: &'static [&'static str]) -> ApiOfBench {
    ApiOfBench { name, more }
}

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
        headers: "origin: https://app.example\r\n",
        ..gateway::scenario(name, Peer::KeywardPolicies, Traffic::OneToken).at(path)
    }
}

const SCENARIOS: &[Scenario] = &[
    scenario("guarded", "/guarded/x"),
    scenario("roles and claims", "/roles-and-claims/x"),
    scenario("five Cedar policies by role", "/cedar-by-role/x"),
    scenario("five Cedar policies by call", "/cedar-by-call/x"),
    scenario("IP filter", "/ip-filter/x"),
    scenario("CORS", "/cors/x"),
    scenario("security headers", "/security-headers/x"),
    scenario("size limits", "/size-limits/x"),
    scenario("compression, not asked for", "/compression/x"),
    scenario("capture of no call", "/capture-of-none/x"),
    scenario("four rate limits", "/four-rate-limits/x"),
    scenario("quota and calls under way", "/quota-and-concurrency/x"),
    scenario("validation of parameters", "/validation/x?page=7"),
    scenario("cache of what can't be kept", "/cache/x"),
    scenario("a header by a template", "/transformation/x"),
    scenario("external decision, remembered", "/external-decision/x"),
    scenario("all of these but Cedar", "/every/x?page=7"),
    scenario("all of these", "/every-and-cedar/x?page=7"),
];

const fn within(of: &'static str, most_us: f64) -> Bound {
    Bound::Difference {
        of,
        to: "guarded",
        most_us,
    }
}

const BOUNDS: &[Bound] = &[
    within("five Cedar policies by role", 15.0),
    within("five Cedar policies by call", 15.0),
    within("all of these but Cedar", 5.0),
    within("all of these", 15.0),
];

/// Measures, and prints the price of each over the guarded call.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    gateway::measure_all(options, SCENARIOS, BOUNDS)
}
