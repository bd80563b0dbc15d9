//! Calls as the spans that collectors read: OTLP 1.x (`opentelemetry/proto/trace/v1/trace.proto`), named by
//! OpenTelemetry's semantic conventions for HTTP.

use super::protobuf::Message;
use keyward_gateway::trace::{TracedAttempt, TracedCall};
use keyward_model::id::NodeId;
use keyward_model::{Blame, UsageRecord};
use std::time::Duration;

/// `SpanKind`.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
/// `StatusCode`.
const ERROR: u64 = 2;
/// Beside the flags of W3C: that it is known whether the parent is another process's, and that it is.
const PARENT_IS_KNOWN: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x200;

/// The methods that have a name of their own in a span; others are `_OTHER`, so that nobody who calls can make
/// names without end.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

/// The statuses of gRPC that are errors of a server: unknown, deadline exceeded, unimplemented, internal,
/// unavailable, data loss.
const GRPC_ERRORS: [u32; 6] = [2, 4, 12, 13, 14, 15];

/// Whose spans these are.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) name: Box<str>,
    pub(super) node: NodeId,
}

/// How many spans a call has.
pub(super) fn count(call: &TracedCall) -> u64 {
    1 + call.attempts.len() as u64
}

/// An `ExportTraceServiceRequest` of these calls.
pub(super) fn request(service: &Service, calls: &[TracedCall]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |resource_spans| {
        resource_spans.message(1, |resource| {
            let mut attributes = Attributes(resource, 1);
            attributes.text("service.name", &service.name);
            attributes.text("service.version", env!("CARGO_PKG_VERSION"));
            attributes.text("service.instance.id", &service.node.to_string());
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.bytes(1, b"keyward");
                scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            for call in calls {
                scope_spans.message(2, |span| server_span(span, call));
                for (index, attempt) in call.attempts.iter().enumerate() {
                    scope_spans.message(2, |span| client_span(span, call, index, attempt));
                }
            }
        });
    });
    request.into_bytes()
}

fn server_span(span: &mut Message, call: &TracedCall) {
    let usage = &call.usage;
    span.bytes(1, &call.trace_id.to_be_bytes());
    span.bytes(2, &call.span_id.to_be_bytes());
    span.bytes(3, call.state.as_deref().unwrap_or_default().as_bytes());
    if let Some(parent) = call.parent {
        span.bytes(4, &parent.to_be_bytes());
    }
    let route = route(usage);
    let method = known_method(&usage.method);
    let name = match (method, route) {
        (Some(method), Some(route)) => format!("{method} {route}"),
        (Some(method), None) => method.to_owned(),
        (None, Some(route)) => format!("HTTP {route}"),
        (None, None) => "HTTP".to_owned(),
    };
    span.bytes(5, name.as_bytes());
    span.number(6, SERVER);
    times(span, call, Duration::ZERO, usage.times.total);
    let mut attributes = Attributes(span, 9);
    attributes.method(&usage.method);
    attributes.text("url.scheme", call.scheme);
    attributes.text("url.path", &usage.path);
    if let Some(route) = route {
        attributes.text("http.route", route);
    }
    if usage.status != 0 {
        attributes.number("http.response.status_code", usage.status.into());
    }
    if let Some((host, port)) = call
        .host
        .as_deref()
        .map(|host| host_and_port(host, call.scheme))
    {
        attributes.text("server.address", host);
        attributes.number("server.port", port.into());
    }
    if let Some(address) = usage.address {
        attributes.text("client.address", &address.to_string());
    }
    attributes.text("network.protocol.version", call.protocol_version);
    if let Some(agent) = &call.user_agent {
        attributes.text("user_agent.original", agent);
    }
    attributes.number("http.request.body.size", usage.bytes_in);
    attributes.number("http.response.body.size", usage.bytes_out);
    attributes.text("keyward.request_id", &usage.request_id.to_string());
    if let Some(labels) = &usage.route {
        attributes.text("keyward.team", labels.team_name.as_str());
        attributes.text("keyward.api", labels.api.as_str());
        attributes.text("keyward.version", labels.version.as_str());
        attributes.text("keyward.route", &labels.route);
    }
    if let Some(code) = usage.code {
        attributes.text("keyward.code", code.as_str());
    }
    if let Some(limit) = &usage.limit {
        attributes.text("keyward.limit", limit);
    }
    if let Some(status) = usage.grpc_status {
        attributes.number("rpc.grpc.status_code", status.into());
    }
    // What a caller did wrong is no error of the server's.
    let at_fault = usage.blame.is_some_and(|blame| blame != Blame::Caller);
    let grpc_error = usage
        .grpc_status
        .filter(|status| GRPC_ERRORS.contains(status));
    if at_fault || usage.status >= 500 || grpc_error.is_some() {
        match (usage.code, grpc_error) {
            (Some(code), _) => attributes.text("error.type", code.as_str()),
            (None, Some(status)) => attributes.text("error.type", &status.to_string()),
            (None, None) => attributes.text("error.type", &usage.status.to_string()),
        }
        span.message(15, |status| status.number(3, ERROR));
    }
    let parent = if call.parent.is_some() {
        PARENT_IS_REMOTE
    } else {
        0
    };
    span.fixed_32(16, u32::from(call.flags) | PARENT_IS_KNOWN | parent);
}

