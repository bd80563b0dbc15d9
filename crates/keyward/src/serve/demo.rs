//! `serve --demo`: an upstream and a model inside the process, APIs on them, and the calls to try.

mod model;

use crate::command::{Failure, terminal};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use axum::routing::post;
use keyward_authority::Keeper;
use keyward_gateway::Gateway;
use keyward_jose::jwt::{self, Claims};
use keyward_jose::{NumericDate, SignatureAlgorithm};
use keyward_model::id::TeamId;
use keyward_model::limit::{Allowance, LimitRule, LimitSubject, OnOutage, RateLimit};
use keyward_model::resource::authentication::Dpop;
use keyward_model::resource::issuer::SELF;
use keyward_model::resource::provider::{OwnKey, ProviderEjection, SharedWith};
use keyward_model::resource::{
    Ai, Answers, Api, Authentication, Authorization, BasePath, Guarded, IdentityHeaders,
    KnownOfModel, Model, ModelChoice, ModelTarget, OfferedModels, OfferedPrompts, Policies,
    Provider, Resource, Route, Spec, Target, TargetCondition, TokenMethod, TokenSource, Upstream,
    VersionState,
};
use keyward_model::{Name, Origin, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::net::TcpListener;

const AUDIENCE: &str = "demo-api";
const SCOPE: &str = "read";
const BASE_PATH: &str = "/demo";
/// What callers call the offline model.
const MODEL: &str = "demo";
/// Long enough to play with, too short to be worth stealing from a terminal.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);
const REQUESTS_A_MINUTE: u32 = 60;

/// Adds the demo's resources, and serves its upstream until the process ends.
pub(super) async fn start(resources: &mut Vec<Resource>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new("demo", error.to_string(), "listen");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tokio::spawn(async move {
        let router = Router::new()
            .route("/v1/chat/completions", post(model::answer))
            .fallback(echo);
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the demo's upstream has ended");
        }
    });
    resources.extend(declared(address).map_err(|why| Failure::new("demo", why, "demo"))?);
    Ok(())
}

