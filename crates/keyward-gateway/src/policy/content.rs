//! The policies that read what calls carry, as one route has them.

use super::cache::CachePlan;
use crate::body::RequestBody;
use crate::message::RequestHead;
use crate::record::CallRecord;
use crate::request::forward::{self, Call, Finish};
use crate::request::{Answer, Refusal};
use keyward_model::resource::ContentPolicies;

/// What a route does with the content of its calls.
#[derive(Debug)]
pub(crate) struct ContentPlan {
    cache: Option<CachePlan>,
}

impl ContentPlan {
    pub(crate) fn new(declared: &ContentPolicies) -> Self {
        Self {
            cache: declared.cache.as_ref().map(CachePlan::new),
        }
    }

    pub(super) fn cache(&self) -> Option<&CachePlan> {
        self.cache.as_ref()
    }

    /// Answers a call that has passed every check.
    pub(crate) async fn answer(
        &self,
        call: Call<'_>,
        head: RequestHead,
        body: RequestBody,
        record: &mut CallRecord,
    ) -> Result<Answer, Refusal> {
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
        Box::pin(forward::fetch(call, head, body, record)).await
    }
}
