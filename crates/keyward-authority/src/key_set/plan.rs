//! What a key set is to be.

use crate::Error;
use keyward_jose::{Algorithm, RotationPolicy, SignatureAlgorithm};
use keyward_model::Name;
use keyward_model::id::TeamId;
use keyward_model::resource::issuer::SELF;
use keyward_model::resource::{
    KeyAlgorithm, KeySet as Declaration, KeySetPurpose, KeysIn, Resource, Schedule, Spec,
};
use keyward_store::{KeyPurpose, StoredKey};
use std::time::Duration;

/// How long a copy of our own set may be kept, as its `Cache-Control` says: short, so that a withdrawn key is soon
/// known as one.
const MAX_AGE: Duration = Duration::from_secs(15 * 60);

/// How long before it signs a key stands in our own set. Libraries that keep sets as they like, whatever the header
/// says, come back within a day.
const PUBLISH_BEFORE: Duration = Duration::from_secs(24 * 3600);

/// How long a key of our own set signs.
const ACTIVE_FOR: Duration = Duration::from_secs(90 * 24 * 3600);

/// The life of the longest token that the issuer `self` issues.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What clocks may differ by.
const LEEWAY: Duration = Duration::from_secs(5 * 60);

/// Long enough that no key goes by itself, and short enough that times can hold it.
const NEVER: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// What a set is to be: its declaration, or what the issuer `self` has without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whose it is.
    pub team: TeamId,
    /// That team's name.
    pub team_name: Name,
    /// Its name.
    pub name: Name,
    /// What its keys are for.
    pub purpose: KeySetPurpose,
    /// The `iss` of what they sign.
    pub issuer: Option<Box<str>>,
    /// When they follow on one another.
    pub schedule: Schedule,
    /// How long before it is used a key stands in the set.
    pub publish_before: Duration,
    /// How long what a key signs may be good.
    pub token_life: Duration,
    /// How long a copy of the set may be kept.
    pub max_age: Duration,
    /// Where new keys that sign are made and kept.
    /// `None`: nobody said it, and they are made where those before are.
    pub keys_in: Option<KeysIn>,
    pub(super) kinds: Vec<(KeyPurpose, Algorithm)>,
}

impl Plan {
    /// Of the issuer `self`, which signs with two algorithms and has a key that others encrypt to, in the database in any
    /// case.
    ///
    /// # Errors
    /// None in practice: the names it is made of are known.
    pub fn own(site_url: &str, keys_in: Option<KeysIn>) -> Result<Self, Error> {
        let name = SELF
            .parse()
            .map_err(|_| Error::Internal(format!("`{SELF}` is no name")))?;
        let kinds = [
            KeyAlgorithm::Es256,
            KeyAlgorithm::Rs256,
            KeyAlgorithm::EcdhEs,
        ];
        Ok(Self {
            team: TeamId::DEFAULT,
            team_name: Name::default_team(),
            name,
            purpose: KeySetPurpose::Tokens,
            issuer: Some(site_url.into()),
            schedule: Schedule::Every(ACTIVE_FOR),
            publish_before: PUBLISH_BEFORE,
            token_life: TOKEN_LIFE_MAX,
            max_age: MAX_AGE,
            keys_in,
            kinds: kinds_of(&kinds)?,
        })
    }

    /// Of a resource, where that is a key set.
    ///
    /// # Errors
    /// When an algorithm of the vocabulary is none of the JOSE crate.
    pub fn of(resource: &Resource) -> Result<Option<Self>, Error> {
        let Spec::KeySet(set) = &resource.spec else {
            return Ok(None);
        };
        let Declaration {
            purpose,
            issuer,
            algorithms,
            schedule,
            publish_before,
            token_life,
            max_age,
            keys_in,
        } = &**set;
        Ok(Some(Self {
            team: resource.team,
            team_name: resource.team_name.clone(),
            name: resource.name.clone(),
            purpose: *purpose,
            issuer: issuer.clone(),
            schedule: *schedule,
            publish_before: *publish_before,
            token_life: *token_life,
            max_age: *max_age,
            keys_in: Some(*keys_in),
            kinds: kinds_of(algorithms)?,
        }))
    }

    /// Whether it is that of the issuer `self`.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.team == TeamId::DEFAULT && self.name.as_str() == SELF
    }

    /// What a new key signs with in the module, if that is where it is to be.
    pub(super) fn in_module(
        &self,
        purpose: KeyPurpose,
        algorithm: Algorithm,
    ) -> Option<SignatureAlgorithm> {
        match (self.keys_in, purpose, algorithm) {
            (Some(KeysIn::Pkcs11), KeyPurpose::Sign, Algorithm::Signature(algorithm)) => {
                Some(algorithm)
            }
            (
                None | Some(KeysIn::Database | KeysIn::Pkcs11),
                KeyPurpose::Sign | KeyPurpose::Encrypt,
                _,
            ) => None,
        }
    }

    /// The plan for a set with these keys: where the plan leaves open where new ones are made, they are made where those
    /// before are. A node that was not told of the module must not bring the next key out of it.
    pub(super) fn following(&self, rows: &[StoredKey]) -> Self {
        let in_module =
            |row: &StoredKey| row.module_key.is_some() && row.state.keeps_private_part();
        let keys_in = match self.keys_in {
            None if rows.iter().any(in_module) => Some(KeysIn::Pkcs11),
            known => known,
        };
        Self {
            keys_in,
            ..self.clone()
        }
    }

    /// Whether some of its keys are to be in the module.
    pub(super) fn needs_module(&self) -> bool {
        let mut kinds = self.kinds.iter();
        kinds.any(|(purpose, algorithm)| self.in_module(*purpose, *algorithm).is_some())
    }

    /// Whether keys follow on one another by themselves.
    pub(super) fn is_automatic(&self) -> bool {
        matches!(self.schedule, Schedule::Every(_))
    }

    /// Signing: until the last token is over. Encrypting: until the last copy of the set that shows the key, and the
    /// last token made from it, are over.
    pub(super) fn policy(&self, purpose: KeyPurpose) -> Result<RotationPolicy, Error> {
        let retire_after = match purpose {
            KeyPurpose::Sign => self.token_life + LEEWAY,
            KeyPurpose::Encrypt => self.publish_before + self.token_life + LEEWAY,
        };
        let active_for = match self.schedule {
            Schedule::Every(time) => time,
            Schedule::Manual => NEVER,
        };
        Ok(RotationPolicy::new(
            self.publish_before.as_secs(),
            active_for.as_secs(),
            retire_after.as_secs(),
        )?)
    }
}

fn kinds_of(algorithms: &[KeyAlgorithm]) -> Result<Vec<(KeyPurpose, Algorithm)>, Error> {
    algorithms
        .iter()
        .map(|algorithm| {
            let purpose = if algorithm.signs() {
                KeyPurpose::Sign
            } else {
                KeyPurpose::Encrypt
            };
            Ok((purpose, algorithm.as_str().parse()?))
        })
        .collect()
}