fn client_span(span: &mut Message, call: &TracedCall, index: usize, attempt: &TracedAttempt) {
    span.bytes(1, &call.trace_id.to_be_bytes());
    span.bytes(2, &attempt.span_id.to_be_bytes());
    span.bytes(3, call.state.as_deref().unwrap_or_default().as_bytes());
    span.bytes(4, &call.span_id.to_be_bytes());
    let method = known_method(&call.usage.method).unwrap_or("HTTP");
    span.bytes(5, method.as_bytes());
    span.number(6, CLIENT);
    times(span, call, attempt.after, attempt.took);
    let mut attributes = Attributes(span, 9);
    attributes.method(&call.usage.method);
    if let Some((host, port, tls)) = attempt.server() {
        attributes.text("server.address", host);
        attributes.number("server.port", port.into());
        attributes.text("url.scheme", if tls { "https" } else { "http" });
    }
    if index > 0 {
        attributes.number("http.request.resend_count", index as u64);
    }
    if let Some(status) = attempt.status {
        attributes.number("http.response.status_code", status.into());
    }
    attributes.text("keyward.upstream", attempt.upstream.as_str());
    let refused = attempt.status.filter(|status| *status >= 400);
    let error = match (attempt.failure, refused) {
        (Some(failure), _) => Some(failure.as_str().to_owned()),
        (None, Some(status)) => Some(status.to_string()),
        (None, None) => None,
    };
    if let Some(error) = error {
        attributes.text("error.type", &error);
        span.message(15, |status| status.number(3, ERROR));
    }
    span.fixed_32(16, u32::from(call.flags) | PARENT_IS_KNOWN);
}

fn times(span: &mut Message, call: &TracedCall, after: Duration, took: Duration) {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let started = u64::try_from(call.usage.started.as_micros()).unwrap_or_default();
    let begun = started.saturating_mul(1000).saturating_add(nanos(after));
    span.fixed_64(7, begun);
    span.fixed_64(8, begun.saturating_add(nanos(took)));
}

fn known_method(method: &str) -> Option<&'static str> {
    METHODS.into_iter().find(|known| *known == method)
}

/// The path pattern of the route that took the call: the name of a route that has no name of its own, without
/// its methods.
fn route(usage: &UsageRecord) -> Option<&str> {
    let label = &usage.route.as_ref()?.route;
    label.get(label.find('/')?..)
}

/// Of a `Host` field: the name or address without brackets, and the port, else the scheme's.
fn host_and_port<'h>(host: &'h str, scheme: &str) -> (&'h str, u16) {
    let own = if scheme == "https" { 443 } else { 80 };
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port.parse().unwrap_or(own)),
        Some(_) | None => (host, own),
    };
    (name.trim_start_matches('[').trim_end_matches(']'), port)
}

/// The attributes of a message, which has them in the field of this number.
struct Attributes<'m>(&'m mut Message, u32);

impl Attributes<'_> {
    fn text(&mut self, key: &str, value: &str) {
        self.0.message(self.1, |pair| {
            pair.bytes(1, key.as_bytes());
            pair.message(2, |any| any.one_text(1, value));
        });
    }

    fn number(&mut self, key: &str, value: u64) {
        self.0.message(self.1, |pair| {
            pair.bytes(1, key.as_bytes());
            pair.message(2, |any| any.one_number(3, value));
        });
    }

    fn method(&mut self, method: &str) {
        match known_method(method) {
            Some(known) => self.text("http.request.method", known),
            None => {
                self.text("http.request.method", "_OTHER");
                self.text("http.request.method_original", method);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_taken_apart() {
        for (host, scheme, expected) in [
            ("api.example", "http", ("api.example", 80)),
            ("api.example", "https", ("api.example", 443)),
            ("api.example:8080", "https", ("api.example", 8080)),
            ("[::1]:8080", "http", ("::1", 8080)),
            ("[::1]", "http", ("::1", 80)),
            ("api.example:x", "http", ("api.example", 80)),
        ] {
            assert_eq!(host_and_port(host, scheme), expected, "{host}");
        }
    }
}
