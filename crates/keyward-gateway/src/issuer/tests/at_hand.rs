//! Keys that need no network: inline, secret, our own, in a file.

use super::{issuer, issuers, key_set, kids, open, problem};
use keyward_jose::JwkSet;
use keyward_model::id::TeamId;
use keyward_model::resource::issuer::Encrypted;
use keyward_model::resource::{Issuer, IssuerKeys};
use keyward_model::{Code, Name, Secret};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test]
async fn keys_that_are_here_are_ready_at_once() {
    let issuers = issuers();
    issuers
        .set_own_keys(
            TeamId::DEFAULT,
            &"self".parse().unwrap(),
            JwkSet::parse(key_set(&["own"]).as_bytes()).unwrap(),
        )
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, key_set(&["file"])).unwrap();
    for (keys, expected) in [
        (IssuerKeys::Inline(key_set(&["inline"]).into()), "inline"),
        (IssuerKeys::File(file), "file"),
        (IssuerKeys::Own, "own"),
    ] {
        assert_eq!(kids(&open(&issuers, &issuer(keys)).unwrap()), [expected]);
    }
    let secret = open(
        &issuers,
        &issuer(IssuerKeys::Secret(Secret::new(vec![7; 32]))),
    )
    .unwrap();
    let prepared = secret.current(secret.state().clock.moment()).unwrap();
    let algorithms: Vec<_> = prepared
        .verifiers
        .iter()
        .map(|verifier| verifier.algorithm().as_str())
        .collect();
    assert!(algorithms.contains(&"HS256"), "{algorithms:?}");
    assert!(
        algorithms.iter().all(|name| name.starts_with("HS")),
        "{algorithms:?}"
    );
}

#[tokio::test]
async fn definitions_that_differ_in_anything_are_two() {
    let issuers = issuers();
    let base = || issuer(IssuerKeys::Secret(Secret::new(vec![7; 32])));
    let definitions = [
        base(),
        issuer(IssuerKeys::Secret(Secret::new(vec![8; 32]))),
        Issuer {
            issuer: "https://other.example".into(),
            ..base()
        },
        Issuer {
            algorithms: vec!["HS256".into()],
            ..base()
        },
        Issuer {
            leeway: Duration::ZERO,
            ..base()
        },
        Issuer {
            types: vec!["HS256".into()],
            ..base()
        },
        Issuer {
            max_age: Some(Duration::ZERO),
            ..base()
        },
        Issuer {
            scope_claim: "scp".into(),
            roles_from: Vec::new(),
            ..base()
        },
        Issuer {
            encrypted: Encrypted::Required,
            ..base()
        },
    ];
    let open: Vec<_> = definitions
        .iter()
        .map(|one| open(&issuers, one).unwrap())
        .collect();
    for (at, one) in open.iter().enumerate() {
        for other in &open[..at] {
            assert!(!Arc::ptr_eq(one, other), "{one:?} {other:?}");
            assert_ne!(one.definition_digest(), other.definition_digest());
        }
    }
}

