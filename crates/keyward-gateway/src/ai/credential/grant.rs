//! What an account is granted for a while: fetched by a task of the control plane once the provider is served, and
//! again ahead of its end, one fetch at a time. No call fetches anything; the first ones wait a moment for it.

use super::entra;
use super::google::{self, ServiceAccount};
use super::signature::SigningKeys;
use super::{aws, way_out::WayOut};
use crate::issuer::back_off;
use arc_swap::ArcSwapOption;
use keyward_model::resource::provider::EntraClient;
use keyward_model::{Clock, Moment, Secret};
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// How long a call waits for the first grant: longer than whoever grants needs when they are well.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// What ends sooner than this is used for no new call: an attempt begins within it.
const LEAST_LEFT: Duration = Duration::from_secs(10);
/// A grant that its provider refuses is got anew no sooner than this after it came, twice that for the next one that is
/// refused, and so on: an account that is forbidden something gets token after token otherwise.
const RENEW_MIN: Duration = Duration::from_secs(1);
/// The longest of these times. What is refused later than that after it came was good before.
const RENEW_MAX: Duration = Duration::from_secs(300);
/// Grants of no stated length last an hour with all who grant.
pub(super) const USUAL_LIFE: Duration = Duration::from_secs(3_600);
/// Nobody grants for longer than a day, and a clock that is wrong should not make us believe so.
const LIFE_MAX: Duration = Duration::from_secs(86_400);

/// Where grants come from.
pub(super) enum Source {
    /// Google, for a service account.
    Google(ServiceAccount),
    /// Google, for the account of this machine.
    GoogleMachine,
    /// Microsoft Entra.
    Entra(EntraClient),
    /// AWS, for this machine, at a region.
    Aws {
        /// Which is asked where that matters.
        region: Box<str>,
    },
}

/// What is granted.
#[derive(Clone, Debug)]
pub(super) enum Granted {
    Token(Arc<Secret<String>>),
    Keys(Arc<SigningKeys>),
}

/// A grant with how long it lasts from when it came.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) granted: Granted,
    pub(super) lasts: Duration,
}

/// An account's grants.
pub(crate) struct Grant {
    shared: Arc<Shared>,
    source: Mutex<Option<Source>>,
    way_out: WayOut,
    task: Mutex<Option<AbortHandle>>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    current: ArcSwapOption<Current>,
    /// Why there is none.
    problem: ArcSwapOption<String>,
    /// How many fetches have ended.
    rounds: watch::Sender<u64>,
    wanted: Notify,
}

#[derive(Debug)]
struct Current {
    granted: Granted,
    came: Moment,
    until: Moment,
}

impl Grant {
    pub(super) fn new(source: Source, way_out: &WayOut) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock: Arc::clone(&way_out.clock),
                current: ArcSwapOption::empty(),
                problem: ArcSwapOption::empty(),
                rounds: watch::Sender::new(0),
                wanted: Notify::new(),
            }),
            source: Mutex::new(Some(source)),
            way_out: way_out.clone(),
            task: Mutex::new(None),
        }
    }

    /// Fetches from now on; `when_renewed` is called after each fetch that brought something.
    pub(super) fn begin(&self, when_renewed: impl Fn() + Send + Sync + 'static) {
        let source = lock(&self.source).take();
        let Some(source) = source else {
            return; // Begun before.
        };
        let (shared, way_out) = (Arc::clone(&self.shared), self.way_out.clone());
        let task = self
            .way_out
            .runtime
            .spawn(async move { match shared.keep(&source, &way_out, when_renewed).await {} });
        *lock(&self.task) = Some(task.abort_handle());
    }

    /// What is granted now.
    ///
    /// # Errors
    /// Why there is nothing, for the operator.
    pub(super) async fn current(&self) -> Result<Granted, String> {
        // Subscribed before looking, so that no round ends unseen.
        let mut rounds = self.shared.rounds.subscribe();
        if let Some(granted) = self.shared.usable() {
            return Ok(granted);
        }
        if *rounds.borrow() == 0 {
            let _told_below = tokio::time::timeout(WAIT_MAX, rounds.changed()).await;
        }
        self.shared.usable().ok_or_else(|| {
            let why = self.shared.problem.load_full();
            let why = why
                .as_deref()
                .map_or("it is still being asked for", String::as_str);
            format!("no access token: {why}")
        })
    }

    /// What is granted now, if there is anything; nobody is waited for.
    pub(super) fn usable(&self) -> Option<Granted> {
        self.shared.usable()
    }

    /// The provider takes it no more.
    pub(super) fn was_refused(&self) {
        self.shared.wanted.notify_one();
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

impl Shared {
    fn usable(&self) -> Option<Granted> {
        let current = self.current.load();
        let current = current.as_ref()?;
        let soon = self.clock.moment().plus(LEAST_LEFT);
        (current.until > soon).then(|| current.granted.clone())
    }

    async fn keep(&self, source: &Source, way_out: &WayOut, when_renewed: impl Fn()) -> Infallible {
        let mut failures: u32 = 0;
        let mut refusals: u32 = 0;
        loop {
            let wait = match source.fetch(way_out).await {
                Ok(Fetched { granted, lasts }) => {
                    failures = 0;
                    let came = self.clock.moment();
                    let lasts = lasts.min(LIFE_MAX);
                    self.current.store(Some(Arc::new(Current {
                        granted,
                        came,
                        until: came.plus(lasts),
                    })));
                    self.problem.store(None);
                    when_renewed();
                    ahead_of(lasts)
                }
                Err(why) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!(
                        from = source.name(),
                        why,
                        "a provider's access token can't be had"
                    );
                    self.problem.store(Some(Arc::new(why)));
                    back_off(failures, chance())
                }
            };
            self.rounds.send_modify(|rounds| *rounds += 1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.refused(&mut refusals) => {}
            }
        }
    }

    /// Until the provider has refused the grant, and it may be got anew.
    async fn refused(&self, refusals: &mut u32) {
        self.wanted.notified().await;
        let came = self.current.load().as_ref().map(|current| current.came);
        let now = self.clock.moment();
        let lasted = came.map_or(Duration::ZERO, |came| now.since(came));
        *refusals = if lasted > RENEW_MAX { 0 } else { *refusals };
        let wait = RENEW_MIN.saturating_mul(1 << (*refusals).min(16));
        *refusals += 1;
        tokio::time::sleep(wait.min(RENEW_MAX).saturating_sub(lasted)).await;
        // Calls that were under way meanwhile have told the same once more.
        let _told_again = tokio::time::timeout(Duration::ZERO, self.wanted.notified()).await;
    }
}

impl Source {
    async fn fetch(&self, way_out: &WayOut) -> Result<Fetched, String> {
        match self {
            Self::Google(account) => account.fetch(way_out).await,
            Self::GoogleMachine => google::of_machine(way_out).await,
            Self::Entra(client) => entra::fetch(client, way_out).await,
            Self::Aws { region } => aws::of_machine(region, way_out).await,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Google(_) => "google",
            Self::GoogleMachine => "google, for this machine",
            Self::Entra(_) => "entra",
            Self::Aws { .. } => "aws, for this machine",
        }
    }
}

/// When to fetch again: after three quarters of its life, so that whoever grants may be away for the last one.
pub(super) fn ahead_of(lasts: Duration) -> Duration {
    (lasts / 4 * 3).max(RENEW_MIN)
}

fn chance() -> u32 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u32::from_le_bytes(bytes),
        Err(_) => 0,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").finish_non_exhaustive()
    }
}
