//! APIs as protected resources: which of them an address stands for.

use super::compiled_api::CompiledApi;
use super::route::Route;
use super::route_table::HostName;
use hashbrown::HashMap;
use keyward_model::resource::HostPattern;
use std::sync::Arc;

/// A base path is no longer; what is asked for beyond that need not be looked at.
const PATH_MAX: usize = 1_024;

/// APIs by their base path.
#[derive(Debug, Default)]
pub(super) struct ProtectedResources(HashMap<Box<str>, Vec<Arc<CompiledApi>>>);

impl ProtectedResources {
    pub(super) fn of(apis: &[Arc<CompiledApi>]) -> Self {
        let mut by_path: HashMap<Box<str>, Vec<Arc<CompiledApi>>> = HashMap::new();
        for api in apis {
            let path = api.base_path.as_str().into();
            by_path.entry(path).or_default().push(Arc::clone(api));
        }
        Self(by_path)
    }

    /// The routes of the APIs with the longest base path that `path` is below, on the called host: of those
    /// that name it, else of those that name no host.
    pub(super) fn at(&self, host: Option<&str>, path: &str) -> Vec<&Route> {
        let host = host.and_then(HostName::of);
        let host = host.as_ref().map(HostName::as_str);
        let mut end = path.len();
        let mut longest = path;
        if end > PATH_MAX {
            end = PATH_MAX;
            longest = path.get(..end).unwrap_or_default();
        }
        let mut rest = Some(longest.trim_end_matches('/'));
        while let Some(path) = rest {
            let key = if path.is_empty() { "/" } else { path };
            if let Some(apis) = self.0.get(key) {
                let ranks = apis.iter().map(|api| rank(api, host));
                let best = ranks.max().flatten();
                if best.is_some() {
                    let of_host = apis.iter().filter(|api| rank(api, host) == best);
                    return of_host
                        .flat_map(|api| &api.routes)
                        .filter_map(|route| route.variants.first().map(|route| &**route))
                        .collect();
                }
            }
            rest = path.rfind('/').and_then(|at| path.get(..at));
        }
        Vec::new()
    }
}

/// How closely an API's hosts are the called one; `None`: it is not theirs.
fn rank(api: &CompiledApi, host: Option<&str>) -> Option<usize> {
    if api.hosts.is_empty() {
        return Some(0);
    }
    let host = host?;
    let closeness = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => (**name == *host).then_some(usize::MAX),
        HostPattern::Below(name) => host
            .strip_suffix(&**name)
            .filter(|before| before.len() > 1 && before.ends_with('.'))
            .map(|_| name.len()),
    };
    api.hosts.iter().filter_map(closeness).max()
}
