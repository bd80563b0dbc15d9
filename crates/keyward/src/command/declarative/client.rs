//! Asking the management API.

use super::token_of;
use crate::command::Failure;
use crate::command::input::Input;
use crate::environment;
use bytes::Bytes;
use clap::Args;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use keyward_egress::{AllowRule, Egress, Limits, Policy, Request, Response};
use serde_json::Value;
use std::time::Duration;

const WHAT: &str = "server";

/// Where the site is, when nobody says otherwise.
const SERVER: &str = "http://localhost:8090";

/// A change of ten thousand APIs is checked as a whole before it is answered.
const LIMITS: Limits = Limits {
    max_bytes: 256 << 20,
    total: Duration::from_secs(120),
    connect: Duration::from_secs(5),
    max_redirects: 0,
};

/// The management API, and who asks it.
#[derive(Args, Debug)]
pub(super) struct Server {
    /// The site's address. Without this option KEYWARD_SERVER names it; without that it is http://localhost:8090
    #[arg(long, value_name = "URL")]
    server: Option<String>,

    /// A file with the token; `-` is standard input. Without this option KEYWARD_TOKEN holds the token
    #[arg(long, value_name = "FILE")]
    token: Option<Input>,
}

impl Server {
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let named = self.server.clone();
        let named = named.or_else(|| environment::variable(environment::SERVER));
        let url = named.unwrap_or_else(|| SERVER.to_owned());
        let token = token_of(self.token.as_ref())?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut bearer = bearer.map_err(|_| Failure::new("token", "it is no token", "token"))?;
        bearer.set_sensitive(true);
        // An address that whoever calls has named: whatever it is, it may be asked.
        let everywhere: Option<Vec<AllowRule>> = ["0.0.0.0/0", "::/0"]
            .iter()
            .map(|network| network.parse().ok())
            .collect();
        let policy = Policy {
            allow: everywhere.unwrap_or_default(),
            ..Policy::default()
        };
        Ok(Client {
            egress: Egress::new(policy).map_err(unreachable)?,
            base: format!("{}/api/v1", url.trim_end_matches('/')),
            bearer,
        })
    }
}

/// Somebody who may ask.
#[derive(Debug)]
pub(super) struct Client {
    egress: Egress,
    base: String,
    bearer: HeaderValue,
}

impl Client {
    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        let request = Request::get(&format!("{}{path}", self.base)).map_err(unreachable)?;
        self.ask(request, None)
    }

    pub(super) fn post(
        &self,
        path: &str,
        body: &Value,
        reason: Option<&str>,
    ) -> Result<Value, Failure> {
        let request = Request::get(&format!("{}{path}", self.base)).map_err(unreachable)?;
        let body = Bytes::from(body.to_string());
        self.ask(request.post("application/json", body), reason)
    }

    fn ask(&self, request: Request, reason: Option<&str>) -> Result<Value, Failure> {
        let mut request = request
            .accept("application/json")
            .header(AUTHORIZATION, self.bearer.clone())
            .map_err(unreachable)?;
        if let Some(reason) = reason {
            let value = HeaderValue::from_str(reason).map_err(|_| {
                Failure::usage("--reason", "it has printable ASCII alone, in one line")
            })?;
            request = request
                .header(HeaderName::from_static("change-reason"), value)
                .map_err(unreachable)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(WHAT, error.to_string(), "runtime"))?;
        let answer = runtime.block_on(self.egress.fetch(request, LIMITS));
        answered(&answer.map_err(unreachable)?)
    }
}

fn answered(response: &Response) -> Result<Value, Failure> {
    let body: Value = serde_json::from_slice(&response.body).map_err(|_| {
        Failure::new(
            response.url.to_string(),
            format!(
                "it answered with status {} and no JSON: is this the site of a Keyward?",
                response.status
            ),
            "server_answer",
        )
    })?;
    if (200..300).contains(&response.status) {
        return Ok(body);
    }
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let errors = body.get("errors").and_then(Value::as_array);
    let errors: Vec<String> = errors
        .into_iter()
        .flatten()
        .filter_map(|error| {
            let member = error.get("member")?.as_str()?;
            Some(format!("{member}: {}", error.get("detail")?.as_str()?))
        })
        .collect();
    let why = if errors.is_empty() {
        text("detail").unwrap_or("it refused").to_owned()
    } else {
        errors.join("; ")
    };
    let code = text("code").unwrap_or("refused");
    Err(Failure::new(
        "management API",
        format!("{why} ({code}, status {})", response.status),
        "refused",
    ))
}

fn unreachable(error: keyward_egress::Error) -> Failure {
    Failure::new(WHAT, error.to_string(), "server_unreachable")
}
