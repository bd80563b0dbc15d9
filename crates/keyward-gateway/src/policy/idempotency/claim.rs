//! A key among several nodes: who does its call, and what the others are told of it.
//!
//! The node's own memory is asked first, and has the bounds: what a key takes there, it takes in what nodes share as well.
//! Then the key is claimed there, in the task that does the call, so that no client that leaves in the middle leaves a
//! claim behind that nobody answers for. What became of the call is told there as it is kept here.

mod kept;

use super::key::Named;
use super::memory::{Outcome, UnderWay};
use crate::metrics::PolicyEvent;
use crate::policy::memory::Reservation;
use crate::worker::Worker;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_model::Moment;
use keyward_model::resource::content::Idempotency;
use keyward_state::shared::{CLAIM_RENEWED, Claim, ClaimState, Claimed, Claiming};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// What is known of a key that is not its caller's first use of it.
#[derive(Debug)]
pub(super) enum Known {
    Outcome(Arc<Outcome>),
    /// The first call is not answered yet.
    UnderWay,
    /// The key was used for another request.
    OtherRequest,
    /// What nodes share can't be asked, and nothing is done then.
    Unavailable,
}

impl Known {
    /// What is counted.
    pub(super) fn event(&self) -> PolicyEvent {
        match self {
            Self::Outcome(outcome) => match &**outcome {
                Outcome::Answer { .. } | Outcome::Failed(_) => PolicyEvent::KeyReplayed,
                Outcome::Lost(_) => PolicyEvent::KeyAnswerLost,
            },
            Self::UnderWay => PolicyEvent::KeyUnderWay,
            Self::OtherRequest => PolicyEvent::KeyReused,
            Self::Unavailable => PolicyEvent::KeyUnavailable,
        }
    }
}

/// The duty to say what became of the first call with a key: here, and to the other nodes.
pub(super) struct Duty {
    here: UnderWay,
    common: Option<Common>,
}

/// What is owed to the other nodes.
struct Common {
    claim: Rc<Claim>,
    worker: Rc<Worker>,
    keep: Duration,
    _renewing: Renewing,
}

/// The task that holds a claim; it ends with this.
struct Renewing(JoinHandle<()>);

impl Drop for Renewing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Duty {
    /// Claims the key, where nodes share. Where another node has it, it is free here again, and the call is not done.
    pub(super) async fn of(
        worker: &Rc<Worker>,
        declared: &Idempotency,
        named: &Named,
        here: UnderWay,
    ) -> Result<Self, Known> {
        let Some(shared) = &worker.shared_limits else {
            return Ok(Self { here, common: None });
        };
        // The client may leave meanwhile, and the worker is not to end before the claim has its owner.
        let _open = worker.drain.connection();
        let claiming = Claiming {
            name: &name(named),
            request: &named.request,
            keep: declared.keep,
            take_over: declared.release_unknown,
            on_outage: declared.on_outage,
        };
        let (request, state) = match shared.claim(claiming).await {
            Claimed::Now(claim) => {
                let common = Common::new(claim, worker, declared.keep);
                return Ok(Self {
                    here,
                    common: Some(common),
                });
            }
            Claimed::Locally => return Ok(Self { here, common: None }),
            Claimed::Unavailable => {
                here.release();
                return Err(Known::Unavailable);
            }
            Claimed::Before { request, state } => (request, state),
        };
        here.release();
        Err(match state {
            _ if request != named.request => Known::OtherRequest,
            ClaimState::UnderWay => Known::UnderWay,
            ClaimState::Abandoned => Known::Outcome(Arc::new(Outcome::Lost(None))),
            // What can't be read was written by another version: it was done, and there is no answer.
            ClaimState::Settled(kept) => {
                Known::Outcome(Arc::new(kept::read(&kept).unwrap_or(Outcome::Lost(None))))
            }
        })
    }

    /// As [`UnderWay::room_for_body`].
    pub(super) fn room_for_body(&mut self, head: usize) -> Option<Reservation> {
        self.here.room_for_body(head)
    }

    /// The call was not done: who comes next is the first.
    pub(super) fn release(self) {
        self.here.release();
        if let Some(common) = self.common {
            common.release();
        }
    }

    /// Whether the call was done is not known. Whether the key is free again now.
    pub(super) fn unknown(self, outcome: Outcome, now: Moment) -> bool {
        let written = self.common.as_ref().map(|_| kept::write(&outcome));
        let released = self.here.unknown(outcome, now);
        match (self.common, written) {
            (Some(common), Some(_)) if released => common.release(),
            (Some(common), Some(written)) => common.settle(written),
            (Some(_), None) | (None, _) => {}
        }
        released
    }

    /// What became of the call.
    pub(super) fn settle(self, outcome: Outcome, now: Moment) {
        let written = self.common.as_ref().map(|_| kept::write(&outcome));
        self.here.settle(outcome, now);
        if let (Some(common), Some(written)) = (self.common, written) {
            common.settle(written);
        }
    }
}

impl Common {
    fn new(claim: Claim, worker: &Rc<Worker>, keep: Duration) -> Self {
        let claim = Rc::new(claim);
        let held = Rc::clone(&claim);
        let renewing = tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(CLAIM_RENEWED).await;
                if !held.renew().await {
                    return;
                }
            }
        });
        Self {
            claim,
            worker: Rc::clone(worker),
            keep,
            _renewing: Renewing(renewing),
        }
    }

    fn release(self) {
        let claim = Rc::clone(&self.claim);
        self.tell(async move { claim.release().await });
    }

    fn settle(self, written: Vec<u8>) {
        let (claim, keep) = (Rc::clone(&self.claim), self.keep);
        self.tell(async move { claim.settle(&written, keep).await });
    }

    /// Nobody waits for it but the worker, when it ends.
    fn tell(self, telling: impl Future<Output = ()> + 'static) {
        let open = self.worker.drain.connection();
        tokio::task::spawn_local(async move {
            telling.await;
            drop(open);
        });
    }
}

/// What nodes call the key: a hash of the caller's and the key's own.
fn name(named: &Named) -> String {
    let mut both = named.caller.to_vec();
    both.extend_from_slice(&named.key);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &both);
    URL_SAFE_NO_PAD.encode(hash)
}
