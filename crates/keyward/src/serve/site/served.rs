//! What is served: the resources of this node's files and those of the database, together.
//!
//! Whoever changes either holds [`Held`] until the change is served, so that each is checked against the other as it
//! is.

use super::setup;
use crate::configuration::check_database;
use crate::configuration::kept::Kept;
use crate::serve::own_issuer::own_issuer;
use crate::serve::own_keys::plans;
use crate::serve::webhooks::Teller;
use async_trait::async_trait;
use keyward_authority::{Keeper, Plan};
use keyward_gateway::{CredentialKeys, Gateway, PreparedConfiguration};
use keyward_model::Revision;
use keyward_model::resource::raw::{Declared, Problems};
use keyward_model::resource::{Resource, Spec};
use keyward_web::node::{
    Change, DatabaseResource, FileResource, Node, ResourceKey, Unfit, told_of_file,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// What is served now.
#[derive(Debug)]
pub(crate) struct Held {
    /// What was read of the node's files last; `None` while they can't be served.
    pub(crate) kept: Option<Kept>,
    /// What is served beside the configuration's resources: the demo's.
    pub(crate) beside: Vec<Arc<Resource>>,
    /// The database's.
    pub(crate) database: Vec<Arc<DatabaseResource>>,
}

impl Held {
    /// All resources, with these of the database.
    pub(crate) fn resources(
        &self,
        kept: &Kept,
        database: &[Arc<DatabaseResource>],
    ) -> Vec<Arc<Resource>> {
        let database = database.iter().map(|one| Arc::clone(&one.resource));
        let files = kept.resources().iter().chain(&self.beside).map(Arc::clone);
        files.chain(database).collect()
    }
}

/// What is wrong with the database's resources beside these files.
pub(crate) fn problems(
    kept: &Kept,
    database: &[Arc<DatabaseResource>],
    only_api: Option<usize>,
) -> Problems {
    if database.is_empty() {
        return Problems::new();
    }
    let declared: Vec<&Declared> = database.iter().map(|one| &one.declared).collect();
    check_database(kept, &declared, only_api)
}

/// The first of some problems, for the operator.
pub(crate) fn first_error(problems: &Problems) -> String {
    let first = problems
        .as_slice()
        .iter()
        .find(|problem| problem.severity == keyward_model::resource::raw::Severity::Error);
    first.map_or_else(String::new, |problem| {
        format!("{} [{}]", problem.message, problem.code)
    })
}

/// The node's own number of what is served first.
const FIRST: Revision = Revision(1);

/// What compiles and serves.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) keys: Arc<Keeper>,
    pub(crate) webhooks: Arc<Teller>,
    pub(crate) credential_keys: CredentialKeys,
    pub(crate) data_dir: PathBuf,
}

/// The node, as its site sees it.
#[derive(Debug)]
pub(crate) struct ServedNode {
    held: Arc<tokio::sync::Mutex<Held>>,
    serving: Arc<Serving>,
    /// The files' resources as they are told; made when somebody asks.
    files: Mutex<Option<Arc<Vec<FileResource>>>>,
}

impl ServedNode {
    pub(crate) fn new(held: Held, serving: Serving) -> Self {
        Self {
            held: Arc::new(tokio::sync::Mutex::new(held)),
            serving: Arc::new(serving),
            files: Mutex::default(),
        }
    }

    /// Serves everything for the first time; how many resources that are.
    pub(crate) async fn serve_first(
        &self,
        database: Vec<Arc<DatabaseResource>>,
    ) -> Result<usize, String> {
        let mut held = self.held().await;
        let Some(kept) = &held.kept else {
            return Err("there is none".to_owned());
        };
        let found = problems(kept, &database, None);
        if found.has_errors() {
            let why = first_error(&found);
            return Err(format!("it does not fit what the database declares: {why}"));
        }
        let resources = held.resources(kept, &database);
        let gateway = &self.serving.gateway;
        let site_url = &kept.configuration().site_url;
        let plans = plans(site_url, resources.iter().map(|resource| &**resource))
            .map_err(|failure| failure.to_string())?;
        let applied = gateway.apply(FIRST, &resources, Some(&own_issuer(site_url)));
        applied.map_err(|error| error.to_string())?;
        self.serving.webhooks.declare(&resources);
        self.keep_keys(plans).await;
        held.database = database;
        Ok(resources.len())
    }

    /// What is served, to be changed.
    pub(crate) async fn held(&self) -> OwnedMutexGuard<Held> {
        Arc::clone(&self.held).lock_owned().await
    }

