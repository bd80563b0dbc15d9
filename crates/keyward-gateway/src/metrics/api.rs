//! The counters of one API version, by the names that its routes and limits have: who keeps a name over a
//! reload counts on.

use super::{LimitMetrics, RouteMetrics};
use keyward_model::name::Name;
use std::collections::HashMap;
use std::sync::Arc;

/// What is counted for one API version.
#[derive(Debug)]
pub(crate) struct ApiMetrics {
    workers: usize,
    routes: HashMap<Box<str>, Arc<RouteMetrics>>,
    /// By the route that has it for itself, if one does, and the name.
    limits: HashMap<(Option<Box<str>>, Name), Arc<LimitMetrics>>,
}

impl ApiMetrics {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers,
            routes: HashMap::new(),
            limits: HashMap::new(),
        }
    }

    /// The counters of the route with this label.
    pub(crate) fn route(&mut self, label: &str) -> Arc<RouteMetrics> {
        if let Some(known) = self.routes.get(label) {
            return Arc::clone(known);
        }
        let new = Arc::new(RouteMetrics::new(self.workers));
        self.routes.insert(label.into(), Arc::clone(&new));
        new
    }

    /// The counter of the limit of this name, which all routes share or one has for itself.
    pub(crate) fn limit(&mut self, route: Option<&str>, name: &Name) -> Arc<LimitMetrics> {
        let workers = self.workers;
        let new = || Arc::new(LimitMetrics::new(workers));
        let key = (route.map(Into::into), name.clone());
        Arc::clone(self.limits.entry(key).or_insert_with(new))
    }

    /// Drops what was counted for routes and limits that are gone, once the last call to them is. Whether
    /// anything is left.
    pub(crate) fn forget_unused(&mut self) -> bool {
        self.routes
            .retain(|_, metrics| Arc::strong_count(metrics) > 1);
        self.limits
            .retain(|_, metrics| Arc::strong_count(metrics) > 1);
        !self.routes.is_empty() || !self.limits.is_empty()
    }
}
