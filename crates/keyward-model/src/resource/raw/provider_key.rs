//! Reading `credentials` of a provider: keys that are sent along, keys that sign, and accounts that get tokens.

use super::budgets::{self, Holder};
use super::field::{Field, Fields};
use super::problem::Problems;
use super::provider::{segment, weight};
use crate::resource::provider::{
    AwsKeys, AwsKeysOf, EntraClient, GoogleAccount, ProviderKey, ProviderSecret,
};
use crate::secret::Secret;

/// More keys than that are a sign that each belongs to somebody of their own.
const CREDENTIALS_MAX: usize = 64;
/// Longer than any provider's; a header has to hold it.
const KEY_MAX_BYTES: usize = 4096;
/// Some three kilobytes are what an account's JSON has, with a key of 4096 bits.
const ACCOUNT_MAX_BYTES: usize = 16 * 1024;
/// What a credential may be; each has one of them.
const WAYS: [&str; 4] = ["key", "aws", "google", "entra"];
/// These, and what stands beside them.
const MEMBERS: &[&str] = &[
    "key",
    "aws",
    "google",
    "entra",
    "weight",
    "rate_limits",
    "quotas",
];

pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<Vec<ProviderKey>> {
    // Whatever is wrong there: it may be a key in a place that is not for one.
    let members = field.quietly().filled_list(problems)?;
    if members.len() > CREDENTIALS_MAX {
        field.refuse("has more than 64 entries", problems);
        return None;
    }
    let mut keys: Vec<ProviderKey> = Vec::new();
    for member in members {
        let Some(credential) = credential(member, problems) else {
            continue;
        };
        if keys.iter().any(|known| known.secret == credential.secret) {
            problems.error(
                member.place(),
                "bad_value",
                "`credentials` has one key twice: give it a `weight` instead",
            );
            continue;
        }
        keys.push(credential);
    }
    Some(keys)
}

fn credential(field: Field<'_>, problems: &mut Problems) -> Option<ProviderKey> {
    let fields = field.fields(MEMBERS, problems)?;
    let weight = weight(&fields, problems);
    let budgets = budgets::read(&fields, Holder::Key, problems);
    let mut ways = WAYS.iter().filter_map(|way| fields.optional(way));
    let Some(way) = ways.next() else {
        fields.required("key", "write `key: ${ENV:NAME}`", problems);
        return None;
    };
    if let Some(other) = ways.next() {
        problems.error(
            other.place(),
            "contradiction",
            format!(
                "`{}` stands beside `{}`: each is a credential of its own, with a dash before it",
                other.key(),
                way.key()
            ),
        );
        return None;
    }
    let secret = match way.key() {
        "aws" => aws(way, problems).map(ProviderSecret::Aws),
        "google" => google(way, problems).map(ProviderSecret::Google),
        "entra" => entra(way, problems).map(ProviderSecret::Entra),
        // The only way that is left.
        _ => secret(way, KEY_MAX_BYTES, graphic, problems).map(ProviderSecret::Key),
    };
    Some(ProviderKey {
        secret: secret?,
        weight: weight?,
        budgets: budgets?,
    })
}

fn aws(field: Field<'_>, problems: &mut Problems) -> Option<AwsKeys> {
    const KEYS: &[&str] = &[
        "access_key_id",
        "secret_access_key",
        "session_token",
        "region",
        "machine",
    ];
    let fields = field.fields(KEYS, problems)?;
    let region = match fields.optional("region") {
        Some(field) => Some(field.parsed(
            |text| segment(text).then(|| Box::from(text)),
            "is no region: write it as `eu-central-1`",
            problems,
        )?),
        None => None,
    };
    const OWN: &[&str] = &["access_key_id", "secret_access_key", "session_token"];
    if machine(&fields, OWN, problems)? {
        let of = AwsKeysOf::Machine;
        return Some(AwsKeys { region, of });
    }
    let access_key_id = fields
        .required(
            "access_key_id",
            "write `access_key_id: ${ENV:AWS_ACCESS_KEY_ID}`, or `machine: true` for those of the machine",
            problems,
        )
        .and_then(|field| {
            field.parsed(
                |text| access_key_id(text).then(|| Box::from(text)),
                "is no id of a key: it has 16 to 128 letters and digits, such as `AKIAIOSFODNN7EXAMPLE`",
                problems,
            )
        });
    let secret_access_key = fields
        .required(
            "secret_access_key",
            "write `secret_access_key: ${ENV:AWS_SECRET_ACCESS_KEY}`",
            problems,
        )
        .and_then(|field| secret(field, KEY_MAX_BYTES, graphic, problems));
    let session_token = match fields.optional("session_token") {
        Some(field) => Some(secret(field, KEY_MAX_BYTES, graphic, problems)?),
        None => None,
    };
    Some(AwsKeys {
        region,
        of: AwsKeysOf::Given {
            access_key_id: access_key_id?,
            secret_access_key: secret_access_key?,
            session_token,
        },
    })
}

