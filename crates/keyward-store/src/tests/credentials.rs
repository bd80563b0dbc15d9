//! Credentials, which change by row.

use super::management::{AUTHOR, change, on, write};
use super::*;
use crate::management::{Base, CredentialChange, ResourceWrite};

on_each_database! {
    credentials_change_by_row_and_raise_no_revision,
    of_two_who_have_not_seen_each_other_one_changes_a_credential,
    which_credentials_went_is_told_for_a_month,
}

fn credential(name: &str, shown: &str, body: Option<&str>) -> ResourceWrite {
    ResourceWrite {
        kind: "credential",
        shown: shown.to_owned(),
        ..write(name, body)
    }
}

async fn put(
    store: &Store,
    credentials: i64,
    writes: &[ResourceWrite],
    now: Timestamp,
) -> Result<(Revision, i64), Error> {
    let base = Base {
        credentials,
        ..store.base().await?
    };
    let about = (AUTHOR, "test", "");
    let written = store
        .write_resources(base, writes, None, about, now)
        .await?;
    Ok((written.revision, written.credentials))
}

/// The names of those that changed after a mark, each with its body.
async fn changed(store: &Store, mark: i64) -> Option<Vec<(String, Option<String>)>> {
    let changes = store.credential_changes(mark).await.unwrap();
    let told = |change: CredentialChange| (change.name.to_string(), change.now.map(|now| now.body));
    Some(changes.changed?.into_iter().map(told).collect())
}

async fn credentials_change_by_row_and_raise_no_revision(bench: Bench) {
    let store = bench.open().await;
    let both = [
        credential("a", "kh1.a", Some("{}")),
        credential("b", "kh1.b", Some("{}")),
    ];
    assert_eq!(put(&store, 0, &both, NOW).await.unwrap(), (Revision(0), 1));
    assert_eq!(
        change(&store, 0, &[write("u", Some("{}"))]).await.unwrap(),
        Revision(1)
    );
    let then = [
        credential("a", "", None),
        credential("b", "kh1.b", Some("{\"enabled\":false}")),
        write("v", Some("{}")),
    ];
    // With something else they are one change: all of it or nothing.
    let about = (AUTHOR, "test", "");
    let late = store.write_resources(on(0), &then, None, about, NOW).await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    assert_eq!(changed(&store, 1).await.unwrap(), []);
    assert_eq!(put(&store, 1, &then, NOW).await.unwrap(), (Revision(2), 2));
    assert_eq!(
        changed(&store, 1).await.unwrap(),
        [
            ("a".to_owned(), None),
            ("b".to_owned(), Some("{\"enabled\":false}".to_owned())),
        ]
    );
    // One that is made anew is there, whatever was before it.
    let again = [credential("a", "kh1.c", Some("{\"n\":2}"))];
    assert_eq!(put(&store, 2, &again, NOW).await.unwrap(), (Revision(2), 3));
    assert_eq!(
        changed(&store, 2).await.unwrap(),
        [("a".to_owned(), Some("{\"n\":2}".to_owned()))]
    );
    assert_eq!(changed(&store, 0).await.unwrap().len(), 2);
    // A mark that is none of this history is told of nothing.
    assert_eq!(changed(&store, 4).await, None);

    let marks = store.marks().await.unwrap();
    assert_eq!((marks.revision, marks.credentials), (Revision(2), 3));
    let history = store.resource_changes(None, Revision(0), Revision(9)).await;
    let history: Vec<_> = history.unwrap().into_iter().map(|one| one.kind).collect();
    assert_eq!(history, ["upstream", "upstream"]);
    let listed = store.revisions(None, None, 9).await.unwrap();
    assert_eq!(
        listed.len(),
        2,
        "the beginning is no revision that anyone made"
    );
    let events = store.audit_events(0, 10).await.unwrap();
    let events: Vec<_> = events
        .iter()
        .map(|event| (event.action.as_str(), event.object.as_str()))
        .collect();
    assert_eq!(
        events,
        [
            ("credentials.change", "credentials 1"),
            ("configuration.change", "revision 1"),
            ("configuration.change", "revision 2"),
            ("credentials.change", "credentials 2"),
            ("credentials.change", "credentials 3"),
        ]
    );
}

