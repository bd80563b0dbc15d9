//! How a node learns that something has changed, whoever changed it.
//!
//! One small question tells how far everything has come: the newest revision, and for what reaches nodes by row
//! a counter of each kind ([`Marks`]). It is asked when there is a reason to: PostgreSQL told of a change
//! (LISTEN), this process made one, or some time has passed. So a notice that is lost costs a moment and no
//! change, and a database that is away is noticed and asked less and less often, until it answers again.
//!
//! It may answer with another history: a standby that is promoted lacks what was committed last where it was not
//! waited for, and its counters come by the same numbers again with other rows. So the question holds on to the audit
//! log's newest event, whose hash no other history has at this place: each change has an event in its transaction.

mod feed;
mod listener;

pub(crate) use feed::ABSENT_AT_MOST;
pub use feed::{ChangeCounts, ChangeFeed, Notice};

use crate::database::Transaction;
use crate::{Error, RevocationMark, Store};
use keyward_model::Revision;

/// What is counted. What a revision brings is not: revisions are numbered by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Revocations,
    RevocationsRemoved,
    Credentials,
    Keys,
}

impl Subject {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Revocations => "revocations",
            Self::RevocationsRemoved => "revocations_removed",
            Self::Credentials => "credentials",
            Self::Keys => "keys",
        }
    }
}

/// How far everything has come: to be compared with what a node has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The newest revision of the configuration; 0 before the first.
    pub revision: Revision,
    /// Revocations.
    pub revocations: RevocationMark,
    /// How often credentials came, were changed or were taken away.
    pub credentials: i64,
    /// How often a key of a key set was made or changed.
    pub keys: i64,
    /// How often the feed found a history that does not go on from what it had seen, as after a failover that lost
    /// commits: then the other numbers can't be compared with those of before, and everything is to be read anew.
    pub history: u64,
}

/// The newest event of the audit log, by which a history is known: 0 and no hash before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    sequence: i64,
    hash: String,
}

/// What the database says of how far everything has come.
pub(crate) struct Answer {
    /// Without the number of histories, which is the feed's.
    pub(crate) marks: Marks,
    pub(crate) head: Head,
    /// Whether the event that was the newest is where it was.
    pub(crate) goes_on: bool,
}

#[derive(sqlx::FromRow)]
struct CounterRow {
    subject: String,
    counter: i64,
    hash: String,
}

/// What the newest revision is called among the counters, and an event.
const REVISION: &str = "revision";
const EVENT: &str = "event";

impl Store {
    /// How far everything has come. To be asked before the rows themselves: what comes between is then asked
    /// for again, and missed never.
    ///
    /// # Errors
    /// What the database says.
    pub async fn marks(&self) -> Result<Marks, Error> {
        Ok(self.marks_after(&Head::default()).await?.marks)
    }

    /// The same, and whether the history is the one of which `seen` was the newest event.
    pub(crate) async fn marks_after(&self, seen: &Head) -> Result<Answer, Error> {
        let rows: Vec<CounterRow> = sqlx::query_as(
            "SELECT subject, counter, '' AS hash FROM change_counters
             UNION ALL SELECT 'revision', coalesce(max(number), 0), '' FROM revisions
             UNION ALL SELECT 'event', sequence, hash FROM audit_events
             WHERE sequence = $1 OR sequence = (SELECT max(sequence) FROM audit_events)",
        )
        .bind(seen.sequence)
        .fetch_all(self.pool())
        .await?;
        let named = |name: &str| {
            let row = rows.iter().find(|row| row.subject == name);
            row.map_or(0, |row| row.counter)
        };
        let events = || rows.iter().filter(|row| row.subject == EVENT);
        let is_seen = |row: &CounterRow| row.counter == seen.sequence && row.hash == seen.hash;
        let newest = events().max_by_key(|row| row.counter);
        let head = newest.map_or_else(Head::default, |row| Head {
            sequence: row.counter,
            hash: row.hash.clone(),
        });
        let goes_on = *seen == Head::default() || events().any(is_seen);
        let of = |subject: Subject| named(subject.as_str());
        let revision = u64::try_from(named(REVISION))
            .map_err(|_| Error::malformed("revisions", "number", named(REVISION)))?;
        let marks = Marks {
            revision: Revision(revision),
            revocations: RevocationMark {
                inserted: of(Subject::Revocations),
                removed: of(Subject::RevocationsRemoved),
            },
            credentials: of(Subject::Credentials),
            keys: of(Subject::Keys),
            history: 0,
        };
        Ok(Answer {
            marks,
            head,
            goes_on,
        })
    }

    /// Tells this process's own feeds that something was committed, so that they need not find out. Other
    /// processes hear of it by the database.
    pub fn tell_of_change(&self) {
        self.changed().send_replace(());
    }
}

/// Raises a counter; what it is then. Its row is held until the transaction ends: rows come in the order of
/// their numbers.
pub(crate) async fn raise(transaction: &mut Transaction, subject: Subject) -> Result<i64, Error> {
    let (counter,): (i64,) = sqlx::query_as(
        "UPDATE change_counters SET counter = counter + 1 WHERE subject = $1 RETURNING counter",
    )
    .bind(subject.as_str())
    .fetch_one(&mut **transaction)
    .await?;
    Ok(counter)
}
