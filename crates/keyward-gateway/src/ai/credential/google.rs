//! Tokens of Google's: for a service account, whose key signs a statement that is exchanged (RFC 7523), or for the
//! account of this machine.

use super::grant::{Fetched, Granted, USUAL_LIFE};
use super::way_out::{TokenAnswer, WayOut, ask, post_form, read};
use http::{HeaderName, HeaderValue};
use keyward_egress::Request;
use keyward_jose::jws::{self, Header};
use keyward_jose::jwt::Claims;
use keyward_jose::{Key, LocalSigner, NumericDate, SignatureAlgorithm};
use keyward_model::Secret;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// What tokens are for: Vertex has no narrower scope.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// As long as a statement may be believed, at most.
const STATED_FOR: i64 = 3_600;
/// Where the account's file does not say it.
const TOKEN_ADDRESS: &str = "https://oauth2.googleapis.com/token";
/// The machine's own service, by an address that no name server can lead elsewhere.
const METADATA_HOST: &str = "169.254.169.254";

/// A service account that can sign.
pub(super) struct ServiceAccount {
    email: Box<str>,
    token_address: Box<str>,
    signer: LocalSigner,
}

/// The file that Google gives for a key of an account.
#[derive(Deserialize)]
struct AccountFile {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

impl ServiceAccount {
    /// Reads an account's file.
    ///
    /// # Errors
    /// What is wrong with it, without a word of it.
    pub(super) fn read(account: &Secret<String>) -> Result<Self, String> {
        let file: AccountFile = serde_json::from_str(account.reveal()).map_err(|error| {
            format!(
                "`service_account` is not the JSON of a service account's key: a mistake at line {}, column {}",
                error.line(),
                error.column()
            )
        })?;
        let pem = zeroize::Zeroizing::new(file.private_key);
        if file.kind != "service_account" {
            return Err(
                "`service_account` is JSON of another type: make a key of a service account, in JSON"
                    .to_owned(),
            );
        }
        let unfit = |_| "`service_account`: its `private_key` is no RSA key in PEM".to_owned();
        let key = Key::from_pem(&pem).map_err(unfit)?;
        let key = key.with_kid(file.private_key_id).map_err(unfit)?;
        let signer = LocalSigner::new(&key, SignatureAlgorithm::Rs256).map_err(unfit)?;
        Ok(Self {
            email: file.client_email.into(),
            token_address: file.token_uri.as_deref().unwrap_or(TOKEN_ADDRESS).into(),
            signer,
        })
    }

    pub(super) async fn fetch(&self, way_out: &WayOut) -> Result<Fetched, String> {
        let statement = self.statement(way_out.clock.now().as_seconds())?;
        let form = [("grant_type", EXCHANGE), ("assertion", statement.as_str())];
        let body = post_form(&way_out.egress, &self.token_address, &form).await?;
        token(&body)
    }

    /// What the account states of itself, signed.
    pub(super) fn statement(&self, now: i64) -> Result<String, String> {
        let claims = Claims::new()
            .with_issuer(&*self.email)
            .with_audience([&*self.token_address])
            .with_issued_at(NumericDate(now))
            .with_expiry(NumericDate(now + STATED_FOR))
            .with("scope", SCOPE.into());
        let claims = claims.map_err(|error| error.to_string())?;
        let header = Header::for_signer(&self.signer).with_typ("JWT");
        let payload = serde_json::to_vec(claims.map()).map_err(|error| error.to_string())?;
        jws::compact::sign(&payload, &header, &self.signer).map_err(|error| error.to_string())
    }
}

/// For the account of this machine: by the file that its environment names, or its metadata server.
pub(super) async fn of_machine(way_out: &WayOut) -> Result<Fetched, String> {
    if let Some(path) = way_out.environment.google_credentials() {
        let file = super::machine::read_file(path).await?;
        return ServiceAccount::read(&file)?.fetch(way_out).await;
    }
    let host = way_out
        .environment
        .google_metadata()
        .unwrap_or(METADATA_HOST);
    let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    let request = Request::get(&url)
        .map_err(|error| error.to_string())?
        .header(
            HeaderName::from_static("metadata-flavor"),
            HeaderValue::from_static("Google"),
        )
        .map_err(|error| error.to_string())?;
    token(&ask(&way_out.machine, request).await?)
}

fn token(body: &Secret<Vec<u8>>) -> Result<Fetched, String> {
    let answer: TokenAnswer = read("Google", body)?;
    Ok(Fetched {
        granted: Granted::Token(Arc::new(Secret::new(answer.access_token))),
        lasts: answer.expires_in.map_or(USUAL_LIFE, Duration::from_secs),
    })
}
