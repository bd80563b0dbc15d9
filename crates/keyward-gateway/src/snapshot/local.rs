//! A worker's own view of the shared snapshot.

use super::route_table::Found;
use super::{Route, Snapshot};
use crate::upstream::{Pool, Pools};
use keyward_model::usage::RouteLabels;
use keyward_model::{Name, Revision};
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

/// The snapshot with what this worker has for each of its routes. Calls share its parts by counts that
/// no other core touches. They are made when a route is first called, so that a new snapshot of many
/// routes holds nobody up.
#[derive(Debug)]
pub(crate) struct LocalSnapshot {
    generation: u64,
    pub(crate) shared: Arc<Snapshot>,
    routes: Box<[OnceCell<RouteRef>]>,
}

/// A route with this worker's own parts of it. A call holds on to it, whatever is configured meanwhile.
pub(crate) type RouteRef = Rc<LocalRoute>;

#[derive(Debug)]
pub(crate) struct LocalRoute {
    pub(crate) route: Arc<Route>,
    pub(crate) revision: Revision,
    /// A copy of this worker's own, so that records don't make cores contend for one count.
    pub(crate) labels: Arc<RouteLabels>,
    /// The pool of each target.
    pub(crate) pools: Box<[Rc<Pool>]>,
    /// The way of copies of its calls.
    pub(crate) mirror: Option<RouteRef>,
    /// The way of questions about its calls.
    pub(crate) decision: Option<RouteRef>,
    /// The ways to the providers of its models.
    pub(crate) providers: Box<[RouteRef]>,
    /// The ways to what guardrails ask.
    pub(crate) questions: Box<[(Name, RouteRef)]>,
}

impl LocalRoute {
    fn new(route: &Arc<Route>, revision: Revision, pools: &Pools) -> RouteRef {
        let targets = route.upstream.iter().flat_map(|plan| &plan.targets);
        let mirror = route.mirror.as_ref();
        let decision = route.decision.as_ref();
        let providers = route.ai.iter().flat_map(|ai| &ai.plan.providers);
        let questions = route.ai.iter().flat_map(|ai| &ai.plan.questions);
        Rc::new(Self {
            revision,
            labels: Arc::new(route.labels.clone()),
            pools: targets.map(|target| pools.of(target)).collect(),
            mirror: mirror.map(|mirror| Self::new(&mirror.route, revision, pools)),
            decision: decision.map(|decision| Self::new(&decision.route, revision, pools)),
            providers: providers
                .map(|provider| Self::new(&provider.route, revision, pools))
                .collect(),
            questions: questions
                .map(|(name, route)| (name.clone(), Self::new(route, revision, pools)))
                .collect(),
            route: Arc::clone(route),
        })
    }
}

impl LocalSnapshot {
    pub(crate) fn new((generation, shared): (u64, Arc<Snapshot>)) -> Self {
        let places = shared.table.places();
        Self {
            generation,
            shared,
            routes: (0..places).map(|_| OnceCell::new()).collect(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn revision(&self) -> Revision {
        self.shared.revision
    }

    /// What this worker has for a route of the table.
    pub(crate) fn route(&self, found: &Found<'_>, pools: &Pools) -> Option<RouteRef> {
        let make = || LocalRoute::new(found.route, self.shared.revision, pools);
        let place = self.routes.get(found.place)?;
        Some(Rc::clone(place.get_or_init(make)))
    }
}
