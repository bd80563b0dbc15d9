//! Reading `kind: webhook`.

use super::field::Fields;
use super::issuer::url;
use super::problem::Problems;
use super::read::name;
use crate::resource::webhook::Webhook;

/// The keys beside those of every resource.
pub(super) const KEYS: &[&str] = &["url", "events", "key_set", "enabled"];

/// More than there are actions.
const EVENTS_MAX: usize = 64;
const EVENT_MAX_BYTES: usize = 64;

pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Webhook> {
    let address = fields
        .required("url", "where is told what was done", problems)
        .and_then(|field| url(field, problems));
    let events = match fields.optional("events") {
        None => Some(Vec::new()),
        Some(field) => {
            let members = field.filled_list(problems)?;
            if members.len() > EVENTS_MAX {
                field.refuse("has more than 64 entries: leave it out for all", problems);
                return None;
            }
            let events: Vec<_> = members
                .into_iter()
                .map(|member| {
                    member.parsed(
                        event,
                        "is no action: write one as the audit log has it, such as `key.create`, or what stands before its dot",
                        problems,
                    )
                })
                .collect();
            events.into_iter().collect()
        }
    };
    let key_set = match fields.optional("key_set") {
        Some(field) => Some(name(field, problems)?),
        None => None,
    };
    let enabled = match fields.optional("enabled") {
        Some(field) => field.boolean(problems),
        None => Some(true),
    };
    Some(Webhook {
        url: address?,
        events: events?,
        key_set,
        enabled: enabled?,
    })
}

fn event(text: &str) -> Option<Box<str>> {
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let fits = text.len() <= EVENT_MAX_BYTES
        && match text.split_once('.') {
            Some((subject, verb)) => word(subject) && word(verb),
            None => word(text),
        };
    fits.then(|| text.into())
}
