use super::*;
use crate::management::{ManagementRefusal, Named, Place, Scope, decide, decide_any, decide_of};
use keyward_model::Timestamp;
use keyward_model::id::TeamId;
use std::collections::BTreeMap;

const TEAM: TeamId = TeamId::from_u128(7);
const OTHER: TeamId = TeamId::from_u128(8);
/// A Tuesday, at ten in the morning.
const NOW: Timestamp = Timestamp::from_seconds(1_795_514_400);

const APIS: Subject = Subject::Resources(Kind::Api);

fn held(name: &str, text: &str) -> HeldRole {
    HeldRole {
        name: name.parse().unwrap(),
        role: CustomRole::new(name, text).map(Arc::new),
    }
}

fn manager(built_in: &[ManagementRole], custom: &[(&str, &str)]) -> Manager {
    let custom = custom.iter().map(|(name, text)| {
        let held = held(name, text);
        assert!(held.role.is_ok(), "{held:?}");
        held
    });
    Manager {
        name: "alice".into(),
        roles: BTreeMap::from([(TEAM, built_in.iter().copied().collect())]),
        custom: BTreeMap::from([(TEAM, custom.collect())]),
        scopes: Scope::all().collect(),
        team: TEAM,
        token: "t1".into(),
        address: [10, 1, 2, 3].into(),
        at: NOW,
    }
}

fn api(name: &str) -> Option<Named<'_>> {
    Some(Named {
        name,
        version: Some("v1"),
    })
}

#[track_caller]
fn check(manager: &Manager, action: Action, of: Option<Named<'_>>, policy: Result<&str, &str>) {
    let manager = Arc::new(manager.clone());
    let decided = decide_of(&manager, action, Place::Team(TEAM), of);
    let told = decided.map(|permit| permit.policy().to_string());
    match (told, policy) {
        (Ok(told), Ok(policy)) => assert_eq!(told, policy, "{action}"),
        (Err(why), Err(said)) => assert!(why.to_string().contains(said), "{action}: {why}"),
        (told, _) => panic!("{action}: {told:?} and not {policy:?}"),
    }
}

#[test]
fn a_custom_role_allows_what_its_policies_say_by_their_names_and_nothing_else() {
    let deployer = manager(
        &[],
        &[(
            "deployer",
            r#"
            @id("shop")
            permit (principal, action in Action::"publisher", resource)
            when { resource has name && resource.name like "shop-*" };
            @id("see")
            permit (principal, action == Action::"upstreams:read", resource);
            "#,
        )],
    );
    let none = Err("none of the roles");
    check(
        &deployer,
        Action::write(APIS),
        api("shop-a"),
        Ok("deployer/shop"),
    );
    check(
        &deployer,
        Action::read(APIS),
        api("shop-a"),
        Ok("deployer/shop"),
    );
    check(&deployer, Action::write(APIS), api("pay"), none);
    check(&deployer, Action::write(APIS), None, none);
    let upstreams = Subject::Resources(Kind::Upstream);
    check(&deployer, Action::read(upstreams), None, Ok("deployer/see"));
    check(&deployer, Action::write(upstreams), api("pay"), none);
    // Not of publishers.
    check(&deployer, Action::write(Subject::Keys), api("shop-a"), none);
    let deployer = Arc::new(deployer);
    for place in [Place::Team(OTHER), Place::Deployment] {
        for action in Action::all() {
            assert!(decide_of(&deployer, action, place, api("shop-a")).is_err());
        }
    }
}

#[test]
fn where_the_name_is_not_known_yet_it_is_asked_of_each() {
    let text = r#"permit (principal, action == Action::"apis:write", resource) when { resource has name && resource.name == "a" };"#;
    let who = Arc::new(manager(&[], &[("r", text)]));
    let here = Place::Team(TEAM);
    let permit = decide_any(&who, Action::write(APIS), here).unwrap();
    let of = |name| {
        permit.of(Named {
            name,
            version: None,
        })
    };
    assert_eq!(&**of("a").unwrap().policy(), "r");
    assert_eq!(of("b").unwrap_err(), ManagementRefusal::Role);
    assert!(decide_any(&who, Action::read(APIS), here).is_err());
}

