//! What is served: the resources of this node's files and those of the database, together.
//!
//! Whoever changes either holds [`Held`] until the change is served, so that each is checked against the other as it
//! is.

use super::credentials;
use super::fitting::{Fitted, Fitting, Unfitting};
use super::setup;
use super::status::DatabaseStatus;
use crate::configuration::kept::Kept;
use crate::serve::webhooks::Teller;
use async_trait::async_trait;
use http::{HeaderMap, HeaderValue};
use keyward_authority::Keeper;
use keyward_gateway::{CredentialKeys, Gateway, PreparedCredentials, client_address};
use keyward_model::id::TeamId;
use keyward_model::resource::raw::Declared;
use keyward_model::resource::{CustomRole, Resource, Spec};
use keyward_model::{Name, Network, Revision};
use keyward_web::node::{
    Change, DatabaseResource, DatabaseResources, FileResource, LeftOut, Node, PromptVersionCounts,
    ResourceKey, Unfit, Update, told_of_file,
};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// What is served now.
#[derive(Debug)]
pub(crate) struct Held {
    /// What is served of the node's files; `None` after a reading of them has crashed.
    pub(crate) kept: Option<Kept>,
    /// What is served beside the configuration's resources: the demo's.
    pub(crate) beside: Vec<Arc<Resource>>,
    /// The database's, but its credentials, which the gateway has.
    pub(crate) database: DatabaseResources,
    /// Those of the database's that don't fit beside the files.
    pub(crate) unfit: Vec<Unfitting>,
    /// Those of the database's that this version can't read.
    pub(crate) unreadable: Vec<LeftOut>,
}

impl Held {
    pub(crate) fn new(kept: Kept, beside: Vec<Arc<Resource>>) -> Self {
        Self {
            kept: Some(kept),
            beside,
            database: DatabaseResources::default(),
            unfit: Vec::new(),
            unreadable: Vec::new(),
        }
    }
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
    pub(crate) status: Arc<DatabaseStatus>,
    pub(crate) trusted_proxies: Vec<Network>,
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
    pub(crate) async fn serve_first(&self, everything: Update) -> Result<usize, String> {
        let mut held = self.held().await;
        let Some(kept) = &held.kept else {
            return Err("there is none".to_owned());
        };
        let fitting = Fitting {
            gateway: &self.serving.gateway,
            revision: FIRST,
            kept,
            beside: &held.beside,
        };
        let database = everything.resources.clone().unwrap_or_default();
        let fitted = fitting.fit(&database)?;
        let count = fitted.resources + everything.credentials.len();
        let mut ready = Ready {
            fitted: Some((database, fitted)),
            credentials: None,
            unreadable: everything.unreadable.clone(),
        };
        publish(&self.serving, &mut held, ready).await;
        // Beside those of the files, which come first.
        ready = Ready {
            fitted: None,
            credentials: credentials::prepared(&self.serving.gateway, &everything),
            unreadable: everything.unreadable,
        };
        publish(&self.serving, &mut held, ready).await;
        Ok(count)
    }

    /// Serves what was fitted beside what is held of the database; how many resources that are, without the database's
    /// credentials.
    pub(crate) async fn publish(&self, held: &mut Held, fitted: Fitted) -> usize {
        let count = fitted.resources;
        let ready = Ready {
            fitted: Some((Arc::clone(&held.database), fitted)),
            credentials: None,
            unreadable: held.unreadable.clone(),
        };
        publish(&self.serving, held, ready).await;
        count
    }

    /// What is not served of the database, for operators.
    pub(crate) fn status(&self) -> Arc<DatabaseStatus> {
        Arc::clone(&self.serving.status)
    }

    /// What is served, to be changed.
    pub(crate) async fn held(&self) -> OwnedMutexGuard<Held> {
        Arc::clone(&self.held).lock_owned().await
    }

    /// The files are others now.
    pub(crate) fn files_have_changed(&self) {
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
            held: Some(self.held().await),
            serving: Arc::clone(&self.serving),
            prepared: None,
        })
    }

    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let all = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let (forwarded, other) = (all("forwarded"), all("x-forwarded-for"));
        client_address(peer, forwarded, other, &self.serving.trusted_proxies)
    }

    fn is_behind(&self, behind: bool) {
        self.serving.status.behind.store(behind, Ordering::Relaxed);
    }

    fn setup_is_claimed(&self) {
        setup::remove(&self.serving.data_dir);
    }

    fn prompt_counts(&self, team: TeamId, prompt: &Name) -> Vec<PromptVersionCounts> {
        let counts = self.serving.gateway.prompt_counts_of(team, prompt);
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let told = counts.into_iter().map(|one| PromptVersionCounts {
            version: one.version,
            weight: one.weight,
            calls: one.calls,
            answered: one.answered,
            refused: one.caller_errors,
            failed: one.failures,
            micros: whole(one.micros),
            first_byte_micros: whole(one.first_byte_micros),
            input_tokens: one.input_tokens,
            output_tokens: one.output_tokens,
            cost_pico_usd: one.cost_pico_usd,
            unpriced: one.unpriced,
            ratings: one.feedback,
            score_thousandths: one.score_thousandths,
            comments: one
                .comments
                .into_iter()
                .map(|comment| (comment.at, comment.score, comment.text))
                .collect(),
        });
        told.collect()
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
    let version = resource.spec.version().cloned();
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
        custom_role: match &resource.spec {
            Spec::ManagementRole(role) => Some(Arc::new(CustomRole::clone(role))),
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
            | Spec::Prompt(_) => None,
        },
    })
}

