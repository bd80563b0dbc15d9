//! Custom roles that members have: found by their names, compiled once.
//!
//! A role is the team's own, or else one of the node's own file, which is its operator's word for all teams. It is looked
//! up at each call in what the database has then, so that a change counts from the next call on, on every node.

use super::catalogue::Catalogue;
use crate::node::{FileResource, ResourceKey};
use crate::problem::Problem;
use crate::site::Site;
use keyward_access::management::{CustomRole, HeldRole};
use keyward_model::Name;
use keyward_model::id::TeamId;
use keyward_model::resource::{Kind, Spec};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much text of compiled roles is kept: 64 of the longest, which take many times as much when they are compiled.
/// Beyond that all are compiled anew when they are needed.
const KEPT_MAX_BYTES: usize = 1 << 20;

/// What one takes beside its text.
const EACH_BYTES: usize = 1 << 10;

/// A compiled role, or why it can't be.
type Compiled = Result<Arc<CustomRole>, Box<str>>;

/// Roles that were compiled, by their names and texts: what is decided by them never depends on what is kept here.
#[derive(Debug, Default)]
pub(crate) struct CompiledRoles(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    roles: HashMap<(Name, Box<str>), Compiled>,
    bytes: usize,
}

impl CompiledRoles {
    async fn role(&self, name: &Name, text: &str) -> Compiled {
        let key = (name.clone(), Box::from(text));
        if let Some(known) = self.kept().roles.get(&key) {
            return known.clone();
        }
        // It takes some milliseconds, for which others neither wait on this thread nor for what is kept.
        let (of, what) = key.clone();
        let compiling = tokio::task::spawn_blocking(move || CustomRole::new(of.as_str(), &what));
        let role = compiling
            .await
            .map_err(|error| error.to_string().into_boxed_str())?;
        let role = role.map(Arc::new);
        self.kept().keep(key, role.clone());
        role
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, key: (Name, Box<str>), role: Compiled) {
        let bytes = key.1.len().saturating_add(EACH_BYTES);
        if self.bytes.saturating_add(bytes) > KEPT_MAX_BYTES {
            self.roles.clear();
            self.bytes = 0;
        }
        if self.roles.insert(key, role).is_none() {
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }
}

impl Site {
    /// The roles of these names, as members of this team have them now.
    pub(crate) async fn held(
        &self,
        team: TeamId,
        names: Vec<Name>,
    ) -> Result<Vec<HeldRole>, Problem> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let catalogue = self.catalogue().await?;
        let files = self.node().files().await;
        let mut held = Vec::with_capacity(names.len());
        for name in names {
            let role = match found(&catalogue, &files, team, &name) {
                Ok(text) => self.compiled_roles().role(&name, text).await,
                Err(why) => Err(why),
            };
            held.push(HeldRole { name, role });
        }
        Ok(held)
    }
}

/// The text of a role.
fn found<'a>(
    catalogue: &'a Catalogue,
    files: &'a [FileResource],
    team: TeamId,
    name: &Name,
) -> Result<&'a str, Box<str>> {
    let key = ResourceKey {
        team,
        kind: Kind::ManagementRole,
        name: name.clone(),
        version: None,
    };
    if let Some(resource) = catalogue.get(&key) {
        return match &resource.resource.spec {
            Spec::ManagementRole(role) => Ok(&role.cedar),
            Spec::Issuer(_)
            | Spec::Upstream(_)
            | Spec::Api(_)
            | Spec::Credential(_)
            | Spec::Role(_)
            | Spec::AccessPolicy(_)
            | Spec::KeySet(_)
            | Spec::Webhook(_)
            | Spec::Provider(_)
            | Spec::Model(_)
            | Spec::Prompt(_) => Err("it is something else".into()),
        };
    }
    if let Some(unreadable) = catalogue.unreadable(&key) {
        return Err(unreadable.why.as_str().into());
    }
    of_file(files, name).ok_or_else(|| "it is no more".into())
}

/// The text of a role that the node's own file gives all teams.
fn of_file<'a>(files: &'a [FileResource], name: &Name) -> Option<&'a str> {
    let mut files = files.iter();
    let file = files.find(|file| {
        file.key.team == TeamId::DEFAULT && file.custom_role.is_some() && file.key.name == *name
    });
    file?.custom_role.as_ref().map(|role| &*role.cedar)
}

/// Whether a role of this name can be given in a team, and whether it is in the database.
pub(crate) async fn can_be_given(
    site: &Site,
    team: TeamId,
    name: &Name,
) -> Result<Option<Where>, Problem> {
    let catalogue = site.catalogue().await?;
    let key = ResourceKey {
        team,
        kind: Kind::ManagementRole,
        name: name.clone(),
        version: None,
    };
    if catalogue.get(&key).is_some() {
        return Ok(Some(Where::Database));
    }
    let files = site.node().files().await;
    Ok(of_file(&files, name).map(|_| Where::File))
}

/// Where a role stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    Database,
    File,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_text_is_kept_than_there_is_room_for() {
        let mut kept = Kept::default();
        let text = "x".repeat(KEPT_MAX_BYTES / 8);
        for number in 0..100 {
            let name: Name = format!("role-{number}").parse().unwrap();
            kept.keep((name, text.as_str().into()), Err("a test".into()));
            let held: usize = kept.roles.keys().map(|(_, text)| text.len()).sum();
            assert!(held <= kept.bytes && kept.bytes <= KEPT_MAX_BYTES);
            assert!(!kept.roles.is_empty(), "the last is kept");
        }
    }
}
