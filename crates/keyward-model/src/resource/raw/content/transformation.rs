//! Reading `transformation`.

use crate::resource::content::{Change, Transformation};
use crate::resource::raw::api::is_token;
use crate::resource::raw::field::Field;
use crate::resource::raw::problem::Problems;
use std::sync::Arc;

const KEYS: &[&str] = &["headers", "body", "max_body", "max_output", "not_json"];
const RESPONSE_KEYS: &[&str] = &[
    "headers",
    "body",
    "max_body",
    "max_output",
    "not_json",
    "statuses",
];

/// What is read whole is memory, of each call that is in flight.
const BYTES_MAX: u64 = 16 << 20;
const HEADERS_MAX: usize = 32;
/// A template is a form, no program.
const TEMPLATE_MAX: usize = 64 << 10;

/// Reads it. The inner `None`: nothing is changed.
pub(super) fn read(
    field: Field<'_>,
    problems: &mut Problems,
) -> Option<Option<Arc<Transformation>>> {
    if field.as_boolean() == Some(false) {
        return Some(None);
    }
    let fields = field.fields(&["request", "response"], problems)?;
    let request = match fields.optional("request") {
        Some(field) => Some(change(field, false, problems)?),
        None => None,
    };
    let response = match fields.optional("response") {
        Some(field) => Some(change(field, true, problems)?),
        None => None,
    };
    if request.is_none() && response.is_none() {
        field.refuse(
            "changes nothing: say what of the `request` or the `response` is changed",
            problems,
        );
        return None;
    }
    Some(Some(Arc::new(Transformation { request, response })))
}

fn change(field: Field<'_>, of_response: bool, problems: &mut Problems) -> Option<Change> {
    let fields = field.fields(if of_response { RESPONSE_KEYS } else { KEYS }, problems)?;
    let body = match fields.optional("body") {
        Some(field) => Some(template(field, problems)?),
        None => None,
    };
    let (set_headers, remove_headers) = match fields.optional("headers") {
        Some(field) => headers(field, problems)?,
        None => Default::default(),
    };
    if body.is_none() && set_headers.is_empty() && remove_headers.is_empty() {
        field.refuse("changes nothing: write `body` or `headers`", problems);
        return None;
    }
    if body.is_none()
        && let Some(field) = fields.optional("max_output")
    {
        field.refuse("bounds nothing: there is no `body` to be made", problems);
        return None;
    }
    // What names the variable nowhere does not read it. An answer is read for its place to be taken.
    let texts = body.iter().chain(set_headers.iter().map(|(_, text)| text));
    let reads = texts.into_iter().any(|text| text.contains("body"));
    if !(reads || of_response && body.is_some()) {
        for key in ["max_body", "not_json"] {
            if let Some(field) = fields.optional(key) {
                field.refuse("has no effect: no template reads the `body`", problems);
                return None;
            }
        }
    }
    let mut size = |key: &str| match fields.optional(key) {
        Some(field) => {
            let bytes = field.byte_size(problems)?;
            if !(1..=BYTES_MAX).contains(&bytes) {
                field.refuse("is not between 1 byte and 16MiB", problems);
                return None;
            }
            usize::try_from(bytes).ok()
        }
        None => Some(Change::DEFAULT_BYTES),
    };
    let max_body_bytes = size("max_body");
    let max_output_bytes = size("max_output");
    let passes_other = match fields.optional("not_json") {
        Some(field) => field.one_of(&[("pass", true), ("refuse", false)], problems),
        // An upstream's pages of errors are seldom JSON; a caller's body was asked for.
        None => Some(of_response),
    };
    let statuses = match fields.optional("statuses") {
        Some(field) => field.parsed(
            statuses,
            "is no range of statuses: write \"200\", \"2xx\" or \"200-499\"",
            problems,
        ),
        None => Some((200, 299)),
    };
    Some(Change {
        set_headers,
        remove_headers,
        body,
        max_body_bytes: max_body_bytes?,
        max_output_bytes: max_output_bytes?,
        passes_other: passes_other?,
        statuses: statuses?,
    })
}

