//! `keyward access`: who may do what, and why.

use super::input::Input;
use super::node_configuration::node_configuration;
use super::{Failure, terminal};
use crate::configuration::NodeConfiguration;
use crate::serve::own_issuer::own_issuer;
use clap::{Args, Subcommand};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use keyward_access::Check;
use keyward_egress::{Egress, Policy};
use keyward_gateway::explanation::{Credential, Met, MetRoute};
use keyward_gateway::issuer::{Issuers, IssuersContext};
use keyward_gateway::routing::{RoutedRequest, Routing};
use keyward_jose::jwt::TOKEN_MAX;
use keyward_model::resource::{IssuerKeys, Resource, Spec};
use keyward_model::{Clock, Fault, SystemClock, Timestamp};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Who may do what
#[derive(Debug, Subcommand)]
pub(super) enum Access {
    Explain(Box<Explain>),
}

impl Access {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Explain(command) => command.run(),
        }
    }
}

/// Say why a call would pass or not, without sending it
///
/// Finds the route as the gateway would, looks at the token as it would, and evaluates the IP filter and every
/// scope, role, claim and policy that is asked for, also behind the first that refuses. No network is used: tokens
/// of issuers whose keys would be fetched are not verified. Proofs that tokens are bound to, revocations and
/// external decisions are not looked at either; notes say where one of them would be. Sizes, validation, limits
/// and what else depends on the body or on other calls are not looked at. Exit status: 0 when all that was looked
/// at lets the call through, 1 when it would be refused.
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// The node's configuration. Without this option KEYWARD_CONFIG names it; without that it is keyward.yaml
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    /// What would be called, such as http://host/path?query, or a path alone
    #[arg(long)]
    url: String,

    /// The method
    #[arg(long, default_value = "GET")]
    method: String,

    /// A file with the caller's token; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["claims", "certificate_name"])]
    token: Option<Input>,

    /// The claims of the caller's token, as JSON, taken for verified
    #[arg(long, value_name = "JSON", conflicts_with = "certificate_name")]
    claims: Option<String>,

    /// The name in the caller's client certificate, taken for verified
    #[arg(long, value_name = "NAME")]
    certificate_name: Option<String>,

    /// A header of the call, such as `x-region: eu`; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,

    /// The client's address
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,

    /// When the call would come (RFC 3339), such as 2026-11-29T22:00:00Z; now, unless said otherwise
    #[arg(long, value_name = "TIME")]
    at: Option<String>,

    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Debug)]
struct Explanation {
    route: Option<String>,
    checks: Vec<Check>,
    /// What else the reader should know.
    notes: Vec<String>,
    code: Option<&'static str>,
}

