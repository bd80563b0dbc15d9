//! Where traces go, and of which calls.

use super::access_log::{Sample, sample};
use super::address::{is_local, plain_and_host};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use keyward_gateway::trace::Believed;
use keyward_model::resource::raw::{Field, Problems};
use serde_json::json;

/// The path behind a collector's address (the OTLP specification, section "OTLP/HTTP Request").
const TRACES_PATH: &str = "/v1/traces";
/// More headers than any collector asks for.
const HEADERS_MAX: usize = 20;

/// Traces of calls, and their collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tracing {
    /// Where spans are sent to, path included.
    pub(crate) url: Box<str>,
    /// What the collector asks for. Values are secrets.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// What this node is called in traces.
    pub(crate) service_name: Box<str>,
    /// The share of the calls that is recorded, where nobody else has decided.
    pub(crate) sample: Sample,
    /// Whose trace is continued.
    pub(crate) believed: Believed,
}

const BELIEVED: [(&str, Believed); 3] = [
    ("nobody", Believed::Nobody),
    ("trusted_proxies", Believed::TrustedProxies),
    ("everyone", Believed::Everyone),
];

impl Tracing {
    /// As `check --json` shows it: without what headers hold.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let headers = self.headers.iter().map(|(name, _)| name.as_str());
        let believed = BELIEVED
            .iter()
            .find_map(|(word, believed)| (*believed == self.believed).then_some(*word));
        json!({
            "url": self.url,
            "headers": headers.collect::<Vec<_>>(),
            "service_name": self.service_name,
            "sample": self.sample.share(),
            "believe": believed,
        })
    }
}

/// Reads `tracing`.
///
/// `closed` says that the egress of the node may go to public addresses alone.
pub(super) fn read(field: Field<'_>, closed: bool, problems: &mut Problems) -> Option<Tracing> {
    let keys = ["endpoint", "headers", "service_name", "sample", "believe"];
    let fields = field.fields(&keys, problems)?;
    let advice = "name the collector's address for OTLP over HTTP, such as http://127.0.0.1:4318";
    let url = fields
        .required("endpoint", advice, problems)
        .and_then(|field| field.parsed(url, "is no collector's address: write https://host, or http://host:4318, without a query", problems));
    let headers = match fields.optional("headers") {
        Some(field) => headers(field, problems),
        None => Some(Vec::new()),
    };
    let service_name = match fields.optional("service_name") {
        Some(field) => field.text(problems).map(Into::into),
        None => Some("keyward".into()),
    };
    let sample = match fields.optional("sample") {
        Some(field) => sample(field, "no call that nobody else asks for", problems),
        None => Some(Sample::ALL),
    };
    let believed = match fields.optional("believe") {
        Some(field) => field.one_of(&BELIEVED, problems),
        None => Some(Believed::default()),
    };
    let (url, headers) = (url?, headers?);
    let (plain, host) = plain_and_host(&url);
    if closed && (plain || is_local(host)) {
        problems.warning(
            field.place(),
            "egress_closed",
            format!("`endpoint`: {host} is not public, or would be sent to without TLS, so no trace will get there: name its address under `egress: {{ allow: [ … ] }}`"),
        );
    }
    Some(Tracing {
        url,
        headers,
        service_name: service_name?,
        sample: sample?,
        believed: believed?,
    })
}

fn url(text: &str) -> Option<Box<str>> {
    keyward_egress::Url::parse(text).ok()?;
    if text.contains(['?', '#']) {
        return None;
    }
    let base = text.strip_suffix('/').unwrap_or(text);
    Some(match base.ends_with(TRACES_PATH) {
        true => base.into(),
        false => format!("{base}{TRACES_PATH}").into(),
    })
}

fn headers(field: Field<'_>, problems: &mut Problems) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let entries = field.entries(problems)?;
    if entries.len() > HEADERS_MAX {
        field.refuse("has more than 20 headers", problems);
        return None;
    }
    let read: Vec<_> = entries
        .into_iter()
        .map(|entry| {
            // What stands there may be a secret: it is not told.
            let told = |why: &str, problems: &mut Problems| {
                problems.error(
                    entry.place(),
                    "bad_value",
                    format!("`{}`: {why}", entry.key()),
                );
            };
            let Ok(name) = entry.key().parse::<HeaderName>() else {
                told("this is no header's name", problems);
                return None;
            };
            let mut value = HeaderValue::from_str(entry.secret("", problems)?).ok();
            match &mut value {
                Some(value) => value.set_sensitive(true),
                None => told("what it holds can't be sent as a header's value", problems),
            }
            if name == CONTENT_TYPE || !may_be_set(&name) {
                told("the export sets this header itself", problems);
                return None;
            }
            Some((name, value?))
        })
        .collect();
    read.into_iter().collect()
}

/// Whether the egress leaves the header to others.
fn may_be_set(name: &HeaderName) -> bool {
    let probe = keyward_egress::Request::get("https://collector.invalid/");
    probe.is_ok_and(|request| {
        request
            .header(name.clone(), HeaderValue::from_static(""))
            .is_ok()
    })
}
