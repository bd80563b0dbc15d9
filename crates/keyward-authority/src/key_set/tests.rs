mod in_module;

use super::*;
use keyward_jose::ContentEncryption;
use keyward_jose::jwe::{Decrypters, Encrypter, Message};
use keyward_jose::jwt::{self, Claims, Profile};
use keyward_jose::key::KeyUse;
use keyward_jose::{NumericDate, Verifiers};
use keyward_model::Clock;
use keyward_model::resource::{KeyAlgorithm, KeySetPurpose, KeysIn, Schedule};
use keyward_store::{KeyState, MasterKey, NewKey, Store};
use keyward_testkit::FakeClock;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const ES256: SignatureAlgorithm = SignatureAlgorithm::Es256;
const SITE: &str = "https://keyward.example";
const BY: Author<'static> = Author::local("alice");

/// What was told last.
#[derive(Default)]
struct Told(Mutex<usize>);

impl KeySink for Told {
    fn take(&self, _: &KeySets, _: Timestamp) {
        *self.0.lock().unwrap() += 1;
    }
}

struct Bench {
    _folder: TempDir,
    store: Store,
    clock: Arc<FakeClock>,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data").join("keyward.db");
        let master = MasterKey::generate().unwrap();
        Self {
            store: Store::open(&path, &master, NOW).await.unwrap(),
            _folder: folder,
            clock: Arc::new(FakeClock::at(NOW)),
        }
    }

    async fn keeper(&self, plans: Vec<Plan>) -> Keeper {
        let context = KeeperContext {
            store: self.store.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            sink: Arc::new(Told::default()),
            module: None,
        };
        Keeper::open(context, plans).await.unwrap()
    }

    async fn after(&self, keeper: &Keeper, time: Duration) -> Timestamp {
        self.clock.advance(time);
        let now = self.clock.now();
        keeper.look(now).await.unwrap();
        now
    }

    async fn state(&self, place: (TeamId, &Name), kid: &str) -> (KeyState, bool) {
        let rows = self.store.keys(place.0, place.1.as_str()).await.unwrap();
        let row = rows.iter().find(|row| row.kid == kid).unwrap();
        (
            row.state,
            self.store.private_jwk(row).await.unwrap().is_some(),
        )
    }
}

fn own() -> Plan {
    Plan::own(SITE, None).unwrap()
}

fn self_name() -> Name {
    "self".parse().unwrap()
}

/// A team's set of one algorithm.
fn of_team(algorithm: KeyAlgorithm, schedule: Schedule) -> Plan {
    let purpose = if algorithm.signs() {
        KeyPurpose::Sign
    } else {
        KeyPurpose::Encrypt
    };
    Plan {
        name: "payments".parse().unwrap(),
        issuer: Some("https://payments.example".into()),
        purpose: KeySetPurpose::Tokens,
        schedule,
        publish_before: HOUR,
        token_life: HOUR,
        max_age: HOUR,
        kinds: vec![(purpose, algorithm.as_str().parse().unwrap())],
        ..own()
    }
}

fn kids(set: &KeySet, now: Timestamp) -> BTreeSet<String> {
    let set = set.key_set(now).unwrap();
    let kids = set.keys().iter().map(|key| key.kid().unwrap().to_owned());
    kids.collect()
}

fn signing(set: &KeySet, now: Timestamp) -> Option<String> {
    let (row, _) = set.signer(None, now)?;
    Some(row.kid.clone())
}

async fn token(set: &KeySet, now: Timestamp, life: Duration) -> Option<String> {
    let (_, signer) = set.signer(None, now)?;
    let date = |at: Timestamp| NumericDate(at.as_seconds());
    let claims = Claims::new()
        .with_issuer(SITE)
        .with_audience(["api"])
        .with_issued_at(date(now))
        .with_expiry(date(now.plus(life)));
    Some(jwt::sign_with(&claims, &**signer, "at+jwt").await.unwrap())
}

