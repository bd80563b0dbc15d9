//! Reading `kind: issuer`.

use super::field::{Field, Fields};
use super::problem::Problems;
use super::read::name;
use crate::resource::authorization::ClaimPath;
use crate::resource::issuer::{Encrypted, Introspection, SELF};
use crate::resource::{Issuer, IssuerKeys};
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::path::PathBuf;
use std::time::Duration;

/// The keys beside those of every resource.
pub(super) const KEYS: &[&str] = &[
    "issuer",
    "jwks",
    "key_set",
    "secret",
    "introspection",
    "algorithms",
    "leeway",
    "types",
    "max_age",
    "scope_claim",
    "roles_from",
    "encrypted",
];

/// The keys under `jwks`.
const JWKS_KEYS: &[&str] = &["file", "url", "keys", "discover", "stale_for"];

/// An HMAC key is at least as long as the smallest hash it is used with (RFC 7518, section 3.2).
const SECRET_MIN_BYTES: usize = 32;

/// What a secret begins with when its bytes are written in base64.
const BASE64_PREFIX: &str = "base64:";

/// How far an issuer's clock may differ, unless said otherwise.
const LEEWAY: Duration = Duration::from_secs(30);

/// More leeway than this hides a broken clock rather than forgiving a slow one; token profiles take no more.
const LEEWAY_MAX: Duration = Duration::from_secs(300);

/// How long the last good keys are used while the issuer can't be reached, unless said otherwise.
const STALE_FOR: Duration = Duration::from_secs(24 * 3600);

/// How long an answer about a token counts, unless said otherwise.
const CACHE_FOR: Duration = Duration::from_secs(30);

/// And at most.
const CACHE_FOR_MAX: Duration = Duration::from_secs(300);
/// The most claims that say which roles a bearer has.
const ROLES_FROM_MAX: usize = 8;

/// Where OpenID Connect Discovery puts an issuer's metadata (section 4).
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Issuer> {
    refuse_self(fields, problems);
    let issuer = fields
        .required("issuer", "write the `iss` of its tokens", problems)
        .and_then(|field| field.text(problems));
    let keys = keys(fields, issuer, problems);
    let algorithms = fields
        .optional("algorithms")
        .map(|field| match field.filled_list(problems) {
            Some(_) => field.texts(problems),
            None => Vec::new(),
        });
    let leeway = match fields.optional("leeway") {
        Some(field) => field.duration(problems).filter(|leeway| {
            let small = *leeway <= LEEWAY_MAX;
            if !small {
                field.refuse(
                    "is more than 5m: a token's expiry would mean little",
                    problems,
                );
            }
            small
        }),
        None => Some(LEEWAY),
    };
    let max_age = match fields.optional("max_age") {
        Some(field) => Some(field.positive_duration(problems)?),
        None => None,
    };
    let scope_claim = match fields.optional("scope_claim") {
        Some(field) => field.text(problems),
        None => Some("scope"),
    };
    let roles_from = match fields.optional("roles_from") {
        Some(field) => roles_from(field, problems),
        None => Some(Vec::new()),
    };
    let encrypted = match fields.optional("encrypted") {
        Some(field) => field.one_of(
            &[("no", Encrypted::No), ("required", Encrypted::Required)],
            problems,
        ),
        None => Some(Encrypted::No),
    };
    Some(Issuer {
        issuer: issuer?.into(),
        keys: keys?,
        algorithms: algorithms.unwrap_or_default(),
        leeway: leeway?,
        types: fields
            .optional("types")
            .map(|field| field.texts(problems))
            .unwrap_or_default(),
        max_age,
        scope_claim: scope_claim?.into(),
        roles_from: roles_from?,
        encrypted: encrypted?,
    })
}

/// The name of this node's own issuer, and of its key set, is nobody else's.
pub(super) fn refuse_self(fields: &Fields<'_>, problems: &mut Problems) {
    if let Some(name) = fields.optional("name")
        && name.as_text() == Some(SELF)
    {
        name.refuse(
            "is the name of this node's own issuer: choose another",
            problems,
        );
    }
}

