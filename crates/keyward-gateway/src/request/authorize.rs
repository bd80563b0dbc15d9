//! Whether a caller may make the call.

use super::Refusal;
use super::authenticate::{Attempt, Authenticated, all_challenges, insufficient_scope};
use super::match_route::called_host;
use super::path::RequestPath;
use crate::ai::ModelPlan;
use crate::message::RequestHead;
use crate::record::CallRecord;
use crate::snapshot::{Credentials, HostName, Occurrence};
use keyward_access::{Call, Decision, HeaderValue, Refusal as AccessRefusal, Rule};
use keyward_model::caller::Method;
use keyward_model::{Code, Fault, Permit};
use std::borrow::Cow;
use std::sync::Arc;

/// The one place that grants: the API lists the caller, if it lists any, and every scope that the route asks
/// for is among the caller's.
/// What else is asked for, if anything is, `keyward-access` decides. Of a call that asks for an AI model, the model asks
/// for something too.
pub(crate) fn authorize(
    attempt: &Attempt<'_>,
    authenticated: &Authenticated,
    head: &RequestHead,
    model: Option<&ModelPlan>,
    record: &mut CallRecord,
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
        .chain(model.iter().flat_map(|model| &model.scopes))
        .find(|scope| !caller.scopes.contains(scope));
    if let Some(missing) = missing {
        match caller.method {
            Method::Jwt => {}
            Method::Anonymous => return Err(nameless(attempt, head)),
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
        let of_route = route.scopes.contains(missing);
        let asked = if of_route {
            &*route.scope_list
        } else {
            missing
        };
        let challenge = insufficient_scope(attempt, head, authenticated, &fault, asked);
        return Err(Refusal::with(fault, challenge));
    }
    // What the address is asked with holds, and what the model is: a policy may speak of either.
    let of_model = model.iter().flat_map(|model| &model.access);
    let mut permit = None;
    for rule in route.access.iter().chain(of_model) {
        permit = Some(by_rule(rule, attempt, authenticated, head, record)?);
    }
    if let Some(permit) = permit {
        return Ok(permit);
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

/// Whether the caller may have this model, for lists that show what they may have.
pub(crate) fn allows(
    attempt: &Attempt<'_>,
    authenticated: &Authenticated,
    head: &RequestHead,
    model: &ModelPlan,
) -> bool {
    let caller = authenticated.caller();
    let mut scopes = model.scopes.iter();
    if !scopes.all(|scope| caller.scopes.contains(scope)) {
        return false;
    }
    model.access.iter().all(|rule| {
        let decided = decide(rule, attempt, authenticated, head);
        matches!(decided, Ok(Decision::Allowed(_)))
    })
}

/// Who came without a name may come again with one.
fn nameless(attempt: &Attempt<'_>, head: &RequestHead) -> Refusal {
    Refusal::with(missing_credential(), all_challenges(attempt, head))
}

/// What a rule decides about a call.
fn decide(
    rule: &Rule,
    attempt: &Attempt<'_>,
    authenticated: &Authenticated,
    head: &RequestHead,
) -> Result<Decision, Refusal> {
    // Read once already; only who asks for more than scopes pays for it again.
    let path = RequestPath::parse(head)?;
    let called = HostName::of(called_host(head).unwrap_or_default());
    let header = |name: &str| match Occurrence::of(head.fields.all_named(name)) {
        Occurrence::Absent => HeaderValue::Absent,
        Occurrence::Several => HeaderValue::Several,
        Occurrence::Once(value) => match std::str::from_utf8(value) {
            Ok(value) => HeaderValue::Once(Cow::Borrowed(value)),
            Err(_) => HeaderValue::NotText,
        },
    };
    let call = Call {
        method: head.method.as_str(),
        path: path.for_matching(),
        host: called.as_ref().map(HostName::as_str).unwrap_or_default(),
        address: attempt.origin.address,
        time: attempt.now,
        header: &header,
    };
    let caller = authenticated.caller();
    Ok(match authenticated.verified() {
        Some(verified) => {
            let mut memory = verified.access.borrow_mut();
            rule.decide(caller, Some(memory.get_or_insert_default()), &call)
        }
        None => rule.decide(caller, None, &call),
    })
}

/// The same, told to the caller without what only the operator may know.
fn by_rule(
    rule: &Rule,
    attempt: &Attempt<'_>,
    authenticated: &Authenticated,
    head: &RequestHead,
    record: &mut CallRecord,
) -> Result<Permit, Refusal> {
    let caller = authenticated.caller();
    let decision = decide(rule, attempt, authenticated, head)?;
    record.policy = match (record.policy.take(), decision.by()) {
        (Some(before), Some(by)) if *before != **by => Some(format!("{before}, {by}").into()),
        (before, by) => by.cloned().or(before),
    };
    match decision {
        Decision::Allowed(by) => {
            let by = by.map_or(Cow::Borrowed("rules"), |by| Cow::Owned(by.to_string()));
            Ok(Permit::grant(Arc::clone(caller), by))
        }
        Decision::Refused(refusal) => Err(refused(&refusal, attempt, authenticated, head)),
    }
}

/// Whether somebody came without a credential to where one may be sent, and is refused for what a caller with a name
/// may have. What a policy forbids stays forbidden.
fn asks_for_a_name(
    refusal: &AccessRefusal,
    attempt: &Attempt<'_>,
    authenticated: &Authenticated,
) -> bool {
    let of_the_caller = match refusal {
        AccessRefusal::AnyScopeMissing { .. }
        | AccessRefusal::RoleMissing { .. }
        | AccessRefusal::ClaimUnfit { .. }
        | AccessRefusal::NotPermitted { .. } => true,
        AccessRefusal::Forbidden { .. } | AccessRefusal::Failed { .. } => false,
    };
    of_the_caller
        && authenticated.caller().method == Method::Anonymous
        && matches!(attempt.route.credentials, Credentials::Methods(_))
}

fn missing_credential() -> Fault {
    Fault::new(
        Code::CredentialMissing,
        "Calls without a credential may not do this; send one: `WWW-Authenticate` lists those that this API takes",
    )
}

fn refused(
    refusal: &AccessRefusal,
    attempt: &Attempt<'_>,
    authenticated: &Authenticated,
    head: &RequestHead,
) -> Refusal {
    let method = authenticated.caller().method;
    if asks_for_a_name(refusal, attempt, authenticated) {
        let fault = missing_credential().because(refusal);
        return Refusal::with(fault, all_challenges(attempt, head));
    }
    let detail = match refusal {
        AccessRefusal::AnyScopeMissing { scopes } => {
            if method != Method::Jwt {
                let detail = format!(
                    "You have none of the scopes `{scopes}` here; ask the API's publisher for one of them"
                );
                return Fault::new(refusal.code(), detail).into();
            }
            let detail = format!(
                "The token has none of the scopes `{scopes}`; ask its issuer for one of them"
            );
            let fault = Fault::new(refusal.code(), detail);
            // RFC 6750, section 3.1: what was asked for is named, so that a client can get it.
            let mut asked = attempt.route.scope_list.to_string();
            if !asked.is_empty() {
                asked.push(' ');
            }
            asked.push_str(scopes);
            let challenge = insufficient_scope(attempt, head, authenticated, &fault, &asked);
            return Refusal::with(fault, challenge);
        }
        AccessRefusal::RoleMissing { .. } => {
            "You are known here, and have no role that may do this; ask the API's publisher for it"
        }
        AccessRefusal::ClaimUnfit { .. } => {
            "Your token does not say what this asks for; ask the API's publisher who may call"
        }
        AccessRefusal::Forbidden { .. }
        | AccessRefusal::NotPermitted { .. }
        | AccessRefusal::Failed { .. } => {
            "A policy does not let this call pass; ask the API's publisher who may call, and when"
        }
    };
    Fault::new(refusal.code(), detail).because(refusal).into()
}
