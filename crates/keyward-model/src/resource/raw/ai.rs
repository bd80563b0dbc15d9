//! Reading `ai` of an API: the models that it offers, at addresses of its own.

use super::field::{Field, Fields};
use super::guardrail;
use super::problem::Problems;
use super::read::name;
use crate::name::Name;
use crate::resource::ai::{Ai, OfferedModels, OfferedPrompts};
use std::collections::BTreeSet;

/// More than anyone lists: `all` is shorter.
const NAMES_MAX: usize = 1_000;

/// What speaks of an upstream's calls, or of addresses of one's own, where there are none.
const OF_OTHER_APIS: &[&str] = &[
    "upstream",
    "routes",
    "keep_base_path",
    "identity_headers",
    "capture",
    "compression",
    "websocket",
    "cache",
    "validation",
    "transformation",
    "idempotency",
];

pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Option<Box<Ai>>> {
    let Some(field) = fields.optional("ai") else {
        return Some(None);
    };
    for key in OF_OTHER_APIS {
        if let Some(other) = fields.optional(key) {
            problems.error(
                other.place(),
                "contradiction",
                format!(
                    "`{key}` does nothing beside `ai`, whose calls go to models' providers: take one of them out"
                ),
            );
        }
    }
    let own = field.fields(&["models", "prompts", "guardrails", "cache"], problems)?;
    let prompts = match own.optional("prompts") {
        Some(field) => prompts(field, problems),
        None => Some(OfferedPrompts::None),
    };
    let models = match own.optional("models") {
        // Whoever may call prompts need not be able to ask the models anything else.
        None if own.optional("prompts").is_some() => OfferedModels::These(Vec::new()),
        Some(_) | None => {
            let models = own.required(
                "models",
                "say which it offers: `models: all`, or a list of their names",
                problems,
            )?;
            offered(models, problems)?
        }
    };
    let guarded = guardrail::read(&own, problems);
    Some(Some(Box::new(Ai {
        models,
        prompts: prompts?,
        budgets: Vec::new(),
        guarded: Box::new(guarded?),
    })))
}

fn offered(field: Field<'_>, problems: &mut Problems) -> Option<OfferedModels> {
    if field.as_text() == Some("all") {
        return Some(OfferedModels::All);
    }
    names(field, problems).map(OfferedModels::These)
}

fn prompts(field: Field<'_>, problems: &mut Problems) -> Option<OfferedPrompts> {
    if field.as_text() == Some("all") {
        return Some(OfferedPrompts::All);
    }
    names(field, problems).map(OfferedPrompts::These)
}

/// Names, each once.
fn names(field: Field<'_>, problems: &mut Problems) -> Option<Vec<Name>> {
    let members = field.filled_list(problems)?;
    if members.len() > NAMES_MAX {
        field.refuse("has more than 1,000 entries: write `all`", problems);
        return None;
    }
    let mut names: BTreeSet<Name> = BTreeSet::new();
    for member in members {
        if let Some(read) = name(member, problems)
            && !names.insert(read)
        {
            member.refuse("stands in the list twice", problems);
        }
    }
    Some(names.into_iter().collect())
}