fn verifies(keys: &JwkSet, token: &str, now: Timestamp) -> Result<(), keyward_jose::Error> {
    let verifiers = Verifiers::new(keys.keys(), &[ES256]);
    let profile = Profile::builder()
        .issuer(SITE)
        .audience("api")
        .typ("at+jwt")
        .algorithm(ES256)
        .build()
        .unwrap();
    jwt::verify(token, &verifiers, &profile, NumericDate(now.as_seconds())).map(|_| ())
}

#[tokio::test]
async fn the_first_start_makes_keys_with_their_successors_and_later_starts_find_them() {
    let bench = Bench::new().await;
    let keeper = bench.keeper(vec![own()]).await;
    let sets = keeper.sets();
    let first = sets.own().unwrap().published(NOW).unwrap();
    let again = bench.keeper(vec![own()]).await.sets();
    assert_eq!(again.own().unwrap().published(NOW).unwrap(), first);

    let rows = bench.store.keys(TeamId::DEFAULT, "self").await.unwrap();
    let kinds: Vec<_> = rows
        .iter()
        .map(|row| (row.algorithm.as_str(), row.state))
        .collect();
    for algorithm in ["ES256", "RS256", "ECDH-ES"] {
        for state in [KeyState::Active, KeyState::Published] {
            assert!(kinds.contains(&(algorithm, state)), "{kinds:?}");
        }
    }
    assert_eq!(kinds.len(), 6);
    assert_eq!(bench.store.verify_audit_chain().await.unwrap().events, 6);
}

