//! A worker's connection, and the task that keeps it.

use super::claims::{HeldClaims, WaitingClaims};
use super::counts::add;
use super::eviction;
use super::query::{Answer, Query, TAKE};
use super::settlements::{self, SharedBudgets};
use super::slots::{RENEWED_EVERY, Slots, is_wrong_type};
use super::{SharedState, slots::HeldSlot};
use crate::limit::Cell as LimitCell;
use keyward_model::{Clock, Moment, Timestamp};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisError, RedisResult};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Notify;

/// How long connecting may take, with everything that makes a connection of use.
const CONNECTED_WITHIN: Duration = Duration::from_secs(1);

/// How long a node's end waits for what is still to be told.
const FINISHED_WITHIN: Duration = Duration::from_secs(3);

/// Between attempts to connect: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How often a connection that nothing was sent over is tried, so that its end is noticed before a call pays
/// for it.
const TRIED_EVERY: Duration = Duration::from_secs(1);

/// A connection that held for as long was good: after it, attempts begin quickly again.
const GOOD_AFTER: Duration = Duration::from_secs(5);

/// How often it is told again that connecting fails as it did before.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// What a server says that counts nothing for anybody just now. It, or another one at the same address, is tried
/// later.
const UNUSABLE: [&str; 10] = [
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "NOAUTH",
    "MISCONF",
    "OOM",
    "BUSY",
    "NOREPLICAS",
    "TRYAGAIN",
];

/// What calls of one worker ask. It belongs to that worker's thread.
pub struct SharedWorker {
    pub(super) state: Arc<SharedState>,
    clock: Arc<dyn Clock>,
    index: usize,
    connection: RefCell<Option<Connection>>,
    next_connection: Cell<u64>,
    /// The last connection over which it was told that something else stands under a limit's name.
    told_of_type: Cell<Option<u64>>,
    /// The last connection over which it was told that slots can't be kept.
    told_of_slots: Cell<Option<u64>>,
    /// The last connection over which it was told that what became of claims can't be.
    told_of_claims: Cell<Option<u64>>,
    /// Why connecting failed, as it was told last, and when.
    told_of_failure: RefCell<Option<(String, Moment)>>,
    pub(super) slots: Slots,
    pub(super) budgets: SharedBudgets,
    pub(super) claims: WaitingClaims,
    pub(super) held_claims: HeldClaims,
    next_slot: Cell<u64>,
    /// The connection is lost, slots were released, or something waits to be told.
    attention: Notify,
}

impl fmt::Debug for SharedWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedWorker")
            .field("index", &self.index)
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

/// A connection, numbered, so that what was asked over one that is given up says nothing of the next.
#[derive(Clone)]
struct Connection {
    number: u64,
    since: Timestamp,
    to: MultiplexedConnection,
}

/// The shared state can't be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    /// It has counted nothing: nothing was sent, or the answer was an error.
    NotSent,
    /// It may have counted what it was asked: no answer came.
    Unknown,
}

impl SharedWorker {
    /// The worker of this number, not connected yet.
    #[must_use]
    pub fn new(state: Arc<SharedState>, clock: Arc<dyn Clock>, index: usize) -> Rc<Self> {
        Rc::new(Self {
            state,
            clock,
            index,
            connection: RefCell::default(),
            next_connection: Cell::default(),
            told_of_type: Cell::default(),
            told_of_slots: Cell::default(),
            told_of_claims: Cell::default(),
            told_of_failure: RefCell::default(),
            slots: Slots::default(),
            budgets: SharedBudgets::default(),
            claims: WaitingClaims::default(),
            held_claims: HeldClaims::default(),
            next_slot: Cell::default(),
            attention: Notify::new(),
        })
    }

