use super::{Ability, Catalogue, Day, KeyPlace, Mode, Service};
use crate::form::Usage;
use crate::{Dialect, SeedName};
use keyward_model::usage::PicoUsd;

fn built_in() -> Catalogue {
    Catalogue::built_in().unwrap()
}

#[test]
fn it_has_what_it_promises() {
    let catalogue = built_in();
    let (providers, models) = (catalogue.providers().count(), catalogue.models().count());
    assert!(
        providers >= 60 && models >= 1_000,
        "{providers} providers, {models} models"
    );
    let count =
        |which: fn(&super::Model) -> bool| catalogue.models().filter(|model| which(model)).count();
    let priced = count(|model| model.price.is_some());
    assert!(priced >= 1_000, "{priced} priced");
    assert!(count(|model| model.retires.is_some()) > 100);
    assert!(count(|model| model.can(Ability::Tools)) > 100);
    assert!(
        count(|model| model
            .price
            .as_ref()
            .is_some_and(|price| !price.tiers.is_empty()))
            > 50
    );
}

#[test]
fn the_providers_that_must_work_by_name_are_there() {
    let catalogue = built_in();
    for (id, dialect, key) in [
        ("openai", Dialect::OpenAiChat, KeyPlace::Bearer),
        ("anthropic", Dialect::Anthropic, KeyPlace::XApiKey),
        ("gemini", Dialect::Gemini, KeyPlace::XGoogApiKey),
        ("bedrock", Dialect::Bedrock, KeyPlace::AwsSignature),
        ("azure-openai", Dialect::OpenAiChat, KeyPlace::ApiKey),
        ("vertex", Dialect::Gemini, KeyPlace::GoogleOauth),
        ("ollama", Dialect::Ollama, KeyPlace::None),
        ("cohere", Dialect::Cohere, KeyPlace::Bearer),
        ("moonshot", Dialect::OpenAiChat, KeyPlace::Bearer),
        ("dashscope", Dialect::OpenAiChat, KeyPlace::Bearer),
        ("mistral", Dialect::OpenAiChat, KeyPlace::Bearer),
        ("meta-llama", Dialect::OpenAiChat, KeyPlace::Bearer),
    ] {
        let provider = catalogue.provider(id).unwrap_or_else(|| panic!("{id}"));
        assert_eq!((provider.dialect, provider.key), (dialect, key), "{id}");
        assert!(provider.base_url.starts_with("http"), "{id}");
    }
    assert!(
        catalogue
            .provider("moonshot")
            .unwrap()
            .name
            .contains("月之暗面")
    );
}

#[test]
fn a_target_has_the_quirks_of_provider_and_model() {
    let catalogue = built_in();
    let mistral = catalogue.target("mistral", "mistral-large-latest").unwrap();
    assert!(mistral.quirks.any_tool && mistral.quirks.seed_name == SeedName::RandomSeed);
    let opus = catalogue.target("anthropic", "claude-opus-5").unwrap();
    assert!(opus.quirks.adaptive_reasoning && opus.max_output.is_some());
    let new = catalogue
        .target("anthropic", "claude-of-next-week")
        .unwrap();
    assert_eq!(
        (new.model.as_str(), new.max_output),
        ("claude-of-next-week", None)
    );
    assert!(catalogue.target("nobody", "m").is_none());
}

#[test]
fn models_are_found_by_provider_and_by_name() {
    let catalogue = built_in();
    let opus = catalogue.model("anthropic", "claude-opus-5").unwrap();
    assert_eq!(opus.mode, Mode::Chat);
    assert!(opus.can(Ability::Vision) && !opus.can(Ability::AudioOut));
    assert!(opus.source.as_ref().unwrap().starts_with("https://"));
    assert!(catalogue.model("openai", "claude-opus-5").is_none());
    assert!(
        catalogue
            .served_by("claude-opus-5")
            .any(|model| model.provider == "anthropic")
    );
    assert_eq!(catalogue.served_by("nothing").count(), 0);
}

