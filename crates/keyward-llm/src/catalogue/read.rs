//! The form of a catalogue: lines of columns parted by tabs, which a person can read and a difference shows well.

use super::price::{Price, Rates};
use super::{Ability, Catalogue, Day, KeyPlace, Mode, Model, Provider};
use crate::dialect::{Dialect, ModelMembers, Quirks, SeedName};
use crate::error::Error;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// How many lines a catalogue may have.
const MOST_LINES: usize = 100_000;
/// The most that a token may cost, a dollar: a thousand times what the dearest does, and no sum of such can be too large to
/// be counted.
const MOST_PICO: u64 = 1_000_000_000_000;

pub(super) fn catalogue(text: &str) -> Result<Catalogue, Error> {
    let mut catalogue = Catalogue {
        revision: revision(text),
        ..Catalogue::default()
    };
    let mut sources: BTreeMap<&str, &str> = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        if index >= MOST_LINES {
            return Err(Error::TooLarge {
                what: "the lines of the catalogue",
                limit: MOST_LINES,
            });
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let columns: Vec<&str> = line.split('\t').collect();
        self::line(&columns, &mut catalogue, &mut sources).map_err(|why| Error::Catalogue {
            line: index + 1,
            why,
        })?;
    }
    Ok(catalogue)
}

/// FNV-1a: nobody is kept from making two texts of one number, and nobody gains by it. Never 0, which stands for none.
pub(super) fn revision(text: &str) -> u32 {
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash.max(1)
}

fn line<'a>(
    columns: &[&'a str],
    catalogue: &mut Catalogue,
    sources: &mut BTreeMap<&'a str, &'a str>,
) -> Result<(), &'static str> {
    match columns {
        [
            "provider",
            id,
            name,
            dialect,
            base_url,
            key,
            variable,
            quirks,
            batch,
        ] => {
            let key = key_place(key)?;
            check_address(base_url, key)?;
            let provider = Provider {
                id: (*id).to_owned(),
                name: (*name).to_owned(),
                dialect: Dialect::named(dialect).ok_or("a dialect that is not known")?,
                base_url: (*base_url).to_owned(),
                key,
                key_variable: some(variable).map(str::to_owned),
                quirks: self::quirks(quirks)?,
                batch_percent: number(batch)?
                    .map(|percent| u8::try_from(percent).map_err(|_| "a percentage over 255"))
                    .transpose()?,
            };
            let old = catalogue.providers.insert(provider.id.clone(), provider);
            old.map_or(Ok(()), |_| Err("a provider for the second time"))
        }
        ["source", number, address] => {
            sources.insert(number, address);
            Ok(())
        }
        [
            "model",
            provider,
            name,
            mode,
            context,
            output,
            prices,
            tiers,
            abilities,
            retires,
            quirks,
            source,
        ] => {
            if !catalogue.providers.contains_key(*provider) {
                return Err("a model of a provider that no line before tells of");
            }
            let source = match some(source) {
                Some(number) => Some(
                    sources
                        .get(number)
                        .ok_or("a source that no line before tells of")?,
                ),
                None => None,
            };
            let model = Model {
                provider: (*provider).to_owned(),
                name: (*name).to_owned(),
                mode: self::mode(mode)?,
                context: number(context)?,
                max_output: number(output)?,
                price: price(prices, tiers)?,
                abilities: list(abilities).map(ability).collect::<Result<_, _>>()?,
                retires: some(retires).map(day).transpose()?,
                quirks: self::quirks(quirks)?,
                source: source.map(|source| (*source).to_owned()),
            };
            let models = catalogue.models.entry(model.provider.clone()).or_default();
            let old = models.insert(model.name.clone(), model);
            old.map_or(Ok(()), |_| Err("a model for the second time"))
        }
        _ => Err("neither a provider, nor a source, nor a model with all its columns"),
    }
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|item| !item.is_empty())
}

fn number(text: &str) -> Result<Option<u64>, &'static str> {
    some(text)
        .map(|text| text.parse().map_err(|_| "a number that is none"))
        .transpose()
}

fn key_place(text: &str) -> Result<KeyPlace, &'static str> {
    Ok(match text {
        "bearer" => KeyPlace::Bearer,
        "x-api-key" => KeyPlace::XApiKey,
        "x-goog-api-key" => KeyPlace::XGoogApiKey,
        "api-key" => KeyPlace::ApiKey,
        "google-oauth" => KeyPlace::GoogleOauth,
        "aws-sigv4" => KeyPlace::AwsSignature,
        "none" => KeyPlace::None,
        _ => return Err("a way to send the key that is not known"),
    })
}

fn quirks(text: &str) -> Result<Quirks, &'static str> {
    let mut quirks = Quirks::default();
    for word in list(text) {
        match word {
            "old_max_tokens" => quirks.old_max_tokens = true,
            "no_developer_role" => quirks.no_developer_role = true,
            "random_seed" => quirks.seed_name = SeedName::RandomSeed,
            "any_tool" => quirks.any_tool = true,
            "no_required_tool" => quirks.no_required_tool = true,
            "text_only" => quirks.text_only = true,
            "loose_tools" => quirks.loose_tools = true,
            "returns_reasoning" => quirks.returns_reasoning = true,
            "cache_control" => quirks.cache_control = true,
            "adaptive_reasoning" => quirks.adaptive_reasoning = true,
            "reasoning_levels" => quirks.reasoning_levels = true,
            "no_stream_options" => quirks.no_stream_options = true,
            "rerank_top_k" => quirks.rerank_top_k = true,
            "on_vertex" => quirks.on_vertex = true,
            "openrouter_members" => quirks.model_members = ModelMembers::OpenRouter,
            "vercel_members" => quirks.model_members = ModelMembers::Vercel,
            "router_members" => quirks.model_members = ModelMembers::Any,
            _ => return Err("a quirk that is not known"),
        }
    }
    Ok(quirks)
}

