use super::*;
use crate::management::{MemberRules, NewMachineToken, ResourceWrite, Team};
use keyward_model::resource::TeamPath;

on_each_database! {
    a_team_that_has_something_stays_unless_it_is_to_go_too,
    what_a_team_has_goes_with_it_and_nothing_is_given_to_it_any_more,
    custom_roles_that_members_have_stay_and_only_those_that_are_there_are_given,
    a_team_s_revocations_are_its_own,
    a_webhook_that_comes_again_is_told_from_then_on,
    the_audit_log_is_verified_in_parts_as_it_is_as_a_whole,
    what_a_version_before_gives_a_team_that_is_gone_is_read_by_nobody,
}

const AUTHOR: Author<'static> = Author::local("alice");

fn write(team: TeamId, kind: &'static str, name: &str, body: Option<&str>) -> ResourceWrite {
    ResourceWrite {
        team,
        kind,
        name: name.parse().unwrap(),
        version: String::new(),
        body: body.map(str::to_owned),
        secrets: Vec::new(),
        shown: String::new(),
    }
}

async fn change(store: &Store, write: ResourceWrite) -> Result<Revision, Error> {
    let base = store.base().await?;
    let about = (AUTHOR, "test", "");
    let written = store
        .write_resources(base, &[write], None, about, NOW)
        .await?;
    Ok(written.revision)
}

async fn team(store: &Store, name: &str, path: &str) -> Team {
    let base = store.revision().await.unwrap();
    let paths: BTreeSet<TeamPath> = [path.parse().unwrap()].into();
    let name = name.parse().unwrap();
    let made = store.create_team(&name, base, &paths, AUTHOR, NOW);
    made.await.unwrap()
}

async fn member(store: &Store, team: TeamId, roles: &[&str], custom: &[Name]) -> Result<(), Error> {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    let rules = MemberRules {
        keep: None,
        above: None,
        expected: None,
        custom,
    };
    store
        .set_member(team, "olga", &roles, rules, AUTHOR, NOW)
        .await
}

async fn delete(store: &Store, team: &Team, cascade: bool) -> Result<Revision, Error> {
    let base = store.revision().await?;
    let (revision, _) = store
        .delete_team(base, team, cascade, (AUTHOR, "over"), NOW)
        .await?;
    Ok(revision)
}

async fn a_team_that_has_something_stays_unless_it_is_to_go_too(bench: Bench) {
    let store = bench.open().await;
    let red = team(&store, "red", "/red").await;
    let blue = team(&store, "blue", "/blue").await;
    for (team, name) in [(&red, "a"), (&red, "b"), (&blue, "c")] {
        change(&store, write(team.id, "upstream", name, Some("{}")))
            .await
            .unwrap();
    }
    member(&store, red.id, &["owner", "auditor"], &[])
        .await
        .unwrap();
    let refused = delete(&store, &red, false).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the team has 1 member, 1 path, 2 upstream"
    );
    let before = store.revision().await.unwrap();
    let late = store
        .delete_team(Revision(0), &red, true, (AUTHOR, ""), NOW)
        .await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    assert_eq!(store.revision().await.unwrap(), before);
    assert_eq!(store.teams().await.unwrap().len(), 3);
    assert_eq!(delete(&store, &red, true).await.unwrap(), before.next());
    let again = delete(&store, &red, true).await;
    assert!(matches!(again, Err(Error::NoTeam)), "{again:?}");
    // The other team has what it had.
    let left = store.resources().await.unwrap();
    let left: Vec<&str> = left.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(left, ["c"]);
    let paths = store.team_paths().await.unwrap();
    assert_eq!(paths.keys().copied().collect::<Vec<_>>(), [blue.id]);
    // What it had stays in the history.
    let changes = store
        .resource_changes(Some(red.id), before, before.next())
        .await
        .unwrap();
    let gone: Vec<_> = changes
        .iter()
        .map(|change| {
            (
                change.name.as_str(),
                change.before.as_deref(),
                change.after.as_deref(),
            )
        })
        .collect();
    assert_eq!(gone, [("a", Some("{}"), None), ("b", Some("{}"), None)]);
    assert!(store.verify_audit_chain().await.is_ok());
    // The name is another team's now.
    let next = team(&store, "red", "/red").await;
    assert_ne!(next.id, red.id);
    assert_eq!(store.members(next.id, "", 10).await.unwrap(), Vec::new());
}

