//! The site: a call in, an answer out.

use crate::answer::{Answer, HttpAnswer, sent};
use crate::guard::Guard;
use crate::management::call::{Call, decoded};
use crate::management::catalogue::{Catalogue, Unreadable};
use crate::management::endpoint::{Allowed, Endpoint, Found, Gate, Handler, find};
use crate::management::secret::SecretReferences;
use crate::management::{document, table};
use crate::node::{DatabaseResource, Node};
use crate::problem::{Problem, ProblemKind};
use aws_lc_rs::{hmac, rand};
use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Limited};
use keyward_access::management::{
    Action, ManagementPermit, ManagementRefusal, Manager, Place, decide,
};
use keyward_authority::Keeper;
use keyward_model::id::RequestId;
use keyward_model::{Clock, Revision, Timestamp};
use keyward_state::revocation::Revocations;
use keyward_store::management::Team;
use keyward_store::{Marks, Purpose, Store};
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, RwLock, watch};

/// The largest body: some thousands of resources at once.
const BODY_MAX: usize = 32 << 20;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long what could not be served waits for another try, unless something changes before.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a site is made of.
#[derive(Debug)]
pub struct SiteSettings {
    /// Where everything is kept.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The node that it belongs to.
    pub node: Arc<dyn Node>,
    /// Key sets, that of the issuer `self` among them.
    pub keys: Arc<Keeper>,
    /// What is no longer believed.
    pub revocations: Arc<Revocations>,
    /// What the site is called; the issuer `self`.
    pub site_url: String,
    /// Further hosts, with their ports, that calls may name.
    pub hosts: Vec<String>,
    /// The longest that a token may last: keys are kept for as long.
    pub token_life: Duration,
}

/// The site.
#[derive(Debug)]
pub struct Site {
    store: Store,
    clock: Arc<dyn Clock>,
    node: Arc<dyn Node>,
    keys: Arc<Keeper>,
    revocations: Arc<Revocations>,
    site_url: String,
    token_life: Duration,
    guard: Guard,
    table: Vec<Endpoint>,
    document: Value,
    secret_references: SecretReferences,
    cursor_key: hmac::Key,
    catalogue: RwLock<Arc<Catalogue>>,
    /// Held by whoever changes resources.
    writing: Mutex<()>,
}

impl Site {
    /// Reads what the database holds.
    ///
    /// # Errors
    /// When it can't be read: which resource, and why.
    pub async fn open(settings: SiteSettings) -> Result<Self, String> {
        let now = settings.clock.now();
        let told = |error: keyward_store::Error| format!("{error} [{}]", error.code());
        let key = async |purpose| {
            let keys = settings.store.mac_keys(purpose, now).await.map_err(told)?;
            let current = keys.into_iter().next();
            current.ok_or_else(|| "there is no key".to_owned())
        };
        let secrets = key(Purpose::Secrets).await?;
        let cursors = key(Purpose::Cursors).await?;
        let table = table::endpoints();
        let site = Self {
            guard: Guard::new(&settings.site_url, &settings.hosts),
            document: document::document(&table, &settings.site_url),
            table,
            secret_references: SecretReferences::new(&secrets.key),
            cursor_key: hmac::Key::new(hmac::HMAC_SHA256, cursors.key.reveal()),
            catalogue: RwLock::default(),
            writing: Mutex::default(),
            store: settings.store,
            clock: settings.clock,
            node: settings.node,
            keys: settings.keys,
            revocations: settings.revocations,
            site_url: settings.site_url,
            token_life: settings.token_life,
        };
        let read = site.followed(&Arc::default()).await;
        let catalogue = read.map_err(|error| error.to_string())?;
        site.keep(catalogue).await;
        Ok(site)
    }

    /// The resources of the database, to be served from the start.
    pub async fn resources(&self) -> Vec<Arc<DatabaseResource>> {
        let catalogue = self.catalogue.read().await;
        catalogue.resources.values().map(Arc::clone).collect()
    }

    /// Serves what other nodes change, from now on, whenever `marks` tell of a newer revision.
    pub async fn follow(self: Arc<Self>, mut marks: watch::Receiver<Marks>) {
        let mut failing = false;
        loop {
            let newest = marks.borrow_and_update().revision;
            let again = match self.take_in(newest).await {
                Ok(()) => {
                    failing = false;
                    marks.changed().await
                }
                Err(why) => {
                    // Once, and not at each try.
                    if !failing {
                        tracing::error!(
                            "configuration: what others changed is not served, and what was served stays: {why}"
                        );
                    }
                    failing = true;
                    let changed = tokio::time::timeout(TRY_AGAIN_AFTER, marks.changed());
                    changed.await.unwrap_or(Ok(()))
                }
            };
            if again.is_err() {
                // Nobody follows the database any more: the process ends.
                return;
            }
        }
    }

