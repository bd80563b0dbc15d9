//! Guardrails: what is looked for in the texts of AI calls, on their way to a model and back.
//!
//! They stand around the chain of attempts, in the caller's dialect: what they see is what the caller wrote and what the
//! caller would read, whoever answers. Rules about single texts come first and in one pass; what judges a text as a whole
//! (`injection`, `judge`, `answer_schema`) sees them as the rules have left them, so that what is masked is masked for
//! other services too.

mod answer_schema;
mod document;
mod injection;
mod judge;
mod parts;
mod passing;
mod pii;
mod places;
mod rule;
mod sieve;
mod stream;
mod vault;
mod view;

pub(crate) use passing::FiredNames;
pub(super) use passing::Passing;
pub(crate) use stream::GuardedBody;

use crate::policy::validation::StandaloneSchema;
use keyward_model::Name;
use keyward_model::resource::guardrail::{
    GuardAction, GuardCheck, Guarded, GuardedSide, Guardrail, ModerationCheck, WebhookCheck,
};
use rule::{Place, Rules};
use std::sync::Arc;

/// The guardrails of one model's calls, ready to look.
#[derive(Debug)]
pub(crate) struct GuardPlan {
    guards: Box<[Guard]>,
    request: Side,
    answer: Side,
}

/// A guardrail, as it is told of.
#[derive(Debug)]
struct Guard {
    name: Name,
}

/// What looks at one side.
#[derive(Debug, Default)]
struct Side {
    rules: Rules,
    /// From how many points on a text counts as an injection.
    injections: Vec<(usize, GuardAction, u32)>,
    schemas: Vec<(usize, GuardAction, StandaloneSchema)>,
    judges: Vec<Judge>,
}

/// A service or a model that is asked.
#[derive(Debug)]
struct Judge {
    guard: usize,
    action: GuardAction,
    what: Judging,
}

#[derive(Clone, Debug)]
enum Judging {
    Webhook(WebhookCheck),
    Moderation(ModerationCheck),
}

impl Side {
    fn is_idle(&self) -> bool {
        self.rules.rules.is_empty()
            && self.injections.is_empty()
            && self.schemas.is_empty()
            && self.judges.is_empty()
    }

    /// Whether an answer has to be there whole before any of it can leave.
    fn needs_all(&self) -> bool {
        !self.schemas.is_empty() || !self.judges.is_empty()
    }

    fn add(&mut self, place: &Place<'_>, check: &GuardCheck) -> Result<(), String> {
        let (guard, action) = (place.guard, place.action);
        match check {
            GuardCheck::Regex(regex) => self.rules.add_regex(place, regex)?,
            GuardCheck::Keywords(words) => self.rules.add_words(place, words)?,
            GuardCheck::Pii(pii) => self.rules.add_pii(place, pii),
            GuardCheck::PromptInjection(injection) => {
                if !injection::is_ready() {
                    return Err("`prompt_injection` can't be used: its list can't be read".into());
                }
                self.injections.push((guard, action, injection.threshold));
            }
            GuardCheck::AnswerSchema(schema) => {
                let schema = StandaloneSchema::new(schema)
                    .map_err(|why| format!("`answer_schema`: {why}"))?;
                self.schemas.push((guard, action, schema));
            }
            GuardCheck::Webhook(webhook) => self.judges.push(Judge {
                guard,
                action,
                what: Judging::Webhook(webhook.clone()),
            }),
            GuardCheck::Moderation(moderation) => self.judges.push(Judge {
                guard,
                action,
                what: Judging::Moderation(moderation.clone()),
            }),
        }
        Ok(())
    }
}

impl GuardPlan {
    /// Prepares what an API and a model say; `None` where they say nothing.
    pub(crate) fn new(
        of_api: &[Guardrail],
        of_model: &[Guardrail],
    ) -> Result<Option<Arc<Self>>, String> {
        if of_api.is_empty() && of_model.is_empty() {
            return Ok(None);
        }
        let (mut request, mut answer) = (Side::default(), Side::default());
        let mut guards = Vec::new();
        for (guard, declared) in of_api.iter().chain(of_model).enumerate() {
            add(declared, guard, &mut request, &mut answer)?;
            guards.push(Guard {
                name: declared.name.clone(),
            });
        }
        Ok(Some(Arc::new(Self {
            guards: guards.into(),
            request,
            answer,
        })))
    }

    fn name(&self, guard: usize) -> &str {
        self.guards
            .get(guard)
            .map_or("", |guard| guard.name.as_str())
    }
}

fn add(
    declared: &Guardrail,
    guard: usize,
    request: &mut Side,
    answer: &mut Side,
) -> Result<(), String> {
    let place = Place {
        guard,
        action: declared.action,
        name: declared.name.as_str(),
        of_answers: declared.on.of_answers(),
    };
    match declared.on {
        GuardedSide::Request => request.add(&place, &declared.check)?,
        GuardedSide::Answer => answer.add(&place, &declared.check)?,
        GuardedSide::Both => {
            request.add(&place, &declared.check)?;
            answer.add(&place, &declared.check)?;
        }
    }
    // What is found in an answer is masked for its caller, and for good.
    for rule in &mut answer.rules.rules {
        rule.gives_back = false;
    }
    Ok(())
}

/// Whether guardrails can be used.
///
/// # Errors
/// The place of each that can't be, and why.
pub fn check_guardrails(guarded: &Guarded) -> Result<(), Vec<(usize, String)>> {
    let wrong: Vec<(usize, String)> = guarded
        .guardrails
        .iter()
        .enumerate()
        .filter_map(|(place, declared)| {
            let (mut request, mut answer) = (Side::default(), Side::default());
            let added = add(declared, place, &mut request, &mut answer);
            added.err().map(|why| (place, why))
        })
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}
