//! Whether models lead to providers, and APIs to models.

use super::{Catalogue, Key, meant};
use crate::name::Name;
use crate::resource::ai::OfferedModels;
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
                if let Some(found) = provider(catalogue, team, &target.provider) {
                    used.insert(found);
                } else {
                    let node = declared.node.get(key).and_then(|list| list.member(index));
                    unknown_provider(catalogue, declared, node, &target.provider, problems);
                }
            }
        }
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
}

/// The provider of the team, or else one that is shared with it.
fn provider<'r>(catalogue: &Catalogue<'r>, team: &'r Name, name: &'r Name) -> Option<Key<'r>> {
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
