//! Answers to what is no conversation: read whole where they are JSON, else passed as they come.

use super::answering::Account;
use super::attempt::{ANSWER_MAX, Answered, Ended, check_type};
use super::chain::Chain;
use super::provider::ProviderPlan;
use super::stream::{InferredBody, Way};
use crate::body::AnswerBody;
use crate::message::Header;
use crate::record::CallRecord;
use crate::request::Answer;
use keyward_llm::task::{Asked, Told};

impl Chain<'_> {
    pub(super) async fn task_done(
        &self,
        asked: Asked<'_>,
        provider: &ProviderPlan,
        answer: Answer,
        account: Account,
        record: &mut CallRecord,
    ) -> Result<Answered, Ended> {
        let given = answer.fields.get(Header::ContentType).unwrap_or_default();
        let given = String::from_utf8_lossy(given).into_owned();
        let kind = given.split(';').next().unwrap_or_default().trim();
        let kind = kind.to_ascii_lowercase();
        let form = self.asked.form;
        if asked.task.passes(&kind) {
            let way = Way::unread(
                asked.task,
                kind == "text/event-stream",
                Told::of_request(&asked),
            );
            let begun = InferredBody::begin(answer.body, way, (form, &self.context), account);
            let body = begun.await.map_err(Ended::of)?;
            return Ok(Answered {
                content_type: given.into(),
                body: AnswerBody::inferred(body),
            });
        }
        check_type(&answer.fields, "application/json")?;
        let body = self.read(provider, answer.body, ANSWER_MAX).await?;
        let target = &self.target_of(&account)?.asked;
        let (written, told) = asked
            .read(provider.dialect, target, &body)
            .map_err(Ended::of)?;
        record.model = Some(Box::new(account.took(told.usage, told.units)));
        Ok(Answered {
            content_type: "application/json".into(),
            body: AnswerBody::full(written.map_or(body, Into::into)),
        })
    }
}