async fn what_a_team_has_goes_with_it_and_nothing_is_given_to_it_any_more(bench: Bench) {
    let store = bench.open().await;
    let red = team(&store, "red", "/red").await;
    member(&store, red.id, &["owner"], &[]).await.unwrap();
    let scopes = BTreeSet::from(["read".to_owned()]);
    let new = || NewMachineToken {
        team: red.id,
        member: "olga",
        label: "",
        scopes: &scopes,
        expires_at: NOW.plus(Duration::from_secs(60)),
        by_operator: false,
    };
    let token = store
        .create_machine_token(new(), AUTHOR, NOW)
        .await
        .unwrap()
        .unwrap();
    let of_set = key("k1", KeyState::Active);
    store
        .insert_key(red.id, "keys", &of_set, AUTHOR, NOW)
        .await
        .unwrap();
    store.begin_webhook(red.id, "hook", NOW).await.unwrap();
    let until = NOW.plus(Duration::from_secs(60));
    let revoke = async |team| {
        let kind = RevocationKind::Subject;
        store
            .insert_revocation(
                team,
                "https://i.example",
                kind,
                "bob",
                NOW,
                until,
                AUTHOR,
                NOW,
            )
            .await
    };
    let revoked = revoke(red.id).await.unwrap();
    let credential = r#"{"name":"card","api_key":"of-red"}"#;
    change(
        &store,
        write(red.id, "credential", "card", Some(credential)),
    )
    .await
    .unwrap();
    let before = store.marks().await.unwrap();
    let read = store.base().await.unwrap();
    delete(&store, &red, true).await.unwrap();
    let marks = store.marks().await.unwrap();
    assert!(marks.keys > before.keys, "nodes hear of the keys");
    // Other nodes serve its APIs until they have heard of its end: what it has revoked is not believed again.
    assert_eq!(marks.revocations, before.revocations);
    assert_eq!(store.revocations(NOW).await.unwrap(), [revoked]);
    // Nodes hear of its credentials by row, and the log tells of them without their bodies.
    let heard = store.credential_changes(read.credentials).await.unwrap();
    let heard: Vec<_> = heard.changed.into_iter().flatten().collect();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!((heard[0].team, heard[0].name.as_str()), (red.id, "card"));
    assert_eq!(heard[0].now, None);
    let log = store.newest_audit_events(Some(red.id), None, 10).await;
    let log = log.unwrap();
    let told = |action: &str| {
        let of = |event: &&AuditEvent| event.action == action;
        log.iter().find(of).map(|event| event.detail.clone())
    };
    let told_of_it = told("credentials.change").unwrap();
    let event: serde_json::Value = serde_json::from_str(&told_of_it).unwrap();
    let change_of_it = &event["changes"][0];
    assert_eq!(change_of_it["name"], "card");
    assert!(change_of_it["before"]["sha256"].is_string(), "{told_of_it}");
    assert!(!told_of_it.contains("of-red"), "{told_of_it}");
    assert_eq!(event["reason"], "over");
    let event: serde_json::Value = serde_json::from_str(&told("key.change").unwrap()).unwrap();
    assert_eq!(
        (event["kid"].as_str(), event["to"].as_str()),
        (Some("k1"), Some("withdrawn"))
    );
    let token = store.machine_token(token.id).await.unwrap().unwrap();
    assert_eq!(token.revoked_at, Some(NOW));
    let keys = store.keys(red.id, "keys").await.unwrap();
    assert_eq!(keys[0].state, KeyState::Withdrawn);
    assert!(store.private_jwk(&keys[0]).await.unwrap().is_none());
    assert_eq!(store.webhook_position(red.id, "hook").await.unwrap(), None);

    let no_team = |error: Error| assert!(matches!(error, Error::NoTeam), "{error:?}");
    no_team(
        change(&store, write(red.id, "upstream", "late", Some("{}")))
            .await
            .unwrap_err(),
    );
    no_team(member(&store, red.id, &["owner"], &[]).await.unwrap_err());
    no_team(
        store
            .insert_key(red.id, "keys", &key("k2", KeyState::Published), AUTHOR, NOW)
            .await
            .unwrap_err(),
    );
    no_team(store.begin_webhook(red.id, "hook", NOW).await.unwrap_err());
    no_team(revoke(red.id).await.unwrap_err());
    let base = store.revision().await.unwrap();
    let paths = [String::from("/late").parse().unwrap()].into();
    no_team(
        store
            .set_team_paths(base, &red, &paths, AUTHOR, NOW)
            .await
            .unwrap_err(),
    );
    // Its member is gone.
    assert_eq!(
        store
            .create_machine_token(new(), AUTHOR, NOW)
            .await
            .unwrap(),
        None
    );
}

