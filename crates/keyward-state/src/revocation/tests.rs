use super::*;
use keyward_model::id::RevocationId;

const TEAM: TeamId = TeamId::DEFAULT;
const OTHER_TEAM: TeamId = TeamId::from_u128(2);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn revocation(kind: RevocationKind, value: &str, not_before: i64, expires: i64) -> Revocation {
    Revocation {
        id: RevocationId::from_u128(1),
        team: TEAM,
        issuer: "https://a.example".to_owned(),
        kind,
        value: value.to_owned(),
        not_before: at(not_before),
        expires: at(expires),
    }
}

fn token() -> TokenIdentity<'static> {
    TokenIdentity {
        team: TEAM,
        issuer: "https://a.example",
        token_id: Some("jti"),
        session: Some("sid"),
        subject: Some("sub"),
        client: Some("client"),
        family: Some("family"),
        issued_at: Some(at(50)),
    }
}

fn check(revocation: &Revocation, token: &TokenIdentity<'_>, now: i64, covered: bool) {
    let revocations = Revocations::default();
    revocations.replace([revocation], at(0)).unwrap();
    let found = revocations.load().covers(token, at(now));
    assert_eq!(
        found,
        covered.then_some(revocation.kind),
        "{revocation:?} on {token:?} at {now}"
    );
}

#[test]
fn a_revocation_covers_what_it_names_and_nothing_else() {
    for (kind, value) in [
        (RevocationKind::TokenId, "jti"),
        (RevocationKind::Session, "sid"),
        (RevocationKind::Subject, "sub"),
        (RevocationKind::Client, "client"),
        (RevocationKind::Family, "family"),
    ] {
        check(&revocation(kind, value, 100, 1_000), &token(), 100, true);
        check(&revocation(kind, "other", 100, 1_000), &token(), 100, false);
        let foreign = TokenIdentity {
            issuer: "https://b.example",
            ..token()
        };
        check(&revocation(kind, value, 100, 1_000), &foreign, 100, false);
        let other_team = TokenIdentity {
            team: OTHER_TEAM,
            ..token()
        };
        check(
            &revocation(kind, value, 100, 1_000),
            &other_team,
            100,
            false,
        );
    }
}

#[test]
fn a_revoked_subject_does_not_revoke_the_client_of_the_same_name() {
    let same = TokenIdentity {
        subject: Some("x"),
        client: Some("y"),
        ..token()
    };
    check(
        &revocation(RevocationKind::Client, "x", 100, 1_000),
        &same,
        100,
        false,
    );
}

#[test]
fn tokens_issued_after_the_revocation_pass_and_those_without_time_do_not() {
    let subject = revocation(RevocationKind::Subject, "sub", 100, 1_000);
    let issued = |at: Option<Timestamp>| TokenIdentity {
        issued_at: at,
        ..token()
    };
    check(&subject, &issued(Some(at(99))), 200, true);
    check(&subject, &issued(Some(at(100))), 200, false);
    check(&subject, &issued(None), 200, true);
    check(&subject, &issued(None), 999, true);
    check(&subject, &issued(None), 1_000, false);
}

#[test]
fn the_later_of_two_revocations_counts() {
    let revocations = Revocations::default();
    let early = revocation(RevocationKind::Subject, "sub", 100, 500);
    let late = revocation(RevocationKind::Subject, "sub", 200, 1_000);
    for order in [[&early, &late], [&late, &early]] {
        revocations.replace(order, at(0)).unwrap();
        let index = revocations.load();
        assert_eq!(index.len(), 1);
        let issued_between = TokenIdentity {
            issued_at: Some(at(150)),
            ..token()
        };
        assert!(index.covers(&issued_between, at(900)).is_some());
    }
}

#[test]
fn each_change_raises_the_epoch_and_leaves_readers_what_they_hold() {
    let revocations = Revocations::default();
    let held = revocations.load();
    let subject = revocation(RevocationKind::Subject, "sub", 100, 1_000);
    revocations.insert(&subject, at(100)).unwrap();
    assert_eq!(revocations.epoch(), held.epoch() + 1);
    assert_eq!(revocations.load().epoch(), revocations.epoch());
    assert_eq!(held.covers(&token(), at(100)), None);
    assert!(revocations.load().covers(&token(), at(100)).is_some());
    revocations.replace([], at(100)).unwrap();
    assert_eq!(revocations.epoch(), held.epoch() + 2);
    assert!(revocations.load().is_empty());
}

#[test]
fn at_the_bound_expired_ones_make_room_and_none_in_force_is_forgotten() {
    let revocations = Revocations::new(NonZeroUsize::new(3).unwrap());
    for value in ["a", "b", "c"] {
        let short = revocation(RevocationKind::TokenId, value, 100, 200);
        revocations.insert(&short, at(100)).unwrap();
    }
    let late = revocation(RevocationKind::TokenId, "d", 100, 1_000);
    let epoch = revocations.epoch();
    assert_eq!(
        revocations.insert(&late, at(199)),
        Err(Error::RevocationsExhausted { limit: 3 })
    );
    assert_eq!((revocations.epoch(), revocations.load().len()), (epoch, 3));
    revocations.insert(&late, at(200)).unwrap();
    assert_eq!(revocations.load().len(), 1);
}

#[test]
fn what_has_expired_is_not_taken_from_the_store() {
    let revocations = Revocations::default();
    let rows: Vec<_> = (0..1_000)
        .map(|n| {
            revocation(
                RevocationKind::TokenId,
                &n.to_string(),
                100,
                200 + n % 2 * 100,
            )
        })
        .collect();
    revocations.replace(&rows, at(250)).unwrap();
    assert_eq!(revocations.load().len(), 500);
}

#[test]
fn what_is_over_is_forgotten_and_nothing_has_to_be_asked_again() {
    let revocations = Revocations::default();
    for (value, expires) in [("a", 100), ("b", 200)] {
        let revocation = revocation(RevocationKind::Session, value, 0, expires);
        revocations.insert(&revocation, at(0)).unwrap();
    }
    let epoch = revocations.epoch();
    revocations.drop_expired(at(150));
    assert_eq!(revocations.load().len(), 1);
    assert_eq!(revocations.epoch(), epoch);
    assert_eq!(revocations.load().epoch(), epoch);
}
