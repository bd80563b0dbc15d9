//! The proxies that are compared: each does the same work, forwards the same headers, keeps its upstream
//! connections, and has one worker.

use crate::policies;
use crate::process::{Place, Process};
use crate::token::{AUDIENCE, ISSUER, SCOPE, Tokens};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// How many tokens Envoy's cache may hold: more than any scenario that repeats its tokens uses.
const ENVOY_CACHE_TOKENS: usize = 20_000;

/// A proxy with one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    HaproxyPlain,
    HaproxyJwt,
    Nginx,
    EnvoyCache,
    EnvoyNoCache,
    Keyward,
    /// One API for each policy.
    KeywardPolicies,
}

/// An API of Keyward's that is guarded by the bench's issuer.
pub(crate) struct ApiOfBench {
    pub(crate) name: &'static str,
    /// What else is said of it, in YAML.
    pub(crate) more: &'static str,
}

/// Where the programs are.
#[derive(clap::Args)]
pub(crate) struct Programs {
    /// Keyward's binary
    #[arg(long)]
    keyward: Option<PathBuf>,
    /// HAProxy's binary
    #[arg(long, default_value = "/usr/sbin/haproxy")]
    haproxy: PathBuf,
    /// nginx's binary
    #[arg(long, default_value = "/usr/sbin/nginx")]
    nginx: PathBuf,
    /// Envoy's binary
    #[arg(long, default_value = ".venv/bin/envoy")]
    envoy: PathBuf,
}

/// A proxy that runs.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

/// What proxies are told.
pub(crate) struct Setting<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) upstream: SocketAddr,
    pub(crate) tokens: &'a Tokens,
    pub(crate) programs: &'a Programs,
}

/// An address of the loopback that nobody listens on now.
pub(crate) fn free_address() -> Result<SocketAddr, String> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("no free port on the loopback: {error}"))
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HaproxyPlain => "haproxy",
            Self::HaproxyJwt => "haproxy-jwt",
            Self::Nginx => "nginx",
            Self::EnvoyCache => "envoy-cache",
            Self::EnvoyNoCache => "envoy-no-cache",
            Self::Keyward => "keyward",
            Self::KeywardPolicies => "keyward-policies",
        }
    }

    /// Whether its program is there.
    pub(crate) fn is_present(self, programs: &Programs) -> bool {
        self.program(programs).is_some_and(Path::exists)
    }

    fn program(self, programs: &Programs) -> Option<&Path> {
        match self {
            Self::HaproxyPlain | Self::HaproxyJwt => Some(&programs.haproxy),
            Self::Nginx => Some(&programs.nginx),
            Self::EnvoyCache | Self::EnvoyNoCache => Some(&programs.envoy),
            Self::Keyward | Self::KeywardPolicies => programs.keyward.as_deref(),
        }
    }

    /// Writes its configuration and starts it; it may not listen yet.
    pub(crate) fn start(self, setting: &Setting<'_>) -> Result<Running, String> {
        let address = free_address()?;
        let folder = setting.folder.join(self.name());
        // What an earlier run left (a store, temporary files) is no part of this one.
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let (file, text) = match self {
            Self::HaproxyPlain => ("haproxy.cfg", haproxy(setting, address, false)),
            Self::HaproxyJwt => ("haproxy.cfg", haproxy(setting, address, true)),
            Self::Nginx => ("nginx.conf", nginx(setting, address, &folder)),
            Self::EnvoyCache => ("envoy.yaml", envoy(setting, address, true)),
            Self::EnvoyNoCache => ("envoy.yaml", envoy(setting, address, false)),
            Self::Keyward => ("keyward.yaml", keyward(setting, address, &folder)?),
            Self::KeywardPolicies => {
                let text = keyward(setting, address, &folder)?;
                (
                    "keyward.yaml",
                    text + policies::RULES + &guarded(policies::APIS),
                )
            }
        };
        let file = folder.join(file);
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        let program = self
            .program(setting.programs)
            .ok_or_else(|| format!("no binary of {} was given", self.name()))?;
        let arguments = self.arguments(&file.display().to_string(), &folder.display().to_string());
        let log = setting.folder.join(format!("{}.log", self.name()));
        let process = Process::start(self.name(), Place::Proxy, program, &arguments, &log)?;
        Ok(Running { process, address })
    }

    fn arguments(self, file: &str, folder: &str) -> Vec<String> {
        let arguments: &[&str] = match self {
            Self::HaproxyPlain | Self::HaproxyJwt => &["-db", "-f", file],
            Self::Nginx => &["-p", folder, "-c", file, "-e", "error.log"],
            Self::EnvoyCache | Self::EnvoyNoCache => &[
                "-c",
                file,
                "--concurrency",
                "1",
                "--log-level",
                "warn",
                "--disable-hot-restart",
            ],
            Self::Keyward | Self::KeywardPolicies => &["serve", "--config", file],
        };
        arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect()
    }
}