#[tokio::test]
async fn the_published_set_is_public_and_says_what_each_key_is_for() {
    let bench = Bench::new().await;
    let keeper = bench.keeper(vec![own()]).await;
    let published = keeper.sets().own().unwrap().published(NOW).unwrap();
    let set: serde_json::Value = serde_json::from_str(&published.json).unwrap();
    let keys = set["keys"].as_array().unwrap();
    let said: BTreeSet<_> = keys
        .iter()
        .map(|key| {
            (
                key["kty"].as_str().unwrap(),
                key["use"].as_str().unwrap(),
                key["alg"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        said,
        BTreeSet::from([
            ("EC", "sig", Some("ES256")),
            ("RSA", "sig", Some("RS256")),
            ("EC", "enc", None)
        ])
    );
    for key in keys {
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "`{private}` is published");
        }
        assert!(key["kid"].is_string());
    }
    assert_eq!(&*published.cache_control, "public, max-age=900");
}

#[tokio::test]
async fn what_is_encrypted_to_us_we_decrypt_longer_than_the_key_is_shown() {
    let bench = Bench::new().await;
    let plan = own();
    let (life, before) = (plan.token_life, plan.publish_before);
    let keeper = bench.keeper(vec![plan]).await;
    let shown = |sets: &KeySets, now| {
        let set = sets.own().unwrap().key_set(now).unwrap();
        let mut keys = set.keys().iter();
        let key = keys.find(|key| key.key_use() == Some(KeyUse::Encryption));
        key.cloned().unwrap()
    };
    let old = shown(&keeper.sets(), NOW);
    let decrypted = |sets: &KeySets, text: &str, now| {
        let keys = sets.decrypting(now);
        let all = Decrypters::new(keys, &KEY_MANAGEMENT_ALGORITHMS, ContentEncryption::ALL);
        all.decrypt_compact(text).is_ok()
    };
    let mut texts = Vec::new();
    for algorithm in old.key_management_algorithms() {
        let encrypter = Encrypter::new(&old, algorithm, ContentEncryption::A256Gcm).unwrap();
        texts.push(encrypter.encrypt_compact(&Message::new(b"secret")).unwrap());
    }
    assert!(texts.len() >= 4);
    let now = bench.after(&keeper, 90 * DAY).await;
    assert_ne!(shown(&keeper.sets(), now).kid(), old.kid());
    let last = now.plus(before + life);
    for text in &texts {
        assert!(decrypted(&keeper.sets(), text, last));
        assert!(!decrypted(&keeper.sets(), text, last.plus(HOUR)));
    }
}

/// The promise that rotation is for: whoever keeps a copy of the set for as long as it may never meets a token whose
/// key the copy has not, and no token is refused before its time. A year, with verifiers that came at different times.
#[tokio::test]
async fn in_a_year_no_verifier_that_caches_the_set_meets_an_unknown_key() {
    let bench = Bench::new().await;
    let every = 20 * DAY;
    let plan = of_team(KeyAlgorithm::Es256, Schedule::Every(every));
    let (team, name) = (plan.team, plan.name.clone());
    let (max_age, life) = (plan.max_age, plan.token_life);
    let keeper = bench.keeper(vec![plan]).await;
    // Each verifier: when it fetched its copy, and the copy.
    let mut verifiers: Vec<(Timestamp, JwkSet)> = Vec::new();
    let mut living: Vec<(Timestamp, String)> = Vec::new();
    let mut signed_with = BTreeSet::new();
    let (mut tokens, mut checks) = (0_u32, 0_u32);
    let step = Duration::from_secs(53 * 60);
    let end = NOW.plus(365 * DAY);
    while bench.clock.now() < end {
        let now = bench.clock.now();
        // As `run` does: at the times that the keeper itself asks for, and no more.
        let due = keeper
            .sets()
            .iter()
            .filter_map(|set| set.next_change(now))
            .min();
        if due.is_some_and(|at| at <= now) {
            keeper.look(now).await.unwrap();
        }
        let sets = keeper.sets();
        let set = sets.get(team, &name).unwrap();
        let keys = set.verifying(now).unwrap();
        if verifiers.len() < 7 {
            verifiers.push((now, keys.clone()));
        }
        let signed = token(set, now, life)
            .await
            .expect("a key signs at every moment");
        signed_with.insert(signing(set, now).unwrap());
        living.push((now.plus(life), signed));
        tokens += 1;
        living.retain(|(until, _)| *until > now);
        for (fetched, copy) in &mut verifiers {
            if now.since(*fetched) >= max_age {
                (*fetched, *copy) = (now, keys.clone());
            }
            for (_, token) in &living {
                verifies(copy, token, now).unwrap();
                checks += 1;
            }
        }
        bench.clock.advance(step);
    }
    println!(
        "{tokens} tokens, {checks} checks, {} keys",
        signed_with.len()
    );
    assert!(signed_with.len() >= 18, "{}", signed_with.len());
    let rows = bench.store.keys(team, name.as_str()).await.unwrap();
    let signs = rows.iter().filter(|row| row.state == KeyState::Active);
    assert_eq!(signs.count(), 1);
    assert!(
        rows.iter()
            .filter(|row| row.state == KeyState::Retired)
            .count()
            >= 16
    );
    bench.store.verify_audit_chain().await.unwrap();
}

#[tokio::test]
async fn a_successor_takes_over_when_its_time_has_come_and_not_before() {
    let bench = Bench::new().await;
    let plan = own();
    let over = plan.token_life + Duration::from_secs(300);
    let keeper = bench.keeper(vec![plan]).await;
    let place = (TeamId::DEFAULT, &self_name());
    let signer = |now| signing(keeper.sets().own().unwrap(), now).unwrap();
    let old = signer(NOW);
    let early = bench
        .after(&keeper, 90 * DAY - Duration::from_secs(1))
        .await;
    assert_eq!(signer(early), old);
    let due = bench.after(&keeper, Duration::from_secs(1)).await;
    let new = signer(due);
    assert_ne!(new, old);
    assert!(kids(keeper.sets().own().unwrap(), due).contains(&old));
    assert_eq!(bench.state(place, &old).await, (KeyState::Retiring, true));
    assert_eq!(bench.state(place, &new).await, (KeyState::Active, true));
    let ended = due.plus(over);
    let loaded_before = keeper.sets();
    assert!(!kids(loaded_before.own().unwrap(), ended).contains(&old));
    bench.after(&keeper, over).await;
    assert_eq!(bench.state(place, &old).await, (KeyState::Retired, false));
}

#[tokio::test]
async fn a_withdrawn_key_is_gone_at_once_and_its_successor_signs() {
    let bench = Bench::new().await;
    let keeper = bench.keeper(vec![own()]).await;
    let name = self_name();
    let place = (TeamId::DEFAULT, &name);
    let early = signing(keeper.sets().own().unwrap(), NOW).unwrap();
    // The successor is not known everywhere yet: nothing signs rather than what nobody could verify.
    keeper
        .step(place, &early, Step::Withdraw, BY)
        .await
        .unwrap();
    let sets = keeper.sets();
    assert!(!kids(sets.own().unwrap(), NOW).contains(&early));
    assert!(sets.own().unwrap().signer(Some(ES256), NOW).is_none());
    assert!(
        sets.own()
            .unwrap()
            .signer(Some(SignatureAlgorithm::Rs256), NOW)
            .is_some()
    );
    let now = bench.after(&keeper, DAY).await;
    let next = signing(keeper.sets().own().unwrap(), now).unwrap();
    // Another day on the one after that is ready, and takes over in the same moment.
    let now = bench.after(&keeper, DAY).await;
    keeper.step(place, &next, Step::Withdraw, BY).await.unwrap();
    let last = signing(keeper.sets().own().unwrap(), now).unwrap();
    assert!(last != next && last != early);
    assert_eq!(
        bench.state(place, &next).await,
        (KeyState::Withdrawn, false)
    );
    let again = keeper.step(place, &next, Step::Withdraw, BY).await;
    assert_eq!(again.unwrap_err().code(), "rotation");
    let events = bench.store.audit_events(0, 100).await.unwrap();
    let by_alice = events.iter().filter(|event| event.actor == "alice");
    assert!(by_alice.count() >= 2);
}

#[tokio::test]
async fn a_set_by_hand_has_the_keys_that_somebody_makes_or_brings() {
    let bench = Bench::new().await;
    let plan = of_team(KeyAlgorithm::Es256, Schedule::Manual);
    let name = plan.name.clone();
    let place = (plan.team, &name);
    let keeper = bench.keeper(vec![plan]).await;
    let set = || Arc::clone(keeper.sets().get(place.0, place.1).unwrap());
    assert!(set().signer(None, NOW).is_none());

    let algorithm = Algorithm::Signature(ES256);
    let mine = Key::generate(algorithm, None)
        .unwrap()
        .with_kid(Some("mine".to_owned()))
        .unwrap();
    for (key, part) in [
        (mine.public().unwrap(), "no private part"),
        (
            Key::generate(Algorithm::Signature(SignatureAlgorithm::Es384), None).unwrap(),
            "not for ES256",
        ),
    ] {
        let imported = Imported {
            key,
            algorithm: None,
        };
        let refused = keeper.import(place, imported, BY).await.unwrap_err();
        assert!(refused.to_string().contains(part), "{refused}");
    }
    let imported = Imported {
        key: mine.clone(),
        algorithm: None,
    };
    let row = keeper.import(place, imported, BY).await.unwrap();
    // Nobody can have a copy of a set that was empty: the first key signs at once.
    assert_eq!((row.kid.as_str(), row.state), ("mine", KeyState::Active));
    assert_eq!(signing(&set(), NOW).as_deref(), Some("mine"));
    let again = Imported {
        key: mine,
        algorithm: None,
    };
    assert_eq!(
        keeper.import(place, again, BY).await.unwrap_err().code(),
        "known_key"
    );

    let second = keeper.create(place, None, BY).await.unwrap();
    assert_eq!(second.state, KeyState::Published);
    let early = keeper.step(place, &second.kid, Step::Activate, BY).await;
    assert!(early.unwrap_err().to_string().contains("3600 s"));
    let alone = keeper.step(place, "mine", Step::Retire, BY).await;
    assert!(
        alone
            .unwrap_err()
            .to_string()
            .contains("no other key is ready")
    );
    let now = bench.after(&keeper, 400 * DAY).await;
    assert_eq!(
        signing(&set(), now).as_deref(),
        Some("mine"),
        "nobody said otherwise"
    );
    keeper.step(place, "mine", Step::Retire, BY).await.unwrap();
    assert_eq!(signing(&set(), now), Some(second.kid));
    assert_eq!(bench.state(place, "mine").await, (KeyState::Retiring, true));
    let unknown = keeper.step(place, "nobody's", Step::Activate, BY).await;
    assert_eq!(unknown.unwrap_err().code(), "unknown_key");
    let other: Name = "other".parse().unwrap();
    let unknown = keeper.create((place.0, &other), None, BY).await;
    assert_eq!(unknown.unwrap_err().code(), "unknown_key_set");
    let wrong = keeper
        .create(
            place,
            Some(Algorithm::Signature(SignatureAlgorithm::MlDsa65)),
            BY,
        )
        .await;
    assert_eq!(wrong.unwrap_err().code(), "key_unfit");
}

#[tokio::test]
async fn an_algorithm_that_comes_waits_and_one_that_goes_winds_down() {
    let bench = Bench::new().await;
    let before = of_team(KeyAlgorithm::Es256, Schedule::Every(30 * DAY));
    let (team, name) = (before.team, before.name.clone());
    let keeper = bench.keeper(vec![before.clone()]).await;
    let set = || Arc::clone(keeper.sets().get(team, &name).unwrap());
    let old = signing(&set(), NOW).unwrap();
    let after = of_team(KeyAlgorithm::MlDsa65, Schedule::Every(30 * DAY));
    assert!(keeper.declare(vec![after]));
    keeper.look(NOW).await.unwrap();
    // Copies of the set are without it: it waits as any.
    assert_eq!(signing(&set(), NOW), None);
    assert!(kids(&set(), NOW).contains(&old), "what it signed is good");
    let now = bench.after(&keeper, HOUR).await;
    let (row, _) = set()
        .signer(None, now)
        .map(|(row, signer)| (row.clone(), Arc::clone(signer)))
        .unwrap();
    assert_eq!(row.algorithm, "ML-DSA-65");
    let now = bench.after(&keeper, 2 * HOUR).await;
    assert!(!kids(&set(), now).contains(&old));
    // A set that is no longer declared serves nobody, and keeps its keys for when it is declared again.
    let last = signing(&set(), now).unwrap();
    assert!(keeper.declare(Vec::new()));
    keeper.look(now).await.unwrap();
    assert!(keeper.sets().get(team, &name).is_none());
    assert!(keeper.declare(vec![of_team(
        KeyAlgorithm::MlDsa65,
        Schedule::Every(30 * DAY)
    )]));
    keeper.look(now).await.unwrap();
    assert_eq!(signing(&set(), now), Some(last));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_nodes_that_find_at_once_that_a_key_is_wanted_one_makes_it() {
    let bench = Bench::new().await;
    let plan = of_team(KeyAlgorithm::Es256, Schedule::Every(10 * DAY));
    let (team, name) = (plan.team, plan.name.clone());
    let mut nodes = Vec::new();
    for _ in 0..4 {
        nodes.push(Arc::new(bench.keeper(vec![plan.clone()]).await));
    }
    for _ in 0..3 {
        bench.clock.advance(10 * DAY);
        let now = bench.clock.now();
        let mut looking = tokio::task::JoinSet::new();
        for node in &nodes {
            let node = Arc::clone(node);
            looking.spawn(async move { node.look(now).await });
        }
        for looked in looking.join_all().await {
            looked.unwrap();
        }
        for node in &nodes {
            node.look(now).await.unwrap();
        }
        let rows = bench.store.keys(team, name.as_str()).await.unwrap();
        let waiting = rows.iter().filter(|row| row.state == KeyState::Published);
        assert_eq!(waiting.count(), 1, "{rows:?}");
        let signers: BTreeSet<_> = nodes
            .iter()
            .map(|node| signing(node.sets().get(team, &name).unwrap(), now))
            .collect();
        assert_eq!(signers.len(), 1);
    }
}

#[tokio::test]
async fn certificates_of_an_authority_outside_stand_in_the_set() {
    let bench = Bench::new().await;
    let plan = of_team(KeyAlgorithm::Es256, Schedule::Every(90 * DAY));
    let name = plan.name.clone();
    let place = (plan.team, &name);
    let keeper = bench.keeper(vec![plan]).await;
    let kid = signing(keeper.sets().get(place.0, place.1).unwrap(), NOW).unwrap();
    let subject = keyward_jose::x509::Subject {
        common_name: Some("payments".to_owned()),
        ..Default::default()
    };
    let request = keeper
        .certificate_request(place, &kid, subject.clone(), BY)
        .await
        .unwrap();
    assert!(request.len() > 100);
    // What an authority would make of it: here the key's own signature stands for it.
    let rows = bench.store.keys(place.0, place.1.as_str()).await.unwrap();
    let row = rows.iter().find(|row| row.kid == kid).unwrap();
    let private = bench.store.private_jwk(row).await.unwrap().unwrap();
    let private = Key::from_jwk(private.reveal().as_bytes()).unwrap();
    let date = |at: Timestamp| NumericDate(at.as_seconds());
    let certificate = private
        .self_signed_certificate(&subject, date(NOW), date(NOW.plus(DAY)))
        .unwrap();
    let stranger = Key::generate(Algorithm::Signature(ES256), None).unwrap();
    let strange = stranger
        .self_signed_certificate(&subject, date(NOW), date(NOW.plus(DAY)))
        .unwrap();
    let refused = keeper.certify(place, &kid, vec![strange], BY).await;
    assert!(refused.is_err());
    let certified = keeper
        .certify(place, &kid, vec![certificate], BY)
        .await
        .unwrap();
    assert!(certified.public_jwk.contains("x5c"));
    let published = keeper
        .sets()
        .get(place.0, place.1)
        .unwrap()
        .published(NOW)
        .unwrap();
    assert!(published.json.contains("x5c"));
    assert_eq!(
        signing(keeper.sets().get(place.0, place.1).unwrap(), NOW),
        Some(kid)
    );
}

#[tokio::test]
async fn a_key_whose_parts_do_not_belong_together_is_refused() {
    let bench = Bench::new().await;
    bench.keeper(vec![own()]).await;
    let es512 = Algorithm::Signature(SignatureAlgorithm::Es512);
    let key = succession::generated(KeyPurpose::Sign, es512).unwrap();
    let rotation = Rotation::joining(own().policy(KeyPurpose::Sign).unwrap());
    let private = succession::here(&key).unwrap();
    let new = succession::row_of(&key, private, KeyPurpose::Sign, es512, rotation, NOW).unwrap();
    let other = Key::generate(es512, None).unwrap();
    let mixed = NewKey {
        private: succession::here(&other).unwrap(),
        ..new
    };
    bench
        .store
        .insert_key(TeamId::DEFAULT, "self", &mixed, BY, NOW)
        .await
        .unwrap();
    let plan = Plan {
        kinds: [own().kinds, vec![(KeyPurpose::Sign, es512)]].concat(),
        ..own()
    };
    let context = KeeperContext {
        store: bench.store.clone(),
        clock: Arc::clone(&bench.clock) as Arc<dyn Clock>,
        sink: Arc::new(Told::default()),
        module: None,
    };
    let refused = Keeper::open(context, vec![plan]).await.unwrap_err();
    assert_eq!(refused.code(), "key_torn");
}
