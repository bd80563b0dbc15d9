//! A call's way through the cache.

use super::CachePlan;
use super::entry::{self, Entry};
use super::key::{Asked, Key};
use super::semantic::Vector;
use super::store::{Found, Leading};
use crate::ai::beside::{Beside, within};
use crate::ai::chain::Chain;
use crate::body::Watching;
use crate::message::Header;
use crate::metrics::CacheOutcome;
use crate::policy::memory::Memory;
use crate::record::CallRecord;
use crate::request::Answer;
use bytes::Bytes;
use http::StatusCode;
use keyward_llm::task::Task;
use keyward_llm::{Context, Dialect};
use keyward_model::usage::{ModelUse, PicoUsd, TokenCounts, UnitCounts};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How long a call waits for another that asks the same: then it asks by itself.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long making numbers of a text may take: what takes longer is not worth an answer that may not be there.
const EMBEDDING_WITHIN: Duration = Duration::from_secs(5);

/// A call with a cache.
pub(in crate::ai) struct Cached<'a> {
    pub(in crate::ai) plan: &'a Arc<CachePlan>,
    pub(in crate::ai) beside: &'a Beside<'a>,
    pub(in crate::ai) chain: &'a Chain<'a>,
}

/// Answers from what is kept, or else asks, and keeps the answer.
pub(in crate::ai) async fn ask(cached: &Cached<'_>, record: &mut CallRecord) -> Answer {
    let wish = cached.chain.asked.cache;
    let call = cached.chain.call;
    let asked = if wish.no_cache && wish.no_store {
        None
    } else {
        cached.plan.asked(call, cached.chain.asked)
    };
    let Some(asked) = asked else {
        return cached.plainly(record).await;
    };
    let mut leading = None;
    if !wish.no_cache {
        match cached.kept(&asked, record).await {
            Ok(answer) => return answer,
            Err(led) => leading = led,
        }
    }
    let mut vector = None;
    if let Some((words, around)) = &asked.last {
        vector = cached.vector_of(words).await;
        if !wish.no_cache
            && let Some(vector) = &vector
            && let Some(answer) = cached.near(&asked, around, vector, record)
        {
            return answer;
        }
    }
    record.answer_cache = Some("miss");
    cached.count(CacheOutcome::Missed);
    let mut answer = Box::pin(cached.chain.run(record)).await;
    if answer.status == StatusCode::OK {
        answer.fields.append_named("keyward-cache", b"miss");
        if !wish.no_store {
            cached.keep(&asked, vector, leading, &mut answer);
        }
    }
    answer
}

