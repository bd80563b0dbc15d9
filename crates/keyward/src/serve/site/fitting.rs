//! Which of the database's resources a node can serve beside its own files.
//!
//! Whoever declares something has it checked on the node that they call, and each node has files of its own: what fits
//! there may not fit here. What does not is left out here, with what depends on it, so that all else goes on to change:
//! what others take away, and credentials that are withdrawn, above all.

use crate::configuration::check_database;
use crate::configuration::kept::Kept;
use crate::configuration::pkcs11::own_keys_in;
use crate::serve::own_issuer::own_issuer;
use crate::serve::own_keys::plans;
use keyward_authority::Plan;
use keyward_gateway::{Gateway, PreparedConfiguration};
use keyward_model::Revision;
use keyward_model::resource::raw::{Declared, Problem, Problems, Severity};
use keyward_model::resource::{Resource, Spec};
use keyward_web::node::{DatabaseResource, LeftOut, Unfit};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many revisions are looked for that can't be served though no resource of them is told to be at fault. More than
/// a few are no mistake of theirs: then the node serves what was there before the first of them.
const UNEXPLAINED_MAX: usize = 8;

/// What a node serves, and with what.
pub(crate) struct Fitting<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) revision: Revision,
    pub(crate) kept: &'a Kept,
    /// What is served beside the files' resources.
    pub(crate) beside: &'a [Arc<Resource>],
}

/// What can be served, ready to be.
pub(crate) struct Fitted {
    pub(super) prepared: PreparedConfiguration,
    /// How many resources that are, with those of the files.
    pub(super) resources: usize,
    /// The key sets among them.
    pub(super) plans: Vec<Plan>,
    /// The webhooks among them.
    pub(super) webhooks: Vec<Arc<Resource>>,
    pub(crate) unfit: Vec<Unfitting>,
}

impl Fitted {
    /// The first that is left out and was not before.
    fn worse_than(&self, before: &[Unfitting]) -> Option<&Unfitting> {
        let known: BTreeSet<u32> = before.iter().map(|one| source(&one.resource)).collect();
        let mut unfit = self.unfit.iter();
        unfit.find(|one| !known.contains(&source(&one.resource)))
    }
}

/// A resource that does not fit.
#[derive(Clone, Debug)]
pub(crate) struct Unfitting {
    pub(crate) resource: Arc<DatabaseResource>,
    /// What is wrong, where one thing is.
    problem: Option<Problem>,
    why: String,
}

impl Unfitting {
    pub(super) fn left_out(&self) -> LeftOut {
        LeftOut {
            resource: self.name(),
            why: self.why.clone(),
        }
    }

    fn name(&self) -> String {
        let key = &self.resource.key;
        let version = key.version.as_ref();
        let version = version.map_or_else(String::new, |version| format!(":{version}"));
        let team = &self.resource.team_name;
        format!("{} `{}{version}` of team `{team}`", key.kind, key.name)
    }

    /// In a line.
    fn told(&self) -> String {
        format!("{}: {}", self.name(), self.why)
    }
}

fn source(resource: &DatabaseResource) -> u32 {
    resource.declared.node.place.source
}

fn errors(problems: &Problems) -> impl Iterator<Item = &Problem> {
    let all = problems.as_slice().iter();
    all.filter(|problem| problem.severity == Severity::Error)
}

