//! Credentials of the database on this node: they are taken by row, beside those of the node's files.

use crate::configuration::check_credentials;
use crate::configuration::kept::Kept;
use keyward_gateway::{
    Clash, CredentialRow, Gateway, LeftOutCredential, PreparedCredentials, UntakenCredential,
};
use keyward_model::resource::consistency::same_shown;
use keyward_model::resource::raw::{Declared, Problems};
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
        let mut changed = changed();
        if let Some(now) = changed.find(|now| Arc::ptr_eq(&now.resource, &left_out.resource))
            && let Some(declared) = &now.declared
        {
            let (member, code, why) = why_untaken(left_out);
            let place = declared.node.place_of(&[member]);
            problems.error(place, code, why);
        }
    }
    if problems.has_errors() {
        return Err(Unfit::Problems(problems));
    }
    Ok(prepared)
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
