//! Our key sets on this node: what verifies, decrypts and publishes with them.

use crate::command::Failure;
use crate::configuration::NodeConfiguration;
use crate::configuration::pkcs11::own_keys_in;
use crate::own_keys::module::KeysInToken;
use arc_swap::ArcSwap;
use bytes::Bytes;
use keyward_authority::key_set::{KEY_MANAGEMENT_ALGORITHMS, KeyModule};
use keyward_authority::{Keeper, KeeperContext, KeySet, KeySets, KeySink, Plan};
use keyward_gateway::issuer::Issuers;
use keyward_gateway::{PublishedKeySets, PublishedKeys};
use keyward_jose::jwe::Decrypters;
use keyward_jose::{ContentEncryption, JwkSet};
use keyward_model::id::TeamId;
use keyward_model::resource::{KeysIn, Resource};
use keyward_model::{Clock, Name, Timestamp};
use keyward_store::Store;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// What of the gateway follows our keys.
pub(crate) struct FollowedByGateway {
    pub(crate) issuers: Arc<Issuers>,
    pub(crate) decrypters: Arc<ArcSwap<Decrypters>>,
    pub(crate) published: Arc<ArcSwap<PublishedKeySets>>,
    /// The sets that issuers may verify with.
    known: Mutex<BTreeSet<(TeamId, Name)>>,
}

impl FollowedByGateway {
    pub(crate) fn new(issuers: &Arc<Issuers>) -> Self {
        Self {
            issuers: Arc::clone(issuers),
            decrypters: Arc::new(ArcSwap::from_pointee(decrypters(
                &KeySets::default(),
                Timestamp::default(),
            ))),
            published: Arc::default(),
            known: Mutex::default(),
        }
    }

    fn verify_with(&self, team: TeamId, name: &Name, keys: JwkSet) {
        if let Err(error) = self.issuers.set_own_keys(team, name, keys) {
            tracing::error!(%error, %team, set = %name, "keys: an issuer can't verify with them, and goes on with those before");
        }
    }
}

impl KeySink for FollowedByGateway {
    fn take(&self, sets: &KeySets, now: Timestamp) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = std::mem::take(&mut *known);
        let mut published = PublishedKeySets::new();
        for set in sets.iter() {
            let plan = set.plan();
            match set.verifying(now) {
                Ok(keys) => self.verify_with(plan.team, &plan.name, keys),
                Err(error) => {
                    tracing::error!(%error, team = %plan.team_name, set = %plan.name, "keys: they can't stand in one set");
                }
            }
            known.insert((plan.team, plan.name.clone()));
            published = match told(set, now) {
                Ok(keys) if plan.is_own() => published.with_own(keys),
                Ok(keys) => published.with(plan.team_name.as_str(), plan.name.as_str(), keys),
                Err(error) => {
                    tracing::error!(error, team = %plan.team_name, set = %plan.name, "keys: the set can't be published");
                    published
                }
            };
        }
        for (team, name) in gone.difference(&known) {
            self.verify_with(*team, name, JwkSet::default());
        }
        self.decrypters.store(Arc::new(decrypters(sets, now)));
        self.published.store(Arc::new(published));
    }
}

fn told(set: &KeySet, now: Timestamp) -> Result<PublishedKeys, String> {
    let published = set.published(now).map_err(|error| error.to_string())?;
    let header = |text: &str| {
        text.parse()
            .map_err(|error: http::header::InvalidHeaderValue| error.to_string())
    };
    Ok(PublishedKeys {
        body: Bytes::from(published.json.to_string()),
        etag: header(&published.entity_tag)?,
        cache_control: header(&published.cache_control)?,
    })
}

fn decrypters(sets: &KeySets, now: Timestamp) -> Decrypters {
    Decrypters::new(
        sets.decrypting(now),
        &KEY_MANAGEMENT_ALGORITHMS,
        ContentEncryption::ALL,
    )
}

/// The sets that this node keeps: that of the issuer `self`, and those that are declared.
pub(crate) fn plans<'r>(
    (site_url, keys_in): (&str, Option<KeysIn>),
    resources: impl IntoIterator<Item = &'r Resource>,
) -> Result<Vec<Plan>, Failure> {
    let own = Plan::own(site_url, keys_in).map_err(refused)?;
    let declared = resources
        .into_iter()
        .filter_map(|resource| Plan::of(resource).transpose());
    std::iter::once(Ok(own))
        .chain(declared)
        .collect::<Result<_, _>>()
        .map_err(refused)
}

/// Opens the keys of the issuer `self`, made now if there are none; those of other sets come with their declarations.
pub(crate) async fn open(
    store: &Store,
    clock: &Arc<dyn Clock>,
    followed: FollowedByGateway,
    configuration: &NodeConfiguration,
) -> Result<Keeper, Failure> {
    let context = KeeperContext {
        store: store.clone(),
        clock: Arc::clone(clock),
        sink: Arc::new(followed),
        module: configuration
            .pkcs11
            .as_ref()
            .map(|pkcs11| Arc::new(KeysInToken(Arc::clone(&pkcs11.token))) as Arc<dyn KeyModule>),
    };
    let keys_in = own_keys_in(configuration.pkcs11.as_ref());
    Keeper::open(context, plans((&configuration.site_url, keys_in), [])?)
        .await
        .map_err(refused)
}

pub(crate) fn refused(error: keyward_authority::Error) -> Failure {
    Failure::new("own keys", error.to_string(), error.code())
}
