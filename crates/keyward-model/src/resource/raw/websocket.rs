//! Reading `websocket` of an API or a route.

use super::Value;
use super::field::Field;
use super::problem::Problems;
use crate::resource::{WebOrigin, WebSocket};

/// The most origins of one list: each is compared with at each handshake of a page.
const ORIGINS_MAX: usize = 64;

/// `true`, `false` or a mapping. The outer `None`: it can't be used.
pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<Option<WebSocket>> {
    if let Value::Boolean(allowed) = field.node().value {
        return Some(allowed.then(WebSocket::default));
    }
    let default = WebSocket::default();
    let fields = field.fields(&["origins", "idle_timeout", "outlives_token"], problems)?;
    let origins = match fields.optional("origins") {
        Some(field) => origins(field, problems)?,
        None => default.origins,
    };
    let idle_timeout = match fields.optional("idle_timeout") {
        Some(field) => field.positive_duration(problems),
        None => Some(default.idle_timeout),
    };
    let outlives_token = match fields.optional("outlives_token") {
        Some(field) => field.boolean(problems),
        None => Some(default.outlives_token),
    };
    Some(Some(WebSocket {
        origins,
        idle_timeout: idle_timeout?,
        outlives_token: outlives_token?,
    }))
}

fn origins(field: Field<'_>, problems: &mut Problems) -> Option<Vec<WebOrigin>> {
    let members = field.filled_list(problems)?;
    if members.len() > ORIGINS_MAX {
        problems.error(
            field.place(),
            "too_many",
            format!(
                "`origins` has {} entries: {ORIGINS_MAX} are the most",
                members.len()
            ),
        );
        return None;
    }
    let mut origins = Vec::with_capacity(members.len());
    for member in members {
        match member.text(problems)?.parse::<WebOrigin>() {
            Ok(origin) if origins.contains(&origin) => {
                member.refuse("stands in the list twice", problems);
            }
            Ok(origin) => origins.push(origin),
            Err(why) => member.refuse(&why.to_string(), problems),
        }
    }
    Some(origins)
}
