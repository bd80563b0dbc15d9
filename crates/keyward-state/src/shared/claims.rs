//! What one node does and no other is to do as well: calls with an idempotency key.
//!
//! A claim is a name that the first who asks has: one script, one round trip. It says which request it is for, and is
//! remembered for as long as its holder wants; a second name beside it says that the holder is alive, and lapses after
//! [`CLAIM_HELD`] unless it is renewed. So a claim of a node that was killed is known for what it is: nobody can tell
//! what became of it. What it was settled as is kept in its place, and told to whoever asks.
//!
//! What can't be told to the server at once (it is away, or does not answer in time) is told when it is back, as long as
//! there is room for it.

use super::SharedWorker;
use super::slots::is_wrong_type;
use super::worker::Outage;
use keyward_model::limit::OnOutage;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult, Script, ScriptInvocation};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

/// How long a claim is held that nobody renews.
const CLAIM_HELD: Duration = Duration::from_secs(30);

/// How often a claim is to be renewed: two renewals may fail before it counts as given up.
pub const CLAIM_RENEWED: Duration = Duration::from_secs(10);

/// The most bytes that wait for a server to be back. What has no room is not told: the claim lapses, and nobody can
/// tell what became of it.
const WAITING_MAX: usize = 8 << 20;

/// What is told in one turn at most: a server that is back has the limits of calls to count beside it.
const TOLD_AT_ONCE: (usize, usize) = (100, 256 << 10);

/// How many claims are renewed as soon as there is a connection again: a millisecond's work for the server. The others
/// are within [`CLAIM_RENEWED`].
const HELD_AT_ONCE: usize = 500;

/// What one that waits takes beside what it says.
const WAITING_OVERHEAD: usize = 256;

const UNDER_WAY: u8 = b'u';
const ABANDONED: u8 = b'o';
const SETTLED: u8 = b's';

static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("claim.lua")));
static HOLD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("hold.lua")));
static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("settle.lua")));

/// What is claimed.
#[derive(Clone, Copy, Debug)]
pub struct Claiming<'a> {
    /// The name, as a hash: the server is not told whose it is.
    pub name: &'a str,
    /// Which request it is for: a hash.
    pub request: &'a [u8; 32],
    /// How long it is remembered.
    pub keep: Duration,
    /// Whether one of the same request that nobody holds any more may be taken over.
    pub take_over: bool,
    /// What is done when nobody can be asked.
    pub on_outage: OnOutage,
}

/// Who has it.
#[derive(Debug)]
pub enum Claimed {
    /// Whoever asked.
    Now(Claim),
    /// Another.
    Before {
        /// Which request it is for.
        request: [u8; 32],
        /// What became of it.
        state: ClaimState,
    },
    /// Nobody can be asked, and that is allowed: this node goes by what it knows itself.
    Locally,
    /// Nobody can be asked, and nothing is done then.
    Unavailable,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimState {
    /// Its holder has not said yet.
    UnderWay,
    /// Its holder is gone: nobody can tell.
    Abandoned,
    /// What its holder has said.
    Settled(Vec<u8>),
}

/// A claim that this node has. Dropped without a word it is not renewed any more, and lapses.
pub struct Claim {
    worker: Rc<SharedWorker>,
    number: u64,
    held: Rc<Held>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.worker.held_claims.end(self.number);
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claim({})", self.held.named.name)
    }
}

/// A claim's names, and the claim itself.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    held: String,
    claim: Vec<u8>,
}

/// What is renewed of a claim.
#[derive(Debug)]
struct Held {
    named: Named,
    keep: Duration,
    /// Somebody else has the name: there is nothing to renew any more.
    lost: Cell<bool>,
}

impl Held {
    fn renewed(&self, script: &mut ScriptInvocation<'_>) {
        script
            .key(&*self.named.name)
            .key(&*self.named.held)
            .arg(&*self.named.claim)
            .arg(millis(self.keep));
    }
}