/// `roles_from`: one claim, or a list of them.
fn roles_from(field: Field<'_>, problems: &mut Problems) -> Option<Vec<ClaimPath>> {
    let named = match field.as_text() {
        Some(_) => vec![field],
        None => field.filled_list(problems)?,
    };
    if named.len() > ROLES_FROM_MAX {
        field.refuse("has more than 8 claims", problems);
        return None;
    }
    let paths: Vec<_> = named
        .into_iter()
        .map(|member| {
            member.parsed(
                ClaimPath::parse,
                "names no claim: write its name, with `.` for what is inside of objects, such as `realm_access.roles`",
                problems,
            )
        })
        .collect();
    paths.into_iter().collect()
}

fn keys(fields: &Fields<'_>, issuer: Option<&str>, problems: &mut Problems) -> Option<IssuerKeys> {
    if let Some(field) = fields.optional("introspection") {
        for key in [
            "jwks",
            "key_set",
            "secret",
            "algorithms",
            "encrypted",
            "types",
        ] {
            if let Some(other) = fields.optional(key) {
                problems.error(
                    other.place(),
                    "contradiction",
                    format!("`{key}` stands beside `introspection`: an issuer's tokens are verified here by its keys, or by asking it, not both"),
                );
                return None;
            }
        }
        return introspection(field, problems)
            .map(|asked| IssuerKeys::Introspection(Box::new(asked)));
    }
    if let Some(field) = fields.optional("key_set") {
        for key in ["jwks", "secret"] {
            if let Some(other) = fields.optional(key) {
                problems.error(
                    other.place(),
                    "contradiction",
                    format!(
                        "`{key}` stands beside `key_set`: an issuer's keys come from one place"
                    ),
                );
                return None;
            }
        }
        return name(field, problems).map(IssuerKeys::KeySet);
    }
    match (fields.optional("jwks"), fields.optional("secret")) {
        (Some(_), Some(secret)) => {
            problems.error(
                secret.place(),
                "contradiction",
                "`secret` stands beside `jwks`: an issuer signs with a shared secret or with keys of its own, not both",
            );
            None
        }
        (None, None) => {
            problems.error(
                fields.place(),
                "missing_key",
                "`jwks` is missing: say where the issuer's keys come from: `jwks: { file: … }`, `{ url: … }`, `{ discover: true }` or `{ keys: [ … ] }`, or `key_set: NAME` for one of your own, or `secret: ${ENV:NAME}` for HMAC, or `introspection: { url: … }` for tokens that it is asked about",
            );
            None
        }
        (None, Some(field)) => secret(field, problems).map(IssuerKeys::Secret),
        (Some(field), None) => jwks(field, issuer, problems),
    }
}

/// `introspection`: whom to ask, and as whom.
fn introspection(field: Field<'_>, problems: &mut Problems) -> Option<Introspection> {
    let fields = field.fields(
        &["url", "client_id", "client_secret", "cache_for"],
        problems,
    )?;
    let url = fields
        .required(
            "url",
            "where the issuer answers for its tokens (`introspection_endpoint` in its metadata)",
            problems,
        )
        .and_then(|field| url(field, problems));
    let client_id = fields
        .required(
            "client_id",
            "as whom this node asks: an issuer answers its clients alone",
            problems,
        )
        .and_then(|field| field.text(problems));
    let client_secret = fields.required(
        "client_secret",
        "write `client_secret: ${ENV:NAME}`",
        problems,
    )?;
    let secret = client_secret.secret(": write `client_secret: ${ENV:NAME}`", problems)?;
    let cache_for = match fields.optional("cache_for") {
        Some(field) => field.duration(problems).filter(|time| {
            let short = *time <= CACHE_FOR_MAX;
            if !short {
                field.refuse(
                    "is more than 5m: for so long a token that was taken back would go on working",
                    problems,
                );
            }
            short
        }),
        None => Some(CACHE_FOR),
    };
    Some(Introspection {
        url: url?,
        client_id: client_id?.into(),
        client_secret: Secret::new(secret.to_owned()),
        cache_for: cache_for?,
    })
}