#[tokio::test]
async fn hmac_goes_with_a_secret_alone() {
    let issuers = issuers();
    let secret_set =
        r#"{"keys":[{"kty":"oct","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}]}"#;
    let secret = || IssuerKeys::Secret(Secret::new(vec![7; 32]));
    let inline = |text: &str| IssuerKeys::Inline(text.into());
    for (keys, algorithms, expected) in [
        (secret(), &["RS256"] as &[&str], "Family"),
        (inline(&key_set(&["a"])), &["HS256"], "Family"),
        (inline(&key_set(&["a"])), &["none"], "Algorithm"),
        (inline(&key_set(&["a"])), &["RS256"], "NoUsableKey"),
        (inline(secret_set), &[], "NoUsableKey"),
        (inline(r#"{"keys":[]}"#), &[], "NoUsableKey"),
        (inline("{}"), &[], "Keys"),
        (inline("hello"), &[], "Keys"),
    ] {
        let issuer = Issuer {
            algorithms: algorithms.iter().map(|name| (*name).into()).collect(),
            ..issuer(keys)
        };
        let error = open(&issuers, &issuer).unwrap_err();
        assert!(
            format!("{error:?}").starts_with(expected),
            "{error:?} instead of {expected}"
        );
    }
}

#[tokio::test]
async fn own_keys_are_changed_where_they_are_used() {
    let issuers = issuers();
    let (own_set, team_set): (Name, Name) = ("self".parse().unwrap(), "main".parse().unwrap());
    let of_team = |issuer: &Issuer, team| {
        let name = Name::default_team();
        issuers
            .open(team, &name, &"one".parse().unwrap(), issuer)
            .unwrap()
    };
    let mine = issuer(IssuerKeys::KeySet(team_set.clone()));
    let other_team = TeamId::from_u128(77);
    let cases = [
        (
            open(&issuers, &issuer(IssuerKeys::Own)).unwrap(),
            TeamId::DEFAULT,
            &own_set,
        ),
        (of_team(&mine, other_team), other_team, &team_set),
    ];
    // A set of the same name that another team has.
    let elsewhere = of_team(&mine, TeamId::DEFAULT);
    assert_ne!(
        elsewhere.definition_digest(),
        cases[1].0.definition_digest()
    );
    for (known, team, name) in &cases {
        let unavailable = known.current(known.state().clock.moment()).unwrap_err();
        assert_eq!(unavailable.code(), Code::IssuerUnavailable);
        for (set, expected) in [(["a", "b"].as_slice(), vec!["a", "b"]), (&["b"], vec!["b"])] {
            let epoch = issuers.epoch().load();
            let set = JwkSet::parse(key_set(set).as_bytes()).unwrap();
            issuers.set_own_keys(*team, name, set).unwrap();
            assert_eq!(kids(known), expected);
            assert_eq!(issuers.epoch().load(), epoch + 1);
        }
    }
    assert!(elsewhere.current(elsewhere.state().clock.moment()).is_err());
    // Whoever opens the same later finds the keys at once.
    let later = Issuer {
        leeway: Duration::ZERO,
        ..issuer(IssuerKeys::KeySet(team_set.clone()))
    };
    assert_eq!(kids(&of_team(&later, other_team)), ["b"]);
    // A set whose last key was withdrawn verifies nothing.
    let (known, team, name) = &cases[1];
    let epoch = issuers.epoch().load();
    issuers
        .set_own_keys(*team, name, JwkSet::default())
        .unwrap();
    let unavailable = known.current(known.state().clock.moment()).unwrap_err();
    assert_eq!(unavailable.code(), Code::IssuerUnavailable);
    assert_eq!(issuers.epoch().load(), epoch + 1);
    assert_eq!(kids(&cases[0].0), ["b"]);
}

#[tokio::test]
async fn profiles_have_what_the_issuer_says() {
    let issuers = issuers();
    let issuer = open(
        &issuers,
        &issuer(IssuerKeys::Inline(key_set(&["a"]).into())),
    )
    .unwrap();
    assert!(issuer.profile(&["api".into()]).is_ok());
    assert!(issuer.profile(&[]).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_watched_file_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| {
        std::fs::create_dir_all(path(name)).unwrap();
        std::fs::write(path(name).join("jwks.json"), text).unwrap();
    };
    // As Kubernetes lays out a secret: a link to a folder, swapped as a whole.
    let swap = |to: &Path| {
        std::os::unix::fs::symlink(to, path("..next")).unwrap();
        std::fs::rename(path("..next"), path("..data")).unwrap();
    };
    write("one", &key_set(&["a"]));
    swap(Path::new("one"));
    let issuers = issuers();
    let keys = IssuerKeys::File(path("..data").join("jwks.json"));
    let issuer = open(&issuers, &issuer(keys)).unwrap();
    assert_eq!(kids(&issuer), ["a"]);

    write("two", &key_set(&["b"]));
    swap(Path::new("two"));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(kids(&issuer), ["b"]);

    for bad in ["", "{", r#"{"keys":[]}"#] {
        write("two", bad);
        sleep(Duration::from_secs(3)).await;
        assert_eq!(kids(&issuer), ["b"], "{bad}");
        assert!(problem(&issuer).unwrap().contains("jwks.json"));
    }
    std::fs::remove_file(path("..data")).unwrap();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(kids(&issuer), ["b"]);
    // Each thing that was wrong is counted once, however often it was looked at.
    let counts = issuer.counts();
    assert_eq!((counts.refused, counts.failed), (3, 1));

    write("three", &key_set(&["c"]));
    swap(Path::new("three"));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(kids(&issuer), ["c"]);
    assert_eq!(problem(&issuer), None);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_comes_later_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let issuers = issuers();
    let issuer = open(&issuers, &issuer(IssuerKeys::File(path.clone()))).unwrap();
    let fault = issuer.current(issuer.state().clock.moment()).unwrap_err();
    assert_eq!(fault.code(), Code::IssuerUnavailable);
    // The public key of RFC 8410, section 10.1.
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    std::fs::write(&path, pem).unwrap();
    sleep(Duration::from_secs(3)).await;
    assert!(issuer.current(issuer.state().clock.moment()).is_ok());
}
