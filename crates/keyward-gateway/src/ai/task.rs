//! Answers to what is no conversation: read whole where they are JSON, else passed as they come.

use super::answering::{Account, Taken};
use super::attempt::{ANSWER_MAX, Answered, Ended, Heard, check_type};
use super::chain::Chain;
use super::provider::ProviderPlan;
use super::stream::{InferredBody, Way};
use crate::body::AnswerBody;
use crate::message::Header;
use crate::request::Answer;
use keyward_llm::count;
use keyward_llm::task::{Asked, Task, Told, Units};

impl Chain<'_> {
    pub(super) async fn task_done(
        &self,
        asked: Asked<'_>,
        provider: &ProviderPlan,
        answer: Answer,
        (heard, account): (&Heard, Account),
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
            // Nothing is counted of what nobody reads.
            let account = (heard, account, None);
            let begun = InferredBody::begin(answer.body, way, (form, &self.context), account);
            let body = begun.await.map_err(Ended::of_stream)?;
            return Ok(Answered {
                content_type: given.into(),
                body: AnswerBody::inferred(body),
                whole: None,
            });
        }
        check_type(&answer.fields, "application/json")?;
        let body = self.read(provider, answer.body, ANSWER_MAX).await?;
        let target = &self.target_of(&account)?.asked;
        let (written, told) = asked
            .read(provider.dialect, target, &body)
            .map_err(Ended::of)?;
        Ok(Answered {
            content_type: "application/json".into(),
            body: AnswerBody::full(written.map_or(body, Into::into)),
            whole: Some((account, self.taken_by(asked.task, told))),
        })
    }
    /// What a task took by what is told of it. What only reads text is counted here where nothing is told.
    fn taken_by(&self, task: Task, told: Told) -> Taken {
        if counts_tokens(task) {
            // What counting takes is not charged.
            return Taken::default();
        }
        if told.usage.is_none() && told.units == Units::default() && only_reads(task) {
            return Taken::counted(None, || count::call(&self.asked.body, 0));
        }
        Taken::of_task(told)
    }
}

/// Whether it says how many tokens something has, which nobody charges for.
pub(super) const fn counts_tokens(task: Task) -> bool {
    match task {
        Task::CountTokens | Task::CountContent => true,
        Task::Embeddings
        | Task::EmbedContent
        | Task::EmbedContents
        | Task::Images
        | Task::ImageEdits
        | Task::ImageVariations
        | Task::Speech
        | Task::Transcriptions
        | Task::Translations
        | Task::Rerank
        | Task::Moderations => false,
    }
}

/// Whether it takes the tokens of its text and nothing else.
pub(super) const fn only_reads(task: Task) -> bool {
    match task {
        Task::Embeddings
        | Task::EmbedContent
        | Task::EmbedContents
        | Task::Rerank
        | Task::Moderations => true,
        Task::CountTokens
        | Task::CountContent
        | Task::Images
        | Task::ImageEdits
        | Task::ImageVariations
        | Task::Speech
        | Task::Transcriptions
        | Task::Translations => false,
    }
}
