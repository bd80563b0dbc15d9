//! One order: from an account to a certificate.

use super::{AcmeChallenge, AcmeDeclaration};
use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use keyward_gateway::tls::{Challenges, PresentedChallenge};
use keyward_model::Secret;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use std::sync::Arc;
use std::time::Duration;

/// How long an authority may take to look, and to issue.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .timeout(Duration::from_secs(120));

/// Why no certificate was obtained.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// The authority can't be reached, or refuses.
    #[error("{0}")]
    Acme(#[from] Error),
    /// The authority does not believe that a host is ours.
    #[error("{host}: {why}")]
    Unproved {
        /// Which one.
        host: String,
        /// What the authority says.
        why: String,
    },
    /// The order ended otherwise.
    #[error("the order is {0}")]
    Ended(&'static str),
    /// A key or a request can't be made.
    #[error("{0}")]
    Key(String),
}

/// A chain and its key, in PEM.
pub(super) struct Obtained {
    pub(super) chain: String,
    pub(super) key: Secret<String>,
}

/// Orders a certificate, with a new key, and proves that the hosts are ours.
pub(super) async fn obtain(
    account: &Account,
    declaration: &AcmeDeclaration,
    challenges: &Arc<Challenges>,
) -> Result<Obtained, OrderError> {
    let names = declaration.names.iter();
    let identifiers: Vec<_> = names
        .map(|name| Identifier::Dns(name.to_string()))
        .collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    // Answers are given until the order is decided.
    let mut presented = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let authorization = authorization?;
        presented.extend(prove(authorization, declaration.challenge, challenges).await?);
    }
    let status = order.poll_ready(&PATIENCE).await?;
    if status != OrderStatus::Ready {
        return Err(refusal(&mut order, status).await);
    }
    drop(presented);
    let key_failed = |error: rcgen::Error| OrderError::Key(error.to_string());
    let key = KeyPair::generate().map_err(key_failed)?;
    let names: Vec<_> = declaration.names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).map_err(key_failed)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(key_failed)?;
    order.finalize_csr(request.der()).await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    Ok(Obtained {
        chain,
        key: Secret::new(key.serialize_pem()),
    })
}

/// Gives the answer that the authority will look for, and tells it to look; `None` when it believes already.
async fn prove(
    mut authorization: AuthorizationHandle<'_>,
    kind: AcmeChallenge,
    challenges: &Arc<Challenges>,
) -> Result<Option<PresentedChallenge>, OrderError> {
    let host = authorization.identifier().to_string();
    match authorization.status {
        AuthorizationStatus::Pending => {}
        AuthorizationStatus::Valid => return Ok(None),
        AuthorizationStatus::Invalid
        | AuthorizationStatus::Revoked
        | AuthorizationStatus::Expired
        | AuthorizationStatus::Deactivated => {
            let why = "the authority has closed its authorization".to_owned();
            return Err(OrderError::Unproved { host, why });
        }
    }
    let wanted = match kind {
        AcmeChallenge::Http01 => ChallengeType::Http01,
        AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    };
    let Some(mut challenge) = authorization.challenge(wanted) else {
        let why = format!("the authority offers no {}", kind.as_str());
        return Err(OrderError::Unproved { host, why });
    };
    let answer = challenge.key_authorization();
    let presented = match kind {
        AcmeChallenge::Http01 => challenges.present_http(&challenge.token, answer.as_str()),
        AcmeChallenge::TlsAlpn01 => {
            let (certificate, key) = validation_certificate(&host, answer.digest().as_ref())?;
            challenges
                .present_alpn(&host, certificate, key)
                .map_err(|error| OrderError::Key(error.to_string()))?
        }
    };
    challenge.set_ready().await?;
    Ok(Some(presented))
}

/// The certificate that proves a host (RFC 8737, section 3), and its key, in DER.
fn validation_certificate(host: &str, digest: &[u8]) -> Result<(Vec<u8>, Vec<u8>), OrderError> {
    let failed = |error: rcgen::Error| OrderError::Key(error.to_string());
    let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(failed)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.der().to_vec(), key.serialize_der()))
}

/// What the authority has against the order.
async fn refusal(order: &mut Order, status: OrderStatus) -> OrderError {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        // What was read before it looked says nothing yet.
        if authorization.refresh().await.is_err() {
            continue;
        }
        let host = authorization.identifier().to_string();
        let mut errors = authorization.challenges.iter();
        if let Some(problem) = errors.find_map(|challenge| challenge.error.as_ref()) {
            let why = problem.to_string();
            return OrderError::Unproved { host, why };
        }
    }
    OrderError::Ended(match status {
        OrderStatus::Pending => "pending still: the authority has not looked in time",
        OrderStatus::Ready | OrderStatus::Processing | OrderStatus::Valid => "in another state",
        OrderStatus::Invalid => "refused, and the authority does not say why",
    })
}
