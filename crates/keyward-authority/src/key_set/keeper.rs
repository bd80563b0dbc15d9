//! What keeps key sets: it makes what is due happen, takes in what other nodes did, and does what managers ask for.

use super::missing::{LookedFor, Missing};
use super::module::{KeyModule, Wanted, Workshop};
use super::plan::Plan;
use super::succession::{self, RequestSigner};
use super::{ACTOR, KeySet, KeySets};
use crate::Error;
use arc_swap::ArcSwap;
use keyward_jose::key::Part;
use keyward_jose::x509::Subject;
use keyward_jose::{Algorithm, Key, Rotation};
use keyward_model::id::TeamId;
use keyward_model::{Clock, Name, Timestamp};
use keyward_store::management::Author;
use keyward_store::{KeyPurpose, Marks, NewKey, Store, StoredKey};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// However far the next change is, sets are looked at as often: a clock may have been set.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(3600);

/// How long what failed waits for another try, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Who starts, or changes a key by hand, waits so long for what the module has to do for it: more than a module takes that
/// answers.
const MODULE_WAITED_FOR: Duration = Duration::from_secs(10);

/// What learns of every change: what verifies, decrypts and publishes.
pub trait KeySink: Send + Sync {
    /// These are the sets from now on.
    fn take(&self, sets: &KeySets, now: Timestamp);
}

/// What a keeper needs.
pub struct KeeperContext {
    /// Where keys are kept.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who learns of changes.
    pub sink: Arc<dyn KeySink>,
    /// Where the keys are that are not in the store, if this node has such a module.
    pub module: Option<Arc<dyn KeyModule>>,
}

/// A step that a manager lets a key take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It signs from now on.
    Activate,
    /// It signs no more, and what it signed stays good.
    Retire,
    /// It counts no more, and what it signed neither.
    Withdraw,
}

/// A key that somebody brings.
#[derive(Debug)]
pub struct Imported {
    /// The private key.
    pub key: Key,
    /// For what; the set's only algorithm where it has one.
    pub algorithm: Option<Algorithm>,
}

/// The module at work.
type Asking<'k> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'k>>;

/// How long it is until what failed is tried again.
struct Retry(Duration);

impl Default for Retry {
    fn default() -> Self {
        Self(RETRY.0)
    }
}

impl Retry {
    fn after(&mut self, error: &Error) -> Duration {
        tracing::error!(code = error.code(), "keys: {error}; those before stay");
        let wait = self.0;
        self.0 = (wait * 2).min(RETRY.1);
        wait
    }
}

/// Keeps the key sets of a node.
pub struct Keeper {
    context: KeeperContext,
    plans: Mutex<Vec<Arc<Plan>>>,
    sets: ArcSwap<KeySets>,
    /// One looks at a time.
    looking: tokio::sync::Mutex<()>,
    /// One asks the module at a time. Whoever looks does not wait for it: that a key counts no more is learned from the
    /// store alone.
    at_module: tokio::sync::Mutex<LookedFor>,
    missing: Missing,
    wake: Notify,
    /// The database is another one: its numbers say nothing of what was read before.
    is_stale: AtomicBool,
}

impl Keeper {
    /// Reads, and where there are none makes, the keys of these sets.
    ///
    /// # Errors
    /// Of any set: a node that can't have its keys does not start. That a module does not answer is no such error: the
    /// keys that there are serve, and it is asked again.
    pub async fn open(context: KeeperContext, plans: Vec<Plan>) -> Result<Self, Error> {
        let keeper = Self {
            context,
            plans: Mutex::new(plans.into_iter().map(Arc::new).collect()),
            sets: ArcSwap::default(),
            looking: tokio::sync::Mutex::default(),
            at_module: tokio::sync::Mutex::default(),
            missing: Missing::default(),
            wake: Notify::new(),
            is_stale: AtomicBool::new(false),
        };
        keeper.look(keeper.context.clock.now()).await?;
        Ok(keeper)
    }

    /// The sets as they are now.
    #[must_use]
    pub fn sets(&self) -> Arc<KeySets> {
        self.sets.load_full()
    }

    /// Whether the module that this key is said to be in has it not, as was seen when it was last looked into.
    #[must_use]
    pub fn is_missing(&self, key: &StoredKey) -> bool {
        self.missing.is_among(key)
    }

