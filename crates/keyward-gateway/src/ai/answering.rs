//! A provider's answer, made into the caller's.

use super::plan::ModelPlan;
use crate::snapshot::LocalRoute;
use bytes::Bytes;
use keyward_llm::count::{self, StreamCount};
use keyward_llm::form::Usage;
use keyward_llm::{Context, Dialect};
use keyward_model::Name;
use keyward_model::usage::{ModelUse, PicoUsd};
use std::cell::RefCell;
use std::sync::Arc;

/// What stands in the record of a call that a provider answered.
pub(super) struct Account {
    pub(super) model: Arc<ModelPlan>,
    /// The place of its target.
    pub(super) target: usize,
    pub(super) provider: Name,
}

impl Account {
    pub(super) fn used(&self, usage: Option<Usage>) -> ModelUse {
        let usage = usage.unwrap_or_default();
        let target = self.model.targets.get(self.target);
        let price = target.and_then(|target| target.price.as_ref());
        let cost = price.and_then(|price| price.cost(&usage, Default::default()));
        let revision = super::catalogue::catalogue().map(|catalogue| catalogue.revision());
        ModelUse {
            asked: self.model.name.clone(),
            served: target.map_or_else(Box::default, |target| target.asked.model.as_str().into()),
            provider: self.provider.clone(),
            tokens: usage.into(),
            estimated: false,
            cost: cost.unwrap_or(PicoUsd(0)),
            // 0 says that no price is known: that is not the same as free.
            price_revision: cost.and(revision).unwrap_or_default(),
        }
    }

    /// The same by what the provider says, else by what is counted here.
    pub(super) fn counted(&self, told: Option<Usage>, count: impl FnOnce() -> Usage) -> ModelUse {
        match told {
            Some(usage) => self.used(Some(usage)),
            None => ModelUse {
                estimated: true,
                ..self.used(Some(count()))
            },
        }
    }
}

/// What is seen of a stream, should it have to be counted here.
pub(super) struct Seen {
    /// As the call came.
    asked: Bytes,
    answer: RefCell<StreamCount>,
}

impl Seen {
    pub(super) fn new(dialect: Dialect, asked: Bytes, context: &Context) -> Self {
        Self {
            asked,
            answer: RefCell::new(StreamCount::new(dialect, context)),
        }
    }

    pub(super) fn piece(&mut self, piece: &[u8]) {
        self.answer.get_mut().push(piece);
    }

    /// What was read and written up to here. Where the provider has told something by then, it has told all that was read;
    /// of what was written, perhaps only the beginning.
    pub(super) fn counted(&self, told: Option<Usage>) -> Usage {
        let output = self.answer.borrow_mut().tokens();
        match told {
            Some(told) => Usage {
                output: told.output.max(output),
                ..told
            },
            None => count::call(&self.asked, output),
        }
    }
}

/// The way to a provider, where this worker has one.
pub(super) fn way_to(route: &LocalRoute, provider: usize) -> Option<&crate::snapshot::RouteRef> {
    route.providers.get(provider)
}
