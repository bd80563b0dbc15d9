//! What has passed under quotas, kept for windows that are not over.

use crate::database::Transaction;
use crate::hierarchy::fill;
use crate::schema::hexadecimal;
use crate::{Error, Store};
use keyward_model::Timestamp;
use keyward_model::limit::Period;
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;

/// Rows of one transaction, and of one statement: a few milliseconds, so that others get their turn between. Each has
/// five values, and SQLite takes 32,766.
const ROWS_AT_ONCE: usize = 1_000;

/// The values of a row.
const COLUMNS: usize = 5;

/// The one row of the secret.
const SECRET_ROW: i64 = 1;

/// What has passed in one window of one quota, or of one budget, of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaCount {
    /// Which quota of whom: a hash under the [secret](Store::quota_secret).
    pub digest: u128,
    /// The quota's windows.
    pub period: Period,
    /// Which of them.
    pub window: u32,
    /// When it ends.
    pub ends: Timestamp,
    /// How many requests; of a budget in tokens or money, how much of that. What is added may be less than nothing: a call
    /// has taken less than it held.
    pub requests: i64,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    digest: String,
    window_number: i64,
    period: String,
    requests: i64,
    ends_at: i64,
}

impl TryFrom<CountRow> for QuotaCount {
    type Error = Error;
    fn try_from(row: CountRow) -> Result<Self, Error> {
        let malformed = |column| Error::malformed("quota_counts", column, &row.digest);
        let period = Period::ALL
            .into_iter()
            .find(|period| period.as_str() == row.period);
        Ok(Self {
            digest: u128::from_str_radix(&row.digest, 16).map_err(|_| malformed("digest"))?,
            period: period.ok_or_else(|| malformed("period"))?,
            window: u32::try_from(row.window_number).map_err(|_| malformed("window_number"))?,
            ends: Timestamp::from_micros(row.ends_at),
            requests: row.requests.max(0),
        })
    }
}

/// What a row is known by.
type Key = (String, i64);

fn digest_of(count: &QuotaCount) -> String {
    format!("{:032x}", count.digest)
}

fn key(count: &QuotaCount) -> Key {
    (digest_of(count), i64::from(count.window))
}

/// Adds to the rows in one statement, since everybody who writes waits meanwhile; what they have come to.
async fn add(
    transaction: &mut Transaction,
    counts: &[QuotaCount],
) -> Result<BTreeMap<Key, i64>, Error> {
    // A statement may touch a row once.
    let mut rows: BTreeMap<Key, (QuotaCount, i64)> = BTreeMap::new();
    for count in counts {
        let (_, requests) = rows.entry(key(count)).or_insert((*count, 0));
        *requests = requests.saturating_add(count.requests);
    }
    let places: Vec<String> = (0..rows.len())
        .map(|row| {
            let places = (1..=COLUMNS).map(|column| format!("${}", row * COLUMNS + column));
            format!("({})", places.collect::<Vec<_>>().join(", "))
        })
        .collect();
    let statement = format!(
        "INSERT INTO quota_counts (digest, window_number, period, requests, ends_at)
         VALUES {}
         ON CONFLICT (digest, window_number)
         DO UPDATE SET requests = quota_counts.requests + excluded.requests
         RETURNING digest, window_number, requests",
        places.join(", ")
    );
    let mut query = sqlx::query_as(AssertSqlSafe(statement)).persistent(false);
    for ((digest, window), (count, requests)) in rows {
        query = query
            .bind(digest)
            .bind(window)
            .bind(count.period.as_str())
            .bind(requests)
            .bind(count.ends.as_micros());
    }
    let kept: Vec<(String, i64, i64)> = query.fetch_all(&mut **transaction).await?;
    Ok(kept
        .into_iter()
        .map(|(digest, window, requests)| ((digest, window), requests))
        .collect())
}

impl Store {
    /// The secret that digests of quotas are made with: the same for all processes of this database. It is not sealed:
    /// whoever can read the database can try whether somebody they guess is among those that are counted, and learns
    /// nothing else by it.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn quota_secret(&self) -> Result<[u8; 16], Error> {
        let mut secret = [0; 16];
        fill(&mut secret)?;
        let mut transaction = self.begin_write().await?;
        // Whoever is first says it.
        sqlx::query("INSERT INTO quota_secret (id, secret) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(SECRET_ROW)
            .bind(hexadecimal(&secret))
            .execute(&mut *transaction)
            .await?;
        let (kept,): (String,) = sqlx::query_as("SELECT secret FROM quota_secret WHERE id = $1")
            .bind(SECRET_ROW)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let number = u128::from_str_radix(&kept, 16)
            .map_err(|_| Error::malformed("quota_secret", "secret", "1"))?;
        Ok(number.to_be_bytes())
    }

    /// The counts of windows that are not over at `now`.
    ///
    /// # Errors
    /// What the database says, or a row that can't be read.
    pub async fn quota_counts(&self, now: Timestamp) -> Result<Vec<QuotaCount>, Error> {
        let rows: Vec<CountRow> = sqlx::query_as(
            "SELECT digest, window_number, period, requests, ends_at
             FROM quota_counts WHERE ends_at > $1",
        )
        .bind(now.as_micros())
        .fetch_all(self.pool())
        .await?;
        rows.into_iter().map(QuotaCount::try_from).collect()
    }

    /// Adds requests to the counts, forgets windows that are over, and tells what each count has come to, with
    /// what other processes have added, in order. What is written when the answer is lost is not known: whoever
    /// adds it again may add it twice.
    ///
    /// # Errors
    /// What the database says. What was added before stays added: the number of those is that of the totals in
    /// `totals`.
    pub async fn add_quota_counts(
        &self,
        counts: &[QuotaCount],
        totals: &mut Vec<i64>,
        now: Timestamp,
    ) -> Result<(), Error> {
        for some in counts.chunks(ROWS_AT_ONCE) {
            let mut sums = Vec::with_capacity(some.len());
            let mut transaction = self.begin_write().await?;
            sqlx::query("DELETE FROM quota_counts WHERE ends_at <= $1")
                .bind(now.as_micros())
                .execute(&mut *transaction)
                .await?;
            let kept = add(&mut transaction, some).await?;
            for count in some {
                let sum = kept.get(&key(count)).copied();
                let sum = sum
                    .ok_or_else(|| Error::malformed("quota_counts", "digest", digest_of(count)))?;
                sums.push(sum.max(0));
            }
            transaction.commit().await?;
            totals.extend(sums);
        }
        Ok(())
    }
}