async fn of_two_who_have_not_seen_each_other_one_changes_a_credential(bench: Bench) {
    let store = bench.open().await;
    let name = "blue".parse().unwrap();
    let blue = store
        .create_team(&name, Revision(0), &BTreeSet::new(), AUTHOR, NOW)
        .await
        .unwrap();
    let made = [
        credential("a", "kh1.a", Some("{}")),
        credential("b", "kh1.b", Some("{}")),
    ];
    put(&store, 0, &made, NOW).await.unwrap();
    let gone = [credential("b", "", None)];
    put(&store, 1, &gone, NOW).await.unwrap();
    for (what, late) in [
        (
            "the same, after it went",
            credential("b", "kh1.x", Some("{}")),
        ),
        ("the same, to go once more", credential("b", "", None)),
    ] {
        let late = put(&store, 1, &[late], NOW).await;
        assert!(
            matches!(late, Err(Error::Conflict { .. })),
            "{what}: {late:?}"
        );
    }
    put(&store, 1, &[credential("c", "kh1.c", Some("{}"))], NOW)
        .await
        .unwrap();
    // Nobody comes to be shown as another is, whether that is known or not; one takes what another gives up.
    for seen in [2, 3] {
        let same = put(&store, seen, &[credential("d", "kh1.c", Some("{}"))], NOW).await;
        let Err(Error::SameCredential { name, other }) = same else {
            panic!("{same:?}");
        };
        assert_eq!((name.as_str(), other.as_str()), ("d", "c"));
    }
    let of_blue = ResourceWrite {
        team: blue.id,
        ..credential("d", "kh1.c", Some("{}"))
    };
    let swapped = [
        of_blue,
        credential("a", "kh1.c", Some("{}")),
        credential("c", "kh1.a", Some("{}")),
    ];
    put(&store, 3, &swapped, NOW).await.unwrap();
    // What others do to others is in nobody's way.
    let other = [credential("e", "kh1.e", Some("{\"n\":1}"))];
    put(&store, 2, &other, NOW).await.unwrap();
    assert_eq!(store.base().await.unwrap().credentials, 5);
    // A base of another history, which had come further, is none of this one.
    let late = put(&store, 6, &[credential("f", "kh1.f", Some("{}"))], NOW).await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    // What the version before has changed is known by its revision.
    let revision = change(&store, 0, &[write("u", Some("{}"))]).await.unwrap();
    sqlx::query("UPDATE resources SET revision = $1 WHERE name = 'e'")
        .bind(i64::try_from(revision.0).unwrap())
        .execute(store.pool())
        .await
        .unwrap();
    let base = Base {
        revision: Revision(0),
        credentials: 5,
    };
    let writes = [credential("e", "kh1.e", Some("{\"n\":2}"))];
    let about = (AUTHOR, "test", "");
    let late = store.write_resources(base, &writes, None, about, NOW).await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
}

async fn which_credentials_went_is_told_for_a_month(bench: Bench) {
    let store = bench.open().await;
    let day = |days: u64| NOW.plus(Duration::from_secs(days * 24 * 3600));
    for (mark, name) in [(0, "a"), (1, "b")] {
        let made = [credential(name, "", Some("{}"))];
        put(&store, mark, &made, NOW).await.unwrap();
    }
    put(&store, 2, &[credential("a", "", None)], NOW)
        .await
        .unwrap();
    put(&store, 3, &[credential("b", "", None)], day(20))
        .await
        .unwrap();
    store.forget_removed_credentials(day(29)).await.unwrap();
    assert_eq!(changed(&store, 2).await.unwrap().len(), 2);
    store.forget_removed_credentials(day(31)).await.unwrap();
    // Whoever has not looked since then can't be told what went.
    assert_eq!(changed(&store, 2).await, None);
    assert_eq!(changed(&store, 3).await.unwrap(), [("b".to_owned(), None)]);
}
