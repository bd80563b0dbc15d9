//! One call on its way through the guardrails: its request before anybody is asked, its answer before the caller has it.

use super::judge::Verdict;
use super::parts::written_back;
use super::places::{self, Form, Site};
use super::rule::Rules;
use super::sieve::{Fired, Looking, Stopped, Whole, whole};
use super::stream::{self, Filter, GuardedBody, Rewritten};
use super::vault::Vault;
use super::{GuardPlan, Side, answer_schema, injection};
use crate::ai::beside::Beside;
use crate::ai::failure;
use crate::ai::intent::ModelCall;
use crate::body::AnswerBody;
use crate::message::{Fields, Header};
use crate::metrics::PolicyEvent;
use crate::record::CallRecord;
use crate::request::Answer;
use crate::worker::Worker;
use bytes::Bytes;
use http::StatusCode;
use keyward_llm::form::{Failure, FailureKind};
use keyward_llm::json::{Spanned, with_exchanged};
use keyward_llm::task::Task;
use keyward_model::Code;
use keyward_model::resource::guardrail::GuardAction;
use keyward_model::usage::RouteLabels;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A streamed answer that has to be there whole before it is judged has no more bytes than this.
const STREAM_MAX: usize = 8 << 20;
/// How long it may take to be there: as long as the vendors' libraries wait for an answer.
const STREAM_WITHIN: Duration = Duration::from_secs(600);
/// More is not looked at in one call.
const LOOKED_MAX: usize = 64 << 20;
/// After so many pieces of texts that were looked at, others have their turn.
const TURN_PIECES: usize = 8;

/// A call.
pub(in crate::ai) struct Passing {
    plan: Arc<GuardPlan>,
    vault: Vault,
    fired: Fired,
}

/// Why a call does not pass.
pub(in crate::ai) enum Refused {
    Stopped(Stopped),
    /// What a guardrail asks gives no answer.
    Unavailable {
        guard: usize,
        why: String,
    },
    /// It can't be looked at for what it is.
    Malformed(String),
}

impl From<Stopped> for Refused {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

/// What fired, for the log and what is counted.
#[derive(Debug, Default)]
pub(crate) struct FiredNames(Vec<(Box<str>, GuardAction)>);

impl FiredNames {
    /// Writes down what fired: no word of what was found.
    pub(super) fn note(&mut self, plan: &GuardPlan, fired: &Fired) {
        for (guard, action) in fired.iter() {
            let noted = (Box::from(plan.name(guard)), action);
            if !self.0.contains(&noted) {
                self.0.push(noted);
            }
        }
    }

    /// Counts all of them, and gives their names; `None` where none fired.
    pub(crate) fn take(
        &mut self,
        worker: &Worker,
        route: Option<&RouteLabels>,
    ) -> Option<Box<str>> {
        let fired = std::mem::take(&mut self.0);
        let mut names = String::new();
        for (name, action) in fired {
            worker.metrics.policy(match action {
                GuardAction::Block => PolicyEvent::GuardrailBlocked,
                GuardAction::Mask => PolicyEvent::GuardrailMasked,
                GuardAction::Flag => PolicyEvent::GuardrailFlagged,
            });
            if let Some(route) = route {
                worker.shared.guardrails.count(route, &name, word(action));
            }
            if !names.is_empty() {
                names.push(',');
            }
            names.push_str(&name);
            names.push('=');
            names.push_str(word(action));
        }
        (!names.is_empty()).then(|| names.into())
    }
}

const fn word(action: GuardAction) -> &'static str {
    match action {
        GuardAction::Block => "block",
        GuardAction::Mask => "mask",
        GuardAction::Flag => "flag",
    }
}

/// What the operator's log says of a text that does not pass.
pub(super) fn because(plan: &GuardPlan, stopped: Stopped) -> String {
    match stopped {
        Stopped::By(guard) => format!("guardrail `{}` blocks it", plan.name(guard)),
        Stopped::Unreadable => "guardrails can't look at it within their bounds".to_owned(),
    }
}

