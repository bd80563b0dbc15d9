//! Reading `cors`.

use super::super::api::is_token;
use super::super::field::{Field, Fields};
use super::super::problem::Problems;
use super::{is_off, too_many};
use crate::resource::policy::{AllowedOrigins, Cors, HeaderNames};
use std::sync::Arc;
use std::time::Duration;

/// The most origins: each is compared with at each call of a page.
const ORIGINS_MAX: usize = 256;
/// The most names of headers or methods.
const NAMES_MAX: usize = 64;
/// Browsers keep an answer for a day at most.
const MAX_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Long enough that a page's calls share one preflight, short enough that a change is felt soon.
const MAX_AGE: Duration = Duration::from_secs(600);
/// What pages of an API send: who calls, and what the body is.
const HEADERS: &[&str] = &["authorization", "content-type"];
/// What this gateway tells callers in headers.
const EXPOSED: &[&str] = &["ratelimit", "ratelimit-policy", "request-id", "retry-after"];

const KEYS: &[&str] = &[
    "origins",
    "methods",
    "headers",
    "expose",
    "credentials",
    "max_age",
    "private_network",
    "other_origins",
];

/// The inner `None`: it is off.
pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<Option<Arc<Cors>>> {
    if is_off(field) {
        return Some(None);
    }
    let fields = field.fields(KEYS, problems)?;
    let credentials = boolean(&fields, "credentials", problems)?;
    let private_network = boolean(&fields, "private_network", problems)?;
    let origins = fields
        .required(
            "origins",
            "say whose pages may read answers, such as [https://app.example], or [\"*\"]",
            problems,
        )
        .and_then(|field| origins(field, credentials, problems));
    let methods = match fields.optional("methods") {
        Some(field) => methods(field, problems).map(Some),
        None => Some(None),
    };
    let headers = names(&fields, "headers", HEADERS, credentials, problems);
    let expose = names(&fields, "expose", EXPOSED, credentials, problems);
    let max_age = match fields.optional("max_age") {
        Some(field) => {
            let age = field.duration(problems)?;
            if age > MAX_AGE_MAX {
                field.refuse(
                    "is longer than 24h, which is the longest that a browser keeps it",
                    problems,
                );
                return None;
            }
            Some(age)
        }
        None => Some(MAX_AGE),
    };
    let refuse_others = match fields.optional("other_origins") {
        Some(field) => field.one_of(&[("pass", false), ("refuse", true)], problems)?,
        None => false,
    };
    let origins = origins?;
    if refuse_others && origins == AllowedOrigins::Any {
        problems.error(
            field.place(),
            "contradiction",
            "`other_origins: refuse` refuses nobody where `origins` has `*`: list the origins, or take it out",
        );
        return None;
    }
    Some(Some(Arc::new(Cors {
        origins,
        methods: methods?,
        headers: headers?,
        expose: expose?,
        credentials,
        max_age: max_age?,
        private_network,
        refuse_others,
    })))
}

fn boolean(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<bool> {
    match fields.optional(key) {
        Some(field) => field.boolean(problems),
        None => Some(false),
    }
}

fn origins(field: Field<'_>, credentials: bool, problems: &mut Problems) -> Option<AllowedOrigins> {
    let members = field.filled_list(problems)?;
    if too_many(field, members.len(), ORIGINS_MAX, problems) {
        return None;
    }
    let (mut exact, mut below, mut null) = (Vec::new(), Vec::new(), false);
    for member in &members {
        let text = member.text(problems)?;
        match text {
            "*" if credentials => {
                member.refuse(
                    "would give every page the answers of whoever looks at it: with `credentials: true`, list the origins",
                    problems,
                );
                return None;
            }
            "*" if members.len() > 1 => {
                member.refuse("is everybody: the other origins say nothing", problems);
                return None;
            }
            "*" => return Some(AllowedOrigins::Any),
            "null" if credentials => {
                member.refuse(
                    "is the origin of any page in a sandbox, which anybody can make: it can't be let in with `credentials: true`",
                    problems,
                );
                return None;
            }
            "null" => null = true,
            text if text.contains('*') => match text.parse() {
                Ok(pattern) if below.contains(&pattern) => twice(*member, problems)?,
                Ok(pattern) => below.push(pattern),
                Err(why) => {
                    let why: crate::resource::policy::NoOriginPattern = why;
                    member.refuse(&why.to_string(), problems);
                }
            },
            text => match text.parse() {
                Ok(origin) if exact.contains(&origin) => twice(*member, problems)?,
                Ok(origin) => exact.push(origin),
                Err(why) => {
                    let why: crate::resource::websocket::NoWebOrigin = why;
                    member.refuse(&why.to_string(), problems);
                }
            },
        }
    }
    Some(AllowedOrigins::Listed { exact, below, null })
}

fn twice(member: Field<'_>, problems: &mut Problems) -> Option<()> {
    member.refuse("stands in the list twice", problems);
    None
}

fn methods(field: Field<'_>, problems: &mut Problems) -> Option<Vec<Box<str>>> {
    let members = field.filled_list(problems)?;
    if too_many(field, members.len(), NAMES_MAX, problems) {
        return None;
    }
    let mut methods: Vec<Box<str>> = Vec::new();
    for member in members {
        let text = member.text(problems)?;
        if !is_token(text) || text != text.to_ascii_uppercase() {
            member.refuse(
                "is no method: write it in capital letters, such as GET or PATCH",
                problems,
            );
        } else if methods.iter().any(|known| **known == *text) {
            member.refuse("stands in the list twice", problems);
        } else {
            methods.push(text.into());
        }
    }
    Some(methods)
}

fn names(
    fields: &Fields<'_>,
    key: &str,
    usual: &[&str],
    credentials: bool,
    problems: &mut Problems,
) -> Option<HeaderNames> {
    let Some(field) = fields.optional(key) else {
        return Some(HeaderNames::Listed(
            usual.iter().copied().map(Into::into).collect(),
        ));
    };
    let members = field.list(problems)?;
    if too_many(field, members.len(), NAMES_MAX, problems) {
        return None;
    }
    let mut names: Vec<Box<str>> = Vec::new();
    for member in &members {
        let text = member.text(problems)?;
        let name = text.to_ascii_lowercase();
        if text == "*" {
            let refusal = if credentials {
                "can't stand beside `credentials: true` (Fetch standard): list the names"
            } else if members.len() > 1 {
                "is every header: the other names say nothing"
            } else {
                return Some(HeaderNames::Any);
            };
            member.refuse(refusal, problems);
            return None;
        }
        if !is_token(&name) {
            member.refuse("is no header name", problems);
        } else if names.iter().any(|known| **known == *name) {
            member.refuse("stands in the list twice", problems);
        } else {
            names.push(name.into());
        }
    }
    Some(HeaderNames::Listed(names))
}