/// What was made ready.
struct Ready {
    /// With what of the database it was made of.
    fitted: Option<(DatabaseResources, Fitted)>,
    credentials: Option<PreparedCredentials>,
    unreadable: Vec<LeftOut>,
}

/// A change under way.
struct Changing {
    /// With whoever computes, while that lasts: a change that is given up meanwhile lets nobody else begin before.
    held: Option<OwnedMutexGuard<Held>>,
    serving: Arc<Serving>,
    prepared: Option<Ready>,
}

impl Changing {
    /// Computes on a thread of its own: the control plane's go on answering.
    async fn compute<T: Send + 'static>(
        &mut self,
        compute: impl FnOnce(&Held, &Serving) -> T + Send + 'static,
    ) -> Result<T, String> {
        let held = self.held.take();
        let held = held.ok_or("what was computed before has crashed")?;
        let serving = Arc::clone(&self.serving);
        let computing = tokio::task::spawn_blocking(move || {
            let computed = compute(&held, &serving);
            (held, computed)
        });
        let (held, computed) = computing.await.map_err(|error| error.to_string())?;
        self.held = Some(held);
        Ok(computed)
    }
}

#[async_trait]
impl Change for Changing {
    async fn check(&mut self, update: Update) -> Result<(), Unfit> {
        let checking = self.compute(move |held, serving| {
            let credentials = credentials::checked(held.kept.as_ref(), &serving.gateway, &update)?;
            let only_api = update.only_api;
            let fit = |all: &DatabaseResources| checked(held, serving, all, only_api);
            ready(update, credentials, fit)
        });
        self.prepared = Some(checking.await.map_err(Unfit::Node)??);
        Ok(())
    }

    async fn fit(&mut self, update: Update) -> Result<(), String> {
        let fitting = self.compute(move |held, serving| {
            let credentials = credentials::prepared(&serving.gateway, &update);
            let fit = |all: &DatabaseResources| with(held, serving, |fitting| fitting.fit(all))?;
            ready(update, credentials, fit)
        });
        self.prepared = Some(fitting.await??);
        Ok(())
    }

    async fn serve(mut self: Box<Self>) {
        if let (Some(held), Some(ready)) = (&mut self.held, self.prepared.take()) {
            publish(&self.serving, held, ready).await;
        }
    }
}

fn ready<E>(
    update: Update,
    credentials: Option<PreparedCredentials>,
    fit: impl FnOnce(&DatabaseResources) -> Result<Fitted, E>,
) -> Result<Ready, E> {
    let fitted = match update.resources {
        None => None,
        Some(all) => {
            let fitted = fit(&all)?;
            Some((all, fitted))
        }
    };
    Ok(Ready {
        fitted,
        credentials,
        unreadable: update.unreadable,
    })
}

/// What is not served of the database, as operators see it from now on.
fn tell_left_out(serving: &Serving, held: &Held) {
    let resources = held.unfit.iter().map(Unfitting::left_out);
    let credentials = serving.gateway.credentials().left_out();
    let credentials = credentials.iter().map(credentials::told);
    let all = resources.chain(credentials).chain(held.unreadable.clone());
    serving.status.leave_out(all.collect());
}

/// Serves what was made ready. A key set that is new has its keys when this returns; where that fails, they come later.
async fn publish(serving: &Serving, held: &mut Held, ready: Ready) {
    held.unreadable = ready.unreadable;
    // Before the routes that take them.
    if let Some(credentials) = ready.credentials {
        serving.gateway.credentials().publish(credentials);
    }
    let Some((database, fitted)) = ready.fitted else {
        tell_left_out(serving, held);
        return;
    };
    let Fitted {
        prepared,
        plans,
        webhooks,
        unfit,
        resources: _,
    } = fitted;
    serving.gateway.publish(prepared);
    held.database = database;
    held.unfit = unfit;
    tell_left_out(serving, held);
    serving.webhooks.declare(webhooks);
    if serving.keys.declare(plans)
        && let Err(error) = serving.keys.look_now().await
    {
        tracing::error!(code = error.code(), "keys: {error}; it is tried again");
    }
}

/// What fits, or does not, beside what is held.
fn with<T>(
    held: &Held,
    serving: &Serving,
    fit: impl FnOnce(&Fitting<'_>) -> T,
) -> Result<T, String> {
    let Some(kept) = &held.kept else {
        let why = "the node's own configuration was lost when a reading of it crashed: have it read anew (SIGHUP)";
        return Err(why.to_owned());
    };
    Ok(fit(&Fitting {
        gateway: &serving.gateway,
        revision: serving.gateway.revision().next(),
        kept,
        beside: &held.beside,
    }))
}

fn checked(
    held: &Held,
    serving: &Serving,
    database: &[Arc<DatabaseResource>],
    only_api: Option<usize>,
) -> Result<Fitted, Unfit> {
    let checked = with(held, serving, |fitting| {
        if held.unfit.is_empty() {
            fitting.whole(database, only_api)
        } else {
            fitting.no_worse(database, &held.database, &held.unfit)
        }
    });
    checked.map_err(Unfit::Node)?
}
