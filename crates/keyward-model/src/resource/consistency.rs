//! Whether resources fit together: names that are unique, references that lead somewhere, paths that
//! don't hide one another.

use super::issuer::SELF;
use super::raw::{Declared, Place, Problems, closest};
use super::{Api, Authentication, BasePath, Issuer, Spec, Upstream};
use crate::name::Name;
use std::collections::{HashMap, HashSet};

/// What stands at the gateway's listener besides APIs: each with all below it.
pub const RESERVED_PATHS: &[&str] = &[
    "/.well-known/jwks.json",
    "/.well-known/oauth-protected-resource",
    "/.well-known/acme-challenge",
];

/// A team and a name in it.
type Key<'r> = (&'r Name, &'r Name);

/// The resources by what they are.
struct Catalogue<'r> {
    issuers: HashMap<Key<'r>, (&'r Declared, &'r Issuer)>,
    upstreams: HashMap<Key<'r>, (&'r Declared, &'r Upstream)>,
    apis: Vec<(&'r Declared, &'r Api)>,
}

/// Tells what does not fit together among `resources`. `own_issuer` is the `iss` of this node's own
/// tokens. Takes time in proportion to their number.
pub fn check(resources: &[&Declared], own_issuer: &str, problems: &mut Problems) {
    let catalogue = Catalogue::of(resources, problems);
    catalogue.own_issuer(own_issuer, problems);
    catalogue.paths(problems);
    let mut used: HashSet<Key<'_>> = HashSet::new();
    for (declared, api) in &catalogue.apis {
        used.extend(catalogue.upstream_of(declared, api, problems));
        catalogue.issuers_of(declared, api, own_issuer, problems);
    }
    for (key, (declared, _)) in &catalogue.upstreams {
        if !used.contains(key) {
            problems.warning(
                declared.place(),
                "unused",
                format!("upstream `{}` is used by no API", declared.resource.name),
            );
        }
    }
}

impl<'r> Catalogue<'r> {
    fn of(resources: &[&'r Declared], problems: &mut Problems) -> Self {
        let mut catalogue = Self {
            issuers: HashMap::new(),
            upstreams: HashMap::new(),
            apis: Vec::new(),
        };
        let mut versions: HashMap<(Key<'r>, &'r Name), Place> = HashMap::new();
        for declared in resources.iter().copied() {
            let key = (&declared.resource.team_name, &declared.resource.name);
            let earlier = match &declared.resource.spec {
                Spec::Issuer(issuer) => catalogue
                    .issuers
                    .insert(key, (declared, issuer))
                    .map(|(earlier, _)| earlier.place()),
                Spec::Upstream(upstream) => catalogue
                    .upstreams
                    .insert(key, (declared, upstream))
                    .map(|(earlier, _)| earlier.place()),
                Spec::Api(api) => {
                    catalogue.apis.push((declared, api));
                    versions.insert((key, &api.version), declared.place())
                }
            };
            if let Some(earlier) = earlier {
                let resource = &declared.resource;
                let version = match &resource.spec {
                    Spec::Api(api) => format!(" version `{}`", api.version),
                    Spec::Issuer(_) | Spec::Upstream(_) => String::new(),
                };
                problems.error(
                    declared.node.place_of(&["name"]),
                    "duplicate_name",
                    format!(
                        "there are two resources of kind `{}` with the name `{}`{version} (the other is {})",
                        resource.spec.kind(),
                        resource.name,
                        earlier.seen_from(declared.place()),
                    ),
                );
            }
        }
        catalogue
    }

    fn own_issuer(&self, own_issuer: &str, problems: &mut Problems) {
        for (declared, issuer) in self.issuers.values() {
            if issuer.issuer.as_ref() == own_issuer {
                problems.error(
                    declared.node.place_of(&["issuer"]),
                    "duplicate_issuer",
                    format!("`issuer`: `{own_issuer}` is this node itself (`site_url`): name it `self` in APIs instead of declaring it"),
                );
            }
        }
    }

    /// No two served APIs with one path, none that hides behind what the gateway answers itself.
    fn paths(&self, problems: &mut Problems) {
        let mut taken: HashMap<&BasePath, &Declared> = HashMap::new();
        for (declared, api) in &self.apis {
            let place = declared.node.place_of(&["base_path"]);
            let path = api.base_path.as_str();
            if let Some(reserved) = RESERVED_PATHS
                .iter()
                .find(|reserved| is_below(path, reserved))
            {
                problems.error(
                    place,
                    "reserved_path",
                    format!("`base_path`: `{path}` is hidden: the gateway itself answers at `{reserved}`"),
                );
            }
            if !api.state.serves() {
                continue;
            }
            if let Some(other) = taken.insert(&api.base_path, declared) {
                problems.error(
                    place,
                    "duplicate_path",
                    format!(
                        "`base_path`: `{path}` is taken by the API `{}` {}: give each served version its own path",
                        other.resource.name,
                        other.place().seen_from(place),
                    ),
                );
            }
        }
    }

    fn upstream_of(
        &self,
        declared: &'r Declared,
        api: &'r Api,
        problems: &mut Problems,
    ) -> Option<Key<'r>> {
        let team = &declared.resource.team_name;
        let key = (team, &api.upstream);
        if self.upstreams.contains_key(&key) {
            return Some(key);
        }
        let names = self.upstreams.keys().filter(|(owner, _)| *owner == team);
        let hint = meant(&api.upstream, names.map(|(_, name)| name.as_str()));
        problems.error(
            declared.node.place_of(&["upstream"]),
            "unknown_reference",
            format!(
                "`upstream`: there is no upstream `{}`{}",
                api.upstream,
                hint.unwrap_or_else(|| ": declare it with `kind: upstream`".to_owned())
            ),
        );
        None
    }