/// What the caller is told of an answer that does not pass.
pub(super) fn told_of_answer(plan: &GuardPlan, stopped: Stopped) -> String {
    match stopped {
        Stopped::By(guard) => format!(
            "The guardrail `{}` does not let the model's answer pass; ask for something else",
            plan.name(guard)
        ),
        Stopped::Unreadable => {
            "The model's answer can't be looked at by the guardrails here; ask for something else"
                .to_owned()
        }
    }
}

/// Texts that are looked at, as they are by now.
struct Texts<'b> {
    sites: Vec<Site<'b>>,
    /// In place of what stands there.
    new: Vec<Option<String>>,
}

impl<'b> Texts<'b> {
    fn of(body: &'b Spanned) -> Result<Self, Stopped> {
        let sites = places::sites(body)?;
        let bytes: usize = sites.iter().map(|site| site.text.len()).sum();
        if bytes > LOOKED_MAX {
            return Err(Stopped::Unreadable);
        }
        Ok(Self {
            new: sites.iter().map(|_| None).collect(),
            sites,
        })
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.sites
            .iter()
            .zip(&self.new)
            .map(|(site, new)| new.as_deref().unwrap_or(&site.text))
    }

    /// Which of them, several together, are parts of one message.
    fn runs(&self) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for (place, _) in self
            .sites
            .iter()
            .enumerate()
            .filter(|(_, site)| site.follows)
        {
            match runs.last_mut() {
                Some(run) if run.end == place => run.end = place + 1,
                Some(_) | None => runs.push(place.saturating_sub(1)..place + 1),
            }
        }
        runs
    }

    fn edits(&self) -> impl Iterator<Item = (Range<usize>, String)> {
        self.sites.iter().zip(&self.new).filter_map(|(site, new)| {
            let new = new.as_ref()?;
            Some((site.span.clone(), site.form.write(new)))
        })
    }
}

/// The points of the text that has the most signs of an injection.
async fn most_points(texts: &Texts<'_>) -> u32 {
    let mut most = 0;
    for (site, text) in texts.sites.iter().zip(texts.iter()) {
        let mut signs = injection::Signs::of(text, site.form == Form::Json);
        while signs.step() {
            tokio::task::yield_now().await;
        }
        most = most.max(signs.points());
    }
    most
}

impl Passing {
    pub(in crate::ai) fn new(plan: Arc<GuardPlan>) -> Self {
        Self {
            plan,
            vault: Vault::default(),
            fired: Fired::default(),
        }
    }

    /// Looks at a request, and exchanges what is masked in its body.
    pub(in crate::ai) async fn request(
        &mut self,
        beside: &Beside<'_>,
        asked: &mut ModelCall,
    ) -> Result<(), Refused> {
        let plan = Arc::clone(&self.plan);
        if plan.request.is_idle() {
            return Ok(());
        }
        if asked.is_form() {
            return Err(Stopped::Unreadable.into());
        }
        let body = asked.body.clone();
        let tree = Spanned::parse(&body)
            .map_err(|error| Refused::Malformed(format!("The body is {error}")))?;
        let embeds = asked
            .task
            .as_ref()
            .is_some_and(|task| task.task == Task::Embeddings);
        if embeds && places::has_tokens(&tree) {
            return Err(Stopped::Unreadable.into());
        }
        let mut texts = Texts::of(&tree)?;
        self.look(&plan.request.rules, &mut texts, false).await?;
        if !plan.request.injections.is_empty() {
            let most = most_points(&texts).await;
            for (guard, action, threshold) in &plan.request.injections {
                if most >= *threshold {
                    self.fires(*guard, *action)?;
                }
            }
        }
        self.judge(&plan.request, beside, "request", &mut texts)
            .await?;
        let edits: Vec<_> = texts.edits().collect();
        if !edits.is_empty() {
            asked.body = with_exchanged(&body, &edits).into();
        }
        Ok(())
    }

