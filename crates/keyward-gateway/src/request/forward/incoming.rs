//! An answer as the client gets it.

use super::Call;
use crate::body::{AnswerBody, Download, Upload};
use crate::capture::Side;
use crate::deadlines::Patience;
use crate::message::{AnswerHead, Fields, Header, RequestHead, Version};
use crate::record::CallRecord;
use crate::request::attempts::{Attempts, Lease};
use crate::request::{Answer, Refusal, grpc, headers, upgrade};
use crate::tunnel::Tunnel;
use crate::upstream::UpstreamConnection;
use bytes::Bytes;
use http::{Method, StatusCode};
use keyward_model::{Code, Fault};
use std::rc::Rc;

impl Call<'_> {
    /// Passes an interim answer on (RFC 9110, section 15.2; RFC 8297), where the client takes it for what it is.
    /// `asked` is its request as it goes to the upstream.
    pub(super) fn hint(&self, hint: AnswerHead, asked: &RequestHead) {
        let understands = match asked.version {
            Version::Http2 | Version::Http3 => true,
            // Libraries that speak HTTP/1.1 take whatever comes first but 100 for the answer (RFC 8297, section 3):
            // a browser does not, and no one else says this of a request.
            Version::Http11 => asked.fields.all_named("sec-fetch-mode").next().is_some(),
            Version::Http10 => false,
        };
        // Nobody asked the upstream whether a body may come.
        if !understands || hint.status == StatusCode::CONTINUE {
            return;
        }
        let AnswerHead {
            status,
            version,
            mut fields,
        } = hint;
        headers::strip_hop_by_hop(&mut fields);
        fields.remove(Header::ContentLength);
        let route = &self.matched.route.route;
        route.plan.response_headers.apply(&mut fields);
        self.seat.hint(AnswerHead {
            status,
            version,
            fields,
        });
    }

    /// The tunnel that the upstream has agreed to. `asked` are the fields of the request.
    pub(super) fn switched(
        &self,
        lease: Lease,
        head: AnswerHead,
        asked: &Fields,
        record: &mut CallRecord,
    ) -> Result<Answer, Refusal> {
        let failed = |why| {
            let fault = Fault::new(
                Code::UpstreamFailed,
                "The API's upstream answered what it was not asked",
            );
            Refusal::from(fault.because(why))
        };
        let Some(plan) = self
            .matched
            .route
            .route
            .plan
            .websocket
            .as_ref()
            .filter(|_| self.upgrades)
        else {
            return Err(failed("101 Switching Protocols"));
        };
        upgrade::check(asked, &head).map_err(failed)?;
        let UpstreamConnection::Http1(connection) = lease.connection else {
            return Err(failed("101, which HTTP/2 does not have"));
        };
        let mut fields = head.fields;
        headers::strip_hop_by_hop(&mut fields);
        fields.remove(Header::ContentLength);
        let route = &self.matched.route.route;
        route.plan.response_headers.apply(&mut fields);
        self.admitted.tell_limits(route, &mut fields);
        record.answered(head.status.as_u16());
        let tunnel = Tunnel::new(
            connection,
            lease.occupied,
            plan,
            self.admitted.authenticated(),
            Rc::clone(self.worker),
            Rc::clone(self.seat),
        );
        let mut answer = Answer::own(head.status, fields, AnswerBody::full(Bytes::new()));
        answer.declared_length = None;
        answer.tunnel = Some(Box::new(tunnel));
        Ok(answer)
    }

    /// The answer as it came, but for what ends here.
    pub(super) fn answered(
        &self,
        attempts: &Attempts<'_>,
        lease: Lease,
        upload: Upload,
        head: AnswerHead,
        method: &Method,
        record: &mut CallRecord,
    ) -> Result<Answer, Refusal> {
        let route = &self.matched.route.route;
        let mut fields = head.fields;
        let declared_length = if *method == Method::HEAD || head.status == StatusCode::NOT_MODIFIED
        {
            fields
                .get(Header::ContentLength)
                .and_then(|text| std::str::from_utf8(text).ok()?.parse().ok())
        } else {
            None
        };
        headers::strip_hop_by_hop(&mut fields);
        fields.remove(Header::ContentLength);
        record.answered(head.status.as_u16());
        if let Some(capture) = &record.capture {
            capture.body(Side::Response, &fields);
        }
        if record.is_grpc {
            record.grpc_status = grpc::status_in(&fields);
        }
        let body = AnswerBody::upstream(Download {
            connection: Some(lease.connection),
            occupied: Some(lease.occupied),
            worker: Rc::clone(self.worker),
            seat: Rc::clone(self.seat),
            keep: attempts.plan.declared.idle_timeout,
            upload,
            idle: Patience::new(route.body_idle),
            deadline: attempts.deadline,
            trailers: None,
        });
        Ok(Answer {
            status: head.status,
            fields,
            body,
            declared_length,
            closes: false,
            spent: Fields::new(),
            tunnel: None,
        })
    }
}
