//! The schema that policies are checked against.

use crate::reads::Reads;
use cedar_policy::{EntityId, EntityTypeName, EntityUid, Schema};
use keyward_model::resource::access_policy::ClaimType;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;

/// Methods that are actions, and the group that each is in.
pub(crate) const METHODS: [(&str, &str); 8] = [
    ("GET", "read"),
    ("HEAD", "read"),
    ("OPTIONS", "read"),
    ("TRACE", "read"),
    ("POST", "write"),
    ("PUT", "write"),
    ("PATCH", "write"),
    ("DELETE", "write"),
];

/// The action of every other method, of which `context.method` says what it is.
pub(crate) const OTHER_METHOD: &str = "OTHER";

/// An entity's name. `None` only for a type that Cedar can't read.
pub(crate) fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    let kind = EntityTypeName::from_str(kind).ok()?;
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

/// The schema as text, for policies that read these claims, headers and parameters.
pub(crate) fn text(claims: &BTreeMap<Box<str>, ClaimType>, reads: &Reads) -> String {
    let mut text = String::from(
        "entity Role in [Role];\n\
         entity Api { name: String, version: String, team: String };\n\
         entity Route in [Api] { name: String, api: String, version: String, team: String };\n\
         entity Caller in [Role] {\n  \
           method: String,\n  issuer?: String,\n  subject?: String,\n  client?: String,\n  \
           scopes: Set<String>,\n  roles: Set<String>,\n  claims: {",
    );
    for (path, kind) in claims {
        // Writing to a string does not fail.
        let _infallible = write!(text, " {}?: {},", quoted(path), kind.as_str());
    }
    text.push_str(
        " },\n};\n\
         type CallContext = {\n  \
           method: String,\n  path: String,\n  host: String,\n  address: ipaddr,\n  \
           time: datetime,\n  hour: Long,\n  weekday: Long,\n  headers: {",
    );
    for name in &reads.headers {
        let _infallible = write!(text, " {}?: String,", quoted(name));
    }
    text.push_str(" },\n  parameters: {");
    for name in &reads.parameters {
        let _infallible = write!(text, " {}?: String,", quoted(name));
    }
    text.push_str(" },\n};\naction read, write;\n");
    let methods = METHODS.iter().map(|(name, group)| (*name, Some(*group)));
    for (name, group) in methods.chain([(OTHER_METHOD, None)]) {
        let group = group
            .map(|group| format!(" in [{group}]"))
            .unwrap_or_default();
        let _infallible = writeln!(
            text,
            "action {name}{group} appliesTo {{ principal: Caller, resource: Route, context: CallContext }};"
        );
    }
    text
}

/// The schema; `Err` says what Cedar does not take of it.
pub(crate) fn schema(
    claims: &BTreeMap<Box<str>, ClaimType>,
    reads: &Reads,
) -> Result<Schema, String> {
    Schema::from_cedarschema_str(&text(claims, reads))
        .map(|(schema, _warnings)| schema)
        .map_err(|error| error.to_string())
}

/// A text as Cedar's schemas quote it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => {
                let _infallible = write!(quoted, "\\u{{{:x}}}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
