//! Whether a call may pass now: limits, taken in order. When a later one refuses, those before it get back
//! what was taken, so that a refused call uses nothing up.

mod counted;
mod held;
mod told;

pub(crate) use counted::Counting;
pub(crate) use held::HeldCalls;
pub(crate) use told::unavailable as limits_unavailable;

use super::Refusal;
use super::authenticate::Authenticated;
use super::screen::CallOrigin;
use crate::message::{Fields, RequestHead};
use crate::record::CallRecord;
use crate::snapshot::{CellPlace, LimitPolicy, Route};
use crate::worker::Worker;
use keyward_model::{Code, Fault, Permit};
use keyward_state::limit::{Admission, Cell, Decision, LimitKey, Now, Rule, take_all};
use keyward_state::shared::{SharedAdmission, SharedLimit, SharedWorker};
use smallvec::SmallVec;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// As many limits as a route has as a rule: their state needs no allocation.
const FEW: usize = 2;

/// A call that has passed every check. Only [`admit`] and [`admit_together`] make one, and what forwards a call takes it by
/// value.
#[derive(Debug)]
pub(crate) struct Admitted {
    authenticated: Authenticated,
    origin: CallOrigin,
    limits: LimitState,
}

impl Admitted {
    pub(crate) fn authenticated(&self) -> &Authenticated {
        &self.authenticated
    }

    pub(crate) fn origin(&self) -> CallOrigin {
        self.origin
    }

    /// The same for a copy of the call that nobody waits for: it uses no limit up a second time.
    pub(crate) fn of_copy(&self) -> Self {
        Self {
            authenticated: self.authenticated.clone(),
            origin: self.origin,
            limits: LimitState::default(),
        }
    }

    /// For a question about a call that has its permit and is not admitted yet.
    pub(super) fn to_ask(
        _permit: &Permit,
        authenticated: &Authenticated,
        origin: CallOrigin,
    ) -> Self {
        Self {
            authenticated: authenticated.clone(),
            origin,
            limits: LimitState::default(),
        }
    }

    /// Tells the caller in the answer how much is left.
    pub(crate) fn tell_limits(&self, route: &Route, fields: &mut Fields) {
        self.limits.tell(&route.limits, fields);
    }
}

/// What each limit said, in order: how many are left, and when all are there again.
#[derive(Debug, Default)]
struct LimitState {
    left: SmallVec<[(u32, Duration); FEW]>,
}

/// A call that asks whether it may pass now. The permit is spent on it: what may pass once is counted once.
pub(crate) struct Asking<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) route: &'a Route,
    pub(crate) permit: Permit,
    pub(crate) authenticated: Authenticated,
    pub(crate) origin: CallOrigin,
    pub(crate) head: &'a RequestHead,
    /// The AI model that is asked for, where one is.
    pub(crate) model: Option<&'a str>,
}

impl Asking<'_> {
    fn has_limits(&self) -> bool {
        !self.route.limits.limits.is_empty()
    }

    fn counters(&self) -> Counters<'_> {
        // Not when the call began: it may have waited since for an issuer's keys or another's decision, and by
        // that time a limit would be as used up as it was then.
        let moment = self.worker.moment();
        Counters {
            worker: self.worker,
            route: self.route,
            counting: Counting {
                caller: self.permit.caller(),
                address: self.origin.address,
                head: self.head,
                route: self.route,
                model: self.model,
            },
            authenticated: &self.authenticated,
            now: Now {
                moment,
                civil: self.worker.civil(moment),
            },
        }
    }

    fn admitted(self, limits: LimitState) -> Admitted {
        Admitted {
            authenticated: self.authenticated,
            origin: self.origin,
            limits,
        }
    }
}

/// Takes one call from each of the route's limits.
pub(crate) fn admit(asking: Asking<'_>, record: &mut CallRecord) -> Result<Admitted, Refusal> {
    let mut limits = LimitState::default();
    if asking.has_limits() {
        limits = asking.counters().take(record)?;
    }
    Ok(asking.admitted(limits))
}

/// The same where several nodes count together.
pub(crate) async fn admit_together(
    shared: &Rc<SharedWorker>,
    asking: Asking<'_>,
    record: &mut CallRecord,
) -> Result<Admitted, Refusal> {
    let mut limits = LimitState::default();
    if asking.has_limits() {
        let counters = asking.counters();
        limits = counters.take_together(shared, record).await?;
    }
    Ok(asking.admitted(limits))
}

/// Whom this call counts for.
struct Counters<'a> {
    worker: &'a Worker,
    route: &'a Route,
    counting: Counting<'a>,
    authenticated: &'a Authenticated,
    now: Now,
}

/// The cells of one call, in the order of its limits.
type Cells = SmallVec<[Arc<Cell>; FEW]>;

