//! Reading `match` and `when`.

use super::super::api::is_token;
use super::super::field::{Field, Fields};
use super::super::problem::Problems;
use super::super::{Value, shortened};
use super::edits::is_field_value;
use super::too_many;
use crate::resource::route::{Condition, Conditions, PathKind, PathPattern, RouteMatch};

/// The most conditions on headers, and on the query, of one route.
const CONDITIONS_MAX: usize = 8;

/// The most methods of one route: there are not many more.
const METHODS_MAX: usize = 16;

pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<RouteMatch> {
    let fields = field.fields(&["path", "prefix", "methods", "headers", "query"], problems)?;
    let path = match (fields.optional("path"), fields.optional("prefix")) {
        (Some(_), Some(prefix)) => {
            problems.error(
                prefix.place(),
                "contradiction",
                "`match` has a `path` and a `prefix`: a route has one of them",
            );
            None
        }
        (Some(path), None) => pattern(path, PathKind::Whole, problems),
        (None, Some(prefix)) => pattern(prefix, PathKind::Prefix, problems),
        (None, None) => Some(PathPattern::default()),
    };
    let methods = match fields.optional("methods") {
        Some(field) => methods(field, problems),
        None => Some(Vec::new()),
    };
    let conditions = conditions(&fields, problems);
    Some(RouteMatch {
        path: path?,
        methods: methods?,
        conditions: conditions?,
    })
}

/// `when` of a split.
pub(super) fn when(field: Field<'_>, problems: &mut Problems) -> Option<Conditions> {
    let fields = field.fields(&["headers", "query"], problems)?;
    let conditions = conditions(&fields, problems)?;
    if conditions.is_empty() {
        problems.error(
            field.place(),
            "bad_value",
            "`when` asks for nothing, so that every call would meet it: name headers or a part of the query",
        );
        return None;
    }
    Some(conditions)
}

fn pattern(field: Field<'_>, kind: PathKind, problems: &mut Problems) -> Option<PathPattern> {
    match PathPattern::parse(field.text(problems)?, kind) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            field.refuse(&why.to_string(), problems);
            None
        }
    }
}

fn methods(field: Field<'_>, problems: &mut Problems) -> Option<Vec<Box<str>>> {
    let members = field.filled_list(problems)?;
    if too_many(field, members.len(), METHODS_MAX, problems) {
        return None;
    }
    let mut methods: Vec<Box<str>> = Vec::new();
    for member in members {
        let text = member.text(problems)?;
        let refusal = if matches!(text, "CONNECT" | "TRACE") {
            Some("is a method that the gateway serves to nobody".to_owned())
        } else if !is_token(text) {
            Some("is no method".to_owned())
        } else if text.bytes().any(|b| b.is_ascii_lowercase()) {
            let upper = text.to_ascii_uppercase();
            Some(format!(
                "has small letters: methods are told apart by them, write `{upper}`"
            ))
        } else if methods.iter().any(|known| **known == *text) {
            Some("stands in the list twice".to_owned())
        } else {
            None
        };
        match refusal {
            Some(why) => member.refuse(&why, problems),
            None => methods.push(text.into()),
        }
    }
    let get_alone = |methods: &[Box<str>]| {
        methods.iter().any(|method| **method == *"GET")
            && !methods.iter().any(|method| **method == *"HEAD")
    };
    if get_alone(&methods) {
        methods.push("HEAD".into());
    }
    Some(methods)
}

fn conditions(fields: &Fields<'_>, problems: &mut Problems) -> Option<Conditions> {
    let headers = match fields.optional("headers") {
        Some(field) => headers(field, problems),
        None => Some(Vec::new()),
    };
    let query = match fields.optional("query") {
        Some(field) => query(field, problems),
        None => Some(Vec::new()),
    };
    Some(Conditions {
        headers: headers?,
        query: query?,
    })
}

type Named = Vec<(Box<str>, Condition)>;

fn headers(field: Field<'_>, problems: &mut Problems) -> Option<Named> {
    let entries = field.entries(problems)?;
    if too_many(field, entries.len(), CONDITIONS_MAX, problems) {
        return None;
    }
    let mut headers: Named = Vec::new();
    for entry in entries {
        let name = entry.key().to_ascii_lowercase();
        if !is_token(&name) {
            problems.error(
                entry.place(),
                "bad_value",
                format!("`headers`: `{}` is no header name", shortened(entry.key())),
            );
            return None;
        }
        if headers.iter().any(|(known, _)| **known == *name) {
            problems.error(
                entry.place(),
                "duplicate_name",
                format!("`headers`: `{name}` stands there twice (letter case makes no difference)"),
            );
            return None;
        }
        let condition = condition(entry, problems)?;
        if let Condition::Equals(value) = &condition
            && !is_field_value(value)
        {
            entry.refuse(
                "can't be a header's value: it has visible ASCII, with spaces inside alone",
                problems,
            );
            return None;
        }
        headers.push((name.into(), condition));
    }
    Some(headers)
}

fn query(field: Field<'_>, problems: &mut Problems) -> Option<Named> {
    let entries = field.entries(problems)?;
    if too_many(field, entries.len(), CONDITIONS_MAX, problems) {
        return None;
    }
    entries
        .into_iter()
        .map(|entry| Some((entry.key().into(), condition(entry, problems)?)))
        .collect()
}

/// `name: text`, or `name: { present: true }`.
fn condition(field: Field<'_>, problems: &mut Problems) -> Option<Condition> {
    if matches!(field.node().value, Value::Map(_)) {
        let fields = field.fields(&["present"], problems)?;
        let present = fields.required(
            "present",
            "say `true` for one that comes, whatever it is, or `false` for one that doesn't",
            problems,
        )?;
        return Some(if present.boolean(problems)? {
            Condition::Present
        } else {
            Condition::Absent
        });
    }
    Some(Condition::Equals(field.text(problems)?.into()))
}
