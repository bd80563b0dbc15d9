use super::*;
use crate::management::{
    Base, MemberRules, NeededSetup, RememberedCall, RememberedCreation, ResourceWrite,
};
use keyward_model::resource::TeamPath;
use std::collections::BTreeMap;

on_each_database! {
    a_revision_is_written_with_its_history_and_its_event_or_not_at_all,
    many_resources_are_written_as_one_revision_whatever_becomes_of_each,
    a_secret_is_sealed_for_its_team_and_kept_once,
    a_call_is_remembered_for_a_day_and_known_by_what_it_asked_for,
    a_setup_secret_is_claimed_by_one_and_ends_in_an_hour,
    members_and_tokens_are_of_their_team_and_the_last_operator_stays,
    whoever_stands_below_a_role_takes_nothing_from_those_who_have_it,
    paths_are_given_as_a_revision_and_told_by_team,
    a_team_reads_of_a_revision_what_is_its_own,
}

const KEEP: MemberRules<'static> = MemberRules {
    keep: Some("operator"),
    above: None,
    expected: None,
    custom: &[],
};

pub(super) const AUTHOR: Author<'static> = Author {
    policy: "operator",
    name: "alice",
    address: "192.0.2.1",
    request_id: "r1",
    team: Some(TEAM),
    token: "t1",
};

pub(super) fn write(name: &str, body: Option<&str>) -> ResourceWrite {
    ResourceWrite {
        team: TEAM,
        kind: "upstream",
        name: name.parse().unwrap(),
        version: String::new(),
        body: body.map(str::to_owned),
        secrets: Vec::new(),
        shown: String::new(),
    }
}

pub(super) fn on(revision: u64) -> Base {
    Base {
        revision: Revision(revision),
        credentials: 0,
    }
}

pub(super) async fn change(
    store: &Store,
    base: u64,
    writes: &[ResourceWrite],
) -> Result<Revision, Error> {
    let about = (AUTHOR, "test", "because");
    let written = store
        .write_resources(on(base), writes, None, about, NOW)
        .await?;
    Ok(written.revision)
}

