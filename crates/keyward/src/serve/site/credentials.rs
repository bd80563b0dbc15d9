//! Credentials of the database on this node: they are taken by row, beside those of the node's files.

use crate::configuration::check_credentials;
use crate::configuration::kept::Kept;
use keyward_gateway::{
    Clash, CredentialRow, Gateway, LeftOutCredential, PreparedCredentials, UntakenCredential,
};
use keyward_model::resource::consistency::same_shown;
use keyward_model::resource::raw::{Declared, Problems};
use keyward_model::resource::{Resource, Spec};
use keyward_web::node::{CredentialUpdate, LeftOut, Unfit, Update};
use std::sync::Arc;

fn rows_of(updates: &[CredentialUpdate]) -> Vec<CredentialRow> {
    let rows = updates.iter().map(|update| CredentialRow {
        team: update.key.team,
        name: update.key.name.clone(),
        now: update.now.as_ref().map(|now| Arc::clone(&now.resource)),
    });
    rows.collect()
}

/// Those of an update, ready to count; what can't be taken is left out.
pub(super) fn prepared(gateway: &Gateway, update: &Update) -> Option<PreparedCredentials> {
    if update.credentials.is_empty() && !update.all_credentials {
        return None;
    }
    let rows = rows_of(&update.credentials);
    let credentials = gateway.credentials();
    Some(credentials.prepare_rows(&rows, update.all_credentials))
}

/// The same, where every one of them is to be taken and is well.
///
/// # Errors
/// What is wrong with which of them.
pub(super) fn checked(
    kept: Option<&Kept>,
    gateway: &Gateway,
    update: &Update,
) -> Result<Option<PreparedCredentials>, Unfit> {
    let changed = || update.credentials.iter().filter_map(|one| one.now.as_ref());
    let mut problems = Problems::new();
    if let Some(kept) = kept {
        let declared = changed().filter_map(|now| now.declared.as_deref());
        let declared: Vec<&Declared> = declared.collect();
        check_credentials(kept, &declared, &mut problems);
    }
    let prepared = prepared(gateway, update);
    for left_out in prepared.iter().flat_map(PreparedCredentials::left_out) {
        for now in changed() {
            let Some(declared) = &now.declared else {
                continue;
            };
            let (member, code, why) = if Arc::ptr_eq(&now.resource, &left_out.resource) {
                why_untaken(left_out)
            } else if let Some(member) = shown_alike(&now.resource, &left_out.resource) {
                // Elsewhere it is taken, and here as soon as what it is left out for is gone.
                let why = same_shown(member, &left_out.resource.name, &now.resource.name);
                (member, "duplicate_credential", why)
            } else {
                continue;
            };
            problems.error(declared.node.place_of(&[member]), code, why);
        }
    }
    if problems.has_errors() {
        return Err(Unfit::Problems(problems));
    }
    Ok(prepared)
}

/// By which member two credentials of a team are shown in the same way, if they are.
fn shown_alike(one: &Resource, other: &Resource) -> Option<&'static str> {
    let (Spec::Credential(shown), Spec::Credential(other_shown)) = (&one.spec, &other.spec) else {
        return None;
    };
    let (shown, member) = shown.shown();
    let is_alike = one.team == other.team && shown == other_shown.shown().0;
    is_alike.then_some(member)
}

/// Why a credential is not taken: by which member of it, the code, and in words.
fn why_untaken(left_out: &LeftOutCredential) -> (&'static str, &'static str, String) {
    let name = &left_out.resource.name;
    match &left_out.why {
        UntakenCredential::Clash(Clash::Name) => (
            "name",
            "duplicate_name",
            format!("the node's own file declares a credential `{name}` too"),
        ),
        UntakenCredential::Clash(Clash::Shown { other, member }) => (
            member,
            "duplicate_credential",
            same_shown(member, other, name),
        ),
        UntakenCredential::Key(error) => ("api_key", "unknown_key", error.to_string()),
    }
}

/// One that is left out, for operators.
pub(super) fn told(left_out: &LeftOutCredential) -> LeftOut {
    let resource = &left_out.resource;
    let (_, code, why) = why_untaken(left_out);
    LeftOut {
        resource: format!(
            "credential `{}` of team `{}`",
            resource.name, resource.team_name
        ),
        why: format!("{why} [{code}]"),
    }
}