const SMALL: &str = "provider\tp\tP\topenai-chat\thttps://p.example\tbearer\tP_KEY\t\t50\nsource\t1\thttps://p.example/prices\nmodel\tp\tm\tchat\t1000\t100\tin=3 out=15 read=0.3 write=3.75 write1h=6\t200:in=6 out=22.5 read=0.6\ttools,vision\t2026-06-30\t\t1\nmodel\tp\tfree\tchat\t\t\t\t\t\t\t\t\nmodel\tp\tvoice\tchat\t\t\tin=0.00013 out=2 ain=32 aout=64 think=3\t\t\t\t\t\n";

fn cost(model: &str, usage: Usage, service: Service) -> i64 {
    let catalogue = Catalogue::read(SMALL).unwrap();
    let PicoUsd(cost) = catalogue
        .model("p", model)
        .unwrap()
        .price
        .as_ref()
        .unwrap()
        .cost(&usage, service)
        .unwrap();
    cost
}

#[test]
fn costs_are_whole_and_exact() {
    let usage = Usage {
        input: 100,
        output: 10,
        ..Usage::default()
    };
    assert_eq!(
        cost("m", usage, Service::Standard),
        100 * 3_000_000 + 10 * 15_000_000
    );
    assert_eq!(
        cost("m", usage, Service::Batch { percent: 50 }),
        225_000_000
    );
    let cached = Usage {
        input: 100,
        cached_input: 40,
        cache_write: 30,
        cache_write_hour: 10,
        ..Usage::default()
    };
    assert_eq!(
        cost("m", cached, Service::Standard),
        20 * 3_000_000 + 40 * 300_000 + 30 * 3_750_000 + 10 * 6_000_000
    );
    let voice = Usage {
        input: 10,
        audio_input: 4,
        output: 10,
        audio_output: 3,
        reasoning: 5,
        ..Usage::default()
    };
    assert_eq!(
        cost("voice", voice, Service::Standard),
        6 * 130 + 4 * 32_000_000 + 2 * 2_000_000 + 3 * 64_000_000 + 5 * 3_000_000
    );
}

#[test]
fn a_long_prompt_costs_its_tier_from_the_first_token() {
    let at = |input| {
        cost(
            "m",
            Usage {
                input,
                ..Usage::default()
            },
            Service::Standard,
        )
    };
    assert_eq!(at(200), 200 * 3_000_000);
    assert_eq!(at(201), 201 * 6_000_000);
    let cached = Usage {
        input: 300,
        cached_input: 100,
        cache_write: 100,
        ..Usage::default()
    };
    // What the tier does not name costs what it costs below.
    assert_eq!(
        cost("m", cached, Service::Standard),
        100 * 6_000_000 + 100 * 600_000 + 100 * 3_750_000
    );
}

#[test]
fn sums_past_all_money_do_not_wrap() {
    let usage = Usage {
        input: u64::MAX,
        output: u64::MAX,
        ..Usage::default()
    };
    assert_eq!(cost("m", usage, Service::Standard), i64::MAX);
    let odd = Usage {
        input: 1,
        cached_input: 5,
        audio_input: 9,
        output: 1,
        reasoning: 9,
        audio_output: 9,
        ..Usage::default()
    };
    assert!(
        cost("voice", odd, Service::Standard) >= 0,
        "figures that can't be are no reason to panic"
    );
}

