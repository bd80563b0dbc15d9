//! Key sets, and the issuers that are known by them.

use super::{Catalogue, meant};
use crate::name::Name;
use crate::resource::raw::{Declared, Problems};
use crate::resource::{IssuerKeys, KeySet, KeySetPurpose};
use std::collections::HashMap;

pub(super) fn check(catalogue: &Catalogue<'_>, own_issuer: &str, problems: &mut Problems) {
    issuers(catalogue, problems);
    webhooks(catalogue, problems);
    sets(catalogue, own_issuer, problems);
}

/// An issuer that is known by a key set of ours is that set's.
fn issuers(catalogue: &Catalogue<'_>, problems: &mut Problems) {
    for ((team, _), (declared, issuer)) in &catalogue.issuers {
        let IssuerKeys::KeySet(name) = &issuer.keys else {
            continue;
        };
        let wanted = (
            KeySetPurpose::Tokens,
            "calls are authenticated by access tokens",
        );
        let Some(set) = named(catalogue, (team, name), declared, wanted, problems) else {
            continue;
        };
        if set
            .issuer
            .as_ref()
            .is_some_and(|known| *known != issuer.issuer)
        {
            problems.error(
                declared.node.place_of(&["issuer"]),
                "contradiction",
                format!("`issuer`: the key set `{name}` signs for another: say the same as there"),
            );
        }
    }
}

/// What is told is signed with keys that are for it.
fn webhooks(catalogue: &Catalogue<'_>, problems: &mut Problems) {
    for ((team, _), (declared, webhook)) in &catalogue.webhooks {
        let Some(name) = &webhook.key_set else {
            continue;
        };
        let wanted = (KeySetPurpose::Webhooks, "webhooks have keys of their own");
        named(catalogue, (team, name), declared, wanted, problems);
    }
}

/// The key set that a resource names in `key_set`, where it is for this.
fn named<'r>(
    catalogue: &Catalogue<'r>,
    (team, name): (&Name, &Name),
    declared: &Declared,
    (purpose, because): (KeySetPurpose, &str),
    problems: &mut Problems,
) -> Option<&'r KeySet> {
    let place = declared.node.place_of(&["key_set"]);
    let Some((_, set)) = catalogue.key_sets.get(&(team, name)) else {
        let names = catalogue.key_sets.keys();
        let names = names.filter(|(owner, _)| *owner == team);
        let hint = meant(name, names.map(|(_, name)| name.as_str()));
        problems.error(
            place,
            "unknown_reference",
            format!(
                "`key_set`: there is no key set `{name}` in this team{}",
                hint.unwrap_or_else(|| ": declare it with `kind: key_set`".to_owned())
            ),
        );
        return None;
    };
    if set.purpose != purpose {
        problems.error(
            place,
            "contradiction",
            format!(
                "`key_set`: the keys of `{name}` are for {}, and {because}: name a key set with `purpose: {purpose}`",
                set.purpose
            ),
        );
    }
    Some(set)
}

/// No issuer is spread over sets: which of its keys would count?
fn sets(catalogue: &Catalogue<'_>, own_issuer: &str, problems: &mut Problems) {
    let mut all: Vec<_> = catalogue.key_sets.iter().collect();
    all.sort_by_key(|(_, (declared, _))| declared.place());
    let mut known: HashMap<(&Name, &str, KeySetPurpose), &Name> = HashMap::new();
    for ((team, name), (declared, set)) in all {
        let Some(issuer) = set.issuer.as_deref() else {
            continue;
        };
        let place = declared.node.place_of(&["issuer"]);
        if issuer == own_issuer {
            problems.error(
                place,
                "duplicate_issuer",
                format!("`issuer`: `{issuer}` is this node itself (`site_url`), which has a key set of its own: choose another"),
            );
        }
        if let Some(other) = known.insert((team, issuer, set.purpose), name) {
            problems.error(
                place,
                "duplicate_issuer",
                format!("`issuer`: the key sets `{other}` and `{name}` are both for {} of `{issuer}`: an issuer's keys stand in one set", set.purpose),
            );
        }
    }
}