/// Whatever is written, in whichever words: owners have more, and what rights are given by is theirs alone.
#[test]
fn no_custom_role_gives_more_than_an_owner_has_or_what_rights_are_given_by() {
    let everything = "permit (principal, action, resource);";
    let written = r#"permit (principal, action in [Action::"read", Action::"write"], resource);"#;
    for text in [everything, written] {
        let who = Arc::new(manager(&[], &[("all", text)]));
        for action in Action::all() {
            let given = OWNED.contains(&action) && !GIVING.contains(&action);
            let of = api("a");
            let decided = decide_of(&who, action, Place::Team(TEAM), of);
            assert_eq!(decided.is_ok(), given, "{action}");
            let any = decide_any(&who, action, Place::Team(TEAM));
            assert_eq!(any.is_ok(), given, "{action}");
            assert!(decide(&who, action, Place::Deployment).is_err(), "{action}");
            let elsewhere = decide_any(&who, action, Place::Team(OTHER)).map(|_| ());
            assert_eq!(elsewhere, Err(ManagementRefusal::Hidden), "{action}");
        }
    }
    for action in GIVING {
        assert!(OWNED.contains(&action), "{action}");
    }
}

#[test]
fn what_one_role_forbids_no_other_allows() {
    let office = (
        "office",
        r#"@id("from-elsewhere") forbid (principal, action in Action::"write", resource) unless { context.address.isInRange(ip("10.0.0.0/8")) };"#,
    );
    let hours = (
        "hours",
        r#"@id("weekend") forbid (principal, action, resource) when { context.weekday > 5 || context.hour < 6 };"#,
    );
    let mut who = manager(&[ManagementRole::Publisher], &[office, hours]);
    check(&who, Action::write(APIS), api("a"), Ok("publisher"));
    who.address = [192, 0, 2, 1].into();
    check(
        &who,
        Action::write(APIS),
        api("a"),
        Err("office/from-elsewhere"),
    );
    check(&who, Action::read(APIS), api("a"), Ok("publisher"));
    // An address of IPv4 that came as IPv6 is the same.
    who.address = std::net::Ipv4Addr::new(10, 1, 1, 1).to_ipv6_mapped().into();
    check(&who, Action::write(APIS), api("a"), Ok("publisher"));
    who.at = Timestamp::from_seconds(NOW.as_seconds() + 4 * 86_400);
    check(&who, Action::read(APIS), api("a"), Err("hours/weekend"));
}

#[test]
fn whoever_is_held_back_gives_no_rights_and_an_operator_is_not_held_back() {
    let text = r#"forbid (principal, action == Action::"keys:write", resource);"#;
    let mut owner = manager(&[ManagementRole::Owner], &[("no-keys", text)]);
    check(
        &owner,
        Action::write(Subject::Keys),
        api("a"),
        Err("no-keys"),
    );
    check(&owner, Action::write(APIS), api("a"), Ok("owner"));
    for action in GIVING {
        check(&owner, action, None, Err("gives no rights"));
    }
    let operator = BTreeSet::from([ManagementRole::Operator]);
    owner.roles.insert(TeamId::DEFAULT, operator);
    check(
        &owner,
        Action::write(Subject::Keys),
        api("a"),
        Ok("operator"),
    );
    // One that only allows holds nobody back.
    let more = r#"permit (principal, action == Action::"keys:write", resource);"#;
    let owner = manager(&[ManagementRole::Owner], &[("more", more)]);
    for action in GIVING {
        check(&owner, action, None, Ok("owner"));
    }
}

#[test]
fn a_role_that_fails_or_is_gone_allows_nothing_at_all() {
    // The sum is too large for a number.
    let fails = r#"permit (principal, action == Action::"apis:read", resource) when { context.hour + 9223372036854775807 > 0 };"#;
    let mut who = manager(&[ManagementRole::Owner], &[("fails", fails)]);
    check(
        &who,
        Action::read(APIS),
        api("a"),
        Err("`fails` can't be used"),
    );
    // Only what the policy is about.
    check(&who, Action::write(APIS), api("a"), Ok("owner"));
    let gone = HeldRole {
        name: "gone".parse().unwrap(),
        role: Err("it is no more".into()),
    };
    who.custom.insert(TEAM, vec![gone]);
    for action in Action::all() {
        check(&who, action, api("a"), Err(""));
    }
    check(
        &who,
        Action::read(APIS),
        api("a"),
        Err("`gone` can't be used"),
    );
}