/// What the upstream received.
async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> String {
    let headers: Map<String, Value> = headers
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                json!(String::from_utf8_lossy(value.as_bytes())),
            )
        })
        .collect();
    let answer = json!({
        "method": method.as_str(),
        "path": uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    format!("{answer:#}\n")
}

fn declared(upstream: SocketAddr) -> Result<Vec<Resource>, String> {
    let name = |text: &str| text.parse::<Name>().map_err(|error| error.to_string());
    let resource = |name: Name, spec| Resource {
        team: TeamId::DEFAULT,
        team_name: Name::default_team(),
        name,
        origin: Origin::File,
        spec,
    };
    let target = |path_prefix: &str| Target {
        tls: false,
        host: upstream.ip().to_string().into(),
        port: upstream.port(),
        path_prefix: path_prefix.into(),
        weight: NonZeroU32::MIN,
    };
    let base = target("/v1");
    let upstream = Upstream::of(vec![target("")]);
    let requests = NonZeroU32::new(REQUESTS_A_MINUTE).unwrap_or(NonZeroU32::MIN);
    let base_path: BasePath = BASE_PATH.parse().map_err(|error| format!("{error}"))?;
    let api = Api {
        version: name("v1")?,
        state: VersionState::Published,
        hosts: Vec::new(),
        routes: vec![Route::everything(&base_path, name("keyward-demo")?)],
        base_path,
        keep_base_path: false,
        authentication: Authentication::tokens(TokenMethod {
            issuers: vec![name(SELF)?],
            audiences: vec![AUDIENCE.into()],
            token: TokenSource::Header,
            forward_token: false,
            dpop: Dpop::default(),
            proxied_certificate: false,
        }),
        authorization: Authorization {
            scopes: BTreeSet::from([SCOPE.to_owned()]),
            ..Authorization::default()
        },
        limits: vec![LimitRule {
            name: name("per-subject")?,
            by: Box::new([LimitSubject::Subject]),
            allows: Allowance::Rate(RateLimit {
                requests,
                per: Duration::from_secs(60),
                burst: requests,
            }),
            on_outage: OnOutage::default(),
        }],
        identity_headers: IdentityHeaders::default(),
        max_body_bytes: Some(1 << 20),
        idle_body_timeout: Duration::from_secs(60),
        ai: None,
    };
    let models = models_api(&api, name("by-address")?)?;
    let (demo, offline) = (name("keyward-demo")?, name("keyward-demo-model")?);
    let provider = Provider {
        catalogue: None,
        dialect: Some("openai-chat".into()),
        base_url: Some(base),
        at: BTreeMap::new(),
        api_version: None,
        key_header: None,
        credentials: Vec::new(),
        own_key: OwnKey::default(),
        shared: SharedWith::default(),
        connect_timeout: Provider::CONNECT_TIMEOUT,
        first_token_timeout: Provider::FIRST_TOKEN_TIMEOUT,
        total_timeout: Provider::TOTAL_TIMEOUT,
        ejection: Some(ProviderEjection::default()),
    };
    let model = Model {
        targets: vec![ModelTarget {
            answers: Answers::Provider {
                provider: offline.clone(),
                model: model::NAME.into(),
            },
            weight: NonZeroU32::MIN,
            when: TargetCondition::default(),
            known: KnownOfModel::default(),
        }],
        fallbacks: Vec::new(),
        choose: ModelChoice::default(),
        hedge: None,
        authorization: Authorization::default(),
        attempts: NonZeroU32::MIN,
        allow_model_members: false,
        budgets: Vec::new(),
        guarded: Guarded::default(),
    };
    Ok(vec![
        resource(demo.clone(), Spec::Upstream(Box::new(upstream))),
        resource(demo, Spec::Api(api)),
        resource(offline.clone(), Spec::Provider(Box::new(provider))),
        resource(name(MODEL)?, Spec::Model(Box::new(model))),
        resource(offline, Spec::Api(models)),
    ])
}

/// The API that serves the model: open, since the model knows nothing, and limited by address.
fn models_api(demo: &Api, limit: Name) -> Result<Api, String> {
    let name = |text: &str| text.parse::<Name>().map_err(|error| error.to_string());
    let base_path: BasePath = "/".parse().map_err(|error| format!("{error}"))?;
    let limits = demo.limits.iter().map(|rule| LimitRule {
        name: limit.clone(),
        by: Box::new([LimitSubject::Address]),
        ..rule.clone()
    });
    let ai = Ai {
        models: OfferedModels::These(vec![name(MODEL)?]),
        prompts: OfferedPrompts::None,
        budgets: Vec::new(),
        guarded: Box::default(),
    };
    Ok(Api {
        routes: ai.routes(&base_path, &Policies::default()),
        base_path,
        authentication: Authentication::None,
        authorization: Authorization::default(),
        limits: limits.collect(),
        ai: Some(Box::new(ai)),
        ..demo.clone()
    })
}

/// Prints the calls to try.
pub(super) async fn tell(
    gateway: &Gateway,
    keys: &Keeper,
    issuer: &str,
    now: Timestamp,
) -> Result<(), Failure> {
    let Some(address) = gateway.addresses().first().copied() else {
        return Err(Failure::new(
            "demo",
            "there is no gateway listener: add one",
            "demo",
        ));
    };
    let gateway = format!("http://{}", reachable(address));
    let url = format!("{gateway}{BASE_PATH}/hello");
    let token = token(keys, issuer, now).await?;
    let shown = [
        String::new(),
        "The demo: an API at /demo that wants a token with the scope `read`. Try:".to_owned(),
        String::new(),
        "# passes: the upstream tells what reached it".to_owned(),
        format!("curl -i {url} -H 'Authorization: Bearer {token}'"),
        "# no token: 401".to_owned(),
        format!("curl -i {url}"),
        "# a broken token: 401".to_owned(),
        format!(
            "curl -i {url} -H 'Authorization: Bearer {}'",
            broken(&token)
        ),
        "# this node's public keys".to_owned(),
        format!("curl -i {gateway}/.well-known/jwks.json"),
        format!(
            "# an offline model; the OpenAI libraries call it with base_url=\"{gateway}/v1\", any key and model=\"{MODEL}\""
        ),
        format!(
            "curl -i {gateway}/v1/chat/completions -H 'Content-Type: application/json' -d '{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'"
        ),
        String::new(),
    ];
    shown.iter().try_for_each(|line| terminal::write_line(line))
}

async fn token(keys: &Keeper, issuer: &str, now: Timestamp) -> Result<String, Failure> {
    let failed = |error: keyward_jose::Error| Failure::new("demo", error.to_string(), error.code());
    let sets = keys.sets();
    let (_, signer) = sets
        .own()
        .and_then(|own| own.signer(Some(SignatureAlgorithm::Es256), now))
        .ok_or_else(|| Failure::new("demo", "no key of ours signs just now", "own_keys"))?;
    let date = |at: Timestamp| NumericDate(at.as_seconds());
    let claims = Claims::new()
        .with_issuer(issuer)
        .with_subject("demo-user")
        .with_audience([AUDIENCE])
        .with_issued_at(date(now))
        .with_expiry(date(now.plus(TOKEN_LIFE)))
        .with_token_id(format!("demo-{}", now.as_micros()))
        .with_scopes([SCOPE])
        .with("client_id", json!("demo"))
        .map_err(failed)?;
    jwt::sign_with(&claims, &**signer, "at+jwt")
        .await
        .map_err(failed)
}

/// The same token with another character in its signature.
fn broken(token: &str) -> String {
    let at = token.rfind('.').map_or(0, |dot| dot + 1);
    let (kept, signature) = token.split_at(at);
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{kept}{first}{}", signature.get(1..).unwrap_or_default())
}

/// An address that this machine can be called at.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}
