//! Whether models lead to providers, and APIs to models.

use super::{Catalogue, Key, meant};
use crate::name::Name;
use crate::resource::ai::OfferedModels;
use crate::resource::model::{Answers, Model};
use crate::resource::provider::SharedWith;
use crate::resource::raw::{Declared, Node, Problems};
use hashbrown::HashSet;

pub(super) fn check(catalogue: &Catalogue<'_>, problems: &mut Problems) {
    let mut used = HashSet::new();
    for (declared, model) in catalogue.models.values() {
        let team = &declared.resource.team_name;
        let lists = [("targets", &model.targets), ("fallbacks", &model.fallbacks)];
        for (key, targets) in lists {
            for (index, target) in targets.iter().enumerate() {
                let node = || declared.node.get(key).and_then(|list| list.member(index));
                match &target.answers {
                    Answers::Provider { provider, .. } => {
                        if let Some(found) = known_provider(catalogue, team, provider) {
                            used.insert(found);
                        } else {
                            unknown_provider(catalogue, declared, node(), provider, problems);
                        }
                    }
                    Answers::Alias(name) => {
                        if !catalogue.models.contains_key(&(team, name)) {
                            unknown_model(catalogue, declared, node(), name, problems);
                        }
                    }
                }
            }
        }
    }
    for (declared, model) in catalogue.models.values() {
        aliases(catalogue, declared, model, problems);
    }
    for (key, (declared, provider)) in &catalogue.providers {
        if provider.shared != SharedWith::Nobody {
            // Who names it may come later, from the database.
            if !declared.resource.is_shared() {
                problems.error(
                    declared.node.place_of(&["shared"]),
                    "not_shared",
                    "`shared` is for providers of the team `default` in a node's own file: declare it there, or in each team",
                );
            }
            continue;
        }
        if !used.contains(key) {
            problems.warning(
                declared.place(),
                "unused",
                format!(
                    "provider `{}` is used by no model: name it under `targets` of a `kind: model`",
                    declared.resource.name
                ),
            );
        }
    }
    offered(catalogue, problems);
    guarded(catalogue, problems);
}

/// What a model names does not lead back to it, nor further than anybody follows.
fn aliases(catalogue: &Catalogue<'_>, declared: &Declared, model: &Model, problems: &mut Problems) {
    if model.aliases().next().is_none() {
        return;
    }
    let mut walk = Walk {
        catalogue,
        team: &declared.resource.team_name,
        path: vec![&declared.resource.name],
        answerers: 0,
    };
    let Err(why) = walk.through(model) else {
        return;
    };
    problems.error(
        declared.place(),
        "bad_value",
        format!("model `{}` {why}", declared.resource.name),
    );
}

/// A walk from a model through all that it names.
struct Walk<'c, 'r> {
    catalogue: &'c Catalogue<'r>,
    team: &'c Name,
    path: Vec<&'c Name>,
    answerers: usize,
}

impl<'c> Walk<'c, '_> {
    fn through(&mut self, model: &'c Model) -> Result<(), String> {
        for target in model.all() {
            self.answerers += 1;
            if self.answerers > Model::ANSWERERS_MAX {
                return Err(format!(
                    "has more than {} who may answer, with all that its `alias`es name: name fewer",
                    Model::ANSWERERS_MAX
                ));
            }
            let Answers::Alias(name) = &target.answers else {
                continue;
            };
            let shown = |path: &[&Name]| {
                let names: Vec<String> = path
                    .iter()
                    .chain([&name])
                    .map(|name| format!("`{name}`"))
                    .collect();
                names.join(" → ")
            };
            if self.path.contains(&name) {
                return Err(format!(
                    "leads back to one that names it: {}; take one `alias` out",
                    shown(&self.path)
                ));
            }
            if self.path.len() >= Model::DEPTH_MAX {
                return Err(format!(
                    "leads over more than {} models: {}; name what stands at the end instead",
                    Model::DEPTH_MAX,
                    shown(&self.path)
                ));
            }
            // One that is not there is told where it is named.
            if let Some((_, named)) = self.catalogue.models.get(&(self.team, name)) {
                self.path.push(name);
                self.through(named)?;
                self.path.pop();
            }
        }
        Ok(())
    }
}

fn unknown_model(
    catalogue: &Catalogue<'_>,
    declared: &Declared,
    target: Option<&Node>,
    name: &Name,
    problems: &mut Problems,
) {
    let team = &declared.resource.team_name;
    let names = catalogue.models.keys();
    let names = names.filter(|(owner, _)| *owner == team);
    let hint = meant(name, names.map(|(_, name)| name.as_str()));
    problems.error(
        target.unwrap_or(&declared.node).place_of(&["alias"]),
        "unknown_reference",
        format!(
            "`alias`: there is no model `{name}`{}",
            hint.unwrap_or_else(|| ": declare it with `kind: model`".to_owned())
        ),
    );
}