    async fn take_in(&self, newest: Revision) -> Result<(), String> {
        if newest <= self.catalogue.read().await.revision {
            return Ok(());
        }
        let _alone = self.writing.lock().await;
        let before = Arc::clone(&*self.catalogue.read().await);
        let followed = self.followed(&before).await;
        let followed = followed.map_err(|error| error.to_string())?;
        if followed.revision == before.revision {
            return Ok(());
        }
        let mut change = self.node.begin().await;
        let all = followed.resources.values().map(Arc::clone).collect();
        let checked = change.check(all, None).await;
        checked.map_err(|unfit| match unfit {
            crate::node::Unfit::Node(why) => why,
            crate::node::Unfit::Problems(problems) => {
                let first = problems.as_slice().first();
                first.map_or_else(String::new, |problem| problem.message.clone())
            }
        })?;
        let revision = followed.revision;
        self.keep(followed).await;
        change.serve().await;
        tracing::info!(%revision, "configuration: another node's change is served");
        Ok(())
    }

    /// Answers one call.
    pub async fn answer<B>(&self, request: Request<B>, peer: IpAddr) -> HttpAnswer
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut random = [0; 10];
        let id = match rand::fill(&mut random) {
            Ok(()) => RequestId::new(self.clock.now(), random).to_string(),
            Err(_) => String::new(),
        };
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let outcome = Box::pin(self.outcome(request, peer, &id)).await;
        if let Err(problem) = &outcome
            && let Some(why) = problem.reason()
        {
            let code = problem.kind().code();
            tracing::warn!(request_id = id, %method, path, code, "site: {why}");
        }
        sent(outcome, &id)
    }

    async fn outcome<B>(
        &self,
        request: Request<B>,
        peer: IpAddr,
        id: &str,
    ) -> Result<Answer, Problem>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        self.guard
            .check(&parts.method, &parts.uri, &parts.headers)?;
        let (endpoint, path) = match find(&self.table, &parts.method, parts.uri.path()) {
            Found::Endpoint(endpoint, path) => (endpoint, path),
            Found::Methods(methods) => return Err(wrong_method(&methods)),
            Found::Nothing => return Err(Problem::not_found()),
        };
        let mut call = Call {
            path,
            query: Vec::new(),
            headers: parts.headers,
            body: Bytes::new(),
            address: peer,
            request_id: id.to_owned(),
        };
        // Before the rest is read, so that nobody learns from mistakes what they may not see.
        let allowed = self.allowed(endpoint, &call).await?;
        call.query = query(parts.uri.query().unwrap_or_default(), endpoint)?;
        if endpoint.operation.body.is_some() {
            call.body = whole(body).await?;
        }
        match (endpoint.handler, allowed) {
            (Handler::Open(handler), _) => handler(self, &call).await,
            (Handler::Known(handler), Admission::Known(manager)) => {
                handler(self, &call, manager).await
            }
            (Handler::Permitted(handler), Admission::Permitted(permit, team)) => {
                let allowed = Allowed {
                    call: &call,
                    manager: Arc::clone(permit.manager()),
                    permit,
                    team,
                    kind: endpoint.kind,
                };
                handler(self, allowed).await
            }
            (Handler::Known(_) | Handler::Permitted(_), _) => Err(Problem::new(
                ProblemKind::Internal,
                "Something went wrong here",
            )
            .because(format!("the gate of {endpoint:?} does not fit its handler"))),
        }
    }

    async fn allowed(&self, endpoint: &Endpoint, call: &Call) -> Result<Admission, Problem> {
        if endpoint.gate == Gate::Open {
            return Ok(Admission::Open);
        }
        let manager = self.manager(call).await?;
        let Gate::May(action) = endpoint.gate else {
            return Ok(Admission::Known(manager));
        };
        if !endpoint.path.contains("{team}") {
            let permit = self.permit(&manager, action, Place::Deployment)?;
            return Ok(Admission::Permitted(permit, None));
        }
        let team = self.team(call.path("team")).await?;
        let team = team.ok_or_else(Problem::not_found)?;
        let permit = self.permit(&manager, action, Place::Team(team.id))?;
        Ok(Admission::Permitted(permit, Some(team)))
    }

    /// Asks whether somebody may do something.
    pub(crate) fn permit(
        &self,
        manager: &Arc<Manager>,
        action: Action,
        place: Place,
    ) -> Result<ManagementPermit, Problem> {
        decide(manager, action, place).map_err(|refusal| match refusal {
            ManagementRefusal::Hidden => Problem::not_found(),
            ManagementRefusal::Role => Problem::new(
                ProblemKind::Forbidden,
                format!("None of your roles allows `{action}` here"),
            ),
            ManagementRefusal::Scope => Problem::new(
                ProblemKind::Forbidden,
                format!("The token's scopes do not allow `{action}`"),
            ),
        })
    }

    /// The team of this name.
    pub(crate) async fn team(&self, name: &str) -> Result<Option<Team>, Problem> {
        let teams = self.store.teams().await?;
        Ok(teams.into_iter().find(|team| team.name.as_str() == name))
    }

    /// The resources as the database has them now.
    pub(crate) async fn catalogue(&self) -> Result<Arc<Catalogue>, Problem> {
        let before = Arc::clone(&*self.catalogue.read().await);
        self.followed(&before).await.map_err(|error| match error {
            Unreadable::Store(error) => error.into(),
            Unreadable::Resource(why) => Problem::new(
                ProblemKind::Unavailable,
                "The database has something that this node can't read: ask who runs it",
            )
            .because(why),
        })
    }

    /// Keeps what was followed, served or about to be.
    pub(crate) async fn keep(&self, catalogue: Arc<Catalogue>) {
        *self.catalogue.write().await = catalogue;
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn node(&self) -> &dyn Node {
        &*self.node
    }

    pub(crate) fn keys(&self) -> &Keeper {
        &self.keys
    }

    pub(crate) fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    pub(crate) fn site_url(&self) -> &str {
        &self.site_url
    }

    pub(crate) fn token_life(&self) -> Duration {
        self.token_life
    }

    pub(crate) fn document(&self) -> &Value {
        &self.document
    }

    pub(crate) fn secret_references(&self) -> &SecretReferences {
        &self.secret_references
    }

    pub(crate) fn cursor_key(&self) -> &hmac::Key {
        &self.cursor_key
    }

    pub(crate) fn writing(&self) -> &Mutex<()> {
        &self.writing
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// How far a call has come.
enum Admission {
    Open,
    Known(Arc<Manager>),
    Permitted(ManagementPermit, Option<Team>),
}

fn wrong_method(methods: &[&Method]) -> Problem {
    let mut names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    let allowed = names.join(", ");
    let problem = Problem::new(
        ProblemKind::MethodNotAllowed,
        format!("This address takes {allowed}"),
    );
    match HeaderValue::from_str(&allowed) {
        Ok(allowed) => problem.header(ALLOW, allowed),
        Err(_) => problem,
    }
}

/// The query, with the names that the endpoint knows and no others.
fn query(text: &str, endpoint: &Endpoint) -> Result<Vec<(String, String)>, Problem> {
    let mut found: Vec<(String, String)> = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let refused = |name: &str, why: &str| Err(crate::management::call::bad_query(name, why));
        let (Some(name), Some(value)) = (decoded(name, true), decoded(value, true)) else {
            return refused(pair, "it is no text: it is UTF-8, percent-encoded");
        };
        let mut known = endpoint.operation.parameters.iter();
        if !known.any(|parameter| parameter.place == "query" && parameter.name == name) {
            return refused(&name, "this address takes no such parameter");
        }
        if found.iter().any(|(other, _)| *other == name) {
            return refused(&name, "it stands there twice");
        }
        found.push((name, value));
    }
    Ok(found)
}

async fn whole<B>(body: B) -> Result<Bytes, Problem>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let limited = Box::pin(Limited::new(body, BODY_MAX).collect());
    match tokio::time::timeout(BODY_TIMEOUT, limited).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Problem::new(
            ProblemKind::TooLarge,
            "The body has more than 32 MiB",
        )),
        Ok(Err(error)) => Err(Problem::new(
            ProblemKind::Malformed,
            "The body did not arrive whole",
        )
        .because(error)),
        Err(_) => Err(Problem::new(
            ProblemKind::Malformed,
            "The body took longer than a minute to arrive",
        )),
    }
}
