//! Connections whose statements end, also when nobody is at the other end any more.
//!
//! A machine that dies says nothing, and what the server would end itself (`statement_timeout`) it can't end when it is
//! gone: whoever waited for an answer would wait for good. So each answer, and each row of one, has to come within a
//! time; then the connection is given up, and so is what was asked. What became of it is not known.

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use sqlx::any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::pool::PoolConnection;
use sqlx::{
    Any, AnyConnection, AnyPool, Connection as _, Either, Execute, Executor, SqlSafeStr as _,
    SqlStr,
};
use std::io;
use std::ops::{Deref, DerefMut};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// How long the pool waits for its connections when it is closed: then the process ends all the same.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// The pool of a database.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pool: AnyPool,
    /// How long an answer may take; none where there is no network between.
    answers_within: Option<Duration>,
}

impl Pool {
    pub(super) fn new(pool: AnyPool, answers_within: Option<Duration>) -> Self {
        Self {
            pool,
            answers_within,
        }
    }

    pub(crate) async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        Ok(Connection {
            held: Held::Plain(self.pool.acquire().await?),
            answers_within: self.answers_within,
        })
    }

    /// Begins a transaction with this statement. `turn` is given back when it ends.
    pub(super) async fn begin(
        &self,
        statement: &'static str,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<Transaction, sqlx::Error> {
        let connection = self.pool.acquire().await?;
        let begun = sqlx::Transaction::begin(connection, Some(statement.into_sql_str()));
        let begun = answered(self.answers_within, begun).await?;
        Ok(Transaction {
            connection: Connection {
                held: Held::Transaction(begun),
                answers_within: self.answers_within,
            },
            _turn: turn,
        })
    }

    /// Ends all connections.
    pub(crate) async fn close(&self) {
        // Those that are not back by then end with the process.
        let _in_time = tokio::time::timeout(CLOSED_WITHIN, self.pool.close()).await;
    }
}

/// A connection of the pool.
#[derive(Debug)]
pub(crate) struct Connection {
    held: Held,
    answers_within: Option<Duration>,
}

#[derive(Debug)]
enum Held {
    Plain(PoolConnection<Any>),
    Transaction(sqlx::Transaction<'static, Any>),
}

impl Connection {
    fn raw(&mut self) -> &mut AnyConnection {
        match &mut self.held {
            Held::Plain(connection) => connection,
            Held::Transaction(transaction) => transaction,
        }
    }

    /// How long an answer may take from now on; `None`: as long as it takes.
    pub(super) fn answers_within(&mut self, within: Option<Duration>) {
        self.answers_within = within;
    }
}

/// A transaction. It is rolled back unless it is committed.
#[derive(Debug)]
pub(crate) struct Transaction {
    connection: Connection,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Transaction {
    /// # Errors
    /// What the database says. When it says nothing it is not known whether the transaction was committed.
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self.connection.held {
            Held::Transaction(begun) => {
                answered(self.connection.answers_within, begun.commit()).await
            }
            Held::Plain(_) => Ok(()),
        }
    }

    pub(crate) async fn rollback(self) -> Result<(), sqlx::Error> {
        match self.connection.held {
            Held::Transaction(begun) => {
                answered(self.connection.answers_within, begun.rollback()).await
            }
            Held::Plain(_) => Ok(()),
        }
    }
}

impl Deref for Transaction {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

type Step = Either<AnyQueryResult, AnyRow>;

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let within = self.answers_within;
        let steps = self.raw().fetch_many(query);
        stream::try_unfold(steps, move |mut steps| async move {
            let step = answered(within, steps.try_next()).await?;
            Ok(step.map(|step| (step, steps)))
        })
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<AnyRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let within = self.answers_within;
        Box::pin(answered(within, self.raw().fetch_optional(query)))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        let within = self.answers_within;
        Box::pin(answered(within, self.raw().prepare_with(sql, parameters)))
    }
}

impl<'p> Executor<'p> for &'_ Pool {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let pool = self.clone();
        stream::once(async move {
            let mut connection = pool.acquire().await?;
            let steps: Vec<Step> = connection.fetch_many(query).try_collect().await?;
            Ok::<_, sqlx::Error>(stream::iter(steps.into_iter().map(Ok)))
        })
        .try_flatten()
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<AnyRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let pool = self.clone();
        Box::pin(async move { pool.acquire().await?.fetch_optional(query).await })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move { pool.acquire().await?.prepare_with(sql, parameters).await })
    }
}

/// Before a connection leaves its pool, and before it goes back: that the other end is there, and has done what was still
/// to be done for it. The pool itself would ask for good, and lack the connection meanwhile.
pub(super) async fn check_other_end(
    connection: &mut AnyConnection,
    within: Duration,
) -> Result<bool, sqlx::Error> {
    answered(Some(within), connection.ping()).await?;
    Ok(true)
}

async fn answered<T>(
    within: Option<Duration>,
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let Some(within) = within else {
        return asked.await;
    };
    let answer = tokio::time::timeout(within, asked).await;
    answer.unwrap_or_else(|_| {
        let silent = io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time");
        Err(silent.into())
    })
}