    /// Looks at single texts, as they are by now.
    async fn look(
        &mut self,
        rules: &Rules,
        texts: &mut Texts<'_>,
        gives_back: bool,
    ) -> Result<(), Stopped> {
        let gives_back = gives_back && self.vault.gives_back();
        if rules.rules.is_empty() && !gives_back {
            return Ok(());
        }
        let mut pieces = 0;
        for (site, new) in texts.sites.iter().zip(&mut texts.new) {
            let text = new.as_deref().unwrap_or(&site.text);
            let mut looked = Whole::new(text, site.form == Form::Json);
            self.look_through(&mut looked, rules, gives_back, &mut pieces)
                .await?;
            if let Some(masked) = looked.finish() {
                *new = Some(masked);
            }
        }
        // Then at what lies over the end of a part and goes on in the next: a part alone ends a number or a word.
        for run in texts.runs() {
            let parts: Vec<&str> = texts.iter().skip(run.start).take(run.len()).collect();
            let joined = parts.concat();
            let mut looked = Whole::new(&joined, false).noting();
            self.look_through(&mut looked, rules, gives_back, &mut pieces)
                .await?;
            let written = written_back(&parts, &looked.replaced());
            for (new, written) in texts.new.iter_mut().skip(run.start).zip(written) {
                if written.is_some() {
                    *new = written;
                }
            }
        }
        Ok(())
    }