/// The provider of the team, or else one that is shared with it.
fn known_provider<'r>(
    catalogue: &Catalogue<'r>,
    team: &'r Name,
    name: &'r Name,
) -> Option<Key<'r>> {
    if catalogue.providers.contains_key(&(team, name)) {
        return Some((team, name));
    }
    let default = Name::default_team();
    let (declared, provider) = catalogue.providers.get(&(&default, name)).copied()?;
    let shared = declared.resource.is_shared() && provider.shared.has(team);
    shared.then_some((&declared.resource.team_name, &declared.resource.name))
}

fn unknown_provider(
    catalogue: &Catalogue<'_>,
    declared: &Declared,
    target: Option<&Node>,
    name: &Name,
    problems: &mut Problems,
) {
    let team = &declared.resource.team_name;
    let names = catalogue.providers.keys();
    let names = names.filter(|(owner, _)| *owner == team);
    let hint = meant(name, names.map(|(_, name)| name.as_str()));
    problems.error(
        target.unwrap_or(&declared.node).place_of(&["provider"]),
        "unknown_reference",
        format!(
            "`provider`: there is no provider `{name}`{}",
            hint.unwrap_or_else(|| ": declare it with `kind: provider`".to_owned())
        ),
    );
}

/// What guardrails and caches ask is there.
fn guarded(catalogue: &Catalogue<'_>, problems: &mut Problems) {
    let of_models = catalogue.models.values();
    let of_models = of_models.map(|(declared, model)| (*declared, &model.guarded, None));
    let of_apis = catalogue.apis.iter().filter_map(|(declared, api)| {
        let ai = api.ai.as_ref()?;
        Some((*declared, &*ai.guarded, Some("ai")))
    });
    for (declared, guarded, under) in of_models.chain(of_apis) {
        let team = &declared.resource.team_name;
        let node = under.map_or(Some(&declared.node), |key| declared.node.get(key));
        let node = node.unwrap_or(&declared.node);
        let place = |key: &str, name: &Name| {
            let list = node.get("guardrails").map_or(&[][..], Node::members);
            let named = list.iter().find_map(|guardrail| {
                let check = guardrail.get("webhook").or(guardrail.get("moderation"))?;
                let named = check.get(key)?;
                (named.shown() == format!("`{name}`")).then_some(named.place)
            });
            let in_cache = || node.place_of(&["cache", "semantic", key]);
            named.unwrap_or_else(in_cache)
        };
        for name in guarded.upstreams() {
            if !catalogue.upstreams.contains_key(&(team, name)) {
                let names = catalogue.upstreams.keys();
                let names = names.filter(|(owner, _)| *owner == team);
                let hint = meant(name, names.map(|(_, name)| name.as_str()));
                problems.error(
                    place("upstream", name),
                    "unknown_reference",
                    format!(
                        "`upstream`: there is no upstream `{name}`{}",
                        hint.unwrap_or_else(|| ": declare it with `kind: upstream`".to_owned())
                    ),
                );
            }
        }
        for name in guarded.models() {
            if !catalogue.models.contains_key(&(team, name)) {
                let names = catalogue.models.keys();
                let names = names.filter(|(owner, _)| *owner == team);
                let hint = meant(name, names.map(|(_, name)| name.as_str()));
                problems.error(
                    place("model", name),
                    "unknown_reference",
                    format!(
                        "`model`: there is no model `{name}`{}",
                        hint.unwrap_or_else(|| ": declare it with `kind: model`".to_owned())
                    ),
                );
            }
        }
    }
}

/// The upstreams that guardrails ask.
pub(super) fn asked_upstreams<'c>(
    catalogue: &'c Catalogue<'_>,
) -> impl Iterator<Item = (&'c Name, &'c Name)> {
    let of_models = catalogue.models.values();
    let of_models = of_models.map(|(declared, model)| (*declared, &model.guarded));
    let of_apis = catalogue
        .apis
        .iter()
        .filter_map(|(declared, api)| Some((*declared, &*api.ai.as_ref()?.guarded)));
    of_models.chain(of_apis).flat_map(|(declared, guarded)| {
        let upstreams = guarded.upstreams();
        upstreams.map(|name| (&declared.resource.team_name, name))
    })
}

/// The models that APIs offer are there.
fn offered(catalogue: &Catalogue<'_>, problems: &mut Problems) {
    for (declared, api) in &catalogue.apis {
        let Some(ai) = &api.ai else { continue };
        let team = &declared.resource.team_name;
        let names = || {
            let keys = catalogue.models.keys();
            keys.filter(|(owner, _)| *owner == team)
                .map(|(_, name)| name.as_str())
        };
        match &ai.models {
            OfferedModels::All => {
                if names().next().is_none() {
                    problems.warning(
                        declared.node.place_of(&["ai"]),
                        "unused",
                        "`ai`: there is no model to offer: declare some with `kind: model`",
                    );
                }
            }
            OfferedModels::These(models) => {
                for name in models {
                    if catalogue.models.contains_key(&(team, name)) {
                        continue;
                    }
                    let hint = meant(name, names());
                    problems.error(
                        declared.node.place_of(&["ai", "models"]),
                        "unknown_reference",
                        format!(
                            "`models`: there is no model `{name}`{}",
                            hint.unwrap_or_else(|| ": declare it with `kind: model`".to_owned())
                        ),
                    );
                }
            }
        }
    }
}
