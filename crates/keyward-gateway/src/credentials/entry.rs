//! A credential as it is looked up, and whom it stands for.

use super::CredentialKeys;
use super::keys::{NoSuchKey, credential_id};
use crate::snapshot::BudgetPlan;
use keyward_model::caller::{Method, TokenClaims, TokenFacts, TokenScopes};
use keyward_model::id::{CredentialId, TeamId};
use keyward_model::resource::credential::{
    self, CredentialProof, KeyMaterial, KeyedHash, PasswordMaterial,
};
use keyward_model::resource::{Credential, Resource};
use keyward_model::{Caller, Code, Fault, Timestamp};
use serde_json::json;
use std::sync::Arc;

/// Who vouches for the callers that a credential of this node stands for, as upstreams, limits and revocations
/// call it.
pub const ISSUER: &str = credential::ISSUER;

/// A credential that may be shown.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) resource: Arc<Resource>,
    pub(super) id: CredentialId,
    pub(super) proof: Proof,
    subject: Box<str>,
    scopes: Vec<String>,
    roles: Vec<String>,
    expires: Option<Timestamp>,
    enabled: bool,
    budgets: Option<Arc<BudgetPlan>>,
}

/// What is shown of it, and what a password is checked against.
#[derive(Debug)]
pub(super) enum Proof {
    Key(KeyedHash),
    Password {
        username: Box<str>,
        password: StoredPassword,
    },
}

/// What a password is checked against.
#[derive(Debug)]
pub(crate) enum StoredPassword {
    Hashed(KeyedHash),
    Argon2(Box<str>),
}

impl Entry {
    pub(super) fn new(
        resource: &Arc<Resource>,
        credential: &Credential,
        keys: &CredentialKeys,
    ) -> Result<Self, NoSuchKey> {
        let proof = match &credential.proof {
            CredentialProof::ApiKey(KeyMaterial::Clear(key)) => {
                Proof::Key(keys.hash_api_key(key.reveal().as_bytes()))
            }
            CredentialProof::ApiKey(KeyMaterial::Hashed(hash)) => Proof::Key(keys.known(*hash)?),
            CredentialProof::Password { username, password } => Proof::Password {
                username: username.clone(),
                password: match password {
                    PasswordMaterial::Clear(password) => {
                        StoredPassword::Hashed(keys.hash_password(username, password.reveal()))
                    }
                    PasswordMaterial::Hashed(hash) => StoredPassword::Hashed(keys.known(*hash)?),
                    PasswordMaterial::Argon2(text) => StoredPassword::Argon2(text.clone()),
                },
            },
        };
        Ok(Self {
            resource: Arc::clone(resource),
            id: credential_id(resource.team, &resource.name),
            proof,
            subject: credential.subject.clone(),
            scopes: credential.scopes.iter().cloned().collect(),
            roles: credential.roles.iter().cloned().collect(),
            expires: credential.expires,
            enabled: credential.enabled,
            budgets: (!credential.budgets.is_empty())
                .then(|| BudgetPlan::of_credential(&resource.name, &credential.budgets)),
        })
    }

    pub(super) fn team(&self) -> TeamId {
        self.resource.team
    }

    /// What its password is checked against, if it has one.
    pub(crate) fn password(&self) -> Option<&StoredPassword> {
        match &self.proof {
            Proof::Key(_) => None,
            Proof::Password { password, .. } => Some(password),
        }
    }

    /// Whether it may be used now; only who has shown it is told why not.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), Fault> {
        if !self.enabled {
            return Err(Fault::new(
                Code::CredentialInvalid,
                "The credential is switched off; ask the API's publisher",
            )
            .because(format_args!("credential `{}`", self.resource.name)));
        }
        if self.expires.is_some_and(|end| now >= end) {
            return Err(Fault::new(
                Code::CredentialExpired,
                "The credential has expired; get a new one",
            )
            .because(format_args!("credential `{}`", self.resource.name)));
        }
        Ok(())
    }

    /// Limits in what calls of AI models with it take, where it has some.
    pub(crate) fn budgets(&self) -> Option<&Arc<BudgetPlan>> {
        self.budgets.as_ref()
    }

    /// When it ends.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Who calls with it.
    pub(crate) fn caller(&self, method: Method) -> Result<Caller, Fault> {
        // What identity headers and conditions can speak of as claims.
        let claims = json!({
            "sub": self.subject,
            "credential": self.resource.name.as_str(),
            "roles": self.roles,
            "scope": self.scopes.join(" "),
        });
        let scopes: Vec<&str> = self.scopes.iter().map(String::as_str).collect();
        let mut caller = Caller::of_token(&TokenFacts {
            claims: TokenClaims::Json(&claims.to_string()),
            subject: Some(&self.subject),
            // By which one credential of a subject's can be revoked.
            token_id: Some(&self.id.to_string()),
            scopes: TokenScopes::Listed(&scopes),
            ..TokenFacts::default()
        })
        .map_err(|error| {
            Fault::new(Code::CredentialInvalid, "The credential is too long").because(error)
        })?;
        caller.method = method;
        caller.team = Some(self.team());
        // So that a subject of ours is not taken for one of the same name that an issuer vouches for.
        caller.issuer = Some(Arc::from(ISSUER));
        caller.credential = Some(self.id);
        caller.expires = self.expires;
        Ok(caller)
    }
}
