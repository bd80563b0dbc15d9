//! Whether resources fit together: names that are unique, references that lead somewhere, paths that
//! don't hide one another.

mod access;
mod ai;
mod key_sets;

use super::conflict;
use super::issuer::SELF;
use super::raw::{Declared, Node, Place, Problems, Value, closest};
use super::upstream::Protocol;
use super::{
    Api, Credential, Issuer, IssuerKeys, KeySet, Model, Provider, Route, Spec, Upstream, Webhook,
};
use crate::name::Name;
use hashbrown::{HashMap, HashSet};
use std::ops::Range;

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
    credentials: HashMap<Key<'r>, (&'r Declared, &'r Credential)>,
    rules: access::Rules<'r>,
    key_sets: HashMap<Key<'r>, (&'r Declared, &'r KeySet)>,
    webhooks: HashMap<Key<'r>, (&'r Declared, &'r Webhook)>,
    /// Nothing of the configuration names them.
    management_roles: HashMap<Key<'r>, Place>,
    providers: HashMap<Key<'r>, (&'r Declared, &'r Provider)>,
    models: HashMap<Key<'r>, (&'r Declared, &'r Model)>,
}

/// Tells what does not fit together among `resources`. `own_issuer` is the `iss` of this node's own
/// tokens. Takes time in proportion to their number.
pub fn check(resources: &[&Declared], own_issuer: &str, problems: &mut Problems) {
    check_new(resources, &New::All, own_issuer, problems);
}

/// As [`check`], where all but those in `changed` fitted together before, and nothing but APIs has changed or
/// is gone: what only concerns the others is not looked at again.
pub fn check_changed_apis(
    resources: &[&Declared],
    changed: Range<usize>,
    own_issuer: &str,
    problems: &mut Problems,
) {
    let changed = resources.get(changed).unwrap_or_default();
    let new = New::These(
        changed
            .iter()
            .map(|declared| std::ptr::from_ref(*declared))
            .collect(),
    );
    check_new(resources, &new, own_issuer, problems);
}

/// Which resources are to be held against the others.
pub(super) enum New {
    /// Every one.
    All,
    /// Those at these addresses: they are not looked into.
    These(HashSet<*const Declared>),
}

impl New {
    pub(super) fn has(&self, declared: &Declared) -> bool {
        match self {
            Self::All => true,
            Self::These(these) => these.contains(&std::ptr::from_ref(declared)),
        }
    }
}