/// The bytes of a shared secret: the text's own, or, behind `base64:`, those it encodes in base64 or
/// base64url.
fn secret(field: Field<'_>, problems: &mut Problems) -> Option<Secret<Vec<u8>>> {
    let text = field.secret(
        ": write `secret: ${ENV:NAME}` or `secret: ${FILE:path}`",
        problems,
    )?;
    let bytes = match text.strip_prefix(BASE64_PREFIX) {
        None => text.as_bytes().to_vec(),
        Some(encoded) => {
            let unpadded = encoded.trim_end_matches('=');
            let Ok(bytes) = URL_SAFE_NO_PAD
                .decode(unpadded)
                .or_else(|_| STANDARD.decode(encoded))
            else {
                problems.error(
                    field.place(),
                    "bad_value",
                    "`secret`: what stands behind `base64:` is neither base64 nor base64url",
                );
                return None;
            };
            bytes
        }
    };
    if bytes.len() < SECRET_MIN_BYTES {
        problems.error(
            field.place(),
            "weak_secret",
            format!(
                "`secret` has {} bytes: a shared secret has at least {SECRET_MIN_BYTES} (RFC 7518, section 3.2). Make one: `openssl rand -hex 32`",
                bytes.len()
            ),
        );
        return None;
    }
    Some(Secret::new(bytes))
}

fn jwks(field: Field<'_>, issuer: Option<&str>, problems: &mut Problems) -> Option<IssuerKeys> {
    let fields = field.fields(JWKS_KEYS, problems)?;
    let given: Vec<Field<'_>> = ["file", "url", "keys", "discover"]
        .iter()
        .filter_map(|key| fields.optional(key))
        .collect();
    let [source] = given.as_slice() else {
        problems.error(
            field.place(),
            "contradiction",
            "`jwks` has exactly one of `file`, `url`, `keys` and `discover`",
        );
        return None;
    };
    let remote = matches!(source.key(), "url" | "discover");
    let stale_for = match fields.optional("stale_for") {
        Some(field) if remote => field.duration(problems)?,
        Some(field) => {
            problems.error(
                field.place(),
                "contradiction",
                "`stale_for` says how long fetched keys outlive an issuer that is down: it goes with `url` or `discover` alone",
            );
            return None;
        }
        None => STALE_FOR,
    };
    match source.key() {
        "file" => source
            .text(problems)
            .map(|path| IssuerKeys::File(PathBuf::from(path))),
        "keys" => {
            source.filled_list(problems)?;
            let Some(keys) = source.node().to_json() else {
                source.refuse("has a number that JSON can't carry", problems);
                return None;
            };
            let set = serde_json::json!({ "keys": keys });
            Some(IssuerKeys::Inline(set.to_string().into()))
        }
        "url" => Some(IssuerKeys::Url {
            url: url(*source, problems)?,
            discover: false,
            stale_for,
        }),
        _ => Some(IssuerKeys::Url {
            url: metadata_url(*source, issuer, problems)?,
            discover: true,
            stale_for,
        }),
    }
}

/// The address of an issuer's metadata: as written, or, for `true`, where OpenID Connect Discovery
/// puts it.
fn metadata_url(
    field: Field<'_>,
    issuer: Option<&str>,
    problems: &mut Problems,
) -> Option<Box<str>> {
    if field.as_text().is_some() {
        return url(field, problems);
    }
    if !field.boolean(problems)? {
        field.refuse(
            "says nothing: write `discover: true`, the address of the metadata, or another form of `jwks`",
            problems,
        );
        return None;
    }
    let issuer = issuer?;
    if !is_url(issuer) {
        field.refuse(
            "needs an `issuer` that is an https:// address: write the address of its metadata instead of `true`",
            problems,
        );
        return None;
    }
    Some(format!("{}{DISCOVERY_PATH}", issuer.trim_end_matches('/')).into())
}

/// An absolute address, whose form alone is looked at.
pub(super) fn url(field: Field<'_>, problems: &mut Problems) -> Option<Box<str>> {
    field.parsed(
        |text| is_url(text).then(|| text.into()),
        "is no address: write https://host/path",
        problems,
    )
}

/// Whether this is an absolute `http:` or `https:` address with a host and without user, fragment or
/// characters that don't belong into one. The egress looks at it once more when it connects.
fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        !authority.is_empty()
            && !authority.contains('@')
            && !authority.starts_with(':')
            && rest.bytes().all(|b| {
                b.is_ascii_graphic()
                    && !matches!(
                        b,
                        b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
                    )
            })
    })
}
