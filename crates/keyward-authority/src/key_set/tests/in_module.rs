//! Keys in a module: one that does what it is told, and one that does not.

use super::*;
use async_trait::async_trait;
use keyward_jose::LocalSigner;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A module in memory, whose keys come out through a back door that real ones have not.
#[derive(Default)]
struct Module {
    keys: Mutex<HashMap<String, Key>>,
    is_away: AtomicBool,
    /// It never answers.
    hangs: AtomicBool,
    asked: AtomicUsize,
    references: AtomicUsize,
    /// What it makes no keys for.
    unfit: Mutex<Option<SignatureAlgorithm>>,
}

impl Module {
    fn answers(&self) -> Result<(), Error> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(Error::Module {
                why: "it is away".to_owned(),
                code: "away",
                of_all_keys: true,
            });
        }
        Ok(())
    }

    fn references(&self) -> BTreeSet<String> {
        self.keys.lock().unwrap().keys().cloned().collect()
    }
}

/// The same module, as each node has it.
struct Reached(Arc<Module>);

#[async_trait]
impl KeyModule for Reached {
    fn new_reference(&self) -> Result<String, Error> {
        let number = self.0.references.fetch_add(1, Ordering::SeqCst);
        Ok(format!("module:{number}"))
    }

    fn prefix(&self) -> String {
        "module:".to_owned()
    }

    async fn check(&self, algorithm: SignatureAlgorithm) -> Result<(), Error> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        if self.0.hangs.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        if *self.0.unfit.lock().unwrap() == Some(algorithm) {
            return Err(Error::Module {
                why: "it has no such mechanism".to_owned(),
                code: "refused",
                of_all_keys: false,
            });
        }
        self.0.answers()
    }

    fn holds(&self, reference: &str) -> bool {
        reference.starts_with("module:")
    }

    async fn make(
        &self,
        reference: &str,
        algorithm: SignatureAlgorithm,
        _: &str,
    ) -> Result<Key, Error> {
        self.0.answers()?;
        let key = Key::generate(Algorithm::Signature(algorithm), None)?;
        let public = key.public()?.with_kid(None)?.with_algorithm(None)?;
        let mut keys = self.0.keys.lock().unwrap();
        keys.insert(reference.to_owned(), key);
        Ok(public)
    }

    fn signer(
        &self,
        reference: &str,
        public: &Key,
        algorithm: SignatureAlgorithm,
    ) -> Result<Arc<dyn Signer>, Error> {
        Ok(Arc::new(Away {
            module: Arc::clone(&self.0),
            reference: reference.to_owned(),
            kid: public.kid().unwrap_or_default().to_owned(),
            algorithm,
        }))
    }

    async fn has(&self, reference: &str) -> Result<bool, Error> {
        self.0.answers()?;
        Ok(self.0.keys.lock().unwrap().contains_key(reference))
    }

    async fn destroy(&self, reference: &str) -> Result<bool, Error> {
        self.0.answers()?;
        Ok(self.0.keys.lock().unwrap().remove(reference).is_some())
    }
}

struct Away {
    module: Arc<Module>,
    reference: String,
    kid: String,
    algorithm: SignatureAlgorithm,
}

