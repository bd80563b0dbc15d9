//! Reading `ai` of an API: the models that it offers, at addresses of its own.

use super::field::{Field, Fields};
use super::guardrail;
use super::problem::Problems;
use super::read::name;
use crate::name::Name;
use crate::resource::ai::{Ai, OfferedModels};
use std::collections::BTreeSet;

/// More than anyone lists: `all` is shorter.
const MODELS_MAX: usize = 1_000;

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

pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Option<Ai>> {
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
    let own = field.fields(&["models", "guardrails", "cache"], problems)?;
    let models = own.required(
        "models",
        "say which it offers: `models: all`, or a list of their names",
        problems,
    );
    let guarded = guardrail::read(&own, problems);
    Some(Some(Ai {
        models: offered(models?, problems)?,
        budgets: Vec::new(),
        guarded: Box::new(guarded?),
    }))
}

fn offered(field: Field<'_>, problems: &mut Problems) -> Option<OfferedModels> {
    if field.as_text() == Some("all") {
        return Some(OfferedModels::All);
    }
    let members = field.filled_list(problems)?;
    if members.len() > MODELS_MAX {
        field.refuse("has more than 1,000 entries: write `models: all`", problems);
        return None;
    }
    let mut names: BTreeSet<Name> = BTreeSet::new();
    for member in members {
        if let Some(model) = name(member, problems)
            && !names.insert(model)
        {
            member.refuse("stands in the list twice", problems);
        }
    }
    Some(OfferedModels::These(names.into_iter().collect()))
}
