//! The site: a call in, an answer out.

use crate::answer::{Answer, HttpAnswer, sent};
use crate::explorer;
use crate::guard::Guard;
use crate::limiter::{Limiter, SiteLimits};
use crate::management::call::{Call, decoded};
use crate::management::catalogue::Catalogue;
use crate::management::custom_role::CompiledRoles;
use crate::management::endpoint::{Allowed, Endpoint, Found, Gate, Handler, find};
use crate::management::kind::KindDescription;
use crate::management::secret::SecretReferences;
use crate::management::{document, table};
use crate::node::{Node, Update};
use crate::problem::{Problem, ProblemKind};
use aws_lc_rs::{hmac, rand};
use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Limited};
use keyward_access::management::{
    Action, ManagementPermit, ManagementRefusal, Manager, Named, Place, Subject, decide,
    decide_any, decide_of,
};
use keyward_authority::Keeper;
use keyward_model::id::RequestId;
use keyward_model::{Clock, Network, Timestamp};
use keyward_state::revocation::Revocations;
use keyward_store::management::{Base, Team};
use keyward_store::{Marks, Purpose, Store};
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, RwLock, Semaphore, SemaphorePermit, watch};
use tokio::time::MissedTickBehavior;

/// Bodies above this are read one at a time: what is made of them takes many times as much memory.
const LARGE_BODY: usize = 1 << 20;
/// How long a call with a large body waits for the one before.
const LARGE_BODY_WAIT: Duration = Duration::from_secs(20);
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How often is looked for what need not be remembered any more.
const TIDY_EVERY: Duration = Duration::from_secs(3600);
/// How long what could not be served waits for another try, unless something changes before.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The longest that it waits.
const TRY_AGAIN_AFTER_MAX: Duration = Duration::from_secs(60);

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
    /// How much may be asked of it.
    pub limits: SiteLimits,
    /// Whose word counts on where a call comes from.
    pub trusted_proxies: Vec<Network>,
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
    limiter: Limiter,
    trusted_proxies: Vec<Network>,
    large_bodies: Semaphore,
    guard: Guard,
    table: Vec<Endpoint>,
    document: Value,
    secret_references: SecretReferences,
    compiled_roles: CompiledRoles,
    cursor_key: hmac::Key,
    /// What of the database is served here.
    served: RwLock<Arc<Catalogue>>,
    /// What the database had when it was last asked.
    known: Mutex<Arc<Catalogue>>,
    /// Held by whoever changes resources.
    writing: Mutex<()>,
    /// Held by whoever walks through the audit log.
    verifying: Mutex<()>,
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
            compiled_roles: CompiledRoles::default(),
            cursor_key: hmac::Key::new(hmac::HMAC_SHA256, cursors.key.reveal()),
            served: RwLock::default(),
            known: Mutex::default(),
            writing: Mutex::default(),
            verifying: Mutex::default(),
            store: settings.store,
            clock: settings.clock,
            node: settings.node,
            keys: settings.keys,
            revocations: settings.revocations,
            site_url: settings.site_url,
            token_life: settings.token_life,
            limiter: Limiter::new(settings.limits),
            trusted_proxies: settings.trusted_proxies,
            large_bodies: Semaphore::new(1),
        };
        let read = site.followed(&Arc::default()).await;
        let catalogue = read.map_err(told)?;
        site.is_served(catalogue).await;
        Ok(site)
    }

    /// All that the database has, to be served from the start.
    pub async fn everything(&self) -> Update {
        self.served.read().await.update(&Catalogue::default())
    }

    /// Serves what other nodes change, from now on, whenever `marks` tell of a newer revision or of other credentials.
    pub async fn follow(self: Arc<Self>, mut marks: watch::Receiver<Marks>) {
        let mut wait = Duration::ZERO;
        let mut history = marks.borrow().history;
        loop {
            let newest = *marks.borrow_and_update();
            let current = newest.history;
            let is_another = current != history;
            let again = match self.take_in(newest, is_another).await {
                Ok(()) => {
                    history = current;
                    self.node.is_behind(false);
                    wait = Duration::ZERO;
                    marks.changed().await
                }
                Err(why) => {
                    // Once, and not at each try.
                    if wait.is_zero() {
                        tracing::error!(
                            "configuration: what others changed is not served, and what was served stays: {why}"
                        );
                    }
                    self.node.is_behind(true);
                    // What can't be served for a reason of the node's own costs as much at each try.
                    wait = wait
                        .saturating_mul(2)
                        .clamp(TRY_AGAIN_AFTER, TRY_AGAIN_AFTER_MAX);
                    let changed = tokio::time::timeout(wait, marks.changed());
                    changed.await.unwrap_or(Ok(()))
                }
            };
            if again.is_err() {
                // Nobody follows the database any more: the process ends.
                return;
            }
        }
    }

    /// Forgets what has been remembered for long enough, from time to time, until the process ends.
    pub async fn tidy_up(self: Arc<Self>) {
        let mut hours = tokio::time::interval(TIDY_EVERY);
        hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            hours.tick().await;
            if let Err(error) = self.store.forget_old_calls(self.now()).await {
                tracing::warn!("site: old calls could not be forgotten: {error}");
            }
            if let Err(error) = self.store.forget_removed_credentials(self.now()).await {
                tracing::warn!("site: which credentials went could not be forgotten: {error}");
            }
        }
    }

    async fn take_in(&self, newest: Marks, all: bool) -> Result<(), String> {
        let served = self.served.read().await.base;
        if !all && newest.revision <= served.revision && newest.credentials <= served.credentials {
            return Ok(());
        }
        let _alone = self.writing.lock().await;
        if all {
            // The same numbers may stand for something else there: all is read anew. Nobody writes meanwhile, who would
            // keep what was.
            *self.known.lock().await = Arc::default();
        }
        let served = self.served_now().await;
        served.map(|_| ()).map_err(|problem| {
            let reason = problem.reason().unwrap_or_else(|| problem.detail());
            reason.to_owned()
        })
    }

    /// What the database has now, after all that others have changed is served here. For whoever holds
    /// [`writing`](Self::writing).
    pub(crate) async fn served_now(&self) -> Result<Arc<Catalogue>, Problem> {
        let served = Arc::clone(&*self.served.read().await);
        let catalogue = self.catalogue().await?;
        if Arc::ptr_eq(&served, &catalogue) {
            return Ok(catalogue);
        }
        let mut change = self.node.begin().await;
        if let Err(why) = change.fit(catalogue.update(&served)).await {
            // Keys that were taken away are taken away, whatever else can't be served.
            let partly = served.with_credentials_of(&catalogue);
            if change.fit(partly.update(&served)).await.is_ok() {
                change.serve().await;
                *self.served.write().await = Arc::new(partly);
            }
            return Err(Problem::new(
                ProblemKind::Unavailable,
                "This node can't serve what others have changed: whoever runs it finds the reason in its log, under this call's id",
            )
            .because(why));
        }
        change.serve().await;
        let Base {
            revision,
            credentials,
        } = catalogue.base;
        tracing::info!(%revision, credentials, "configuration: another node's change is served");
        self.is_served(Arc::clone(&catalogue)).await;
        Ok(catalogue)
    }

    /// Whether this address is that of a proxy whose word counts.
    #[must_use]
    pub fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        let mut networks = self.trusted_proxies.iter();
        networks.any(|network| network.contains(address))
    }

    /// Answers one call. One that may change something goes on to its end when nobody waits for its answer any more:
    /// what was written is served, too. `held` is dropped when it has ended.
    pub async fn answer<B, H>(
        self: &Arc<Self>,
        request: Request<B>,
        peer: IpAddr,
        held: H,
    ) -> HttpAnswer
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        H: Send + 'static,
    {
        let mut random = [0; 10];
        let id = match rand::fill(&mut random) {
            Ok(()) => RequestId::new(self.clock.now(), random).to_string(),
            Err(_) => String::new(),
        };
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let outcome = if method.is_safe() {
            Box::pin(self.outcome(request, peer, &id)).await
        } else {
            let (site, id) = (Arc::clone(self), id.clone());
            let running = tokio::spawn(async move {
                let _held = held;
                Box::pin(site.outcome(request, peer, &id)).await
            });
            running.await.unwrap_or_else(|error| {
                let what = Problem::new(ProblemKind::Internal, "Something went wrong here");
                Err(what.because(error))
            })
        };
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
        if parts.headers.contains_key(TRANSFER_ENCODING) {
            // Where a length stands beside it, others may have read another end of the body than we do.
            return Err(Problem::new(
                ProblemKind::LengthRequired,
                "Send the body with a `Content-Length`, and without `Transfer-Encoding`",
            )
            .header(CONNECTION, HeaderValue::from_static("close")));
        }
        self.guard
            .check(&parts.method, &parts.uri, &parts.headers)?;
        if let Some(answer) = explorer::answer(&parts.method, parts.uri.path()) {
            return answer;
        }
        let (endpoint, path) = match find(&self.table, &parts.method, parts.uri.path()) {
            Found::Endpoint(endpoint, path) => (endpoint, path),
            Found::Methods(methods) => return Err(wrong_method(&methods)),
            Found::Nothing => return Err(Problem::not_found()),
        };
        let mut call = Call {
            path,
            query: Vec::new(),
            address: self.node.client(peer, &parts.headers),
            headers: parts.headers,
            body: Bytes::new(),
            request_id: id.to_owned(),
        };
        if endpoint.gate != Gate::Open || !endpoint.method.is_safe() {
            self.limiter.may_try(call.address, self.clock.moment())?;
        }
        // Before the rest is read, so that nobody learns from mistakes what they may not see.
        let allowed = self.allowed(endpoint, &call).await?;
        call.query = query(parts.uri.query().unwrap_or_default(), endpoint)?;
        let _large = match &endpoint.operation.body {
            Some(sent) => {
                let large = self
                    .large_body(sent.max, declared_length(&call.headers), &allowed)
                    .await?;
                call.body = whole(body, sent.max).await?;
                large
            }
            None => None,
        };
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
        let manager = match self.manager(call).await {
            Ok(manager) => manager,
            Err(problem) => {
                // One that shows none has not tried.
                if problem.kind() == ProblemKind::Unauthenticated && problem.reason().is_some() {
                    self.failed_attempt(call, 1);
                }
                return Err(problem);
            }
        };
        self.limiter
            .may_call(manager.team, &manager.name, &*self.clock)?;
        let Gate::May(action) = endpoint.gate else {
            return Ok(Admission::Known(manager));
        };
        if !endpoint.path.contains("{team}") {
            let permit = self.permit(&manager, action, Place::Deployment)?;
            return Ok(Admission::Permitted(permit, None));
        }
        let team = self.team(call.path("team")).await?;
        let team = team.ok_or_else(Problem::not_found)?;
        let place = Place::Team(team.id);
        let decided = match named(endpoint, call) {
            Some(named) => decide_of(&manager, action, place, Some(named)),
            // Which of them it is stands in the body, or they are several: each is asked about before it is told or
            // changed.
            None if matches!(action.subject, Subject::Resources(_)) => {
                decide_any(&manager, action, place)
            }
            None => decide(&manager, action, place),
        };
        let permit = decided.map_err(|refusal| refused(action, refusal))?;
        Ok(Admission::Permitted(permit, Some(team)))
    }

    /// Somebody has shown a token or secret that is not good, which counts as much as `weight` tokens.
    pub(crate) fn failed_attempt(&self, call: &Call, weight: u32) {
        let now = self.clock.moment();
        self.limiter.failed(call.address, weight, now);
    }

    /// Waits for the place of a call with a large body, where it has one. Only those who may declare something in some
    /// team get it.
    async fn large_body(
        &self,
        max: usize,
        declared: Option<u64>,
        allowed: &Admission,
    ) -> Result<Option<SemaphorePermit<'_>>, Problem> {
        let large = u64::try_from(LARGE_BODY).unwrap_or(u64::MAX);
        if max <= LARGE_BODY || declared.is_some_and(|declared| declared <= large) {
            return Ok(None);
        }
        if let Admission::Known(manager) = allowed
            && !self.may_declare(manager)
        {
            return Err(Problem::new(
                ProblemKind::Forbidden,
                "You may declare nothing in any team",
            ));
        }
        let place = self.large_bodies.acquire();
        match tokio::time::timeout(LARGE_BODY_WAIT, place).await {
            Ok(Ok(place)) => Ok(Some(place)),
            Ok(Err(_)) | Err(_) => Err(Problem::new(
                ProblemKind::Unavailable,
                "Others are declaring much just now: try again in a minute",
            )
            .header(RETRY_AFTER, HeaderValue::from_static("60"))),
        }
    }

    fn may_declare(&self, manager: &Arc<Manager>) -> bool {
        let mut teams = manager.roles.keys().chain(manager.custom.keys());
        teams.any(|team| {
            let place = Place::Team(*team);
            let mut kinds = KindDescription::ALL.iter();
            kinds.any(|kind| decide_any(manager, Action::write(kind.subject()), place).is_ok())
        })
    }

    /// Asks whether somebody may do something, whatever it is done to.
    pub(crate) fn permit(
        &self,
        manager: &Arc<Manager>,
        action: Action,
        place: Place,
    ) -> Result<ManagementPermit, Problem> {
        decide(manager, action, place).map_err(|refusal| refused(action, refusal))
    }

    /// Asks whether somebody may do something with some resources of a kind: each is then asked about by itself.
    pub(crate) fn permit_any(
        &self,
        manager: &Arc<Manager>,
        action: Action,
        place: Place,
    ) -> Result<ManagementPermit, Problem> {
        decide_any(manager, action, place).map_err(|refusal| refused(action, refusal))
    }

    /// The team of this name.
    pub(crate) async fn team(&self, name: &str) -> Result<Option<Team>, Problem> {
        let teams = self.store.teams().await?;
        Ok(teams.into_iter().find(|team| team.name.as_str() == name))
    }

    /// The resources as the database has them now.
    pub(crate) async fn catalogue(&self) -> Result<Arc<Catalogue>, Problem> {
        let before = Arc::clone(&*self.known.lock().await);
        if self.store.base().await? == before.base {
            return Ok(before);
        }
        // One reads what is new, and the others find it.
        let mut known = self.known.lock().await;
        let followed = self.followed(&known).await?;
        *known = Arc::clone(&followed);
        Ok(followed)
    }

    /// Keeps what is served from now on.
    pub(crate) async fn is_served(&self, catalogue: Arc<Catalogue>) {
        let mut known = self.known.lock().await;
        // Somebody may have read what has come since.
        let (had, has) = (known.base, catalogue.base);
        if had.revision <= has.revision && had.credentials <= has.credentials {
            *known = Arc::clone(&catalogue);
        }
        *self.served.write().await = catalogue;
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

    pub(crate) fn compiled_roles(&self) -> &CompiledRoles {
        &self.compiled_roles
    }

    pub(crate) fn cursor_key(&self) -> &hmac::Key {
        &self.cursor_key
    }

    pub(crate) fn writing(&self) -> &Mutex<()> {
        &self.writing
    }

    pub(crate) fn verifying(&self) -> &Mutex<()> {
        &self.verifying
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Why somebody may not, as they are told; which policy says so is for the log.
pub(crate) fn refused(action: Action, refusal: ManagementRefusal) -> Problem {
    let forbidden = |detail: String| Problem::new(ProblemKind::Forbidden, detail);
    match &refusal {
        ManagementRefusal::Hidden => Problem::not_found(),
        ManagementRefusal::Role => {
            forbidden(format!("None of your roles allows `{action}` here"))
        }
        ManagementRefusal::Scope => {
            forbidden(format!("The token's scopes do not allow `{action}`"))
        }
        ManagementRefusal::Forbidden(_) => {
            forbidden(format!("One of your roles forbids `{action}` here")).because(refusal)
        }
        ManagementRefusal::HeldBack(role) => forbidden(format!(
            "Your role `{role}` forbids something: whoever has such a role gives no rights (`{action}`)"
        )),
        ManagementRefusal::Unusable { role, .. } => forbidden(format!(
            "Your role `{role}` can't be used just now, and may forbid `{action}`: an owner can give you other roles"
        ))
        .because(refusal),
    }
}

/// What an address names of a team.
fn named<'c>(endpoint: &Endpoint, call: &'c Call) -> Option<Named<'c>> {
    if endpoint.path.contains("{key}") {
        let key = call.path("key");
        let versioned = endpoint.kind.is_some_and(|kind| kind.versioned);
        return Some(match key.split_once(':').filter(|_| versioned) {
            Some((name, version)) => Named {
                name,
                version: Some(version),
            },
            None => Named {
                name: key,
                version: None,
            },
        });
    }
    let name = call.path("member");
    (!name.is_empty()).then_some(Named {
        name,
        version: None,
    })
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

async fn whole<B>(body: B, max: usize) -> Result<Bytes, Problem>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let limited = Box::pin(Limited::new(body, max).collect());
    match tokio::time::timeout(BODY_TIMEOUT, limited).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Problem::new(
            ProblemKind::TooLarge,
            format!("The body has more than {} KiB", max >> 10),
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

/// How long the body says it is; hyper reads no more than that.
fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