/// A worker's claims.
#[derive(Debug, Default)]
pub(super) struct HeldClaims(RefCell<HashMap<u64, Rc<Held>>>);

impl HeldClaims {
    fn end(&self, number: u64) {
        self.0.borrow_mut().remove(&number);
    }

    /// Renews some of them, over a connection that is new: a server that has lost them has them again. What it says
    /// against it is handed back.
    pub(super) async fn renew(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<Option<RedisError>> {
        let some: Vec<_> = self
            .0
            .borrow()
            .values()
            .take(HELD_AT_ONCE)
            .cloned()
            .collect();
        if some.is_empty() {
            return Ok(None);
        }
        let mut script = HOLD.prepare_invoke();
        script.arg(millis(CLAIM_HELD));
        for held in &some {
            held.renewed(&mut script);
        }
        match script.invoke_async::<Vec<u64>>(connection).await {
            Ok(answers) => {
                for (held, answer) in some.iter().zip(answers) {
                    held.lost.set(answer == 0);
                }
                Ok(None)
            }
            Err(error) if error.code().is_some() => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }
}

/// What the server is to be told.
#[derive(Clone, Debug)]
struct Told {
    named: Named,
    /// Empty: it is free again.
    outcome: Vec<u8>,
    keep: Duration,
}

impl Told {
    fn size(&self) -> usize {
        WAITING_OVERHEAD + self.outcome.len()
    }

    fn script(&self) -> ScriptInvocation<'static> {
        let mut script = SETTLE.prepare_invoke();
        script
            .key(&*self.named.name)
            .key(&*self.named.held)
            .arg(&*self.named.claim)
            .arg(&*self.outcome)
            .arg(millis(self.keep));
        script
    }
}

/// What waits for the server to be back.
#[derive(Debug, Default)]
pub(super) struct WaitingClaims {
    told: RefCell<VecDeque<Told>>,
    bytes: Cell<usize>,
}

impl WaitingClaims {
    pub(super) fn any(&self) -> bool {
        !self.told.borrow().is_empty()
    }

    fn push(&self, told: Told) {
        let bytes = self.bytes.get() + told.size();
        if bytes <= WAITING_MAX {
            self.bytes.set(bytes);
            self.told.borrow_mut().push_back(told);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.told.borrow().len()
    }

    /// Tells one after the other, no more than [`TOLD_AT_ONCE`]; what was not answered for stays.
    pub(super) async fn tell(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let (mut count, mut bytes) = (0, 0);
        while count < TOLD_AT_ONCE.0 && bytes < TOLD_AT_ONCE.1 {
            let Some(told) = self.told.borrow().front().cloned() else {
                return Ok(());
            };
            count += 1;
            bytes += told.size();
            match told.script().invoke_async::<u64>(connection).await {
                Ok(_) => {}
                // Something else stands under the name: there is nothing to be said of the claim.
                Err(error) if is_wrong_type(&error) => {}
                Err(error) => return Err(error),
            }
            if self.told.borrow_mut().pop_front().is_some() {
                self.bytes.set(self.bytes.get().saturating_sub(told.size()));
            }
        }
        Ok(())
    }
}

impl SharedWorker {
    /// Asks for a name. Not to be dropped in the middle: nobody would settle what it has claimed.
    pub async fn claim(self: &Rc<Self>, claiming: Claiming<'_>) -> Claimed {
        let mut claim = vec![UNDER_WAY];
        claim.extend_from_slice(claiming.request);
        // As a slot is: another number each time.
        let (number, own) = self.new_slot();
        claim.extend_from_slice(own.as_bytes());
        let name = format!("{}:idempotency:{{{}}}", self.prefix(), claiming.name);
        let named = Named {
            held: format!("{name}:held"),
            name,
            claim,
        };
        let mut script = CLAIM.prepare_invoke();
        script
            .key(&*named.name)
            .key(&*named.held)
            .arg(&*named.claim)
            .arg(millis(claiming.keep))
            .arg(millis(CLAIM_HELD))
            .arg(u8::from(claiming.take_over));
        let asked: Result<Option<Vec<u8>>, Outage> = self
            .ask_with(async |mut to| script.invoke_async(&mut to).await)
            .await;
        match asked {
            Ok(None) => {
                let held = Rc::new(Held {
                    named,
                    keep: claiming.keep,
                    lost: Cell::new(false),
                });
                let mut all = self.held_claims.0.borrow_mut();
                all.insert(number, Rc::clone(&held));
                Claimed::Now(Claim {
                    worker: Rc::clone(self),
                    number,
                    held,
                })
            }
            // Whatever else stands there was not written by one of us: it is nobody's.
            Ok(Some(kept)) => read(&kept).unwrap_or(Claimed::Unavailable),
            Err(outage) => {
                if outage == Outage::Unknown {
                    // It may have been claimed: as soon as that can be said, it is given back.
                    self.tell_later(named, Vec::new(), Duration::ZERO);
                }
                self.without_answer(claiming.on_outage)
            }
        }
    }

