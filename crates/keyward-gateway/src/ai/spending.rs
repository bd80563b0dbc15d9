//! What a call of a model may take and took, under limits in tokens and money.
//!
//! Before it is made, a call holds of each budget the most that it can take: what its body can be read as, what it may
//! write, at the dearest target of its chain. When it has ended, what the provider says that it took takes that place. So
//! calls that come at once can't pass a budget together, however little each was expected to take.

mod amount;
mod beside;
mod keys;
mod refusal;

use super::answering::{Spent as Attempts, Taken};
use super::intent::{Intent, ModelCall};
use super::plan::{AiRoute, ModelPlan};
use super::task;
use crate::message::{Fields, Header, RequestHead};
use crate::metrics::LimitMetrics;
use crate::record::CallRecord;
use crate::request::{Authenticated, CallOrigin, Counting, Refusal};
use crate::snapshot::{BudgetPlan, BudgetPolicy, Route};
use crate::worker::Worker;
use amount::{Bound, CostBound, Took, at_most, at_target};
use keyward_llm::bound::RequestBound;
use keyward_model::limit::Unit;
use keyward_model::usage::{ModelUse, PicoUsd, TokenCounts, UnitCounts};
use keyward_model::{Caller, Code, Fault, Name};
use keyward_state::limit::{
    Account, Claimed, Holding, Holds, LimitKey, Now, Spending, Spent, hold_all,
};
use keyward_state::shared::{SharedClaim, SharedHolding, SharedHolds};
use smallvec::SmallVec;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Most calls have few budgets.
const FEW: usize = 4;

/// How often a request is made smaller to fit what is left: others take from that meanwhile.
const LOWERED_MAX: u32 = 3;

/// An account that was evicted is looked up again, and may have been evicted again: by a flood, or not at all.
const LOOKED_UP_MAX: u32 = 8;

/// A call that asks whether it may take what it may take.
pub(crate) struct Asking<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) route: &'a Route,
    pub(crate) ai: &'a AiRoute,
    pub(crate) authenticated: &'a Authenticated,
    pub(crate) caller: &'a Caller,
    pub(crate) origin: CallOrigin,
    pub(crate) head: &'a RequestHead,
}

/// What a call holds until it has ended. Wherever that is, it is settled when this is dropped.
pub(crate) struct CallSpending {
    worker: Rc<Worker>,
    model: Arc<ModelPlan>,
    /// `None` of a call that costs nothing.
    bound: Option<Bound>,
    held: Option<Held>,
    /// By which budgets, and where those count.
    budgets: Budgets,
    /// What is held besides for attempts that came to nothing and are charged.
    failed: beside::FailedHold,
    /// What the attempt that is under way, or was the last, holds of its provider's key.
    key: Option<Held>,
    stage: Stage,
    /// Whether a provider has answered.
    answered: bool,
    /// Who is asked beside the target that is under way.
    beside: Rc<Cell<Option<usize>>>,
    /// What other attempts took than the one that holds of a key.
    others: Took,
    /// Who was asked last.
    provider: Option<Name>,
    /// Where it is counted what the call took, of each budget that is counted.
    metrics: SmallVec<[(Unit, Arc<LimitMetrics>); FEW]>,
    /// What `RateLimit` and `RateLimit-Policy` say.
    left: String,
    policy: String,
}

/// The budgets that a call counts under, and where each of their limits counts it.
#[derive(Default)]
struct Budgets {
    plans: SmallVec<[Arc<BudgetPlan>; FEW]>,
    accounts: SmallVec<[Arc<Account>; FEW]>,
}

/// How far the call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It was refused by something else, and has taken nothing.
    NotMade,
    /// A provider is asked, the one of this target: should the caller leave now, nobody will say what it took.
    UnderWay(usize),
    /// It is known what it took.
    Told(Took),
}

/// What is held, here or where nodes count together, and by which limits.
enum Held {
    Here(Holds),
    Together(SharedHolds),
}

/// Holds what a call may take of each of its budgets. `None` where it has none. A request may be made smaller by it, where
/// a budget says so.
pub(crate) async fn hold(
    asking: Asking<'_>,
    intent: &mut Intent,
    record: &mut CallRecord,
) -> Result<Option<Box<CallSpending>>, Refusal> {
    match intent {
        Intent::Call(call) => hold_for(asking, call, record).await,
        Intent::List(_) | Intent::Prompts(_) => Ok(None),
    }
}

