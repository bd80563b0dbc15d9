//! Idempotency keys (draft-ietf-httpapi-idempotency-key-header): a client that does not know whether its call arrived
//! sends it again with the same key, and it is done once.
//!
//! It has its turn behind every check and behind validation, so that what is refused uses no key, and before the cache
//! and the upstream. What a key is remembered by holds who calls: nobody gets what another one was answered.
//!
//! - `key`: the header, and what a key is remembered by.
//! - `memory`: the keys of the node, shared by all workers. It is not the routes', so that it survives their changes.
//! - `claim`: the same among several nodes, where they share.
//! - `execution`: the first call with a key, in a task of its own: it goes on when its client leaves.

mod claim;
mod execution;
mod key;
mod memory;
#[cfg(feature = "fuzzing")]
mod oracle;

pub use memory::KeyCounts;
pub(crate) use memory::KeyMemory;
#[cfg(feature = "fuzzing")]
pub use oracle::read_idempotency_key;

use super::content::ContentPlan;
use super::whole;
use crate::body::{AnswerBody, RequestBody};
use crate::message::{Fields, Header, RequestHead};
use crate::metrics::PolicyEvent;
use crate::record::CallRecord;
use crate::request::forward::Call;
use crate::request::{Answer, Refusal};
use claim::Known;
use execution::Execution;
use key::{IdempotencyKey, Named};
use keyward_model::resource::content::{AnonymousKeys, Idempotency};
use keyward_model::{Code, Fault};
use memory::{Found, Outcome, Terms};
use std::sync::Arc;

/// What says that an answer is one that was given before. The draft has none; clients of Stripe know this one.
const REPLAYED: &str = "idempotent-replayed";

/// When to ask again for the answer to a call that is under way, in seconds: nobody knows, but not at once.
const UNDER_WAY_RETRY_AFTER: &[u8] = b"1";

/// When to come again where no key can be remembered, in seconds: until then something may have been forgotten.
const FULL_RETRY_AFTER: &[u8] = b"60";

/// The keys of one route.
#[derive(Debug)]
pub(crate) struct IdempotencyPlan {
    declared: Arc<Idempotency>,
}

impl IdempotencyPlan {
    pub(crate) fn new(declared: &Arc<Idempotency>) -> Self {
        Self {
            declared: Arc::clone(declared),
        }
    }

    /// Answers a call: by what its key's first call was answered, or by what comes behind.
    pub(super) async fn answer(
        &self,
        content: &ContentPlan,
        call: &Call<'_>,
        head: RequestHead,
        body: RequestBody,
        record: &mut CallRecord,
    ) -> Result<Answer, Refusal> {
        let event = |event| call.worker.metrics.policy(event);
        let Some((caller, key)) = self
            .counting(call, &head, record)
            .inspect_err(|_| event(PolicyEvent::KeyRefused))?
        else {
            return content.answered(call, head, body, record).await;
        };
        let most = self.declared.max_body_bytes;
        // Before the key is looked up: nobody holds a key by a body that does not come.
        let whole = whole::read(call, body, most);
        let body = match Box::pin(whole).await {
            Ok(body) => body,
            Err(unread) => return Err(unread.refusal(most, record)),
        };
        record.bytes_in = body.len() as u64;
        let named = Named::of(call, caller, &key, &head, &body);
        let keys = &call.worker.shared.keys;
        let found = keys.begin(&named, self.terms(), call.worker.moment());
        let known = match found {
            Found::First(under_way) => {
                let execution = Execution::new(self, call, (head, body), named, under_way, record);
                return execution.answer(call, record).await;
            }
            Found::Outcome(outcome) => Known::Outcome(outcome),
            Found::UnderWay => Known::UnderWay,
            Found::OtherRequest => Known::OtherRequest,
            Found::TooMany => {
                event(PolicyEvent::KeyMemoryFull);
                return Err(too_many());
            }
            Found::Full => {
                event(PolicyEvent::KeyMemoryFull);
                return Err(full());
            }
        };
        event(known.event());
        told(&known, record)
    }

    /// The call's key, and whose it is; `None` where none counts.
    fn counting(
        &self,
        call: &Call<'_>,
        head: &RequestHead,
        record: &CallRecord,
    ) -> Result<Option<(key::Digest, IdempotencyKey)>, Refusal> {
        let declared = &self.declared;
        let method = head.method.as_str();
        // A call of gRPC is a stream of messages, of which none is the body.
        if record.is_grpc || !declared.methods.iter().any(|known| **known == *method) {
            return Ok(None);
        }
        let caller = key::caller(call, &head.fields, declared.anonymous);
        if caller.is_none() && declared.anonymous == AnonymousKeys::Ignore {
            return Ok(None);
        }
        let key = IdempotencyKey::of(&head.fields).map_err(invalid)?;
        match (caller, key) {
            (Some(caller), Some(key)) => Ok(Some((caller, key))),
            (_, None) if declared.required => Err(missing(method)),
            (_, None) => Ok(None),
            (None, Some(_)) => Err(of_nobody()),
        }
    }

