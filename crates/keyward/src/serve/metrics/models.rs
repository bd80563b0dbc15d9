//! What is told of AI models and of the providers behind them. Labels are names of the configuration: a caller who asks
//! for a model that is not there makes none.

use super::page::{Kind, Labels, Page};
use keyward_gateway::metrics::{ModelCounts, ModelOutcome, TOKEN_KINDS};
use keyward_gateway::{Gateway, ProviderCounts};
use std::fmt::{self, Display};

/// What is told of each provider.
struct ProviderMetric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: fn(&ProviderCounts) -> u64,
}

const PROVIDER_METRICS: [ProviderMetric; 4] = [
    ProviderMetric {
        name: "keyward_provider_keys",
        kind: Kind::Gauge,
        help: "Keys that the provider is called with.",
        value: |provider| provider.keys as u64,
    },
    ProviderMetric {
        name: "keyward_provider_keys_cooling",
        kind: Kind::Gauge,
        help: "Of these, those that are left alone since the provider refused them.",
        value: |provider| provider.cooling as u64,
    },
    ProviderMetric {
        name: "keyward_provider_ejected",
        kind: Kind::Gauge,
        help: "1 while the provider is asked last because it could not be reached.",
        value: |provider| u64::from(provider.ejected),
    },
    ProviderMetric {
        name: "keyward_provider_ejections_total",
        kind: Kind::Counter,
        help: "How often the provider was asked last because it could not be reached.",
        value: |provider| provider.ejections,
    },
];

/// Money, written as dollars: as the shortest decimal number, which is exact.
struct Dollars(u64);

impl Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PICO: u64 = 1_000_000_000_000;
        let (whole, rest) = (self.0 / PICO, self.0 % PICO);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:012}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

pub(super) fn models(page: &mut Page, gateway: &Gateway) {
    let providers = gateway.provider_counts();
    for ProviderMetric {
        name,
        kind,
        help,
        value,
    } in PROVIDER_METRICS
    {
        let mut family = page.family(kind, name, help);
        for provider in &providers {
            let labels = Labels::of(&[("team", &provider.team), ("provider", &provider.provider)]);
            family.sample(&labels, value(provider));
        }
    }
    targets(page, &providers);
    let counted: Vec<(Labels, ModelCounts)> = providers
        .iter()
        .flat_map(|provider| {
            provider.models.iter().map(|model| {
                let labels = Labels::of(&[
                    ("team", &provider.team),
                    ("model", &model.asked),
                    ("provider", &provider.provider),
                    ("served", &model.served),
                ]);
                (labels, model.counts)
            })
        })
        .collect();
    calls(page, &counted);
}

fn targets(page: &mut Page, providers: &[ProviderCounts]) {
    let all: Vec<_> = providers
        .iter()
        .flat_map(|provider| {
            provider.targets.iter().map(|target| {
                let labels = Labels::of(&[
                    ("team", &provider.team),
                    ("provider", &provider.provider),
                    ("served", &target.model),
                ]);
                (labels, target)
            })
        })
        .collect();
    let mut family = page.family(
        Kind::Gauge,
        "keyward_model_target_ejected",
        "1 while the provider's model is asked last because calls to it failed.",
    );
    for (labels, target) in &all {
        family.sample(labels, u64::from(target.ejected));
    }
    let mut family = page.family(
        Kind::Counter,
        "keyward_model_target_ejections_total",
        "How often the provider's model was asked last because calls to it failed.",
    );
    for (labels, target) in &all {
        family.sample(labels, target.ejections);
    }
    let mut family = page.family(
        Kind::Gauge,
        "keyward_model_target_in_flight",
        "Calls under way at the provider's model.",
    );
    for (labels, target) in &all {
        family.sample(labels, target.in_flight);
    }
}

fn calls(page: &mut Page, counted: &[(Labels, ModelCounts)]) {
    type Outcomes = fn(&ModelCounts) -> &[u64; ModelOutcome::ALL.len()];
    let by_outcome: [(&'static str, &str, Outcomes); 2] = [
        (
            "keyward_model_requests_total",
            "Calls of models, at the one that was asked last, by how they ended.",
            |counts| &counts.calls,
        ),
        (
            "keyward_model_attempts_total",
            "Attempts of calls of models, by how they ended.",
            |counts| &counts.attempts,
        ),
    ];
    for (name, help, of) in by_outcome {
        let mut family = page.family(Kind::Counter, name, help);
        for (labels, counts) in counted {
            for (outcome, count) in ModelOutcome::ALL.iter().zip(of(counts)) {
                family.sample_with(labels, "outcome", outcome.as_str(), count);
            }
        }
    }
    let mut family = page.family(
        Kind::Counter,
        "keyward_model_hedges_total",
        "How often it was asked beside another that sent no first token.",
    );
    for (labels, counts) in counted {
        family.sample(labels, counts.hedges);
    }
    let mut family = page.family(
        Kind::Counter,
        "keyward_model_tokens_total",
        "Tokens of calls, as providers count them; cached and written input and reasoning are parts of the others.",
    );
    for (labels, counts) in counted {
        for (kind, count) in TOKEN_KINDS.iter().zip(counts.tokens) {
            family.sample_with(labels, "kind", kind, count);
        }
    }
    let mut family = page.family(
        Kind::Counter,
        "keyward_model_cost_usd_total",
        "What calls cost, where their price is known.",
    );
    for (labels, counts) in counted {
        family.sample(labels, Dollars(counts.cost_pico_usd));
    }
    let mut family = page.family(
        Kind::Histogram,
        "keyward_model_first_token_seconds",
        "How long streams took from being asked for to their first token.",
    );
    for (labels, counts) in counted {
        family.histogram(labels, &counts.first_token);
    }
}

#[cfg(test)]
mod tests {
    use super::Dollars;

    #[test]
    fn dollars_are_exact_and_short() {
        for (pico, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (2_500_000_000_000, "2.5"),
            (3_000_000_000_000, "3"),
        ] {
            assert_eq!(Dollars(pico).to_string(), text);
        }
    }
}