/// The same for one call of a model.
pub(super) async fn hold_for(
    asking: Asking<'_>,
    call: &mut ModelCall,
    record: &mut CallRecord,
) -> Result<Option<Box<CallSpending>>, Refusal> {
    let model = Arc::clone(&call.model);
    let of_credential = asking.authenticated.budgets().cloned();
    let mut plans: SmallVec<[&Arc<BudgetPlan>; FEW]> = SmallVec::new();
    plans.push(&asking.ai.plan.budgets);
    plans.extend(&model.budgets);
    plans.extend(&of_credential);
    let policies: SmallVec<[&BudgetPolicy; FEW]> =
        plans.iter().flat_map(|plan| plan.budgets.iter()).collect();
    if policies.is_empty() && !model.has_key_budgets {
        return Ok(None);
    }
    let bound = call.bound()?;
    let mut spending = Box::new(CallSpending {
        worker: Rc::clone(asking.worker),
        model: Arc::clone(&model),
        bound,
        held: None,
        budgets: Budgets::default(),
        failed: beside::FailedHold::default(),
        key: None,
        stage: Stage::NotMade,
        answered: false,
        beside: Rc::default(),
        others: Took::default(),
        provider: None,
        metrics: policies
            .iter()
            .filter_map(|policy| Some((policy.rule.unit(), policy.metrics.clone()?)))
            .collect(),
        left: String::new(),
        policy: policy_text(&plans),
    });
    if policies.is_empty() {
        return Ok(Some(spending));
    }
    let mut accounts = asking.accounts(&policies, &model)?;
    let (mut lowered, mut looked_up) = (0, 0);
    loop {
        let amounts = asking.amounts(&policies, &model, spending.bound.as_ref(), record)?;
        let now = now(asking.worker);
        let outcome = spending.take(&policies, &accounts, &amounts, now).await;
        match outcome {
            Outcome::Held => {
                let plans = plans.iter().map(|plan| Arc::clone(plan)).collect();
                spending.budgets = Budgets { plans, accounts };
                return Ok(Some(spending));
            }
            Outcome::Refused { index, spent } => {
                let (Some(policy), Some(amount)) = (policies.get(index), amounts.get(index)) else {
                    return Err(Fault::new(Code::Internal, "Something went wrong here").into());
                };
                let fits = spending.fitting(policy, &spent);
                if let Some(each) = fits.filter(|_| lowered < LOWERED_MAX && call.task.is_none())
                    && let Some(bound) = &mut spending.bound
                {
                    lowered += 1;
                    call.lower(&mut bound.tokens, each)?;
                    continue;
                }
                if let Some(metrics) = &policy.metrics {
                    metrics.refused(asking.worker.index);
                }
                record.limit = Some(policy.name.as_str().into());
                return Err(refusal::spent(policy, *amount, &spent, now));
            }
            Outcome::Unavailable { index } => {
                let name = policies
                    .get(index)
                    .map_or("", |policy| policy.name.as_str());
                record.limit = Some(name.into());
                return Err(crate::request::limits_unavailable(name));
            }
            Outcome::Evicted { index } if looked_up < LOOKED_UP_MAX => {
                looked_up += 1;
                if let (Some(place), Some(policy)) = (accounts.get_mut(index), policies.get(index))
                {
                    *place = asking.account(policy, &model)?;
                }
            }
            Outcome::Evicted { .. } => {
                return Err(Fault::new(
                    Code::Overloaded,
                    "Too many callers are being counted; try again later",
                )
                .into());
            }
        }
    }
}

/// What `RateLimit-Policy` says of all of them.
fn policy_text(plans: &[&Arc<BudgetPlan>]) -> String {
    let texts = plans.iter().map(|plan| plan.header.as_str());
    let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
    texts.join(", ")
}

pub(super) fn now(worker: &Worker) -> Now {
    let moment = worker.moment();
    Now {
        moment,
        civil: worker.civil(moment),
    }
}

/// What becomes of holding.
enum Outcome {
    Held,
    Refused { index: usize, spent: Spent },
    Unavailable { index: usize },
    Evicted { index: usize },
}