fn google(field: Field<'_>, problems: &mut Problems) -> Option<GoogleAccount> {
    let fields = field.fields(&["service_account", "machine"], problems)?;
    if machine(&fields, &["service_account"], problems)? {
        return Some(GoogleAccount::Machine);
    }
    let account = fields.required(
        "service_account",
        "write `service_account: ${FILE:key.json}`, or `machine: true` for that of the machine",
        problems,
    )?;
    let account = secret(account, ACCOUNT_MAX_BYTES, printed, problems)?;
    Some(GoogleAccount::Service(account))
}

fn entra(field: Field<'_>, problems: &mut Problems) -> Option<EntraClient> {
    const KEYS: &[&str] = &["tenant", "client_id", "client_secret", "authority", "scope"];
    let fields = field.fields(KEYS, problems)?;
    let mut id = |key: &str| {
        let field = fields.required(key, "copy it from the app's registration", problems)?;
        field.parsed(
            |text| segment(text).then(|| Box::from(text)),
            "is no id: it has letters, digits, `-` and `.`",
            problems,
        )
    };
    let (tenant, client_id) = (id("tenant"), id("client_id"));
    let client_secret = fields
        .required(
            "client_secret",
            "write `client_secret: ${ENV:NAME}`",
            problems,
        )
        .and_then(|field| secret(field, KEY_MAX_BYTES, graphic, problems));
    let authority = match fields.optional("authority") {
        Some(field) => Some(field.parsed(
            |text| authority(text).map(Box::from),
            "is no address without a path, such as `https://login.microsoftonline.us`",
            problems,
        )?),
        None => None,
    };
    let scope = match fields.optional("scope") {
        Some(field) => field.parsed(
            |text| (graphic(text) && text.len() <= KEY_MAX_BYTES).then(|| Box::from(text)),
            "is no scope, such as `https://cognitiveservices.azure.com/.default`",
            problems,
        ),
        None => Some(EntraClient::SCOPE.into()),
    };
    Some(EntraClient {
        tenant: tenant?,
        client_id: client_id?,
        client_secret: client_secret?,
        authority,
        scope: scope?,
    })
}

/// Whether the machine's own is meant, beside which nothing of one's own is said.
fn machine(fields: &Fields<'_>, others: &[&str], problems: &mut Problems) -> Option<bool> {
    let Some(field) = fields.optional("machine") else {
        return Some(false);
    };
    let is_machine = field.boolean(problems)?;
    for other in others {
        if let Some(other) = fields.optional(other).filter(|_| is_machine) {
            problems.error(
                other.place(),
                "contradiction",
                format!(
                    "`{}` stands beside `machine: true`, which is the machine's own: take one of them out",
                    other.key()
                ),
            );
            return None;
        }
    }
    Some(is_machine)
}

/// What was written may be a secret: it is not repeated.
fn secret(
    field: Field<'_>,
    most: usize,
    fits: fn(&str) -> bool,
    problems: &mut Problems,
) -> Option<Secret<String>> {
    let sound = |text: &&str| !text.is_empty() && text.len() <= most && fits(text);
    let Some(text) = field.as_text().filter(sound) else {
        problems.error(
            field.place(),
            "bad_value",
            format!(
                "`{key}` is no key: it has 1 to {most} printable characters of ASCII{}, such as `{key}: ${{ENV:NAME}}`",
                if fits("a b") { "" } else { " without spaces" },
                key = field.key(),
            ),
        );
        return None;
    };
    Some(Secret::new(text.to_owned()))
}

fn graphic(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn printed(text: &str) -> bool {
    let printed = |byte: u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    text.bytes().all(printed)
}

fn access_key_id(text: &str) -> bool {
    (16..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// An address without anything behind the host.
fn authority(text: &str) -> Option<&str> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))?;
    let host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
    (!rest.is_empty() && rest.len() <= 255 && rest.bytes().all(host)).then_some(text)
}