#[async_trait]
impl Signer for Away {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn kid(&self) -> Option<&str> {
        Some(&self.kid)
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, keyward_jose::Error> {
        let failed = |why: String| keyward_jose::Error::Signer(why);
        self.module
            .answers()
            .map_err(|error| failed(error.to_string()))?;
        let keys = self.module.keys.lock().unwrap();
        let key = keys
            .get(&self.reference)
            .ok_or_else(|| failed("no key".to_owned()))?;
        LocalSigner::new(key, self.algorithm)?.sign_now(message)
    }
}

fn in_module(schedule: Schedule) -> Plan {
    Plan {
        keys_in: Some(KeysIn::Pkcs11),
        ..of_team(KeyAlgorithm::Es256, schedule)
    }
}

async fn opened(bench: &Bench, module: Option<&Arc<Module>>, plan: &Plan) -> Keeper {
    let context = KeeperContext {
        store: bench.store.clone(),
        clock: Arc::clone(&bench.clock) as Arc<dyn Clock>,
        sink: Arc::new(Told::default()),
        module: module.map(|module| Arc::new(Reached(Arc::clone(module))) as Arc<dyn KeyModule>),
    };
    Keeper::open(context, vec![plan.clone()]).await.unwrap()
}

/// The references of the keys that the set's rows name.
async fn referred(bench: &Bench, plan: &Plan) -> BTreeSet<String> {
    let rows = bench
        .store
        .keys(plan.team, plan.name.as_str())
        .await
        .unwrap();
    rows.into_iter().filter_map(|row| row.module_key).collect()
}

fn set_of(keeper: &Keeper, plan: &Plan) -> Arc<KeySet> {
    Arc::clone(keeper.sets().get(plan.team, &plan.name).unwrap())
}

#[tokio::test]
async fn keys_are_made_in_the_module_follow_on_one_another_there_and_are_destroyed() {
    let bench = Bench::new().await;
    let module = Arc::new(Module::default());
    let plan = in_module(Schedule::Every(10 * DAY));
    let keeper = opened(&bench, Some(&module), &plan).await;
    let mut signed_with = BTreeSet::new();
    for _ in 0..4 {
        let now = bench.clock.now();
        let set = set_of(&keeper, &plan);
        let signed = token(&set, now, HOUR).await.unwrap();
        verifies(&set.verifying(now).unwrap(), &signed, now).unwrap();
        signed_with.insert(signing(&set, now).unwrap());
        assert_eq!(module.references(), referred(&bench, &plan).await);
        bench.after(&keeper, 10 * DAY).await;
        bench.after(&keeper, 2 * HOUR).await;
    }
    assert_eq!(signed_with.len(), 4);
    // The one that signs and its successor.
    assert_eq!(module.references().len(), 2);
    let rows = bench
        .store
        .keys(plan.team, plan.name.as_str())
        .await
        .unwrap();
    for row in &rows {
        assert_eq!(
            bench.store.private_jwk(row).await.unwrap(),
            None,
            "nothing private is here"
        );
    }
    bench.store.verify_audit_chain().await.unwrap();
}

#[tokio::test]
async fn a_module_that_is_away_keeps_no_node_from_starting_and_is_asked_again() {
    let bench = Bench::new().await;
    let module = Arc::new(Module::default());
    let plan = in_module(Schedule::Every(10 * DAY));
    module.is_away.store(true, Ordering::SeqCst);
    let keeper = opened(&bench, Some(&module), &plan).await;
    assert!(signing(&set_of(&keeper, &plan), NOW).is_none());
    module.is_away.store(false, Ordering::SeqCst);
    keeper.look(NOW).await.unwrap();
    // Nobody has a copy of the set: its first key signs at once.
    let first = signing(&set_of(&keeper, &plan), NOW).unwrap();

    module.is_away.store(true, Ordering::SeqCst);
    let now = bench.after(&keeper, 10 * DAY).await;
    let set = set_of(&keeper, &plan);
    let second = signing(&set, now).unwrap();
    assert_ne!(
        first, second,
        "its time had come, and it was made long before"
    );
    assert!(
        kids(&set, now).contains(&first),
        "what it signed stays good"
    );
    let (_, signer) = set.signer(None, now).unwrap();
    let failed = signer.sign(b"message").await.unwrap_err();
    assert_eq!(failed.code(), "signer");
    let rows = bench
        .store
        .keys(plan.team, plan.name.as_str())
        .await
        .unwrap();
    assert_eq!(rows.len(), 2, "no successor can be made");
    module.is_away.store(false, Ordering::SeqCst);
    keeper.look(now).await.unwrap();
    let rows = bench
        .store
        .keys(plan.team, plan.name.as_str())
        .await
        .unwrap();
    assert_eq!(rows.len(), 3);
    assert!(token(&set_of(&keeper, &plan), now, HOUR).await.is_some());
}

#[tokio::test]
async fn a_key_that_is_withdrawn_while_the_module_is_away_is_destroyed_when_it_is_back() {
    let bench = Bench::new().await;
    let module = Arc::new(Module::default());
    let plan = in_module(Schedule::Manual);
    let place = (plan.team, &plan.name);
    let keeper = opened(&bench, Some(&module), &plan).await;
    let key = keeper.create(place, None, BY).await.unwrap();
    assert_eq!(module.references().len(), 1);
    module.is_away.store(true, Ordering::SeqCst);
    let failed = keeper.create(place, None, BY).await.unwrap_err();
    assert_eq!(failed.code(), "away");
    keeper
        .step(place, &key.kid, Step::Withdraw, BY)
        .await
        .unwrap();
    assert!(kids(&set_of(&keeper, &plan), NOW).is_empty(), "at once");
    assert_eq!(module.references().len(), 1);
    module.is_away.store(false, Ordering::SeqCst);
    keeper.look(NOW).await.unwrap();
    assert!(module.references().is_empty());
    assert!(referred(&bench, &plan).await.is_empty());
    let events = bench.store.audit_events(0, 100).await.unwrap();
    let destroyed = events.iter().filter(|event| event.action == "key.destroy");
    // The withdrawn one: what could not be made never was.
    assert_eq!(destroyed.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_share_a_module_leave_no_key_in_it_that_no_row_names() {
    let bench = Bench::new().await;
    let module = Arc::new(Module::default());
    let plan = in_module(Schedule::Every(10 * DAY));
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let context = KeeperContext {
            store: bench.store.clone(),
            clock: Arc::clone(&bench.clock) as Arc<dyn Clock>,
            sink: Arc::new(Told::default()),
            module: Some(Arc::new(Reached(Arc::clone(&module)))),
        };
        let plan = plan.clone();
        starts.spawn(async move { Keeper::open(context, vec![plan]).await.unwrap() });
    }
    let nodes: Vec<Arc<Keeper>> = starts.join_all().await.into_iter().map(Arc::new).collect();
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
    }
    let now = bench.clock.now();
    nodes[0].look(now).await.unwrap();
    assert_eq!(module.references(), referred(&bench, &plan).await);
    let rows = bench
        .store
        .keys(plan.team, plan.name.as_str())
        .await
        .unwrap();
    let waiting = rows.iter().filter(|row| row.state == KeyState::Published);
    assert_eq!(waiting.count(), 1);
}

#[tokio::test]
async fn a_key_that_the_module_has_no_more_is_known_as_missing_and_followed_once_it_is_withdrawn() {
    let bench = Bench::new().await;
    let module = Arc::new(Module::default());
    let plan = in_module(Schedule::Every(10 * DAY));
    let keeper = opened(&bench, Some(&module), &plan).await;
    let now = bench.after(&keeper, 2 * HOUR).await;
    let kid = signing(&set_of(&keeper, &plan), now).unwrap();
    let place = (plan.team, &plan.name);
    let row = |keeper: &Keeper| {
        let set = set_of(keeper, &plan);
        let mut rows = set.rows.iter();
        rows.find(|row| row.kid == kid).cloned().unwrap()
    };
    assert!(!keeper.is_missing(&row(&keeper)));

    // As after a restore of a database from before the key's end.
    let reference = row(&keeper).module_key.unwrap();
    module.keys.lock().unwrap().remove(&reference);
    let keeper = opened(&bench, Some(&module), &plan).await;
    assert!(keeper.is_missing(&row(&keeper)));
    let set = set_of(&keeper, &plan);
    let (_, signer) = set.signer(None, now).unwrap();
    signer.sign(b"message").await.unwrap_err();

    keeper.step(place, &kid, Step::Withdraw, BY).await.unwrap();
    assert!(!keeper.is_missing(&row(&keeper)));
    let set = set_of(&keeper, &plan);
    assert_ne!(signing(&set, now).unwrap(), kid);
    assert!(token(&set, now, HOUR).await.is_some());
}

#[tokio::test]
async fn a_key_whose_maker_stopped_before_it_was_stored_is_found_and_destroyed() {
    let bench = Bench::new().await;
    let module = Arc::new(Module::default());
    let plan = in_module(Schedule::Manual);
    let keeper = opened(&bench, Some(&module), &plan).await;
    let reference = "module:of a process that is gone".to_owned();
    bench
        .store
        .announce_module_keys(std::slice::from_ref(&reference), NOW)
        .await
        .unwrap();
    let reached = Reached(Arc::clone(&module));
    reached.make(&reference, ES256, "").await.unwrap();
    keeper.look(NOW).await.unwrap();
    assert_eq!(module.references().len(), 1, "it may be under way");
    bench.after(&keeper, HOUR).await;
    assert!(module.references().is_empty());
}

#[tokio::test]
async fn a_node_without_the_module_shows_its_keys_and_signs_nothing_with_them() {
    let bench = Bench::new().await;
    let module = Arc::new(Module::default());
    let plan = in_module(Schedule::Every(10 * DAY));
    let with = opened(&bench, Some(&module), &plan).await;
    let without = opened(&bench, None, &plan).await;
    let (one, other) = (set_of(&with, &plan), set_of(&without, &plan));
    assert_eq!(kids(&one, NOW), kids(&other, NOW));
    let signed = token(&one, NOW, HOUR).await.unwrap();
    verifies(&other.verifying(NOW).unwrap(), &signed, NOW).unwrap();
    let (_, signer) = other.signer(None, NOW).unwrap();
    let refused = signer.sign(b"message").await.unwrap_err();
    assert!(refused.to_string().contains("`pkcs11`"), "{refused}");
    let place = (plan.team, &plan.name);
    let refused = without.create(place, None, BY).await.unwrap_err();
    assert_eq!(refused.code(), "pkcs11_not_configured");
    let kid = signing(&other, NOW).unwrap();
    let subject = keyward_jose::x509::Subject {
        common_name: Some("payments".to_owned()),
        ..Default::default()
    };
    let refused = without
        .certificate_request(place, &kid, subject.clone(), BY)
        .await;
    assert_eq!(refused.unwrap_err().code(), "pkcs11_not_configured");
    assert!(
        with.certificate_request(place, &kid, subject, BY)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_private_key_is_not_brought_into_a_set_whose_keys_never_leave_the_module() {
    let bench = Bench::new().await;
    let module = Arc::new(Module::default());
    let plan = in_module(Schedule::Manual);
    let keeper = opened(&bench, Some(&module), &plan).await;
    let imported = Imported {
        key: Key::generate(Algorithm::Signature(ES256), None).unwrap(),
        algorithm: None,
    };
    let refused = keeper.import((plan.team, &plan.name), imported, BY).await;
    assert_eq!(refused.unwrap_err().code(), "key_unfit");
    assert!(module.references().is_empty());
}

#[tokio::test]
async fn a_set_that_goes_into_the_module_goes_there_with_its_next_key() {
    let bench = Bench::new().await;
    let module = Arc::new(Module::default());
    let before = of_team(KeyAlgorithm::Es256, Schedule::Every(10 * DAY));
    let keeper = opened(&bench, Some(&module), &before).await;
    let old = signing(&set_of(&keeper, &before), NOW).unwrap();
    let after = in_module(Schedule::Every(10 * DAY));
    assert!(keeper.declare(vec![after.clone()]));
    keeper.look(NOW).await.unwrap();
    assert_eq!(signing(&set_of(&keeper, &after), NOW), Some(old));
    assert!(module.references().is_empty());
    // The successor was made before; the one after it is in the module.
    let now = bench.after(&keeper, 10 * DAY).await;
    assert_eq!(module.references().len(), 1);
    assert!(token(&set_of(&keeper, &after), now, HOUR).await.is_some());
    let now = bench.after(&keeper, 10 * DAY).await;
    assert!(token(&set_of(&keeper, &after), now, HOUR).await.is_some());
    assert_eq!(module.references(), referred(&bench, &after).await);
}

#[tokio::test]
async fn while_the_module_never_answers_a_withdrawal_by_another_node_counts_at_once() {
    let bench = Bench::new().await;
    let module = Arc::new(Module::default());
    let plan = in_module(Schedule::Every(10 * DAY));
    let keeper = Arc::new(opened(&bench, Some(&module), &plan).await);
    let other = opened(&bench, None, &plan).await;
    module.hangs.store(true, Ordering::SeqCst);
    bench.clock.advance(10 * DAY);
    let now = bench.clock.now();
    let asked = module.asked.load(Ordering::SeqCst);
    let (tell, marks) = tokio::sync::watch::channel(bench.store.marks().await.unwrap());
    let running = tokio::spawn({
        let keeper = Arc::clone(&keeper);
        async move { keeper.run(marks).await }
    });
    keyward_testkit::until("the module is asked for the successor", async || {
        module.asked.load(Ordering::SeqCst) > asked
    })
    .await;
    other.look_now().await.unwrap();
    let place = (plan.team, &plan.name);
    let kid = signing(&set_of(&other, &plan), now).unwrap();
    assert!(kids(&set_of(&keeper, &plan), now).contains(&kid));
    other.step(place, &kid, Step::Withdraw, BY).await.unwrap();
    tell.send_replace(bench.store.marks().await.unwrap());
    keyward_testkit::until("the node has learned of it", async || {
        !kids(&set_of(&keeper, &plan), now).contains(&kid)
    })
    .await;
    running.abort();
}

#[tokio::test]
async fn of_a_first_set_that_the_module_can_not_make_whole_nothing_is_made() {
    let bench = Bench::new().await;
    let module = Arc::new(Module::default());
    *module.unfit.lock().unwrap() = Some(SignatureAlgorithm::Rs256);
    let own = Plan::own(SITE, Some(KeysIn::Pkcs11)).unwrap();
    let other = in_module(Schedule::Every(10 * DAY));
    let keeper = opened(&bench, Some(&module), &own).await;
    keeper.declare(vec![own.clone(), other.clone()]);
    for _ in 0..3 {
        keeper.look(NOW).await.unwrap();
    }
    assert!(signing(&set_of(&keeper, &own), NOW).is_none());
    // And it keeps no other set from its keys.
    assert!(signing(&set_of(&keeper, &other), NOW).is_some());
    assert_eq!(module.references(), referred(&bench, &other).await);
    assert_eq!(
        module.references.load(Ordering::SeqCst),
        2,
        "none was tried"
    );
    let events = bench.store.audit_events(0, 100).await.unwrap();
    assert!(events.iter().all(|event| event.action != "key.destroy"));
}

#[tokio::test]
async fn a_node_that_is_told_nothing_brings_no_key_of_self_out_of_the_module() {
    let bench = Bench::new().await;
    let module = Arc::new(Module::default());
    let plan = |keys_in| Plan::own(SITE, keys_in).unwrap();
    let with = opened(&bench, Some(&module), &plan(Some(KeysIn::Pkcs11))).await;
    let told_nothing = opened(&bench, None, &plan(None)).await;
    // How many there are, and of those that live, which are in the module.
    let signing_keys = async || {
        let rows = bench.store.keys(TeamId::DEFAULT, "self").await.unwrap();
        let mut signing = rows;
        signing.retain(|row| row.purpose == KeyPurpose::Sign);
        let living = signing.iter().filter(|row| row.state.keeps_private_part());
        let in_module: Vec<bool> = living.map(|row| row.module_key.is_some()).collect();
        (signing.len(), in_module)
    };
    let (before, _) = signing_keys().await;
    bench.after(&told_nothing, 400 * DAY).await;
    let (after, _) = signing_keys().await;
    assert_eq!(after, before, "it can make none there, and none here");
    let place = (TeamId::DEFAULT, &self_name());
    let algorithm = Algorithm::Signature(ES256);
    let refused = told_nothing.create(place, Some(algorithm), BY).await;
    assert_eq!(refused.unwrap_err().code(), "pkcs11_not_configured");
    let imported = Imported {
        key: Key::generate(algorithm, None).unwrap(),
        algorithm: Some(algorithm),
    };
    let refused = told_nothing.import(place, imported, BY).await;
    assert_eq!(refused.unwrap_err().code(), "key_unfit");
    with.look(bench.clock.now()).await.unwrap();
    let (after, in_module) = signing_keys().await;
    assert!(
        after > before && in_module.iter().all(|one| *one),
        "{in_module:?}"
    );
    // Who says that they are to come out has it so.
    let comes_out = opened(&bench, None, &plan(Some(KeysIn::Database))).await;
    bench.after(&comes_out, 400 * DAY).await;
    assert!(signing_keys().await.1.contains(&false));
}
