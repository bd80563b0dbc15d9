//! Policies: what stands in a call's way besides who calls and how often, and what is added to answers.
//!
//! Each is said of an API, and of a route where that differs; a route's policy takes the place of the API's
//! whole.

mod cors;
mod external_decision;
mod ip_filter;
mod security_headers;
mod size_limits;

pub use cors::{AllowedOrigins, Cors, HeaderNames, NoOriginPattern, OriginPattern};
pub use external_decision::{DecisionCache, ExternalDecision};
pub use ip_filter::{AddressList, IpFilter};
pub use security_headers::{SecurityHeaders, SecurityPreset, StrictTransport};
pub use size_limits::SizeLimits;

use std::path::PathBuf;
use std::sync::Arc;

/// The policies of one route, its API's where it says nothing else. `None`: there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// How large a call may be.
    pub size_limits: Option<SizeLimits>,
    /// Which addresses may call.
    pub ip_filter: Option<Arc<IpFilter>>,
    /// Pages of which origins may read answers.
    pub cors: Option<Arc<Cors>>,
    /// What answers tell browsers to do and not to do.
    pub security_headers: Option<Arc<SecurityHeaders>>,
    /// Who is asked whether a call may pass.
    pub external_decision: Option<Arc<ExternalDecision>>,
}

impl Policies {
    /// The files that they name.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let filter = self.ip_filter.as_mut().map(Arc::make_mut);
        filter.into_iter().flat_map(IpFilter::paths_mut)
    }

    /// The files that they name.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.ip_filter.iter().flat_map(|filter| filter.paths())
    }
}