    /// Whether calls can ask.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connection.borrow().is_some()
    }

    /// Connects if that can be done within a second, so that the first calls find a connection. A server that
    /// can't be reached keeps no node from starting.
    pub async fn begin(&self) {
        if let Err(why) = self.connect().await {
            self.unreachable(why);
        }
    }

    /// Tells that connecting failed: the first time, when it fails in another way than before, and now and then.
    fn unreachable(&self, why: String) {
        add(&self.state.counters.unreachable);
        let now = self.clock.moment();
        let mut told = self.told_of_failure.borrow_mut();
        let known = told
            .as_ref()
            .is_some_and(|(before, at)| *before == why && now.since(*at) < TOLD_AGAIN_AFTER);
        if known {
            tracing::debug!(
                worker = self.index,
                "the shared state still can't be reached: {why}"
            );
            return;
        }
        tracing::warn!(
            worker = self.index,
            "the shared state can't be reached ({why}): limits do what their `on_outage` says; it is tried again"
        );
        *told = Some((why, now));
    }

    /// Keeps the connection and what is held through it, forever.
    pub async fn keep(self: Rc<Self>) {
        let mut wait = BACK_OFF.0;
        let mut since = self.clock.moment();
        let mut renewed = since;
        loop {
            if !self.is_connected() {
                let now = self.clock.moment();
                if now.since(since) >= GOOD_AFTER {
                    wait = BACK_OFF.0;
                }
                tokio::time::sleep(spread(wait)).await;
                wait = (wait * 2).min(BACK_OFF.1);
                match self.connect().await {
                    Ok(()) => {
                        since = self.clock.moment();
                        renewed = since;
                        self.told_of_failure.replace(None);
                        tracing::info!(worker = self.index, "the shared state is reached again");
                    }
                    Err(why) => {
                        since = now;
                        self.unreachable(why);
                    }
                }
                continue;
            }
            // Whether something asked for attention or the time has come: it is looked at.
            let _asked = tokio::time::timeout(TRIED_EVERY, self.attention.notified()).await;
            if !self.is_connected() {
                since = self.good_since(since);
                continue;
            }
            let now = self.clock.moment();
            let due = now.since(renewed) >= RENEWED_EVERY;
            if due {
                renewed = now;
            }
            self.tend(due).await;
        }
    }

    fn good_since(&self, since: Moment) -> Moment {
        let now = self.clock.moment();
        if now.since(since) >= GOOD_AFTER {
            since
        } else {
            now
        }
    }

    /// Gives back what was released, and renews what is held when it is time for that. Where there is nothing
    /// to say, it is asked whether it is there.
    async fn tend(&self, renew: bool) {
        let Some(Connection { number, mut to, .. }) = self.connection.borrow().clone() else {
            return;
        };
        let called = |number| self.slot_name(number);
        let tending = async {
            let mut against = None;
            if self.slots.any_released() {
                against = self.slots.give_back(&mut to, called).await?;
            } else {
                redis::cmd("PING").exec_async(&mut to).await?;
            }
            self.tell_claims(number, &mut to).await?;
            self.budgets.tell(&mut to).await?;
            if renew {
                self.budgets.renew(&mut to).await?;
                against = against.or(self.slots.renew(&mut to, called).await?);
            }
            Ok::<_, RedisError>(against)
        };
        match tokio::time::timeout(CONNECTED_WITHIN, tending).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(error))) if is_unusable(&error) => self.lost(number, &error.to_string()),
            Ok(Ok(Some(error))) => self.slots_failed(number, &error),
            Ok(Err(error)) => self.failed(number, &error),
            Err(_) => self.lost(number, "it did not answer within a second"),
        }
    }

    /// At the worker's end, when nothing [keeps](Self::keep) the connection any more: gives back what its last calls
    /// held and tells what waits, and connects once for that where there is no connection.
    pub async fn finish(&self) {
        // What takes longer lapses by itself.
        let _in_time = tokio::time::timeout(FINISHED_WITHIN, self.tell_all()).await;
    }

    async fn tell_all(&self) {
        let waits = || self.slots.any_released() || self.claims.any() || self.budgets.any();
        if waits() && !self.is_connected() {
            self.begin().await;
        }
        while waits() && self.is_connected() {
            let before = self.claims.len() + self.budgets.len();
            self.tend(false).await;
            // What was not taken will not be.
            if self.claims.len() + self.budgets.len() >= before {
                return;
            }
        }
    }

    async fn connect(&self) -> Result<(), String> {
        // Each call has its own bound.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None);
        let connecting = async {
            let client = &self.state.client;
            let mut connection = client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            TAKE.load_async(&mut connection).await?;
            settlements::load(&mut connection).await?;
            // A server that has lost them hears of them before the first call asks.
            let called = |number| self.slot_name(number);
            let given_back = self.slots.give_back(&mut connection, called).await?;
            let renewed = self.slots.renew(&mut connection, called).await?;
            let held = self.held_claims.renew(&mut connection).await?;
            self.look_at_eviction(&mut connection).await;
            // What stands against a slot or a claim is its own matter: all others need the connection.
            match (given_back.or(renewed), held) {
                (Some(error), _) | (_, Some(error)) if is_unusable(&error) => Err(error),
                against => Ok((connection, against)),
            }
        };
        match tokio::time::timeout(CONNECTED_WITHIN, Box::pin(connecting)).await {
            Ok(Ok((connection, against))) => {
                let number = self.next_connection.get();
                self.next_connection.set(number + 1);
                add(&self.state.connections);
                let connection = Connection {
                    number,
                    since: self.clock.now(),
                    to: connection,
                };
                self.connection.replace(Some(connection));
                add(&self.state.counters.connected);
                if let Some(error) = against.0 {
                    self.slots_failed(number, &error);
                }
                if let Some(error) = against.1 {
                    self.claims_failed(number, &error);
                }
                if self.claims.any() {
                    self.attend();
                }
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it did not answer within a second".to_owned()),
        }
    }

    /// Tells once where the server may forget what must not be forgotten.
    async fn look_at_eviction(&self, connection: &mut MultiplexedConnection) {
        let policy = eviction::policy(connection).await;
        let evicts = &self.state.counters.evicts;
        let before = evicts.swap(u64::from(policy.is_some()), Ordering::Relaxed);
        if let Some(policy) = policy.filter(|_| before == 0) {
            tracing::warn!(
                policy,
                "the server of the shared state forgets what it likes when its memory is full: limits begin anew then, and proofs and idempotency keys pass a second time; set `maxmemory-policy noeviction` there"
            );
        }
    }

    /// Asks, for as long as a call may wait. Where it asks for a slot, those that were released are given back
    /// before it over the same connection: a caller's next call is not refused for the one that has ended.
    pub(super) async fn ask(&self, query: &Query, for_slot: bool) -> Result<Answer, Outage> {
        self.ask_with(async |mut to| {
            if !for_slot || !self.slots.any_released() {
                return query.ask(&mut to).await;
            }
            let mut before = to.clone();
            let giving_back = self
                .slots
                .give_back(&mut before, |number| self.slot_name(number));
            // What fails here is sent again by the task that keeps the connection.
            let (_sent, answer) = tokio::join!(biased; giving_back, query.ask(&mut to));
            answer
        })
        .await
    }

    /// Asks in whatever way, for as long as a call may wait.
    pub(super) async fn ask_with<T>(
        &self,
        asking: impl AsyncFnOnce(MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, Outage> {
        let Some(Connection { number, to, .. }) = self.connection.borrow().clone() else {
            return Err(Outage::NotSent);
        };
        let counters = &self.state.counters;
        let begun = self.clock.moment();
        match tokio::time::timeout(self.state.wait, asking(to)).await {
            Ok(Ok(answer)) => {
                add(&counters.answered);
                let took = self.clock.moment().since(begun).as_micros();
                let took = u64::try_from(took).unwrap_or(u64::MAX);
                counters.micros.fetch_add(took, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(error)) => {
                add(&counters.failed);
                self.failed(number, &error);
                // What the server itself says comes from before the script's first write.
                match error.code() {
                    Some(_) => Err(Outage::NotSent),
                    None => Err(Outage::Unknown),
                }
            }
            Err(_) => {
                add(&counters.late);
                self.lost(number, "an answer did not come in time");
                Err(Outage::Unknown)
            }
        }
    }

    /// When the connection was made that there is.
    pub(super) fn connected_since(&self) -> Option<Timestamp> {
        self.connection.borrow().as_ref().map(|one| one.since)
    }

    /// A key that something else is kept under is that key's matter, told once of each connection; everything
    /// else is an outage.
    fn failed(&self, number: u64, error: &RedisError) {
        if !is_wrong_type(error) {
            self.lost(number, &error.to_string());
        } else if self.told_of_type.replace(Some(number)) != Some(number) {
            tracing::error!(
                worker = self.index,
                "the shared state has something else under a limit's name, which does what its `on_outage` says: {error}"
            );
        }
    }

    /// Tells what waits. What the server says against that alone is no reason to give up the connection: the limits
    /// of other calls need it.
    async fn tell_claims(&self, number: u64, to: &mut MultiplexedConnection) -> RedisResult<()> {
        match self.claims.tell(to).await {
            Err(error) if error.code().is_some() && !is_unusable(&error) => {
                self.claims_failed(number, &error);
                Ok(())
            }
            Ok(()) => {
                if self.claims.any() {
                    self.attend();
                }
                Ok(())
            }
            told @ Err(_) => told,
        }
    }

    fn claims_failed(&self, number: u64, error: &RedisError) {
        if self.told_of_claims.replace(Some(number)) != Some(number) {
            tracing::error!(
                worker = self.index,
                "the shared state does not take what is said of calls with an idempotency key, which waits until it does: {error}"
            );
        }
    }

    /// The server is there, and does not keep or give back a slot: counted each time, told once of each connection.
    fn slots_failed(&self, number: u64, error: &RedisError) {
        add(&self.state.counters.slots_failed);
        if self.told_of_slots.replace(Some(number)) != Some(number) {
            tracing::error!(
                worker = self.index,
                "the shared state does not keep slots of calls under way, which count on this node alone until it does: {error}"
            );
        }
    }

    /// Told and counted once: who comes later finds no connection, or another one.
    pub(super) fn lost(&self, number: u64, why: &str) {
        let current = self.connection.borrow().as_ref().map(|one| one.number);
        if current != Some(number) {
            return;
        }
        self.connection.replace(None);
        let counters = &self.state.counters;
        counters.connected.fetch_sub(1, Ordering::Relaxed);
        add(&counters.outages);
        tracing::warn!(
            worker = self.index,
            "the shared state is lost ({why}): limits do what their `on_outage` says"
        );
        self.attention.notify_one();
    }

    /// A number for a slot, and what it is called. It is held once the call may pass.
    pub(super) fn new_slot(&self) -> (u64, Box<str>) {
        let number = self.next_slot.get();
        self.next_slot.set(number + 1);
        (number, self.slot_name(number))
    }

    /// What names begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.state.prefix
    }

    /// The task that keeps the connection has something to say.
    pub(super) fn attend(&self) {
        self.attention.notify_one();
    }

    pub(super) fn allowed_locally(&self) {
        add(&self.state.counters.allowed_locally);
    }

    pub(super) fn unavailable(&self) {
        add(&self.state.counters.unavailable);
    }

    fn slot_name(&self, number: u64) -> Box<str> {
        format!("{}:{}:{number}", self.state.node, self.index).into()
    }

    pub(super) fn release(&self, number: u64) {
        if self.slots.release(number) {
            self.state.counters.slots.fetch_sub(1, Ordering::Relaxed);
            self.attention.notify_one();
        }
    }

    /// Of a slot that was asked for, with no answer.
    pub(super) fn abandon(&self, number: u64, cell: &Arc<LimitCell>) {
        self.slots.abandon(number, Arc::clone(cell));
        self.attention.notify_one();
    }

    #[cfg(test)]
    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    #[cfg(test)]
    pub(super) fn tells_that_claims_fail(&self) -> bool {
        let current = self.connection.borrow().as_ref().map(|one| one.number);
        current.is_some() && self.told_of_claims.get() == current
    }

    /// How far ahead a subject is for sure by the server's clock, told so that a server that has lost it knows.
    /// Questions take different times, and as much may be wrong: without this allowance each slow one would push
    /// the subject a little further ahead, and less would pass than may.
    pub(super) fn known(&self, ahead: Duration) -> Duration {
        ahead.saturating_sub(self.state.wait)
    }

    pub(super) fn moment(&self) -> Moment {
        self.clock.moment()
    }

    pub(super) fn held(self: &Rc<Self>, number: u64, cell: &Arc<LimitCell>) -> HeldSlot {
        self.slots.hold(number, Arc::clone(cell));
        add(&self.state.counters.slots);
        HeldSlot {
            worker: Rc::clone(self),
            number,
        }
    }
}

/// Whether the server counts nothing for anybody just now.
pub(super) fn is_unusable(error: &RedisError) -> bool {
    error.code().is_some_and(|code| UNUSABLE.contains(&code))
}

/// Up to a quarter more or less, so that workers and nodes don't come back all at once.
fn spread(wait: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 512;
    wait.mul_f64(0.75 + f64::from(u32::try_from(random).unwrap_or_default()) / 1024.0)
}
