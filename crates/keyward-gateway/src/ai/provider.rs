//! A provider, prepared when the configuration is compiled.

use super::catalogue::catalogue;
use super::credential::{self, Credential, ToProve, WayOut};
use super::facts::Needs;
use super::key_pool::KeyPool;
use super::standing::ProviderState;
use crate::message::Fields;
use crate::metrics::ModelCounts;
use crate::upstream::UpstreamPlan;
use keyward_llm::Target as Asked;
use keyward_llm::catalogue::{self, Ability, Catalogue, KeyPlace, Mode, Price};
use keyward_llm::{Dialect, Hosting, ModelMembers};
use keyward_model::id::TeamId;
use keyward_model::resource::provider::{
    KeyHeader, OwnKey, ProviderEjection, ProviderKey, ProviderSecret,
};
use keyward_model::resource::raw::{closest, read_target};
use keyward_model::resource::upstream::{Protocol, Retries};
use keyward_model::resource::{AskedAbility, Provider, Resource, Target, Upstream};
use keyward_model::{Moment, Name, Origin, Timestamp};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A provider, ready to be called.
#[derive(Debug)]
pub(crate) struct ProviderPlan {
    pub(crate) name: Name,
    /// The team that has it.
    pub(super) team: TeamId,
    pub(super) team_name: Name,
    pub(super) declared: Provider,
    pub(super) dialect: Dialect,
    /// In which header its keys go.
    pub(super) key_header: KeyHeader,
    pub(super) keys: KeyPool,
    /// Whose addresses it has.
    pub(super) hosting: Hosting,
    /// What requests are signed for, unless a key says otherwise.
    region: Box<str>,
    /// Whether it is the operator's word, so that it may be shared.
    operators: bool,
    /// What the catalogue calls it.
    catalogued: Option<Box<str>>,
    /// The catalogue by which it was prepared.
    catalogue: Option<Arc<Catalogue>>,
    pub(crate) upstream: Arc<UpstreamPlan>,
    /// How it does: kept over reloads.
    pub(crate) state: Arc<ProviderState>,
}

/// How a provider is asked for one of its models.
pub(crate) struct KnownModel {
    pub(crate) asked: Asked,
    pub(crate) price: Option<Price>,
    /// What of a call's needs it is known to lack.
    pub(crate) lacks: Needs,
    /// Whether it is known to think before it answers, unseen by callers.
    pub(crate) reasons: bool,
    /// What it does, where that is known.
    pub(crate) mode: Option<Mode>,
}

/// A provider as it is now, and what was counted of its models.
#[derive(Clone, Debug)]
pub struct ProviderCounts {
    /// The owner's name.
    pub team: String,
    /// Its name.
    pub provider: String,
    /// Its keys.
    pub keys: usize,
    /// Of these, those that are left alone just now.
    pub cooling: usize,
    /// Whether it is asked last, since it could not be reached.
    pub ejected: bool,
    /// How often it was.
    pub ejections: u64,
    /// Its models that somebody has asked for.
    pub targets: Vec<TargetHealth>,
    /// What was counted of each, by the name that callers asked for.
    pub models: Vec<ModelCountsOf>,
}

/// A provider's model as it is now.
#[derive(Clone, Debug)]
pub struct TargetHealth {
    /// As the provider calls it.
    pub model: String,
    /// Calls under way.
    pub in_flight: u32,
    /// Whether it is asked last, since calls to it failed.
    pub ejected: bool,
    /// How often it was.
    pub ejections: u64,
}

/// What was counted of a model at a provider.
#[derive(Clone, Debug)]
pub struct ModelCountsOf {
    /// As callers call it.
    pub asked: String,
    /// As the provider does.
    pub served: String,
    /// What was counted.
    pub counts: ModelCounts,
}

/// What is known of a provider, from what was declared and from the catalogue.
struct Known {
    dialect: Dialect,
    target: Target,
    key_header: KeyHeader,
    hosting: Hosting,
    region: Box<str>,
    catalogued: Option<Box<str>>,
}

