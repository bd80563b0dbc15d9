//! What is wrong with the text of policies, and where.

use super::{api, issuer, try_rule};
use crate::check;
use keyward_model::resource::access_policy::{AccessPolicy, ClaimType, PolicySource};
use serde_json::{Value, json};

fn policy(text: &str) -> AccessPolicy {
    AccessPolicy {
        source: PolicySource::Text(text.into()),
        claims: [
            ("tenant".into(), ClaimType::String),
            ("level".into(), ClaimType::Long),
        ]
        .into(),
    }
}

/// A mistake: its code, a part of what is said, and the text that it points at. What was said instead, if it is
/// another one.
fn refused(text: &str, code: &str, said: &str, at: &str) -> Option<String> {
    let flaws = check("orders", &policy(text));
    let pointed = |flaw: &crate::Flaw| text[flaw.offset.unwrap_or_default()..].to_owned();
    let good = flaws.iter().any(|flaw| {
        flaw.code == code
            && flaw.fatal
            && flaw.message.contains(said)
            && !flaw.message.contains("policy0")
            && pointed(flaw).starts_with(at)
    });
    let told = flaws
        .iter()
        .map(|flaw| format!("  {} at {:?}: {}", flaw.code, pointed(flaw), flaw.message));
    let told: Vec<_> = told.collect();
    (!good).then(|| {
        format!(
            "{text}\n {code} {said:?} at {at:?} is not among\n{}",
            told.join("\n")
        )
    })
}

/// All that is not as expected, at once.
#[track_caller]
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn when(condition: &str) -> String {
    format!("permit (principal, action, resource)\nwhen {{ {condition} }};")
}

#[test]
fn mistakes_in_policies_are_told_with_their_place() {
    let mut wrong: Vec<String> = Vec::new();
    wrong.extend(refused(
        "permit (principal, action, resource)",
        "cedar_syntax",
        "unexpected end",
        "",
    ));
    wrong.extend(refused(
        "permit (principal, action);",
        "cedar_syntax",
        "resource",
        ");",
    ));
    wrong.extend(refused(
        "allow (principal, action, resource);",
        "cedar_syntax",
        "allow",
        "allow",
    ));
    wrong.extend(refused("", "cedar_empty", "no policy", ""));
    wrong.extend(refused("// nothing", "cedar_empty", "no policy", ""));
    wrong.extend(refused(
        "permit (principal == ?principal, action, resource);",
        "cedar_template",
        "nobody fills in",
        "?principal",
    ));
    wrong.extend(refused(
        "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") forbid (principal, action, resource);",
        "duplicate_name",
        "two policies are called `orders/a`",
        "@id",
    ));
    for (condition, said, at) in [
        (
            "principal.subjekt == \"x\"",
            "did you mean `subject`?",
            "subjekt",
        ),
        (
            "principal.subject == \"x\"",
            "ask first",
            "principal.subject",
        ),
        (
            "principal.claims has tenat && principal.claims.tenat == \"x\"",
            "claim `tenat` is not declared: did you mean `tenant`?",
            "tenat",
        ),
        (
            "principal.claims.tenant == \"x\"",
            "ask first",
            "principal.claims.tenant",
        ),
        (
            "principal.claims has tenant && principal.claims.tenant > 3",
            "Long",
            "principal.claims.tenant",
        ),
        (
            "principal.claims has level && principal.claims.level like \"3*\"",
            "String",
            "principal.claims.level",
        ),
        (
            "principal.claims has level && principal.claims.level == \"3\"",
            "type",
            "principal.claims.level",
        ),
        (
            "context.adress.isIpv4()",
            "did you mean `address`?",
            "adress",
        ),
        (
            "context.address == \"192.0.2.1\"",
            "type",
            "context.address",
        ),
        (
            "context.address.isInRange(ip(\"192.0.2.0/33\"))",
            "IP address",
            "ip(",
        ),
        (
            "context.time > datetime(\"yesterday\")",
            "datetime",
            "datetime(",
        ),
        ("context.hour", "Bool", "context.hour"),
        (
            "context.headers[\"x-region\"] == \"eu\"",
            "ask first",
            "context.headers",
        ),
        ("principal in Group::\"staff\"", "Group", "Group"),
        ("principal in Api::\"orders\"", "", ""),
        (
            "resource.path == \"/x\"",
            "`resource` has no `path`",
            "path",
        ),
    ] {
        let text = when(condition);
        if at.is_empty() {
            // It can never be so: said, and no mistake.
            assert!(
                check("orders", &policy(&text))
                    .iter()
                    .all(|flaw| !flaw.fatal),
                "{text}"
            );
        } else {
            wrong.extend(refused(&text, "cedar_type", said, at));
        }
    }
    wrong.extend(refused(
        "permit (principal, action == Action::\"GETT\", resource);",
        "cedar_type",
        "GET",
        "",
    ));
    none(wrong);
}