    fn terms(&self) -> Terms {
        Terms {
            keep: self.declared.keep,
            answer: self.declared.max_answer_bytes,
            release_unknown: self.declared.release_unknown,
        }
    }
}

/// What a call is told whose key was used before.
fn told(known: &Known, record: &mut CallRecord) -> Result<Answer, Refusal> {
    match known {
        Known::Outcome(outcome) => replayed(outcome, record),
        Known::UnderWay => Err(under_way()),
        Known::OtherRequest => Err(reused()),
        Known::Unavailable => Err(unavailable()),
    }
}

/// What the first call with the key was answered.
fn replayed(outcome: &Outcome, record: &mut CallRecord) -> Result<Answer, Refusal> {
    match outcome {
        Outcome::Answer {
            status,
            fields,
            body,
        } => {
            let mut fields = fields.clone();
            fields.set_named(REPLAYED, b"true");
            record.answered(status.as_u16());
            Ok(Answer::own(*status, fields, AnswerBody::full(body.clone())))
        }
        Outcome::Failed(fault) => {
            let mut fields = Fields::new();
            fields.append_named(REPLAYED, b"true");
            Err(Refusal::with(fault.clone(), fields))
        }
        Outcome::Lost(status) => Err(lost(status.map(|status| status.as_u16()))),
    }
}

fn missing(method: &str) -> Refusal {
    let detail = format!(
        "A {method} has to carry an `Idempotency-Key` here: make a new one for each thing to be done, such as a UUID, and send it again with each retry"
    );
    Fault::new(Code::IdempotencyKeyMissing, detail).into()
}

fn invalid(why: key::NoKey) -> Refusal {
    let detail = format!(
        "The `Idempotency-Key` can't be used: {why}. Send one string of 1 to {} printable ASCII characters in quotes, such as a UUID",
        key::KEY_MAX
    );
    Fault::new(Code::IdempotencyKeyInvalid, detail).into()
}

fn of_nobody() -> Refusal {
    Fault::new(
        Code::IdempotencyKeyInvalid,
        "An `Idempotency-Key` is remembered for its caller, and it is not known who calls: send a credential, or leave the key out",
    )
    .into()
}

fn under_way() -> Refusal {
    later(
        Fault::new(
            Code::IdempotentCallUnderWay,
            "A call with this `Idempotency-Key` is being done: send it again later for its answer",
        ),
        UNDER_WAY_RETRY_AFTER,
    )
}

fn reused() -> Refusal {
    Fault::new(
        Code::IdempotencyKeyReused,
        "This `Idempotency-Key` was sent with another method, address, content type or body: take a new one for a new request",
    )
    .into()
}

fn lost(status: Option<u16>) -> Refusal {
    let detail = match status {
        Some(status) => format!(
            "The call with this `Idempotency-Key` was answered with {status}, but the answer is not kept: look at what it has done before you take a new key"
        ),
        None => "The call with this `Idempotency-Key` may have been done, and there is no answer: look at what it has done before you take a new key".to_owned(),
    };
    Fault::new(Code::IdempotentAnswerLost, detail).into()
}

fn too_many() -> Refusal {
    later(
        Fault::new(
            Code::TooManyIdempotencyKeys,
            "As many idempotency keys are remembered for this caller as may be: send this again later, or without a key",
        ),
        FULL_RETRY_AFTER,
    )
}

fn full() -> Refusal {
    later(
        Fault::new(
            Code::IdempotencyMemoryFull,
            "No more idempotency keys can be remembered just now: send this again later, or without a key",
        ),
        FULL_RETRY_AFTER,
    )
}

fn unavailable() -> Refusal {
    later(
        Fault::new(
            Code::IdempotencyUnavailable,
            "Whether a call with this `Idempotency-Key` was done can't be told just now: send this again later",
        ),
        UNDER_WAY_RETRY_AFTER,
    )
}

fn later(fault: Fault, seconds: &[u8]) -> Refusal {
    let mut fields = Fields::new();
    fields.append(Header::RetryAfter, seconds);
    Refusal::with(fault, fields)
}