/// Whether a provider can be called: the catalogue knows it, or what is declared is enough.
///
/// # Errors
/// What is missing, or not known.
pub fn check_provider(provider: &Provider) -> Result<(), String> {
    known(provider)?;
    let mut keys = provider.credentials.iter();
    keys.try_for_each(|key| credential::check(&key.secret))
}

impl ProviderPlan {
    /// Where its calls go, as to any upstream.
    pub(crate) fn upstream(declared: &Provider) -> Result<Upstream, String> {
        let target = known(declared)?.target;
        Ok(Upstream {
            protocol: if target.tls {
                Protocol::Auto
            } else {
                Protocol::Http1
            },
            connect_timeout: declared.connect_timeout,
            // An answer that is not streamed comes when all of it is there.
            response_timeout: declared.total_timeout,
            total_timeout: Some(declared.total_timeout),
            // What is tried again is decided here, target by target and key by key.
            retries: Retries::none(),
            ..Upstream::of(vec![target])
        })
    }

    /// Prepares a provider; as `before`, if nothing has changed.
    pub(crate) fn new(
        resource: &Resource,
        declared: &Provider,
        upstream: &Arc<UpstreamPlan>,
        before: Option<&Arc<Self>>,
        way_out: &WayOut,
    ) -> Result<Arc<Self>, String> {
        let mut keys = declared.credentials.iter();
        if resource.origin != Origin::File && keys.any(|key| key.secret.is_of_machine()) {
            return Err("`machine: true` is for the operator's own files alone".to_owned());
        }
        let current = catalogue();
        if let Some(before) = before
            && before.declared == *declared
            && Arc::ptr_eq(&before.upstream, upstream)
            && before.operators == resource.is_shared()
            && before.price_revision() == current.as_ref().map_or(0, |known| known.revision())
        {
            return Ok(Arc::clone(before));
        }
        let known = known(declared)?;
        let state = before.map_or_else(Arc::default, |before| Arc::clone(&before.state));
        Ok(Arc::new(Self {
            state,
            name: resource.name.clone(),
            team: resource.team,
            team_name: resource.team_name.clone(),
            // Keys that were granted for another region are got anew.
            keys: KeyPool::new(
                &resource.name,
                &declared.credentials,
                before
                    .filter(|before| before.region == known.region)
                    .map(|before| &before.keys),
                |key| Credential::new(&key.secret, &known.region, way_out),
            )?,
            hosting: known.hosting,
            region: known.region,
            declared: declared.clone(),
            dialect: known.dialect,
            key_header: known.key_header,
            operators: resource.is_shared(),
            catalogued: known.catalogued,
            catalogue: current,
            upstream: Arc::clone(upstream),
        }))
    }

    /// Whether models of this team may name it, which is not its own.
    pub(crate) fn is_shared_with(&self, team: &Name) -> bool {
        self.operators && self.declared.shared.has(team)
    }

    /// The number of the catalogue whose prices count for it.
    pub(crate) fn price_revision(&self) -> u32 {
        self.catalogue.as_ref().map_or(0, |known| known.revision())
    }

    /// Credentials that have to be fetched are fetched from now on.
    pub(crate) fn begin(&self) {
        self.keys.begin();
    }

    /// Adds what proves who calls to the fields of a request to `path`.
    ///
    /// # Errors
    /// Why that can't be had just now, for the operator.
    pub(super) async fn prove(
        &self,
        key: usize,
        (path, body, now): (&str, &[u8], Timestamp),
        fields: &mut Fields,
    ) -> Result<(), String> {
        let (Some((credential, declared)), Some(target)) =
            (self.keys.credential(key), self.upstream.targets.first())
        else {
            return Err("there is no such key".to_owned());
        };
        let request = ToProve {
            host: target.host.as_bytes(),
            prefix: &target.target.path_prefix,
            path,
            body,
            header: self.key_header,
            region: own_region(declared).unwrap_or(&self.region),
            now,
        };
        credential.prove(request, fields).await
    }

    /// How long it may say nothing within an answer.
    pub(crate) fn silence(&self) -> Duration {
        self.declared.first_token_timeout
    }

    /// How many tokens one of its models can read, where that is known.
    pub(crate) fn context(&self, name: &str) -> Option<u64> {
        let (id, catalogue) = self.catalogued.as_deref().zip(self.catalogue.as_deref())?;
        catalogue.model(id, name)?.context
    }

