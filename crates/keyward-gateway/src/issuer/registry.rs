//! All issuers of a node, over all its snapshots.

use super::counters::IssuerCounts;
use super::epoch::KeyEpoch;
use super::error::IssuerError;
use super::file::WatchedFile;
use super::introspection::Introspector;
use super::key_set::{FOREVER, IssuerKeySet, State};
use super::remote::Remote;
use super::source::{Digest, definition, digest_of, read_keys, secret_key};
use keyward_egress::Egress;
use keyward_jose::JwkSet;
use keyward_jose::key::Part;
use keyward_model::id::TeamId;
use keyward_model::resource::issuer::SELF;
use keyward_model::resource::{Issuer, IssuerKeys};
use keyward_model::{Clock, Name, Timestamp};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;

/// What issuers need of the process.
#[derive(Clone, Debug)]
pub struct IssuersContext {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The way to issuers that publish their keys.
    pub egress: Egress,
    /// The control plane, whose tasks fetch and watch.
    pub runtime: Handle,
}

/// The issuers that any snapshot uses.
///
/// An issuer lives as long as a snapshot holds it. Whoever opens the same definition meanwhile gets the same
/// one, so that a reload neither forgets keys nor fetches them again.
pub struct Issuers {
    context: IssuersContext,
    epoch: KeyEpoch,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    issuers: HashMap<(TeamId, Name, Digest), Weak<IssuerKeySet>>,
    /// Keys of ours, by the team and the name of their set.
    own: HashMap<(TeamId, Name), (JwkSet, Digest)>,
}

/// How an issuer is, for operators and metrics.
#[derive(Clone, Debug)]
pub struct IssuerStatus {
    /// The owner of the resource.
    pub team: TeamId,
    /// That team's name.
    pub team_name: Name,
    /// The resource's name.
    pub name: Name,
    /// The `iss` of its tokens.
    pub issuer: Box<str>,
    /// How many keys verify its tokens just now, each with each of its algorithms. None: they are refused.
    pub verifiers: usize,
    /// When the keys last changed.
    pub changed: Option<Timestamp>,
    /// When they were last confirmed by where they come from.
    pub confirmed: Option<Timestamp>,
    /// How long they may be used if nothing confirms them; `None` for those that need no confirmation.
    pub usable_for: Option<Duration>,
    /// What is wrong since then.
    pub problem: Option<Arc<IssuerError>>,
    /// What was counted.
    pub counts: IssuerCounts,
}

impl Issuers {
    /// None yet.
    #[must_use]
    pub fn new(context: IssuersContext) -> Self {
        Self {
            context,
            epoch: KeyEpoch::default(),
            known: Mutex::default(),
        }
    }

    /// What they work with, which others need too who fetch something in the background.
    pub(crate) const fn context(&self) -> &IssuersContext {
        &self.context
    }

    /// The number that tells of changed keys, of whatever issuer.
    #[must_use]
    pub fn epoch(&self) -> &KeyEpoch {
        &self.epoch
    }

    /// The issuer with this definition, as it is if a snapshot has it already, and begun: keys at an address are being
    /// fetched when this returns.
    ///
    /// # Errors
    /// What can never work: algorithms, inline keys, a secret or a URL.
    pub fn open(
        &self,
        team: TeamId,
        team_name: &Name,
        name: &Name,
        issuer: &Issuer,
    ) -> Result<Arc<IssuerKeySet>, IssuerError> {
        let opened = self.prepare(team, team_name, name, issuer)?;
        opened.begin();
        Ok(opened)
    }

    /// The issuer with this definition, as it is if a snapshot has it already. Keys that are here (inline, a
    /// secret, our own, a file) are ready when this returns; those at an address are fetched once it is served. A file
    /// that can't be read yet is no error: it is looked at each second, and the status tells.
    ///
    /// # Errors
    /// What can never work: algorithms, inline keys, a secret or a URL.
    pub(crate) fn prepare(
        &self,
        team: TeamId,
        team_name: &Name,
        name: &Name,
        issuer: &Issuer,
    ) -> Result<Arc<IssuerKeySet>, IssuerError> {
        let mut known = self.known();
        known.issuers.retain(|_, issuer| issuer.strong_count() > 0);
        let key = (team, name.clone(), definition(team, issuer));
        if let Some(open) = known.issuers.get(&key).and_then(Weak::upgrade) {
            return Ok(open);
        }
        let identity = (team, team_name.clone(), name.clone());
        let own = own_set(team, issuer).and_then(|set| known.own.get(&set));
        let opened = Arc::new(self.start(identity, issuer, own)?);
        known.issuers.insert(key, Arc::downgrade(&opened));
        Ok(opened)
    }

