//! Models that their providers serve no more: calls of them fail, and a new configuration is the time to hear of it.

use keyward_gateway::catalogue;
use keyward_llm::catalogue::Day;
use keyward_model::resource::model::{Answers, ModelTarget};
use keyward_model::resource::raw::{Declared, Problems};
use keyward_model::resource::{Provider, Resource, Spec};

/// Warns of each target of a model that the catalogue says to have retired by `today`.
pub(super) fn check(declared: &[&Declared], today: Day, problems: &mut Problems) {
    let Some(catalogue) = catalogue() else {
        return; // Told where providers are looked at.
    };
    for declaration in declared {
        let Spec::Model(model) = &declaration.resource.spec else {
            continue;
        };
        let lists = [("targets", &model.targets), ("fallbacks", &model.fallbacks)];
        for (list, targets) in lists {
            for (index, ModelTarget { answers, .. }) in targets.iter().enumerate() {
                let Answers::Provider { provider, model } = answers else {
                    continue;
                };
                let found = declared
                    .iter()
                    .filter(|other| other.resource.name == *provider)
                    .find_map(|other| reached(&declaration.resource, &other.resource));
                // At an address of the operator's own, whoever is there says what is served.
                let id = found
                    .filter(|provider| provider.base_url.is_none())
                    .and_then(|provider| provider.catalogue.as_ref());
                let known = id.and_then(|id| catalogue.model(id.as_str(), model));
                let retired = known.filter(|known| known.is_retired(today));
                if let Some(day) = retired.and_then(|known| known.retires) {
                    problems.warning(
                        declaration.node.place_of_member(&[list], index),
                        "retired_model",
                        format!(
                            "`{model}` of `{provider}` is served no more since {day}, as the catalogue has it: name another, or take up a newer catalogue with `keyward models update`"
                        ),
                    );
                }
            }
        }
    }
}

/// The provider, where models of that team may name it.
fn reached<'r>(model: &Resource, provider: &'r Resource) -> Option<&'r Provider> {
    let Spec::Provider(declared) = &provider.spec else {
        return None;
    };
    let own = provider.team_name == model.team_name;
    (own || declared.shared.has(&model.team_name)).then_some(declared)
}
