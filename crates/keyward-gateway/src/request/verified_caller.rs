//! A caller who has proved who it is, with what later calls would have to work out again.

use super::authenticate::Binding;
use crate::message::Fields;
use crate::snapshot::BudgetPlan;
use keyward_access::Memory;
use keyward_model::{Caller, Timestamp};
use keyward_state::limit::Cell as LimitCell;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// What is known of a caller: from a token as long as that is remembered, from a certificate as long as its
/// connection lasts.
#[derive(Debug)]
pub(crate) struct VerifiedCaller {
    pub(crate) caller: Arc<Caller>,
    /// What the upstream is told of it.
    pub(crate) identity: Fields,
    /// Whether it is among those that the API lists, where it lists any.
    pub(crate) listed: bool,
    /// When it is verified anew at the latest.
    pub(crate) until: Timestamp,
    /// When it stops being taken: a token's `exp` with the leeway, or its greatest age; a certificate's end.
    pub(crate) ends: Timestamp,
    /// The number of changes to key sets when it was verified.
    pub(crate) key_epoch: u64,
    /// The number of changes to revocations when it was last looked up there.
    pub(crate) revocation_epoch: Cell<u64>,
    /// What its token is bound to, which is checked at each call; `None` for most.
    pub(crate) binding: Option<Box<Binding>>,
    /// The caller's cell of each of the route's limits, once it was needed.
    pub(crate) cells: RefCell<Vec<Option<Arc<LimitCell>>>>,
    /// Limits in what calls of AI models with its credential take, where that has some.
    pub(crate) budgets: Option<Arc<BudgetPlan>>,
    /// What was found out about what it may do, where a route asked for more than scopes.
    pub(crate) access: RefCell<Option<Box<Memory>>>,
}