    /// These are the sets from now on; what is new of them is made soon. Keys of a set that is not among them stay in
    /// the store as they are, and serve nobody. Whether they are others than before.
    pub fn declare(&self, plans: Vec<Plan>) -> bool {
        let mut known = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let same = known.len() == plans.len() && known.iter().zip(&plans).all(|(a, b)| **a == *b);
        if same {
            return false;
        }
        *known = plans.into_iter().map(Arc::new).collect();
        self.wake.notify_one();
        true
    }

    /// Rotates keys in time and follows what others do, until it is dropped.
    pub async fn run(&self, mut marks: watch::Receiver<Marks>) {
        let (mut of_store, mut of_module) = (Retry::default(), Retry::default());
        let mut history = marks.borrow().history;
        // What the module does goes on beside the looking, which waits for none of it.
        let mut at_module: Option<Asking<'_>> = None;
        let mut answered: Option<Result<(), Error>> = None;
        loop {
            let now = self.context.clock.now();
            let mut wait = match self.look_at_store(now).await {
                Ok(()) => {
                    of_store = Retry::default();
                    self.until_the_next_change(now)
                }
                Err(error) => of_store.after(&error),
            };
            match answered.take() {
                Some(Err(error)) => wait = wait.min(of_module.after(&error)),
                Some(Ok(())) => {
                    of_module = Retry::default();
                    // Others changed the set meanwhile.
                    if self.is_wanting() {
                        at_module = Some(Box::pin(self.ask_module()));
                    }
                }
                None if at_module.is_none() => at_module = Some(Box::pin(self.ask_module())),
                None => {}
            }
            let seen = self.sets.load().mark;
            let others = async {
                loop {
                    let Marks {
                        keys,
                        history: current,
                        ..
                    } = *marks.borrow_and_update();
                    if current != history {
                        history = current;
                        self.is_stale.store(true, Ordering::Relaxed);
                        return;
                    }
                    if keys != seen {
                        return;
                    }
                    if marks.changed().await.is_err() {
                        // Nobody follows the database: what is due is done all the same.
                        return std::future::pending().await;
                    }
                }
            };
            let module = async {
                match &mut at_module {
                    Some(asking) => asking.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = others => {}
                () = self.wake.notified() => {}
                answer = module => answered = Some(answer),
            }
            if answered.is_some() {
                at_module = None;
            }
        }
    }

    fn workshop(&self) -> Workshop<'_> {
        Workshop {
            store: &self.context.store,
            clock: &*self.context.clock,
            module: self.context.module.as_ref(),
        }
    }

    fn until_the_next_change(&self, now: Timestamp) -> Duration {
        let sets = self.sets.load();
        let next = sets.iter().filter_map(|set| set.next_change(now)).min();
        let until = next.map_or(LOOK_AT_LEAST_EVERY, |at| at.since(now));
        until.min(LOOK_AT_LEAST_EVERY)
    }

    /// Takes in what was declared and what others did, without waiting for the module: [`run`](Self::run) asks it.
    ///
    /// # Errors
    /// As those of [`look`](Self::look).
    pub async fn look_now(&self) -> Result<(), Error> {
        self.look_at_store(self.context.clock.now()).await
    }

    /// Makes what is due at this time happen, and takes in what others did; then has the module do its part. That it does
    /// not is no error: the sets are as they can be all the same, and it is asked again.
    ///
    /// # Errors
    /// The first of a set that could not be looked at: it stays as it was, and the others are looked at all the same.
    pub async fn look(&self, now: Timestamp) -> Result<(), Error> {
        self.look_at_store(now).await?;
        for _ in 0..super::TRIES {
            let was_wanting = self.is_wanting();
            // Who stops waiting leaves what is found and destroyed by its age.
            match tokio::time::timeout(MODULE_WAITED_FOR, self.ask_module()).await {
                Ok(Err(error @ Error::Store(_))) => return Err(error),
                Ok(Err(_)) | Err(_) => return self.look_at_store(now).await,
                Ok(Ok(())) if was_wanting => self.look_at_store(now).await?,
                Ok(Ok(())) => {}
            }
            if !self.is_wanting() {
                break;
            }
        }
        Ok(())
    }

    fn is_wanting(&self) -> bool {
        self.sets.load().iter().any(|set| set.is_wanting)
    }

