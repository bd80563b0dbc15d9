//! The policies that read what calls carry, as one route has them.

use super::cache::CachePlan;
use super::idempotency::IdempotencyPlan;
use super::memory::Memory;
use super::transformation::{Reads, TransformationPlan};
use super::validation::{self, ValidationPlan};
use super::whole;
use crate::body::RequestBody;
use crate::message::RequestHead;
use crate::record::CallRecord;
use crate::request::forward::{self, Call, Finish};
use crate::request::{Answer, Refusal};
use http::StatusCode;
use keyward_model::Code;
use keyward_model::resource::{Api, ContentPolicies};
use std::sync::Arc;

/// The status of an answer that was refused for what it is, where that is what became of the call: the upstream has done
/// by then what it was asked for.
pub(super) fn refused_answer(refusal: &Refusal, record: &CallRecord) -> Option<StatusCode> {
    let of_answer = matches!(
        refusal.fault().code(),
        Code::InvalidAnswer | Code::UntransformableAnswer
    );
    record.upstream_answered.filter(|_| of_answer)
}

/// What a route does with the content of its calls.
#[derive(Debug)]
pub(crate) struct ContentPlan {
    validation: Option<ValidationPlan>,
    idempotency: Option<IdempotencyPlan>,
    cache: Option<CachePlan>,
    transformation: Option<TransformationPlan>,
    /// What bodies of requests that are read whole may take together.
    bodies: Arc<Memory>,
    /// The same of answers.
    answers: Arc<Memory>,
}

impl ContentPlan {
    /// The error says what can't be compiled.
    pub(crate) fn new(api: &Api, declared: &ContentPolicies) -> Result<Self, String> {
        let validation = match &declared.validation {
            Some(declared) => {
                let compiled = validation::compiled(declared)?;
                Some(ValidationPlan::new(api, declared, compiled))
            }
            None => None,
        };
        let transformation = declared.transformation.as_ref();
        let transformation = transformation.map(TransformationPlan::new).transpose()?;
        Ok(Self {
            validation,
            transformation,
            idempotency: declared.idempotency.as_ref().map(IdempotencyPlan::new),
            bodies: Memory::new(whole::BODIES_OF_ROUTE_MAX),
            answers: Memory::new(whole::ANSWERS_OF_ROUTE_MAX),
            cache: declared.cache.as_ref().map(CachePlan::new),
        })
    }

    pub(super) fn bodies(&self) -> &Arc<Memory> {
        &self.bodies
    }

    pub(super) fn answers(&self) -> &Arc<Memory> {
        &self.answers
    }

    pub(super) fn cache(&self) -> Option<&CachePlan> {
        self.cache.as_ref()
    }

    /// What of a call its answer may have been made from.
    pub(super) fn templates_read(&self) -> Reads {
        let transformation = self.transformation.as_ref();
        transformation.map_or_else(Reads::default, TransformationPlan::reads)
    }

    /// Answers a call that has passed every check.
    pub(crate) async fn answer(
        &self,
        call: Call<'_>,
        head: RequestHead,
        mut body: RequestBody,
        record: &mut CallRecord,
    ) -> Result<Answer, Refusal> {
        // Before keys and the cache: what does not fit is refused, whatever is kept, and uses no key.
        if let Some(validation) = &self.validation {
            body = Box::pin(validation.validate(&call, &head, body, record)).await?;
        }
        let finish = Finish::of(&call, &head);
        let mut answer = match &self.idempotency {
            Some(keys) => Box::pin(keys.answer(self, &call, head, body, record)).await?,
            None => self.answered(&call, head, body, record).await?,
        };
        finish.apply(&call, &mut answer);
        Ok(answer)
    }

    /// What the cache has, or the upstream's answer.
    pub(super) async fn answered(
        &self,
        call: &Call<'_>,
        head: RequestHead,
        body: RequestBody,
        record: &mut CallRecord,
    ) -> Result<Answer, Refusal> {
        match &self.cache {
            Some(cache) => Box::pin(cache.answer(self, call, head, body, record)).await,
            None => self.fetch(call, head, body, record).await,
        }
    }

    /// The upstream's answer, as it is given and kept.
    pub(super) async fn fetch(
        &self,
        call: &Call<'_>,
        mut head: RequestHead,
        body: RequestBody,
        record: &mut CallRecord,
    ) -> Result<Answer, Refusal> {
        let validation = self.validation.as_ref();
        let Some(expected) = validation.and_then(|validation| validation.expected(&head, record))
        else {
            return self.made_anew(call, head, body, record).await;
        };
        expected.ask(&mut head);
        let method = head.method.clone();
        let answer = self.made_anew(call, head, body, record).await?;
        Box::pin(expected.checked(call, &method, answer, record)).await
    }

    /// The upstream's answer to a request that was transformed, transformed itself.
    async fn made_anew(
        &self,
        call: &Call<'_>,
        head: RequestHead,
        body: RequestBody,
        record: &mut CallRecord,
    ) -> Result<Answer, Refusal> {
        let Some(transformation) = &self.transformation else {
            let answer = Box::pin(forward::fetch(call, head, body, record)).await?;
            record.upstream_answered = Some(answer.status);
            return Ok(answer);
        };
        let method = head.method.clone();
        let (head, body, facts) = transformation.request(call, head, body, record).await?;
        let answer = Box::pin(forward::fetch(call, head, body, record)).await?;
        record.upstream_answered = Some(answer.status);
        if transformation.changes_answers() {
            Box::pin(transformation.response(call, &method, &facts, answer)).await
        } else {
            Ok(answer)
        }
    }
}
