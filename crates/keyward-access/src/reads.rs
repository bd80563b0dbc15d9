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
    /// Whether the caller, or its claims, is used as one value somewhere, so that all claims must be there.
    pub(crate) whole_claims: bool,
    /// Whether headers or parameters are used as one value somewhere: nobody can say then which of them are read.
    pub(crate) whole_records: BTreeSet<&'static str>,
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
        self.whole_records.extend(&other.whole_records);
    }

    /// Everything there is, with these headers of a call besides those that are read.
    #[cfg(test)]
    pub(crate) fn everything(&self, headers: &[&str]) -> Self {
        let mut all = self.clone();
        all.headers
            .extend(headers.iter().map(|name| (*name).into()));
        (all.whole_context, all.whole_claims) = (true, true);
        all
    }

    /// Whether this attribute of `context` is to be there.
    pub(crate) fn needs(&self, attribute: &str) -> bool {
        self.whole_context || self.context.contains(attribute)
    }

    /// Whether anything of the call is read but which method it has.
    pub(crate) fn depends_on_the_call(&self) -> bool {
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
                for (operator, operands) in members {
                    self.expression(operator, operands);
                }
            }
            Value::Array(members) => members.iter().for_each(|member| self.walk(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// What an operator reads. Records come by here as well, with the names of their members for operators: none
    /// of their members is an expression with a `left`, or a text.
    fn expression(&mut self, operator: &str, operands: &Value) {
        match (operator, operands.as_str()) {
            ("Var", Some("context")) => self.whole_context = true,
            ("Var", Some("principal")) => self.whole_claims = true,
            ("." | "has", _) => match chain(operands) {
                Some((root, path)) => self.access(operator == "has", root, &path),
                None => {
                    self.behind_an_alias(operands);
                    self.walk(operands);
                }
            },
            // Who the caller is, is asked here, and not what it has.
            ("==" | "!=" | "in" | "is", _) if operands.get("left").is_some() => {
                let principal = |value: &&Value| value.get("Var").is_some_and(|v| v == "principal");
                let operands = operands
                    .as_object()
                    .into_iter()
                    .flat_map(|all| all.values());
                for operand in operands.filter(|operand| !principal(operand)) {
                    self.walk(operand);
                }
            }
            (_, _) => self.walk(operands),
        }
    }

    fn access(&mut self, asks: bool, root: &str, path: &[&str]) {
        match (root, path) {
            ("context", ["headers", name, ..]) => {
                self.headers.insert((*name).into());
            }
            ("context", ["parameters", name, ..]) => {
                self.parameters.insert((*name).into());
            }
            // `context has headers` asks for a record that is always there.
            ("context", ["headers" | "parameters"]) if asks => {}
            ("context", ["headers"]) => {
                self.whole_records.insert("headers");
            }
            ("context", ["parameters"]) => {
                self.whole_records.insert("parameters");
            }
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

    /// An attribute of what is no variable, such as `(if … then context else context).headers`: what of the
    /// record is read can't be told.
    fn behind_an_alias(&mut self, operands: &Value) {
        let names = attributes(operands).unwrap_or_default();
        for record in ["headers", "parameters"] {
            if names.contains(&record) {
                self.whole_records.insert(record);
            }
        }
    }
}

/// The variable and the names after it, of `context.a.b`, `context["a"] has b`, `context has a.b` and the like.
fn chain(operands: &Value) -> Option<(&str, Vec<&str>)> {
    let (root, mut path) = root(operands.get("left")?)?;
    path.extend(attributes(operands)?);
    Some((root, path))
}

/// The attribute that is read, or those of `has a.b.c`, from the outermost on.
fn attributes(operands: &Value) -> Option<Vec<&str>> {
    match operands.get("attr")? {
        Value::String(name) => Some(vec![name]),
        Value::Array(names) => names.iter().map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn root(value: &Value) -> Option<(&str, Vec<&str>)> {
    if let Some(variable) = value.get("Var") {
        return Some((variable.as_str()?, Vec::new()));
    }
    chain(value.get(".")?)
}
