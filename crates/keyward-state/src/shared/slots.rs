//! Slots of calls under way, which a node keeps as long as the calls last.

use super::worker::SharedWorker;
use crate::limit::Cell;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult, Script};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// How long a slot is kept that nobody renews: when its node was killed, it is free again after this time.
pub const SLOT_LASTS: Duration = Duration::from_secs(30);

/// How often slots are renewed: two renewals may fail before one is lost.
pub(super) const RENEWED_EVERY: Duration = Duration::from_secs(10);

/// How many slots one script renews: a millisecond's work for the server.
const RENEWED_AT_ONCE: usize = 500;

/// The most slots that wait to be given back during an outage; the rest lapse by themselves.
const RELEASED_MAX: usize = 1 << 16;

/// What the server calls it that something else is kept under a name.
const WRONG_TYPE: &str = "WRONGTYPE";

/// Whether something else is kept under a name. Redis before 7 may say so of a script with another word first.
pub(super) fn is_wrong_type(error: &RedisError) -> bool {
    match error.code() {
        Some(WRONG_TYPE) => true,
        Some("ERR") => error.detail().is_some_and(|text| text.contains(WRONG_TYPE)),
        Some(_) | None => false,
    }
}

static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("renew.lua")));

/// A slot in the shared state, given back when this is dropped.
pub struct HeldSlot {
    pub(super) worker: Rc<SharedWorker>,
    pub(super) number: u64,
}

impl fmt::Debug for HeldSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeldSlot({})", self.number)
    }
}

impl Drop for HeldSlot {
    fn drop(&mut self) {
        self.worker.release(self.number);
    }
}

/// A worker's slots.
#[derive(Debug, Default)]
pub(super) struct Slots {
    held: RefCell<HashMap<u64, Arc<Cell>>>,
    released: RefCell<Vec<(u64, Arc<Cell>)>>,
}

impl Slots {
    pub(super) fn hold(&self, number: u64, cell: Arc<Cell>) {
        self.held.borrow_mut().insert(number, cell);
    }

    /// Whether it was held.
    pub(super) fn release(&self, number: u64) -> bool {
        let Some(cell) = self.held.borrow_mut().remove(&number) else {
            return false;
        };
        let mut released = self.released.borrow_mut();
        if released.len() < RELEASED_MAX {
            released.push((number, cell));
        }
        true
    }

    /// Of a slot that was asked for: whether the server gave it, nobody knows.
    pub(super) fn abandon(&self, number: u64, cell: Arc<Cell>) {
        let mut released = self.released.borrow_mut();
        if released.len() < RELEASED_MAX {
            released.push((number, cell));
        }
    }

    /// Whether some wait to be given back.
    pub(super) fn any_released(&self) -> bool {
        !self.released.borrow().is_empty()
    }

    /// Gives back those that were released; what was not answered for is sent again the next time, also where
    /// this is dropped in the middle. What the server says against it is no reason to give up the connection here:
    /// it is handed back, the first of it.
    pub(super) async fn give_back(
        &self,
        connection: &mut MultiplexedConnection,
        called: impl Fn(u64) -> Box<str>,
    ) -> RedisResult<Option<RedisError>> {
        let mut sent = Vec::new();
        let mut done = HashSet::new();
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        for (number, cell) in &*self.released.borrow() {
            match &cell.shared {
                Some(shared) => {
                    pipeline.zrem(&*shared.name, &*called(*number));
                    sent.push(*number);
                }
                None => {
                    done.insert(*number);
                }
            }
        }
        let mut against = None;
        if !sent.is_empty() {
            let answers: Vec<RedisResult<u64>> = pipeline.query_async(connection).await?;
            for (number, answer) in sent.into_iter().zip(answers) {
                match answer {
                    Ok(_) => {
                        done.insert(number);
                    }
                    Err(error) => {
                        // Where something else stands now, there is no slot any more.
                        if is_wrong_type(&error) {
                            done.insert(number);
                        }
                        against.get_or_insert(error);
                    }
                }
            }
        }
        let mut released = self.released.borrow_mut();
        released.retain(|(number, _)| !done.contains(number));
        Ok(against)
    }

    /// Renews those that are held. After the server has lost them, they are there again. What the server says
    /// against one keeps no other from being renewed; it is handed back, the first of it.
    pub(super) async fn renew(
        &self,
        connection: &mut MultiplexedConnection,
        called: impl Fn(u64) -> Box<str>,
    ) -> RedisResult<Option<RedisError>> {
        let numbers: Vec<u64> = self.held.borrow().keys().copied().collect();
        let mut against = None;
        for some in numbers.chunks(RENEWED_AT_ONCE) {
            let mut invocation = RENEW.prepare_invoke();
            invocation.arg(u64::try_from(SLOT_LASTS.as_micros()).unwrap_or(u64::MAX));
            let mut any = false;
            // Those that are still held: a call may have ended since.
            for number in some {
                let held = self.held.borrow();
                if let Some(shared) = held.get(number).and_then(|cell| cell.shared.as_ref()) {
                    invocation.key(&*shared.name).arg(&*called(*number));
                    any = true;
                }
            }
            if !any {
                continue;
            }
            match invocation.invoke_async::<()>(connection).await {
                Ok(()) => {}
                Err(error) if error.code().is_some() => {
                    against.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(against)
    }
}
