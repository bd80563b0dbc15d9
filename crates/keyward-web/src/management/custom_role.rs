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
use std::sync::{Arc, Mutex, PoisonError};

/// How many compiled roles are kept. Beyond that all are compiled anew when they are needed.
const COMPILED_MAX: usize = 1024;

/// A compiled role, or why it can't be.
type Compiled = Result<Arc<CustomRole>, Box<str>>;

/// Roles that were compiled, by their names and texts: what is decided by them never depends on what is kept here.
#[derive(Debug, Default)]
pub(crate) struct CompiledRoles(Mutex<HashMap<(Name, Box<str>), Compiled>>);

impl CompiledRoles {
    fn role(&self, name: &Name, text: &str) -> Compiled {
        let key = (name.clone(), Box::from(text));
        let mut compiled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = compiled.get(&key) {
            return known.clone();
        }
        let role = CustomRole::new(name.as_str(), text).map(Arc::new);
        if compiled.len() >= COMPILED_MAX {
            compiled.clear();
        }
        compiled.insert(key, role.clone());
        role
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
        let held = names.into_iter().map(|name| {
            let found = found(&catalogue, &files, team, &name);
            let role = found.and_then(|text| self.compiled_roles().role(&name, text));
            HeldRole { name, role }
        });
        Ok(held.collect())
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
            | Spec::Model(_) => Err("it is something else".into()),
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