impl Explain {
    fn run(self: Box<Self>) -> Result<ExitCode, Failure> {
        let explanation = self.explanation()?;
        let allowed = explanation.allowed();
        if self.json {
            terminal::write_json(&explanation.to_json())?;
        } else {
            for line in explanation.lines() {
                terminal::write_line(&terminal::visible(&line))?;
            }
        }
        Ok(if allowed {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn explanation(&self) -> Result<Explanation, Failure> {
        let configuration = node_configuration(self.config.as_ref())?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let now = match &self.at {
            Some(text) => time_of(text)?,
            None => clock.now(),
        };
        let (host, target) = self.called()?;
        let headers = self.header_map()?;
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|_| Failure::usage("--method", "it is no method, such as GET"))?;
        let request = RoutedRequest {
            host: &host,
            // The target is read anew where the route is looked for.
            path: "",
            method: &method,
            headers: &headers,
            query: None,
        };
        // Keys in files are watched by tasks of a runtime, which none of this waits for.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new("runtime", error.to_string(), "runtime"))?;
        let _entered = runtime.enter();
        let routing = routing(&configuration, &clock, runtime.handle())?;
        let route = match routing.meet(&target, &request) {
            Err(fault) => return Ok(Explanation::refused(None, &fault)),
            Ok(Met::Nothing) => {
                return Ok(Explanation::nothing(
                    "not_found",
                    "no API is published under this path and host in the node's files; what the management API has declared is not looked at here",
                ));
            }
            Ok(Met::OtherMethods(allow)) => {
                return Ok(Explanation::nothing(
                    "method_not_allowed",
                    &format!("the path is served for {allow} alone"),
                ));
            }
            Ok(Met::Route(route)) => route,
        };
        self.of_route(&route, &request, &target, clock.as_ref(), now)
    }

    fn of_route(
        &self,
        route: &MetRoute<'_>,
        request: &RoutedRequest<'_>,
        target: &str,
        clock: &dyn Clock,
        now: Timestamp,
    ) -> Result<Explanation, Failure> {
        let labels = route.labels();
        let name = format!("{}/{} {}", labels.api, labels.version, labels.route);
        let token = match &self.token {
            Some(input) => Some(input.read_line(TOKEN_MAX)?),
            None => None,
        };
        let credential = match (&token, &self.claims, &self.certificate_name) {
            (Some(token), _, _) => Credential::Token(token),
            (None, Some(claims), _) => Credential::Claims(claims),
            (None, None, Some(subject)) => Credential::Certificate(subject),
            (None, None, None) => Credential::None,
        };
        let asked = route.asks_for();
        let identified = match route.identify(credential, clock, now) {
            Ok(identified) => identified,
            Err(fault) => {
                let mut explanation = Explanation::refused(Some(name), &fault);
                explanation.checks.insert(
                    0,
                    Check {
                        asked,
                        passed: false,
                        why: fault.detail().to_owned(),
                    },
                );
                return Ok(explanation);
            }
        };
        let caller = &identified.caller;
        let who = match caller.subject() {
            Some(subject) => format!("{} {subject}", caller.method.as_str()),
            None => caller.method.as_str().to_owned(),
        };
        let mut checks = vec![Check {
            asked,
            passed: true,
            why: who,
        }];
        let unasked = route.unasked();
        checks.extend(route.checks(caller, request, target, self.address, now));
        let unverified = identified
            .unverified
            .map(|why| format!("the credential was not verified: {why}"));
        let unseen = identified.unseen.iter().chain(&unasked);
        let notes = unverified
            .into_iter()
            .chain(unseen.map(|what| (*what).to_owned()))
            .collect();
        Ok(Explanation {
            route: Some(name),
            checks,
            notes,
            code: None,
        })
    }

    /// Host, and path with query.
    fn called(&self) -> Result<(String, String), Failure> {
        let bad = || {
            Failure::usage(
                "--url",
                "write an address such as http://host/path?query, or a path",
            )
        };
        if self.url.starts_with('/') {
            return Ok((String::new(), self.url.clone()));
        }
        let uri: http::Uri = self.url.parse().map_err(|_| bad())?;
        uri.scheme().ok_or_else(bad)?;
        let authority = uri.authority().ok_or_else(bad)?;
        let target = uri
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str);
        Ok((authority.to_string(), target.to_owned()))
    }

    fn header_map(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        for header in &self.headers {
            let bad = || Failure::usage("--header", "write it as `name: value`");
            let (name, value) = header.split_once(':').ok_or_else(bad)?;
            let name: HeaderName = name.trim().parse().map_err(|_| bad())?;
            let value = HeaderValue::from_str(value.trim()).map_err(|_| bad())?;
            headers.append(name, value);
        }
        Ok(headers)
    }
}

/// The routes of a configuration, with keys that are at hand.
fn routing(
    configuration: &NodeConfiguration,
    clock: &Arc<dyn Clock>,
    runtime: &tokio::runtime::Handle,
) -> Result<Routing, Failure> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Failure::new(what, error.to_string(), "configuration")
    };
    let egress = Egress::new(Policy::default()).map_err(|error| failed("egress", &error))?;
    let issuers = Issuers::new(IssuersContext {
        clock: Arc::clone(clock),
        egress,
        runtime: runtime.clone(),
    });
    let own = own_issuer(&configuration.site_url);
    let resources: Vec<Arc<Resource>> = configuration
        .resources
        .iter()
        .map(|declared| Arc::new(at_hand(&declared.resource)))
        .collect();
    let mut routing = Routing::new();
    routing
        .compile(&resources, &issuers, Some(&own))
        .map_err(|error| failed("configuration", &error))?;
    Ok(routing)
}

/// The resource, but that keys are not fetched.
fn at_hand(resource: &Resource) -> Resource {
    let mut resource = resource.clone();
    if let Spec::Issuer(issuer) = &mut resource.spec
        && matches!(issuer.keys, IssuerKeys::Url { .. })
    {
        // An issuer without keys, which nothing fetches.
        issuer.keys = IssuerKeys::Own;
    }
    resource
}

fn time_of(text: &str) -> Result<Timestamp, Failure> {
    let read = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
        Failure::usage(
            "--at",
            "write a time such as 2026-11-29T22:00:00Z (RFC 3339)",
        )
    })?;
    Ok(Timestamp::from_seconds(read.unix_timestamp()))
}

impl Explanation {
    fn nothing(code: &'static str, why: &str) -> Self {
        Self {
            route: None,
            checks: Vec::new(),
            notes: vec![why.to_owned()],
            code: Some(code),
        }
    }

    fn refused(route: Option<String>, fault: &Fault) -> Self {
        let reason = fault.reason().map(|why| format!("for operators: {why}"));
        let notes = std::iter::once(fault.detail().to_owned()).chain(reason);
        Self {
            route,
            checks: Vec::new(),
            notes: notes.collect(),
            code: Some(fault.code().as_str()),
        }
    }

    /// Policies one by one are told to explain; it is their sum that decides.
    fn allowed(&self) -> bool {
        self.code.is_none()
            && self
                .checks
                .iter()
                .all(|check| check.passed || check.asked.starts_with(' '))
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(route) = &self.route {
            lines.push(format!("route {route}"));
        }
        for check in &self.checks {
            let mark = if check.passed { "pass" } else { "FAIL" };
            lines.push(format!("{mark} {}: {}", check.asked, check.why));
        }
        for note in &self.notes {
            lines.push(format!("note {note}"));
        }
        lines.push(match (self.allowed(), self.code) {
            (true, _) => "allowed".to_owned(),
            (false, Some(code)) => format!("refused [{code}]"),
            (false, None) => "refused".to_owned(),
        });
        lines
    }

    fn to_json(&self) -> Value {
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|check| json!({ "asked": check.asked.trim_start(), "passed": check.passed, "why": check.why }))
            .collect();
        json!({
            "allowed": self.allowed(),
            "route": self.route,
            "checks": checks,
            "notes": self.notes,
            "code": self.code,
        })
    }
}