fn haproxy(setting: &Setting<'_>, address: SocketAddr, jwt: bool) -> String {
    let checks = if jwt {
        format!(
            "  http-request set-var(txn.bearer) http_auth_bearer\n\
             \x20 http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')\n\
             \x20 http-request set-var(txn.iss) var(txn.bearer),jwt_payload_query('$.iss')\n\
             \x20 http-request set-var(txn.aud) var(txn.bearer),jwt_payload_query('$.aud')\n\
             \x20 http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')\n\
             \x20 http-request set-var(txn.now) date()\n\
             \x20 http-request deny deny_status 401 unless {{ var(txn.alg) -m str RS256 }}\n\
             \x20 http-request deny deny_status 401 unless {{ var(txn.iss) -m str {ISSUER} }}\n\
             \x20 http-request deny deny_status 401 unless {{ var(txn.aud) -m str {AUDIENCE} }}\n\
             \x20 http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}\n\
             \x20 http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(txn.alg,\"{}\") 1 }}\n",
            setting.tokens.pem_file.display()
        )
    } else {
        String::new()
    };
    format!(
        "global\n  nbthread 1\n  maxconn 4096\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         \x20 option http-keep-alive\n  option forwardfor\n  http-reuse always\n\
         frontend in\n  bind {address}\n{checks}\
         \x20 http-request set-header X-Forwarded-Proto http\n\
         \x20 default_backend up\n\
         backend up\n  server up {}\n",
        setting.upstream
    )
}

fn nginx(setting: &Setting<'_>, address: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    let upstream = setting.upstream;
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {folder}/nginx.pid;\n\
         error_log {folder}/error.log;\nevents {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n\
         \x20 client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n\
         \x20 fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n\
         \x20 scgi_temp_path {folder}/scgi;\n  keepalive_requests 1000000000;\n\
         \x20 upstream up {{ server {upstream}; keepalive 256; keepalive_requests 1000000000; }}\n\
         \x20 server {{\n    listen {address};\n    location / {{\n      proxy_pass http://up;\n\
         \x20     proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n\
         \x20     proxy_set_header Host $host;\n\
         \x20     proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         \x20     proxy_set_header X-Forwarded-Proto http;\n    }}\n  }}\n}}\n"
    )
}

fn envoy(setting: &Setting<'_>, address: SocketAddr, cache: bool) -> String {
    let cache = if cache {
        format!("\n                  jwt_cache_config: {{ jwt_cache_size: {ENVOY_CACHE_TOKENS} }}")
    } else {
        String::new()
    };
    format!(
        r#"static_resources:
  listeners:
  - address: {{ socket_address: {{ address: {host}, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          use_remote_address: true
          generate_request_id: false
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [ {{ match: {{ prefix: "/" }}, route: {{ cluster: up }} }} ]
          http_filters:
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                bench:
                  issuer: {ISSUER}
                  audiences: [{AUDIENCE}]
                  forward: false
                  local_jwks: {{ inline_string: '{jwks}' }}{cache}
              rules: [ {{ match: {{ prefix: "/" }}, requires: {{ provider_name: bench }} }} ]
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
  - name: up
    type: STATIC
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: {up_host}, port_value: {up_port} }} }} }}
"#,
        host = address.ip(),
        port = address.port(),
        up_host = setting.upstream.ip(),
        up_port = setting.upstream.port(),
        jwks = setting.tokens.jwks,
    )
}

/// The guarded API with rate limit, and the open one beside it.
fn keyward(setting: &Setting<'_>, address: SocketAddr, folder: &Path) -> Result<String, String> {
    let (site, operations) = (free_address()?, free_address()?);
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
  - kind: issuer
    name: bench
    issuer: {ISSUER}
    jwks: {{ file: {jwks} }}
    algorithms: [RS256]
  - kind: upstream
    name: echo
    targets: [ {{ url: "http://{upstream}" }} ]
  - kind: api
    team: default
    name: echo
    version: v1
    state: published
    base_path: /echo
    upstream: echo
    authentication: {{ issuers: [bench], audience: {AUDIENCE} }}
    authorization: {{ scopes: [{SCOPE}] }}
    rate_limits: [ {{ by: subject, requests: 1000000, per: 1s }} ]
  - kind: api
    team: default
    name: open
    version: v1
    state: published
    base_path: /open
    upstream: echo
    authentication: none
"#,
        data = folder.join("data").display(),
        log = folder.join("access.log").display(),
        jwks = setting.tokens.jwks_file.display(),
        upstream = setting.upstream,
    ))
}

/// These APIs, as resources.
fn guarded(apis: &[ApiOfBench]) -> String {
    let resources = apis.iter().map(|api| {
        let (name, more) = (api.name, api.more);
        format!(
            "  - {{ kind: api, name: {name}, version: v1, state: published, base_path: /{name}, upstream: echo, authentication: {{ issuers: [bench], audience: {AUDIENCE} }}, {more} }}\n"
        )
    });
    resources.collect()
}
