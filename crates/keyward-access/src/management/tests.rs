use super::*;
use cedar_policy::{ValidationMode, Validator};
use keyward_model::resource::Kind;
use std::collections::{BTreeMap, BTreeSet};

const TEAM: TeamId = TeamId::from_u128(7);
const OTHER: TeamId = TeamId::from_u128(8);

fn manager(
    team: TeamId,
    role: ManagementRole,
    scopes: impl IntoIterator<Item = Scope>,
) -> Arc<Manager> {
    Arc::new(Manager {
        name: "alice".into(),
        roles: BTreeMap::from([(team, BTreeSet::from([role]))]),
        custom: BTreeMap::new(),
        scopes: scopes.into_iter().collect(),
        team,
        token: "t1".into(),
        address: [192, 0, 2, 7].into(),
        at: Timestamp::from_seconds(1_795_000_000),
    })
}

#[test]
fn the_policies_fit_their_schema() {
    let (schema, warnings) = Schema::from_cedarschema_str(SCHEMA).unwrap();
    assert_eq!(warnings.count(), 0);
    let policies = PolicySet::from_str(POLICIES).unwrap();
    let result = Validator::new(schema).validate(&policies, ValidationMode::Strict);
    assert!(result.validation_passed(), "{result}");
    assert!(RULES.is_some());
}

#[test]
fn every_action_stands_in_the_schema() {
    let operator = manager(TeamId::DEFAULT, ManagementRole::Operator, Scope::all());
    for action in Action::all() {
        assert!(SCHEMA.contains(&format!("\"{action}\"")), "{action}");
        for place in [Place::Team(OTHER), Place::Deployment] {
            assert!(decide(&operator, action, place).is_ok(), "{action}");
        }
    }
}

#[test]
fn roles_allow_what_they_are_for_and_nothing_else() {
    let kinds = |kinds: &[Kind]| -> Vec<Subject> {
        kinds.iter().copied().map(Subject::Resources).collect()
    };
    let published = kinds(&[
        Kind::Api,
        Kind::Upstream,
        Kind::Credential,
        Kind::Role,
        Kind::AccessPolicy,
        Kind::Model,
        Kind::Prompt,
    ]);
    let published = [published, vec![Subject::Revocations]].concat();
    let of_team = [
        kinds(&Kind::ALL),
        vec![
            Subject::Teams,
            Subject::Members,
            Subject::Revisions,
            Subject::Keys,
            Subject::Revocations,
        ],
    ]
    .concat();
    let seen = [of_team.clone(), vec![Subject::Tokens, Subject::Audit]].concat();
    let owned = [
        kinds(&Kind::ALL),
        vec![
            Subject::Members,
            Subject::Tokens,
            Subject::Revisions,
            Subject::Keys,
            Subject::SignedTokens,
            Subject::Revocations,
        ],
    ]
    .concat();
    let found = vec![Subject::Resources(Kind::Api), Subject::Teams];
    for (role, reads, writes) in [
        (ManagementRole::Owner, seen.clone(), owned),
        (ManagementRole::Publisher, of_team, published),
        (ManagementRole::Consumer, found, Vec::new()),
        (ManagementRole::Auditor, seen, Vec::new()),
        // An operator is one in the team `default` alone.
        (ManagementRole::Operator, Vec::new(), Vec::new()),
    ] {
        let who = manager(TEAM, role, Scope::all());
        for action in Action::all() {
            let subjects = match action.right {
                Right::Read => &reads,
                Right::Write => &writes,
            };
            let expected = subjects.contains(&action.subject);
            let decided = decide(&who, action, Place::Team(TEAM));
            assert_eq!(decided.is_ok(), expected, "{role:?} {action}");
            let elsewhere = decide(&who, action, Place::Team(OTHER)).map(|_| ());
            assert_eq!(
                elsewhere,
                Err(ManagementRefusal::Hidden),
                "{role:?} {action}"
            );
            assert!(
                decide(&who, action, Place::Deployment).is_err(),
                "{role:?} {action}"
            );
        }
    }
}

#[test]
fn scopes_narrow_whatever_the_roles_allow() {
    let apis = Subject::Resources(Kind::Api);
    let here = Place::Team(TEAM);
    for (scopes, reads, writes, others) in [
        (vec!["read"], true, false, true),
        (vec!["write"], false, true, false),
        (vec!["apis:read"], true, false, false),
        (vec!["apis:read", "apis:write"], true, true, false),
        (vec!["upstreams:read"], false, false, true),
        (vec![], false, false, false),
    ] {
        let parsed: Vec<Scope> = scopes
            .iter()
            .map(|text| Scope::parse(text).unwrap())
            .collect();
        for who in [
            manager(TEAM, ManagementRole::Owner, parsed.clone()),
            manager(TeamId::DEFAULT, ManagementRole::Operator, parsed),
        ] {
            let may = |action| decide(&who, action, here);
            assert_eq!(may(Action::read(apis)).is_ok(), reads, "{scopes:?}");
            assert_eq!(may(Action::write(apis)).is_ok(), writes, "{scopes:?}");
            let upstreams = may(Action::read(Subject::Resources(Kind::Upstream)));
            assert_eq!(upstreams.is_ok(), others, "{scopes:?}");
        }
    }
    let reader = manager(TEAM, ManagementRole::Owner, [Scope::All(Right::Read)]);
    let refused = decide(&reader, Action::write(apis), here).map(|_| ());
    assert_eq!(refused, Err(ManagementRefusal::Scope));
}

#[test]
fn scopes_are_read_as_they_are_written() {
    for scope in Scope::all() {
        assert_eq!(Scope::parse(&scope.to_string()), Some(scope));
    }
    for bad in [
        "",
        "all",
        "apis",
        "apis:",
        "audit:write",
        "Read",
        "apis:read ",
    ] {
        assert_eq!(Scope::parse(bad), None, "{bad}");
    }
    let write = Scope::All(Right::Write);
    assert!(write.covers(Scope::parse("apis:write").unwrap()));
    assert!(!write.covers(Scope::parse("apis:read").unwrap()));
    assert!(!Scope::parse("apis:write").unwrap().covers(write));
}
