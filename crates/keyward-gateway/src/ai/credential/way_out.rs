//! The way to those who grant.

use super::machine::MachineEnvironment;
use crate::issuer::IssuersContext;
use bytes::Bytes;
use keyward_egress::{AllowRule, Egress, Limits, Request};
use keyward_model::{Clock, Secret};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// What a fetch may cost: those who grant answer within a second, with some kilobytes.
const LIMITS: Limits = Limits {
    max_bytes: 64 * 1024,
    total: Duration::from_secs(10),
    connect: Duration::from_secs(3),
    max_redirects: 0,
};
/// What is repeated of an answer in a log: enough for a reason.
const SHOWN_MAX: usize = 200;

/// What fetching takes.
#[derive(Clone, Debug)]
pub(crate) struct WayOut {
    pub(super) egress: Egress,
    /// The same, and to the machine's own services.
    pub(super) machine: Egress,
    pub(super) environment: Arc<MachineEnvironment>,
    pub(super) runtime: Handle,
    pub(super) clock: Arc<dyn Clock>,
}

/// What OAuth's token endpoints answer (RFC 6749, section 5.1).
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    pub(super) access_token: String,
    pub(super) expires_in: Option<u64>,
}

impl WayOut {
    pub(crate) fn new(context: &IssuersContext, environment: &Arc<MachineEnvironment>) -> Self {
        let rules: Vec<AllowRule> = environment.addresses();
        Self {
            machine: context.egress.allowing(rules),
            egress: context.egress.clone(),
            environment: Arc::clone(environment),
            runtime: context.runtime.clone(),
            clock: Arc::clone(&context.clock),
        }
    }
}

/// The body of an answer of status 200.
///
/// # Errors
/// Why there is none, in words for the operator. What an error's answer says is told in part: it has no secrets.
pub(super) async fn ask(egress: &Egress, request: Request) -> Result<Secret<Vec<u8>>, String> {
    let response = egress.fetch(request, LIMITS).await;
    let response = response.map_err(|error| error.to_string())?;
    if response.status == 200 {
        return Ok(Secret::new(response.body.to_vec()));
    }
    let said = String::from_utf8_lossy(&response.body);
    let said: String = said.chars().take(SHOWN_MAX).collect();
    Err(format!(
        "{} answered {}: {}",
        response.url.host(),
        response.status,
        said.escape_debug()
    ))
}

/// Posts a form.
pub(super) async fn post_form(
    egress: &Egress,
    url: &str,
    form: &[(&str, &str)],
) -> Result<Secret<Vec<u8>>, String> {
    let mut body = String::new();
    for (name, value) in form {
        if !body.is_empty() {
            body.push('&');
        }
        body.push_str(name);
        body.push('=');
        body.push_str(&crate::issuer::form_encoded(value));
    }
    let request = Request::get(url)
        .map_err(|error| error.to_string())?
        .accept("application/json")
        .post("application/x-www-form-urlencoded", Bytes::from(body));
    ask(egress, request).await
}

/// Reads an answer of JSON. What it is not is told without what it says: that may be half a secret.
pub(super) fn read<'a, T: Deserialize<'a>>(
    what: &str,
    body: &'a Secret<Vec<u8>>,
) -> Result<T, String> {
    serde_json::from_slice(body.reveal()).map_err(|error| {
        format!(
            "what {what} answered can't be read: a mistake at column {}",
            error.column()
        )
    })
}