    fn without_answer(&self, on_outage: OnOutage) -> Claimed {
        match on_outage {
            OnOutage::AllowLocally => {
                self.allowed_locally();
                Claimed::Locally
            }
            OnOutage::Refuse => {
                self.unavailable();
                Claimed::Unavailable
            }
        }
    }

    fn tell_later(&self, named: Named, outcome: Vec<u8>, keep: Duration) {
        self.claims.push(Told {
            named,
            outcome,
            keep,
        });
        self.attend();
    }
}

impl Claim {
    /// Holds it for its half minute again, and claims it again where the server has lost it. What can't be told is not:
    /// the next renewal may. Whether there is anything to renew: not where somebody else has the name by now.
    pub async fn renew(&self) -> bool {
        if self.held.lost.get() {
            return false;
        }
        let mut script = HOLD.prepare_invoke();
        script.arg(millis(CLAIM_HELD));
        self.held.renewed(&mut script);
        let renewed: Result<Vec<u64>, Outage> = self
            .worker
            .ask_with(async move |mut to| script.invoke_async(&mut to).await)
            .await;
        if renewed.is_ok_and(|answers| answers.contains(&0)) {
            self.held.lost.set(true);
        }
        !self.held.lost.get()
    }

    /// Says what became of it, which is kept for so long.
    pub async fn settle(&self, outcome: &[u8], keep: Duration) {
        let mut settled = vec![SETTLED];
        settled.extend_from_slice(self.held.named.claim.get(1..33).unwrap_or_default());
        settled.extend_from_slice(outcome);
        self.tell(settled, keep).await;
    }

    /// Gives it back: nothing was done.
    pub async fn release(&self) {
        self.tell(Vec::new(), Duration::ZERO).await;
    }

    async fn tell(&self, outcome: Vec<u8>, keep: Duration) {
        // It is not to be renewed once that is said.
        self.worker.held_claims.end(self.number);
        let told = Told {
            named: self.held.named.clone(),
            outcome,
            keep,
        };
        let script = told.script();
        let answer: Result<u64, Outage> = self
            .worker
            .ask_with(async move |mut to| script.invoke_async(&mut to).await)
            .await;
        if answer.is_err() {
            self.worker.tell_later(told.named, told.outcome, told.keep);
        }
    }
}

/// What stands under a name.
fn read(kept: &[u8]) -> Option<Claimed> {
    let (kind, rest) = kept.split_first()?;
    let (request, rest) = rest.split_first_chunk::<32>()?;
    let state = match *kind {
        UNDER_WAY => ClaimState::UnderWay,
        ABANDONED => ClaimState::Abandoned,
        SETTLED => ClaimState::Settled(rest.to_vec()),
        _ => return None,
    };
    Some(Claimed::Before {
        request: *request,
        state,
    })
}

/// At least one: the server takes no name that lasts for nothing.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}