proptest::proptest! {
    #[test]
    fn nothing_costs_more_than_its_upper_bound(
        input in 0_u64..1_000_000, output in 0_u64..100_000, cached in 0_u64..1_000_000, written in 0_u64..1_000_000,
        hour in 0_u64..1_000_000, thought in 0_u64..100_000, which in 0_usize..2_000,
    ) {
        let catalogue = built_in();
        let model = catalogue.models().filter(|model| model.price.is_some()).nth(which % 1_000).unwrap();
        let price = model.price.as_ref().unwrap();
        let cached_input = cached.min(input);
        let cache_write = written.min(input - cached_input);
        let cache_write_hour = hour.min(input - cached_input - cache_write);
        let usage = Usage {
            input, cached_input, cache_write, cache_write_hour, output, reasoning: thought.min(output), ..Usage::default()
        };
        let (cost, most) = (price.cost(&usage, Service::Standard), price.upper_bound(input, output, Service::Standard));
        if let Some(PicoUsd(most)) = most {
            let PicoUsd(cost) = cost.unwrap();
            proptest::prop_assert!(cost <= most, "{}: {cost} > {most}", model.name);
        }
    }
}

#[test]
fn a_model_retires_on_its_day() {
    let catalogue = Catalogue::read(SMALL).unwrap();
    let model = catalogue.model("p", "m").unwrap();
    let day = |month, day| Day {
        year: 2026,
        month,
        day,
    };
    assert!(
        !model.is_retired(day(6, 29))
            && model.is_retired(day(6, 30))
            && model.is_retired(day(7, 1))
    );
    assert_eq!(model.retires.unwrap().to_string(), "2026-06-30");
    assert!(!catalogue.model("p", "free").unwrap().is_retired(day(7, 1)));
}

#[test]
fn a_time_has_its_day() {
    for (seconds, day) in [
        (951_782_399, "2000-02-28"),
        (951_782_400, "2000-02-29"),
        (951_868_800, "2000-03-01"),
        (1_798_761_599, "2026-12-31"),
        (1_798_761_600, "2027-01-01"),
        (4_107_542_400, "2100-03-01"),
        (i64::MIN, "2000-01-01"),
        (i64::MAX, "9999-12-31"),
    ] {
        assert_eq!(Day::of(seconds).to_string(), day, "{seconds}");
    }
}

#[test]
fn what_can_not_be_read_is_told_with_its_line() {
    let provider = SMALL.lines().next().unwrap();
    for (line, why) in [
        (
            "model\tq\tm\tchat\t\t\t\t\t\t\t\t",
            "a provider that no line",
        ),
        (
            "model\tp\tm\tchat\t\t\tin=1.0000001\t\t\t\t\t",
            "six places",
        ),
        ("model\tp\tm\tchat\t\t\tin=-1\t\t\t\t\t", "six places"),
        (
            "model\tp\tm\tchat\t\t\tgold=1\t\t\t\t\t",
            "kind that is not known",
        ),
        (
            "model\tp\tm\tchat\t\t\tin=1\t5:in=2;5:in=3\t\t\t\t",
            "order",
        ),
        ("model\tp\tm\tdance\t\t\t\t\t\t\t\t", "mode"),
        ("model\tp\tm\tchat\t\t\t\t\tjuggle\t\t\t", "ability"),
        ("model\tp\tm\tchat\t\t\t\t\t\t2026-13-01\t\t", "day"),
        ("model\tp\tm\tchat\t\t\t\t\t\t\tnone\t", "quirk"),
        ("model\tp\tm\tchat\t\t\t\t\t\t\t\t9", "source"),
        ("model\tp\tm\tchat\tmany\t\t\t\t\t\t\t", "number"),
        ("model\tp", "columns"),
        (
            "model\tp\tm\tchat\t\t\tin=1000000.000001\t\t\t\t\t",
            "too high",
        ),
        (
            "model\tp\tm\tchat\t\t\tin=18446744073709\t\t\t\t\t",
            "too high",
        ),
        (
            "provider\tq\tQ\topenai-chat\thttp://q.example/v1\tbearer\t\t\t",
            "without TLS",
        ),
        (
            "provider\tq\tQ\topenai-chat\thttp://localhost.q.example/v1\tbearer\t\t\t",
            "without TLS",
        ),
        (
            "provider\tq\tQ\topenai-chat\thttp://127.0.0.1@q.example/v1\tbearer\t\t\t",
            "without TLS",
        ),
        (
            "provider\tq\tQ\topenai-chat\tftp://q.example/v1\tnone\t\t\t",
            "begins with",
        ),
        (provider, "second time"),
    ] {
        let error = Catalogue::read(&format!("{provider}\n{line}\n")).expect_err(line);
        assert!(
            error.to_string().contains(why) && error.to_string().contains("line 2"),
            "{line}: {error}"
        );
    }
}

