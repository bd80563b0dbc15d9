//! Lists of resources: narrowed, sorted, in pages.

use super::Known;
use crate::answer::Answer;
use crate::management::call::{Call, bad_query};
use crate::management::endpoint::{Allowed, Outcome};
use crate::management::history::Reader;
use crate::management::list::Paging;
use crate::problem::Problem;
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_model::resource::VersionState;
use keyward_model::{Name, Origin, Revision};
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::sync::Arc;

/// How lists may be sorted.
pub(crate) const SORTS: [&str; 4] = ["name", "-name", "revision", "-revision"];

/// `GET /teams/{team}/KIND`.
pub(crate) fn list<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let (call, kind, team) = (allowed.call, allowed.kind()?, allowed.team()?);
        let sort = call.query("sort").unwrap_or("name");
        if !SORTS.contains(&sort) {
            return Err(bad_query(
                "sort",
                "it is `name`, `-name`, `revision` or `-revision`",
            ));
        }
        let filter = Filter::of(call)?;
        let named = filter.named();
        let list = [
            "resources",
            kind.kind.as_str(),
            team.name.as_str(),
            sort,
            &named,
        ];
        let paging = Paging::of(site, call, &list)?;
        let mut found: Vec<Known> = Vec::new();
        let files = site.node().files().await;
        found.extend(files.iter().cloned().map(Known::File));
        let catalogue = site.catalogue().await?;
        let stored = catalogue.of(team.id, kind.kind).map(Arc::clone);
        found.extend(stored.map(Known::Database));
        found.retain(|known| {
            let key = known.key();
            key.team == team.id && key.kind == kind.kind && filter.takes(known)
        });
        sorted(&mut found, sort);
        if let Some(after) = &paging.after {
            let is_behind = |known: &Known| end_of(known, sort) == *after;
            // Where the one is gone that the page before ended with, what would stand behind it follows.
            match found.iter().position(is_behind) {
                Some(at) => drop(found.drain(..=at)),
                None => found.retain(|known| is_after(known, sort, after)),
            }
        }
        // Each is asked about by itself, and no more of them than the page has.
        let mut reader = Reader::new(&allowed.manager);
        let mut page = Vec::new();
        for known in found {
            if page.len() > paging.limit {
                break;
            }
            if reader.reads_in_turn(known.key()).await {
                page.push(known);
            }
        }
        let end = |known: &Known| end_of(known, sort);
        Ok(Answer::ok(
            paging.page(site, page, end, |known| known.told()),
        ))
    }
    .boxed()
}

fn sorted(found: &mut [Known], sort: &str) {
    match sort {
        "-name" => found.sort_by(|one, other| other.key().cmp(one.key())),
        "revision" => found.sort_by(by_change),
        "-revision" => found.sort_by(|one, other| {
            let order = other.changed_at().cmp(&one.changed_at());
            order.then_with(|| one.key().cmp(other.key()))
        }),
        _ => found.sort_by(|one, other| one.key().cmp(other.key())),
    }
}

fn by_change(one: &Known, other: &Known) -> Ordering {
    let order = one.changed_at().cmp(&other.changed_at());
    order.then_with(|| one.key().cmp(other.key()))
}

/// Where a page ends.
fn end_of(known: &Known, sort: &str) -> Value {
    let key = known.key();
    let changed_at = sort.ends_with("revision").then(|| known.changed_at());
    json!([changed_at, key.name, key.version])
}

fn is_after(known: &Known, sort: &str, after: &Value) -> bool {
    let name = |value: Option<&Value>| -> Option<Name> { value?.as_str()?.parse().ok() };
    let changed_at = after.get(0).and_then(|at| {
        let revision = at.get(0).and_then(Value::as_u64).map(Revision)?;
        Some((revision, at.get(1).and_then(Value::as_i64)?))
    });
    let (Some(of_name), of_version) = (name(after.get(1)), name(after.get(2))) else {
        return false;
    };
    let key = known.key();
    let by_name = (&key.name, &key.version).cmp(&(&of_name, &of_version));
    let by_revision = changed_at.map(|at| known.changed_at().cmp(&at));
    match (sort, by_revision) {
        ("-name", _) => by_name.is_lt(),
        ("-revision", Some(order)) => order.reverse().then(by_name).is_gt(),
        ("revision", Some(order)) => order.then(by_name).is_gt(),
        _ => by_name.is_gt(),
    }
}

/// What a list is narrowed to.
#[derive(Debug)]
pub(crate) struct Filter<'c> {
    /// A part of the name.
    part: Option<&'c str>,
    name: Option<&'c str>,
    origin: Option<Origin>,
    state: Option<VersionState>,
}

impl<'c> Filter<'c> {
    pub(crate) fn of(call: &'c Call) -> Result<Self, Problem> {
        let origin = match call.query("origin") {
            None => None,
            Some("file") => Some(Origin::File),
            Some("database") => Some(Origin::Database),
            Some(_) => return Err(bad_query("origin", "it is `file` or `database`")),
        };
        let state = match call.query("state") {
            None => None,
            Some(text) => {
                let found = VersionState::ALL
                    .into_iter()
                    .find(|state| state.as_str() == text);
                let why = "it is `draft`, `published`, `deprecated` or `retired`";
                Some(found.ok_or_else(|| bad_query("state", why))?)
            }
        };
        Ok(Self {
            part: call.query("q"),
            name: call.query("name"),
            origin,
            state,
        })
    }

    /// What a cursor of this list is bound to.
    fn named(&self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn takes(&self, known: &Known) -> bool {
        let name = known.key().name.as_str();
        let state = || known.body().get("state").and_then(Value::as_str);
        self.part.is_none_or(|part| name.contains(part))
            && self.name.is_none_or(|wanted| name == wanted)
            && self.origin.is_none_or(|origin| known.origin() == origin)
            && self
                .state
                .is_none_or(|wanted| state() == Some(wanted.as_str()))
    }
}
