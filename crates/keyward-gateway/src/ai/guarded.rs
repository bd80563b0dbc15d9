//! One call of a model with what stands around it: guardrails, which see what the caller wrote before anybody else does
//! and what is answered after everybody else, and within them the answers that are kept.

use super::beside::Beside;
use super::cache::{self, CachePlan, Cached};
use super::chain::Chain;
use super::guardrail::Passing;
use super::intent::ModelCall;
use super::plan::AiPlan;
use crate::record::CallRecord;
use crate::request::Answer;
use crate::request::forward::Call;
use keyward_llm::Context;
use std::sync::Arc;

/// Answers a call.
pub(super) async fn answer(
    (call, plan): (&Call<'_>, &AiPlan),
    mut asked: ModelCall,
    context: Context,
    record: &mut CallRecord,
) -> Answer {
    let model = Arc::clone(&asked.model);
    if model.guard.is_none() && model.cache.is_none() {
        let chain = Chain::new(call, plan, &asked, context);
        return Box::pin(chain.run(record)).await;
    }
    let beside = Beside {
        call,
        plan,
        context: &context,
        request_id: record.request_id,
        model: &model.name,
    };
    let mut passing = model.guard.clone().map(Passing::new);
    if let Some(passing) = &mut passing
        && let Err(refused) = Box::pin(passing.request(&beside, &mut asked)).await
    {
        return passing.refuse(refused, false, (&beside, &asked), record);
    }
    let answer = unguarded(&beside, &asked, model.cache.as_ref(), record).await;
    match passing {
        Some(passing) => Box::pin(passing.answer(answer, (&beside, &asked), record)).await,
        None => answer,
    }
}

async fn unguarded(
    beside: &Beside<'_>,
    asked: &ModelCall,
    plan: Option<&Arc<CachePlan>>,
    record: &mut CallRecord,
) -> Answer {
    let chain = Chain::new(beside.call, beside.plan, asked, beside.context.clone());
    let Some(plan) = plan else {
        return Box::pin(chain.run(record)).await;
    };
    let cached = Cached {
        plan,
        beside,
        chain: &chain,
    };
    Box::pin(cache::ask(&cached, record)).await
}