fn statuses(text: &str) -> Option<(u16, u16)> {
    let status = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|status| (200..=599).contains(status))
    };
    if let Some(class) = text.strip_suffix("xx") {
        let class = class
            .parse::<u16>()
            .ok()
            .filter(|class| (2..=5).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (status(first.trim())?, status(last.trim())?);
    (first <= last).then_some((first, last))
}

fn template(field: Field<'_>, problems: &mut Problems) -> Option<Box<str>> {
    let text = field.text(problems)?;
    if text.len() > TEMPLATE_MAX {
        field.refuse(
            "has more than 64KiB: a template is a form, no program",
            problems,
        );
        return None;
    }
    Some(text.into())
}

/// Templates by name, and names.
type Headers = (Vec<(Box<str>, Box<str>)>, Vec<Box<str>>);

fn headers(field: Field<'_>, problems: &mut Problems) -> Option<Headers> {
    let fields = field.fields(&["set", "remove"], problems)?;
    let mut set: Vec<(Box<str>, Box<str>)> = Vec::new();
    if let Some(field) = fields.optional("set") {
        for entry in field.entries(problems)? {
            let name = name(entry.key(), entry, problems)?;
            if set.iter().any(|(known, _)| *known == name) {
                entry.refuse("stands there twice", problems);
            }
            set.push((name, template(entry, problems)?));
        }
    }
    let mut remove = Vec::new();
    if let Some(field) = fields.optional("remove") {
        for member in field.list(problems)? {
            remove.push(name(member.text(problems)?, member, problems)?);
        }
    }
    if set.len() + remove.len() > HEADERS_MAX {
        field.refuse("names more than 32 headers", problems);
        return None;
    }
    Some((set, remove))
}

fn name(name: &str, field: Field<'_>, problems: &mut Problems) -> Option<Box<str>> {
    let name = name.to_ascii_lowercase();
    if !is_token(&name) {
        problems.error(
            field.place(),
            "bad_value",
            format!(
                "`headers`: `{}` is no header name",
                crate::resource::raw::shortened(&name)
            ),
        );
        return None;
    }
    Some(name.into())
}

#[cfg(test)]
mod tests {
    use super::statuses;
    use crate::resource::raw::tests::{api, read};
    use serde_json::json;

    #[test]
    fn ranges_of_statuses_are_read() {
        for (text, expected) in [
            ("2xx", Some((200, 299))),
            ("404", Some((404, 404))),
            ("200 - 499", Some((200, 499))),
            ("1xx", None),
            ("300-200", None),
            ("ok", None),
        ] {
            assert_eq!(statuses(text), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (value, expected) in [
            (json!({}), "changes nothing"),
            (json!({ "request": {} }), "write `body` or `headers`"),
            (
                json!({ "request": { "statuses": "2xx" } }),
                "unknown key `statuses`",
            ),
            (
                json!({ "response": { "body": "1", "statuses": "all" } }),
                "is no range of statuses",
            ),
            (
                json!({ "request": { "headers": { "remove": ["a"] }, "max_output": "1KiB" } }),
                "there is no `body`",
            ),
            (
                json!({ "request": { "body": "1", "max_body": "1KiB" } }),
                "no template reads the `body`",
            ),
            (
                json!({ "response": { "headers": { "set": { "a": "1" } }, "not_json": "refuse" } }),
                "no template reads the `body`",
            ),
            (
                json!({ "response": { "body": "1", "not_json": "drop" } }),
                "`pass`, `refuse`",
            ),
            (
                json!({ "response": { "body": "1", "max_body": "1GiB" } }),
                "16MiB",
            ),
            (
                json!({ "response": { "headers": { "set": { "a b": "1" } } } }),
                "is no header name",
            ),
            (
                json!({ "response": { "body": "x".repeat(70_000) } }),
                "64KiB",
            ),
        ] {
            let problems = read(&api(&json!({ "transformation": value }))).unwrap_err();
            let told = format!("{problems:?}");
            assert!(told.contains(expected), "{expected} is not in {told}");
        }
    }
}