    /// Has the module make the keys that are wanted, and destroy what is over.
    async fn ask_module(&self) -> Result<(), Error> {
        let mut looked_for = self.at_module.lock().await;
        // Before anything is made: whoever waits for the lock makes what is wanted by sets that were read before this.
        let missing = match &self.context.module {
            Some(module) => {
                let (sets, now) = (self.sets.load_full(), self.context.clock.now());
                self.missing.look(&mut looked_for, &sets, module, now).await
            }
            None => Ok(()),
        };
        let mut first = None;
        for set in self.sets.load_full().iter().filter(|set| set.is_wanting) {
            match set.make_in_module(self.workshop()).await {
                Ok(()) => {}
                Err(error) if matches!(error, Error::Store(_)) || error.is_of_all_keys() => {
                    return Err(first.unwrap_or(error));
                }
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        self.workshop().clear(ACTOR).await?;
        first.map_or(missing, Err)
    }

    async fn look_at_store(&self, now: Timestamp) -> Result<(), Error> {
        let _alone = self.looking.lock().await;
        let before = self.sets.load_full();
        let plans: Vec<Arc<Plan>> = {
            let plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
            plans.iter().map(Arc::clone).collect()
        };
        // Before the rows: what comes between is then read again, and missed never.
        let mark = self.context.store.marks().await?.keys;
        let is_stale = self.is_stale.swap(false, Ordering::Relaxed);
        let mut sets = BTreeMap::new();
        let mut failed = None;
        for plan in plans {
            let place = (plan.team, plan.name.clone());
            let known = before.sets.get(&place);
            let holds = known.filter(|set| {
                *set.plan == *plan
                    && before.mark == mark
                    && !set.is_due(now)
                    && !is_stale
                    && !set.is_wanting
            });
            if let Some(set) = holds {
                sets.insert(place, Arc::clone(set));
                continue;
            }
            let known_keys = known.map(|set| &**set);
            match KeySet::load(self.workshop(), &plan, known_keys, now).await {
                Ok(set) => {
                    sets.insert(place, Arc::new(set));
                }
                Err(error) => {
                    if let Some(set) = known {
                        sets.insert(place, Arc::clone(set));
                    }
                    failed.get_or_insert(error);
                }
            }
        }
        // Where one failed, all are read again the next time.
        let mark = if failed.is_none() { mark } else { before.mark };
        let sets = Arc::new(KeySets { sets, mark });
        // What verifies is told before anything can sign with what is new.
        self.context.sink.take(&sets, now);
        self.sets.store(sets);
        failed.map_or(Ok(()), Err)
    }

    fn set(&self, team: TeamId, name: &Name) -> Result<Arc<KeySet>, Error> {
        let sets = self.sets.load();
        let set = sets.get(team, name).map(Arc::clone);
        set.ok_or_else(|| Error::UnknownSet {
            set: name.to_string(),
        })
    }

    /// Makes another key, which stands in the set at once and is used once every copy of the set has it.
    ///
    /// # Errors
    /// [`Error::Unfit`] for an algorithm that the set does not have; [`Error::UnknownSet`]; what the store says.
    pub async fn create(
        &self,
        (team, name): (TeamId, &Name),
        algorithm: Option<Algorithm>,
        author: Author<'_>,
    ) -> Result<StoredKey, Error> {
        let set = self.set(team, name)?;
        let (purpose, algorithm) = kind_of(&set.plan, algorithm)?;
        // What it joins is seen to when it is added.
        let rotation = Rotation::joining(set.plan.policy(purpose)?);
        let wanted = vec![Wanted {
            purpose,
            algorithm,
            rotation,
        }];
        let now = self.context.clock.now();
        let mut made = self
            .workshop()
            .make(&set.following(), wanted, true, now)
            .await?;
        let added = match (made.trouble.take(), made.keys.pop()) {
            (Some(error), _) => Err(error),
            (None, Some(new)) => {
                self.add(team, name, (purpose, algorithm), new, author)
                    .await
            }
            (None, None) => Err(Error::Internal("no key was made".to_owned())),
        };
        made.settle(&self.context.store).await;
        if added.is_err() {
            // What was made for nothing is destroyed.
            self.wake.notify_one();
        }
        added
    }

    /// Puts a key that somebody brings into the set: from then on it is as one that was made here.
    ///
    /// # Errors
    /// As [`create`](Self::create); [`Error::Unfit`] for a key without a private part, or that is not for the
    /// algorithm, and of a set whose keys are in a module; [`Error::KnownKey`] where the set has its `kid`.
    pub async fn import(
        &self,
        (team, name): (TeamId, &Name),
        imported: Imported,
        author: Author<'_>,
    ) -> Result<StoredKey, Error> {
        let set = self.set(team, name)?;
        let kind = kind_of(&set.plan, imported.algorithm)?;
        if set.following().in_module(kind.0, kind.1).is_some() {
            return Err(Error::Unfit(
                "the keys of this set are made in a PKCS#11 token and never leave it (`keys_in`): one that was elsewhere is not brought in"
                    .to_owned(),
            ));
        }
        let key = imported.key;
        if !key.is_private() {
            return Err(Error::Unfit(
                "the key has no private part: nothing could be signed or decrypted with it"
                    .to_owned(),
            ));
        }
        if !key.fits(kind.1) {
            return Err(Error::Unfit(format!(
                "the key is {}, which is not for {}",
                key.description(),
                kind.1.as_str()
            )));
        }
        let key = succession::dressed(key, kind.0, kind.1)?;
        let rotation = Rotation::joining(set.plan.policy(kind.0)?);
        let now = self.context.clock.now();
        let private = succession::here(&key)?;
        let new = succession::row_of(&key, private, kind.0, kind.1, rotation, now)?;
        self.add(team, name, kind, new, author).await
    }

    /// A key, at the place in its succession that it comes to now.
    async fn add(
        &self,
        team: TeamId,
        name: &Name,
        (purpose, algorithm): (KeyPurpose, Algorithm),
        new: NewKey,
        author: Author<'_>,
    ) -> Result<StoredKey, Error> {
        let now = self.context.clock.now();
        let kid = new.kid.clone();
        for _ in 0..super::TRIES {
            let set = self.set(team, name)?;
            let plan = &set.plan;
            if set.rows.iter().any(|row| row.kid == kid) {
                return Err(Error::KnownKey {
                    set: name.to_string(),
                    kid,
                });
            }
            let succession = set
                .successions
                .iter()
                .find(|one| (one.purpose(), one.algorithm()) == (purpose, algorithm));
            let rotation = match succession {
                // A set that nobody has seen a key of begins with one that signs at once.
                _ if set.rows.is_empty() => Rotation::new(plan.policy(purpose)?),
                Some(succession) => succession.rotation().clone(),
                None => Rotation::joining(plan.policy(purpose)?),
            };
            let new = succession::placed(new.clone(), rotation, now)?;
            let store = &self.context.store;
            let added = store
                .add_keys(team, name.as_str(), &[new], &set.rows, author, now)
                .await;
            match added {
                Ok(()) => {
                    self.look(now).await?;
                    return self.key(team, name, &kid);
                }
                Err(keyward_store::Error::Conflict { .. }) => self.look_at_store(now).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Unsettled {
            set: name.to_string(),
        })
    }

    /// A key of a set as it is now.
    ///
    /// # Errors
    /// [`Error::UnknownSet`]; [`Error::UnknownKey`].
    pub fn key(&self, team: TeamId, name: &Name, kid: &str) -> Result<StoredKey, Error> {
        let set = self.set(team, name)?;
        let row = set.succession_of(kid)?.row(kid).cloned();
        row.ok_or_else(|| Error::UnknownKey {
            set: name.to_string(),
            kid: kid.to_owned(),
        })
    }

    /// Lets a key take a step.
    ///
    /// # Errors
    /// [`Error::Jose`] where the rules of rotation forbid it: they say why.
    pub async fn step(
        &self,
        (team, name): (TeamId, &Name),
        kid: &str,
        step: Step,
        author: Author<'_>,
    ) -> Result<StoredKey, Error> {
        let now = self.context.clock.now();
        let id = kid.to_owned();
        for _ in 0..super::TRIES {
            let set = self.set(team, name)?;
            let succession = set.succession_of(kid)?;
            let changes = succession.step(
                |rotation, now| match step {
                    Step::Activate => rotation.activate(&id, now),
                    Step::Retire => rotation.retire(&id, now),
                    Step::Withdraw => rotation.withdraw(&id, now),
                },
                now,
            )?;
            match self.context.store.change_keys(&changes, author, now).await {
                Ok(()) => {
                    self.look(now).await?;
                    let row = self.key(team, name, kid)?;
                    return self.as_stored(row).await;
                }
                Err(keyward_store::Error::Conflict { .. }) => self.look_at_store(now).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Unsettled {
            set: name.to_string(),
        })
    }

    /// The row as it is once the module has destroyed what is over: that happens after the sets were read.
    async fn as_stored(&self, row: StoredKey) -> Result<StoredKey, Error> {
        if row.module_key.is_none() || row.state.keeps_private_part() {
            return Ok(row);
        }
        let rows = self.context.store.keys(row.team, &row.issuer).await?;
        let stored = rows.into_iter().find(|stored| stored.id == row.id);
        Ok(stored.unwrap_or(row))
    }

    /// A certificate request for a key, in DER, signed by it.
    ///
    /// # Errors
    /// [`Error::Unfit`] for a key whose private part is gone; [`Error::Jose`] for one that can't have a certificate, and
    /// for a subject that is none.
    pub async fn certificate_request(
        &self,
        (team, name): (TeamId, &Name),
        kid: &str,
        subject: Subject,
        author: Author<'_>,
    ) -> Result<Vec<u8>, Error> {
        let set = self.set(team, name)?;
        let succession = set.succession_of(kid)?;
        let request = match succession.request_signer(kid, self.context.module.as_ref())? {
            Some(RequestSigner::Here(private)) => {
                super::making(move || Ok(private.certificate_request(&subject)?)).await?
            }
            Some(RequestSigner::InModule(public, signer)) => {
                public.certificate_request_with(&subject, &*signer).await?
            }
            None => {
                return Err(Error::Unfit(format!(
                    "the private part of key `{kid}` is gone: it can sign no request"
                )));
            }
        };
        let about = serde_json::json!({ "kid": kid, "for": "certificate request" });
        let row = self.key(team, name, kid)?;
        let now = self.context.clock.now();
        let store = &self.context.store;
        store.tell_key_use(&row, about, author, now).await?;
        Ok(request)
    }

    /// Puts a chain of certificates, the key's own first, into the key's JWK (`x5c`).
    ///
    /// # Errors
    /// [`Error::Jose`] for a chain that is none, or whose first certificate is another key's.
    pub async fn certify(
        &self,
        (team, name): (TeamId, &Name),
        kid: &str,
        chain: Vec<Vec<u8>>,
        author: Author<'_>,
    ) -> Result<StoredKey, Error> {
        let set = self.set(team, name)?;
        let succession = set.succession_of(kid)?;
        let (Some(public), Some(row)) = (succession.public(kid), succession.row(kid)) else {
            return Err(Error::UnknownKey {
                set: name.to_string(),
                kid: kid.to_owned(),
            });
        };
        let count = chain.len();
        let certified = public.clone().with_certificates(chain)?;
        let jwk = certified.to_jwk(Part::Public)?;
        let now = self.context.clock.now();
        let store = &self.context.store;
        store
            .replace_public_jwk(row, &jwk, count, author, now)
            .await?;
        self.look(now).await?;
        self.key(team, name, kid)
    }
}

/// For what a key is made: the algorithm that is asked for, or the only one there is.
fn kind_of(plan: &Plan, algorithm: Option<Algorithm>) -> Result<(KeyPurpose, Algorithm), Error> {
    let names = || {
        let names: Vec<&str> = plan.kinds.iter().map(|(_, one)| one.as_str()).collect();
        names.join(", ")
    };
    match (algorithm, plan.kinds.as_slice()) {
        (None, [only]) => Ok(*only),
        (None, _) => Err(Error::Unfit(format!(
            "say for which algorithm: the set has {}",
            names()
        ))),
        (Some(wanted), kinds) => {
            let kind = kinds.iter().find(|(_, algorithm)| *algorithm == wanted);
            kind.copied().ok_or_else(|| {
                Error::Unfit(format!(
                    "the set has no keys for {}: it has {}; a set says in `algorithms` what it has",
                    wanted.as_str(),
                    names()
                ))
            })
        }
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}
