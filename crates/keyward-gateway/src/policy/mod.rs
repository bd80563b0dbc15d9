//! Policies of a route: what stands in a call's way besides who calls, and what is added to every answer.
//!
//! Each is compiled when the configuration changes. A route without policies pays one look at one pointer for
//! each of the places where they have their say:
//!
//! 1. [`PolicyPlan::begins`], before anything can refuse: what answers will need to know of the call, so that
//!    refusals too carry what a browser has to see.
//! 2. [`PolicyPlan::bounds`], first of all refusals: sizes are known and cost nothing.
//! 3. [`PolicyPlan::screens`], when the client's address is known and before anyone asks who calls: the address,
//!    then pages' origins, so that a preflight, which never has a token, is answered without one.
//! 4. [`decide`], where another service has its say.
//! 5. [`CallPolicies::finish`], on every answer.
//!
//! What is done with the content of calls is a plan of its own ([`content`]), which has its turn after limits.

mod address_set;
pub(crate) mod cache;
pub(crate) mod content;
mod cors;
mod external_decision;
mod filling;
pub(crate) mod idempotency;
mod ip_filter;
pub(crate) mod memory;
mod security_headers;
mod size_limits;
pub(crate) mod transformation;
pub(crate) mod validation;
pub(crate) mod whole;

pub(crate) use address_set::AddressSet;
pub use address_set::{AddressFileError, check_address_file};
pub(crate) use external_decision::{Asked, DecisionRoute, decide};
pub(crate) use filling::FillingReader;

use crate::body::RequestBody;
use crate::message::{Fields, Header, RequestHead};
use crate::metrics::PolicyEvent;
use crate::request::{Answer, CallOrigin, Client, Refusal, is_trusted};
use crate::worker::Worker;
use cors::{CorsPlan, Standing};
use ip_filter::AddressFilter;
use keyward_model::Fault;
use keyward_model::resource::policy::{Policies, SizeLimits};
use security_headers::SecurityPlan;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

/// What a route's policies are, ready to apply.
#[derive(Debug)]
pub(crate) struct PolicyPlan {
    sizes: Option<SizeLimits>,
    addresses: Option<AddressFilter>,
    cors: Option<CorsPlan>,
    security: Option<SecurityPlan>,
}

/// What the answer to one call has to carry.
#[derive(Debug)]
pub(crate) struct CallPolicies {
    plan: Arc<PolicyPlan>,
    standing: Standing,
    /// Whether the client speaks TLS, with us or with a trusted proxy.
    secure: bool,
}

impl PolicyPlan {
    /// `None` where the route has no policy. `file` gives the addresses of a file.
    pub(crate) fn compile(
        declared: &Policies,
        file: &mut dyn FnMut(&Path) -> Result<Arc<AddressSet>, AddressFileError>,
    ) -> Result<Option<Arc<Self>>, AddressFileError> {
        if *declared == Policies::default() {
            return Ok(None);
        }
        let addresses = match &declared.ip_filter {
            Some(filter) => Some(AddressFilter::new(filter, file)?),
            None => None,
        };
        Ok(Some(Arc::new(Self {
            sizes: declared.size_limits,
            addresses,
            cors: declared.cors.as_deref().map(CorsPlan::new),
            security: declared.security_headers.as_deref().map(SecurityPlan::new),
        })))
    }

    /// Whether preflights are answered here, and go no further.
    pub(crate) fn answers_preflights(&self) -> bool {
        self.cors.is_some()
    }

    /// Whether calls from this address go on; `None` where no filter looks at it.
    pub(crate) fn lets_in(&self, address: IpAddr) -> Option<bool> {
        let addresses = self.addresses.as_ref()?;
        Some(addresses.lets_in(address))
    }

    /// What the answer will need to know of the call.
    pub(crate) fn begins(
        self: &Arc<Self>,
        worker: &Worker,
        client: &Client,
        fields: &Fields,
    ) -> Option<Box<CallPolicies>> {
        if self.cors.is_none() && self.security.is_none() {
            return None;
        }
        let cors = self.cors.as_ref();
        let told_by_proxy = || {
            fields.get(Header::XForwardedProto) == Some(b"https")
                && is_trusted(worker, client.address())
        };
        Some(Box::new(CallPolicies {
            plan: Arc::clone(self),
            standing: cors.map_or(Standing::NoPage, |cors| cors.standing(fields)),
            secure: client.is_protected() || told_by_proxy(),
        }))
    }

    /// Refuses what is too large.
    pub(crate) fn bounds(
        &self,
        worker: &Worker,
        head: &RequestHead,
        body: &RequestBody,
    ) -> Result<(), Fault> {
        let Some(sizes) = &self.sizes else {
            return Ok(());
        };
        size_limits::check(sizes, head, body)
            .inspect_err(|_| worker.metrics.policy(PolicyEvent::SizeRefused))
    }

    /// Refuses who may not call from there, and answers preflights.
    pub(crate) fn screens(
        &self,
        worker: &Worker,
        client: &Client,
        origin: &CallOrigin,
        head: &RequestHead,
        call: Option<&mut CallPolicies>,
    ) -> Result<Option<Answer>, Refusal> {
        if let Some(addresses) = &self.addresses
            && !addresses.lets_in(origin.address)
        {
            worker.metrics.policy(PolicyEvent::AddressRefused);
            return Err(ip_filter::refusal(origin.address).into());
        }
        let (Some(cors), Some(call)) = (&self.cors, call) else {
            return Ok(None);
        };
        if cors::is_preflight(head) {
            let answer = cors.preflight(head, &mut call.standing);
            worker.metrics.policy(match &answer {
                Ok(_) => PolicyEvent::PreflightAnswered,
                Err(_) => PolicyEvent::PreflightRefused,
            });
            return Ok(Some(answer?));
        }
        cors.lets_in(head, &call.standing, client.is_protected())
            .inspect_err(|_| worker.metrics.policy(PolicyEvent::OriginRefused))?;
        Ok(None)
    }
}

impl CallPolicies {
    /// Changes the head of the call's answer, whoever made it.
    pub(crate) fn finish(&self, fields: &mut Fields) {
        if let Some(cors) = &self.plan.cors {
            cors.finish(&self.standing, fields);
        }
        if let Some(security) = &self.plan.security {
            security.finish(self.secure, fields);
        }
    }
}