fn mode(text: &str) -> Result<Mode, &'static str> {
    Ok(match text {
        "chat" => Mode::Chat,
        "completion" => Mode::Completion,
        "embedding" => Mode::Embedding,
        "image" => Mode::Image,
        "speech" => Mode::Speech,
        "transcription" => Mode::Transcription,
        "rerank" => Mode::Rerank,
        "moderation" => Mode::Moderation,
        "realtime" => Mode::Realtime,
        _ => return Err("a mode that is not known"),
    })
}

fn ability(text: &str) -> Result<Ability, &'static str> {
    Ok(match text {
        "tools" => Ability::Tools,
        "parallel_tools" => Ability::ParallelTools,
        "json_schema" => Ability::JsonSchema,
        "reasoning" => Ability::Reasoning,
        "vision" => Ability::Vision,
        "pdf" => Ability::Pdf,
        "audio_in" => Ability::AudioIn,
        "audio_out" => Ability::AudioOut,
        "prompt_cache" => Ability::PromptCache,
        "web_search" => Ability::WebSearch,
        _ => return Err("an ability that is not known"),
    })
}

fn day(text: &str) -> Result<Day, &'static str> {
    const WRONG: &str = "a day that is not written as 2026-01-31";
    let mut parts = text.split('-');
    let mut next = || {
        parts
            .next()
            .and_then(|part| part.parse::<u16>().ok())
            .ok_or(WRONG)
    };
    let (year, month, day) = (next()?, next()?, next()?);
    let sound =
        (2000..3000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !sound || parts.next().is_some() {
        return Err(WRONG);
    }
    Ok(Day {
        year,
        month: u8::try_from(month).map_err(|_| WRONG)?,
        day: u8::try_from(day).map_err(|_| WRONG)?,
    })
}

fn price(prices: &str, tiers: &str) -> Result<Option<Price>, &'static str> {
    if prices.is_empty() {
        return if tiers.is_empty() {
            Ok(None)
        } else {
            Err("tiers without a price")
        };
    }
    let base = rates(prices, Rates::default())?;
    let mut read: Vec<(u64, Rates)> = Vec::new();
    for tier in tiers.split(';').filter(|tier| !tier.is_empty()) {
        let (above, prices) = tier.split_once(':').ok_or("a tier without a bound")?;
        let above = number(above)?.ok_or("a tier without a bound")?;
        if read.last().is_some_and(|(last, _)| *last >= above) {
            return Err("tiers that are not in the order of their bounds");
        }
        // What a tier does not name costs what it costs below.
        read.push((above, rates(prices, base)?));
    }
    Ok(Some(Price { base, tiers: read }))
}

fn rates(text: &str, mut rates: Rates) -> Result<Rates, &'static str> {
    for price in text.split(' ') {
        let (kind, dollars) = price.split_once('=').ok_or("a price without a kind")?;
        let pico = pico_per_token(dollars)?;
        match kind {
            "in" => rates.input = Some(pico),
            "out" => rates.output = Some(pico),
            "read" => rates.cache_read = Some(pico),
            "write" => rates.cache_write = Some(pico),
            "write1h" => rates.cache_write_hour = Some(pico),
            "ain" => rates.audio_input = Some(pico),
            "aout" => rates.audio_output = Some(pico),
            "think" => rates.reasoning = Some(pico),
            _ => return Err("a price of a kind that is not known"),
        }
    }
    Ok(rates)
}

/// Dollars for a million tokens are millions of pico-dollars for one: six places behind the point, exactly.
fn pico_per_token(dollars: &str) -> Result<u64, &'static str> {
    const WRONG: &str = "a price that is not written as 12.5, with at most six places";
    let (whole, places) = dollars.split_once('.').unwrap_or((dollars, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(places) || places.len() > 6 {
        return Err(WRONG);
    }
    let pico = format!("{whole}{places:0<6}").parse::<u64>();
    // Digits alone are no number where they are too many.
    let pico = pico.ok().filter(|pico| *pico <= MOST_PICO);
    pico.ok_or("a price that is too high: at most 1000000 dollars for a million tokens")
}

/// Keys go over the network encrypted, or not at all.
fn check_address(address: &str, key: KeyPlace) -> Result<(), &'static str> {
    if address.starts_with("https://") {
        return Ok(());
    }
    let Some(rest) = address.strip_prefix("http://") else {
        return Err("an address that begins with neither `https://` nor `http://`");
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(literal) => literal.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let here = host == "localhost"
        || host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback())
        || host.parse().is_ok_and(|ip: Ipv6Addr| ip.is_loopback());
    if key == KeyPlace::None || (here && !authority.contains('@')) {
        Ok(())
    } else {
        Err(
            "an address without TLS of a provider with keys: they would go over the network for all to read",
        )
    }
}
