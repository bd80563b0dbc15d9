//! Whether a caller may make the call.

use super::Refusal;
use super::authenticate::{Authenticated, challenge};
use crate::snapshot::{Credentials, Route};
use keyward_model::{Code, Fault, Permit};
use std::borrow::Cow;
use std::sync::Arc;

/// The one place that grants: the API lists the caller, if it lists any, and every scope that the route asks
/// for is among the caller's.
pub(crate) fn authorize(route: &Route, authenticated: &Authenticated) -> Result<Permit, Refusal> {
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
        if let Credentials::Certificate(_) = route.credentials {
            return Err(Fault::new(
                Code::InsufficientScope,
                format!("You have not the scope `{missing}` here; ask the API's publisher for it"),
            )
            .into());
        }
        let fault = Fault::new(
            Code::InsufficientScope,
            format!("The token lacks the scope `{missing}`; ask its issuer for one with it"),
        );
        let challenge = challenge(
            Some("insufficient_scope"),
            Some(fault.detail()),
            Some(&route.scope_list),
        );
        return Err(Refusal::with(fault, challenge));
    }
    let rule = match route.credentials {
        Credentials::None => "open",
        Credentials::Token(_) => "scopes",
        Credentials::Certificate(_) => "certificate",
    };
    Ok(Permit::grant(Arc::clone(caller), Cow::Borrowed(rule)))
}
