//! Waiting for a change.

use super::listener::Listener;
use super::{Head, Marks};
use crate::{Error, Store};
use std::time::Duration;
use tokio::sync::watch;

/// How often it is asked without a reason: what a lost notice costs, so that a change reaches every node
/// within a second.
pub(super) const ASK_EVERY: Duration = Duration::from_millis(250);

/// How often it is asked at least while the database is away.
pub(super) const ASK_EVERY_AT_LEAST: Duration = Duration::from_secs(10);

/// How long an answer may take: a connection whose other end is gone says nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long a node that runs may have no connection: it asks again, connects, and is seen.
pub(crate) const ABSENT_AT_MOST: Duration = Duration::from_secs(16);

/// What a feed tells.
#[derive(Debug)]
pub enum Notice {
    /// Something has changed since what was told before.
    Changed(Marks),
    /// The database could not be asked: what is known goes on to hold.
    Away(Error),
    /// The database answers again. What has come meanwhile is in the marks.
    Back(Marks),
}

/// What a feed has done, for operators and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeCounts {
    /// How often the database was asked.
    pub asked: u64,
    /// How often because somebody told of a change.
    pub told: u64,
    /// How often it could not be asked.
    pub failures: u64,
}

/// Why it is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    Told,
    Time,
}

/// Tells of changes, one after another. Nothing is told twice, and of changes that come faster than they are
/// taken the last marks are told.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # use keyward_model::id::TeamId;
/// # use keyward_model::Timestamp;
/// # use keyward_model::revocation::RevocationKind;
/// # let folder = tempfile::tempdir()?;
/// # let now = Timestamp::from_seconds(1_795_000_000);
/// # let later = Timestamp::from_seconds(1_795_000_100);
/// use keyward_store::{Author, MasterKey, Notice, Store};
/// let store = Store::open(&folder.path().join("keyward.db"), &MasterKey::generate()?, now).await?;
/// let mut feed = store.change_feed().await?;
/// let kind = RevocationKind::Subject;
/// store.insert_revocation(TeamId::DEFAULT, "https://i", kind, "eve", now, later, Author::local("test"), now).await?;
/// let Notice::Changed(marks) = feed.next().await else { panic!("the database is there") };
/// assert_eq!(marks.revocations.inserted, 1);
/// # Ok(()) })
/// # }
/// ```
#[derive(Debug)]
pub struct ChangeFeed {
    store: Store,
    seen: Marks,
    /// The newest event of the history that the marks are of.
    head: Head,
    /// Told by PostgreSQL; none where there is none to listen to.
    listener: Option<Listener>,
    own: watch::Receiver<()>,
    wait: Duration,
    ask_every: Duration,
    away: bool,
    counts: ChangeCounts,
}

impl Store {
    /// What tells of changes from now on: of those that are not in [`ChangeFeed::seen`].
    ///
    /// # Errors
    /// What the database says.
    pub async fn change_feed(&self) -> Result<ChangeFeed, Error> {
        self.change_feed_asking(ASK_EVERY, true).await
    }

    /// The same with another time between questions without a reason, and deaf if told so.
    pub(crate) async fn change_feed_asking(
        &self,
        ask_every: Duration,
        listening: bool,
    ) -> Result<ChangeFeed, Error> {
        let listener = match self.database().postgres() {
            Some(postgres) if listening => Some(Listener::start(postgres.clone()).await),
            Some(_) | None => None,
        };
        // The listener first: it hears of what comes behind the marks.
        let answer = self.marks_after(&Head::default()).await?;
        Ok(ChangeFeed {
            seen: answer.marks,
            head: answer.head,
            store: self.clone(),
            listener,
            own: self.changed().subscribe(),
            wait: ask_every,
            ask_every,
            away: false,
            counts: ChangeCounts::default(),
        })
    }
}

impl ChangeFeed {
    /// What has been told, or was there at the beginning.
    #[must_use]
    pub fn seen(&self) -> Marks {
        self.seen
    }

    /// What it has done.
    #[must_use]
    pub fn counts(&self) -> ChangeCounts {
        self.counts
    }

    #[cfg(test)]
    pub(crate) fn ask_every(&mut self, ask_every: Duration) {
        (self.ask_every, self.wait) = (ask_every, ask_every);
    }

    #[cfg(test)]
    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    /// Waits for the next change, or for the database to go away or to come back. While it is away every
    /// try that fails is told, after twice the time of the one before. Dropped before it ends it has told
    /// nothing, and the next one will.
    pub async fn next(&mut self) -> Notice {
        loop {
            let reason = tokio::select! {
                () = tokio::time::sleep(self.wait) => Reason::Time,
                // What is told while the database is away may be a notice of before.
                () = told(self.listener.as_ref()), if !self.away => Reason::Told,
                // The store that would tell is held here.
                Ok(()) = self.own.changed() => Reason::Told,
            };
            self.counts.asked += 1;
            self.counts.told += u64::from(reason == Reason::Told);
            let asked = tokio::time::timeout(PATIENCE, self.store.marks_after(&self.head)).await;
            let asked = asked.unwrap_or_else(|_| {
                Err(Error::Unreachable("it did not answer in time".to_owned()))
            });
            let answer = match asked {
                Ok(answer) => answer,
                Err(error) => {
                    self.counts.failures += 1;
                    self.away = true;
                    self.wait = wait_after_failure(self.wait);
                    return Notice::Away(error);
                }
            };
            self.wait = self.ask_every;
            let marks = Marks {
                history: self.seen.history + u64::from(!answer.goes_on),
                ..answer.marks
            };
            self.head = answer.head;
            let changed = marks != self.seen;
            self.seen = marks;
            if std::mem::take(&mut self.away) {
                if let Some(listener) = &self.listener {
                    listener.renew();
                }
                return Notice::Back(marks);
            }
            if changed {
                return Notice::Changed(marks);
            }
        }
    }
}

/// Ends when the database tells of a change; never where it does not.
async fn told(listener: Option<&Listener>) {
    match listener {
        Some(listener) => listener.told().await,
        None => std::future::pending().await,
    }
}

/// How long to wait before a database that is away is asked again.
pub(super) fn wait_after_failure(wait: Duration) -> Duration {
    (wait * 2).min(ASK_EVERY_AT_LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_notice_costs_less_than_a_second_and_an_outage_is_asked_about_less_and_less() {
        assert!(ASK_EVERY * 2 <= Duration::from_secs(1));
        let mut waits = vec![ASK_EVERY];
        while let Some(wait) = waits.last()
            && *wait < ASK_EVERY_AT_LEAST
        {
            let next = wait_after_failure(*wait);
            assert!(*wait < next && next <= *wait * 2, "{waits:?}");
            waits.push(next);
        }
        assert_eq!(wait_after_failure(ASK_EVERY_AT_LEAST), ASK_EVERY_AT_LEAST);
        assert!(ASK_EVERY_AT_LEAST + PATIENCE < ABSENT_AT_MOST);
    }
}
