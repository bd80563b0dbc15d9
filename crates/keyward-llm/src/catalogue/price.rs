//! What tokens cost, in whole units of 10⁻¹² US dollars.

use crate::form::Usage;
use keyward_model::usage::PicoUsd;

/// How a call is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Service {
    /// At once.
    #[default]
    Standard,
    /// Some time, with many others.
    Batch {
        /// What that costs, in percent of the price.
        percent: u8,
    },
}

/// What a model costs: by kind of token, and by how long the prompt is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    pub(super) base: Rates,
    /// Prompts of more than so many tokens cost this, all of them; by length.
    pub(super) tiers: Vec<(u64, Rates)>,
}

/// Pico-dollars for a token, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) cache_write_hour: Option<u64>,
    pub(super) audio_input: Option<u64>,
    pub(super) audio_output: Option<u64>,
    pub(super) reasoning: Option<u64>,
}

impl Price {
    fn rates(&self, input: u64) -> &Rates {
        self.tiers
            .iter()
            .rev()
            .find(|(above, _)| input > *above)
            .map_or(&self.base, |(_, rates)| rates)
    }

    /// What a call cost. What has no price of its own costs what its kind costs: a token from a cache as one that is
    /// read, a thought as a word.
    #[must_use]
    pub fn cost(&self, usage: &Usage, service: Service) -> PicoUsd {
        let rates = self.rates(usage.input);
        let audio_input = usage.audio_input.min(usage.plain_input());
        let audio_output = usage.audio_output.min(usage.output);
        let reasoning = usage.reasoning.min(usage.output - audio_output);
        let write = rates.cache_write.unwrap_or(rates.input);
        let sum: u128 = [
            (usage.plain_input() - audio_input, rates.input),
            (audio_input, rates.audio_input.unwrap_or(rates.input)),
            (usage.cached_input, rates.cache_read.unwrap_or(rates.input)),
            (usage.cache_write, write),
            (
                usage.cache_write_hour,
                rates.cache_write_hour.unwrap_or(write),
            ),
            (usage.output - audio_output - reasoning, rates.output),
            (audio_output, rates.audio_output.unwrap_or(rates.output)),
            (reasoning, rates.reasoning.unwrap_or(rates.output)),
        ]
        .into_iter()
        .map(|(tokens, rate)| u128::from(tokens) * u128::from(rate))
        .sum();
        pico(sum, service)
    }

    /// The most that a call can cost which reads `input` tokens and may write `output`: each at the dearest of its
    /// kinds. A budget holds so much until the call has ended.
    #[must_use]
    pub fn upper_bound(&self, input: u64, output: u64, service: Service) -> PicoUsd {
        let dearest =
            |all: &[Option<u64>]| u128::from(all.iter().flatten().max().copied().unwrap_or(0));
        // Whatever a provider counts differently may lead into another tier.
        let all = std::iter::once(&self.base).chain(self.tiers.iter().map(|(_, rates)| rates));
        let (mut most_in, mut most_out) = (0, 0);
        for rates in all {
            most_in = most_in.max(dearest(&[
                Some(rates.input),
                rates.cache_read,
                rates.cache_write,
                rates.cache_write_hour,
                rates.audio_input,
            ]));
            most_out = most_out.max(dearest(&[
                Some(rates.output),
                rates.audio_output,
                rates.reasoning,
            ]));
        }
        pico(
            u128::from(input) * most_in + u128::from(output) * most_out,
            service,
        )
    }
}

/// Rounded up: a call never costs less than its tokens.
fn pico(sum: u128, service: Service) -> PicoUsd {
    let sum = match service {
        Service::Standard => sum,
        Service::Batch { percent } => (sum * u128::from(percent)).div_ceil(100),
    };
    PicoUsd(i64::try_from(sum).unwrap_or(i64::MAX))
}
