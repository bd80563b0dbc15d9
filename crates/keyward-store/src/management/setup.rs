//! The setup secret: whoever shows it becomes the first administrator.
//!
//! It is random, so that a plain hash is enough to know it again. It is claimed in one transaction with what it
//! makes: of two who show it at once, one is an administrator and the other is told that it is used.

use super::machine_token::NewMachineToken;
use super::{Author, MachineToken, member};
use crate::hierarchy::{fill, random_id};
use crate::schema::hexadecimal;
use crate::{Error, Store};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_model::id::{AuditEventId, TeamId};
use keyward_model::{Secret, Timestamp};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// How many random bytes it has.
const LENGTH: usize = 32;

/// A setup secret as it was made.
#[derive(Debug)]
pub struct SetupSecret {
    /// What has to be shown. Nobody can read it again.
    pub secret: Secret<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Whether a setup secret is needed.
#[derive(Debug)]
pub enum NeededSetup {
    /// Somebody is an operator.
    No,
    /// Nobody is, and one that was made before counts until then.
    InForce(Timestamp),
    /// Nobody is: this one was made.
    Made(SetupSecret),
}

impl Store {
    /// Makes a setup secret where nobody is an operator yet and none is in force.
    ///
    /// # Errors
    /// What the database says.
    pub async fn setup_secret_if_needed(
        &self,
        operator: &str,
        lasts: Duration,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<NeededSetup, Error> {
        let mut transaction = self.begin_write().await?;
        let (operators,): (i64,) = sqlx::query_as("SELECT count(*) FROM members WHERE role = $1")
            .bind(operator)
            .fetch_one(&mut *transaction)
            .await?;
        if operators > 0 {
            return Ok(NeededSetup::No);
        }
        let (in_force,): (i64,) = sqlx::query_as(
            "SELECT coalesce(max(expires_at), 0) FROM setup_secrets
             WHERE claimed_at IS NULL AND expires_at > $1",
        )
        .bind(now.as_micros())
        .fetch_one(&mut *transaction)
        .await?;
        if in_force > 0 {
            return Ok(NeededSetup::InForce(Timestamp::from_micros(in_force)));
        }
        let made = self
            .insert_setup_secret(&mut transaction, lasts, author, now)
            .await?;
        transaction.commit().await?;
        Ok(NeededSetup::Made(made))
    }

    /// Takes a setup secret back that nobody has seen.
    ///
    /// # Errors
    /// What the database says.
    pub async fn forget_setup_secret(&self, made: &SetupSecret) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        sqlx::query("DELETE FROM setup_secrets WHERE digest = $1 AND claimed_at IS NULL")
            .bind(digest_of(made.secret.reveal()))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Makes a setup secret in the place of any before.
    ///
    /// # Errors
    /// What the database says.
    pub async fn new_setup_secret(
        &self,
        lasts: Duration,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<SetupSecret, Error> {
        let mut transaction = self.begin_write().await?;
        let made = self
            .insert_setup_secret(&mut transaction, lasts, author, now)
            .await?;
        transaction.commit().await?;
        Ok(made)
    }

    async fn insert_setup_secret(
        &self,
        transaction: &mut crate::database::Transaction,
        lasts: Duration,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<SetupSecret, Error> {
        sqlx::query("DELETE FROM setup_secrets WHERE claimed_at IS NULL")
            .execute(&mut **transaction)
            .await?;
        let mut random = zeroize::Zeroizing::new([0; LENGTH]);
        fill(&mut *random)?;
        let secret = Secret::new(URL_SAFE_NO_PAD.encode(*random));
        let expires_at = now.plus(lasts);
        sqlx::query(
            "INSERT INTO setup_secrets (id, digest, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(AuditEventId::new(now, random_id()?).to_string())
        .bind(digest_of(secret.reveal()))
        .bind(now.as_micros())
        .bind(expires_at.as_micros())
        .execute(&mut **transaction)
        .await?;
        let about = json!({ "expires": expires_at.to_string() });
        let action = ("setup_secret.create", "setup secret");
        self.told(transaction, author, TeamId::DEFAULT, action, about, now)
            .await?;
        Ok(SetupSecret { secret, expires_at })
    }

    /// Makes `token.member` an operator by the setup secret, with a first token. `None` when the secret is not the one
    /// that is in force: it is wrong, its time is over, or somebody was faster.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim_setup_secret(
        &self,
        shown: &str,
        role: &str,
        token: NewMachineToken<'_>,
        author: Author<'_>,
        now: Timestamp,
    ) -> Result<Option<MachineToken>, Error> {
        // Everyone may show one: what is wrong holds up nobody's writes.
        let (in_force,): (i64,) = sqlx::query_as(
            "SELECT count(*) FROM setup_secrets
             WHERE digest = $2 AND claimed_at IS NULL AND expires_at > $1",
        )
        .bind(now.as_micros())
        .bind(digest_of(shown))
        .fetch_one(self.pool())
        .await?;
        if in_force == 0 {
            return Ok(None);
        }
        let mut transaction = self.begin_write().await?;
        let claimed = sqlx::query(
            "UPDATE setup_secrets SET claimed_at = $1
             WHERE digest = $2 AND claimed_at IS NULL AND expires_at > $1",
        )
        .bind(now.as_micros())
        .bind(digest_of(shown))
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        if claimed != 1 {
            return Ok(None);
        }
        let roles: BTreeSet<&str> = BTreeSet::from([role]);
        sqlx::query("DELETE FROM members WHERE team = $1 AND member = $2 AND role = $3")
            .bind(token.team.to_string())
            .bind(token.member)
            .bind(role)
            .execute(&mut *transaction)
            .await?;
        member::insert(&mut transaction, token.team, token.member, role, now).await?;
        let object = format!("member {}", token.member);
        let action = ("setup_secret.claim", object.as_str());
        let about = json!({ "after": roles });
        self.told(&mut transaction, author, token.team, action, about, now)
            .await?;
        let made = self
            .insert_machine_token(&mut transaction, token, author, now)
            .await?;
        transaction.commit().await?;
        Ok(Some(made))
    }
}

fn digest_of(secret: &str) -> String {
    hexadecimal(digest(&SHA256, secret.as_bytes()).as_ref())
}