async fn a_revision_is_written_with_its_history_and_its_event_or_not_at_all(bench: Bench) {
    let store = bench.open().await;
    let both = [write("a", Some(r#"{"n":1}"#)), write("b", Some("{}"))];
    assert_eq!(change(&store, 0, &both).await.unwrap(), Revision(1));
    // Whoever has not seen it writes nothing.
    let late = change(&store, 0, &[write("c", Some("{}"))]).await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    let then = [write("a", Some(r#"{"n":2}"#)), write("b", None)];
    assert_eq!(change(&store, 1, &then).await.unwrap(), Revision(2));

    let rows = store.resources().await.unwrap();
    let names: Vec<(&str, u64, &str)> = rows
        .iter()
        .map(|row| (row.name.as_str(), row.revision.0, row.body.as_str()))
        .collect();
    assert_eq!(names, [("a", 2, r#"{"n":2}"#)]);
    let changes = store
        .resource_changes(None, Revision(1), Revision(2))
        .await
        .unwrap();
    let told: Vec<_> = changes
        .iter()
        .map(|change| {
            (
                change.name.as_str(),
                change.before.as_deref(),
                change.after.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("a", Some(r#"{"n":1}"#), Some(r#"{"n":2}"#)),
            ("b", Some("{}"), None)
        ]
    );
    assert_eq!(changes[0].id, rows[0].id);
    // Over several revisions, of each resource what it was first and what it is in the end.
    let between = store
        .resource_differences(None, Revision(0), Revision(2))
        .await
        .unwrap()
        .unwrap();
    let told: Vec<_> = between
        .iter()
        .map(|change| {
            let (before, after) = (change.before.as_deref(), change.after.as_deref());
            (change.name.as_str(), change.revision.0, before, after)
        })
        .collect();
    assert_eq!(
        told,
        [("a", 2, None, Some(r#"{"n":2}"#)), ("b", 2, None, None)]
    );
    let blue = TeamId::new(NOW, [7; 10]);
    let of_another = store.resource_differences(Some(blue), Revision(0), Revision(2));
    assert_eq!(of_another.await.unwrap(), Some(Vec::new()));
    // What a call has made is found by its id.
    assert_eq!(
        store.revision_of_call("r1").await.unwrap(),
        Some(Revision(2))
    );
    assert_eq!(store.revision_of_call("r2").await.unwrap(), None);
    let newest = store.revisions(Some(TEAM), None, 1).await.unwrap();
    assert_eq!(newest[0].revision, Revision(2));
    assert_eq!(
        (newest[0].actor.as_str(), newest[0].reason.as_str()),
        ("alice", "because")
    );
    let before = store.revisions(None, Some(Revision(2)), 9).await.unwrap();
    assert_eq!(before.len(), 1);
    let events = store
        .newest_audit_events(Some(TEAM), None, 9)
        .await
        .unwrap();
    assert_eq!(events.len(), 2);
    assert!(events[0].detail.contains("192.0.2.1") && events[0].detail.contains(r#""n":2"#));
    assert_eq!(store.verify_audit_chain().await.unwrap().events, 2);
}

async fn many_resources_are_written_as_one_revision_whatever_becomes_of_each(bench: Bench) {
    let store = bench.open().await;
    // More than one statement takes, and the last has fewer.
    let named = |number: usize| format!("n{number:03}");
    let first: Vec<_> = (0..250)
        .map(|number| write(&named(number), Some("{}")))
        .collect();
    assert_eq!(change(&store, 0, &first).await.unwrap(), Revision(1));
    let ids: BTreeMap<_, _> = store
        .resources()
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.name.to_string(), row.id))
        .collect();
    assert_eq!(ids.len(), 250);
    // One of three stays, is another, or goes; and some come.
    let then: Vec<_> = (0..300)
        .filter(|number: &usize| !number.is_multiple_of(3) || *number >= 250)
        .map(|number| match number {
            250.. => write(&named(number), Some(r#"{"n":1}"#)),
            _ if number % 3 == 1 => write(&named(number), Some(r#"{"n":2}"#)),
            _ => write(&named(number), None),
        })
        .collect();
    assert_eq!(change(&store, 1, &then).await.unwrap(), Revision(2));
    let rows = store.resources().await.unwrap();
    for row in &rows {
        let number: usize = row.name.as_str()[1..].parse().unwrap();
        let expected = match number {
            250.. => (2, r#"{"n":1}"#),
            _ if number.is_multiple_of(3) => (1, "{}"),
            _ => (2, r#"{"n":2}"#),
        };
        assert_eq!((row.revision.0, row.body.as_str()), expected, "{number}");
        if let Some(id) = ids.get(row.name.as_str()) {
            assert_eq!(row.id, *id, "{number}");
        }
    }
    assert_eq!(rows.len(), 84 + 83 + 50);
    let changes = store.resource_changes(None, Revision(1), Revision(2));
    let changes = changes.await.unwrap();
    assert_eq!(changes.len(), then.len());
    assert!(changes.iter().all(|change| {
        let known = ids.get(change.name.as_str());
        change.before.is_some() == known.is_some() && known.is_none_or(|id| *id == change.id)
    }));
}

async fn a_secret_is_sealed_for_its_team_and_kept_once(bench: Bench) {
    let store = bench.open().await;
    let mut with = write("a", Some("{}"));
    let secret = "a secret of a resource";
    with.secrets = vec![("ref".to_owned(), Secret::new(secret.to_owned()))];
    change(&store, 0, &[with.clone()]).await.unwrap();
    change(&store, 1, &[with]).await.unwrap();
    let opened = store.resource_secret(TEAM, "ref").await.unwrap().unwrap();
    assert_eq!(opened.reveal(), secret);
    let other = store
        .create_team(
            &"blue".parse().unwrap(),
            Revision(0),
            &BTreeSet::new(),
            AUTHOR,
            NOW,
        )
        .await
        .unwrap();
    assert!(
        store
            .resource_secret(other.id, "ref")
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .resource_secret(TEAM, "another")
            .await
            .unwrap()
            .is_none()
    );
    // Under another team's name it does not open.
    sqlx::query("UPDATE resource_secrets SET team = $1")
        .bind(other.id.to_string())
        .execute(store.pool())
        .await
        .unwrap();
    let moved = store.resource_secret(other.id, "ref").await;
    assert!(matches!(moved, Err(Error::Sealed { .. })), "{moved:?}");
}

async fn a_call_is_remembered_for_a_day_and_known_by_what_it_asked_for(bench: Bench) {
    let store = bench.open().await;
    let call = RememberedCall {
        digest: "d".to_owned(),
        fingerprint: "f".to_owned(),
    };
    let about = (AUTHOR, "test", "");
    let writes = [write("a", Some("{}"))];
    let made = store
        .write_resources(on(0), &writes, Some(&call), about, NOW)
        .await
        .unwrap();
    let known = store.remembered_call("d", NOW).await.unwrap();
    assert_eq!(
        known,
        Some(RememberedCreation {
            fingerprint: "f".to_owned(),
            resource: made.resources[0].id,
            revision: Revision(1),
            mark: 0,
        })
    );
    let twice = store
        .write_resources(on(1), &writes, Some(&call), about, NOW)
        .await;
    assert!(matches!(twice, Err(Error::Exists { .. })), "{twice:?}");
    assert_eq!(store.revision().await.unwrap(), Revision(1));
    let later = NOW.plus(Duration::from_secs(24 * 3600 + 1));
    assert_eq!(store.remembered_call("d", later).await.unwrap(), None);
}

async fn a_setup_secret_is_claimed_by_one_and_ends_in_an_hour(bench: Bench) {
    let (store, other) = (bench.open().await, bench.open().await);
    let hour = Duration::from_secs(3600);
    let made = store
        .setup_secret_if_needed("operator", hour, AUTHOR, NOW)
        .await
        .unwrap();
    let NeededSetup::Made(unseen) = made else {
        panic!("{made:?}");
    };
    // One that nobody has seen is taken back, and the next start makes another.
    store.forget_setup_secret(&unseen).await.unwrap();
    let made = store
        .setup_secret_if_needed("operator", hour, AUTHOR, NOW)
        .await
        .unwrap();
    let NeededSetup::Made(made) = made else {
        panic!("{made:?}");
    };
    // Another node that starts makes none beside it, and says until when this one counts.
    let beside = other
        .setup_secret_if_needed("operator", hour, AUTHOR, NOW)
        .await
        .unwrap();
    assert!(
        matches!(beside, NeededSetup::InForce(until) if until == NOW.plus(hour)),
        "{beside:?}"
    );
    let scopes = BTreeSet::from(["read".to_owned()]);
    let claim = async |store: &Store, secret: &str, now: Timestamp| {
        let token = NewMachineToken {
            team: TEAM,
            member: "alice",
            label: "",
            scopes: &scopes,
            expires_at: now.plus(hour),
            by_operator: true,
        };
        store
            .claim_setup_secret(secret, "operator", token, AUTHOR, now)
            .await
            .unwrap()
    };
    let secret = made.secret.reveal();
    assert!(claim(&store, "wrong", NOW).await.is_none());
    assert!(claim(&store, secret, NOW.plus(hour)).await.is_none());
    let (one, two) = tokio::join!(claim(&store, secret, NOW), claim(&other, secret, NOW));
    assert_eq!(u8::from(one.is_some()) + u8::from(two.is_some()), 1);
    assert!(claim(&store, secret, NOW).await.is_none());
    let roles = store.member_roles("alice").await.unwrap();
    assert_eq!((roles.len(), roles[0].role.as_str()), (1, "operator"));
    // One who is there needs none; one who asks for it gets one.
    let needed = store
        .setup_secret_if_needed("operator", hour, AUTHOR, NOW)
        .await
        .unwrap();
    assert!(matches!(needed, NeededSetup::No), "{needed:?}");
    let again = store.new_setup_secret(hour, AUTHOR, NOW).await.unwrap();
    assert!(claim(&store, again.secret.reveal(), NOW).await.is_some());
    let rows: Vec<(String,)> = sqlx::query_as("SELECT digest FROM setup_secrets")
        .fetch_all(store.pool())
        .await
        .unwrap();
    assert!(rows.iter().all(|(digest,)| !digest.contains(secret)));
}

async fn members_and_tokens_are_of_their_team_and_the_last_operator_stays(bench: Bench) {
    let store = bench.open().await;
    let blue = store
        .create_team(
            &"blue".parse().unwrap(),
            Revision(0),
            &BTreeSet::new(),
            AUTHOR,
            NOW,
        )
        .await
        .unwrap();
    let twice = store
        .create_team(
            &"blue".parse().unwrap(),
            Revision(0),
            &BTreeSet::new(),
            AUTHOR,
            NOW,
        )
        .await;
    assert!(matches!(twice, Err(Error::Exists { .. })));
    let roles = |roles: &[&str]| -> BTreeSet<String> {
        roles.iter().map(|role| (*role).to_owned()).collect()
    };
    let set = async |team, member: &str, given: &[&str]| {
        let given = roles(given);
        store
            .set_member(team, member, &given, KEEP, AUTHOR, NOW)
            .await
    };
    set(TEAM, "alice", &["operator"]).await.unwrap();
    set(blue.id, "bob", &["owner", "auditor"]).await.unwrap();
    set(blue.id, "carol", &["consumer"]).await.unwrap();
    let refused = set(TEAM, "alice", &["owner"]).await;
    assert!(matches!(refused, Err(Error::Last { .. })), "{refused:?}");
    set(TEAM, "dave", &["operator"]).await.unwrap();
    set(TEAM, "alice", &[]).await.unwrap();
    let members = store.members(blue.id, "", 9).await.unwrap();
    let names: Vec<&str> = members
        .iter()
        .map(|member| member.member.as_str())
        .collect();
    assert_eq!(names, ["bob", "carol"]);
    assert_eq!(members[0].roles, roles(&["auditor", "owner"]));
    assert_eq!(
        store.members(blue.id, "bob", 1).await.unwrap()[0].member,
        "carol"
    );

    let scopes = roles(&["apis:read", "read"]);
    let new = NewMachineToken {
        team: blue.id,
        member: "bob",
        label: "build",
        scopes: &scopes,
        expires_at: NOW.plus(Duration::from_secs(60)),
        by_operator: false,
    };
    let stranger = NewMachineToken {
        member: "eve",
        ..new.clone()
    };
    let none = store.create_machine_token(stranger, AUTHOR, NOW).await;
    assert_eq!(none.unwrap(), None);
    let made = store.create_machine_token(new.clone(), AUTHOR, NOW).await;
    let token = made.unwrap().unwrap();
    assert_eq!(
        store.machine_token(token.id).await.unwrap().as_ref(),
        Some(&token)
    );
    assert_eq!(
        store.machine_tokens(blue.id, "", 9).await.unwrap(),
        std::slice::from_ref(&token)
    );
    assert!(store.machine_tokens(TEAM, "", 9).await.unwrap().is_empty());
    assert!(
        store
            .revoke_machine_token(&token, None, AUTHOR, NOW)
            .await
            .unwrap()
    );
    assert!(
        !store
            .revoke_machine_token(&token, None, AUTHOR, NOW)
            .await
            .unwrap()
    );
    let revoked = store.machine_token(token.id).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(NOW));

    // Whoever is no member any more has no token, whoever is called so later.
    let made = store.create_machine_token(new, AUTHOR, NOW).await;
    let token = made.unwrap().unwrap();
    set(blue.id, "bob", &[]).await.unwrap();
    set(blue.id, "bob", &["owner"]).await.unwrap();
    let old = store.machine_token(token.id).await.unwrap().unwrap();
    assert_eq!(old.revoked_at, Some(NOW));
}

/// What is decided in the transaction itself: a role may have been given since the author looked.
async fn whoever_stands_below_a_role_takes_nothing_from_those_who_have_it(bench: Bench) {
    let store = bench.open().await;
    let roles = |roles: &[&str]| -> BTreeSet<String> {
        roles.iter().map(|role| (*role).to_owned()).collect()
    };
    let set = async |member: &str, given: &[&str], rules| {
        let given = roles(given);
        store
            .set_member(TEAM, member, &given, rules, AUTHOR, NOW)
            .await
    };
    set("root", &["operator"], KEEP).await.unwrap();
    let scopes = roles(&["read"]);
    let new = NewMachineToken {
        team: TEAM,
        member: "root",
        label: "",
        scopes: &scopes,
        expires_at: NOW.plus(Duration::from_secs(60)),
        by_operator: true,
    };
    let made = store.create_machine_token(new, AUTHOR, NOW).await;
    let token = made.unwrap().unwrap();
    let below = MemberRules {
        above: Some("operator"),
        ..KEEP
    };
    for (member, given) in [
        ("root", &["owner"][..]),
        ("root", &[]),
        ("eve", &["operator"]),
    ] {
        let refused = set(member, given, below).await;
        assert!(matches!(refused, Err(Error::Above { .. })), "{refused:?}");
    }
    let revoke = async |above| store.revoke_machine_token(&token, above, AUTHOR, NOW).await;
    let refused = revoke(Some("operator")).await;
    assert!(matches!(refused, Err(Error::Above { .. })), "{refused:?}");
    assert!(revoke(None).await.unwrap());
}

async fn paths_are_given_as_a_revision_and_told_by_team(bench: Bench) {
    let store = bench.open().await;
    let paths = |texts: &[&str]| -> BTreeSet<TeamPath> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    let name = "blue".parse().unwrap();
    let given = paths(&["/pay", "*.example.com/"]);
    let blue = store
        .create_team(&name, Revision(0), &given, AUTHOR, NOW)
        .await
        .unwrap();
    let known = async || store.team_paths().await.unwrap();
    assert_eq!(known().await[&blue.id], given);
    assert_eq!(store.revision().await.unwrap(), Revision(1));
    let other = paths(&["gw.example.com/pay"]);
    let stale = store
        .set_team_paths(Revision(0), &blue, &other, AUTHOR, NOW)
        .await;
    assert!(matches!(stale, Err(Error::Conflict { .. })), "{stale:?}");
    let set = store
        .set_team_paths(Revision(1), &blue, &other, AUTHOR, NOW)
        .await;
    assert_eq!(set.unwrap(), Revision(2));
    assert_eq!(known().await[&blue.id], other);
    // Nor is there a team where its paths could not be given.
    let name = "late".parse().unwrap();
    let stale = store
        .create_team(&name, Revision(1), &given, AUTHOR, NOW)
        .await;
    assert!(matches!(stale, Err(Error::Conflict { .. })), "{stale:?}");
    assert_eq!(store.teams().await.unwrap().len(), 2);
    let newest = store.revisions(None, None, 1).await.unwrap().remove(0);
    assert_eq!(
        (newest.actor_team.as_str(), newest.token.as_str()),
        (TEAM.to_string().as_str(), "t1")
    );
}

async fn a_team_reads_of_a_revision_what_is_its_own(bench: Bench) {
    let store = bench.open().await;
    let name = "blue".parse().unwrap();
    let blue = store
        .create_team(&name, Revision(0), &BTreeSet::new(), AUTHOR, NOW)
        .await
        .unwrap();
    let of_blue = ResourceWrite {
        team: blue.id,
        ..write("a", Some("{}"))
    };
    let all = [write("a", Some("{}")), write("b", Some("{}")), of_blue];
    change(&store, 0, &all).await.unwrap();
    for (team, changes, of_others) in [
        (None, 3, false),
        (Some(TEAM), 2, true),
        (Some(blue.id), 1, true),
    ] {
        let told = store.revisions(team, None, 9).await.unwrap().remove(0);
        assert_eq!((told.changes, told.of_others), (changes, of_others));
    }
    // Nor does its audit event give the reason of a change that was others' too.
    let events = store.newest_audit_events(None, None, 2).await.unwrap();
    assert!(events.iter().all(|event| !event.detail.contains("because")));
    change(&store, 1, &[write("a", None)]).await.unwrap();
    let event = store
        .newest_audit_events(None, None, 1)
        .await
        .unwrap()
        .remove(0);
    assert!(event.detail.contains("because"), "{}", event.detail);
    // Credentials are not in the revision, and are a part of the change all the same.
    let of_blue = ResourceWrite {
        team: blue.id,
        kind: "credential",
        ..write("c", Some("{}"))
    };
    change(&store, 2, &[write("a", Some("{}")), of_blue])
        .await
        .unwrap();
    for (team, of_others) in [(None, false), (Some(TEAM), true)] {
        let told = store.revisions(team, None, 9).await.unwrap().remove(0);
        assert_eq!((told.changes, told.of_others), (1, of_others));
    }
    let events = store.newest_audit_events(None, None, 2).await.unwrap();
    assert!(events.iter().all(|event| !event.detail.contains("because")));
}
