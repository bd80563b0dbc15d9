//! One issuer with its keys, as workers see it.

use super::counters::{Counters, IssuerCounts};
use super::demand::{Demand, Waited};
use super::epoch::KeyEpoch;
use super::error::IssuerError;
use super::freshness::FRESH_MIN;
use super::introspection::{Introspected, Introspector};
use super::source::{Digest, algorithms, definition};
use arc_swap::ArcSwapOption;
use keyward_jose::jwt::Profile;
use keyward_jose::{JwkSet, SignatureAlgorithm, Verifiers};
use keyward_model::id::TeamId;
use keyward_model::resource::Issuer;
use keyward_model::{Clock, Code, Fault, Moment, Name, Timestamp};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// An issuer's keys, made ready to verify. Never changed: other keys are another one of these.
#[derive(Debug)]
pub struct PreparedIssuer {
    /// The keys with their algorithms.
    pub verifiers: Verifiers,
    /// Which set of this issuer it is; raised with every change.
    pub generation: u64,
    /// When it was published to the workers.
    pub published: Timestamp,
    /// Of what it was made.
    source: Digest,
}

/// An issuer of tokens with the keys it has just now.
///
/// Snapshots hold it; when the last one that does is gone, so is the task that keeps its keys fresh.
pub struct IssuerKeySet {
    state: Arc<State>,
    task: Option<JoinHandle<()>>,
    /// Taken when the task may begin.
    begin: Mutex<Option<oneshot::Sender<()>>>,
    /// There where the issuer is asked about its tokens, and has no keys here.
    introspector: Option<Arc<Introspector>>,
}

/// What an issuer's task and the workers share.
pub(super) struct State {
    pub(super) team: TeamId,
    pub(super) team_name: Name,
    pub(super) name: Name,
    pub(super) definition: Issuer,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) counters: Counters,
    pub(super) demand: Demand,
    allowed: Vec<SignatureAlgorithm>,
    epoch: KeyEpoch,
    prepared: ArcSwapOption<PreparedIssuer>,
    generation: AtomicU64,
    /// Until when the keys may be used, in nanoseconds of a [`Moment`].
    usable_until: AtomicU64,
    /// When the keys' source last said something usable, in microseconds; [`NEVER`] before.
    confirmed: AtomicI64,
    problem: ArcSwapOption<IssuerError>,
}

const NEVER: i64 = i64::MIN;
/// Keys that need no confirmation.
pub(super) const FOREVER: Moment = Moment::from_nanos(u64::MAX);

