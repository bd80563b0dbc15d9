//! Answers that are kept for other calls: RFC 9111 (a shared cache), RFC 5861 (stale answers), RFC 9211
//! (`Cache-Status`).
//!
//! It has its turn behind every check and before the upstream: a call that is answered from here has been
//! authenticated, authorized and counted like any other.
//!
//! - `directives`, `freshness`: what messages say of being kept.
//! - `key`: what an answer is found by.
//! - `store`: what is kept, shared by all workers; `entry` is one answer.
//! - `conditions`: what of a kept answer a request gets.
//! - `keeping`: an answer on its way in, with `policy/filling.rs`. `asking`: the way of one call.

mod asking;
mod conditions;
mod directives;
mod entry;
mod freshness;
mod keeping;
mod key;
#[cfg(feature = "fuzzing")]
mod oracle;
mod status;
mod store;
#[cfg(test)]
mod tests;

#[cfg(feature = "fuzzing")]
pub use oracle::read_cache_headers;
pub use store::CacheCounts;
pub(crate) use store::ResponseCache;

use super::content::{ContentPlan, refused_answer};
pub(super) use asking::is_stream;
pub(super) use keeping::seated;
pub(super) use key::{host, is_credential};

use crate::body::RequestBody;
use crate::message::{Fields, Header, RequestHead};
use crate::record::CallRecord;
use crate::request::forward::Call;
use crate::request::{Answer, Refusal, headers};
use asking::Asking;
use conditions::PRECONDITIONS;
use directives::RequestDirectives;
use http::{Method, StatusCode};
use key::{Address, CacheKey};
use keyward_model::resource::content::Cache;
use status::{Forwarded, Status};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of the route that is compiled next. A route whose declaration has changed is another one, and
/// finds nothing of what was kept for it before.
static GENERATIONS: AtomicU64 = AtomicU64::new(0);

/// The cache of one route.
#[derive(Debug)]
pub(crate) struct CachePlan {
    declared: Arc<Cache>,
    generation: u64,
}

impl CachePlan {
    pub(crate) fn new(declared: &Arc<Cache>) -> Self {
        Self {
            declared: Arc::clone(declared),
            generation: GENERATIONS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Answers a call from what is kept, or from its upstream.
    pub(super) async fn answer(
        &self,
        content: &ContentPlan,
        call: &Call<'_>,
        mut head: RequestHead,
        body: RequestBody,
        record: &mut CallRecord,
    ) -> Result<Answer, Refusal> {
        if !headers::is_safe(&head.method) {
            let asked = Asked::of(&head);
            let fetched = content.fetch(call, head, body, record).await;
            if let Err(refusal) = &fetched
                && let Some(status) = refused_answer(refusal, record)
            {
                // What was done was done, whoever may see the answer.
                asked.invalidate(call, status, &Fields::new());
            }
            let answer = fetched?;
            asked.invalidate(call, answer.status, &answer.fields);
            return Ok(self.told(call, Forwarded::Method, answer));
        }
        key::strip_overrides(&mut head.fields);
        if let Some(why) = bypassed(call, &head, &body, record) {
            let answer = content.fetch(call, head, body, record).await?;
            return Ok(self.told(call, why, answer));
        }
        let directives = if self.declared.client_directives {
            RequestDirectives::of(&head.fields)
        } else {
            RequestDirectives::default()
        };
        let address = Address::new(call, host(&head.fields), head.path_and_query().as_bytes());
        let key = CacheKey::new(call, &self.declared, self.generation, address, &head.fields);
        let asking = Asking {
            content,
            plan: self,
            call,
            cache: &call.worker.shared.responses,
            credentials: key::has_credentials(call, &head.fields),
            directives,
            key,
            head,
        };
        asking.answer(record).await
    }

    /// An answer that is not the cache's business, with a word about that.
    fn told(&self, call: &Call<'_>, why: Forwarded, mut answer: Answer) -> Answer {
        if answer.tunnel.is_none() {
            self.tell(call, Status::forwarded(why), &mut answer.fields);
        }
        answer
    }

    fn tell(&self, call: &Call<'_>, status: Status, fields: &mut Fields) {
        let metrics = &call.matched.route.route.metrics;
        metrics.count_cache(call.worker.index, status.outcome());
        if self.declared.status_header {
            status.tell(fields);
        }
    }
}

/// Why the cache has no part in a call with a safe method.
fn bypassed(
    call: &Call<'_>,
    head: &RequestHead,
    body: &RequestBody,
    record: &CallRecord,
) -> Option<Forwarded> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return Some(Forwarded::Method);
    }
    if call.upgrades || record.is_grpc {
        return Some(Forwarded::Bypass("upgrade"));
    }
    // An upstream may answer by a body that stands in no key.
    if body.left() != Some(0) {
        return Some(Forwarded::Bypass("request-body"));
    }
    PRECONDITIONS
        .iter()
        .any(|name| head.fields.get_named(name).is_some())
        .then_some(Forwarded::Bypass("precondition"))
}

/// What an unsafe method was called on.
struct Asked {
    host: Vec<u8>,
    path_and_query: String,
}

impl Asked {
    fn of(head: &RequestHead) -> Self {
        Self {
            host: host(&head.fields).to_vec(),
            path_and_query: head.path_and_query().into_owned(),
        }
    }

    /// What was kept of it no longer holds, once the upstream has done something (RFC 9111, section 4.4).
    fn invalidate(&self, call: &Call<'_>, status: StatusCode, fields: &Fields) {
        if !status.is_success() && !status.is_redirection() {
            return;
        }
        let cache = &call.worker.shared.responses;
        cache.invalidate(&Address::new(
            call,
            &self.host,
            self.path_and_query.as_bytes(),
        ));
        let named = [
            fields.get(Header::Location),
            fields.get_named(b"content-location"),
        ];
        for place in named.into_iter().flatten() {
            if let Some(path) = self.path_here(place) {
                cache.invalidate(&Address::new(call, &self.host, path));
            }
        }
    }

    /// The path and query of a reference, if it leads to the host that was called: nobody may have another
    /// one's answers dropped.
    fn path_here<'p>(&self, reference: &'p [u8]) -> Option<&'p [u8]> {
        let path = match reference.split_first_chunk() {
            Some((b"//", _)) | None => return None,
            Some(([b'/', _], _)) => reference,
            Some(_) => {
                let rest = reference
                    .strip_prefix(b"http://")
                    .or_else(|| reference.strip_prefix(b"https://"))?;
                let path = rest.strip_prefix(&*self.host)?;
                path.starts_with(b"/").then_some(path)?
            }
        };
        path.split(|byte| *byte == b'#').next()
    }
}