#[test]
fn headers_that_anyone_can_send_or_that_hold_a_credential_are_refused() {
    let mut wrong: Vec<String> = Vec::new();
    for (name, said) in [
        ("Authorization", "holds the credential"),
        ("cookie", "holds credentials"),
        ("x-forwarded-for", "context.address"),
        ("X-Real-IP", "context.address"),
        ("host", "context.host"),
        ("x-keyward-subject", "read `principal`"),
        ("X-Region", "write `x-region`"),
        ("x region", "no header name"),
    ] {
        let text = when(&format!(
            "context.headers has \"{name}\" && context.headers[\"{name}\"] == \"x\""
        ));
        wrong.extend(refused(&text, "cedar_header", said, &format!("\"{name}\"")));
    }
    none(wrong);
}

#[test]
fn policies_that_never_apply_are_told_and_taken() {
    let flaws = check("orders", &policy(&when("false")));
    assert!(
        flaws
            .iter()
            .any(|flaw| flaw.code == "cedar_warning" && !flaw.fatal),
        "{flaws:?}"
    );
}

#[test]
fn what_policies_and_routes_must_agree_on() {
    let with = |policies: Value| try_rule(&api(&json!({ "policies": policies })), &[issuer()]);
    let reading = |condition: &str| json!([ { "cedar": when(condition) } ]);
    let refused = |policies: Value| with(policies).unwrap_err().to_string();
    assert!(
        with(reading(
            "context.parameters has user && context.parameters.user == \"x\""
        ))
        .is_ok()
    );
    let unknown = refused(reading(
        "context.parameters has usr && context.parameters.usr == \"x\"",
    ));
    assert!(
        unknown.contains("`usr`") && unknown.contains("`user`, `order`"),
        "{unknown}"
    );
    let conflict = refused(json!([
        { "cedar": when("principal.claims has a && principal.claims.a == \"x\""), "claims": { "a": "String" } },
        { "cedar": when("principal.claims has a && principal.claims.a == 1"), "claims": { "a": "Long" } },
    ]));
    assert!(conflict.contains("claim `a` is String"), "{conflict}");
    assert!(refused(json!(["nobody"])).contains("there is no access policy `nobody`"));
    let mut own = api(
        &json!({ "policies": reading("context.headers has \"x-user\" && context.headers[\"x-user\"] == \"x\"") }),
    );
    let keyward_model::resource::Spec::Api(declared) = &mut own.spec else {
        panic!("not an API");
    };
    declared.identity_headers.headers.push((
        "x-user".into(),
        keyward_model::resource::api::IdentityField::Subject,
    ));
    let forged = try_rule(&own, &[issuer()]).unwrap_err().to_string();
    assert!(forged.contains("`x-user`"), "{forged}");
}

#[test]
fn what_has_not_changed_is_taken_over_by_the_next_catalogue() {
    use crate::Catalogue;
    use keyward_model::id::TeamId;
    use keyward_model::resource::Spec;
    let policy = |cedar: &str| json!({ "kind": "access_policy", "name": "p", "cedar": cedar });
    let orders = api(&json!({ "policies": ["p"] }));
    let Spec::Api(declared) = &orders.spec else {
        panic!("not an API");
    };
    let inputs = |cedar: &str, before: Option<&Catalogue>| {
        let resources = [super::resource(&policy(cedar)), orders.clone()];
        let catalogue = Catalogue::new(&resources, before).unwrap();
        let inputs = catalogue
            .inputs(TeamId::DEFAULT, declared)
            .unwrap()
            .unwrap();
        (catalogue, inputs)
    };
    let text = "permit (principal, action, resource);";
    let (first, of_first) = inputs(text, None);
    let (_, again) = inputs(text, Some(&first));
    assert_eq!(of_first, again);
    let (_, changed) = inputs("forbid (principal, action, resource);", Some(&first));
    assert_ne!(of_first, changed);
}
