//! The keys of an issuer, found through its metadata.

use crate::command::Failure;
use keyward_egress::{AllowRule, Egress, Limits, Policy, Request, Url};
use keyward_jose::JwkSet;
use serde_json::{Map, Value};

const WHAT: &str = "issuer";

/// The set at the `jwks_uri` of the issuer's metadata. `allow` names networks that are not public.
pub(super) fn key_set(issuer: &str, allow: &[AllowRule]) -> Result<JwkSet, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(WHAT, error.to_string(), "runtime"))?;
    runtime.block_on(fetch(issuer, allow))
}

async fn fetch(issuer: &str, allow: &[AllowRule]) -> Result<JwkSet, Failure> {
    let policy = Policy {
        allow: allow.to_vec(),
        ..Policy::default()
    };
    let egress = Egress::new(policy).map_err(unreachable)?;
    let metadata = metadata(&egress, issuer).await?;
    let Some(Value::String(address)) = metadata.get("jwks_uri") else {
        return Err(Failure::new(
            WHAT,
            format!("the metadata of {issuer} names no `jwks_uri`"),
            "metadata",
        ));
    };
    let body = get(&egress, address).await?.ok_or_else(|| {
        Failure::new(
            WHAT,
            format!("there are no keys at {address}"),
            "key_unknown",
        )
    })?;
    JwkSet::parse_public(&body).map_err(Failure::jose(address.clone()))
}

/// The metadata, where one of the two standards puts it. It has to name the issuer that was asked for: else
/// one could speak for another (RFC 8414, section 3.3).
async fn metadata(egress: &Egress, issuer: &str) -> Result<Map<String, Value>, Failure> {
    for address in addresses(issuer)? {
        let Some(body) = get(egress, &address).await? else {
            continue;
        };
        let metadata: Map<String, Value> = serde_json::from_slice(&body).map_err(|error| {
            Failure::new(
                WHAT,
                format!("{address} is no metadata: {error}"),
                "metadata",
            )
        })?;
        if metadata.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(Failure::new(
                WHAT,
                format!(
                    "the metadata at {address} is not that of {issuer}: its `issuer` is another"
                ),
                "issuer_mismatch",
            ));
        }
        return Ok(metadata);
    }
    Err(Failure::new(
        WHAT,
        format!("{issuer} has no metadata (OpenID Connect Discovery or RFC 8414)"),
        "metadata",
    ))
}

/// Behind the issuer's path (OpenID Connect Discovery 1.0, section 4), and between its host and its path
/// (RFC 8414, section 3.1).
fn addresses(issuer: &str) -> Result<[String; 2], Failure> {
    let url = Url::parse(issuer).map_err(unreachable)?;
    let plain = issuer.trim_end_matches('/');
    let path = url.path_and_query();
    let path = path
        .split('?')
        .next()
        .unwrap_or_default()
        .trim_end_matches('/');
    let root = plain.strip_suffix(path).unwrap_or(plain);
    Ok([
        format!("{plain}/.well-known/openid-configuration"),
        format!("{root}/.well-known/oauth-authorization-server{path}"),
    ])
}

/// What is there; `None` when nothing is.
async fn get(egress: &Egress, address: &str) -> Result<Option<bytes::Bytes>, Failure> {
    let request = Request::get(address)
        .map_err(unreachable)?
        .accept("application/json");
    let response = egress
        .fetch(request, Limits::DOCUMENT)
        .await
        .map_err(unreachable)?;
    match response.status {
        200 => Ok(Some(response.body)),
        404 | 410 => Ok(None),
        status => Err(Failure::new(
            WHAT,
            format!("{address} answered with status {status}"),
            "issuer_unavailable",
        )),
    }
}

fn unreachable(error: keyward_egress::Error) -> Failure {
    Failure::new(WHAT, error.to_string(), "issuer_unavailable")
}
