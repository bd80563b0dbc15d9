//! Issuers on loopback, mostly in Tokio's paused time: a day passes in microseconds.

mod at_hand;

use super::{IssuerError, IssuerKeySet, Issuers, IssuersContext};
use keyward_egress::{Egress, Policy};
use keyward_model::id::TeamId;
use keyward_model::resource::issuer::Encrypted;
use keyward_model::resource::{Issuer, IssuerKeys};
use keyward_model::{Clock, Code, Name, SystemClock, Timestamp};
use keyward_testkit::{Failure, IssuerServer, TokioClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The public key of RFC 8037, appendix A.2, under these names.
fn key_set(kids: &[&str]) -> String {
    let keys: Vec<_> = kids
        .iter()
        .map(|kid| {
            format!(
                r#"{{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"{kid}"}}"#
            )
        })
        .collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

fn issuer(keys: IssuerKeys) -> Issuer {
    Issuer {
        issuer: "https://issuer.example".into(),
        keys,
        algorithms: Vec::new(),
        leeway: Duration::from_secs(30),
        types: Vec::new(),
        max_age: None,
        scope_claim: "scope".into(),
        roles_from: Vec::new(),
        encrypted: Encrypted::No,
    }
}

fn at(url: String, discover: bool) -> Issuer {
    issuer(IssuerKeys::Url {
        url: url.into(),
        discover,
        stale_for: HOUR,
    })
}

fn issuers_with(clock: Arc<dyn Clock>, runtime: Handle) -> Issuers {
    let policy = Policy {
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        system_roots: false,
        ..Policy::default()
    };
    Issuers::new(IssuersContext {
        clock,
        egress: Egress::new(policy).unwrap(),
        runtime,
    })
}

/// Issuers in Tokio's time.
fn issuers() -> Issuers {
    let clock = TokioClock::starting_at(Timestamp::from_seconds(1_700_000_000));
    issuers_with(Arc::new(clock), Handle::current())
}

fn open(issuers: &Issuers, issuer: &Issuer) -> Result<Arc<IssuerKeySet>, IssuerError> {
    let name: Name = "test".parse().unwrap();
    issuers.open(TeamId::DEFAULT, &Name::default_team(), &name, issuer)
}

/// The kids that tokens may name just now.
fn kids(issuer: &IssuerKeySet) -> Vec<String> {
    let now = issuer.state().clock.moment();
    let Ok(prepared) = issuer.current(now) else {
        return Vec::new();
    };
    let mut kids: Vec<_> = prepared
        .verifiers
        .iter()
        .filter_map(|verifier| verifier.kid().map(str::to_owned))
        .collect();
    kids.sort();
    kids.dedup();
    kids
}

fn generation(issuer: &IssuerKeySet) -> u64 {
    issuer.state().prepared().unwrap().generation
}

fn problem(issuer: &IssuerKeySet) -> Option<String> {
    issuer.state().problem().map(|problem| problem.to_string())
}

/// An issuer with the key `a`, fetched.
async fn fetched(server: &IssuerServer, issuers: &Issuers) -> Arc<IssuerKeySet> {
    let issuer = open(issuers, &at(server.jwks_url(), false)).unwrap();
    issuer.wait_for_keys().await.unwrap();
    assert_eq!(kids(&issuer), ["a"]);
    issuer
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_is_fetched_for_the_first_token_that_names_it() {
    let server = IssuerServer::start(key_set(&["a"])).await;
    let issuers = issuers();
    let issuer = fetched(&server, &issuers).await;
    let (used, epoch) = (generation(&issuer), issuers.epoch().load());
    server.set_keys(key_set(&["b"]));
    let prepared = issuer.wait_for_refresh("b", used).await.unwrap();
    assert!(prepared.verifiers.knows("b"));
    assert!(
        !prepared.verifiers.knows("a"),
        "a withdrawn key is withdrawn"
    );
    assert!(issuers.epoch().load() > epoch, "cached tokens are dropped");
    assert_eq!(server.key_requests(), 2);
    // Who verified with the old keys meanwhile is told of the new ones without another request.
    assert!(issuer.wait_for_refresh("b", used).await.is_some());
    assert_eq!(server.key_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_kid_is_looked_up_once() {
    let server = IssuerServer::start(key_set(&["a"])).await;
    let issuers = issuers();
    let issuer = fetched(&server, &issuers).await;
    let used = generation(&issuer);
    for _ in 0..5 {
        assert!(issuer.wait_for_refresh("x", used).await.is_none());
    }
    assert_eq!(server.key_requests(), 2);
    let counts = issuer.counts();
    assert_eq!((counts.asked_by_unknown_kid, counts.suppressed), (1, 4));
    // A minute later it is a question again: the key may have been published meanwhile.
    sleep(MINUTE).await;
    server.set_keys(key_set(&["a", "x"]));
    assert!(issuer.wait_for_refresh("x", used).await.is_some());
}

/// Four workers with runtimes of their own, a control plane with another, and real time.
#[test]
fn ten_thousand_random_kids_are_a_handful_of_requests() {
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let server = control.block_on(IssuerServer::start(key_set(&["a"])));
    let clock = Arc::new(SystemClock::new());
    let issuers = issuers_with(
        Arc::clone(&clock) as Arc<dyn Clock>,
        control.handle().clone(),
    );
    let issuer = control.block_on(fetched(&server, &issuers));
    let used = generation(&issuer);
    let begun = clock.moment();
    let refused = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let (issuer, refused) = (Arc::clone(&issuer), Arc::clone(&refused));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let calls: Vec<_> = (0..2500)
                        .map(|call| {
                            let (issuer, refused) = (Arc::clone(&issuer), Arc::clone(&refused));
                            tokio::spawn(async move {
                                let kid = format!("{worker}-{call}");
                                if issuer.wait_for_refresh(&kid, used).await.is_none() {
                                    refused.fetch_add(1, Ordering::Relaxed);
                                }
                            })
                        })
                        .collect();
                    for call in calls {
                        call.await.unwrap();
                    }
                });
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    let seconds = clock.moment().since(begun).as_secs();
    assert_eq!(refused.load(Ordering::Relaxed), 10_000);
    // The first one, two at once, and one more in ten seconds.
    assert!(
        server.key_requests() <= 3 + seconds / 10,
        "{}",
        server.key_requests()
    );
    assert!(server.key_requests() >= 2);
    assert_eq!(server.most_in_flight(), 1);
    let counts = issuer.counts();
    assert_eq!(counts.asked_by_unknown_kid, server.key_requests() - 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_rotated_in_during_a_flood_is_known_soon() {
    let server = IssuerServer::start(key_set(&["a"])).await;
    let issuers = issuers();
    let issuer = fetched(&server, &issuers).await;
    let used = generation(&issuer);
    for kid in 0..100 {
        issuer.wait_for_refresh(&kid.to_string(), used).await;
    }
    server.set_keys(key_set(&["a", "b"]));
    assert!(
        issuer.wait_for_refresh("b", used).await.is_none(),
        "fails closed"
    );
    sleep(Duration::from_secs(10)).await;
    assert!(issuer.wait_for_refresh("b", used).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_down_is_believed_until_its_keys_are_too_old() {
    let server = IssuerServer::start(key_set(&["a"])).await;
    server.set_headers(&[("cache-control", "max-age=600")]);
    let issuers = issuers();
    let issuer = fetched(&server, &issuers).await;
    server.set_failure(Some(Failure::Close));
    // 600 s fresh, then an hour stale.
    sleep(Duration::from_secs(4190)).await;
    assert_eq!(kids(&issuer), ["a"]);
    assert!(problem(&issuer).is_some());
    let epoch = issuers.epoch().load();
    sleep(Duration::from_secs(20)).await;
    let fault = issuer.current(issuer.state().clock.moment()).unwrap_err();
    assert_eq!(fault.code(), Code::IssuerUnavailable);
    assert!(issuers.epoch().load() > epoch, "cached tokens are dropped");
    // Twice as long each time up to five minutes: some twenty attempts in an hour.
    assert!(
        (10..40).contains(&server.requests()),
        "{}",
        server.requests()
    );
    server.set_failure(None);
    sleep(Duration::from_secs(300)).await;
    assert_eq!(kids(&issuer), ["a"]);
    assert_eq!(problem(&issuer), None);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_without_keys_is_unavailable_and_asked_ever_more_rarely() {
    let server = IssuerServer::start(key_set(&["a"])).await;
    server.set_failure(Some(Failure::Status(500)));
    let issuers = issuers();
    let issuer = open(&issuers, &at(server.jwks_url(), false)).unwrap();
    let fault = issuer.wait_for_keys().await.unwrap_err();
    assert_eq!(fault.code(), Code::IssuerUnavailable);
    assert!(fault.reason().unwrap().contains("500"), "{fault:?}");
    assert!(!fault.detail().contains("127.0.0.1"), "{fault}");
    sleep(MINUTE).await;
    assert!(
        (5..12).contains(&server.requests()),
        "{}",
        server.requests()
    );
    assert_eq!(issuer.counts().failed, server.requests());
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_set_is_confirmed_by_its_tag() {
    let server = IssuerServer::start(key_set(&["a"])).await;
    server.set_headers(&[("cache-control", "max-age=600")]);
    let issuers = issuers();
    let issuer = fetched(&server, &issuers).await;
    let (generation_before, epoch) = (generation(&issuer), issuers.epoch().load());
    sleep(3 * HOUR).await;
    assert!(server.not_modified() >= 17, "{}", server.not_modified());
    assert_eq!(server.not_modified(), server.key_requests() - 1);
    assert_eq!(kids(&issuer), ["a"]);
    assert_eq!(
        (generation(&issuer), issuers.epoch().load()),
        (generation_before, epoch)
    );
    // The same without a tag: the contents tell.
    server.set_tagged(false);
    sleep(3 * HOUR).await;
    assert_eq!(generation(&issuer), generation_before);
    assert_eq!(issuer.counts().changed, 1);
}

#[tokio::test(start_paused = true)]
async fn refreshes_keep_to_the_bounds_whatever_the_headers_say() {
    for (cache_control, at_least, at_most) in [
        ("max-age=1", 60, 67),
        ("max-age=600", 6, 7),
        ("max-age=31536000", 0, 0),
    ] {
        let server = IssuerServer::start(key_set(&["a"])).await;
        server.set_headers(&[("cache-control", cache_control)]);
        let issuers = issuers();
        let _issuer = fetched(&server, &issuers).await;
        sleep(HOUR + Duration::from_secs(1)).await;
        let refreshes = server.key_requests() - 1;
        assert!(
            (at_least..=at_most).contains(&refreshes),
            "{cache_control}: {refreshes}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_useless_set_keeps_the_keys_before_and_is_reported() {
    let server = IssuerServer::start(key_set(&["a"])).await;
    let issuers = issuers();
    let issuer = fetched(&server, &issuers).await;
    for useless in [
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"unknown"}]}"#,
        r#"{"keys":[{"kty":"oct","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}]}"#,
        r#"{"keys":"#,
        "<html>down for maintenance</html>",
        "",
    ] {
        let refused = issuer.counts().refused;
        server.set_keys(useless);
        sleep(11 * MINUTE).await;
        assert_eq!(kids(&issuer), ["a"], "{useless}");
        assert!(issuer.counts().refused > refused, "{useless}");
        assert!(problem(&issuer).is_some(), "{useless}");
    }
    server.set_keys(key_set(&["b"]));
    sleep(11 * MINUTE).await;
    assert_eq!(kids(&issuer), ["b"]);
    assert_eq!(problem(&issuer), None);
}

#[tokio::test(start_paused = true)]
async fn one_bad_key_does_not_spoil_the_set() {
    let good = key_set(&["a"]);
    let server = IssuerServer::start(good.replace("[", r#"[{"kty":"EC"},{"kty":7},"#)).await;
    fetched(&server, &issuers()).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_issuer_does_not_hold_calls_for_long() {
    let server = IssuerServer::start(key_set(&["a"])).await;
    let issuers = issuers();
    let issuer = fetched(&server, &issuers).await;
    let used = generation(&issuer);
    server.set_keys(key_set(&["b"]));
    server.set_failure(Some(Failure::Slow(Duration::from_secs(5))));
    let clock = Arc::clone(&issuer.state().clock);
    let begun = clock.moment();
    assert!(issuer.wait_for_refresh("b", used).await.is_none());
    assert_eq!(clock.moment().since(begun).as_secs(), 2);
    // It is not forgotten meanwhile, and the answer comes.
    sleep(Duration::from_secs(4)).await;
    assert_eq!(kids(&issuer), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_is_given_up() {
    let server = IssuerServer::start(key_set(&["a"])).await;
    server.set_failure(Some(Failure::Hang));
    let issuers = issuers();
    let issuer = open(&issuers, &at(server.jwks_url(), false)).unwrap();
    sleep(Duration::from_millis(10_200)).await;
    assert!(problem(&issuer).unwrap().contains("did not answer"));
    server.set_failure(None);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(kids(&issuer), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn keys_are_discovered_from_metadata() {
    const OPENID: &str = "/.well-known/openid-configuration";
    for path in [OPENID, "/.well-known/oauth-authorization-server"] {
        let server = IssuerServer::start(key_set(&["a"])).await;
        server.set_metadata(path, &server.url(""));
        let definition = Issuer {
            issuer: server.url("").into(),
            ..at(server.url(OPENID), true)
        };
        let issuers = issuers();
        let issuer = open(&issuers, &definition).unwrap();
        issuer.wait_for_keys().await.unwrap();
        assert_eq!(kids(&issuer), ["a"], "{path}");
        // An unknown kid costs one request, not one for the metadata too.
        let before = server.requests();
        server.set_keys(key_set(&["b"]));
        let used = generation(&issuer);
        assert!(issuer.wait_for_refresh("b", used).await.is_some());
        assert_eq!(server.requests(), before + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_of_another_issuer_gives_no_keys() {
    const OPENID: &str = "/.well-known/openid-configuration";
    let server = IssuerServer::start(key_set(&["a"])).await;
    server.set_metadata(OPENID, "https://other.example");
    let issuers = issuers();
    let issuer = open(&issuers, &at(server.url(OPENID), true)).unwrap();
    assert!(issuer.wait_for_keys().await.is_err());
    assert!(problem(&issuer).unwrap().contains("https://other.example"));
    assert_eq!(server.key_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_the_keys_of_what_did_not_change() {
    let server = IssuerServer::start(key_set(&["a"])).await;
    let issuers = issuers();
    let definition = at(server.jwks_url(), false);
    let first = fetched(&server, &issuers).await;
    let same = open(&issuers, &definition).unwrap();
    assert!(Arc::ptr_eq(&first, &same));
    let changed = Issuer {
        leeway: Duration::from_secs(31),
        ..definition
    };
    let other = open(&issuers, &changed).unwrap();
    assert!(!Arc::ptr_eq(&first, &other));
    other.wait_for_keys().await.unwrap();
    assert_eq!(server.key_requests(), 2);
    assert_eq!(issuers.statuses().len(), 2);
    drop((first, same, other));
    assert_eq!(issuers.statuses().len(), 0);
    // Nobody asks on behalf of an issuer that is gone.
    sleep(HOUR).await;
    assert_eq!(server.key_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_what_is_wrong() {
    let server = IssuerServer::start(key_set(&["a"])).await;
    let issuers = issuers();
    let _issuer = fetched(&server, &issuers).await;
    let status = issuers.statuses().remove(0);
    assert_eq!(
        (status.name.as_str(), &*status.issuer),
        ("test", "https://issuer.example")
    );
    assert!(status.verifiers > 0 && status.problem.is_none());
    assert_eq!(status.confirmed, status.changed);
    assert!(status.usable_for.unwrap() > HOUR);
    server.set_failure(Some(Failure::Status(404)));
    sleep(11 * MINUTE).await;
    let status = issuers.statuses().remove(0);
    assert!(status.problem.unwrap().to_string().contains("404"));
    assert!(status.usable_for.unwrap() < HOUR);
}