    async fn look_through(
        &mut self,
        looked: &mut Whole<'_>,
        rules: &Rules,
        gives_back: bool,
        pieces: &mut usize,
    ) -> Result<(), Stopped> {
        loop {
            let mut looking = Looking {
                rules,
                vault: &mut self.vault,
                fired: &mut self.fired,
                gives_back,
            };
            let more = looked.step(&mut looking)?;
            *pieces += 1;
            if pieces.is_multiple_of(TURN_PIECES) {
                tokio::task::yield_now().await;
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn fires(&mut self, guard: usize, action: GuardAction) -> Result<(), Stopped> {
        self.fired.add(guard, action);
        match action {
            GuardAction::Block => Err(Stopped::By(guard)),
            GuardAction::Mask | GuardAction::Flag => Ok(()),
        }
    }

    /// Asks others about texts, one after the other: each sees what those before have left.
    async fn judge(
        &mut self,
        side: &Side,
        beside: &Beside<'_>,
        word: &str,
        texts: &mut Texts<'_>,
    ) -> Result<(), Refused> {
        for judge in &side.judges {
            let shown: Vec<&str> = texts.iter().collect();
            let rewritten = self.ask(judge, beside, word, &shown).await?;
            for (new, text) in texts.new.iter_mut().zip(rewritten.into_iter().flatten()) {
                *new = Some(text);
            }
        }
        Ok(())
    }

    async fn ask(
        &mut self,
        judge: &super::Judge,
        beside: &Beside<'_>,
        word: &str,
        texts: &[&str],
    ) -> Result<Option<Vec<String>>, Refused> {
        if texts.is_empty() {
            return Ok(None);
        }
        let plan = Arc::clone(&self.plan);
        let names = (plan.name(judge.guard), word);
        let worker = beside.call.worker;
        match judge.ask(beside, names, texts).await {
            Ok(Verdict::Pass) => Ok(None),
            Ok(Verdict::Fires) => {
                // A service that blocks does so where the guardrail only masks, too.
                let action = match judge.action {
                    GuardAction::Flag => GuardAction::Flag,
                    GuardAction::Block | GuardAction::Mask => GuardAction::Block,
                };
                self.fires(judge.guard, action)?;
                Ok(None)
            }
            Ok(Verdict::Rewritten(texts)) => match judge.action {
                GuardAction::Mask => {
                    self.fired.add(judge.guard, GuardAction::Mask);
                    Ok(Some(texts))
                }
                GuardAction::Block | GuardAction::Flag => {
                    self.fires(judge.guard, judge.action)?;
                    Ok(None)
                }
            },
            Err(why) if judge.allows_on_failure() => {
                worker.metrics.policy(PolicyEvent::GuardrailFailedOpen);
                tracing::debug!(%why, guardrail = plan.name(judge.guard), "a call passed without being looked at");
                Ok(None)
            }
            Err(why) => {
                worker.metrics.policy(PolicyEvent::GuardrailFailed);
                Err(Refused::Unavailable {
                    guard: judge.guard,
                    why,
                })
            }
        }
    }

    /// What the caller is told of a call that does not pass.
    pub(in crate::ai) fn refuse(
        &self,
        refused: Refused,
        of_answer: bool,
        (beside, asked): (&Beside<'_>, &ModelCall),
        record: &mut CallRecord,
    ) -> Answer {
        let (code, kind, message, because) = match refused {
            Refused::Stopped(stopped) => {
                let because = because(&self.plan, stopped);
                let message = match stopped {
                    _ if of_answer => told_of_answer(&self.plan, stopped),
                    Stopped::By(guard) => format!(
                        "The guardrail `{}` does not let the request pass; change it",
                        self.plan.name(guard)
                    ),
                    Stopped::Unreadable => {
                        "The request can't be looked at by the guardrails here; change it"
                            .to_owned()
                    }
                };
                let code = Code::GuardrailBlocked;
                (code, FailureKind::InvalidRequest, message, because)
            }
            Refused::Unavailable { guard, why } => (
                Code::GuardrailUnavailable,
                FailureKind::Overloaded,
                "A guardrail gives no answer just now; try again later".to_owned(),
                format!("guardrail `{}`: {why}", self.plan.name(guard)),
            ),
            Refused::Malformed(why) => (
                Code::BadRequest,
                FailureKind::InvalidRequest,
                why.clone(),
                why,
            ),
        };
        let failure = Failure {
            status: code.status(),
            ..Failure::new(kind, message).with_code(code.as_str())
        };
        self.note(record);
        record.failed(code, &because, failure.status);
        failure::answer(&failure, asked.form, beside.context, Fields::new())
    }

    fn note(&self, record: &mut CallRecord) {
        record.guardrails.note(&self.plan, &self.fired);
    }

    /// Tells the caller which guardrails only flag.
    fn tell(&self, fields: &mut Fields) {
        let flagged = self
            .fired
            .iter()
            .filter(|(_, action)| *action == GuardAction::Flag);
        let names: Vec<&str> = flagged.map(|(guard, _)| self.plan.name(guard)).collect();
        if !names.is_empty() {
            fields.append_named("keyward-flagged", names.join(", ").as_bytes());
        }
    }

    /// Looks at an answer.
    pub(in crate::ai) async fn answer(
        mut self,
        mut answer: Answer,
        (beside, asked): (&Beside<'_>, &ModelCall),
        record: &mut CallRecord,
    ) -> Answer {
        let idle = self.plan.answer.is_idle() && !self.vault.gives_back();
        if answer.status != StatusCode::OK || idle {
            self.note(record);
            self.tell(&mut answer.fields);
            return answer;
        }
        let kind = answer.fields.get(Header::ContentType).unwrap_or_default();
        let outcome = if kind.starts_with(b"application/json") {
            self.whole_answer(&mut answer, (beside, asked)).await
        } else if let Some(task) = &asked.task {
            // What was said is text, in whatever form; of the others, sound and pictures, in which there is nothing to read.
            match task.task {
                Task::Transcriptions | Task::Translations => Err(Stopped::Unreadable.into()),
                Task::Embeddings
                | Task::EmbedContent
                | Task::EmbedContents
                | Task::CountTokens
                | Task::CountContent
                | Task::Images
                | Task::ImageEdits
                | Task::ImageVariations
                | Task::Speech
                | Task::Rerank
                | Task::Moderations => Ok(()),
            }
        } else if kind.starts_with(b"text/event-stream") {
            match self.gathered(&mut answer, (beside, asked), record).await {
                Ok(rewritten) => return self.streamed(answer, (beside, asked), rewritten, record),
                Err(refused) => Err(refused),
            }
        } else {
            // Sound and pictures, in which there is nothing to read.
            Ok(())
        };
        match outcome {
            Ok(()) => {
                self.note(record);
                self.tell(&mut answer.fields);
                answer
            }
            Err(refused) => self.refuse(refused, true, (beside, asked), record),
        }
    }

    async fn whole_answer(
        &mut self,
        answer: &mut Answer,
        (beside, asked): (&Beside<'_>, &ModelCall),
    ) -> Result<(), Refused> {
        let plan = Arc::clone(&self.plan);
        let side = &plan.answer;
        let body = answer.body.whole().cloned().ok_or(Stopped::Unreadable)?;
        let tree = Spanned::parse(&body).map_err(|_| Stopped::Unreadable)?;
        let mut texts = Texts::of(&tree)?;
        self.look(&side.rules, &mut texts, false).await?;
        self.fits(side, (beside, asked), &body)?;
        self.judge(side, beside, "answer", &mut texts).await?;
        // Behind the judges: what is masked for the model is masked for them, too.
        self.look(&Rules::default(), &mut texts, true).await?;
        let mut edits: Vec<_> = texts.edits().collect();
        places::likelihoods(&tree, &mut edits);
        if !edits.is_empty() {
            edits.sort_by_key(|(span, _)| span.start);
            answer.body = AnswerBody::full(Bytes::from(with_exchanged(&body, &edits)));
            answer.declared_length = answer.body.left();
        }
        Ok(())
    }

    /// Whether an answer follows the schemas.
    fn fits(
        &mut self,
        side: &Side,
        (beside, asked): (&Beside<'_>, &ModelCall),
        body: &[u8],
    ) -> Result<(), Stopped> {
        if side.schemas.is_empty() || asked.task.is_some() {
            return Ok(());
        }
        let read = answer_schema::read(asked.form, beside.context, body, asked.stream);
        for (guard, action) in answer_schema::misfits(side, read.as_ref()) {
            self.fires(guard, action)?;
        }
        Ok(())
    }

    /// Waits for all of a stream where it is judged as a whole.
    async fn gathered(
        &mut self,
        answer: &mut Answer,
        (beside, asked): (&Beside<'_>, &ModelCall),
        record: &mut CallRecord,
    ) -> Result<Vec<Rewritten>, Refused> {
        let plan = Arc::clone(&self.plan);
        let side = &plan.answer;
        if !side.needs_all() {
            return Ok(Vec::new());
        }
        let stream = {
            let gathering = Gathering {
                body: &mut answer.body,
                record,
            };
            let read = beside.read_body(gathering.body, STREAM_WITHIN, STREAM_MAX);
            read.await.map_err(|why| {
                tracing::debug!(why, "a stream can't be gathered for the guardrails");
                Stopped::Unreadable
            })?
        };
        self.fits(side, (beside, asked), &stream)?;
        let texts = stream::texts(asked.form, &stream)?;
        // Other services see no more of a text than its reader will: the same rules, on each as a whole.
        let mut shown = Vec::with_capacity(texts.len());
        for text in &texts {
            let mut looking = Looking {
                rules: &side.rules,
                vault: &mut self.vault,
                fired: &mut self.fired,
                gives_back: false,
            };
            let new = whole(&text.text, text.json, &mut looking)?;
            shown.push(new.unwrap_or_else(|| text.text.clone()));
        }
        let mut changed = vec![false; shown.len()];
        for judge in &side.judges {
            let borrowed: Vec<&str> = shown.iter().map(String::as_str).collect();
            let rewritten = self.ask(judge, beside, "answer", &borrowed).await?;
            let new = rewritten.into_iter().flatten();
            for ((text, changed), new) in shown.iter_mut().zip(&mut changed).zip(new) {
                *changed |= *text != new;
                *text = new;
            }
        }
        answer.body = AnswerBody::full(stream);
        let rewritten = texts.into_iter().zip(shown).zip(changed);
        let rewritten = rewritten.filter(|(_, changed)| *changed);
        Ok(rewritten
            .map(|((grown, new), _)| Rewritten::new(grown.key, grown.text, new))
            .collect())
    }

    fn streamed(
        self,
        mut answer: Answer,
        (beside, asked): (&Beside<'_>, &ModelCall),
        rewritten: Vec<Rewritten>,
        record: &mut CallRecord,
    ) -> Answer {
        self.note(record);
        self.tell(&mut answer.fields);
        let Self { plan, vault, fired } = self;
        let ways = (asked.form, beside.context);
        let filter = Filter::new(ways, &plan, vault, fired, rewritten);
        answer.body = AnswerBody::guarded(GuardedBody::new(answer.body, filter));
        answer.declared_length = None;
        answer
    }
}

/// A stream that is gathered. Whether it comes to its end or its caller leaves, what it took is written down.
struct Gathering<'a> {
    body: &'a mut AnswerBody,
    record: &'a mut CallRecord,
}

impl Drop for Gathering<'_> {
    fn drop(&mut self) {
        self.body.settle(self.record);
    }
}
