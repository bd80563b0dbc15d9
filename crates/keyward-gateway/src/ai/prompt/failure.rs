//! Why there is no answer of a prompt: told in words of our own, since a provider's may repeat what it was asked.

use super::asked::{DIALECT, prompt_failed};
use super::withheld::Withheld;
use crate::message::{Fields, Header};
use crate::record::CallRecord;
use crate::request::{Answer, Refusal};
use keyward_llm::form::{Failure, FailureKind};
use keyward_model::{Code, Fault};

/// What a call of a model was told instead of an answer, as the caller of a prompt reads it.
pub(super) fn refusal(answer: Answer, withheld: &Withheld, record: &mut CallRecord) -> Refusal {
    let body = answer.body.whole().map(|body| &**body).unwrap_or_default();
    let failure = DIALECT.read_failure(answer.status.as_u16(), None, body);
    let known = record.take_failure();
    let (code, because) = known.unwrap_or((Code::ProviderFailed, None));
    let mut fault = fault(code, &failure);
    if let Some(because) = because {
        fault = fault.because(withheld.veil(because));
    }
    let mut fields = Fields::new();
    if let Some(after) = answer.fields.get(Header::RetryAfter) {
        fields.append(Header::RetryAfter, after);
    }
    for attempts in answer.fields.all_named("keyward-attempts") {
        fields.append_named("keyward-attempts", attempts);
    }
    Refusal::with(fault, fields)
}

/// The same of a failure in a stream.
pub(super) fn fault(code: Code, failure: &Failure) -> Fault {
    if [Code::ProviderRefused, Code::ModelCannot].contains(&code) {
        return refused(failure.kind);
    }
    let detail = if code == Code::ProviderBusy {
        "The model's providers take no more calls just now; try again later"
    } else if code == Code::ProviderTimeout {
        "The model's providers did not answer in time; try again"
    } else if code == Code::ProviderFailed {
        "The model's providers failed; try again"
    } else {
        // What this gateway itself refuses is told as it tells it: nothing of the prompt is in it.
        &failure.message
    };
    Fault::new(code, detail)
}

/// What a provider does not take: what was sent is too long or not wanted, or else the prompt is wrong.
fn refused(kind: FailureKind) -> Fault {
    match kind {
        FailureKind::ContextLength | FailureKind::TooLarge | FailureKind::OverLimit => Fault::new(
            Code::ProviderRefused,
            "What was sent is longer than the prompt's model can read; send less",
        ),
        FailureKind::Filtered => Fault::new(
            Code::ProviderRefused,
            "A filter of the model's provider does not let this be answered",
        ),
        FailureKind::InvalidRequest
        | FailureKind::Authentication
        | FailureKind::Permission
        | FailureKind::NotFound
        | FailureKind::RateLimited
        | FailureKind::QuotaExhausted
        | FailureKind::Unpaid
        | FailureKind::Overloaded
        | FailureKind::Timeout
        | FailureKind::Server
        | FailureKind::Cut => prompt_failed(),
    }
}
