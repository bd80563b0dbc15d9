use super::{Asked, api, caller, issuer, resource, rule, told};
use crate::Catalogue;
use keyward_model::caller::Method;
use keyward_model::id::TeamId;
use keyward_model::resource::{Resource, Spec};
use keyward_model::{Caller, Origin};
use serde_json::{Value, json};

fn beside() -> Vec<Value> {
    vec![
        issuer(),
        json!({ "kind": "role", "name": "viewer", "given_to": [
            { "issuer": "main", "subjects": ["carol"] },
            { "issuer": "main", "clients": ["reports"], "scopes": ["read"] },
            { "issuer": "other", "subjects": ["alice"] },
            { "method": "mutual_tls", "subjects": ["machine"] },
        ] }),
        json!({ "kind": "role", "name": "editor", "includes": ["viewer"] }),
        json!({ "kind": "role", "name": "owner", "includes": ["editor"], "given_to": [
            { "issuer": "main", "claims": { "groups": { "contains": "owners" } } },
        ] }),
        json!({ "kind": "role", "name": "everyone", "given_to": [ { "issuer": "main" } ] }),
    ]
}

#[track_caller]
fn check(asked: Value, caller: &Caller, expected: &str) {
    let rule = rule(&asked, &beside());
    let decision = Asked::default().decide(&rule, caller);
    assert_eq!(told(&decision), expected, "{asked}");
}

#[test]
fn roles_come_from_tokens_and_from_who_is_listed_and_include_others() {
    let none = json!({ "sub": "alice" });
    let in_token = json!({ "sub": "alice", "realm_access": { "roles": ["editor", "x"] } });
    for (claims, role, has) in [
        (&none, "viewer", false),
        (&none, "everyone", true),
        (&in_token, "x", true),
        (&in_token, "editor", true),
        (&in_token, "viewer", true),
        (&in_token, "owner", false),
        (&json!({ "sub": "carol" }), "viewer", true),
        (&json!({ "sub": "carol" }), "editor", false),
        (
            &json!({ "client_id": "reports", "scope": "read" }),
            "viewer",
            true,
        ),
        (&json!({ "client_id": "reports" }), "viewer", false),
        (
            &json!({ "client_id": "other", "scope": "read" }),
            "viewer",
            false,
        ),
        (&json!({ "groups": ["owners"] }), "owner", true),
        (&json!({ "groups": ["owners"] }), "viewer", true),
        // One text is a list of one; roles elsewhere in the token count for nothing.
        (
            &json!({ "realm_access": { "roles": "editor" } }),
            "viewer",
            true,
        ),
        (&json!({ "roles": ["editor"] }), "editor", false),
        (&json!({ "sub": "machine" }), "viewer", false),
    ] {
        let rule = rule(&json!({ "roles": [role] }), &beside());
        let decision = Asked::default().decide(&rule, &caller(claims));
        assert_eq!(decision.is_allowed(), has, "{role} of {claims}");
    }
}

#[test]
fn all_roles_or_one_of_them() {
    let editor = caller(&json!({ "realm_access": { "roles": ["editor"] } }));
    check(json!({ "roles": ["editor", "viewer"] }), &editor, "yes");
    check(
        json!({ "roles": ["editor", "owner"] }),
        &editor,
        "no: the caller has not the role owner",
    );
    check(json!({ "any_roles": ["editor", "owner"] }), &editor, "yes");
    check(
        json!({ "any_roles": ["admin", "owner"] }),
        &editor,
        "no: the caller has not the role admin or owner",
    );
}

