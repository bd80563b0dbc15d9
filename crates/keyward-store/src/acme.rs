//! Accounts at certificate authorities, and the certificates that these have issued to this deployment.
//! Their keys are sealed.

use crate::audit::{self, Action};
use crate::hierarchy::{Place, Purpose, random_id};
use crate::{Error, Store};
use keyward_model::id::{KeyId, TeamId};
use keyward_model::{Secret, Timestamp};
use serde_json::json;

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct AcmeCertificate {
    /// The certificate and those between it and the root, as PEM.
    pub chain: String,
    /// Its private key, as PEM.
    pub key: Secret<String>,
    /// When it was obtained.
    pub obtained: Timestamp,
}

fn account_place(row: &str) -> Place<'_> {
    Place {
        table: "acme_accounts",
        column: "sealed",
        row,
        team: None,
    }
}

fn key_place(row: &str) -> Place<'_> {
    Place {
        table: "acme_certificates",
        column: "key_sealed",
        row,
        team: None,
    }
}

impl Store {
    /// What is needed to act as our account at the certificate authority of this directory; `None` while
    /// there is no account.
    ///
    /// # Errors
    /// [`Error::Sealed`] when it does not open, and what the database says.
    pub async fn acme_account(&self, directory: &str) -> Result<Option<Secret<String>>, Error> {
        let row: Option<(String, String)> =
            sqlx::query_as("SELECT id, sealed FROM acme_accounts WHERE directory = $1")
                .bind(directory)
                .fetch_optional(self.pool())
                .await?;
        match row {
            Some((id, sealed)) => self.opened(account_place(&id), &sealed).await.map(Some),
            None => Ok(None),
        }
    }

    /// Keeps the account at a certificate authority; in the place of one that was there.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_acme_account(
        &self,
        directory: &str,
        credentials: &Secret<String>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut transaction = self.begin_write().await?;
        let id = KeyId::new(now, random_id()?).to_string();
        let text = credentials.reveal().as_bytes();
        let sealed = self
            .keyring()
            .seal(
                &mut transaction,
                Purpose::Secrets,
                account_place(&id),
                text,
                now,
            )
            .await?;
        sqlx::query("DELETE FROM acme_accounts WHERE directory = $1")
            .bind(directory)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO acme_accounts (id, directory, sealed, created_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(&id)
        .bind(directory)
        .bind(sealed)
        .bind(now.as_micros())
        .execute(&mut *transaction)
        .await?;
        let action = Action {
            team: TeamId::DEFAULT,
            actor: "node",
            action: "acme_account.create",
            object: &format!("acme_account {id}"),
            detail: json!({ "directory": directory }),
        };
        audit::append(&mut transaction, self.node(), action, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The certificate that was last obtained for these names (sorted, with a space between).
    ///
    /// # Errors
    /// As [`acme_account`](Self::acme_account).
    pub async fn acme_certificate(
        &self,
        directory: &str,
        names: &str,
    ) -> Result<Option<AcmeCertificate>, Error> {
        let row: Option<(String, String, String, i64)> = sqlx::query_as(
            "SELECT id, chain, key_sealed, obtained_at FROM acme_certificates
             WHERE directory = $1 AND names = $2",
        )
        .bind(directory)
        .bind(names)
        .fetch_optional(self.pool())
        .await?;
        let Some((id, chain, sealed, obtained)) = row else {
            return Ok(None);
        };
        Ok(Some(AcmeCertificate {
            chain,
            key: self.opened(key_place(&id), &sealed).await?,
            obtained: Timestamp::from_micros(obtained),
        }))
    }

    /// Keeps a certificate; in the place of the one for the same names.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_acme_certificate(
        &self,
        directory: &str,
        names: &str,
        certificate: &AcmeCertificate,
    ) -> Result<(), Error> {
        let now = certificate.obtained;
        let mut transaction = self.begin_write().await?;
        let id = KeyId::new(now, random_id()?).to_string();
        let text = certificate.key.reveal().as_bytes();
        let sealed = self
            .keyring()
            .seal(
                &mut transaction,
                Purpose::Secrets,
                key_place(&id),
                text,
                now,
            )
            .await?;
        sqlx::query("DELETE FROM acme_certificates WHERE directory = $1 AND names = $2")
            .bind(directory)
            .bind(names)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO acme_certificates (id, directory, names, chain, key_sealed, obtained_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&id)
        .bind(directory)
        .bind(names)
        .bind(&certificate.chain)
        .bind(sealed)
        .bind(now.as_micros())
        .execute(&mut *transaction)
        .await?;
        let action = Action {
            team: TeamId::DEFAULT,
            actor: "node",
            action: "acme_certificate.put",
            object: &format!("acme_certificate {id}"),
            detail: json!({ "directory": directory, "names": names }),
        };
        audit::append(&mut transaction, self.node(), action, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn opened(&self, place: Place<'_>, sealed: &str) -> Result<Secret<String>, Error> {
        let (table, column, row) = (place.table, place.column, place.row.to_owned());
        let mut connection = self.pool().acquire().await?;
        let opened = self
            .keyring()
            .open_sealed(&mut connection, Purpose::Secrets, place, sealed)
            .await?;
        let text =
            std::str::from_utf8(&opened).map_err(|_| Error::malformed(table, column, &row))?;
        Ok(Secret::new(text.to_owned()))
    }
}
