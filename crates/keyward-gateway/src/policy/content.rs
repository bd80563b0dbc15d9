//! The policies that read what calls carry, as one route has them.

use super::cache::CachePlan;
use super::transformation::{Reads, TransformationPlan};
use super::validation::{Compiled, ValidationPlan};
use crate::body::RequestBody;
use crate::message::RequestHead;
use crate::record::CallRecord;
use crate::request::forward::{self, Call, Finish};
use crate::request::{Answer, Refusal};
use keyward_model::resource::content::Validation;
use keyward_model::resource::{Api, ContentPolicies};
use std::cell::RefCell;
use std::sync::Arc;

/// What a route does with the content of its calls.
#[derive(Debug)]
pub(crate) struct ContentPlan {
    validation: Option<ValidationPlan>,
    cache: Option<CachePlan>,
    transformation: Option<TransformationPlan>,
}

/// The descriptions of one API that were compiled: its routes share them.
#[derive(Debug, Default)]
pub(crate) struct Descriptions(RefCell<Vec<(Arc<Validation>, Arc<Compiled>)>>);

impl Descriptions {
    fn compiled(&self, declared: &Arc<Validation>) -> Result<Arc<Compiled>, String> {
        let mut known = self.0.borrow_mut();
        if let Some((_, compiled)) = known.iter().find(|(of, _)| Arc::ptr_eq(of, declared)) {
            return Ok(Arc::clone(compiled));
        }
        let compiled = Arc::new(Compiled::new(&declared.description)?);
        known.push((Arc::clone(declared), Arc::clone(&compiled)));
        Ok(compiled)
    }
}

impl ContentPlan {
    /// The error says what can't be compiled.
    pub(crate) fn new(
        api: &Api,
        declared: &ContentPolicies,
        descriptions: &Descriptions,
    ) -> Result<Self, String> {
        let validation = match &declared.validation {
            Some(declared) => {
                let compiled = descriptions.compiled(declared)?;
                Some(ValidationPlan::new(api, declared, compiled))
            }
            None => None,
        };
        let transformation = declared.transformation.as_ref();
        let transformation = transformation.map(TransformationPlan::new).transpose()?;
        Ok(Self {
            validation,
            transformation,
            cache: declared.cache.as_ref().map(CachePlan::new),
        })
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
        // Before the cache: what does not fit is refused, whatever is kept.
        if let Some(validation) = &self.validation {
            body = Box::pin(validation.validate(&call, &head, body, record)).await?;
        }
        let finish = Finish::of(&call, &head);
        let mut answer = match &self.cache {
            Some(cache) => Box::pin(cache.answer(self, &call, head, body, record)).await?,
            None => self.fetch(&call, head, body, record).await?,
        };
        finish.apply(&call, &mut answer);
        Ok(answer)
    }

    /// The upstream's answer.
    pub(super) async fn fetch(
        &self,
        call: &Call<'_>,
        head: RequestHead,
        body: RequestBody,
        record: &mut CallRecord,
    ) -> Result<Answer, Refusal> {
        let Some(transformation) = &self.transformation else {
            return Box::pin(forward::fetch(call, head, body, record)).await;
        };
        let method = head.method.clone();
        let changed = transformation.request(call, head, body, record);
        let (head, body, facts) = Box::pin(changed).await?;
        let answer = Box::pin(forward::fetch(call, head, body, record)).await?;
        Box::pin(transformation.response(call, &method, &facts, answer)).await
    }
}