/// It knows no end of a team, and takes it for one that is called `deleted-ID`.
async fn what_a_version_before_gives_a_team_that_is_gone_is_read_by_nobody(bench: Bench) {
    let store = bench.open().await;
    let red = team(&store, "red", "/red").await;
    delete(&store, &red, true).await.unwrap();
    let before = store.base().await.unwrap();
    let id = red.id;
    let number = before.revision.next();
    for sql in [
        format!(
            "INSERT INTO revisions (number, created_at, actor, summary, reason, request_id)
             VALUES ({number}, 0, 'old', 'create upstream late', '', '')"
        ),
        format!(
            "INSERT INTO resources (id, team, kind, name, version, origin, revision, body)
             VALUES ('00000000000070008000000000000001', '{id}', 'upstream', 'late', '', 'database', {number}, '{{}}')"
        ),
        format!(
            "INSERT INTO resource_changes (revision, team, kind, name, version, resource, body_before, body_after)
             VALUES ({number}, '{id}', 'upstream', 'late', '', '00000000000070008000000000000001', NULL, '{{}}')"
        ),
    ] {
        let sql = sqlx::AssertSqlSafe(sql);
        sqlx::query(sql).execute(store.pool()).await.unwrap();
    }
    let (base, all) = store.resources_at_once().await.unwrap();
    assert_eq!((base.revision, all), (number, Vec::new()));
    let differences = store
        .resource_differences(None, before.revision, number)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(differences.len(), 1);
    assert!(differences[0].team_ended, "whoever follows leaves it out");
}