#[test]
fn a_subject_of_another_issuer_or_credential_is_somebody_else() {
    let mut other = caller(&json!({ "sub": "carol", "realm_access": { "roles": ["editor"] } }));
    other.issuer_name = Some("third".parse().unwrap());
    let asked = json!({ "roles": ["viewer"] });
    let refused = "no: the caller has not the role viewer";
    check(asked.clone(), &other, refused);
    let mut machine = caller(&json!({ "sub": "machine" }));
    machine.issuer_name = None;
    machine.method = Method::MutualTls;
    check(asked.clone(), &machine, "yes");
    let mut carol = caller(&json!({ "sub": "carol" }));
    carol.issuer_name = None;
    carol.method = Method::MutualTls;
    check(asked, &carol, refused);
}

/// Whether a caller may call an API of the team `red` that asks for the role `admin`, with these resources beside it,
/// each of `red` or of the default team, and of a file or the database.
fn is_let_in(beside: &[(&str, Origin, Value)], caller: &Caller) -> bool {
    let mut resources: Vec<Resource> = beside
        .iter()
        .map(|(team, origin, body)| Resource {
            team: if *team == "red" { RED } else { TeamId::DEFAULT },
            origin: *origin,
            ..resource(body)
        })
        .collect();
    let api = Resource {
        team: RED,
        ..api(&json!({ "roles": ["admin"] }))
    };
    resources.push(api.clone());
    let catalogue = Catalogue::new(&resources, None).unwrap();
    let Spec::Api(declared) = &api.spec else {
        panic!("not an API");
    };
    let inputs = catalogue.inputs(RED, declared).unwrap().unwrap();
    let rule = inputs.rules(&api, declared).unwrap().remove(0).unwrap();
    Asked::default().decide(&rule, caller).is_allowed()
}

const RED: TeamId = TeamId::from_u128(7);

#[test]
fn roles_of_a_node_s_file_are_every_team_s_and_those_of_the_database_their_own_team_s() {
    let main = || issuer();
    let role = || {
        json!({ "kind": "role", "name": "admin", "given_to": [
            { "issuer": "main", "subjects": ["eve"] },
            { "method": "api_key", "subjects": ["eve"] },
        ] })
    };
    let eve = |team| {
        let mut eve = caller(&json!({ "sub": "eve" }));
        eve.team = Some(team);
        eve
    };
    let (file, database) = (Origin::File, Origin::Database);
    for (issuer_of, role_of, caller_of, expected) in [
        (("default", file), ("default", file), TeamId::DEFAULT, true),
        // A publisher of the default team gives nobody a role in another team's APIs.
        (
            ("default", file),
            ("default", database),
            TeamId::DEFAULT,
            false,
        ),
        (("default", file), ("red", database), TeamId::DEFAULT, true),
        (("red", database), ("red", database), RED, true),
        // An issuer of the same name is another in each team.
        (("red", database), ("default", file), RED, false),
        (("red", database), ("red", database), TeamId::DEFAULT, false),
    ] {
        let beside = [
            (issuer_of.0, issuer_of.1, main()),
            (role_of.0, role_of.1, role()),
        ];
        let let_in = is_let_in(&beside, &eve(caller_of));
        assert_eq!(let_in, expected, "{issuer_of:?} {role_of:?} {caller_of}");
    }
    // Nor do tokens name roles for other teams where an issuer of the database says so.
    let named = |origin| {
        let claims = json!({ "sub": "bob", "realm_access": { "roles": ["admin"] } });
        is_let_in(&[("default", origin, main())], &caller(&claims))
    };
    assert!(named(file) && !named(database));
}

#[test]
fn roles_that_can_not_be_read_are_refused() {
    for (roles, why) in [
        (json!([1]), "no list of roles"),
        (json!({ "editor": true }), "no list of roles"),
        (json!(7), "no list of roles"),
        (json!(vec!["x"; 1_001]), "more than 1000 roles"),
    ] {
        let rule = rule(&json!({ "roles": ["editor"] }), &beside());
        let claims = json!({ "realm_access": { "roles": roles } });
        let decision = told(&Asked::default().decide(&rule, &caller(&claims)));
        assert!(decision.contains(why), "{decision}");
    }
}
