//! `keyward check`: whether a configuration would run.

use super::{Failure, terminal};
use crate::configuration::{self, DEFAULT_FILE, Loaded, NodeConfiguration};
use crate::environment;
use clap::Args;
use keyward_model::resource::Kind;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Validate a configuration and resource files without running
///
/// Reads the node's configuration and the resource files given, all together, and tells every problem
/// with its file, line and column. Nothing is started, and no network is used. Exit status: 0 when it
/// would run (warnings may be told), 1 when it would not, 2 for wrong usage.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// The node's configuration. Without this option KEYWARD_CONFIG names it; without that it is
    /// keyward.yaml, unless a FILE is given
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    /// Print the problems, and what the node would run with, as JSON on standard output
    #[arg(long)]
    json: bool,

    /// Files of resources: one or many YAML documents each
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let config = self.config();
        let loaded = configuration::load(config.as_deref(), &self.files, &environment::variable);
        if self.json {
            terminal::write_line(&summary(&loaded).to_string())?;
        } else {
            tell(&loaded)?;
        }
        Ok(if loaded.report.has_errors() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }

    fn config(&self) -> Option<PathBuf> {
        let named = || environment::variable(environment::CONFIG).map(PathBuf::from);
        let default = || self.files.is_empty().then(|| PathBuf::from(DEFAULT_FILE));
        self.config.clone().or_else(named).or_else(default)
    }
}

fn tell(loaded: &Loaded) -> Result<(), Failure> {
    let excerpts = terminal::someone_reads_errors();
    for problem in loaded.report.problems() {
        terminal::complain(&loaded.report.line(problem));
        if excerpts && let Some(excerpt) = loaded.report.excerpt(problem) {
            terminal::complain(&excerpt);
        }
    }
    if loaded.report.has_errors() {
        return Ok(());
    }
    let counts: Vec<String> = counts(loaded)
        .into_iter()
        .filter(|(kind, count)| *count > 0 || always_told(*kind))
        .map(|(kind, count)| match (kind, count) {
            (Kind::AccessPolicy, 1) => "1 access policy".to_owned(),
            (Kind::AccessPolicy, count) => format!("{count} access policies"),
            (Kind::KeySet, 1) => "1 key set".to_owned(),
            (Kind::KeySet, count) => format!("{count} key sets"),
            (kind, 1) => format!("1 {kind}"),
            (kind, count) => format!("{count} {kind}s"),
        })
        .collect();
    terminal::write_line(&format!("good: {}", counts.join(", ")))
}

/// Kinds that most nodes have some of: that there is none is worth a word.
const fn always_told(kind: Kind) -> bool {
    match kind {
        Kind::Issuer | Kind::Upstream | Kind::Api => true,
        Kind::Credential
        | Kind::Role
        | Kind::AccessPolicy
        | Kind::KeySet
        | Kind::Webhook
        | Kind::ManagementRole
        | Kind::Provider
        | Kind::Model
        | Kind::Prompt => false,
    }
}

fn summary(loaded: &Loaded) -> serde_json::Value {
    let resources: serde_json::Map<_, _> = counts(loaded)
        .into_iter()
        .map(|(kind, count)| (kind.to_string(), json!(count)))
        .collect();
    json!({
        "ok": !loaded.report.has_errors(),
        "problems": loaded.report.to_json(),
        "resources": resources,
        "node": loaded.configuration.as_ref().map(NodeConfiguration::to_json),
    })
}

fn counts(loaded: &Loaded) -> Vec<(Kind, usize)> {
    let own = loaded.configuration.iter().flat_map(|own| &own.resources);
    let all: Vec<Kind> = own
        .chain(&loaded.further)
        .map(|declared| declared.resource.spec.kind())
        .collect();
    Kind::ALL
        .map(|kind| (kind, all.iter().filter(|other| **other == kind).count()))
        .to_vec()
}
