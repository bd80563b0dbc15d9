//! The table of endpoints: what is not in it is not there.
//!
//! Each says who may call it and what it takes and gives; the OpenAPI document is made from the same rows, so that
//! it can't say something else. A handler gets its permit from the one place that asks for it.

use super::call::{Call, decoded};
use super::kind::KindDescription;
use super::operation::Operation;
use crate::answer::Answer;
use crate::problem::{Problem, ProblemKind};
use crate::site::Site;
use futures_util::future::BoxFuture;
use http::Method;
use keyward_access::management::{Action, ManagementPermit, Manager};
use keyward_store::management::Team;
use std::sync::Arc;

/// Where all of them begin.
pub(crate) const BASE: &str = "/api/v1";

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Everyone.
    Open,
    /// Whoever shows a good token. What they see of each thing is decided for each.
    Known,
    /// Whoever may do this, in the team of the address or else in the deployment.
    May(Action),
}

/// A call that may be made, with the proof of it.
#[derive(Debug)]
pub(crate) struct Allowed<'c> {
    pub(crate) call: &'c Call,
    /// Of whom.
    pub(crate) manager: Arc<Manager>,
    /// That they may, where the gate asks for it.
    pub(crate) permit: ManagementPermit,
    /// The team of the address.
    pub(crate) team: Option<Team>,
    /// The kind of resource that the endpoint is of.
    pub(crate) kind: Option<&'static KindDescription>,
}

impl Allowed<'_> {
    /// The team, for endpoints whose address has one.
    pub(crate) fn team(&self) -> Result<&Team, Problem> {
        self.team.as_ref().ok_or_else(|| broken("a team"))
    }

    /// The kind, for endpoints of resources.
    pub(crate) fn kind(&self) -> Result<&'static KindDescription, Problem> {
        self.kind.ok_or_else(|| broken("a kind"))
    }
}

fn broken(what: &str) -> Problem {
    Problem::new(ProblemKind::Internal, "Something went wrong here")
        .because(format!("an endpoint without {what} asked for it"))
}

/// What comes of a call.
pub(crate) type Outcome<'c> = BoxFuture<'c, Result<Answer, Problem>>;

/// What runs for everyone.
pub(crate) type OpenHandler = for<'c> fn(&'c Site, &'c Call) -> Outcome<'c>;
/// What runs for whoever is known.
pub(crate) type KnownHandler = for<'c> fn(&'c Site, &'c Call, Arc<Manager>) -> Outcome<'c>;
/// What runs for whoever may.
pub(crate) type PermittedHandler = for<'c> fn(&'c Site, Allowed<'c>) -> Outcome<'c>;

/// What runs of an endpoint.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// For everyone.
    Open(OpenHandler),
    /// For whoever is known.
    Known(KnownHandler),
    /// For whoever may.
    Permitted(PermittedHandler),
}

/// A row of the table.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    /// With `{NAME}` for parameters.
    pub(crate) path: String,
    pub(crate) gate: Gate,
    pub(crate) kind: Option<&'static KindDescription>,
    pub(crate) handler: Handler,
    pub(crate) operation: Operation,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// What an address and a method lead to.
#[derive(Debug)]
pub(crate) enum Found<'e> {
    Endpoint(&'e Endpoint, Vec<(&'static str, String)>),
    /// The address is there, for these methods.
    Methods(Vec<&'e Method>),
    Nothing,
}

/// The names of parameters in addresses.
pub(crate) const PARAMETERS: [&str; 7] = [
    "team",
    "key",
    "member",
    "token",
    "revision",
    "kid",
    "revocation",
];

/// Finds the endpoint of a call. HEAD is for whatever GET is.
pub(crate) fn find<'e>(table: &'e [Endpoint], method: &Method, path: &str) -> Found<'e> {
    let asked = if *method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let mut methods = Vec::new();
    for endpoint in table {
        let Some(parameters) = matched(&endpoint.path, path) else {
            continue;
        };
        if endpoint.method == *asked {
            return Found::Endpoint(endpoint, parameters);
        }
        methods.push(&endpoint.method);
    }
    if methods.is_empty() {
        Found::Nothing
    } else {
        Found::Methods(methods)
    }
}

fn matched(template: &str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut parameters = Vec::new();
    let mut segments = path.split('/');
    for wanted in template.split('/') {
        let segment = segments.next()?;
        let name = wanted
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'));
        match name {
            Some(name) => {
                let name = PARAMETERS.into_iter().find(|known| *known == name)?;
                let value = decoded(segment, false).filter(|value| !value.is_empty())?;
                parameters.push((name, value));
            }
            None if wanted == segment => {}
            None => return None,
        }
    }
    segments.next().is_none().then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_segment_by_segment() {
        let template = "/api/v1/teams/{team}/apis/{key}";
        let value = |path| matched(template, path).map(|found| found[1].1.clone());
        for (path, expected) in [
            ("/api/v1/teams/a/apis/b:v1", Some("b:v1")),
            ("/api/v1/teams/a/apis/b%3Av1", Some("b:v1")),
            ("/api/v1/teams/a/apis/b%2Fc", Some("b/c")),
            ("/api/v1/teams/a/apis/", None),
            ("/api/v1/teams/a/apis", None),
            ("/api/v1/teams/a/apis/b/c", None),
            ("/api/v1/teams//apis/b", None),
            ("/api/v1/teams/a/APIS/b", None),
            ("/api/v1/teams/a/apis/%ff", None),
        ] {
            assert_eq!(value(path).as_deref(), expected, "{path}");
        }
    }
}