    /// The files are others now.
    pub(crate) fn files_have_changed(&self) {
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Tells these webhooks from now on, among other resources.
    pub(crate) fn tell_webhooks(&self, resources: &[Arc<Resource>]) {
        self.serving.webhooks.declare(resources);
    }

    /// Keeps the keys of these sets from now on.
    pub(crate) async fn keep_keys(&self, plans: Vec<Plan>) {
        keep_keys(&self.serving.keys, plans).await;
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.serving.data_dir
    }
}

#[async_trait]
impl Node for ServedNode {
    async fn files(&self) -> Arc<Vec<FileResource>> {
        let known = || {
            let known = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            known.as_ref().map(Arc::clone)
        };
        if let Some(known) = known() {
            return known;
        }
        let held = self.held().await;
        let Some(kept) = &held.kept else {
            return Arc::default();
        };
        let declared = kept.configuration().resources.iter();
        let mut files: Vec<FileResource> = declared.filter_map(of_file).collect();
        files.sort_by(|one, other| one.key.cmp(&other.key));
        let files = Arc::new(files);
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&files));
        files
    }

    async fn begin(&self) -> Box<dyn Change> {
        Box::new(Changing {
            held: self.held().await,
            serving: Arc::clone(&self.serving),
            prepared: None,
        })
    }

    fn setup_is_claimed(&self) {
        setup::remove(&self.serving.data_dir);
    }

    fn hash_api_key(&self, key: &str) -> String {
        let hash = self.serving.credential_keys.hash_api_key(key.as_bytes());
        hash.to_string()
    }

    fn hash_password(&self, username: &str, password: &str) -> String {
        let keys = &self.serving.credential_keys;
        keys.hash_password(username, password).to_string()
    }
}

fn of_file(declared: &Declared) -> Option<FileResource> {
    let resource = &declared.resource;
    let version = match &resource.spec {
        Spec::Api(api) => Some(api.version.clone()),
        Spec::Issuer(_)
        | Spec::Upstream(_)
        | Spec::Credential(_)
        | Spec::Role(_)
        | Spec::AccessPolicy(_)
        | Spec::KeySet(_)
        | Spec::Webhook(_) => None,
    };
    let kind = resource.spec.kind();
    let body = told_of_file(kind, &resource.team_name, declared.node.written_json()?);
    Some(FileResource {
        key: ResourceKey {
            team: resource.team,
            kind,
            name: resource.name.clone(),
            version,
        },
        team_name: resource.team_name.clone(),
        body: Arc::new(body),
    })
}

/// A set that is new has its keys when this returns; where that fails, they come later.
async fn keep_keys(keeper: &Keeper, plans: Vec<Plan>) {
    if keeper.declare(plans)
        && let Err(error) = keeper.look_now().await
    {
        tracing::error!(code = error.code(), "keys: {error}; it is tried again");
    }
}

/// What was checked, and can be served.
struct Prepared {
    database: Vec<Arc<DatabaseResource>>,
    configuration: PreparedConfiguration,
    plans: Vec<Plan>,
    resources: Vec<Arc<Resource>>,
}

/// A change under way.
struct Changing {
    held: OwnedMutexGuard<Held>,
    serving: Arc<Serving>,
    prepared: Option<Prepared>,
}

#[async_trait]
impl Change for Changing {
    async fn check(
        &mut self,
        database: Vec<Arc<DatabaseResource>>,
        only_api: Option<usize>,
    ) -> Result<(), Unfit> {
        let Some(kept) = &self.held.kept else {
            let why = "the node's own configuration can't be served as it stands: put it right first (`keyward check` says what is wrong)";
            return Err(Unfit::Node(why.to_owned()));
        };
        let found = problems(kept, &database, only_api);
        if found.has_errors() {
            return Err(Unfit::Problems(found));
        }
        let serving = Arc::clone(&self.serving);
        let site_url = &kept.configuration().site_url;
        let own = own_issuer(site_url);
        let resources = self.held.resources(kept, &database);
        let plans = plans(site_url, resources.iter().map(|resource| &**resource))
            .map_err(|failure| Unfit::Node(failure.to_string()))?;
        let is_webhook = |one: &&Arc<Resource>| matches!(one.spec, Spec::Webhook(_));
        let webhooks = resources
            .iter()
            .filter(is_webhook)
            .map(Arc::clone)
            .collect();
        let compiling = tokio::task::spawn_blocking(move || {
            let revision = serving.gateway.revision().next();
            serving.gateway.prepare(revision, &resources, Some(&own))
        });
        let configuration = compiling
            .await
            .map_err(|error| Unfit::Node(error.to_string()))?
            .map_err(|error| Unfit::Node(error.to_string()))?;
        self.prepared = Some(Prepared {
            database,
            configuration,
            plans,
            resources: webhooks,
        });
        Ok(())
    }

    async fn serve(mut self: Box<Self>) {
        if let Some(prepared) = self.prepared.take() {
            self.serving.gateway.publish(prepared.configuration);
            self.held.database = prepared.database;
            self.serving.webhooks.declare(&prepared.resources);
            keep_keys(&self.serving.keys, prepared.plans).await;
        }
    }
}