impl Cached<'_> {
    async fn plainly(&self, record: &mut CallRecord) -> Answer {
        self.count(CacheOutcome::Bypassed);
        Box::pin(self.chain.run(record)).await
    }

    fn count(&self, outcome: CacheOutcome) {
        let call = self.chain.call;
        let metrics = &call.matched.route.route.metrics;
        metrics.count_cache(call.worker.index, outcome);
    }

    /// The answer that is kept; if none is, and nobody else asks the same, this call is the one that others wait for.
    async fn kept(
        &self,
        asked: &Asked,
        record: &mut CallRecord,
    ) -> Result<Answer, Option<Leading>> {
        let (plan, worker) = (self.plan, self.chain.call.worker);
        let ttl = plan.declared.ttl;
        let found = plan.store.find_or_lead(asked.key, ttl, worker.moment());
        let (entry, outcome) = match found {
            Found::Kept(entry) => (entry, CacheOutcome::Hit),
            Found::Nothing(leading) => return Err(Some(leading)),
            Found::UnderWay(mut flight) => {
                // It says nothing before it is over: then its end is an error here.
                let over = async { while flight.changed().await.is_ok() {} };
                within(WAIT_MAX, self.chain.call, over).await;
                let entry = plan.store.find(&asked.key, ttl, worker.moment());
                // Where that call came to nothing, this one asks by itself, and keeps nobody waiting.
                (entry.ok_or(None)?, CacheOutcome::Collapsed)
            }
        };
        let answer = self.hit(&entry, asked, "hit", record).ok_or(None)?;
        self.count(outcome);
        Ok(answer)
    }

    fn hit(
        &self,
        entry: &Entry,
        asked: &Asked,
        told: &'static str,
        record: &mut CallRecord,
    ) -> Option<Answer> {
        let now = self.chain.call.worker.moment();
        let answer = entry.answer(self.chain, asked, told, now)?;
        record.answer_cache = Some(told);
        if let Some(spending) = &mut record.spending {
            spending.answered_from_cache();
        }
        let (provider, served) = entry.served.split_once('/')?;
        record.model = Some(Box::new(ModelUse {
            asked: self.chain.asked.model.name.clone(),
            served: served.into(),
            provider: provider.parse().ok()?,
            // Nobody was asked.
            tokens: TokenCounts::default(),
            units: UnitCounts::default(),
            estimated: false,
            cost: PicoUsd(0),
            price_revision: 0,
        }));
        record.answered(answer.status.as_u16());
        Some(answer)
    }

    /// The last words as numbers. Without them a call goes its way as if there were no such cache.
    async fn vector_of(&self, words: &str) -> Option<Vector> {
        #[derive(Deserialize)]
        struct Embedded {
            data: Vec<Embedding>,
        }
        #[derive(Deserialize)]
        struct Embedding {
            embedding: Vec<f64>,
        }
        let semantic = self.plan.declared.semantic.as_ref()?;
        let model = semantic.model.as_str();
        let body = json!({ "model": model, "input": words }).to_string();
        let asked = self
            .beside
            .ask(model, Task::Embeddings, body, EMBEDDING_WITHIN);
        let read = match Box::pin(asked).await {
            Ok(answer) => serde_json::from_slice::<Embedded>(&answer)
                .map_err(|error| format!("its answer can't be read: {error}")),
            Err(why) => Err(why),
        };
        match read {
            Ok(embedded) => Vector::new(&embedded.data.first()?.embedding),
            Err(why) => {
                tracing::debug!(%why, model, "a call goes without the semantic cache");
                None
            }
        }
    }

    fn near(
        &self,
        asked: &Asked,
        around: &Key,
        vector: &Vector,
        record: &mut CallRecord,
    ) -> Option<Answer> {
        let plan = self.plan;
        let semantic = plan.declared.semantic.as_ref()?;
        let vectors = plan.vectors.as_ref()?;
        let key = vectors.nearest(around, vector, semantic.threshold)?;
        let now = self.chain.call.worker.moment();
        let Some(entry) = plan.store.find(&key, plan.declared.ttl, now) else {
            vectors.forget(&key);
            return None;
        };
        let answer = self.hit(&entry, asked, "semantic-hit", record)?;
        self.count(CacheOutcome::Hit);
        Some(answer)
    }

    /// Keeps an answer: at once where it is there, else when its stream has come to its end.
    fn keep(
        &self,
        asked: &Asked,
        vector: Option<Vector>,
        leading: Option<Leading>,
        answer: &mut Answer,
    ) {
        let call = self.chain.asked;
        let served = answer.fields.all_named("keyward-model").next();
        let Some(served) = served.and_then(|served| std::str::from_utf8(served).ok()) else {
            return;
        };
        let vector = vector.and_then(|vector| Some((asked.last.as_ref()?.1, vector)));
        let keeping = Keeping {
            plan: Arc::clone(self.plan),
            node: Arc::clone(&self.chain.call.worker.shared.kept_answers),
            worker: std::rc::Rc::clone(self.chain.call.worker),
            key: asked.key,
            vector,
            form: call.form,
            context: self.chain.context.clone(),
            is_task: call.task.is_some(),
            stream: call.stream,
            usage: asked.usage,
            served: served.into(),
            gathered: Some(Vec::new()),
            _leading: leading,
        };
        let kind = answer.fields.get(Header::ContentType).unwrap_or_default();
        match answer.body.whole() {
            Some(body) if kind == b"application/json" => keeping.keep(body.clone()),
            Some(_) => {}
            None => answer.body.watch(Box::new(keeping)),
        }
    }
}

/// An answer that is to be kept.
struct Keeping {
    plan: Arc<CachePlan>,
    node: Arc<Memory>,
    worker: std::rc::Rc<crate::worker::Worker>,
    key: Key,
    vector: Option<(Key, Vector)>,
    form: Dialect,
    context: Context,
    is_task: bool,
    stream: bool,
    usage: bool,
    served: Box<str>,
    /// What has come of it; `None` once that is too much.
    gathered: Option<Vec<u8>>,
    /// Others wait until this is over.
    _leading: Option<Leading>,
}

impl Keeping {
    /// Keeps what is complete and can be read: a stream that failed tells so within itself.
    fn keep(self, body: Bytes) {
        let complete = self.is_task
            || entry::read(self.form, &self.context, &body, self.stream)
                .is_some_and(|answer| entry::is_complete(&answer));
        if !complete {
            return;
        }
        let since = self.worker.moment();
        let (stream, usage, served) = (self.stream, self.usage, self.served);
        let kept = self
            .plan
            .store
            .keep(self.key, body.len(), &self.node, |reserved| Entry {
                // Of its own: a slice would keep all of what it is of.
                body: Bytes::copy_from_slice(&body),
                stream,
                usage,
                served,
                since,
                _reserved: reserved,
            });
        if let (true, Some((around, vector)), Some(vectors)) =
            (kept, self.vector, &self.plan.vectors)
        {
            let memory = (self.plan.store.memory(), &self.node);
            vectors.remember((around, self.key), vector, memory);
        }
    }
}

impl Watching for Keeping {
    fn piece(&mut self, piece: &[u8]) {
        let most = self.plan.store.entry_max;
        if let Some(gathered) = &mut self.gathered {
            if gathered.len() + piece.len() > most {
                self.gathered = None;
            } else {
                gathered.extend_from_slice(piece);
            }
        }
    }

    fn ended(mut self: Box<Self>) {
        if let Some(gathered) = self.gathered.take() {
            self.keep(Bytes::from(gathered));
        }
    }
}
