//! What is asked beside a call's own model: models that moderate or make numbers of texts, and services.

use super::cache::CacheWish;
use super::chain::Chain;
use super::intent::{ModelCall, of_json};
use super::plan::AiPlan;
use crate::body::AnswerBody;
use crate::deadlines::{Deadline, Patience, Seat};
use crate::message::{Fields, RequestHead, Version};
use crate::policy::whole::{Reserved, read_answer_within};
use crate::record::CallRecord;
use crate::request::Answer;
use crate::request::forward::Call;
use bytes::Bytes;
use http::{Method, StatusCode};
use keyward_llm::task::Task;
use keyward_llm::{Context, Dialect};
use keyward_model::id::RequestId;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// What is read of an answer that is no call's own.
const ANSWER_MAX: usize = 8 << 20;

/// A call beside which something is asked.
pub(super) struct Beside<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) plan: &'a AiPlan,
    pub(super) context: &'a Context,
    pub(super) request_id: RequestId,
    /// The model that the call asks for.
    pub(super) model: &'a str,
}

impl Beside<'_> {
    /// A record that nothing is written of: the call has its own.
    pub(super) fn record(&self, head: &RequestHead) -> Box<CallRecord> {
        let worker = Rc::clone(self.call.worker);
        CallRecord::of_copy(worker, self.call.client, head, self.request_id)
    }

    /// Asks a model of the same team, and reads its answer. The error is for the operator.
    pub(super) async fn ask(
        &self,
        model: &str,
        task: Task,
        body: String,
        time: Duration,
    ) -> Result<Bytes, String> {
        let plan = self
            .plan
            .helpers
            .get(model)
            .ok_or("there is no such model")?;
        let asked = ModelCall {
            form: Dialect::OpenAiChat,
            model: Arc::clone(plan),
            stream: false,
            task: Some(of_json(task)),
            own_key: None,
            body: Bytes::from(body).into(),
            features: Vec::new(),
            sticky: Vec::new(),
            cache: CacheWish::default(),
            prompt: None,
        };
        let head = RequestHead::of_own(Method::POST, Version::Http11, Fields::new());
        let mut record = self.record(&head);
        let chain = Chain::new(self.call, self.plan, &asked, self.context.clone());
        let answered = async {
            let answer = Box::pin(chain.run(&mut record)).await;
            if answer.status != StatusCode::OK {
                return Err(format!("it answered {}", answer.status));
            }
            self.read(answer, time, ANSWER_MAX).await
        };
        within(time, self.call, answered)
            .await
            .unwrap_or_else(|| Err(format!("no answer within {time:?}")))
    }

    /// Reads an answer whole.
    pub(super) async fn read(
        &self,
        mut answer: Answer,
        time: Duration,
        bound: usize,
    ) -> Result<Bytes, String> {
        let read = self.read_body(&mut answer.body, time, bound).await;
        read.map_err(str::to_owned)
    }

    /// Reads a body whole.
    pub(super) async fn read_body(
        &self,
        body: &mut AnswerBody,
        time: Duration,
        bound: usize,
    ) -> Result<Bytes, &'static str> {
        if let Some(bytes) = body.whole() {
            return Ok(bytes.clone());
        }
        let worker = self.call.worker;
        let reserved = Reserved::nothing(&self.plan.answers, &worker.shared.answers);
        let deadline = Deadline::after(Some(time), worker.deadlines.now());
        let read = read_answer_within(self.call.seat, deadline, body, bound, reserved).await;
        read.map_err(|why| why.as_str())
    }
}

/// Waits so long, and no longer than the node serves.
pub(super) async fn within<T>(
    time: Duration,
    call: &Call<'_>,
    answered: impl Future<Output = T>,
) -> Option<T> {
    let seat: &Seat = call.seat;
    let mut answered = pin!(answered);
    let mut patience = Patience::new(time);
    poll_fn(|context| {
        if let Poll::Ready(answered) = answered.as_mut().poll(context) {
            return Poll::Ready(Some(answered));
        }
        if call.worker.drain.cut() || patience.poll(seat).is_ready() {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}