impl Fitting<'_> {
    /// All of it, or why not.
    pub(super) fn whole(
        &self,
        database: &[Arc<DatabaseResource>],
        only_api: Option<usize>,
    ) -> Result<Fitted, Unfit> {
        let found = self.problems(database, only_api);
        if found.has_errors() {
            return Err(Unfit::Problems(found));
        }
        self.prepare(database, Vec::new()).map_err(Unfit::Node)
    }

    /// All but what was left out `before`, or why not: what is wrong with that was so before, and all else has to
    /// fit, also with what is left out here, since others may serve it.
    pub(super) fn no_worse(
        &self,
        database: &[Arc<DatabaseResource>],
        before: &[Arc<DatabaseResource>],
        unfit: &[Unfitting],
    ) -> Result<Fitted, Unfit> {
        let told = |problem: &Problem| (problem.place, problem.code, problem.message.clone());
        let known = self.problems(before, None);
        let known: Vec<_> = errors(&known).map(told).collect();
        let mut new = Problems::new();
        for problem in errors(&self.problems(database, None)) {
            if !known.contains(&told(problem)) {
                new.error(problem.place, problem.code, problem.message.clone());
            }
        }
        if !new.has_errors() {
            let fitted = self.fit(database).map_err(Unfit::Node)?;
            let Some(worse) = fitted.worse_than(unfit).cloned() else {
                return Ok(fitted);
            };
            let Some(problem) = worse.problem else {
                return Err(Unfit::Node(worse.why));
            };
            new.error(problem.place, problem.code, problem.message);
        }
        Err(Unfit::Problems(new))
    }

    /// All but what was left out before, if as much can be served.
    ///
    /// # Errors
    /// What else would have to be left out, or why nothing can be served.
    pub(crate) fn fit_but(
        &self,
        database: &[Arc<DatabaseResource>],
        unfit: &[Unfitting],
    ) -> Result<Fitted, String> {
        let fitted = self.fit(database)?;
        match fitted.worse_than(unfit) {
            None => Ok(fitted),
            Some(worse) => Err(format!(
                "it does not fit what the database declares: {}",
                worse.told()
            )),
        }
    }

    /// As much of it as can be served.
    ///
    /// # Errors
    /// When not even the files' resources can be.
    pub(super) fn fit(&self, database: &[Arc<DatabaseResource>]) -> Result<Fitted, String> {
        let mut database = database.to_vec();
        let mut unfit = Vec::new();
        for _ in 0..UNEXPLAINED_MAX {
            let why = match self.explained(&database, unfit.clone()) {
                Ok(fitted) => return Ok(fitted),
                Err(why) => why,
            };
            let Some(culprit) = self.first_unserved(&database)? else {
                return Err(why);
            };
            let of_culprit = |one: &Arc<DatabaseResource>| revision_of(one) == culprit;
            unfit.extend(
                database
                    .extract_if(.., |one| of_culprit(one))
                    .map(|resource| Unfitting {
                        resource,
                        problem: None,
                        why: format!("revision {culprit} can't be served here: {why}"),
                    }),
            );
        }
        let first = self.first_unserved(&database)?;
        let newer =
            |one: &Arc<DatabaseResource>| first.is_some_and(|first| revision_of(one) >= first);
        unfit.extend(
            database
                .extract_if(.., |one| newer(one))
                .map(|resource| Unfitting {
                    resource,
                    problem: None,
                    why: "nothing from here on can be served on this node".to_owned(),
                }),
        );
        self.explained(&database, unfit)
    }

    /// Leaves out what is told to be at fault; `Err` where it can't be told what is.
    fn explained(
        &self,
        database: &[Arc<DatabaseResource>],
        mut unfit: Vec<Unfitting>,
    ) -> Result<Fitted, String> {
        let mut rest = database.to_vec();
        loop {
            let found = self.problems(&rest, None);
            let mut at_fault: BTreeMap<u32, &Problem> = BTreeMap::new();
            for problem in errors(&found) {
                at_fault.entry(problem.place.source).or_insert(problem);
            }
            let before = rest.len();
            unfit.extend(
                rest.extract_if(.., |one| at_fault.contains_key(&source(one)))
                    .map(|resource| {
                        let problem = at_fault.get(&source(&resource));
                        let why =
                            |problem: &&Problem| format!("{} [{}]", problem.message, problem.code);
                        Unfitting {
                            why: problem.map_or_else(String::new, why),
                            problem: problem.map(|problem| Problem::clone(problem)),
                            resource,
                        }
                    }),
            );
            if rest.len() < before {
                // What depends on these is at fault next.
                continue;
            }
            return match errors(&found).next() {
                None => self.prepare(&rest, unfit),
                Some(problem) => Err(format!("{} [{}]", problem.message, problem.code)),
            };
        }
    }

    /// The first revision with which the database can't be served any more; `None` when it can't without any.
    fn first_unserved(
        &self,
        database: &[Arc<DatabaseResource>],
    ) -> Result<Option<Revision>, String> {
        self.explained(&[], Vec::new())?;
        let revisions: BTreeSet<Revision> = database.iter().map(revision_of).collect();
        let revisions: Vec<Revision> = revisions.into_iter().collect();
        let serves = |newest: &Revision| {
            let until: Vec<_> = database
                .iter()
                .filter(|one| revision_of(one) <= *newest)
                .cloned()
                .collect();
            self.explained(&until, Vec::new()).is_ok()
        };
        let served = revisions.partition_point(serves);
        Ok(revisions.get(served).copied())
    }

    fn problems(&self, database: &[Arc<DatabaseResource>], only_api: Option<usize>) -> Problems {
        if database.is_empty() {
            return Problems::new();
        }
        let declared: Vec<&Declared> = database.iter().map(|one| &one.declared).collect();
        check_database(self.kept, &declared, only_api)
    }

    fn prepare(
        &self,
        database: &[Arc<DatabaseResource>],
        unfit: Vec<Unfitting>,
    ) -> Result<Fitted, String> {
        let database = database.iter().map(|one| Arc::clone(&one.resource));
        let files = self.kept.resources().iter().chain(self.beside);
        let resources: Vec<_> = files.map(Arc::clone).chain(database).collect();
        let configuration = self.kept.configuration();
        let site_url = &configuration.site_url;
        let keys_in = own_keys_in(configuration.pkcs11.as_ref());
        let plans = plans(
            (site_url, keys_in),
            resources.iter().map(|resource| &**resource),
        );
        let own = own_issuer(site_url);
        let prepared = self.gateway.prepare(self.revision, &resources, Some(&own));
        let is_webhook = |one: &&Arc<Resource>| matches!(one.spec, Spec::Webhook(_));
        Ok(Fitted {
            prepared: prepared.map_err(|error| error.to_string())?,
            plans: plans.map_err(|failure| failure.to_string())?,
            webhooks: resources
                .iter()
                .filter(is_webhook)
                .map(Arc::clone)
                .collect(),
            resources: resources.len(),
            unfit,
        })
    }
}

/// The revision that brought a resource; one that is not written yet is newer than any.
fn revision_of(resource: &Arc<DatabaseResource>) -> Revision {
    resource.revision.unwrap_or(Revision(u64::MAX))
}