fn check_new(resources: &[&Declared], new: &New, own_issuer: &str, problems: &mut Problems) {
    let catalogue = Catalogue::of(resources, problems);
    catalogue.own_issuer(own_issuer, problems);
    key_sets::check(&catalogue, own_issuer, problems);
    conflict::check(&catalogue.apis, new, problems);
    catalogue.credentials(problems);
    access::check(&catalogue, new, problems);
    ai::check(&catalogue, problems);
    let mut used: HashSet<Key<'_>> = ai::asked_upstreams(&catalogue).collect();
    for (declared, api) in &catalogue.apis {
        if !new.has(declared) {
            let named = api.routes.iter().flat_map(Route::upstreams);
            used.extend(named.map(|name| (&declared.resource.team_name, name)));
            continue;
        }
        used.extend(catalogue.upstreams_of(declared, api, problems));
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
            credentials: HashMap::new(),
            rules: access::Rules::default(),
            key_sets: HashMap::new(),
            webhooks: HashMap::new(),
            management_roles: HashMap::new(),
            providers: HashMap::new(),
            models: HashMap::new(),
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
                Spec::Credential(credential) => {
                    let earlier = catalogue.credentials.insert(key, (declared, credential));
                    earlier.map(|(earlier, _)| earlier.place())
                }
                Spec::Role(role) => catalogue
                    .rules
                    .roles
                    .insert(key, (declared, role))
                    .map(|(earlier, _)| earlier.place()),
                Spec::AccessPolicy(policy) => catalogue
                    .rules
                    .policies
                    .insert(key, (declared, policy))
                    .map(|(earlier, _)| earlier.place()),
                Spec::Webhook(webhook) => catalogue
                    .webhooks
                    .insert(key, (declared, webhook))
                    .map(|(earlier, _)| earlier.place()),
                Spec::ManagementRole(_) => catalogue.management_roles.insert(key, declared.place()),
                Spec::KeySet(set) => catalogue
                    .key_sets
                    .insert(key, (declared, set))
                    .map(|(earlier, _)| earlier.place()),
                Spec::Provider(provider) => catalogue
                    .providers
                    .insert(key, (declared, provider))
                    .map(|(earlier, _)| earlier.place()),
                Spec::Model(model) => catalogue
                    .models
                    .insert(key, (declared, model))
                    .map(|(earlier, _)| earlier.place()),
            };
            if let Some(earlier) = earlier {
                let resource = &declared.resource;
                let version = match &resource.spec {
                    Spec::Api(api) => format!(" version `{}`", api.version),
                    Spec::Issuer(_)
                    | Spec::Upstream(_)
                    | Spec::Credential(_)
                    | Spec::Role(_)
                    | Spec::AccessPolicy(_)
                    | Spec::KeySet(_)
                    | Spec::Webhook(_)
                    | Spec::ManagementRole(_)
                    | Spec::Provider(_)
                    | Spec::Model(_) => String::new(),
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

    /// No two credentials of a team are shown in one way: whose call would it be?
    fn credentials(&self, problems: &mut Problems) {
        let mut known: HashMap<(&Name, String), &Name> = HashMap::new();
        let mut all: Vec<_> = self.credentials.iter().collect();
        all.sort_by_key(|(_, (declared, _))| declared.place());
        for ((team, name), (declared, credential)) in all {
            let (shown, key) = credential.shown();
            if let Some(other) = known.insert((team, shown), name) {
                problems.error(
                    declared.node.place_of(&[key]),
                    "duplicate_credential",
                    same_shown(key, other, name),
                );
            }
        }
    }

    /// The upstreams that an API's routes name. One that does not exist is told of where it is named, once.
    fn upstreams_of(
        &self,
        declared: &'r Declared,
        api: &'r Api,
        problems: &mut Problems,
    ) -> Vec<Key<'r>> {
        let team = &declared.resource.team_name;
        let mut used = Vec::new();
        let mut told = HashSet::new();
        for (index, route) in api.routes.iter().enumerate() {
            for upstream in route.upstreams() {
                let key = (team, upstream);
                let place = || place_of_upstream(&declared.node, index, upstream);
                if let Some((_, known)) = self.upstreams.get(&key) {
                    used.push(key);
                    let tunnels = route.websocket.is_some() && route.forwards_to(upstream);
                    if tunnels && known.protocol != Protocol::Http1 {
                        problems.error(
                            place(),
                            "contradiction",
                            format!(
                                "`websocket` is for upstreams that are spoken to in HTTP/1.1, and `{upstream}` has another `protocol`: give the route an upstream of its own"
                            ),
                        );
                    }
                    continue;
                }
                let place = place();
                if told.insert((place, upstream)) {
                    self.unknown_upstream(key, place, problems);
                }
            }
        }
        used
    }

    fn unknown_upstream(&self, (team, upstream): Key<'r>, place: Place, problems: &mut Problems) {
        let names = self.upstreams.keys().filter(|(owner, _)| *owner == team);
        let hint = meant(upstream, names.map(|(_, name)| name.as_str()));
        problems.error(
            place,
            "unknown_reference",
            format!(
                "`upstream`: there is no upstream `{upstream}`{}",
                hint.unwrap_or_else(|| ": declare it with `kind: upstream`".to_owned())
            ),
        );
    }

    /// Issuers exist, and no two of a route share one `iss`: which keys would then count?
    fn issuers_of(
        &self,
        declared: &'r Declared,
        api: &'r Api,
        own_issuer: &str,
        problems: &mut Problems,
    ) {
        let Some(tokens) = api.authentication.token() else {
            return;
        };
        let issuers = &tokens.issuers;
        let mut seen: HashMap<&str, &Name> = HashMap::new();
        let mut asked: Option<&Name> = None;
        for (index, name) in issuers.iter().enumerate() {
            let place = place_of_issuer(&declared.node, index);
            let identifier = if name.as_str() == SELF {
                own_issuer
            } else if let Some((_, issuer)) = self.issuer(&declared.resource.team_name, name) {
                if matches!(issuer.keys, IssuerKeys::Introspection(_))
                    && let Some(other) = asked.replace(name)
                {
                    problems.error(
                        place,
                        "contradiction",
                        format!("`issuers`: `{other}` and `{name}` both have to be asked about a token, and one that is opaque does not say which: it would be shown to the wrong one"),
                    );
                }
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

    /// An issuer of the team, or else one that all teams share.
    fn issuer(&self, team: &Name, name: &Name) -> Option<(&'r Declared, &'r Issuer)> {
        let of = |team: &Name| self.issuers.get(&(team, name)).copied();
        let shared = || of(&Name::default_team()).filter(|(found, _)| found.resource.is_shared());
        of(team).or_else(shared)
    }
}

/// That two credentials of a team are shown in the same way, by their member `key`.
#[must_use]
pub fn same_shown(key: &str, other: &Name, name: &Name) -> String {
    format!(
        "`{key}`: the credentials `{other}` and `{name}` have the same one, so that nobody could say which of them calls"
    )
}

/// Where an API names this issuer.
fn place_of_issuer(node: &Node, index: usize) -> Place {
    let methods = node.get("authentication");
    let in_list = methods
        .map_or(&[][..], Node::members)
        .iter()
        .find(|method| method.get("issuers").is_some());
    match in_list {
        Some(method) => method.place_of_member(&["issuers"], index),
        None => node.place_of_member(&["authentication", "issuers"], index),
    }
}

/// Where a route names an upstream, or else where its API does.
fn place_of_upstream(node: &Node, route: usize, upstream: &Name) -> Place {
    let named = |node: &Node| {
        let named = node.get("upstream")?;
        matches!(&named.value, Value::Text(text) if text.as_str() == upstream.as_str())
            .then_some(named.place)
    };
    let route = node.get("routes").and_then(|routes| routes.member(route));
    let in_route = route.and_then(|route| {
        let shares = route.get("split").map_or(&[][..], Node::members);
        named(route)
            .or_else(|| shares.iter().find_map(named))
            .or_else(|| route.get("mirror").and_then(named))
            .or_else(|| route.get("external_decision").and_then(named))
    });
    let in_policy = || node.get("external_decision").and_then(named);
    in_route
        .or_else(in_policy)
        .unwrap_or_else(|| node.place_of(&["upstream"]))
}

fn meant<'c>(name: &Name, candidates: impl Iterator<Item = &'c str>) -> Option<String> {
    closest(name.as_str(), candidates).map(|meant| format!(": did you mean `{meant}`?"))
}
