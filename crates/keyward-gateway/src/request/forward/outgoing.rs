//! A request as a target gets it.

use super::Call;
use crate::body::Upload;
use crate::http1::write_decimal;
use crate::message::fields::write_field;
use crate::message::{Class, Header, RequestHead};
use crate::record::CallRecord;
use crate::request::authenticate::Authenticated;
use crate::request::{headers, upgrade};
use crate::upstream::{RequestParts, TargetPlan, UpstreamConnection, UpstreamPlan};
use http::Method;
use keyward_model::{Code, Fault};

/// A request as one target gets it.
#[derive(Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) head: &'a RequestHead,
    pub(super) target: &'a TargetPlan,
    pub(super) length: Told,
    pub(super) takes_trailers: bool,
}

/// What the upstream is told of the body's length.
#[derive(Clone, Copy)]
pub(super) enum Told {
    Nothing,
    Length(u64),
    /// It ends when it ends.
    Open,
}

/// A request without a body says nothing of its length, unless its method means one (RFC 9110, section 8.6).
pub(super) fn told_length(method: &Method, upload: &Upload) -> Told {
    match upload.length() {
        Some(0) if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) => Told::Nothing,
        Some(length) => Told::Length(length),
        None => Told::Open,
    }
}

pub(super) fn target_of(plan: &UpstreamPlan, target: usize) -> Result<&TargetPlan, Fault> {
    let target = plan.targets.get(target);
    target
        .map(|target| &**target)
        .ok_or_else(|| Fault::new(Code::Internal, "Something went wrong here"))
}

impl Call<'_> {
    /// Fields as the upstream gets them, but for those that depend on the target.
    pub(super) fn edit(&self, head: &mut RequestHead, record: &CallRecord) {
        let version = head.version;
        let fields = &mut head.fields;
        // What `Connection` names went when the call came in: what is here now may be ours.
        fields.retain(|field| !field.is(Class::HOP) && field.header != Header::Expect);
        if self.matched.route.route.is_to_provider {
            // It is told nothing of who calls, nor of what stands before us.
            fields.retain(|field| !matches!(field.header, Header::Host | Header::ContentLength));
            return;
        }
        let trusted = self.admitted.origin().trusted_proxy;
        headers::set_forwarded(fields, version, self.client, trusted);
        self.matched.route.route.plan.edit_request(fields);
        fields.set(Header::RequestId, record.request_id_text());
        if let Some(trace) = &record.trace {
            trace.edit(fields);
        }
        // These are written anew for each target.
        fields.retain(|field| !matches!(field.header, Header::Host | Header::ContentLength));
        if let Authenticated::Caller(verified) = self.admitted.authenticated() {
            fields.append_all(&verified.identity);
        }
        if self.upgrades {
            upgrade::ask(fields);
        }
    }

    /// Gives the request's head to the connection, in the form of its protocol.
    pub(super) fn write_head(
        &self,
        outgoing: Outgoing<'_>,
        connection: &mut UpstreamConnection,
    ) -> Result<(), Fault> {
        let Outgoing { head, target, .. } = outgoing;
        match connection {
            UpstreamConnection::Http1(connection) => {
                let out = connection.begin();
                out.extend_from_slice(head.method.as_str().as_bytes());
                out.push(b' ');
                self.write_path(target, out);
                out.extend_from_slice(b" HTTP/1.1\r\n");
                write_field(out, b"host", target.host.as_bytes());
                head.fields.write(out);
                match outgoing.length {
                    Told::Nothing => {}
                    Told::Length(length) => {
                        out.extend_from_slice(b"content-length: ");
                        write_decimal(out, length);
                        out.extend_from_slice(b"\r\n");
                    }
                    Told::Open => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
                }
                out.extend_from_slice(b"\r\n");
            }
            UpstreamConnection::Http2(call) => {
                let mut path = Vec::new();
                self.write_path(target, &mut path);
                let parts = RequestParts {
                    method: &head.method,
                    scheme: &target.scheme,
                    authority: &target.authority,
                    path,
                    fields: &head.fields,
                    length: match outgoing.length {
                        Told::Length(length) => Some(length),
                        Told::Nothing | Told::Open => None,
                    },
                    takes_trailers: outgoing.takes_trailers,
                };
                call.begin(parts.into_request()?);
            }
        }
        Ok(())
    }

    /// The path and query as the target gets them.
    fn write_path(&self, target: &TargetPlan, out: &mut Vec<u8>) {
        let path_prefix = &*target.target.path_prefix;
        let rest = &*self.matched.path;
        out.extend_from_slice(path_prefix.as_bytes());
        if path_prefix.is_empty() && !rest.starts_with('/') {
            out.push(b'/');
        }
        out.extend_from_slice(rest.as_bytes());
    }
}
