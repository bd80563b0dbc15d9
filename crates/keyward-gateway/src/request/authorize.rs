//! Whether a caller may make the call.

use super::Refusal;
use super::authenticate::{Attempt, Authenticated, all_challenges, insufficient_scope};
use crate::message::RequestHead;
use crate::snapshot::Credentials;
use keyward_model::caller::Method;
use keyward_model::{Code, Fault, Permit};
use std::borrow::Cow;
use std::sync::Arc;

/// The one place that grants: the API lists the caller, if it lists any, and every scope that the route asks
/// for is among the caller's.
pub(crate) fn authorize(
    attempt: &Attempt<'_>,
    head: &RequestHead,
    authenticated: &Authenticated,
) -> Result<Permit, Refusal> {
    let route = attempt.route;
    let caller = authenticated.caller();
    if !authenticated.is_listed() {
        return Err(Fault::new(
            Code::CallerNotAllowed,
            "You are known here, and not among those who may call this API; ask its publisher",
        )
        .into());
    }
    let missing = route
        .scopes
        .iter()
        .find(|scope| !caller.scopes.contains(scope));
    if let Some(missing) = missing {
        match caller.method {
            Method::Jwt => {}
            // Who came without a name may come again with one.
            Method::Anonymous => {
                let fault = Fault::new(
                    Code::CredentialMissing,
                    "Calls without a credential may not do this; send one: `WWW-Authenticate` lists those that this API takes",
                );
                return Err(Refusal::with(fault, all_challenges(attempt, head)));
            }
            Method::ApiKey | Method::Basic | Method::MutualTls => {
                return Err(Fault::new(
                    Code::InsufficientScope,
                    format!(
                        "You have not the scope `{missing}` here; ask the API's publisher for it"
                    ),
                )
                .into());
            }
        }
        let fault = Fault::new(
            Code::InsufficientScope,
            format!("The token lacks the scope `{missing}`; ask its issuer for one with it"),
        );
        let challenge = insufficient_scope(attempt, head, authenticated, fault.detail());
        return Err(Refusal::with(fault, challenge));
    }
    let rule = match route.credentials {
        Credentials::None => "open",
        Credentials::Token(_) => "scopes",
        Credentials::Certificate(_) => "certificate",
        Credentials::Methods(_) => match caller.method {
            Method::Anonymous => "open",
            Method::Jwt => "scopes",
            Method::ApiKey | Method::Basic => "credential",
            Method::MutualTls => "certificate",
        },
    };
    Ok(Permit::grant(Arc::clone(caller), Cow::Borrowed(rule)))
}
