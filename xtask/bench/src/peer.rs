//! The proxies that are compared: each does the same work, forwards the same headers, keeps its upstream
//! connections, and has one worker.

use crate::certificate::Certificate;
use crate::policies;
use crate::process::{Place, Process};
use crate::token::{AUDIENCE, ISSUER, SCOPE, Tokens};
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// How many tokens Envoy's cache may hold: more than any scenario that repeats its tokens uses.
const ENVOY_CACHE_TOKENS: usize = 20_000;

/// A proxy with one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    HaproxyPlain,
    HaproxyTls,
    HaproxyJwt,
    Nginx,
    EnvoyCache,
    EnvoyNoCache,
    Keyward,
    /// The same, listening with TLS.
    /// Without an access log, as the other plain proxies are.
    KeywardUnlogged,
    KeywardTls,
    /// The same, with so many APIs of a hundred routes each.
    KeywardRoutes(usize),
    /// One API for each policy.
    KeywardPolicies,
}

/// An API of Keyward's that is guarded by the bench's issuer.
pub(crate) struct ApiOfBench {
    pub(crate) name: &'static str,
    /// What else is said of it, in YAML. Scopes and a rate are those of the guarded call, unless said here.
    pub(crate) more: &'static [&'static str],
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
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// Requests a second, where not as many are sent as are answered.
    pub(crate) pace: Option<f64>,
    pub(crate) folder: &'a Path,
    pub(crate) upstream: SocketAddr,
    pub(crate) tokens: &'a Tokens,
    pub(crate) certificate: &'a Certificate,
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
            Self::HaproxyTls => "haproxy-tls",
            Self::HaproxyJwt => "haproxy-jwt",
            Self::Nginx => "nginx",
            Self::EnvoyCache => "envoy-cache",
            Self::EnvoyNoCache => "envoy-no-cache",
            Self::Keyward => "keyward",
            Self::KeywardUnlogged => "keyward-unlogged",
            Self::KeywardTls => "keyward-tls",
            Self::KeywardRoutes(1) => "keyward-100-routes",
            Self::KeywardRoutes(_) => "keyward-10000-routes",
            Self::KeywardPolicies => "keyward-policies",
        }
    }

    /// Whether its program is there.
    pub(crate) fn is_present(self, programs: &Programs) -> bool {
        self.program(programs).is_some_and(Path::exists)
    }

    fn program(self, programs: &Programs) -> Option<&Path> {
        match self {
            Self::HaproxyPlain | Self::HaproxyTls | Self::HaproxyJwt => Some(&programs.haproxy),
            Self::Nginx => Some(&programs.nginx),
            Self::EnvoyCache | Self::EnvoyNoCache => Some(&programs.envoy),
            Self::Keyward
            | Self::KeywardUnlogged
            | Self::KeywardTls
            | Self::KeywardRoutes(_)
            | Self::KeywardPolicies => programs.keyward.as_deref(),
        }
    }

    /// Whether it is called by TLS.
    pub(crate) fn speaks_tls(self) -> bool {
        matches!(self, Self::HaproxyTls | Self::KeywardTls)
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
            Self::HaproxyPlain => ("haproxy.cfg", haproxy(setting, address, "", "")),
            Self::HaproxyTls => {
                let tls = format!(
                    " ssl crt {} ssl-min-ver TLSv1.3 alpn http/1.1",
                    setting.certificate.pem_file.display()
                );
                ("haproxy.cfg", haproxy(setting, address, &tls, ""))
            }
            Self::HaproxyJwt => {
                let checks = haproxy_checks(setting);
                ("haproxy.cfg", haproxy(setting, address, "", &checks))
            }
            Self::Nginx => ("nginx.conf", nginx(setting, address, &folder)),
            Self::EnvoyCache => ("envoy.yaml", envoy(setting, address, true)),
            Self::EnvoyNoCache => ("envoy.yaml", envoy(setting, address, false)),
            Self::Keyward => ("keyward.yaml", keyward(setting, address, &folder, "")?),
            Self::KeywardUnlogged => {
                let text = keyward(setting, address, &folder, "")?;
                ("keyward.yaml", unlogged(&text))
            }
            Self::KeywardTls => {
                let tls = format!(
                    ", tls: {{ certificates: [ {{ certificate: {file}, key: {file} }} ], minimum: \"1.3\" }}",
                    file = setting.certificate.pem_file.display()
                );
                ("keyward.yaml", keyward(setting, address, &folder, &tls)?)
            }
            Self::KeywardRoutes(apis) => {
                let text = keyward(setting, address, &folder, "")?;
                ("keyward.yaml", text + &many_routes(apis))
            }
            Self::KeywardPolicies => {
                let text = keyward(setting, address, &folder, "")?;
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
            Self::HaproxyPlain | Self::HaproxyTls | Self::HaproxyJwt => &["-db", "-f", file],
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
            Self::Keyward
            | Self::KeywardUnlogged
            | Self::KeywardTls
            | Self::KeywardRoutes(_)
            | Self::KeywardPolicies => &["serve", "--config", file],
        };
        arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect()
    }
}