    fn start(
        &self,
        identity: (TeamId, Name, Name),
        issuer: &Issuer,
        own: Option<&(JwkSet, Digest)>,
    ) -> Result<IssuerKeySet, IssuerError> {
        let IssuersContext {
            clock,
            egress,
            runtime,
        } = &self.context;
        let state = State::new(
            identity,
            issuer.clone(),
            Arc::clone(clock),
            self.epoch.clone(),
        )?;
        let state = Arc::new(state);
        let opened = IssuerKeySet::new(Arc::clone(&state));
        match &issuer.keys {
            IssuerKeys::Own | IssuerKeys::KeySet(_) => {
                if let Some((keys, source)) = own.filter(|(keys, _)| !keys.keys().is_empty()) {
                    state.publish(keys, *source, FOREVER)?;
                }
                Ok(opened)
            }
            IssuerKeys::Inline(text) => {
                let keys = read_keys(text.as_bytes())?;
                state.publish(&keys, digest_of(text.as_bytes()), FOREVER)?;
                Ok(opened)
            }
            IssuerKeys::Secret(secret) => {
                let secret = secret.reveal();
                state.publish(&secret_key(secret)?, digest_of(secret), FOREVER)?;
                Ok(opened)
            }
            IssuerKeys::Introspection(asked) => {
                let asked =
                    Introspector::new(asked, egress.clone(), runtime.clone(), Arc::clone(clock));
                Ok(opened.with_introspector(asked.map_err(IssuerError::Fetch)?))
            }
            IssuerKeys::File(path) => {
                let mut file = WatchedFile::new(state, path.clone());
                file.look();
                Ok(opened.with_task(runtime, file.watch()))
            }
            IssuerKeys::Url {
                url,
                discover,
                stale_for,
            } => {
                let remote = Remote::new(state, egress.clone(), url, *discover, *stale_for)?;
                Ok(opened.with_task(runtime, remote.keep_fresh()))
            }
        }
    }

    /// The keys of one of our key sets have changed: issuers that are known by it verify with these from now on, and
    /// with none where there are none.
    ///
    /// # Errors
    /// [`IssuerError::NoUsableKey`] when there are some and an issuer could verify with none of them: then that one
    /// keeps those before, and the first such is told of.
    pub fn set_own_keys(&self, team: TeamId, set: &Name, keys: JwkSet) -> Result<(), IssuerError> {
        let text = keys.to_json(Part::Public).map_err(IssuerError::Keys)?;
        let source = digest_of(text.as_bytes());
        let place = (team, set.clone());
        let mut known = self.known();
        let mut done = Ok(());
        for issuer in known.issuers.values().filter_map(Weak::upgrade) {
            let state = issuer.state();
            if own_set(state.team, issuer.definition()).as_ref() != Some(&place) {
                continue;
            }
            if keys.keys().is_empty() {
                state.withdraw_all();
            } else if let Err(error) = state.publish(&keys, source, FOREVER)
                && done.is_ok()
            {
                done = Err(error);
            }
        }
        known.own.insert(place, (keys, source));
        done
    }

    /// How all issuers are, by team and name.
    #[must_use]
    pub fn statuses(&self) -> Vec<IssuerStatus> {
        let now = self.context.clock.moment();
        let open: Vec<_> = self
            .known()
            .issuers
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        let mut statuses: Vec<_> = open
            .iter()
            .map(|issuer| {
                let state = issuer.state();
                let prepared = state.prepared();
                let until = state.usable_until();
                IssuerStatus {
                    team: state.team,
                    team_name: state.team_name.clone(),
                    name: state.name.clone(),
                    issuer: state.definition.issuer.clone(),
                    verifiers: prepared
                        .as_ref()
                        .map_or(0, |prepared| prepared.verifiers.iter().count()),
                    changed: prepared.as_ref().map(|prepared| prepared.published),
                    confirmed: state.confirmed(),
                    usable_for: (until != FOREVER).then(|| until.since(now)),
                    problem: state.problem(),
                    counts: issuer.counts(),
                }
            })
            .collect();
        statuses.sort_by(|a, b| (&a.team_name, &a.name).cmp(&(&b.team_name, &b.name)));
        statuses
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which key set of ours an issuer is known by.
fn own_set(team: TeamId, issuer: &Issuer) -> Option<(TeamId, Name)> {
    match &issuer.keys {
        IssuerKeys::Own => Some((TeamId::DEFAULT, SELF.parse().ok()?)),
        IssuerKeys::KeySet(name) => Some((team, name.clone())),
        IssuerKeys::Inline(_)
        | IssuerKeys::File(_)
        | IssuerKeys::Secret(_)
        | IssuerKeys::Introspection(_)
        | IssuerKeys::Url { .. } => None,
    }
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuers")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}
