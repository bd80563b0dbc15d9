//! Routes that no rule tells apart, and routes that nobody reaches.

use super::ai::RESERVED_AI_PATHS;
use super::api::Api;
use super::consistency::{New, RESERVED_PATHS};
use super::raw::{Declared, Place, Problems};
use super::route::{CONDITIONED_MAX, HostPattern, PathKind, Route};
use hashbrown::{HashMap, HashSet};

/// A route with where it was written.
#[derive(Clone, Copy)]
struct Written<'r> {
    declared: &'r Declared,
    api: &'r Api,
    route: &'r Route,
    index: usize,
}

/// Routes that only their conditions tell apart, by host and shape of the path.
type Neighbours<'r> = HashMap<(Option<&'r HostPattern>, String), Vec<Written<'r>>>;

/// Tells of conflicts between the routes of `apis`, and of those that hide behind what the gateway
/// answers itself. Those that are not `new` were in no conflict with each other before.
pub(super) fn check(apis: &[(&Declared, &Api)], new: &New, problems: &mut Problems) {
    let mut neighbours = Neighbours::new();
    let watched = Watched::of(apis, new);
    let models: Vec<_> = apis.iter().copied().filter(serves_models).collect();
    for (declared, api) in apis.iter().copied() {
        let is_new = new.has(declared);
        hidden_behind_models(declared, api, is_new, (&models, new), problems);
        if !is_new && !watched.may_have(api) {
            continue;
        }
        for (index, route) in api.routes.iter().enumerate() {
            let written = Written {
                declared,
                api,
                route,
                index,
            };
            if is_new {
                written.is_reserved(problems);
            }
            if api.state.serves() && watched.has(written) {
                written.meet(&mut neighbours, problems);
            }
        }
    }
}

fn serves_models((_, api): &(&Declared, &Api)) -> bool {
    api.ai.is_some() && api.state.serves()
}

/// Tells of routes that nobody reaches since an API that serves AI models has their addresses.
fn hidden_behind_models(
    declared: &Declared,
    api: &Api,
    is_new: bool,
    (models, new): (&[(&Declared, &Api)], &New),
    problems: &mut Problems,
) {
    if models.is_empty() || api.ai.is_some() || !api.state.serves() {
        return;
    }
    let on_one_host = |served: &Api| hosts(served).any(|host| hosts(api).any(|own| own == host));
    let reserved: Vec<String> = models
        .iter()
        .filter(|(other, served)| (is_new || new.has(other)) && on_one_host(served))
        .flat_map(|(_, served)| RESERVED_AI_PATHS.iter().map(|path| joined(served, path)))
        .collect();
    if reserved.is_empty() {
        return;
    }
    for (index, route) in api.routes.iter().enumerate() {
        let written = Written {
            declared,
            api,
            route,
            index,
        };
        let path = written.whole_path();
        if reserved.iter().any(|reserved| is_below(&path, reserved)) {
            problems.error(
                written.place(),
                "reserved_path",
                format!(
                    "`{}`: `{path}` is hidden: an API with `ai` serves models there; choose another path, or give that API a `base_path` or `hosts` of its own",
                    written.key()
                ),
            );
        }
    }
}

/// A path below an API's base path.
fn joined(api: &Api, path: &str) -> String {
    format!("{}{path}", api.base_path.as_str().trim_end_matches('/'))
}

/// The hosts and shapes of paths that new routes are at; where all are new, there is nothing to be told apart.
struct Watched<'r>(Option<HashMap<Option<&'r HostPattern>, HashSet<String>>>);

impl<'r> Watched<'r> {
    fn of(apis: &[(&'r Declared, &'r Api)], new: &New) -> Self {
        if matches!(new, New::All) {
            return Self(None);
        }
        let mut watched: HashMap<_, HashSet<String>> = HashMap::new();
        for (_, api) in apis.iter().filter(|(declared, _)| new.has(declared)) {
            for route in &api.routes {
                let shape = route.matching.path.shape_below(&api.base_path);
                for host in hosts(api) {
                    watched.entry(host).or_default().insert(shape.clone());
                }
            }
        }
        Self(Some(watched))
    }

    /// Whether an API has a host that is watched: most have none, which is cheap to see.
    fn may_have(&self, api: &Api) -> bool {
        let watched = self.0.as_ref();
        watched.is_none_or(|watched| hosts(api).any(|host| watched.contains_key(&host)))
    }

    fn has(&self, written: Written<'_>) -> bool {
        self.0.as_ref().is_none_or(|watched| {
            let Written { api, route, .. } = written;
            let shape = route.matching.path.shape_below(&api.base_path);
            let mut shapes = hosts(api).filter_map(|host| watched.get(&host));
            shapes.any(|shapes| shapes.contains(&shape))
        })
    }
}