    /// Whether one of its keys has limits.
    pub(crate) fn has_key_budgets(&self) -> bool {
        self.keys.has_budgets()
    }

    /// How one of its models is asked, and what that costs where it is known.
    pub(crate) fn model(&self, name: &str) -> KnownModel {
        let entry = self.catalogued.as_deref().zip(self.catalogue.as_deref());
        let asked = entry.and_then(|(id, catalogue)| catalogue.target(id, name));
        let mut asked = asked.unwrap_or_else(|| Asked {
            model: name.to_owned(),
            ..Asked::default()
        });
        if self.catalogued.is_none() || self.declared.base_url.is_some() {
            // Nobody knows what serves there: it may be a router.
            asked.quirks.model_members = ModelMembers::Any;
        }
        let model = entry.and_then(|(id, catalogue)| catalogue.model(id, name));
        let of_catalogue = |ability: AskedAbility| match ability {
            AskedAbility::Tools => Ability::Tools,
            AskedAbility::JsonSchema => Ability::JsonSchema,
            AskedAbility::Reasoning => Ability::Reasoning,
            AskedAbility::Vision => Ability::Vision,
            AskedAbility::Pdf => Ability::Pdf,
            AskedAbility::AudioIn => Ability::AudioIn,
        };
        // Of one whose abilities nobody has written down, nothing is known.
        let told = model.filter(|model| model.mode == Mode::Chat && !model.abilities.is_empty());
        let lacks = told.map_or_else(Needs::default, |model| {
            let all = AskedAbility::ALL.into_iter();
            Needs::of(all.filter(|ability| !model.can(of_catalogue(*ability))))
        });
        KnownModel {
            asked,
            price: model.and_then(|model| model.price.clone()),
            lacks,
            reasons: told.is_some_and(|model| model.can(Ability::Reasoning)),
            mode: model.map(|model| model.mode),
        }
    }

    /// When its models are asked last for a while.
    pub(crate) fn ejection(&self) -> Option<ProviderEjection> {
        self.declared.ejection.clone()
    }

    /// How it is now.
    pub(crate) fn read(&self, now: Moment) -> ProviderCounts {
        let targets = self.state.targets().into_iter();
        let models = self.state.counts().into_iter();
        ProviderCounts {
            team: self.upstream.team.to_string(),
            provider: self.name.to_string(),
            keys: self.declared.credentials.len(),
            cooling: self.keys.cooling(now),
            ejected: self.state.outage.is_out(now),
            ejections: self.state.outage.total(),
            targets: targets
                .map(|(model, state)| TargetHealth {
                    model: model.into(),
                    in_flight: state.in_flight.load(Ordering::Relaxed),
                    ejected: state.outage.is_out(now),
                    ejections: state.outage.total(),
                })
                .collect(),
            models: models
                .filter_map(|((asked, served), counts)| {
                    Some(ModelCountsOf {
                        asked: asked.into(),
                        served: served.into(),
                        counts: counts.read()?,
                    })
                })
                .collect(),
        }
    }
}