impl Counters<'_> {
    fn take(&self, record: &mut CallRecord) -> Result<LimitState, Refusal> {
        let plan = &self.route.limits;
        let mut cells = self.cells()?;
        loop {
            let taking: SmallVec<[(&Cell, &Rule); FEW]> = cells
                .iter()
                .zip(&plan.limits)
                .map(|(cell, limit)| (&**cell, &limit.rule))
                .collect();
            let mut left = SmallVec::new();
            let admission = take_all(&taking, self.now, |_, decision| match decision {
                Decision::Allowed {
                    remaining,
                    reset,
                    taken: _,
                } => left.push((*remaining, *reset)),
                Decision::Refused { .. } => {}
            });
            drop(taking);
            match admission {
                Admission::Allowed => {
                    if plan.holds {
                        record.held = HeldCalls::of(plan, cells, Vec::new());
                    }
                    return Ok(LimitState { left });
                }
                Admission::Refused {
                    index,
                    retry_after,
                    reset,
                } => {
                    return Err(self.refuse(index, retry_after, reset, record));
                }
                Admission::Evicted { index } => self.renew(&mut cells, index)?,
            }
        }
    }

    async fn take_together(
        &self,
        shared: &Rc<SharedWorker>,
        record: &mut CallRecord,
    ) -> Result<LimitState, Refusal> {
        let plan = &self.route.limits;
        let mut cells = self.cells()?;
        loop {
            let taking: SmallVec<[SharedLimit<'_>; FEW]> = cells
                .iter()
                .zip(&plan.limits)
                .map(|(cell, limit)| SharedLimit {
                    cell,
                    rule: &limit.rule,
                    on_outage: limit.on_outage,
                })
                .collect();
            let admission = shared.take_all(&taking, self.now).await;
            drop(taking);
            match admission {
                SharedAdmission::Allowed { left, slots } => {
                    if plan.holds {
                        record.held = HeldCalls::of(plan, cells, slots);
                    }
                    return Ok(LimitState { left });
                }
                SharedAdmission::Refused {
                    index,
                    retry_after,
                    reset,
                } => {
                    return Err(self.refuse(index, retry_after, reset, record));
                }
                SharedAdmission::Unavailable { index } => {
                    return Err(self.unavailable(index, record));
                }
                SharedAdmission::Evicted { index } => self.renew(&mut cells, index)?,
            }
        }
    }

    fn cells(&self) -> Result<Cells, Refusal> {
        let limits = self.route.limits.limits.iter();
        limits.map(|limit| self.cell(limit)).collect()
    }

    /// Looks a cell up again that was evicted.
    fn renew(&self, cells: &mut Cells, index: usize) -> Result<(), Refusal> {
        if let (Some(place), Some(limit)) =
            (cells.get_mut(index), self.route.limits.limits.get(index))
        {
            *place = self.look_up(limit)?;
        }
        Ok(())
    }

    fn cell(&self, limit: &LimitPolicy) -> Result<Arc<Cell>, Refusal> {
        let known = match &limit.cells {
            CellPlace::Caller(place) => self.authenticated.cell(*place),
            CellPlace::Here(cell) => cell.get().cloned(),
            CellPlace::Nowhere => None,
        };
        match known {
            Some(cell) => Ok(cell),
            None => self.look_up(limit),
        }
    }

    /// Finds the cell, or makes it, and remembers it where that is of use.
    fn look_up(&self, limit: &LimitPolicy) -> Result<Arc<Cell>, Refusal> {
        let labels = &self.route.labels;
        let (found, of_caller) = self.counting.with(&limit.by, |counted| {
            let key = LimitKey {
                team: labels.team,
                team_name: labels.team_name.as_str(),
                limit: &limit.id,
                rule: limit.rule,
                counted,
            };
            self.worker.shared.limits.cell(&key, self.now)
        });
        let cell = found.map_err(|error| {
            let fault = Fault::new(
                Code::Overloaded,
                "Too many callers are being counted; try again later",
            );
            Refusal::from(fault.because(format_args!("limit {}: {error}", limit.id)))
        })?;
        match &limit.cells {
            CellPlace::Caller(place) if of_caller => {
                self.authenticated.remember_cell(*place, &cell);
            }
            // The index keeps a route's cell as long as someone holds it.
            CellPlace::Here(here) => {
                here.get_or_init(|| Arc::clone(&cell));
            }
            CellPlace::Caller(_) | CellPlace::Nowhere => {}
        }
        Ok(cell)
    }

    /// What several nodes count in can't be asked, and the limit says that nothing passes then.
    fn unavailable(&self, index: usize, record: &mut CallRecord) -> Refusal {
        let limit = self.route.limits.limits.get(index);
        let name = limit.map_or("", |limit| limit.name.as_str());
        record.limit = Some(name.into());
        told::unavailable(name)
    }

    fn refuse(
        &self,
        index: usize,
        retry_after: Duration,
        reset: Duration,
        record: &mut CallRecord,
    ) -> Refusal {
        let plan = &self.route.limits;
        let Some(limit) = plan.limits.get(index) else {
            return Fault::new(Code::RateLimited, "A limit is used up; try again later").into();
        };
        limit.metrics.refused(self.worker.index);
        record.limit = Some(limit.name.as_str().into());
        told::refusal(plan, limit, retry_after, reset, self.now)
    }
}