fn haproxy_checks(setting: &Setting<'_>) -> String {
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
}

/// `tls` stands behind the address it listens on.
fn haproxy(setting: &Setting<'_>, address: SocketAddr, tls: &str, checks: &str) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn 4096\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         \x20 option http-keep-alive\n  option forwardfor\n  http-reuse always\n\
         frontend in\n  bind {address}{tls}\n{checks}\
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

/// The guarded API with rate limit, the same with CORS, and the open one beside them. `tls` stands behind what the
/// gateway's listener serves.
/// The same configuration with the access log switched off.
fn unlogged(configuration: &str) -> String {
    let lines = configuration.lines().map(|line| {
        if line.starts_with("access_log:") {
            "access_log: { destination: off }\n".to_owned()
        } else {
            format!("{line}\n")
        }
    });
    lines.collect()
}

fn keyward(
    setting: &Setting<'_>,
    address: SocketAddr,
    folder: &Path,
    tls: &str,
) -> Result<String, String> {
    let (site, operations) = (free_address()?, free_address()?);
    Ok(format!(
        r#"format: 1
listeners:
  - {{ address: {address}, serves: gateway{tls} }}
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
    name: all
    version: v1
    state: published
    base_path: /all
    upstream: echo
    authentication: {{ issuers: [bench], audience: {AUDIENCE} }}
    authorization: {{ scopes: [{SCOPE}] }}
    rate_limits: [ {{ by: subject, requests: 1000000, per: 1s }} ]
    cors: {{ origins: ["https://app.example"] }}
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

/// So many APIs, each with a hundred routes.
fn many_routes(apis: usize) -> String {
    let mut text = String::new();
    for api in 0..apis {
        let routes = (0..100)
            .map(|route| format!("{{ name: r{route}, match: {{ path: \"/r{route}/{{id}}\" }} }}"));
        let routes = routes.collect::<Vec<_>>().join(", ");
        let _infallible = writeln!(
            text,
            "  - {{ kind: api, name: a{api}, version: v1, state: published, base_path: /a{api}, upstream: echo, authentication: none, routes: [ {routes} ] }}"
        );
    }
    text
}

/// These APIs, as resources.
fn guarded(apis: &[ApiOfBench]) -> String {
    let resources = apis.iter().map(|api| {
        let name = api.name;
        let mut said = api.more.to_vec();
        for usual in [
            "authorization: { scopes: [read] }",
            "rate_limits: [ { by: subject, requests: 1000000, per: 1s } ]",
        ] {
            let key = usual.split(' ').next().unwrap_or(usual);
            if !said.iter().any(|more| more.starts_with(key)) {
                said.push(usual);
            }
        }
        let said = said.join(", ");
        format!(
            "  - {{ kind: api, name: {name}, version: v1, state: published, base_path: /{name}, upstream: echo, authentication: {{ issuers: [bench], audience: {AUDIENCE} }}, {said} }}\n"
        )
    });
    resources.collect()
}