async fn custom_roles_that_members_have_stay_and_only_those_that_are_there_are_given(bench: Bench) {
    let store = bench.open().await;
    let red = team(&store, "red", "/red").await;
    let name: Name = "deployer".parse().unwrap();
    let give = async || {
        member(
            &store,
            red.id,
            &["custom:deployer"],
            std::slice::from_ref(&name),
        )
        .await
    };
    let refused = give().await;
    assert!(matches!(refused, Err(Error::NoRole { .. })), "{refused:?}");
    let role = |body| write(red.id, "management_role", "deployer", body);
    // One of another team does not count.
    let of_default = write(TEAM, "management_role", "deployer", Some("{}"));
    change(&store, of_default).await.unwrap();
    assert!(give().await.is_err());
    change(&store, role(Some("{}"))).await.unwrap();
    give().await.unwrap();
    let before = store.revision().await.unwrap();
    let refused = change(&store, role(None)).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "1 members have the role `deployer`: give them other roles first"
    );
    assert_eq!(store.revision().await.unwrap(), before);
    change(&store, role(Some(r#"{"n":1}"#))).await.unwrap();
    // That of the other team is not in use.
    change(&store, write(TEAM, "management_role", "deployer", None))
        .await
        .unwrap();
    member(&store, red.id, &[], &[]).await.unwrap();
    change(&store, role(None)).await.unwrap();
}

async fn a_team_s_revocations_are_its_own(bench: Bench) {
    let store = bench.open().await;
    let (red, blue) = (
        team(&store, "red", "/red").await,
        team(&store, "blue", "/blue").await,
    );
    let until = NOW.plus(Duration::from_secs(60));
    let (issuer, kind) = ("https://i.example", RevocationKind::Subject);
    let made = store.insert_revocation(red.id, issuer, kind, "bob", NOW, until, AUTHOR, NOW);
    let made = made.await.unwrap();
    let page = async |team| {
        store
            .revocations_page(team, "", 10, NOW)
            .await
            .unwrap()
            .len()
    };
    assert_eq!(
        [
            page(None).await,
            page(Some(red.id)).await,
            page(Some(blue.id)).await
        ],
        [1, 1, 0]
    );
    assert_eq!(store.revocation_count(Some(red.id), NOW).await.unwrap(), 1);
    assert_eq!(store.revocation_count(Some(blue.id), NOW).await.unwrap(), 0);
    let remove = async |team| {
        store
            .remove_revocation(made.id, Some(team), AUTHOR, NOW)
            .await
            .unwrap()
    };
    assert!(!remove(blue.id).await);
    assert!(remove(red.id).await);
}

async fn a_webhook_that_comes_again_is_told_from_then_on(bench: Bench) {
    let store = bench.open().await;
    let hook = |body| write(TEAM, "webhook", "hook", body);
    change(&store, hook(Some("{}"))).await.unwrap();
    store.begin_webhook(TEAM, "hook", NOW).await.unwrap();
    let position = async || store.webhook_position(TEAM, "hook").await.unwrap();
    change(&store, hook(Some(r#"{"n":1}"#))).await.unwrap();
    assert!(position().await.is_some(), "a change is no end");
    // Nor is it where a node does not serve it, at its start or later.
    store.end_other_webhooks(&[]).await.unwrap();
    store.end_webhook(TEAM, "hook").await.unwrap();
    assert!(position().await.is_some(), "it was left out");
    change(&store, hook(None)).await.unwrap();
    assert_eq!(position().await, None);
    // Of a file, where nobody saw it go: the database of one node alone forgets it at the next start.
    store.begin_webhook(TEAM, "hook", NOW).await.unwrap();
    store.begin_webhook(TEAM, "other", NOW).await.unwrap();
    store.end_other_webhooks(&[(TEAM, "other")]).await.unwrap();
    let shared = store.database().postgres().is_some();
    assert_eq!(position().await.is_some(), shared);
    assert!(
        store
            .webhook_position(TEAM, "other")
            .await
            .unwrap()
            .is_some()
    );
}

async fn the_audit_log_is_verified_in_parts_as_it_is_as_a_whole(bench: Bench) {
    let store = bench.open().await;
    for name in ["a", "b", "c", "d"] {
        change(&store, write(TEAM, "upstream", name, Some("{}")))
            .await
            .unwrap();
        if name == "b" {
            store.anchor_audit(NOW).await.unwrap();
        }
    }
    store.anchor_audit(NOW).await.unwrap();
    let whole = store.verify_audit_chain().await.unwrap();
    let mut after = 0;
    let mut parts = 0;
    loop {
        let (chain, goes_on) = store.verify_audit_events(after, 3).await.unwrap();
        parts += 1;
        after = chain.events;
        if !goes_on {
            assert_eq!(chain, whole);
            break;
        }
        assert!(after <= 3 * parts, "{chain:?}");
    }
    assert!(parts > 1);
    let beyond = store.verify_audit_events(whole.events + 1, 3).await;
    assert!(
        matches!(beyond, Err(Error::AuditBroken { .. })),
        "{beyond:?}"
    );
    // What was changed is found in its part, and the part before has no fault.
    execute(
        &store,
        "UPDATE audit_events SET actor = 'mallory' WHERE sequence = 4",
    )
    .await;
    assert!(store.verify_audit_events(0, 3).await.is_ok());
    let found = store.verify_audit_events(3, 3).await.unwrap_err();
    assert!(
        matches!(found, Error::AuditBroken { sequence: 4, .. }),
        "{found:?}"
    );
    // One that went on from it would have seen that, too.
    let found = store.verify_audit_events(4, 3).await.unwrap_err();
    assert!(
        matches!(found, Error::AuditBroken { sequence: 4, .. }),
        "{found:?}"
    );
    // Cut off at the end, it is no shorter log.
    execute(&store, "DELETE FROM audit_events WHERE sequence >= 4").await;
    let found = store.verify_audit_events(3, 3).await;
    assert!(matches!(found, Err(Error::AuditBroken { .. })), "{found:?}");
}
