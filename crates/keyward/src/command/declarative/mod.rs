//! `keyward apply`, `diff` and `export`: resources in files, through the management API.

mod client;
mod difference;
mod documents;
mod preview;

pub(super) use preview::Prompts;

use super::input::Input;
use super::{Failure, terminal};
use clap::Args;
use client::Server;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

/// Declare resources: all that the files hold, or nothing
///
/// Reads YAML or JSON documents, as many as each file has, puts in what `${ENV:NAME}` and `${FILE:path}` stand for
/// here, and sends all of them to the management API as one change: one revision, in any order. What is already as
/// declared is left as it is, so that a second apply changes nothing.
#[derive(Args, Debug)]
pub(super) struct Apply {
    /// A file, or a folder of .yaml, .yml and .json files; may be given several times. `-` is standard input
    #[arg(short = 'f', long = "file", value_name = "PATH", required = true)]
    files: Vec<Input>,

    #[command(flatten)]
    server: Server,

    /// Take away what the teams of the files have beside what the files declare. Asks before anything is taken away
    #[arg(long)]
    prune: bool,

    /// Take away without asking
    #[arg(long, requires = "prune")]
    yes: bool,

    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// Show what `apply` would change, and change nothing
///
/// Secrets are shown as references. Exit status: 0, whether there are differences or not.
#[derive(Args, Debug)]
pub(super) struct Diff {
    /// A file, or a folder of .yaml, .yml and .json files; may be given several times. `-` is standard input
    #[arg(short = 'f', long = "file", value_name = "PATH", required = true)]
    files: Vec<Input>,

    #[command(flatten)]
    server: Server,

    /// Show what `apply --prune` would take away, too
    #[arg(long)]
    prune: bool,

    /// Print the differences as JSON
    #[arg(long)]
    json: bool,
}

/// Print the resources of the database, as `apply` takes them
///
/// Those of a node's own configuration file are not among them. Secrets are references, which `apply` knows again
/// in the same deployment.
#[derive(Args, Debug)]
pub(super) struct Export {
    #[command(flatten)]
    server: Server,

    /// Of this team alone
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,

    /// Of this kind alone
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Apply {
    pub(super) fn run(self) -> Result<(), Failure> {
        let client = self.server.client()?;
        let resources = documents::read(&self.files)?;
        let reason = self.reason.as_deref();
        let mut body = body_of(&resources, self.prune);
        if self.prune {
            let seen = client.post("/apply?dry_run=true", &body, None)?;
            if !self.confirmed(&seen)? {
                return Err(Failure::new(
                    "apply",
                    "nothing was changed",
                    "not_confirmed",
                ));
            }
            // What is taken away is what was shown: where somebody changed something meanwhile, nothing is.
            for seen_at in ["revision", "credentials"] {
                if let (Value::Object(body), Some(number)) = (&mut body, seen.get(seen_at)) {
                    body.insert(seen_at.to_owned(), number.clone());
                }
            }
        }
        let done = client.post("/apply", &body, reason)?;
        if self.json {
            return terminal::write_json(&done);
        }
        for line in difference::summary(&done) {
            terminal::write_line(&terminal::visible(&line))?;
        }
        terminal::write_line(&difference::count(&done))
    }

    /// Whether what would be taken away may be.
    fn confirmed(&self, seen: &Value) -> Result<bool, Failure> {
        let gone: Vec<String> = difference::deletions(seen);
        if gone.is_empty() || self.yes {
            return Ok(true);
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(
                "apply",
                format!(
                    "{} resources would be taken away ({}): say --yes, or look at `keyward diff --prune`",
                    gone.len(),
                    gone.join(", ")
                ),
            ));
        }
        for line in &gone {
            terminal::complain(&terminal::visible(&format!("- {line}")));
        }
        terminal::complain(&format!("Take away these {} resources? [y/N]", gone.len()));
        let mut answer = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(|error| Failure::new("apply", error.to_string(), "input"))?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}

impl Diff {
    pub(super) fn run(self) -> Result<(), Failure> {
        let client = self.server.client()?;
        let resources = documents::read(&self.files)?;
        let body = body_of(&resources, self.prune);
        let seen = client.post("/apply?dry_run=true", &body, None)?;
        if self.json {
            return terminal::write_json(&seen);
        }
        for line in difference::lines(&seen) {
            terminal::write_line(&terminal::visible(&line))?;
        }
        terminal::write_line(&difference::count(&seen))
    }
}

impl Export {
    pub(super) fn run(self) -> Result<(), Failure> {
        let client = self.server.client()?;
        let mut path = "/export".to_owned();
        let parameters = [("team", &self.team), ("kind", &self.kind)];
        let given = parameters
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)));
        for (index, (name, value)) in given.enumerate() {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            if !value.bytes().all(plain) {
                return Err(Failure::usage("export", format!("`{value}` is no {name}")));
            }
            path.push(if index == 0 { '?' } else { '&' });
            path.push_str(&format!("{name}={value}"));
        }
        let exported = client.get(&path)?;
        if self.json {
            return terminal::write_json(&exported);
        }
        for resource in exported
            .get("resources")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let text = serde_saphyr::to_string(&ordered(resource))
                .map_err(|error| Failure::new("export", error.to_string(), "yaml"))?;
            terminal::write(format!("---\n{text}").as_bytes())?;
        }
        Ok(())
    }
}

/// What identifies a resource first.
fn ordered(resource: &Value) -> OrderedResource<'_> {
    OrderedResource(resource)
}

/// A resource whose `kind`, `team`, `name` and `version` come first.
struct OrderedResource<'r>(&'r Value);

impl serde::Serialize for OrderedResource<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const FIRST: [&str; 4] = ["kind", "team", "name", "version"];
        let Value::Object(members) = self.0 else {
            return self.0.serialize(serializer);
        };
        let first = FIRST.iter().filter_map(|key| members.get_key_value(*key));
        let rest = members
            .iter()
            .filter(|(key, _)| !FIRST.contains(&key.as_str()));
        serializer.collect_map(first.chain(rest))
    }
}

/// What is asked for: the resources, and of which teams all else goes away.
fn body_of(resources: &[Value], prune: bool) -> Value {
    let mut body = Map::new();
    body.insert("resources".to_owned(), json!(resources));
    if prune {
        let teams: BTreeSet<&str> = resources
            .iter()
            .map(|resource| {
                let team = resource.get("team").and_then(Value::as_str);
                team.unwrap_or("default")
            })
            .collect();
        body.insert("prune".to_owned(), json!(teams));
    }
    Value::Object(body)
}

/// Where a token may stand.
fn token_of(named: Option<&Input>) -> Result<String, Failure> {
    const TOKEN_MAX: usize = 16 * 1024;
    let text = match named {
        Some(input) => {
            let bytes = input.read(TOKEN_MAX)?;
            String::from_utf8(bytes.to_vec())
                .map_err(|_| Failure::new("token", "it is no text", "token"))?
        }
        None => crate::environment::variable(crate::environment::TOKEN).ok_or_else(|| {
            Failure::usage(
                "token",
                format!(
                    "give --token FILE, or the token itself in {}",
                    crate::environment::TOKEN
                ),
            )
        })?,
    };
    Ok(text.trim().to_owned())
}

/// The folder that relative paths of a document are taken from.
fn folder_of(path: &std::path::Path) -> PathBuf {
    path.parent().map(PathBuf::from).unwrap_or_default()
}
