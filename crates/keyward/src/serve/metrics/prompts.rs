//! What was counted of prompts, by version.

use super::page::{Kind, Labels, Page, Seconds};
use keyward_gateway::{Gateway, PromptCounts};

pub(super) fn prompts(page: &mut Page, gateway: &Gateway) {
    let counts = gateway.prompt_counts();
    let counts: Vec<_> = counts.iter().map(|one| (labels(one), one)).collect();
    let mut family = page.family(
        Kind::Counter,
        "keyward_prompt_calls_total",
        "Calls of prompts that are over, by version and outcome: answered, refused for what was sent, or failed.",
    );
    for (labels, one) in &counts {
        for (outcome, count) in [
            ("answered", one.answered),
            ("refused", one.caller_errors),
            ("failed", one.failures),
        ] {
            family.sample_with(labels, "outcome", outcome, count);
        }
    }
    let mut family = page.family(
        Kind::Counter,
        "keyward_prompt_seconds_total",
        "How long answered calls took together, to the end of their answers.",
    );
    for (labels, one) in &counts {
        family.sample(labels, Seconds(one.micros));
    }
    let mut family = page.family(
        Kind::Counter,
        "keyward_prompt_tokens_total",
        "Tokens that prompts' models read (input) and wrote (output).",
    );
    for (labels, one) in &counts {
        family.sample_with(labels, "kind", "input", one.input_tokens);
        family.sample_with(labels, "kind", "output", one.output_tokens);
    }
    let mut family = page.family(
        Kind::Counter,
        "keyward_prompt_cost_pico_usd_total",
        "What calls of prompts cost, in 10^-12 US dollars, where the price is known.",
    );
    for (labels, one) in &counts {
        family.sample(labels, one.cost_pico_usd);
    }
    let mut family = page.family(
        Kind::Counter,
        "keyward_prompt_feedback_total",
        "Answers that were rated by who got them.",
    );
    for (labels, one) in &counts {
        family.sample(labels, one.feedback);
    }
    let mut family = page.family(
        Kind::Gauge,
        "keyward_prompt_feedback_score_thousandths",
        "The sum of all ratings, each from -1000 to 1000.",
    );
    for (labels, one) in &counts {
        family.sample(labels, one.score_thousandths);
    }
}

fn labels(one: &PromptCounts) -> Labels {
    Labels::of(&[
        ("team", one.team.as_str()),
        ("prompt", one.prompt.as_str()),
        ("version", one.version.as_str()),
    ])
}
