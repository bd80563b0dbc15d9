//! The AI gateways that are compared, each with one process and the same provider behind it.

use super::mock::SLOW;
use crate::peer::free_address;
use crate::process::{Place, Process};
use crate::token::{AUDIENCE, ISSUER, SCOPE, Tokens};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// None: straight to the provider.
    Direct,
    Keyward,
    Litellm,
    Portkey,
}

/// Where the programs are.
#[derive(clap::Args)]
pub(crate) struct Programs {
    /// Keyward's binary
    #[arg(long)]
    keyward: PathBuf,
    /// LiteLLM's program
    #[arg(long, default_value = "target/peers/litellm/bin/litellm")]
    litellm: PathBuf,
    /// Portkey's program
    #[arg(
        long,
        default_value = "target/peers/portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
    )]
    portkey: PathBuf,
}

/// What gateways are told.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) provider: SocketAddr,
    pub(crate) tokens: &'a Tokens,
    pub(crate) programs: &'a Programs,
}

/// A gateway that runs.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

/// The key that LiteLLM's callers have.
pub(crate) const LITELLM_KEY: &str = "sk-bench";

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Keyward => "keyward-ai",
            Self::Litellm => "litellm",
            Self::Portkey => "portkey",
        }
    }

    fn program(self, programs: &Programs) -> Option<&Path> {
        match self {
            Self::Direct => None,
            Self::Keyward => Some(&programs.keyward),
            Self::Litellm => Some(&programs.litellm),
            Self::Portkey => Some(&programs.portkey),
        }
    }

    /// Whether it can be measured here.
    pub(crate) fn is_present(self, programs: &Programs) -> bool {
        self.program(programs).is_none_or(Path::exists)
    }

    /// Writes its configuration and starts it; it may not listen yet.
    pub(crate) fn start(self, setting: &Setting<'_>) -> Result<Running, String> {
        let address = free_address()?;
        let folder = setting.folder.join(self.name());
        // What an earlier run left (a store, logs) is no part of this one.
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let program = self
            .program(setting.programs)
            .ok_or("straight to the provider, nothing is started")?;
        let file = folder.join("configuration.yaml");
        let text = match self {
            Self::Direct | Self::Portkey => String::new(),
            Self::Keyward => keyward(setting, address, &folder)?,
            Self::Litellm => litellm(setting),
        };
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        let log = setting.folder.join(format!("{}.log", self.name()));
        let shown = |path: &Path| path.display().to_string();
        let (program, arguments) = match self {
            Self::Direct | Self::Keyward => (
                program,
                vec!["serve".to_owned(), "--config".to_owned(), shown(&file)],
            ),
            Self::Litellm => {
                let mut arguments = LITELLM_ENVIRONMENT.map(str::to_owned).to_vec();
                arguments.extend([shown(program), "--config".to_owned(), shown(&file)]);
                arguments.extend(["--host", "127.0.0.1", "--num_workers", "1"].map(str::to_owned));
                arguments.extend(["--port".to_owned(), address.port().to_string()]);
                (Path::new("/usr/bin/env"), arguments)
            }
            Self::Portkey => {
                let arguments = vec![
                    "NODE_ENV=production".to_owned(),
                    "node".to_owned(),
                    shown(program),
                    format!("--port={}", address.port()),
                    "--headless".to_owned(),
                ];
                (Path::new("/usr/bin/env"), arguments)
            }
        };
        let process = Process::start(self.name(), Place::Proxy, program, &arguments, &log)?;
        Ok(Running { process, address })
    }
}

/// Nothing is fetched from elsewhere, and nothing more is logged than what goes wrong.
const LITELLM_ENVIRONMENT: [&str; 4] = [
    "LITELLM_LOCAL_MODEL_COST_MAP=True",
    "LITELLM_LOG=ERROR",
    "LITELLM_MODE=PRODUCTION",
    "NO_PROXY=*",
];

fn litellm(setting: &Setting<'_>) -> String {
    let provider = setting.provider;
    format!(
        "model_list:\n\
         - model_name: same\n  litellm_params: {{ model: openai/m, api_base: \"http://{provider}/v1\", api_key: sk-provider }}\n\
         - model_name: other\n  litellm_params: {{ model: anthropic/m, api_base: \"http://{provider}\", api_key: sk-provider }}\n\
         litellm_settings: {{ telemetry: false, num_retries: 0, request_timeout: 30 }}\n\
         general_settings: {{ master_key: {LITELLM_KEY} }}\n"
    )
}

/// The models beside a guarded API that passes the same calls on: both check a token, a scope and a rate, and write an
/// access log.
fn keyward(setting: &Setting<'_>, address: SocketAddr, folder: &Path) -> Result<String, String> {
    let (site, operations) = (free_address()?, free_address()?);
    let guarded = format!(
        "authentication: {{ issuers: [bench], audience: {AUDIENCE} }}, authorization: {{ scopes: [{SCOPE}] }}, rate_limits: [ {{ by: subject, requests: 1000000, per: 1s }} ]"
    );
    Ok(format!(
        r#"format: 1
listeners:
  - {{ address: {address}, serves: gateway }}
  - {{ address: {site}, serves: site }}
  - {{ address: {operations}, serves: operations }}
gateway_url: http://{address}
site_url: http://{site}
data_dir: {data}
database: sqlite
shared_state: memory
workers: 1
access_log: {{ format: json, destination: {{ file: {log} }} }}
resources:
  - {{ kind: issuer, name: bench, issuer: {ISSUER}, jwks: {{ file: {jwks} }}, algorithms: [RS256] }}
  - {{ kind: upstream, name: provider, targets: [ {{ url: "http://{provider}" }} ] }}
  - {{ kind: api, name: plain, version: v1, state: published, base_path: /plain, upstream: provider, {guarded} }}
  - {{ kind: provider, name: openai-like, dialect: openai-chat, base_url: "http://{provider}/v1", credentials: [ {{ key: sk-provider }} ] }}
  - {{ kind: provider, name: anthropic-like, dialect: anthropic, base_url: "http://{provider}/v1", credentials: [ {{ key: sk-provider }} ] }}
  - {{ kind: provider, name: slow, dialect: openai-chat, base_url: "http://{provider}{SLOW}/v1", credentials: [ {{ key: sk-provider }} ] }}
  - {{ kind: model, name: same, targets: [ {{ provider: openai-like, model: m }} ] }}
  - {{ kind: model, name: other, targets: [ {{ provider: anthropic-like, model: m }} ] }}
  - {{ kind: model, name: slow, targets: [ {{ provider: slow, model: m }} ] }}
  - {{ kind: api, name: ai, version: v1, state: published, ai: {{ models: all }}, {guarded} }}
"#,
        data = folder.join("data").display(),
        log = folder.join("access.log").display(),
        jwks = setting.tokens.jwks_file.display(),
        provider = setting.provider,
    ))
}
