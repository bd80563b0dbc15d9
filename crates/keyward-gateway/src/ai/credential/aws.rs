//! Keys of AWS for this machine: from its environment, for its web identity, from its container, or from its instance,
//! whichever is there first, in the order of AWS's own libraries.

use super::grant::{Fetched, Granted, USUAL_LIFE};
use super::machine::{self, MachineEnvironment, read_file};
use super::signature::SigningKeys;
use super::way_out::{WayOut, ask, post_form, read};
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use keyward_egress::Request;
use keyward_model::{Secret, Timestamp};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The container's own service.
const CONTAINER: &str = "http://169.254.170.2";
/// The instance's own service.
const INSTANCE: &str = "http://169.254.169.254";
/// How long a token of the instance's service lasts, in seconds: one is got for each look.
const LOOK_SECONDS: &str = "300";
/// Keys of the environment do not end that we know of; they are looked at again all the same.
const OF_ENVIRONMENT: Duration = USUAL_LIFE;

/// Keys, as the services of container and instance tell them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    access_key_id: String,
    secret_access_key: String,
    /// As the container and the instance call it.
    token: Option<String>,
    /// As STS calls it.
    session_token: Option<String>,
    /// A time in a text; of STS, seconds.
    expiration: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Assumed {
    assume_role_with_web_identity_response: AssumedResponse,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedResponse {
    assume_role_with_web_identity_result: AssumedResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedResult {
    credentials: Told,
}

pub(super) async fn of_machine(region: &str, way_out: &WayOut) -> Result<Fetched, String> {
    let environment = &*way_out.environment;
    if let (Some(id), Some(secret)) = (
        environment.get(machine::AWS_ID),
        environment.get(machine::AWS_SECRET),
    ) {
        let session = environment.get(machine::AWS_SESSION);
        return Ok(Fetched {
            granted: Granted::Keys(Arc::new(SigningKeys {
                id: id.into(),
                secret: Secret::new(secret.to_owned()),
                session: session.map(|session| Secret::new(session.to_owned())),
            })),
            lasts: OF_ENVIRONMENT,
        });
    }
    if let (Some(file), Some(role)) = (
        environment.get(machine::AWS_TOKEN_FILE),
        environment.get(machine::AWS_ROLE),
    ) {
        return of_identity(region, file, role, way_out).await;
    }
    let path = environment.get(machine::AWS_CONTAINER_PATH);
    let url = path.map(|path| format!("{CONTAINER}{path}"));
    let url = url.or_else(|| {
        environment
            .get(machine::AWS_CONTAINER_URL)
            .map(str::to_owned)
    });
    if let Some(url) = url {
        return of_container(&url, way_out).await;
    }
    if environment
        .get(machine::AWS_METADATA_OFF)
        .is_some_and(|off| off.eq_ignore_ascii_case("true"))
    {
        return Err(
            "the environment has no keys of AWS, and AWS_EC2_METADATA_DISABLED forbids to ask the instance"
                .to_owned(),
        );
    }
    of_instance(environment, way_out).await
}

/// By a token of the cluster that this runs in, which AWS takes for a role's keys.
async fn of_identity(
    region: &str,
    file: &str,
    role: &str,
    way_out: &WayOut,
) -> Result<Fetched, String> {
    let token = read_file(file).await?;
    let environment = &*way_out.environment;
    let own = format!("https://sts.{region}.amazonaws.com");
    let url = environment.get(machine::AWS_STS).unwrap_or(&own);
    let session = environment
        .get(machine::AWS_ROLE_SESSION)
        .unwrap_or("keyward");
    let form = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", session),
        ("WebIdentityToken", token.reveal()),
    ];
    let body = post_form(
        &way_out.machine,
        &format!("{}/", url.trim_end_matches('/')),
        &form,
    )
    .await?;
    let assumed: Assumed = read("STS", &body)?;
    let result = assumed.assume_role_with_web_identity_response;
    keys(
        result.assume_role_with_web_identity_result.credentials,
        way_out,
    )
}

async fn of_container(url: &str, way_out: &WayOut) -> Result<Fetched, String> {
    let environment = &*way_out.environment;
    let mut request = Request::get(url).map_err(|error| error.to_string())?;
    let token = match environment.get(machine::AWS_CONTAINER_TOKEN_FILE) {
        Some(file) => Some(read_file(file).await?),
        None => environment
            .get(machine::AWS_CONTAINER_TOKEN)
            .map(|token| Secret::new(token.to_owned())),
    };
    if let Some(token) = token {
        request = request
            .header(AUTHORIZATION, value(token.reveal())?)
            .map_err(|error| error.to_string())?;
    }
    let body = ask(&way_out.machine, request).await?;
    keys(read("the container's service", &body)?, way_out)
}

/// By the second version of the instance's service alone: the first one answers whoever can make this machine ask.
async fn of_instance(
    environment: &MachineEnvironment,
    way_out: &WayOut,
) -> Result<Fetched, String> {
    let base = environment.get(machine::AWS_METADATA).unwrap_or(INSTANCE);
    let base = base.trim_end_matches('/');
    let text = |body: Secret<Vec<u8>>| {
        let text = String::from_utf8(body.reveal().clone());
        text.map(|text| text.trim().to_owned())
            .map_err(|_| "the instance's service answered no text".to_owned())
    };
    let request = Request::get(&format!("{base}/latest/api/token"))
        .map_err(|error| error.to_string())?
        .put()
        .header(
            HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds"),
            HeaderValue::from_static(LOOK_SECONDS),
        )
        .map_err(|error| error.to_string())?;
    let token = Secret::new(text(ask(&way_out.machine, request).await?)?);
    let roles = format!("{base}/latest/meta-data/iam/security-credentials/");
    let get = |url: String| {
        let request = Request::get(&url).map_err(|error| error.to_string())?;
        request
            .header(
                HeaderName::from_static("x-aws-ec2-metadata-token"),
                value(token.reveal())?,
            )
            .map_err(|error| error.to_string())
    };
    let listed = text(ask(&way_out.machine, get(roles.clone())?).await?)?;
    let role = listed.lines().next().unwrap_or_default();
    if role.is_empty() {
        return Err("the instance has no role".to_owned());
    }
    let body = ask(&way_out.machine, get(format!("{roles}{role}"))?).await?;
    keys(read("the instance's service", &body)?, way_out)
}

fn keys(told: Told, way_out: &WayOut) -> Result<Fetched, String> {
    let until = match &told.expiration {
        serde_json::Value::String(text) => at(text),
        serde_json::Value::Number(seconds) => {
            // Whole seconds are what matters.
            let seconds = seconds.as_i64().or_else(|| {
                let text = seconds.to_string();
                text.split(['.', 'e', 'E']).next()?.parse().ok()
            });
            seconds.map(Timestamp::from_seconds)
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Array(_)
        | serde_json::Value::Object(_) => None,
    };
    let until = until.ok_or("the keys that came do not say when they end")?;
    let session = told.token.or(told.session_token);
    Ok(Fetched {
        granted: Granted::Keys(Arc::new(SigningKeys {
            id: told.access_key_id.into(),
            secret: Secret::new(told.secret_access_key),
            session: session.map(Secret::new),
        })),
        lasts: until.since(way_out.clock.now()),
    })
}

/// Such as `2026-11-22T12:00:00Z`.
fn at(text: &str) -> Option<Timestamp> {
    let read = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(Timestamp::from_seconds(read.unix_timestamp()))
}

fn value(secret: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(secret).map_err(|_| "a token can't stand in a header")?;
    value.set_sensitive(true);
    Ok(value)
}