fn known(provider: &Provider) -> Result<Known, String> {
    if let Some(word) = &provider.dialect {
        let Some(dialect) = Dialect::named(word) else {
            let all: Vec<&str> = Dialect::ALL
                .iter()
                .map(|dialect| dialect.as_str())
                .collect();
            return Err(format!(
                "`dialect`: `{word}` is none of `{}`",
                all.join("`, `")
            ));
        };
        if let Some(word) = provider.at.keys().next() {
            return Err(format!(
                "`at`: `{word}` stands for nothing: only addresses of the catalogue have words to fill in"
            ));
        }
        let target = provider.base_url.clone();
        let target = target.ok_or("`base_url` is missing: say where it is called")?;
        return Ok(Known {
            dialect,
            hosting: hosting(provider, dialect, false)?,
            region: region(provider, &target, dialect)?,
            key_header: provider.key_header.unwrap_or_else(|| usual_header(dialect)),
            target,
            catalogued: None,
        });
    }
    let id = provider.catalogue.as_ref().map(Name::as_str);
    let id = id.ok_or("`catalogue` is missing: say what the catalogue calls it")?;
    let catalogue = catalogue().ok_or("the catalogue can't be read")?;
    let Some(entry) = catalogue.provider(id) else {
        let ids = catalogue.providers().map(|provider| provider.id.as_str());
        let hint = closest(id, ids).map(|meant| format!(": did you mean `{meant}`?"));
        return Err(format!(
            "the catalogue has no provider `{id}`{}",
            hint.unwrap_or_else(|| {
                ": name one with `catalogue`, or say its `dialect` and `base_url`".to_owned()
            })
        ));
    };
    let target = match &provider.base_url {
        Some(target) => {
            // What requests are signed for stands in no address but AWS's own.
            let signed = |key: &ProviderKey| matches!(key.secret, ProviderSecret::Aws(_));
            let signs = provider.credentials.iter().any(signed);
            let mut words = provider.at.keys();
            if let Some(word) = words.find(|word| !(signs && &***word == "region")) {
                return Err(format!(
                    "`at`: `{word}` stands for nothing beside `base_url`: take one of them out"
                ));
            }
            target.clone()
        }
        None => read_target(&filled(entry, provider)?)
            .map_err(|why| format!("the catalogue's address of `{id}` {why}"))?,
    };
    let key_header = match entry.key {
        KeyPlace::Bearer | KeyPlace::None => KeyHeader::Bearer,
        KeyPlace::XApiKey => KeyHeader::XApiKey,
        KeyPlace::XGoogApiKey => KeyHeader::XGoogApiKey,
        KeyPlace::ApiKey => KeyHeader::ApiKey,
        // Bedrock takes keys of its own beside signatures, and Google's tokens are bearers'.
        KeyPlace::AwsSignature | KeyPlace::GoogleOauth => KeyHeader::Bearer,
    };
    let brought = provider.own_key == OwnKey::Require;
    if entry.key != KeyPlace::None && provider.credentials.is_empty() && !brought {
        let variable = entry.key_variable.as_deref().unwrap_or("NAME");
        let such = match entry.key {
            KeyPlace::AwsSignature => {
                "{ aws: { access_key_id: ${ENV:AWS_ACCESS_KEY_ID}, secret_access_key: ${ENV:AWS_SECRET_ACCESS_KEY} } }"
                    .to_owned()
            }
            KeyPlace::GoogleOauth => "{ google: { service_account: ${FILE:key.json} } }".to_owned(),
            KeyPlace::Bearer
            | KeyPlace::XApiKey
            | KeyPlace::XGoogApiKey
            | KeyPlace::ApiKey
            | KeyPlace::None => format!("{{ key: ${{ENV:{variable}}} }}"),
        };
        return Err(format!(
            "`credentials` is missing: `{id}` is called with a key, such as `credentials: [ {such} ]`"
        ));
    }
    let plain = |key: &ProviderKey| matches!(key.secret, ProviderSecret::Key(_));
    if entry.key == KeyPlace::GoogleOauth
        && provider.key_header.is_none()
        && provider.credentials.iter().any(plain)
    {
        return Err(format!(
            "`{id}` is called with tokens of an account: write `credentials: [ {{ google: {{ service_account: ${{FILE:key.json}} }} }} ]`, or say where a key goes with `key_header`"
        ));
    }
    Ok(Known {
        dialect: entry.dialect,
        hosting: hosting(provider, entry.dialect, entry.quirks.on_vertex)?,
        region: region(provider, &target, entry.dialect)?,
        target,
        key_header: provider.key_header.unwrap_or(key_header),
        catalogued: Some(id.into()),
    })
}

/// The catalogue's address with its words filled in.
fn filled(entry: &catalogue::Provider, provider: &Provider) -> Result<String, String> {
    let mut url = entry.base_url.clone();
    let regions = provider.credentials.iter().filter_map(own_region);
    let mut words: Vec<(&str, &str)> = provider
        .at
        .iter()
        .map(|(word, value)| (&**word, &**value))
        .collect();
    // A key that signs for a region is of that region.
    if !provider.at.contains_key("region")
        && let Some(region) = regions.clone().next()
    {
        words.push(("region", region));
    }
    for (word, value) in words {
        let braced = format!("{{{word}}}");
        if !url.contains(&braced) {
            return Err(format!(
                "`at`: `{word}` stands for nothing in the address of `{}`, `{}`",
                entry.id, entry.base_url
            ));
        }
        url = url.replace(&braced, value);
    }
    if let Some((_, rest)) = url.split_once('{') {
        let word = rest.split('}').next().unwrap_or_default();
        return Err(format!(
            "`at` lacks `{word}`: the address of `{}` is `{}`; write `at: {{ {word}: … }}`, or all of it as `base_url`",
            entry.id, entry.base_url
        ));
    }
    Ok(url)
}

