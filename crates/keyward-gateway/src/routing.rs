//! Routing alone, without listeners and workers: which route a request would take, and what it costs to
//! find that out.

use crate::issuer::Issuers;
use crate::snapshot::{
    CompileError, Continuity, Lookup, Occurrence, RequestView, RouteTable, Snapshot,
};
use http::{HeaderMap, HeaderValue, Method};
use keyward_model::resource::{Issuer, Resource};
use keyward_model::usage::RouteLabels;
use keyward_model::{Clock, Revision, SystemClock};
use std::sync::Arc;

/// A configuration's routes.
#[derive(Debug)]
pub struct Routing {
    snapshot: Snapshot,
    continuity: Continuity,
}

/// A request as routes see it.
#[derive(Clone, Copy, Debug)]
pub struct RoutedRequest<'a> {
    /// The authority that is called.
    pub host: &'a str,
    /// The path, which has one reading already.
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The query, without the question mark.
    pub query: Option<&'a str>,
}

impl Routing {
    /// No routes yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            snapshot: Snapshot::empty(),
            continuity: Continuity::default(),
        }
    }

    /// Compiles a configuration as a node with one worker does when its revision changes: what is the same
    /// as in the one before is taken over.
    ///
    /// # Errors
    /// When it can't be served; the one before stays.
    pub fn compile(
        &mut self,
        resources: &[Arc<Resource>],
        issuers: &Issuers,
        own: Option<&Issuer>,
    ) -> Result<(), CompileError> {
        let revision = Revision::default();
        let continuity = &mut self.continuity;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        self.snapshot =
            Snapshot::compile(revision, resources, issuers, own, continuity, 1, &clock)?;
        Ok(())
    }

    pub(crate) fn table(&self) -> &RouteTable {
        &self.snapshot.table
    }

    /// The route that takes a request, if one does.
    #[must_use]
    pub fn find(&self, request: &RoutedRequest<'_>) -> Option<&RouteLabels> {
        let header = |name: &str| {
            let values = request.headers.get_all(name).iter();
            Occurrence::of(values.map(HeaderValue::as_bytes))
        };
        let view = RequestView {
            host: Some(request.host),
            path: request.path,
            method: request.method,
            header: &header,
            query: request.query,
        };
        match self.snapshot.table.find(&view, || 0) {
            Lookup::Found(found) => Some(&found.route.labels),
            Lookup::OtherMethods(_) | Lookup::Nothing => None,
        }
    }
}

impl Default for Routing {
    fn default() -> Self {
        Self::new()
    }
}