impl IssuerKeySet {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self {
            state,
            task: None,
            begin: Mutex::default(),
            introspector: None,
        }
    }

    /// With a task that begins when the issuer is [served](Self::begin), and ends when it goes.
    pub(super) fn with_task(
        mut self,
        runtime: &Handle,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let (begin, begun) = oneshot::channel();
        self.begin = Mutex::new(Some(begin));
        self.task = Some(runtime.spawn(async move {
            if begun.await.is_ok() {
                task.await;
            }
        }));
        self
    }

    /// Begins to fetch and to watch: what is only looked at goes nowhere.
    pub(crate) fn begin(&self) {
        let mut begin = self.begin.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begin) = begin.take() {
            // The task is there as long as this is.
            let _there = begin.send(());
        }
    }

    /// With whom to ask.
    pub(super) fn with_introspector(mut self, introspector: Introspector) -> Self {
        self.introspector = Some(Arc::new(introspector));
        self
    }

    /// What the issuer says of an opaque token.
    pub(crate) async fn introspect(&self, token: &str) -> Result<Introspected, Fault> {
        let Some(introspector) = &self.introspector else {
            return Err(self.unavailable());
        };
        let known = introspector.ask(token).await?;
        Ok(Introspected::clone(&known))
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// The owner of the resource.
    #[must_use]
    pub fn team(&self) -> TeamId {
        self.state.team
    }

    /// The resource's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.state.name
    }

    /// The resource.
    #[must_use]
    pub fn definition(&self) -> &Issuer {
        &self.state.definition
    }

    /// Stands for everything that the resource says, a shared secret included, and tells nothing of it.
    /// What was concluded under one definition must not be believed under another.
    #[must_use]
    pub fn definition_digest(&self) -> [u8; 32] {
        definition(self.state.team, &self.state.definition)
    }

    /// The `iss` of its tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.state.definition.issuer
    }

    /// What its tokens must claim for an API with these audiences.
    ///
    /// # Errors
    /// [`keyward_jose::Error::Profile`] when there is no audience, or the leeway is too great.
    pub fn profile(&self, audiences: &[Box<str>]) -> Result<Profile, keyward_jose::Error> {
        let issuer = &self.state.definition;
        let mut profile = Profile::builder()
            .issuer(issuer.issuer.as_ref())
            .leeway(issuer.leeway.as_secs());
        for audience in audiences {
            profile = profile.audience(audience.as_ref());
        }
        if issuer.types.is_empty() {
            profile = profile.typ("at+jwt").typ("JWT").typ_optional();
        }
        for typ in &issuer.types {
            profile = profile.typ(typ);
        }
        if let Some(max_age) = issuer.max_age {
            profile = profile.age_max(max_age.as_secs());
        }
        for algorithm in &self.state.allowed {
            profile = profile.algorithm(*algorithm);
        }
        profile.build()
    }

    /// The keys to verify with.
    ///
    /// # Errors
    /// [`Code::IssuerUnavailable`] when none were ever had, or the last ones are too old to be believed.
    pub fn current(&self, now: Moment) -> Result<Arc<PreparedIssuer>, Fault> {
        match self.state.prepared.load_full() {
            Some(prepared) if now < self.state.usable_until() => Ok(prepared),
            Some(_) | None => Err(self.unavailable()),
        }
    }

    /// The keys to verify with, where [`current`](Self::current) has none: waits for the fetch that is in
    /// flight (there is one when the process has just started), if one is, for 2 s at most.
    ///
    /// # Errors
    /// As [`current`](Self::current).
    pub async fn wait_for_keys(&self) -> Result<Arc<PreparedIssuer>, Fault> {
        let state = &self.state;
        // Whatever the fetch led to, the keys are here now or they are not.
        let _waited = state.demand.join(&state.counters).await;
        self.current(state.clock.moment())
    }

    /// Whether keys other than those of generation `used` are here or can be had now: called when a
    /// token's `kid` is not among those. Waits for a fetch for 2 s at most, if one may be made for this
    /// kid; a kid that was looked up already, a flood of kids, too many calls that wait and an issuer that
    /// fails get their answer at once. `None` means that the token is not valid.
    pub async fn wait_for_refresh(&self, kid: &str, used: u64) -> Option<Arc<PreparedIssuer>> {
        let state = &self.state;
        if let Some(newer) = self.newer_than(used) {
            return Some(newer);
        }
        if !state.is_remote() {
            return None;
        }
        let waited = state
            .demand
            .ask(kid, state.clock.as_ref(), &state.counters)
            .await;
        if let Some(newer) = self.newer_than(used) {
            return Some(newer);
        }
        match waited {
            Waited::Fetched { after_asking: true } => {
                state.demand.remember(kid, state.clock.moment());
            }
            Waited::Fetched {
                after_asking: false,
            }
            | Waited::Nothing => {}
        }
        None
    }

    fn newer_than(&self, used: u64) -> Option<Arc<PreparedIssuer>> {
        let prepared = self.state.prepared.load_full()?;
        (prepared.generation != used).then_some(prepared)
    }

    fn unavailable(&self) -> Fault {
        let fault = Fault::new(
            Code::IssuerUnavailable,
            "The keys of the token's issuer can't be had just now: try again later",
        );
        match self.state.problem.load_full() {
            Some(problem) => fault.because(problem),
            None => fault.because(format!("no keys of issuer {} yet", self.state.name)),
        }
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> IssuerCounts {
        self.state.counters.read()
    }
}

impl Drop for IssuerKeySet {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Name and `iss`; the definition may hold a secret.
impl fmt::Debug for IssuerKeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerKeySet")
            .field("name", &self.state.name)
            .field("issuer", &self.state.definition.issuer)
            .finish_non_exhaustive()
    }
}

impl State {
    /// An issuer without keys yet.
    pub(super) fn new(
        (team, team_name, name): (TeamId, Name, Name),
        definition: Issuer,
        clock: Arc<dyn Clock>,
        epoch: KeyEpoch,
    ) -> Result<Self, IssuerError> {
        Ok(Self {
            team,
            team_name,
            name,
            allowed: algorithms(&definition)?,
            definition,
            counters: Counters::default(),
            demand: Demand::new(clock.moment()),
            clock,
            epoch,
            prepared: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            usable_until: AtomicU64::new(0),
            confirmed: AtomicI64::new(NEVER),
            problem: ArcSwapOption::empty(),
        })
    }

