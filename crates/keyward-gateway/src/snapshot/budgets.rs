//! The budgets of an API's models, of a model, of a provider's key and of a credential, compiled.

use crate::metrics::{ApiMetrics, LimitMetrics};
use keyward_model::limit::{Budget, LimitSubject, OnOutage, Unit, Unpriced};
use keyward_model::name::Name;
use keyward_state::limit::Spending;
use std::fmt::Write as _;
use std::sync::Arc;

/// Budgets that calls take from in this order.
#[derive(Debug, Default)]
pub(crate) struct BudgetPlan {
    pub(crate) budgets: Box<[BudgetPolicy]>,
    /// What `RateLimit-Policy` says of them.
    pub(crate) header: String,
    /// What stands for a route in the metrics, where they are a model's.
    pub(crate) label: Option<Box<str>>,
}

/// One budget.
#[derive(Debug)]
pub(crate) struct BudgetPolicy {
    pub(crate) name: Name,
    /// Names it within its team: whose it is, then its name.
    pub(crate) id: Box<str>,
    pub(crate) by: Box<[LimitSubject]>,
    pub(crate) rule: Spending,
    pub(crate) on_outage: OnOutage,
    pub(crate) unpriced: Unpriced,
    pub(crate) lower_max_tokens: bool,
    /// What is counted of it, of those of APIs and models: others are as many as there are keys.
    pub(crate) metrics: Option<Arc<LimitMetrics>>,
}

impl BudgetPlan {
    /// Those of an API.
    pub(crate) fn of_api(label: &str, budgets: &[Budget], metrics: &mut ApiMetrics) -> Arc<Self> {
        Self::new(label, None, budgets, |name| Some(metrics.limit(None, name)))
    }

    /// Those of a model.
    pub(crate) fn of_model(
        model: &Name,
        budgets: &[Budget],
        metrics: &mut ApiMetrics,
    ) -> Arc<Self> {
        // No API is called like this: its names have no colon.
        let id = format!("model:{model}");
        let route = metrics_label(model.as_str());
        Self::new(&id, Some(&route), budgets, |name| {
            Some(metrics.limit(Some(&route), name))
        })
    }

    /// Those of a provider's key.
    pub(crate) fn of_provider(provider: &Name, budgets: &[Budget]) -> Arc<Self> {
        Self::new(&format!("provider:{provider}"), None, budgets, |_| None)
    }

    /// Those of a credential.
    pub(crate) fn of_credential(credential: &Name, budgets: &[Budget]) -> Arc<Self> {
        Self::new(&format!("credential:{credential}"), None, budgets, |_| None)
    }

    fn new(
        holder: &str,
        label: Option<&str>,
        budgets: &[Budget],
        mut metrics: impl FnMut(&Name) -> Option<Arc<LimitMetrics>>,
    ) -> Arc<Self> {
        let policies = budgets.iter().map(|budget| BudgetPolicy {
            name: budget.name.clone(),
            id: format!("{holder}/{}", budget.name).into(),
            by: budget.by.clone(),
            rule: Spending::new(budget),
            on_outage: budget.on_outage,
            unpriced: budget.unpriced,
            lower_max_tokens: budget.lower_max_tokens,
            metrics: metrics(&budget.name),
        });
        let policies: Box<[BudgetPolicy]> = policies.collect();
        Arc::new(Self {
            header: header(&policies),
            label: label.map(Into::into),
            budgets: policies,
        })
    }
}

/// By what the metrics of a model's limits are told from those of its API.
fn metrics_label(model: &str) -> String {
    format!("model {model}")
}

/// An amount as the `RateLimit` fields have it, which are whole numbers: of money, millionths of a dollar.
pub(crate) const fn told(unit: Unit, amount: u64) -> u64 {
    match unit {
        Unit::Requests | Unit::Tokens => amount,
        Unit::Cost => amount / 1_000_000,
    }
}

/// `"name";q=1000;w=60;qu="tokens"`, as of other limits; the unit of money has a name of our own.
fn header(policies: &[BudgetPolicy]) -> String {
    let mut text = String::new();
    for policy in policies {
        if !text.is_empty() {
            text.push_str(", ");
        }
        let (name, rule) = (&policy.name, &policy.rule);
        let quota = told(rule.unit(), rule.most());
        let window = match rule.period() {
            Some(period) => period.seconds().map(u64::from),
            None => rule
                .whole_after()
                .map(|time| time.as_secs() + u64::from(time.subsec_nanos() > 0)),
        };
        // Writing to a string does not fail.
        let _infallible = write!(text, "\"{name}\";q={quota}");
        if let Some(window) = window {
            let _infallible = write!(text, ";w={window}");
        }
        text.push_str(match rule.unit() {
            Unit::Requests => "",
            Unit::Tokens => ";qu=\"tokens\"",
            Unit::Cost => ";qu=\"micro-usd\"",
        });
    }
    text
}