fn own_region(key: &ProviderKey) -> Option<&str> {
    match &key.secret {
        ProviderSecret::Aws(keys) => keys.region.as_deref(),
        ProviderSecret::Key(_) | ProviderSecret::Google(_) | ProviderSecret::Entra(_) => None,
    }
}

/// What requests are signed for: said, or a part of AWS's own address.
fn region(provider: &Provider, target: &Target, dialect: Dialect) -> Result<Box<str>, String> {
    let is_aws = |key: &&ProviderKey| matches!(key.secret, ProviderSecret::Aws(_));
    let mut signing = provider.credentials.iter().filter(is_aws).peekable();
    if signing.peek().is_none() {
        return Ok(Box::default());
    }
    if dialect != Dialect::Bedrock {
        return Err(format!(
            "`aws`: only Bedrock takes signatures, and this provider speaks {dialect}: give it a `key`"
        ));
    }
    let said = provider.at.get("region").map(|region| &**region);
    let named = region_of_address(&target.host);
    if let (Some(said), Some(named)) = (said, named)
        && said != named
    {
        return Err(format!(
            "`at`: the region `{said}` is not that of the address, `{named}`: take `region` out, or write the address of `{said}`"
        ));
    }
    let mut own = signing.clone().filter_map(own_region);
    if let Some(named) = named
        && let Some(other) = own.find(|region| *region != named)
    {
        return Err(format!(
            "`aws`: keys with `region: {other}` sign for another region than that of the address, `{named}`, and would be refused there: give each region a provider of its own"
        ));
    }
    let region = said.or(named);
    if region.is_none() && signing.any(|key| own_region(key).is_none()) {
        return Err("`aws` lacks `region`: write the one that is signed for, such as `region: eu-central-1`".to_owned());
    }
    Ok(region.unwrap_or_default().into())
}

/// The region that an address of AWS's for Bedrock is of: it stands behind the service, before which an endpoint of a private
/// network has a name of its own.
fn region_of_address(host: &str) -> Option<&str> {
    let of_aws = [".amazonaws.com", ".amazonaws.com.cn"];
    if !of_aws.iter().any(|end| host.ends_with(end)) {
        return None;
    }
    let mut labels = host.split('.');
    labels.find(|label| ["bedrock-runtime", "bedrock-runtime-fips"].contains(label))?;
    labels.next()
}

fn hosting(provider: &Provider, dialect: Dialect, on_vertex: bool) -> Result<Hosting, String> {
    match (&provider.api_version, dialect) {
        (Some(version), Dialect::OpenAiChat | Dialect::OpenAiResponses) => Ok(Hosting::Azure {
            api_version: version.clone(),
        }),
        (
            Some(_),
            Dialect::Anthropic
            | Dialect::Gemini
            | Dialect::Bedrock
            | Dialect::Ollama
            | Dialect::Cohere,
        ) => Err(format!(
            "`api_version` is of Azure's OpenAI, and this provider speaks {dialect}: take it out"
        )),
        (None, _) if on_vertex => Ok(Hosting::Vertex),
        (None, _) => Ok(Hosting::Own),
    }
}

/// Where the inventor of a dialect has the key.
const fn usual_header(dialect: Dialect) -> KeyHeader {
    match dialect {
        Dialect::Anthropic => KeyHeader::XApiKey,
        Dialect::Gemini => KeyHeader::XGoogApiKey,
        Dialect::OpenAiChat
        | Dialect::OpenAiResponses
        | Dialect::Bedrock
        | Dialect::Ollama
        | Dialect::Cohere => KeyHeader::Bearer,
    }
}