#[test]
fn scopes_narrow_custom_roles_too() {
    let everything = "permit (principal, action, resource);";
    let mut who = manager(&[], &[("all", everything)]);
    who.scopes = [Scope::parse("apis:read").unwrap()].into();
    check(&who, Action::read(APIS), api("a"), Ok("all"));
    check(&who, Action::write(APIS), api("a"), Err("scopes"));
}

#[test]
fn mistakes_are_told_with_their_place_and_code() {
    for (text, code, says) in [
        ("permit (principal, action, resource)", "cedar_syntax", ""),
        ("", "cedar_empty", "no policy"),
        (
            r#"permit (principal, action == Action::"teams:write", resource);"#,
            "cedar_type",
            "teams:write",
        ),
        (
            r#"permit (principal, action == Action::"members:write", resource);"#,
            "cedar_never_given",
            "members:write",
        ),
        (
            r#"permit (principal, action in [Action::"read", Action::"management-roles:write"], resource);"#,
            "cedar_never_given",
            "management-roles:write",
        ),
        (
            "permit (principal, action, resource) when { resource has nam && resource.nam == \"a\" };",
            "cedar_type",
            "did you mean `name`",
        ),
        (
            "permit (principal, action, resource) when { resource.name == \"a\" };",
            "cedar_type",
            "ask first",
        ),
        (
            "forbid (principal, action, resource) when { context has headers && context.headers has a };",
            "cedar_type",
            "headers",
        ),
        (
            "permit (principal, action, resource) when { principal in Role::\"owner\" };",
            "cedar_type",
            "",
        ),
        (
            "permit (principal == ?principal, action, resource);",
            "cedar_template",
            "",
        ),
    ] {
        let found = check_role("r", text);
        let first = found.iter().find(|flaw| flaw.fatal);
        let first = first.unwrap_or_else(|| panic!("{text}: {found:?}"));
        assert_eq!(first.code, code, "{text}: {found:?}");
        assert!(first.message.contains(says), "{text}: {found:?}");
        assert!(CustomRole::new("r", text).is_err());
    }
    // What is forbidden may be named, whatever it is.
    let forbids = r#"forbid (principal, action == Action::"members:write", resource);"#;
    assert_eq!(check_role("r", forbids), Vec::new());
}

#[test]
fn built_in_roles_are_those_that_no_custom_role_is_called() {
    let names = ManagementRole::ALL.map(ManagementRole::as_str);
    assert_eq!(names, keyward_model::resource::CustomRole::BUILT_IN);
}

#[test]
fn a_group_of_actions_is_what_the_built_in_role_may() {
    let role = r#"permit (principal, action in Action::"publisher", resource);"#;
    let custom = Arc::new(manager(&[], &[("r", role)]));
    let built_in = Arc::new(manager(&[ManagementRole::Publisher], &[]));
    for action in Action::all() {
        let may = |who| decide(who, action, Place::Team(TEAM)).is_ok();
        assert_eq!(may(&custom), may(&built_in), "{action}");
    }
}

#[test]
fn a_role_has_no_more_policies_than_can_be_asked_about_each_thing() {
    let policy = r#"permit (principal, action == Action::"apis:read", resource);"#;
    assert!(CustomRole::new("r", &policy.repeat(POLICIES_MAX)).is_ok());
    let flaws = check_role("r", &policy.repeat(POLICIES_MAX + 1));
    assert_eq!(flaws.len(), 1, "{flaws:?}");
    assert_eq!((flaws[0].code, flaws[0].fatal), ("too_many", true));
}

/// What is asked about is put before a role with its own groups alone, unless a condition names others.
#[test]
fn a_condition_that_names_other_actions_is_answered_as_if_all_were_there() {
    let text = r#"
        @id("reads")
        permit (principal, action in Action::"read", resource);
        @id("others")
        forbid (principal, action, resource)
        when { resource has name && resource.name == "a" && Action::"upstreams:read" in Action::"read" };
    "#;
    let who = manager(&[], &[("r", text)]);
    check(&who, Action::read(APIS), api("a"), Err("r/others"));
    check(&who, Action::read(APIS), api("b"), Ok("r/reads"));
}
