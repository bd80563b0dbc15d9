//! Which route a request leads to: by host, then by path, then by method, headers and query.
//!
//! Each host has a table of its own. When a revision changes, the tables of hosts whose APIs are the same
//! are shared with the snapshot before.

mod condition;
mod tree;
mod view;

#[cfg(test)]
pub(crate) mod tests;

pub(super) use super::Route;
use super::compiled_api::{CompiledApi, CompiledRoute};
pub(crate) use condition::ConditionPlan;
use hashbrown::HashMap;
use http::HeaderValue;
use keyward_model::resource::HostPattern;
use std::collections::BTreeMap;
use std::sync::Arc;
pub(crate) use tree::Parameters;
use tree::PathTree;
pub(crate) use view::{HostName, Occurrence, RequestView, decodes_to, name_of};

/// The routes of one host.
#[derive(Debug, Default)]
pub(crate) struct HostTable {
    apis: Vec<Arc<CompiledApi>>,
    tree: PathTree,
    routes: Vec<Placed>,
    /// How many variants all its routes have.
    variants: usize,
}

/// A route with the place of its first variant in the table.
#[derive(Debug)]
struct Placed {
    /// The first variant, at hand for routes that have no other: most look-ups end here, and each pointer
    /// followed is memory that may be far away.
    only: Option<Arc<Route>>,
    first: usize,
    compiled: Arc<CompiledRoute>,
}

/// Two routes that no rule tells apart.
#[derive(Debug)]
pub(super) struct Rivals {
    pub(super) first: Arc<CompiledRoute>,
    pub(super) second: Arc<CompiledRoute>,
}

impl HostTable {
    /// The table of these APIs' routes.
    pub(super) fn new(apis: Vec<Arc<CompiledApi>>) -> Result<Self, Rivals> {
        let mut table = Self::default();
        for api in &apis {
            for compiled in &api.routes {
                let routes = &table.routes;
                let matching = |route: usize| {
                    let placed: Option<&Placed> = routes.get(route);
                    placed.map(|placed| &placed.compiled.matching)
                };
                let inserted =
                    table
                        .tree
                        .insert(&api.base_path, &compiled.matching, routes.len(), matching);
                if let Err(rival) = inserted {
                    let first = table
                        .routes
                        .get(rival)
                        .map_or(compiled, |rival| &rival.compiled);
                    return Err(Rivals {
                        first: Arc::clone(first),
                        second: Arc::clone(compiled),
                    });
                }
                let only = match &*compiled.variants {
                    [only] => Some(Arc::clone(only)),
                    _ => None,
                };
                table.routes.push(Placed {
                    only,
                    compiled: Arc::clone(compiled),
                    first: table.variants,
                });
                table.variants += compiled.variants.len();
            }
        }
        table.apis = apis;
        Ok(table)
    }

    /// Whether it is the table of just these.
    pub(super) fn is_of(&self, apis: &[Arc<CompiledApi>]) -> bool {
        self.apis.len() == apis.len()
            && self
                .apis
                .iter()
                .zip(apis)
                .all(|(mine, other)| Arc::ptr_eq(mine, other))
    }
}

/// The tables of all hosts. A route's place is counted over all of them.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    exact: HashMap<Box<str>, Entry>,
    /// By the name behind `*.`.
    below: HashMap<Box<str>, Entry>,
    /// The most labels of a name in `below`: longer ones are not looked for.
    labels_below: usize,
    /// Of APIs that name no host.
    any: Option<Entry>,
    places: usize,
}

#[derive(Debug)]
struct Entry {
    table: Arc<HostTable>,
    first: usize,
}

/// What a request leads to.
#[derive(Debug)]
pub(crate) enum Lookup<'t> {
    Found(Found<'t>),
    /// There are routes, but for other methods: these, as `Allow` lists them.
    OtherMethods(HeaderValue),
    Nothing,
}

