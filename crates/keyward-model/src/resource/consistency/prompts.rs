//! Whether prompts lead to models, APIs to prompts, and whether it is clear which version takes a call that names none.

use super::{Catalogue, Key, meant};
use crate::name::Name;
use crate::resource::Prompt;
use crate::resource::ai::OfferedPrompts;
use crate::resource::api::VersionState;
use crate::resource::raw::{Declared, Problems};
use hashbrown::HashMap;

type Versions<'r> = HashMap<Key<'r>, Vec<(&'r Declared, &'r Prompt)>>;

pub(super) fn check(catalogue: &Catalogue<'_>, problems: &mut Problems) {
    let mut versions: Versions<'_> = HashMap::new();
    for (declared, prompt) in &catalogue.prompts {
        let resource = &declared.resource;
        model_of(catalogue, declared, prompt, problems);
        let key = (&resource.team_name, &resource.name);
        versions.entry(key).or_default().push((declared, prompt));
    }
    for all in versions.values() {
        shares(all, problems);
    }
    let served = offered(catalogue, &versions, problems);
    for ((team, name), all) in &versions {
        let first = all.iter().find(|(_, prompt)| prompt.state.serves());
        if let Some((declared, _)) = first
            && !served.iter().any(|offered| offered.has(team, name))
        {
            problems.warning(
                declared.place(),
                "unused",
                format!("prompt `{name}` is served by no API: name it under `ai: {{ prompts: [ … ] }}` of one"),
            );
        }
    }
}

fn model_of(
    catalogue: &Catalogue<'_>,
    declared: &Declared,
    prompt: &Prompt,
    problems: &mut Problems,
) {
    let team = &declared.resource.team_name;
    if catalogue.models.contains_key(&(team, &prompt.model)) {
        return;
    }
    let names = catalogue.models.keys();
    let names = names.filter(|(owner, _)| *owner == team);
    let hint = meant(&prompt.model, names.map(|(_, name)| name.as_str()));
    problems.error(
        declared.node.place_of(&["model"]),
        "unknown_reference",
        format!(
            "`model`: there is no model `{}`{}",
            prompt.model,
            hint.unwrap_or_else(|| ": declare it with `kind: model`".to_owned())
        ),
    );
}

/// Of several published versions each says what its share is: else publishing one would move calls by surprise.
fn shares(versions: &[(&Declared, &Prompt)], problems: &mut Problems) {
    let published = versions
        .iter()
        .filter(|(_, prompt)| prompt.state == VersionState::Published);
    let published: Vec<_> = published.collect();
    if published.len() < 2 {
        return;
    }
    for (declared, prompt) in &published {
        if prompt.trial.is_none() {
            problems.error(
                declared.node.place_of(&["state"]),
                "ambiguous_version",
                format!(
                    "`state`: {} versions of the prompt `{}` are published: say each one's share of the calls that name none with `trial: {{ weight: … }}` (0 for a version that is called by its name alone), or deprecate all but one",
                    published.len(),
                    declared.resource.name,
                ),
            );
        }
    }
    let weights = published.iter().filter_map(|(_, prompt)| prompt.trial);
    if weights.clone().count() == published.len()
        && weights.sum::<u32>() == 0
        && let Some((declared, _)) = published.first()
    {
        problems.error(
            declared.node.place_of(&["trial", "weight"]),
            "ambiguous_version",
            format!(
                "`weight`: no version of the prompt `{}` takes calls that name none: give one of them a weight",
                declared.resource.name,
            ),
        );
    }
}

/// Which prompts an API offers.
struct Offered<'r> {
    team: &'r Name,
    prompts: &'r OfferedPrompts,
}

impl Offered<'_> {
    fn has(&self, team: &Name, name: &Name) -> bool {
        self.team == team
            && match self.prompts {
                OfferedPrompts::None => false,
                OfferedPrompts::All => true,
                OfferedPrompts::These(names) => names.contains(name),
            }
    }
}

/// What served APIs offer. The prompts that they name are there.
fn offered<'r>(
    catalogue: &Catalogue<'r>,
    versions: &Versions<'_>,
    problems: &mut Problems,
) -> Vec<Offered<'r>> {
    let mut offered = Vec::new();
    for (declared, api) in &catalogue.apis {
        let Some(ai) = &api.ai else { continue };
        let team = &declared.resource.team_name;
        if api.state.serves() {
            let prompts = &ai.prompts;
            offered.push(Offered { team, prompts });
        }
        let OfferedPrompts::These(names) = &ai.prompts else {
            continue;
        };
        for name in names {
            if versions.contains_key(&(team, name)) {
                continue;
            }
            let known = versions.keys().filter(|(owner, _)| *owner == team);
            let hint = meant(name, known.map(|(_, name)| name.as_str()));
            problems.error(
                declared.node.place_of(&["ai", "prompts"]),
                "unknown_reference",
                format!(
                    "`prompts`: there is no prompt `{name}`{}",
                    hint.unwrap_or_else(|| ": declare it with `kind: prompt`".to_owned())
                ),
            );
        }
    }
    offered
}