#[test]
fn an_address_without_tls_is_for_servers_without_keys_or_on_this_machine() {
    for line in [
        "provider\tq\tQ\topenai-chat\thttp://q.example/v1\tnone\t\t\t",
        "provider\tq\tQ\topenai-chat\thttp://localhost:1/v1\tbearer\t\t\t",
        "provider\tq\tQ\topenai-chat\thttp://127.0.0.9:1\tx-api-key\t\t\t",
        "provider\tq\tQ\topenai-chat\thttp://[::1]:1/v1\tbearer\t\t\t",
    ] {
        assert!(Catalogue::read(line).is_ok(), "{line}");
    }
}

/// What a million tokens cost, read and written, in millionths of a dollar.
#[test]
fn built_in_prices_are_those_that_are_published() {
    let catalogue = built_in();
    for (provider, name, input, output) in [
        ("anthropic", "claude-opus-4-5", 5_000_000, 25_000_000),
        ("anthropic", "claude-sonnet-4-5", 3_000_000, 15_000_000),
        ("openai", "gpt-5", 1_250_000, 10_000_000),
        // Past 200 000 tokens the prompt is of the dearer tier.
        ("gemini", "gemini-2.5-pro", 2_500_000, 10_000_000),
    ] {
        let price = catalogue.model(provider, name).unwrap().price.as_ref();
        let of = |input, output| {
            let usage = Usage {
                input,
                output,
                ..Usage::default()
            };
            price.unwrap().cost(&usage, Service::Standard)
        };
        let dollars = |millionths: i64| Some(PicoUsd(millionths * 1_000_000));
        assert_eq!(of(1_000_000, 0), dollars(input), "{name}");
        assert_eq!(of(0, 1_000_000), dollars(output), "{name}");
    }
}

#[test]
fn a_price_that_is_not_told_is_unknown_and_not_nothing() {
    let text = SMALL.replace(
        "in=3 out=15 read=0.3 write=3.75 write1h=6\t200:in=6 out=22.5 read=0.6",
        "in=3\t",
    );
    let catalogue = Catalogue::read(&text).unwrap();
    let price = catalogue.model("p", "m").unwrap().price.as_ref().unwrap();
    let usage = |output| Usage {
        input: 10,
        output,
        ..Usage::default()
    };
    let service = Service::Standard;
    assert_eq!(price.cost(&usage(0), service), Some(PicoUsd(30_000_000)));
    assert_eq!(price.cost(&usage(1), service), None);
    assert_eq!(price.upper_bound(10, 1, service), None);
    let reranks = built_in();
    let mut reranks = reranks.models().filter(|model| model.mode == Mode::Rerank);
    assert!(reranks.all(|model| {
        let price = model.price.as_ref();
        price.is_none_or(|price| price.cost(&usage(0), service) != Some(PicoUsd(0)))
    }));
}

/// A zero that nobody filled in would let calls pass every budget.
#[test]
fn nothing_is_free_of_a_provider_with_keys_but_what_it_gives_away() {
    let catalogue = built_in();
    for model in catalogue.models() {
        let provider = catalogue.provider(&model.provider).unwrap();
        // OpenAI says of its moderation that it costs nothing.
        let given = model.name.contains("free")
            || (provider.id == "openai" && model.mode == Mode::Moderation);
        let free = model.price.as_ref().is_some_and(|price| {
            price.upper_bound(1_000_000, 1_000_000, Service::Standard) == Some(PicoUsd(0))
        });
        assert!(
            !free || given || provider.key == KeyPlace::None,
            "{}/{}",
            provider.id,
            model.name
        );
    }
}
