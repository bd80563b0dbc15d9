//! A worker's own view of the shared snapshot.

use super::{Route, Snapshot};
use crate::upstream::{Pool, Pools};
use keyward_model::Revision;
use keyward_model::usage::RouteLabels;
use std::rc::Rc;
use std::sync::Arc;

/// The snapshot with what this worker has for each of its routes. Calls share its parts by counts that
/// no other core touches.
#[derive(Debug)]
pub(crate) struct LocalSnapshot {
    generation: u64,
    pub(crate) shared: Arc<Snapshot>,
    routes: Vec<RouteRef>,
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
}

impl LocalSnapshot {
    pub(crate) fn new((generation, shared): (u64, Arc<Snapshot>), pools: &Pools) -> Self {
        let local = |route: &Arc<Route>| {
            Rc::new(LocalRoute {
                revision: shared.revision,
                labels: Arc::new(route.labels.clone()),
                pools: route
                    .targets
                    .iter()
                    .map(|target| pools.of(target))
                    .collect(),
                route: Arc::clone(route),
            })
        };
        let routes = shared.routes.iter().map(local).collect();
        Self {
            generation,
            shared,
            routes,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn revision(&self) -> Revision {
        self.shared.revision
    }

    /// The route at this place of the table.
    pub(crate) fn route(&self, index: usize) -> Option<RouteRef> {
        self.routes.get(index).cloned()
    }
}
