//! Whether a caller may make the call.

use super::Refusal;
use super::authenticate::{Authenticated, challenge};
use crate::snapshot::Route;
use keyward_model::{Code, Fault, Permit};
use std::borrow::Cow;
use std::sync::Arc;

/// The one place that grants: every scope that the route asks for is among the caller's.
pub(crate) fn authorize(route: &Route, authenticated: &Authenticated) -> Result<Permit, Refusal> {
    let caller = authenticated.caller();
    let missing = route
        .scopes
        .iter()
        .find(|scope| !caller.scopes.contains(scope));
    if let Some(missing) = missing {
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
    let rule = if route.tokens.is_none() {
        "open"
    } else {
        "scopes"
    };
    Ok(Permit::grant(Arc::clone(caller), Cow::Borrowed(rule)))
}