impl Asking<'_> {
    fn accounts(
        &self,
        policies: &[&BudgetPolicy],
        model: &ModelPlan,
    ) -> Result<SmallVec<[Arc<Account>; FEW]>, Refusal> {
        let policies = policies.iter();
        policies.map(|policy| self.account(policy, model)).collect()
    }

    fn account(&self, policy: &BudgetPolicy, model: &ModelPlan) -> Result<Arc<Account>, Refusal> {
        let counting = Counting {
            caller: self.caller,
            address: self.origin.address,
            head: self.head,
            route: self.route,
            model: Some(&model.name),
        };
        let labels = &self.route.labels;
        let now = now(self.worker);
        let (found, _) = counting.with(&policy.by, |counted| {
            let key = LimitKey {
                team: labels.team,
                team_name: labels.team_name.as_str(),
                limit: &policy.id,
                rule: policy.rule,
                counted,
            };
            self.worker.shared.limits.account(&key, now)
        });
        found.map_err(|error| {
            let fault = Fault::new(
                Code::Overloaded,
                "Too many callers are being counted; try again later",
            );
            Refusal::from(fault.because(format_args!("limit {}: {error}", policy.id)))
        })
    }

    /// The most that the call may take of each.
    fn amounts(
        &self,
        policies: &[&BudgetPolicy],
        model: &ModelPlan,
        bound: Option<&Bound>,
        record: &mut CallRecord,
    ) -> Result<SmallVec<[u64; FEW]>, Refusal> {
        let mut amounts = SmallVec::new();
        for policy in policies {
            match at_most(policy, model, bound, None) {
                Ok(amount) => amounts.push(amount),
                Err(why) => {
                    if let Some(metrics) = &policy.metrics {
                        metrics.refused(self.worker.index);
                    }
                    record.limit = Some(policy.name.as_str().into());
                    return Err(refusal::unpriced(policy, model, &why));
                }
            }
        }
        Ok(amounts)
    }
}

impl CallSpending {
    /// Holds these amounts, all or none.
    async fn take(
        &mut self,
        policies: &[&BudgetPolicy],
        accounts: &[Arc<Account>],
        amounts: &[u64],
        now: Now,
    ) -> Outcome {
        let worker = Rc::clone(&self.worker);
        let claims = claims(policies, accounts, amounts);
        let left = match &worker.shared_limits {
            None => match hold_all(claims, now) {
                Holding::Held { holds, left } => {
                    self.held = Some(Held::Here(holds));
                    left
                }
                Holding::Refused { index, spent } => return Outcome::Refused { index, spent },
                Holding::Evicted { index } => return Outcome::Evicted { index },
            },
            Some(shared) => {
                let claims = claims
                    .into_iter()
                    .zip(policies)
                    .map(|(claim, policy)| SharedClaim {
                        claim,
                        on_outage: policy.on_outage,
                    });
                match Box::pin(shared.hold_all(claims.collect(), now)).await {
                    SharedHolding::Held { holds, left } => {
                        self.held = Some(Held::Together(holds));
                        left
                    }
                    SharedHolding::Refused { index, spent } => {
                        return Outcome::Refused { index, spent };
                    }
                    SharedHolding::Unavailable { index } => return Outcome::Unavailable { index },
                    SharedHolding::Evicted { index } => return Outcome::Evicted { index },
                }
            }
        };
        self.left = left_text(policies, &left);
        Outcome::Held
    }

