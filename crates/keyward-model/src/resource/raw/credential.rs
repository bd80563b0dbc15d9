//! Reading `kind: credential`.

#[cfg(test)]
mod tests;

use super::api::scope_list;
use super::budgets::{self, Holder};
use super::field::{Field, Fields};
use super::form;
use super::problem::Problems;
use crate::api_key::ApiKey;
use crate::name::Name;
use crate::resource::Credential;
use crate::resource::credential::{CredentialProof, KeyMaterial, KeyedHash, PasswordMaterial};
use crate::secret::Secret;
use std::collections::BTreeSet;

/// The keys beside those of every resource.
pub(super) const KEYS: &[&str] = &[
    "api_key",
    "username",
    "password",
    "subject",
    "scopes",
    "roles",
    "expires",
    "enabled",
    "rate_limits",
    "quotas",
];

/// A machine's password is random: with letters and digits alone, 22 of them are 128 bits.
const PASSWORD_MIN: usize = 22;
/// It comes in a header.
const PASSWORD_MAX: usize = 512;
/// The longest name.
const NAME_MAX: usize = 256;

/// What argon2id may cost at most: a check is made of whatever a caller sends.
const ARGON2_MEMORY_MAX_KIB: u32 = 64 * 1024;
const ARGON2_TIME_MAX: u32 = 10;
const ARGON2_LANES_MAX: u32 = 4;

pub(super) fn read(
    fields: &Fields<'_>,
    name: Option<&Name>,
    problems: &mut Problems,
) -> Option<Credential> {
    let proof = proof(fields, name, problems);
    let subject = match fields.optional("subject") {
        Some(field) => text(field, problems),
        None => name.map(|name| name.as_str().into()),
    };
    let scopes = match fields.optional("scopes") {
        Some(field) => scope_list(field, problems),
        None => Some(BTreeSet::new()),
    };
    let roles = fields
        .optional("roles")
        .map(|field| field.texts(problems))
        .unwrap_or_default();
    let expires = match fields.optional("expires") {
        Some(field) => Some(field.parsed(
            form::timestamp,
            "is no point in time: write it with its offset, such as 2027-06-30T00:00:00Z",
            problems,
        )?),
        None => None,
    };
    let enabled = match fields.optional("enabled") {
        Some(field) => field.boolean(problems),
        None => Some(true),
    };
    let budgets = budgets::read(fields, Holder::Key, problems);
    Some(Credential {
        proof: proof?,
        subject: subject?,
        scopes: scopes?,
        roles: roles.into_iter().map(String::from).collect(),
        expires,
        enabled: enabled?,
        budgets: budgets?,
    })
}

fn text(field: Field<'_>, problems: &mut Problems) -> Option<Box<str>> {
    field.parsed(
        |text| {
            let plain = text.len() <= NAME_MAX && !text.chars().any(char::is_control);
            plain.then(|| text.into())
        },
        "is no name: it has 256 bytes at most and no control characters",
        problems,
    )
}

fn proof(
    fields: &Fields<'_>,
    name: Option<&Name>,
    problems: &mut Problems,
) -> Option<CredentialProof> {
    let username = fields.optional("username");
    match (fields.optional("api_key"), fields.optional("password")) {
        (Some(_), Some(other)) => {
            problems.error(
                other.place(),
                "contradiction",
                "`password` stands beside `api_key`: a credential is one or the other; two of them may have one `subject`",
            );
            None
        }
        (None, None) => {
            problems.error(
                fields.place(),
                "missing_key",
                "`api_key` is missing: write `api_key: ${ENV:NAME}` (`keyward credential generate` makes a key), or `password: ${ENV:NAME}` for HTTP basic",
            );
            None
        }
        (Some(key), None) => {
            if let Some(username) = username {
                problems.error(
                    username.place(),
                    "contradiction",
                    "`username` goes with `password`: an API key needs no name beside it (who calls with it is its `subject`)",
                );
                return None;
            }
            api_key(key, problems).map(CredentialProof::ApiKey)
        }
        (None, Some(field)) => {
            let username = match username {
                Some(field) => {
                    let read = text(field, problems)?;
                    if read.contains(':') {
                        field.refuse(
                            "has a colon, with which a name ends (RFC 7617, section 2)",
                            problems,
                        );
                        return None;
                    }
                    read
                }
                None => name?.as_str().into(),
            };
            let password = password(field, problems)?;
            Some(CredentialProof::Password { username, password })
        }
    }
}