    /// Publishes the keys that were made of what has this digest, and tells whether they are others than
    /// before. Called by one at a time.
    ///
    /// # Errors
    /// [`IssuerError::NoUsableKey`]: then the keys before stay.
    pub(super) fn publish(
        &self,
        keys: &JwkSet,
        source: Digest,
        usable_until: Moment,
    ) -> Result<bool, IssuerError> {
        let same = self
            .prepared
            .load()
            .as_ref()
            .is_some_and(|prepared| prepared.source == source);
        if same {
            self.confirm(usable_until);
            return Ok(false);
        }
        let verifiers = Verifiers::new(keys.keys(), &self.allowed);
        self.tell_left_out(keys, &verifiers);
        if verifiers.is_empty() {
            return Err(no_usable_key(keys, &verifiers));
        }
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        self.confirm(usable_until);
        self.prepared.store(Some(Arc::new(PreparedIssuer {
            verifiers,
            generation,
            published: self.clock.now(),
            source,
        })));
        // After the store: whoever sees the new number sees the new keys.
        self.epoch.raise();
        self.counters.changed.add_one();
        tracing::info!(team = %self.team_name, issuer = %self.name, keys = keys.keys().len(), "keys changed");
        Ok(true)
    }

    /// The keys are still those that their source has.
    pub(super) fn confirm(&self, usable_until: Moment) {
        self.usable_until
            .store(usable_until.as_nanos(), Ordering::Release);
        self.confirmed
            .store(self.clock.now().as_micros(), Ordering::Relaxed);
        self.problem.store(None);
    }

    /// No keys any more: they have not been confirmed for too long.
    fn withdraw(&self) {
        self.prepared.store(None);
        self.epoch.raise();
        tracing::error!(team = %self.team_name, issuer = %self.name, "the last keys are too old to be believed: its tokens are refused until keys can be fetched");
    }

    /// No keys any more: where they are kept there are none.
    pub(super) fn withdraw_all(&self) {
        if self.prepared.swap(None).is_some() {
            self.epoch.raise();
            tracing::warn!(team = %self.team_name, issuer = %self.name, "its key set has no key any more: its tokens are refused");
        }
    }

    /// Withdraws the keys whenever they get too old. Never ends.
    pub(super) async fn withdraw_when_stale(&self) -> Infallible {
        loop {
            let left = self.usable_until().since(self.clock.moment());
            if left.is_zero() && self.has_keys() {
                self.withdraw();
            }
            // Keys that come meanwhile are usable for the least freshness at least.
            let wait = if self.has_keys() { left } else { FRESH_MIN };
            tokio::time::sleep(wait).await;
        }
    }

    pub(super) fn report(&self, problem: IssuerError) {
        tracing::warn!(team = %self.team_name, issuer = %self.name, %problem, "keys can't be had");
        self.problem.store(Some(Arc::new(problem)));
    }

    pub(super) fn has_keys(&self) -> bool {
        self.prepared.load().is_some()
    }

    pub(super) fn prepared(&self) -> Option<Arc<PreparedIssuer>> {
        self.prepared.load_full()
    }

    pub(super) fn problem(&self) -> Option<Arc<IssuerError>> {
        self.problem.load_full()
    }

    pub(super) fn confirmed(&self) -> Option<Timestamp> {
        match self.confirmed.load(Ordering::Relaxed) {
            NEVER => None,
            micros => Some(Timestamp::from_micros(micros)),
        }
    }

    pub(super) fn usable_until(&self) -> Moment {
        Moment::from_nanos(self.usable_until.load(Ordering::Acquire))
    }

    fn is_remote(&self) -> bool {
        use keyward_model::resource::IssuerKeys as Keys;
        match &self.definition.keys {
            Keys::Url { .. } => true,
            Keys::Own
            | Keys::KeySet(_)
            | Keys::Inline(_)
            | Keys::File(_)
            | Keys::Secret(_)
            | Keys::Introspection(_) => false,
        }
    }

    fn tell_left_out(&self, keys: &JwkSet, verifiers: &Verifiers) {
        let skipped = keys.skipped().iter().map(|key| (&key.kid, &key.error));
        let unfit = verifiers
            .left_out()
            .iter()
            .map(|key| (&key.kid, &key.error));
        for (kid, error) in skipped.chain(unfit) {
            tracing::info!(team = %self.team_name, issuer = %self.name, ?kid, %error, "a key is left out");
        }
    }
}

fn no_usable_key(keys: &JwkSet, verifiers: &Verifiers) -> IssuerError {
    let first = verifiers
        .left_out()
        .iter()
        .map(|key| &key.error)
        .chain(keys.skipped().iter().map(|key| &key.error))
        .next();
    IssuerError::NoUsableKey(match first {
        Some(error) => error.to_string(),
        None => "the set is empty".to_owned(),
    })
}
