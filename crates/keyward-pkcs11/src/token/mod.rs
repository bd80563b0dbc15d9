//! A token, and the threads that its module's functions are called on.

mod connection;
mod signing_in;

pub(crate) use connection::Opened;

use crate::Error;
use connection::Connection;
use keyward_model::{Clock, Moment, Secret};
use signing_in::SigningIn;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard, TryLockError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// So many calls are in a module at a time, each with a session of its own: network modules serve some at once, and
/// one that hangs holds so many threads and no more.
const CALLS_AT_A_TIME: usize = 8;

/// Whoever asks for a signature waits so long for its turn, and again so long for the token.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Small devices take their time to find primes; key sets are looked at by nobody else meanwhile.
const MADE_WITHIN: Duration = Duration::from_secs(30);

/// A module is loaded anew at most so often: every call that finds its key absent would ask for it.
const REVIVED_AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// For a key that is absent: most of them are gone for good, and what others sign with meanwhile is closed by it.
const REVIVED_FOR_A_KEY_EVERY: Duration = Duration::from_secs(15);

/// What a configuration says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// The module's file.
    pub module: PathBuf,
    /// The token's label.
    pub label: Box<str>,
    /// The user's PIN.
    pub pin: Secret<String>,
}

/// A token. The process has one for each module: what a module knows of sessions and logins it knows of the process.
pub struct Token {
    settings: TokenSettings,
    clock: Arc<dyn Clock>,
    turns: Arc<Semaphore>,
    connection: RwLock<Option<Connection>>,
    revived_at: Mutex<Option<Moment>>,
    signing_in: SigningIn,
}

impl Token {
    /// Nothing is loaded or asked yet.
    #[must_use]
    pub fn new(settings: TokenSettings, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            settings,
            clock,
            turns: Arc::new(Semaphore::new(CALLS_AT_A_TIME)),
            connection: RwLock::default(),
            revived_at: Mutex::default(),
            signing_in: SigningIn::default(),
        })
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &TokenSettings {
        &self.settings
    }

    /// Its label.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.settings.label
    }

    /// Has something done by the token that takes milliseconds.
    pub(crate) async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl Fn(&Opened<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.within(ANSWER_WITHIN, job).await
    }

    /// Has something made by the token.
    pub(crate) async fn make<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl Fn(&Opened<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.within(MADE_WITHIN, job).await
    }

    async fn within<T: Send + 'static>(
        self: &Arc<Self>,
        time: Duration,
        job: impl Fn(&Opened<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let silent = || Error::Silent {
            token: self.label().to_owned(),
            seconds: time.as_secs(),
        };
        let turn = tokio::time::timeout(ANSWER_WITHIN, Arc::clone(&self.turns).acquire_owned())
            .await
            .map_err(|_| silent())?
            .map_err(|error| Error::Internal(error.to_string()))?;
        let token = Arc::clone(self);
        // The turn stays with the thread, also when nobody waits for it any more.
        let working = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            token.done(&job)
        });
        tokio::time::timeout(time, working)
            .await
            .map_err(|_| silent())?
            .map_err(|error| Error::Internal(error.to_string()))?
    }

    /// Twice where the first failure may have come from what the token was opened with.
    fn done<T>(&self, job: &dyn Fn(&Opened<'_>) -> Result<T, Error>) -> Result<T, Error> {
        match self.tried(job) {
            Err(error) if error.may_pass() && self.revive(&error) => self.tried(job),
            done => done,
        }
    }

    fn tried<T>(&self, job: &dyn Fn(&Opened<'_>) -> Result<T, Error>) -> Result<T, Error> {
        // With a PIN that is refused the module isn't even loaded.
        self.signing_in.allowed()?;
        let held = self
            .connection
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = &*held {
            return connection.with_session(&self.settings, &self.signing_in, job);
        }
        drop(held);
        let mut held = self
            .connection
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            *held = Some(Connection::open(&self.settings)?);
        }
        // Others need not wait for the job.
        let held = RwLockWriteGuard::downgrade(held);
        match &*held {
            Some(connection) => connection.with_session(&self.settings, &self.signing_in, job),
            None => Err(Error::Internal("the token was not opened".to_owned())),
        }
    }

    /// Ends everything that was opened and unloads the module, for the next call to begin anew: some see a token that
    /// was put back no sooner. Whether it was done: not while others are in the module, who may be in there for long.
    fn revive(&self, because: &Error) -> bool {
        let now = self.clock.moment();
        let mut revived = self
            .revived_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let at_most_every = if matches!(because, Error::KeyAbsent { .. }) {
            REVIVED_FOR_A_KEY_EVERY
        } else {
            REVIVED_AT_MOST_EVERY
        };
        if revived.is_some_and(|at| now.since(at) < at_most_every) {
            return false;
        }
        let mut held = match self.connection.try_write() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        tracing::warn!(
            code = because.code(),
            "PKCS#11: {because}; the module is opened anew"
        );
        if let Some(connection) = held.take() {
            connection.close();
        }
        *revived = Some(now);
        true
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