    /// How many tokens each answer may have at most so that the call fits what is left; `None` where that is none, or the
    /// budget does not say that requests are made smaller.
    fn fitting(&self, policy: &BudgetPolicy, spent: &Spent) -> Option<u64> {
        let bound = self.bound.as_ref()?;
        if !policy.lower_max_tokens {
            return None;
        }
        let fits = |each: u64| {
            let amount = at_most(policy, &self.model, Some(bound), Some(each)).ok();
            amount.is_some_and(|amount| amount <= spent.left)
        };
        let targets = self.model.targets.iter();
        let most = targets.map(|target| bound.tokens.output(target.asked.max_output));
        let most = bound.tokens.for_each(most.max()?);
        // Between one that fits and one that does not.
        let (mut low, mut high) = (1, most);
        if !fits(low) {
            return None;
        }
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if fits(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(low)
    }

    /// A provider is asked.
    pub(super) fn begin(&mut self, target: usize, provider: &Name) {
        self.provider = Some(provider.clone());
        self.stage = Stage::UnderWay(target);
    }

    /// The provider has answered: from here on somebody says what it took. This is what all attempts before took, and those
    /// beside it.
    pub(super) fn answered(&mut self, others: Attempts) {
        self.answered = true;
        self.others = Took::of_attempts(others);
        self.stage = Stage::Told(Took::default());
    }

    /// A kept answer was given: nobody is asked, and it is a call all the same.
    pub(super) fn answered_from_cache(&mut self) {
        self.stage = Stage::Told(Took::default());
    }

    /// The attempt has failed: what it took after all is what was told of it.
    pub(super) fn failed(&mut self, place: usize, taken: Taken) {
        let took = Attempts::default().and(&self.model, place, taken);
        self.give_back_key(Took::of_attempts(took));
        self.stage = Stage::Told(Took::default());
    }

    /// Where it is said who is asked beside the target that is under way.
    pub(super) fn beside(&self) -> Rc<Cell<Option<usize>>> {
        Rc::clone(&self.beside)
    }

    /// For an attempt beside this one: what a call may take is held by the first of them, for both.
    pub(super) fn of_copy(&self) -> Box<Self> {
        Box::new(Self {
            worker: Rc::clone(&self.worker),
            model: Arc::clone(&self.model),
            bound: self.bound.clone(),
            held: None,
            budgets: Budgets::default(),
            failed: beside::FailedHold::default(),
            key: None,
            stage: Stage::NotMade,
            answered: false,
            beside: Rc::default(),
            others: Took::default(),
            provider: None,
            metrics: SmallVec::new(),
            left: String::new(),
            policy: String::new(),
        })
    }

    /// The attempt beside this one has answered: what it holds of its provider's key is this call's from now on. This one's
    /// has read what was asked, at least.
    pub(super) fn give_way(&mut self, mut other: Box<Self>, place: usize, taken: Taken) {
        self.failed(place, taken);
        self.key = other.key.take();
        self.provider = other.provider.take();
        other.stage = Stage::NotMade;
    }

    /// Tells the caller what is left.
    pub(super) fn tell(&self, fields: &mut Fields) {
        append(fields, Header::RateLimitPolicy, &self.policy);
        append(fields, Header::RateLimit, &self.left);
    }

    /// The call has ended, and this is what is written down of it. Where its caller left while a provider was asked, that is
    /// what nobody will tell: the most that it may have taken.
    pub(crate) fn finish(mut self: Box<Self>, used: &mut Option<Box<ModelUse>>) {
        let under_way = match self.stage {
            Stage::NotMade => return,
            Stage::UnderWay(target) => Some(target),
            Stage::Told(_) => None,
        };
        if !self.answered
            && let Some(key) = self.key.take()
        {
            // It was asked by this attempt alone.
            let took = under_way.and_then(|target| self.whole(target));
            let took = took.as_ref().map(Took::of).unwrap_or_default();
            key.settle(now(&self.worker), Some(took));
        }
        for target in [under_way, self.beside.get()].into_iter().flatten() {
            if let Some(whole) = self.whole(target) {
                match used {
                    None => *used = Some(Box::new(whole)),
                    Some(used) => used.add(&whole),
                }
            }
        }
        self.stage = Stage::Told(used.as_deref().map(Took::of).unwrap_or_default());
    }

    /// The most that a target may have taken.
    fn whole(&self, place: usize) -> Option<ModelUse> {
        let target = self.model.targets.get(place)?;
        let bound = self.bound.as_ref();
        let cost = at_target(Unit::Cost, target, bound, None);
        let priced = match bound.map(|bound| bound.cost) {
            Some(CostBound::OfTokens) => target.price.is_some(),
            Some(CostBound::Unknown | CostBound::Nothing) | None => false,
        };
        Some(ModelUse {
            asked: self.model.name.clone(),
            served: target.asked.model.as_str().into(),
            provider: self.provider.clone()?,
            tokens: TokenCounts {
                input: bound.map_or(0, |bound| bound.tokens.input(target.context)),
                output: bound.map_or(0, |bound| bound.tokens.output(target.asked.max_output)),
                ..TokenCounts::default()
            },
            units: UnitCounts::default(),
            estimated: true,
            cost: PicoUsd(i64::try_from(cost.unwrap_or_default()).unwrap_or(i64::MAX)),
            price_revision: if priced { target.price_revision } else { 0 },
        })
    }
}

impl Drop for CallSpending {
    fn drop(&mut self) {
        let now = now(&self.worker);
        let took = match self.stage {
            Stage::NotMade => None,
            Stage::UnderWay(target) => Some(
                self.whole(target)
                    .as_ref()
                    .map(Took::of)
                    .unwrap_or_default(),
            ),
            Stage::Told(took) => Some(took),
        };
        for (unit, metrics) in &self.metrics {
            metrics.spent(self.worker.index, took.map_or(0, |took| took.amount(*unit)));
        }
        if let Some(held) = self.held.take() {
            held.settle(now, took);
        }
        self.failed.settle(now);
        if let Some(key) = self.key.take() {
            key.settle(now, took.map(|took| took.less(self.others)));
        }
    }
}

impl Held {
    fn settle(self, now: Now, took: Option<Took>) {
        let amount = |rule: &Spending, _: u64| took.map_or(0, |took| took.amount(rule.unit()));
        match self {
            Self::Here(holds) => holds.settle(now, amount),
            Self::Together(holds) => holds.settle(now, amount),
        }
    }
}

fn claims(
    policies: &[&BudgetPolicy],
    accounts: &[Arc<Account>],
    amounts: &[u64],
) -> SmallVec<[Claimed; FEW]> {
    let claims = policies.iter().zip(accounts).zip(amounts);
    claims
        .map(|((policy, account), amount)| Claimed {
            account: Arc::clone(account),
            rule: policy.rule,
            amount: *amount,
        })
        .collect()
}

/// What is left of each limit, as `RateLimit` says it.
fn left_text(policies: &[&BudgetPolicy], left: &[(u64, Duration)]) -> String {
    let items = policies.iter().zip(left);
    let items = items.map(|(policy, (left, reset))| refusal::left_of(policy, *left, *reset));
    items.collect::<Vec<String>>().join(", ")
}

/// Adds to a field that is a list.
fn append(fields: &mut Fields, header: Header, text: &str) {
    if text.is_empty() {
        return;
    }
    let mut value = fields.get(header).map(<[u8]>::to_vec).unwrap_or_default();
    if !value.is_empty() {
        value.extend_from_slice(b", ");
    }
    value.extend_from_slice(text.as_bytes());
    fields.set(header, &value);
}

impl ModelCall {
    /// The most that it can take; `None` where it takes nothing.
    fn bound(&self) -> Result<Option<Bound>, Refusal> {
        let (tokens, mut cost) = match self.task.as_ref().map(|call| call.task) {
            // Providers count for nothing.
            Some(task) if task::counts_tokens(task) => return Ok(None),
            Some(task) if task::only_reads(task) => {
                (RequestBound::of_reading(&self.body), CostBound::OfTokens)
            }
            // Sound and pictures are priced by the second, the letter or the piece.
            Some(_) if self.is_form() => (RequestBound::of_files(), CostBound::Unknown),
            Some(_) => (RequestBound::of_making(&self.body), CostBound::Unknown),
            None => {
                let read = RequestBound::read(self.form, &self.body);
                (read.map_err(|error| unread(&error))?, CostBound::OfTokens)
            }
        };
        if self.own_key.is_some() {
            cost = CostBound::Nothing;
        }
        Ok(Some(Bound { tokens, cost }))
    }

    /// Asks for less.
    fn lower(&mut self, bound: &mut RequestBound, output: u64) -> Result<(), Refusal> {
        let lowered = bound.lowered(self.form, &self.body, output);
        self.body = lowered.map_err(|error| unread(&error))?.into();
        if let Some(prompt) = &mut self.prompt {
            prompt.lower(output);
        }
        Ok(())
    }
}

fn unread(error: &keyward_llm::Error) -> Refusal {
    Fault::new(Code::BadRequest, format!("The body can't be read: {error}")).into()
}
