//! `keyward prompts preview`: what a prompt becomes with some variables, and what its model answers.

use super::documents;
use crate::command::input::Input;
use crate::command::{Failure, terminal};
use bytes::Bytes;
use clap::{Args, Subcommand};
use http::HeaderValue;
use http::header::AUTHORIZATION;
use keyward_egress::{AllowRule, Egress, Limits, Policy, Request, Response};
use keyward_gateway::preview_prompt;
use keyward_model::Origin;
use keyward_model::resource::Resource;
use keyward_model::resource::raw::{Node, Problems, read_resource};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Variables may have pictures in them.
const VARIABLES_MAX: usize = 32 << 20;
const KEY_MAX: usize = 16 << 10;

/// A model that reasons says nothing for minutes.
const LIMITS: Limits = Limits {
    max_bytes: 32 << 20,
    total: Duration::from_secs(600),
    connect: Duration::from_secs(5),
    max_redirects: 0,
};

/// Prompts, before they are published
#[derive(Debug, Subcommand)]
pub(in crate::command) enum Prompts {
    Preview(Preview),
}

impl Prompts {
    pub(in crate::command) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Preview(command) => command.run(),
        }
    }
}

/// Show what a prompt tells its model with some variables, and what that answers
///
/// The prompt is read from a file as `keyward apply` takes it, whatever its state, and is stored nowhere. Without
/// `--gateway` nothing is called. With it the prompt's model is really asked, by a gateway that serves it to you, and
/// what that costs is counted there as your call of the model.
#[derive(Args, Debug)]
pub(in crate::command) struct Preview {
    /// A file of resources with the prompt; `-` is standard input
    #[arg(short = 'f', long, value_name = "PATH")]
    file: Input,

    /// Which, as NAME or NAME:VERSION, where the file has several
    #[arg(long, value_name = "PROMPT")]
    prompt: Option<String>,

    /// The variables, as a JSON object; a name after `@` is a file with them
    #[arg(long, value_name = "JSON", default_value = "{}")]
    variables: String,

    /// The address of a gateway that serves the prompt's model: what stands before `/v1/chat/completions`
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,

    /// A file with an API key or token for the gateway
    #[arg(long, value_name = "FILE", requires = "gateway")]
    key: Option<Input>,
}

impl Preview {
    fn run(self) -> Result<(), Failure> {
        let resource = Arc::new(self.resource()?);
        let name = resource.name.to_string();
        let variables = match self.variables.strip_prefix('@') {
            Some(file) => {
                let file = Input::from(std::ffi::OsString::from(file));
                file.read(VARIABLES_MAX)?.to_vec()
            }
            None => self.variables.clone().into_bytes(),
        };
        let asked = preview_prompt(&resource, &variables)
            .map_err(|why| Failure::new(name, why, "prompt"))?;
        let mut told = Map::new();
        for (key, value) in asked.as_object().into_iter().flatten() {
            told.insert(key.clone(), value.clone());
        }
        let mut told = json!({ "asked": told });
        if let (Some(gateway), Some(told)) = (&self.gateway, told.as_object_mut()) {
            let response = self.ask(gateway, &asked)?;
            told.extend(answered(&response)?);
        }
        let text = serde_json::to_string_pretty(&told)
            .map_err(|error| Failure::new("preview", error.to_string(), "json"))?;
        terminal::write_line(&text)
    }

    /// The prompt that is meant.
    fn resource(&self) -> Result<Resource, Failure> {
        let of_file = self.file.to_string();
        let failed = |why: &str| Failure::new(of_file.clone(), why, "prompt");
        let wanted = self.prompt.as_deref();
        let is_wanted = |resource: &&Value| {
            let text = |key: &str| {
                resource
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let (name, version) = (text("name"), text("version"));
            let named = |wanted: &str| match wanted.split_once(':') {
                Some((wanted, of)) => wanted == name && of == version,
                None => wanted == name,
            };
            text("kind") == "prompt" && wanted.is_none_or(named)
        };
        let resources = documents::read(std::slice::from_ref(&self.file))?;
        let found: Vec<&Value> = resources.iter().filter(is_wanted).collect();
        let one = match found.as_slice() {
            [one] => *one,
            [] => return Err(failed("it has no such `kind: prompt`")),
            _ => {
                return Err(failed(
                    "it has several: say which with --prompt NAME:VERSION",
                ));
            }
        };
        let mut problems = Problems::new();
        let read = read_resource(Node::from_json(one), Origin::File, &mut problems);
        read.map(|declared| declared.resource).ok_or_else(|| {
            let first = problems.as_slice().first();
            failed(first.map_or("it can't be read", |problem| &problem.message))
        })
    }

    fn ask(&self, gateway: &str, asked: &Value) -> Result<Response, Failure> {
        let unreachable =
            |error: keyward_egress::Error| Failure::new("gateway", error.to_string(), "gateway");
        let url = format!("{}/v1/chat/completions", gateway.trim_end_matches('/'));
        let body = Bytes::from(asked.to_string());
        let request = Request::get(&url).map_err(unreachable)?;
        let mut request = request
            .post("application/json", body)
            .accept("application/json");
        if let Some(key) = &self.key {
            let key = key.read(KEY_MAX)?;
            let key = std::str::from_utf8(&key).unwrap_or_default().trim();
            let value = HeaderValue::from_str(&format!("Bearer {key}"));
            let mut value = value.map_err(|_| Failure::new("key", "it is no key", "key"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value).map_err(unreachable)?;
        }
        // An address that whoever calls has named: whatever it is, it may be asked.
        let everywhere: Option<Vec<AllowRule>> = ["0.0.0.0/0", "::/0"]
            .iter()
            .map(|network| network.parse().ok())
            .collect();
        let policy = Policy {
            allow: everywhere.unwrap_or_default(),
            ..Policy::default()
        };
        let egress = Egress::new(policy).map_err(unreachable)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new("gateway", error.to_string(), "runtime"))?;
        let answer = runtime.block_on(egress.fetch(request, LIMITS));
        answer.map_err(unreachable)
    }
}

/// What a model said, and what that took.
fn answered(response: &Response) -> Result<Map<String, Value>, Failure> {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    if response.status != 200 {
        let why = body.pointer("/error/message").and_then(Value::as_str);
        let why = why.unwrap_or("it gave no reason");
        return Err(Failure::new(
            "gateway",
            format!("it answered with status {}: {why}", response.status),
            "refused",
        ));
    }
    let model = response.headers.get("keyward-model");
    let model = model.and_then(|model| model.to_str().ok());
    let message = body.pointer("/choices/0/message").cloned();
    Ok(Map::from_iter([
        ("answer".to_owned(), message.unwrap_or_default()),
        ("model".to_owned(), json!(model)),
        (
            "usage".to_owned(),
            body.get("usage").cloned().unwrap_or_default(),
        ),
    ]))
}
