//! What policies read of a call: nothing else needs to be put before them.

use serde_json::Value;
use std::collections::BTreeSet;

/// What some policies read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Attributes of `context`, besides headers and parameters.
    pub(crate) context: BTreeSet<Box<str>>,
    /// Headers, by their names as written.
    pub(crate) headers: BTreeSet<Box<str>>,
    /// Parameters of the route's path.
    pub(crate) parameters: BTreeSet<Box<str>>,
    /// Attributes of `principal`, `claims` among them.
    pub(crate) caller: BTreeSet<Box<str>>,
    /// Attributes of `resource`.
    pub(crate) route: BTreeSet<Box<str>>,
    /// Claims of the caller, by path.
    pub(crate) claims: BTreeSet<Box<str>>,
    /// Whether `context` is used as a whole somewhere, so that all of it must be there.
    pub(crate) whole_context: bool,
    /// Whether the caller is looked at as a whole record somewhere (its claims as one value).
    pub(crate) whole_claims: bool,
}

/// All that `context` has, besides headers and parameters.
pub(crate) const CONTEXT: [&str; 7] = [
    "method", "path", "host", "address", "time", "hour", "weekday",
];

/// All that `principal` has.
pub(crate) const CALLER: [&str; 7] = [
    "method", "issuer", "subject", "client", "scopes", "roles", "claims",
];

/// All that `resource` has.
pub(crate) const ROUTE: [&str; 4] = ["name", "api", "version", "team"];

impl Reads {
    /// What a policy reads, by its form in JSON.
    pub(crate) fn of(policy: &Value) -> Self {
        let mut reads = Self::default();
        reads.walk(policy);
        reads
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        self.context.extend(other.context.iter().cloned());
        self.headers.extend(other.headers.iter().cloned());
        self.parameters.extend(other.parameters.iter().cloned());
        self.caller.extend(other.caller.iter().cloned());
        self.route.extend(other.route.iter().cloned());
        self.claims.extend(other.claims.iter().cloned());
        self.whole_context |= other.whole_context;
        self.whole_claims |= other.whole_claims;
    }

    /// Everything there is, with these headers and parameters.
    #[cfg(test)]
    pub(crate) fn everything(&self) -> Self {
        Self {
            whole_context: true,
            whole_claims: true,
            ..self.clone()
        }
    }

    /// Whether this attribute of `context` is to be there.
    pub(crate) fn needs(&self, attribute: &str) -> bool {
        self.whole_context || self.context.contains(attribute)
    }

    /// Whether anything of the call is read that differs between two calls of a caller to a route with one
    /// method.
    pub(crate) fn depends_on_the_call(&self) -> bool {
        // The group of other methods has many.
        let of_call = self.context.iter().any(|name| **name != *"method");
        self.whole_context || of_call || !self.headers.is_empty() || !self.parameters.is_empty()
    }

    /// Whether the method itself is read, besides the action.
    pub(crate) fn needs_method(&self) -> bool {
        self.needs("method")
    }

    fn walk(&mut self, value: &Value) {
        match value {
            Value::Object(members) => {
                for (key, inner) in members {
                    if (key == "." || key == "has")
                        && let Some((root, path)) = chain(key, inner)
                    {
                        self.access(root, &path);
                    } else if key == "Var" && inner == "context" {
                        self.whole_context = true;
                    } else {
                        self.walk(inner);
                    }
                }
            }
            Value::Array(members) => members.iter().for_each(|member| self.walk(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn access(&mut self, root: &str, path: &[&str]) {
        match (root, path) {
            ("context", ["headers", name, ..]) => {
                self.headers.insert((*name).into());
            }
            ("context", ["parameters", name, ..]) => {
                self.parameters.insert((*name).into());
            }
            // The records themselves are always there.
            ("context", ["headers" | "parameters"]) => {}
            ("context", [name, ..]) => {
                self.context.insert((*name).into());
            }
            ("principal", ["claims", name, ..]) => {
                self.claims.insert((*name).into());
            }
            ("principal", ["claims"]) => self.whole_claims = true,
            ("principal", [name, ..]) => {
                self.caller.insert((*name).into());
            }
            ("resource", [name, ..]) => {
                self.route.insert((*name).into());
            }
            _ => {}
        }
    }
}

/// The variable and the names after it, of `context.a.b`, `context["a"] has b` and the like.
fn chain<'v>(key: &str, inner: &'v Value) -> Option<(&'v str, Vec<&'v str>)> {
    let (left, attribute) = (inner.get("left")?, inner.get("attr")?.as_str()?);
    let (root, mut path) = root(left)?;
    path.push(attribute);
    // `context has headers` asks for a record that is always there.
    let _either = key;
    Some((root, path))
}

fn root(value: &Value) -> Option<(&str, Vec<&str>)> {
    if let Some(variable) = value.get("Var") {
        return Some((variable.as_str()?, Vec::new()));
    }
    chain(".", value.get(".")?)
}
