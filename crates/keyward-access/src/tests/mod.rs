//! Decisions, case by case.

mod claims;
mod policies;
mod reduced;
mod roles;
mod texts;

use crate::{Call, Catalogue, Decision, HeaderValue, Memory, Rule};
use keyward_model::caller::{Caller, TokenClaims, TokenFacts, TokenScopes};
use keyward_model::id::TeamId;
use keyward_model::resource::raw::{Node, Problems, read_resource};
use keyward_model::resource::{Resource, Spec};
use keyward_model::{Origin, Timestamp};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// Sunday, 29 November 2026, 22:41:49 UTC.
pub(crate) const NOW: i64 = 1_795_992_109;

pub(crate) fn resource(json: &Value) -> Resource {
    let mut problems = Problems::new();
    let read = read_resource(Node::from_json(json), Origin::File, &mut problems);
    read.unwrap_or_else(|| panic!("{problems:?}")).resource
}

/// An API `orders` version `v1` that asks for this.
pub(crate) fn api(authorization: &Value) -> Resource {
    resource(&json!({
        "kind": "api", "name": "orders", "version": "v1", "state": "published", "base_path": "/orders",
        "upstream": "echo", "authentication": { "issuers": ["main"], "audience": "orders" },
        "routes": [ { "match": { "path": "/{user}/{order}" } } ],
        "authorization": authorization,
    }))
}

/// The rule of the one route of [`api`], with these resources beside it.
pub(crate) fn rule(authorization: &Value, beside: &[Value]) -> Arc<Rule> {
    try_rule(&api(authorization), beside).unwrap()
}

pub(crate) fn try_rule(api: &Resource, beside: &[Value]) -> Result<Arc<Rule>, crate::Error> {
    let mut resources: Vec<Resource> = beside.iter().map(resource).collect();
    resources.push(api.clone());
    let catalogue = Catalogue::new(&resources, None)?;
    let Spec::Api(declared) = &api.spec else {
        panic!("not an API");
    };
    let inputs = catalogue.inputs(TeamId::DEFAULT, declared)?.unwrap();
    Ok(inputs.rules(api, declared)?.remove(0).unwrap())
}

/// The issuer `main`, with roles in `realm_access.roles`.
pub(crate) fn issuer() -> Value {
    json!({
        "kind": "issuer", "name": "main", "issuer": "https://main.example",
        "jwks": { "discover": true }, "roles_from": "realm_access.roles",
    })
}

/// A caller of the issuer `main` with these claims.
pub(crate) fn caller(claims: &Value) -> Caller {
    let text = claims.to_string();
    let of = |name: &str| claims.get(name).and_then(Value::as_str);
    let mut caller = Caller::of_token(&TokenFacts {
        claims: TokenClaims::Json(&text),
        subject: of("sub"),
        client: of("client_id"),
        scopes: of("scope").map_or(TokenScopes::None, TokenScopes::Spaced),
        ..TokenFacts::default()
    })
    .unwrap();
    caller.team = Some(TeamId::DEFAULT);
    caller.issuer_name = Some("main".parse().unwrap());
    caller.issuer = Some("https://main.example".into());
    caller
}

/// A call as tests write it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) host: &'static str,
    pub(crate) address: &'static str,
    pub(crate) time: i64,
    pub(crate) headers: Vec<(&'static str, HeaderValue<'static>)>,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            method: "GET",
            path: "/orders/alice/7".to_owned(),
            host: "api.example",
            address: "192.0.2.7",
            time: NOW,
            headers: Vec::new(),
        }
    }
}

impl Asked {
    pub(crate) fn with(&self, name: &'static str, value: &'static str) -> Self {
        let mut asked = self.clone();
        let value = HeaderValue::Once(Cow::Borrowed(value));
        asked.headers.push((name, value));
        asked
    }

    /// Hands the call to `take`.
    pub(crate) fn call<T>(&self, take: impl FnOnce(&Call<'_>) -> T) -> T {
        let header = |name: &str| {
            let found = self.headers.iter().find(|(known, _)| *known == name);
            found.map_or(HeaderValue::Absent, |(_, value)| value.clone())
        };
        take(&Call {
            method: self.method,
            path: &self.path,
            host: self.host,
            address: self.address.parse().unwrap(),
            time: Timestamp::from_seconds(self.time),
            header: &header,
        })
    }

    pub(crate) fn decide(&self, rule: &Rule, caller: &Caller) -> Decision {
        self.call(|call| rule.decide(caller, None, call))
    }

    pub(crate) fn decide_with(
        &self,
        rule: &Rule,
        caller: &Caller,
        memory: &mut Memory,
    ) -> Decision {
        self.call(|call| rule.decide(caller, Some(memory), call))
    }
}

/// A decision in a few words: `yes`, `yes by NAMES`, or `no: WHY`.
pub(crate) fn told(decision: &Decision) -> String {
    match decision {
        Decision::Allowed(None) => "yes".to_owned(),
        Decision::Allowed(Some(by)) => format!("yes by {by}"),
        Decision::Refused(refusal) => format!("no: {refusal}"),
    }
}
