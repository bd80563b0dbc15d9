//! Answers without an upstream: redirects and fixed responses.

use super::header_edits::pairs;
use super::rewrite::{MatchedPath, RewritePlan};
use crate::message::{Fields, Header};
use crate::snapshot::route_table::name_of;
use bytes::Bytes;
use http::StatusCode;
use keyward_model::resource::route::{FixedResponse, LocationPath, Redirect, Scheme};

/// A redirect.
#[derive(Debug)]
pub(crate) struct RedirectPlan {
    pub(crate) status: StatusCode,
    scheme: Option<Scheme>,
    host: Option<Box<str>>,
    /// `None`: the path that was called.
    path: Option<RewritePlan>,
}

impl RedirectPlan {
    pub(crate) fn new(redirect: &Redirect) -> Result<Self, String> {
        Ok(Self {
            status: status(redirect.status)?,
            scheme: redirect.scheme,
            host: redirect.host.clone(),
            path: match &redirect.path {
                LocationPath::Same => None,
                LocationPath::Rewritten(rewrite) => Some(RewritePlan::new(rewrite)),
            },
        })
    }

    /// Adds where it leads, without the query, to `out`. What is not said stays: without scheme and host
    /// the reference is relative (RFC 9110, section 10.2.2), so that what the client called the gateway
    /// behind a proxy need not be guessed. `None` where a host is needed and `called` is none.
    pub(super) fn apply(
        &self,
        path: &MatchedPath<'_>,
        segments: usize,
        called: Option<&str>,
        out: &mut String,
    ) -> Option<()> {
        if let Some(scheme) = self.scheme {
            out.push_str(scheme.as_str());
            out.push(':');
        }
        if self.scheme.is_some() || self.host.is_some() {
            out.push_str("//");
            match &self.host {
                Some(host) => out.push_str(host),
                // Without the port, which belongs to the scheme that was called.
                None => out.push_str(called.map(name_of).filter(|host| is_host(host))?),
            }
        }
        match &self.path {
            Some(rewrite) => {
                let mut new = String::new();
                rewrite.apply(path, segments, &mut new);
                out.push_str(&new);
            }
            None => out.push_str(path.path.path_after(0)),
        }
        Some(())
    }
}

/// Whether this is a host that may stand in an address as it is.
fn is_host(host: &str) -> bool {
    let plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    !host.is_empty() && host.bytes().all(plain)
}

/// An answer that is always the same.
#[derive(Debug)]
pub(crate) struct FixedAnswer {
    pub(crate) status: StatusCode,
    pub(crate) fields: Fields,
    pub(crate) body: Bytes,
}

impl FixedAnswer {
    pub(crate) fn new(response: &FixedResponse) -> Result<Self, String> {
        let mut fields = Fields::new();
        for (name, value) in pairs(&response.headers)? {
            fields.append_named(name.as_str(), value.as_bytes());
        }
        if !response.body.is_empty() && !fields.has(Header::ContentType) {
            fields.append(Header::ContentType, b"text/plain; charset=utf-8");
        }
        Ok(Self {
            status: status(response.status)?,
            fields,
            body: Bytes::copy_from_slice(response.body.as_bytes()),
        })
    }
}

fn status(status: u16) -> Result<StatusCode, String> {
    StatusCode::from_u16(status).map_err(|_| format!("{status} is no status"))
}
