//! What tokens cost, in whole units of 10⁻¹² US dollars.

use crate::form::Usage;
use keyward_model::resource::TokenPrice;
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

/// Pico-dollars for a token, by kind. What is not named is not known, which is not the same as free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) cache_write_hour: Option<u64>,
    pub(super) audio_input: Option<u64>,
    pub(super) audio_output: Option<u64>,
    pub(super) reasoning: Option<u64>,
}

impl From<&TokenPrice> for Price {
    fn from(told: &TokenPrice) -> Self {
        let base = Rates {
            input: Some(told.input),
            output: Some(told.output),
            cache_read: told.cached_input,
            cache_write: told.cache_write,
            reasoning: told.reasoning,
            ..Rates::default()
        };
        Self {
            base,
            tiers: Vec::new(),
        }
    }
}

impl Price {
    /// A number that stands for a price that was told, as a catalogue's for all of its own: records of what calls cost
    /// say by which.
    #[must_use]
    pub fn revision_of(told: &TokenPrice) -> u32 {
        super::read::revision(&format!("{told:?}"))
    }

    /// What a token costs that is read, where the prompt is short.
    #[must_use]
    pub fn input(&self) -> Option<PicoUsd> {
        self.base
            .input
            .map(|rate| pico(u128::from(rate), Service::Standard))
    }

    /// What a token costs that is written, where the prompt is short.
    #[must_use]
    pub fn output(&self) -> Option<PicoUsd> {
        self.base
            .output
            .map(|rate| pico(u128::from(rate), Service::Standard))
    }

    /// What a token costs by kind, in its tiers: each counts for prompts of more tokens than stand before it.
    #[must_use]
    pub fn tiers(&self) -> Vec<(u64, Vec<(&'static str, PicoUsd)>)> {
        let longer = self.tiers.iter().map(|(above, rates)| (*above, rates));
        std::iter::once((0, &self.base))
            .chain(longer)
            .map(|(above, rates)| (above, rates.known()))
            .collect()
    }

    fn rates(&self, input: u64) -> &Rates {
        self.tiers
            .iter()
            .rev()
            .find(|(above, _)| input > *above)
            .map_or(&self.base, |(_, rates)| rates)
    }

    /// What a call cost; nothing where it took tokens of a kind whose price is not known. What has no price of its own
    /// costs what its kind costs: a token from a cache as one that is read, a thought as a word.
    #[must_use]
    pub fn cost(&self, usage: &Usage, service: Service) -> Option<PicoUsd> {
        let rates = self.rates(usage.input);
        let audio_input = usage.audio_input.min(usage.plain_input());
        let audio_output = usage.audio_output.min(usage.output);
        let reasoning = usage.reasoning.min(usage.output - audio_output);
        let write = rates.cache_write.or(rates.input);
        let mut sum: u128 = 0;
        for (tokens, rate) in [
            (usage.plain_input() - audio_input, rates.input),
            (audio_input, rates.audio_input.or(rates.input)),
            (usage.cached_input, rates.cache_read.or(rates.input)),
            (usage.cache_write, write),
            (usage.cache_write_hour, rates.cache_write_hour.or(write)),
            (usage.output - audio_output - reasoning, rates.output),
            (audio_output, rates.audio_output.or(rates.output)),
            (reasoning, rates.reasoning.or(rates.output)),
        ] {
            sum += times(tokens, rate)?;
        }
        Some(pico(sum, service))
    }

    /// The most that a call can cost which reads `input` tokens and may write `output`: each at the dearest of its
    /// kinds. A budget holds so much until the call has ended. Nothing where a price is not known.
    #[must_use]
    pub fn upper_bound(&self, input: u64, output: u64, service: Service) -> Option<PicoUsd> {
        // Whatever a provider counts differently may lead into another tier.
        let all = std::iter::once(&self.base).chain(self.tiers.iter().map(|(_, rates)| rates));
        let (mut most_in, mut most_out) = (0, 0);
        for rates in all {
            let kinds = [
                rates.cache_read,
                rates.cache_write,
                rates.cache_write_hour,
                rates.audio_input,
            ];
            most_in = most_in.max(times(input, dearest(rates.input, &kinds))?);
            let kinds = [rates.audio_output, rates.reasoning];
            most_out = most_out.max(times(output, dearest(rates.output, &kinds))?);
        }
        Some(pico(most_in + most_out, service))
    }
}

impl Rates {
    fn known(&self) -> Vec<(&'static str, PicoUsd)> {
        let all = [
            ("input", self.input),
            ("output", self.output),
            ("cache_read", self.cache_read),
            ("cache_write", self.cache_write),
            ("cache_write_hour", self.cache_write_hour),
            ("audio_input", self.audio_input),
            ("audio_output", self.audio_output),
            ("reasoning", self.reasoning),
        ];
        let known = all
            .into_iter()
            .filter_map(|(kind, rate)| Some((kind, pico(u128::from(rate?), Service::Standard))));
        known.collect()
    }
}

/// The dearest of a kind; nothing where what has no price of its own has none at all.
fn dearest(base: Option<u64>, kinds: &[Option<u64>]) -> Option<u64> {
    base.map(|base| {
        kinds
            .iter()
            .flatten()
            .fold(base, |most, rate| most.max(*rate))
    })
}

/// What no tokens cost is known, whatever one would.
fn times(tokens: u64, rate: Option<u64>) -> Option<u128> {
    if tokens == 0 {
        return Some(0);
    }
    rate.map(|rate| u128::from(tokens) * u128::from(rate))
}

/// Rounded up: a call never costs less than its tokens.
fn pico(sum: u128, service: Service) -> PicoUsd {
    let sum = match service {
        Service::Standard => sum,
        Service::Batch { percent } => (sum * u128::from(percent)).div_ceil(100),
    };
    PicoUsd(i64::try_from(sum).unwrap_or(i64::MAX))
}
