//! LISTEN: PostgreSQL tells of changes as they are committed.

use super::feed::{ASK_EVERY, PATIENCE, wait_after_failure};
use crate::Error;
use crate::database::{Listening, Postgres};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A connection of its own that hears of changes, and is made again when it is lost. Ends when dropped.
#[derive(Debug)]
pub(super) struct Listener {
    told: Arc<Notify>,
    /// Tells it to listen on another connection.
    renew: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Listens from the moment that this returns, unless the database can't be reached now.
    pub(super) async fn start(postgres: Postgres) -> Self {
        let told = Arc::new(Notify::new());
        let renew = Arc::new(Notify::new());
        let first = connect(&postgres).await;
        let listening = listen(postgres, first, Arc::clone(&told), Arc::clone(&renew));
        let task = tokio::spawn(listening);
        Self { told, renew, task }
    }

    /// Listens on a new connection from now on: who only hears does not notice that nobody is there to tell.
    pub(super) fn renew(&self) {
        self.renew.notify_one();
    }

    /// Ends when something was told since it ended the last time.
    pub(super) async fn told(&self) {
        self.told.notified().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connect(postgres: &Postgres) -> Result<Listening, Error> {
    postgres.listen(PATIENCE).await
}

/// Nothing is said of failures here: the questions of the feed fail, too, and tell of it.
async fn listen(
    postgres: Postgres,
    mut connection: Result<Listening, Error>,
    told: Arc<Notify>,
    renew: Arc<Notify>,
) {
    let mut wait = ASK_EVERY;
    loop {
        if let Ok(listening) = connection {
            wait = ASK_EVERY;
            tokio::select! {
                () = hear(listening, &told) => {}
                () = renew.notified() => {}
            }
        }
        tokio::time::sleep(wait).await;
        wait = wait_after_failure(wait);
        connection = connect(&postgres).await;
        if connection.is_ok() {
            // What was told while nobody listened is lost.
            told.notify_one();
        }
    }
}

/// Until the connection is lost.
async fn hear(mut listening: Listening, told: &Notify) {
    while listening.told().await {
        told.notify_one();
    }
}
