//! Tokens of Microsoft Entra, for a client by its secret (RFC 6749, section 4.4).

use super::grant::{Fetched, Granted, USUAL_LIFE};
use super::way_out::{TokenAnswer, WayOut, post_form, read};
use keyward_model::Secret;
use keyward_model::resource::provider::EntraClient;
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn fetch(client: &EntraClient, way_out: &WayOut) -> Result<Fetched, String> {
    let authority = client
        .authority
        .as_deref()
        .unwrap_or(EntraClient::AUTHORITY);
    let url = format!("{authority}/{}/oauth2/v2.0/token", client.tenant);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &*client.client_id),
        ("client_secret", client.client_secret.reveal()),
        ("scope", &*client.scope),
    ];
    let body = post_form(&way_out.egress, &url, &form).await?;
    let answer: TokenAnswer = read("Entra", &body)?;
    Ok(Fetched {
        granted: Granted::Token(Arc::new(Secret::new(answer.access_token))),
        lasts: answer.expires_in.map_or(USUAL_LIFE, Duration::from_secs),
    })
}
