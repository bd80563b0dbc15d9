//! A provider's answer, made into the caller's.

use super::plan::{AiTarget, ModelPlan};
use super::visit::Visit;
use crate::snapshot::LocalRoute;
use bytes::Bytes;
use keyward_llm::bound::RequestBound;
use keyward_llm::count::{self, StreamCount};
use keyward_llm::form::Usage;
use keyward_llm::task::{self, Units};
use keyward_llm::{Context, Dialect};
use keyward_model::Name;
use keyward_model::usage::{ModelUse, PicoUsd, TokenCounts, UnitCounts};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// What stands in the record of a call that a provider answered.
pub(super) struct Account {
    pub(super) model: Arc<ModelPlan>,
    /// The place of its target.
    pub(super) target: usize,
    pub(super) provider: Name,
    /// Whether the caller pays the provider themselves.
    pub(super) own_key: bool,
    /// What other attempts of the call took: more may come while this one is under way.
    pub(super) others: Rc<Cell<Spent>>,
    /// As long as the call is there.
    pub(super) visit: Rc<Visit>,
}

/// What attempts took that a provider charges for, though nothing came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    tokens: TokenCounts,
    units: UnitCounts,
    cost: PicoUsd,
    /// By which prices; 0 where none was known.
    revision: u32,
    /// Whether some of it was counted here.
    estimated: bool,
}

/// What an attempt took, as far as that is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    usage: Option<Usage>,
    /// What is counted where tokens are not.
    units: Units,
    estimated: bool,
    /// Whether the caller pays the provider themselves.
    own_key: bool,
}

impl Taken {
    /// As the provider says, if it does.
    pub(super) const fn told(usage: Option<Usage>) -> Self {
        Self {
            usage,
            units: Units {
                images: 0,
                characters: 0,
                audio_ms: 0,
                searches: 0,
            },
            estimated: false,
            own_key: false,
        }
    }

    /// As the provider says of what is no conversation, where something else than tokens may be counted.
    pub(super) const fn of_task(told: task::Told) -> Self {
        Self {
            units: told.units,
            ..Self::told(told.usage)
        }
    }

    /// The same; nothing of it costs anything here, where the provider is called with the caller's own key.
    pub(super) const fn paid_by_caller(self, own_key: bool) -> Self {
        Self { own_key, ..self }
    }

    /// As the provider says, else as it is counted here.
    pub(super) fn counted(told: Option<Usage>, count: impl FnOnce() -> Usage) -> Self {
        Self {
            estimated: told.is_none(),
            ..Self::told(Some(told.unwrap_or_else(count)))
        }
    }
}

impl Spent {
    /// Those that were read and those that were written.
    pub(super) const fn tokens(&self) -> u64 {
        self.tokens.input.saturating_add(self.tokens.output)
    }

    /// In pico-USD.
    pub(super) fn cost(&self) -> u64 {
        u64::try_from(self.cost.0).unwrap_or_default()
    }

    /// With what a target of the model took besides.
    pub(super) fn and(mut self, model: &ModelPlan, target: usize, taken: Taken) -> Self {
        let (units, more) = (&mut self.units, taken.units);
        for (to, from) in [
            (&mut units.images, more.images),
            (&mut units.characters, more.characters),
            (&mut units.audio_ms, more.audio_ms),
            (&mut units.searches, more.searches),
        ] {
            *to = to.saturating_add(from);
        }
        // What is not counted in tokens costs something that is not known.
        let Some(usage) = taken.usage else {
            return self;
        };
        self.estimated |= taken.estimated;
        let tokens = TokenCounts::from(usage);
        let sum = &mut self.tokens;
        for (to, from) in [
            (&mut sum.input, tokens.input),
            (&mut sum.cached_input, tokens.cached_input),
            (&mut sum.cache_write, tokens.cache_write),
            (&mut sum.output, tokens.output),
            (&mut sum.reasoning, tokens.reasoning),
        ] {
            *to = to.saturating_add(from);
        }
        let Some(target) = model.targets.get(target).filter(|_| !taken.own_key) else {
            return self;
        };
        let price = target.price.as_ref();
        let cost = price.and_then(|price| price.cost(&usage, Default::default()));
        if let Some(PicoUsd(cost)) = cost {
            self.cost = PicoUsd(self.cost.0.saturating_add(cost));
            self.revision = target.price_revision;
        }
        self
    }
}

impl Account {
    pub(super) fn used(&self, taken: Taken) -> ModelUse {
        let target = self.model.targets.get(self.target);
        let taken = taken.paid_by_caller(self.own_key);
        let spent = self.others.get().and(&self.model, self.target, taken);
        spent.of(&self.model, target, &self.provider)
    }
}

impl Spent {
    /// As it stands in the record of a call of this model that this target was asked for last.
    pub(super) fn of(
        self,
        model: &ModelPlan,
        target: Option<&AiTarget>,
        provider: &Name,
    ) -> ModelUse {
        ModelUse {
            asked: model.name.clone(),
            served: target.map_or_else(Box::default, |target| target.asked.model.as_str().into()),
            provider: provider.clone(),
            tokens: self.tokens,
            units: self.units,
            estimated: self.estimated,
            cost: self.cost,
            // 0 says that no price is known: that is not the same as free.
            price_revision: self.revision,
        }
    }
}

/// What is seen of a stream, should it have to be counted here.
pub(super) struct Seen {
    /// As the call came, and in which form.
    asked: (Dialect, Bytes),
    answer: RefCell<StreamCount>,
}

impl Seen {
    pub(super) fn new(dialect: Dialect, asked: (Dialect, Bytes), context: &Context) -> Self {
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
            None => count::call(&self.asked.1, output),
        }
    }

    /// The same of a stream whose end nobody heard, where the provider says only there what it took: what can't be seen of
    /// that is the most that it may be.
    pub(super) fn unheard(&self, told: Option<Usage>, target: Option<&AiTarget>) -> Usage {
        let mut counted = self.counted(told);
        let (form, asked) = &self.asked;
        if told.is_some() {
            return counted;
        }
        let (Ok(bound), Some(target)) = (RequestBound::read(*form, asked), target) else {
            return counted;
        };
        if bound.is_opaque() {
            counted.input = counted.input.max(bound.input(target.context));
        }
        if target.reasons {
            let output = bound.output(target.asked.max_output);
            counted.output = counted.output.max(output);
        }
        counted
    }
}

/// The way to a provider, where this worker has one.
pub(super) fn way_to(route: &LocalRoute, provider: usize) -> Option<&crate::snapshot::RouteRef> {
    route.providers.get(provider)
}