/// The hosts that an API names; `None` stands for any.
pub(super) fn hosts(api: &Api) -> impl Iterator<Item = Option<&HostPattern>> {
    let any = api.hosts.is_empty().then_some(None);
    api.hosts.iter().map(Some).chain(any)
}

impl<'r> Written<'r> {
    /// The route's own place, or the base path's where the API lists no routes.
    fn place(&self) -> Place {
        if self.lists_none() {
            self.declared.node.place_of(&["base_path"])
        } else {
            self.declared.node.place_of_member(&["routes"], self.index)
        }
    }

    fn lists_none(&self) -> bool {
        self.declared.node.get("routes").is_none()
    }

    fn key(&self) -> &'static str {
        if self.lists_none() {
            "base_path"
        } else {
            "routes"
        }
    }

    /// What its calls' paths begin with, or are.
    fn whole_path(&self) -> String {
        let mut path = self.route.matching.path.below(&self.api.base_path);
        match self.route.matching.path.kind() {
            PathKind::Whole => {}
            PathKind::Prefix => {
                if let Some(short) = path.strip_suffix("/*") {
                    path.truncate(short.len());
                }
            }
        }
        path
    }

    fn is_reserved(&self, problems: &mut Problems) {
        let path = self.whole_path();
        let hidden = RESERVED_PATHS
            .iter()
            .find(|reserved| is_below(&path, reserved));
        if let Some(reserved) = hidden {
            problems.error(
                self.place(),
                "reserved_path",
                format!(
                    "`{}`: `{path}` is hidden: the gateway itself answers at `{reserved}`",
                    self.key()
                ),
            );
        }
    }

    /// Compares the route with those of the same hosts and path that came before it. One conflict is
    /// told of each: with which others there are more, is seen when that is resolved.
    fn meet(self, neighbours: &mut Neighbours<'r>, problems: &mut Problems) {
        let shape = self.route.matching.path.shape_below(&self.api.base_path);
        let mut told = false;
        for host in hosts(self.api) {
            let others = neighbours.entry((host, shape.clone())).or_default();
            if told {
                continue;
            }
            if others.len() >= CONDITIONED_MAX {
                told = true;
                problems.error(
                    self.place(),
                    "too_many",
                    format!(
                        "`{}`: {CONDITIONED_MAX} routes share the path `{}` already, and conditions are looked at one by one: that is the most",
                        self.key(),
                        self.route.matching.path.below(&self.api.base_path),
                    ),
                );
                continue;
            }
            let rank = self.route.matching.rank();
            let rival = others.iter().find(|other| {
                other.route.matching.rank() == rank
                    && other.route.matching.overlaps(&self.route.matching)
            });
            if let Some(rival) = rival {
                told = true;
                self.tell_conflict(rival, host, problems);
            }
            others.push(self);
        }
    }

    fn tell_conflict(&self, rival: &Self, host: Option<&HostPattern>, problems: &mut Problems) {
        let place = self.place();
        let on = host.map_or_else(String::new, |host| format!(" on `{host}`"));
        if self.declared.resource.team != rival.declared.resource.team {
            // Nobody learns here what other teams call their APIs.
            problems.error(
                place,
                "duplicate_path",
                format!(
                    "`{}`: calls of `{}`{on} go elsewhere on this gateway: choose another path",
                    self.key(),
                    self.route.matching.path.below(&self.api.base_path),
                ),
            );
            return;
        }
        let api = format!(
            "the API `{}` {}",
            rival.declared.resource.name,
            rival.declared.place().seen_from(place)
        );
        if self.lists_none() && rival.lists_none() {
            problems.error(
                place,
                "duplicate_path",
                format!(
                    "`base_path`: `{}` is taken{on} by {api}: give each served version its own path",
                    self.api.base_path,
                ),
            );
            return;
        }
        let whose = if std::ptr::eq(self.declared, rival.declared) {
            format!(
                "the route `{}` {}",
                rival.route.label,
                rival.place().seen_from(place)
            )
        } else {
            format!("the route `{}` of {api}", rival.route.label)
        };
        problems.error(
            place,
            "ambiguous_route",
            format!(
                "`{}`: a call of `{}`{on} could be for `{}` and for {whose}, and no rule tells which: give them different methods, headers or parts of the query, or take one out",
                self.key(),
                self.route.matching.path.below(&self.api.base_path),
                self.route.label,
            ),
        );
    }
}

/// Whether `path` is `prefix` or below it.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