    /// Issuers exist, and no two of a route share one `iss`: which keys would then count?
    fn issuers_of(
        &self,
        declared: &'r Declared,
        api: &'r Api,
        own_issuer: &str,
        problems: &mut Problems,
    ) {
        let Authentication::Jwt { issuers, .. } = &api.authentication else {
            return;
        };
        let mut seen: HashMap<&str, &Name> = HashMap::new();
        for (index, name) in issuers.iter().enumerate() {
            let place = declared
                .node
                .place_of_member(&["authentication", "issuers"], index);
            let identifier = if name.as_str() == SELF {
                own_issuer
            } else if let Some((_, issuer)) = self.issuer(&declared.resource.team_name, name) {
                &issuer.issuer
            } else {
                let team = &declared.resource.team_name;
                let names = self.issuers.keys().filter(|(owner, _)| *owner == team);
                let names = names.map(|(_, name)| name.as_str()).chain([SELF]);
                let hint = meant(name, names);
                problems.error(
                    place,
                    "unknown_reference",
                    format!(
                        "`issuers`: there is no issuer `{name}`{}",
                        hint.unwrap_or_else(
                            || ": declare it with `kind: issuer`, or use `self`".to_owned()
                        )
                    ),
                );
                continue;
            };
            if let Some(other) = seen.insert(identifier, name) {
                problems.error(
                    place,
                    "duplicate_issuer",
                    format!("`issuers`: `{other}` and `{name}` both stand for `{identifier}`: a token couldn't say whose keys count"),
                );
            }
        }
    }

    /// An issuer of the team, or else of the default team.
    fn issuer(&self, team: &Name, name: &Name) -> Option<(&'r Declared, &'r Issuer)> {
        let of = |team: &Name| self.issuers.get(&(team, name)).copied();
        of(team).or_else(|| of(&Name::default_team()))
    }
}

/// Whether `path` is `prefix` or below it.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn meant<'c>(name: &Name, candidates: impl Iterator<Item = &'c str>) -> Option<String> {
    closest(name.as_str(), candidates).map(|meant| format!(": did you mean `{meant}`?"))
}
