//! What differs, for people.

use serde_json::Value;
use std::collections::BTreeSet;

/// The longest value that is shown.
const SHOWN_MAX: usize = 200;

fn changes(answer: &Value) -> impl Iterator<Item = &Value> {
    let changes = answer.get("changes").and_then(Value::as_array);
    changes.into_iter().flatten()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A resource: its kind, name and version, and its team.
fn named(change: &Value) -> String {
    let version = match text(change, "version") {
        "" => String::new(),
        version => format!(":{version}"),
    };
    let (kind, name, team) = (
        text(change, "kind"),
        text(change, "name"),
        text(change, "team"),
    );
    format!("{kind} {name}{version} (team {team})")
}

fn sign(change: &Value) -> char {
    match text(change, "action") {
        "create" => '+',
        "delete" => '-',
        _ => '~',
    }
}

/// A line for each resource.
pub(super) fn summary(answer: &Value) -> Vec<String> {
    changes(answer)
        .map(|change| format!("{} {}", sign(change), named(change)))
        .collect()
}

/// The resources that go away.
pub(super) fn deletions(answer: &Value) -> Vec<String> {
    changes(answer)
        .filter(|change| text(change, "action") == "delete")
        .map(named)
        .collect()
}

/// A line for each resource, and below it one for each member that differs.
pub(super) fn lines(answer: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for change in changes(answer) {
        lines.push(format!("{} {}", sign(change), named(change)));
        let (before, after) = (change.get("before"), change.get("after"));
        if let (Some(before), Some(after)) = (before, after)
            && !before.is_null()
            && !after.is_null()
        {
            members(before, after, "", &mut lines);
        }
    }
    lines
}

/// How many there are of each.
pub(super) fn count(answer: &Value) -> String {
    let of = |action: &str| {
        let all = changes(answer);
        all.filter(|change| text(change, "action") == action)
            .count()
    };
    let unchanged = answer.get("unchanged").and_then(Value::as_u64);
    format!(
        "{} to create, {} to change, {} to delete, {} as declared; revision {}",
        of("create"),
        of("change"),
        of("delete"),
        unchanged.unwrap_or_default(),
        answer
            .get("revision")
            .and_then(Value::as_u64)
            .unwrap_or_default(),
    )
    .replace(
        " to create",
        if is_dry(answer) {
            " to create"
        } else {
            " created"
        },
    )
    .replace(
        " to change",
        if is_dry(answer) {
            " to change"
        } else {
            " changed"
        },
    )
    .replace(
        " to delete",
        if is_dry(answer) {
            " to delete"
        } else {
            " deleted"
        },
    )
}

fn is_dry(answer: &Value) -> bool {
    answer.get("dry_run").and_then(Value::as_bool) == Some(true)
}

fn members(before: &Value, after: &Value, path: &str, lines: &mut Vec<String>) {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        if before != after {
            lines.push(format!("    {path}: {} -> {}", shown(before), shown(after)));
        }
        return;
    };
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let below = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match (old.get(key), new.get(key)) {
            (Some(old), Some(new)) => members(old, new, &below, lines),
            (Some(old), None) => lines.push(format!("  - {below}: {}", shown(old))),
            (None, Some(new)) => lines.push(format!("  + {below}: {}", shown(new))),
            (None, None) => {}
        }
    }
}

fn shown(value: &Value) -> String {
    let mut text: String = value.to_string();
    if text.len() > SHOWN_MAX {
        text = text.chars().take(SHOWN_MAX).collect();
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_difference_names_each_member() {
        let answer = json!({ "dry_run": true, "unchanged": 2, "revision": 7, "changes": [
            { "action": "change", "kind": "api", "name": "orders", "version": "v1", "team": "default",
              "before": { "state": "draft", "hosts": ["a"], "old": 1 },
              "after": { "state": "published", "hosts": ["b"], "authorization": { "scopes": [] } } },
            { "action": "delete", "kind": "role", "name": "r", "version": null, "team": "t",
              "before": {}, "after": null },
        ] });
        assert_eq!(
            lines(&answer),
            [
                "~ api orders:v1 (team default)",
                "  + authorization: {\"scopes\":[]}",
                "    hosts: [\"a\"] -> [\"b\"]",
                "  - old: 1",
                "    state: \"draft\" -> \"published\"",
                "- role r (team t)",
            ]
        );
        assert_eq!(deletions(&answer), ["role r (team t)"]);
        assert_eq!(
            count(&answer),
            "0 to create, 1 to change, 1 to delete, 2 as declared; revision 7"
        );
    }
}
