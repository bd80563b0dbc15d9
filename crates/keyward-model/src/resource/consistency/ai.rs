//! Whether models lead to providers, and APIs to models.

use super::{Catalogue, meant};
use crate::name::Name;
use crate::resource::ai::OfferedModels;
use crate::resource::raw::{Declared, Node, Problems};
use hashbrown::HashSet;

pub(super) fn check(catalogue: &Catalogue<'_>, problems: &mut Problems) {
    let mut used = HashSet::new();
    for (declared, model) in catalogue.models.values() {
        let team = &declared.resource.team_name;
        let lists = [("targets", &model.targets), ("fallbacks", &model.fallbacks)];
        for (key, targets) in lists {
            for (index, target) in targets.iter().enumerate() {
                if catalogue.providers.contains_key(&(team, &target.provider)) {
                    used.insert((team, &target.provider));
                } else {
                    let node = declared.node.get(key).and_then(|list| list.member(index));
                    unknown_provider(catalogue, declared, node, &target.provider, problems);
                }
            }
        }
    }
    for (key, (declared, _)) in &catalogue.providers {
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
