//! What proves to a provider who calls: a key that is sent along, keys of AWS that sign, or a token that an account
//! gets and gets again ahead of its end.

mod aws;
mod echo;
mod entra;
mod google;
mod grant;
mod machine;
mod signature;
mod way_out;

#[cfg(test)]
mod tests;

pub(super) use echo::Sent;
pub use machine::{MACHINE_VARIABLES, MachineEnvironment};
pub(crate) use way_out::WayOut;

use crate::message::{Fields, Header};
use grant::{Grant, Granted, Source};
use keyward_model::Secret;
use keyward_model::Timestamp;
use keyward_model::resource::provider::{AwsKeysOf, GoogleAccount, KeyHeader, ProviderSecret};
use signature::{Signing, SigningKeys};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The service that requests to Bedrock are signed for.
const BEDROCK: &str = "bedrock";

/// One of a provider's credentials, ready to be used.
#[derive(Debug)]
pub(super) enum Credential {
    /// A key, sent along.
    Key(Secret<String>),
    /// Keys that sign.
    Signing(Arc<SigningKeys>),
    /// Tokens, or keys that expire.
    Granted(Box<Grant>),
}

/// A request as far as a credential has to know it.
#[derive(Clone, Copy)]
pub(super) struct ToProve<'a> {
    /// The provider's host, as it is sent.
    pub(super) host: &'a [u8],
    /// What stands before the dialect's own path.
    pub(super) prefix: &'a str,
    /// The dialect's own path.
    pub(super) path: &'a str,
    pub(super) body: &'a [u8],
    /// In which header a key goes.
    pub(super) header: KeyHeader,
    /// Which region is signed for.
    pub(super) region: &'a str,
    pub(super) now: Timestamp,
}

impl Credential {
    /// Makes one ready; nothing is fetched before [`begin`](Self::begin).
    pub(super) fn new(
        secret: &ProviderSecret,
        region: &str,
        way_out: &WayOut,
    ) -> Result<Self, String> {
        let granted = |source| Self::Granted(Box::new(Grant::new(source, way_out)));
        Ok(match secret {
            ProviderSecret::Key(key) => Self::Key(key.clone()),
            ProviderSecret::Aws(keys) => match &keys.of {
                AwsKeysOf::Given {
                    access_key_id,
                    secret_access_key,
                    session_token,
                } => Self::Signing(Arc::new(SigningKeys {
                    id: access_key_id.clone(),
                    secret: secret_access_key.clone(),
                    session: session_token.clone(),
                })),
                AwsKeysOf::Machine => {
                    let region = keys.region.as_deref().unwrap_or(region);
                    granted(Source::Aws {
                        region: region.into(),
                    })
                }
            },
            ProviderSecret::Google(GoogleAccount::Service(account)) => {
                granted(Source::Google(google::ServiceAccount::read(account)?))
            }
            ProviderSecret::Google(GoogleAccount::Machine) => granted(Source::GoogleMachine),
            ProviderSecret::Entra(client) => granted(Source::Entra(client.clone())),
        })
    }

    /// From now on it is used.
    pub(super) fn begin(&self, when_renewed: impl Fn() + Send + Sync + 'static) {
        match self {
            Self::Key(_) | Self::Signing(_) => {}
            Self::Granted(grant) => grant.begin(when_renewed),
        }
    }

    /// The provider takes it no more: what expires is got anew.
    pub(super) fn was_refused(&self) {
        match self {
            Self::Key(_) | Self::Signing(_) => {}
            Self::Granted(grant) => grant.was_refused(),
        }
    }

    /// What of it a request that was made just now had in it, or was made with.
    pub(super) fn tell(&self, sent: &mut Sent) {
        match self {
            Self::Key(key) => sent.add(key.reveal()),
            Self::Signing(keys) => keys.tell(sent),
            Self::Granted(grant) => match grant.usable() {
                Some(Granted::Token(token)) => sent.add(token.reveal()),
                Some(Granted::Keys(keys)) => keys.tell(sent),
                None => {}
            },
        }
    }

    /// Adds to a request's fields what proves who calls.
    ///
    /// # Errors
    /// Why that can't be had just now, for the operator.
    pub(super) async fn prove(
        &self,
        request: ToProve<'_>,
        fields: &mut Fields,
    ) -> Result<(), String> {
        match self {
            Self::Key(key) => {
                send(key, request.header, fields);
                Ok(())
            }
            Self::Signing(keys) => sign(keys, request, fields),
            Self::Granted(grant) => match grant.current().await? {
                Granted::Token(token) => {
                    send(&token, KeyHeader::Bearer, fields);
                    Ok(())
                }
                Granted::Keys(keys) => sign(&keys, request, fields),
            },
        }
    }
}

/// Whether a credential's text can be used at all.
///
/// # Errors
/// What is wrong with it, without a word of it.
pub(super) fn check(secret: &ProviderSecret) -> Result<(), String> {
    match secret {
        ProviderSecret::Key(_) | ProviderSecret::Aws(_) | ProviderSecret::Entra(_) => Ok(()),
        ProviderSecret::Google(GoogleAccount::Machine) => Ok(()),
        ProviderSecret::Google(GoogleAccount::Service(account)) => {
            google::ServiceAccount::read(account).map(|_| ())
        }
    }
}

/// Sends a key in its header.
pub(super) fn send(key: &Secret<String>, header: KeyHeader, fields: &mut Fields) {
    let secret = key.reveal().as_bytes();
    match header {
        KeyHeader::Bearer => {
            let mut value = Zeroizing::new(b"Bearer ".to_vec());
            value.extend_from_slice(secret);
            fields.append(Header::Authorization, &value);
        }
        KeyHeader::XApiKey => fields.append_named("x-api-key", secret),
        KeyHeader::XGoogApiKey => fields.append_named("x-goog-api-key", secret),
        KeyHeader::ApiKey => fields.append_named("api-key", secret),
    }
}

impl SigningKeys {
    fn tell(&self, sent: &mut Sent) {
        sent.add(&self.id);
        sent.add(self.secret.reveal());
        if let Some(session) = &self.session {
            sent.add(session.reveal());
        }
    }
}

fn sign(keys: &SigningKeys, request: ToProve<'_>, fields: &mut Fields) -> Result<(), String> {
    let host = std::str::from_utf8(request.host).map_err(|_| "its host is no text".to_owned())?;
    let (path, query) = request.path.split_once('?').unwrap_or((request.path, ""));
    let content_type = fields.get(Header::ContentType).unwrap_or_default();
    let content_type = String::from_utf8_lossy(content_type).into_owned();
    let path = format!("{}{path}", request.prefix);
    let signing = Signing {
        method: "POST",
        host,
        path: &path,
        query,
        content_type: (!content_type.is_empty()).then_some(&content_type),
        body: request.body,
        region: request.region,
        service: BEDROCK,
        now: request.now,
    };
    let signed = signing.sign(keys);
    fields.append_named("x-amz-date", signed.date.as_bytes());
    if let Some(session) = &keys.session {
        fields.append_named("x-amz-security-token", session.reveal().as_bytes());
    }
    fields.append(Header::Authorization, signed.authorization.as_bytes());
    Ok(())
}