fn bad(field: Field<'_>, why: &str, problems: &mut Problems) {
    problems.error(
        field.place(),
        "bad_value",
        format!("`{}`: {why}", field.key()),
    );
}

fn keyed_hash(field: Field<'_>, problems: &mut Problems) -> Option<KeyedHash> {
    let text = field.text(problems)?;
    match text.parse() {
        Ok(hash) => Some(hash),
        Err(error) => {
            bad(field, &format!("{error}"), problems);
            None
        }
    }
}

fn api_key(field: Field<'_>, problems: &mut Problems) -> Option<KeyMaterial> {
    if field.is_map() {
        let fields = field.fields(&["hash"], problems)?;
        let hash = fields.required("hash", "as `keyward credential hash` prints it", problems)?;
        return keyed_hash(hash, problems).map(KeyMaterial::Hashed);
    }
    let text = field.secret(", or `{ hash: kh1.… }`", problems)?;
    match ApiKey::parse(text) {
        Ok(key) => Some(KeyMaterial::Clear(key)),
        Err(error) => {
            let why =
                format!("this is no API key: {error}. Make one: `keyward credential generate`");
            bad(field, &why, problems);
            None
        }
    }
}

fn password(field: Field<'_>, problems: &mut Problems) -> Option<PasswordMaterial> {
    if field.is_map() {
        let fields = field.fields(&["hash", "argon2"], problems)?;
        return match (fields.optional("hash"), fields.optional("argon2")) {
            (Some(hash), None) => keyed_hash(hash, problems).map(PasswordMaterial::Hashed),
            (None, Some(field)) => argon2(field, problems).map(PasswordMaterial::Argon2),
            (Some(_), Some(_)) | (None, None) => {
                bad(
                    field,
                    "it has exactly one of `hash` (of a password that a machine made) and `argon2` (of one that somebody made up)",
                    problems,
                );
                None
            }
        };
    }
    let text = field.secret(
        ", or `{ hash: kh1.… }`, or `{ argon2: $argon2id$… }`",
        problems,
    )?;
    if text.starts_with("$argon2") {
        bad(
            field,
            "this is a hash of argon2: write `{ argon2: … }`, since as it stands it would be the password itself",
            problems,
        );
        return None;
    }
    if text.len() < PASSWORD_MIN {
        problems.error(
            field.place(),
            "weak_secret",
            format!(
                "`password` has {} bytes: one that a machine made has at least {PASSWORD_MIN}. Make one: `openssl rand -hex 32`; of one that somebody made up write `{{ argon2: $argon2id$… }}`, as `keyward credential hash --argon2` prints it",
                text.len()
            ),
        );
        return None;
    }
    if text.len() > PASSWORD_MAX || text.chars().any(char::is_control) {
        bad(
            field,
            "it has more than 512 bytes, or a control character: no client could send it (RFC 7617, section 2)",
            problems,
        );
        return None;
    }
    Some(PasswordMaterial::Clear(Secret::new(text.to_owned())))
}

/// A PHC string of argon2id whose cost is bounded.
fn argon2(field: Field<'_>, problems: &mut Problems) -> Option<Box<str>> {
    let text = field.secret(", or `$argon2id$…`", problems)?;
    let mut parts = text.split('$');
    let form = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    );
    let (Some(""), Some("argon2id"), Some("v=19"), Some(costs), Some(_), Some(_), None) = form
    else {
        bad(
            field,
            "this is no hash of argon2id: it begins with `$argon2id$v=19$m=…`; `keyward credential hash --argon2` makes one",
            problems,
        );
        return None;
    };
    for cost in costs.split(',') {
        let number = |text: &str| text.parse::<u32>().ok();
        let within = match cost.split_once('=') {
            Some(("m", memory)) => number(memory).is_some_and(|m| m <= ARGON2_MEMORY_MAX_KIB),
            Some(("t", time)) => number(time).is_some_and(|t| t <= ARGON2_TIME_MAX),
            Some(("p", lanes)) => number(lanes).is_some_and(|p| p <= ARGON2_LANES_MAX),
            Some(_) | None => false,
        };
        if !within {
            bad(
                field,
                &format!(
                    "a check would cost too much, since whoever calls makes us do it: m={ARGON2_MEMORY_MAX_KIB} (64 MiB), t={ARGON2_TIME_MAX} and p={ARGON2_LANES_MAX} are the most"
                ),
                problems,
            );
            return None;
        }
    }
    Some(text.into())
}