/// A route, in the variant whose turn it is.
#[derive(Debug)]
pub(crate) struct Found<'t> {
    pub(crate) route: &'t Arc<Route>,
    /// Its place among all of the snapshot.
    pub(crate) place: usize,
    pub(crate) parameters: Parameters,
}

impl RouteTable {
    /// The table of these hosts; `None` stands for the APIs that name no host.
    pub(super) fn new(hosts: &BTreeMap<Option<HostPattern>, Arc<HostTable>>) -> Self {
        let mut this = Self {
            exact: HashMap::with_capacity(hosts.len()),
            ..Self::default()
        };
        for (host, table) in hosts {
            let entry = Entry {
                table: Arc::clone(table),
                first: this.places,
            };
            this.places += table.variants;
            match host {
                None => this.any = Some(entry),
                Some(HostPattern::Exact(name)) => {
                    this.exact.insert(name.clone(), entry);
                }
                Some(HostPattern::Below(name)) => {
                    this.labels_below = this.labels_below.max(name.split('.').count());
                    this.below.insert(name.clone(), entry);
                }
            }
        }
        this
    }

    /// How many places there are: routes by their variants and hosts.
    pub(crate) fn places(&self) -> usize {
        self.places
    }

    /// The most specific route that takes the request. Of a split, `turn` chooses the variant.
    pub(crate) fn find(&self, request: &RequestView<'_>, turn: impl FnOnce() -> u32) -> Lookup<'_> {
        let host = self.host_of(request);
        let mut other_method = false;
        for entry in self.entries(host.as_ref().map(HostName::as_str)) {
            let found = entry.table.tree.find(request, &mut other_method);
            let placed = found.and_then(|(route, parameters)| {
                let placed = entry.table.routes.get(route)?;
                Some((placed, parameters))
            });
            let Some((placed, parameters)) = placed else {
                continue;
            };
            let chosen = match &placed.only {
                Some(only) => Some((0, only)),
                None => placed.compiled.choose(turn, request),
            };
            return match chosen {
                Some((variant, route)) => Lookup::Found(Found {
                    route,
                    place: entry.first + placed.first + variant,
                    parameters,
                }),
                None => Lookup::Nothing,
            };
        }
        if other_method {
            self.allowed(request, host.as_ref())
        } else {
            Lookup::Nothing
        }
    }

    /// The name that is called, if hosts matter at all.
    fn host_of(&self, request: &RequestView<'_>) -> Option<HostName> {
        if self.exact.is_empty() && self.below.is_empty() {
            return None;
        }
        HostName::of(request.host?)
    }

    /// The tables that may have the request's route, the most specific first.
    fn entries<'t>(&'t self, host: Option<&str>) -> impl Iterator<Item = &'t Entry> {
        let exact = host.and_then(|host| self.exact.get(host));
        exact
            .into_iter()
            .chain(self.entries_below(host.unwrap_or_default()))
            .chain(&self.any)
    }

    /// From the longest name below which the host is to the shortest.
    fn entries_below<'t>(&'t self, host: &str) -> impl Iterator<Item = &'t Entry> {
        let labels = match self.labels_below {
            0 => 0,
            _ => memchr::memchr_iter(b'.', host.as_bytes()).count(),
        };
        let hopeless = labels.saturating_sub(self.labels_below);
        memchr::memchr_iter(b'.', host.as_bytes())
            .take(labels)
            .skip(hopeless)
            .filter_map(|dot| self.below.get(host.get(dot + 1..)?))
    }

    fn allowed(&self, request: &RequestView<'_>, host: Option<&HostName>) -> Lookup<'_> {
        let mut methods = Vec::new();
        for entry in self.entries(host.map(HostName::as_str)) {
            entry.table.tree.methods(request, &mut methods);
        }
        methods.sort_unstable();
        methods.dedup();
        // Methods are tokens: this can't fail.
        match HeaderValue::from_str(&methods.join(", ")) {
            Ok(allow) => Lookup::OtherMethods(allow),
            Err(_) => Lookup::Nothing,
        }
    }
}
