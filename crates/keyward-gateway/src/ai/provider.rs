//! A provider, prepared when the configuration is compiled.

use super::catalogue::catalogue;
use super::facts::Needs;
use super::key_pool::KeyPool;
use super::standing::ProviderState;
use crate::metrics::ModelCounts;
use crate::upstream::UpstreamPlan;
use keyward_llm::Target as Asked;
use keyward_llm::catalogue::{Ability, KeyPlace, Mode, Price};
use keyward_llm::{Dialect, ModelMembers};
use keyward_model::id::TeamId;
use keyward_model::resource::provider::{KeyHeader, ProviderEjection};
use keyward_model::resource::raw::{closest, read_target};
use keyward_model::resource::upstream::{Protocol, Retries};
use keyward_model::resource::{AskedAbility, Provider, Resource, Target, Upstream};
use keyward_model::{Moment, Name};
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
    /// What the catalogue calls it.
    catalogued: Option<Box<str>>,
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
    catalogued: Option<Box<str>>,
}

/// Whether a provider can be called: the catalogue knows it, or what is declared is enough.
///
/// # Errors
/// What is missing, or not known.
pub fn check_provider(provider: &Provider) -> Result<(), String> {
    known(provider).map(|_| ())
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
    ) -> Result<Arc<Self>, String> {
        if let Some(before) = before
            && before.declared == *declared
            && Arc::ptr_eq(&before.upstream, upstream)
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
            keys: KeyPool::new(
                &resource.name,
                &declared.credentials,
                before.map(|before| &before.keys),
            ),
            declared: declared.clone(),
            dialect: known.dialect,
            key_header: known.key_header,
            catalogued: known.catalogued,
            upstream: Arc::clone(upstream),
        }))
    }

    /// How long it may say nothing within an answer.
    pub(crate) fn silence(&self) -> Duration {
        self.declared.first_token_timeout
    }

    /// How many tokens one of its models can read, where that is known.
    pub(crate) fn context(&self, name: &str) -> Option<u64> {
        let (id, catalogue) = self.catalogued.as_deref().zip(catalogue())?;
        catalogue.model(id, name)?.context
    }

    /// Whether one of its keys has limits.
    pub(crate) fn has_key_budgets(&self) -> bool {
        self.keys.has_budgets()
    }

    /// How one of its models is asked, and what that costs where it is known.
    pub(crate) fn model(&self, name: &str) -> KnownModel {
        let entry = self.catalogued.as_deref().zip(catalogue());
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
        let target = provider.base_url.clone();
        return Ok(Known {
            dialect,
            target: target.ok_or("`base_url` is missing: say where it is called")?,
            key_header: provider.key_header.unwrap_or_else(|| usual_header(dialect)),
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
        Some(target) => target.clone(),
        None if entry.base_url.contains('{') => {
            return Err(format!(
                "`base_url` is missing: of `{id}` it has parts of your own, `{}`",
                entry.base_url
            ));
        }
        None => read_target(&entry.base_url)
            .map_err(|why| format!("the catalogue's address of `{id}` {why}"))?,
    };
    let key_header = match entry.key {
        KeyPlace::Bearer | KeyPlace::None => KeyHeader::Bearer,
        KeyPlace::XApiKey => KeyHeader::XApiKey,
        KeyPlace::XGoogApiKey => KeyHeader::XGoogApiKey,
        KeyPlace::ApiKey => KeyHeader::ApiKey,
        // Bedrock takes keys of its own beside signatures.
        KeyPlace::AwsSignature => KeyHeader::Bearer,
        KeyPlace::GoogleOauth => {
            return Err(format!(
                "`{id}` is called with tokens that expire within the hour, which this gateway can't get yet: use `catalogue: gemini`"
            ));
        }
    };
    if entry.key != KeyPlace::None && provider.credentials.is_empty() {
        return Err(format!(
            "`credentials` is missing: `{id}` is called with a key, such as `credentials: [ {{ key: ${{ENV:{}}} }} ]`",
            entry.key_variable.as_deref().unwrap_or("NAME")
        ));
    }
    Ok(Known {
        dialect: entry.dialect,
        target,
        key_header: provider.key_header.unwrap_or(key_header),
        catalogued: Some(id.into()),
    })
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
