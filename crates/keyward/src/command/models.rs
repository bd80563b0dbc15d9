//! `keyward models`: the catalogue of AI providers, their models and prices.

use super::input::Input;
use super::{Failure, terminal};
use crate::configuration::{self, DEFAULT_FILE, catalogue};
use crate::environment;
use clap::{Args, Subcommand, ValueHint};
use keyward_egress::{AllowRule, Egress, Limits, Policy, Request};
use keyward_gateway::{check_provider, use_catalogue};
use keyward_llm::catalogue::{Catalogue, Model, Price, Provider};
use keyward_model::resource::Spec;
use keyward_model::usage::PicoUsd;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const WHAT: &str = "catalogue";
/// A catalogue is fetched within this time, wherever it is.
const FETCH_MAX: Duration = Duration::from_secs(60);

/// The catalogue of AI providers, their models and prices
#[derive(Debug, Subcommand)]
pub(super) enum Models {
    List(List),
    Update(Update),
}

impl Models {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(command) => command.run(),
            Self::Update(command) => command.run(),
        }
    }
}

/// List the models that the catalogue knows, with their prices
///
/// Prices are US dollars for a million tokens, of short prompts. The catalogue is the one that goes with this version, or
/// the one that `keyward models update` has put into the data folder of the node.
#[derive(Args, Debug)]
pub(super) struct List {
    /// Those of one provider alone, by what the catalogue calls it, such as `openai`
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,

    /// As JSON, with all that is known of each
    #[arg(long)]
    json: bool,

    /// The node's configuration. Without this option KEYWARD_CONFIG names it; without that it is keyward.yaml, where
    /// there is one
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

/// Put a newer catalogue into the data folder of the node
///
/// It is read and checked first: one that can't be read, or that does not know a provider of the configuration, is refused,
/// and the one before stays. Nodes that run take it up within a second, without a restart; calls that run keep the prices
/// they began with. Where it has another address, dialect or place of the key for a provider that is known, that is shown:
/// the provider's keys would go there, so that it counts with `--accept-addresses` alone. The form is that of the file in the source of Keyward
/// (crates/keyward-llm/src/catalogue/catalogue.tsv). To go back to the one that goes with the version, take
/// `catalogue.tsv` out of the data folder.
#[derive(Args, Debug)]
pub(super) struct Update {
    /// Where the newer one is: a file, an address that begins with `https://`, or `-` for standard input
    #[arg(long, value_name = "FILE|URL", value_hint = ValueHint::AnyPath)]
    from: String,

    /// A range of addresses that may be asked although it is not public, such as 127.0.0.1 or 10.0.0.0/8, with a port as
    /// in 10.0.0.0/8:443
    #[arg(long, value_name = "NETWORK")]
    allow: Vec<AllowRule>,

    /// Take it although providers have other addresses, dialects or places of their keys in it
    #[arg(long)]
    accept_addresses: bool,

    /// The node's configuration, which says where its data folder is. Without this option KEYWARD_CONFIG names it; without
    /// that it is keyward.yaml
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let catalogue = self.catalogue()?;
        if let Some(id) = &self.provider
            && catalogue.provider(id).is_none()
        {
            let why =
                format!("it has no provider `{id}`; `keyward models list` shows those that it has");
            return Err(Failure::new(WHAT, why, "unknown_provider"));
        }
        let wanted = |model: &&Model| {
            self.provider
                .as_ref()
                .is_none_or(|id| *id == model.provider)
        };
        let models: Vec<&Model> = catalogue.models().filter(wanted).collect();
        if self.json {
            let models: Vec<Value> = models.iter().map(|model| told(model, &catalogue)).collect();
            let all = json!({ "revision": catalogue.revision(), "models": models });
            return terminal::write_json(&all);
        }
        terminal::write(table(&models).as_bytes())
    }

    fn catalogue(&self) -> Result<Arc<Catalogue>, Failure> {
        let named = configuration_of(self.config.as_ref());
        let read = match &named {
            // Nobody needs a configuration to look at what there is.
            None => None,
            Some(path) => {
                let place = configuration::data_place(path, &environment::variable)?;
                catalogue::newer(&place.data_dir).map_err(|why| failed(&why))?
            }
        };
        match read {
            Some(newer) => Ok(Arc::new(newer)),
            None => keyward_gateway::catalogue().ok_or_else(|| failed("it can't be read")),
        }
    }
}

/// The configuration that is named, or that stands where it usually does.
fn configuration_of(named: Option<&PathBuf>) -> Option<PathBuf> {
    let usual = || Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists());
    named
        .cloned()
        .or_else(|| environment::variable(environment::CONFIG).map(PathBuf::from))
        .or_else(usual)
}

fn failed(why: &str) -> Failure {
    Failure::new(WHAT, why, "catalogue")
}

/// Dollars for a million tokens, from millionths of millionths for one.
fn dollars(price: Option<PicoUsd>) -> String {
    let Some(PicoUsd(pico)) = price else {
        return "-".to_owned();
    };
    let text = format!("{}.{:06}", pico / 1_000_000, pico % 1_000_000);
    let short = text.trim_end_matches('0').trim_end_matches('.');
    short.to_owned()
}

fn table(models: &[&Model]) -> String {
    let head = [
        "PROVIDER", "MODEL", "DOES", "CONTEXT", "IN", "OUT", "RETIRES",
    ]
    .map(str::to_owned);
    let rows = models.iter().map(|model| {
        let number =
            |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let price = model.price.as_ref();
        [
            model.provider.clone(),
            model.name.clone(),
            model.mode.as_str().to_owned(),
            number(model.context),
            dollars(price.and_then(|price| price.input())),
            dollars(price.and_then(|price| price.output())),
            model
                .retires
                .map_or_else(|| "-".to_owned(), |day| day.to_string()),
        ]
    });
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(rows).collect();
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (index, (width, cell)) in widths.iter().zip(row).enumerate() {
            // Numbers end at one place.
            let padded = if (3..=5).contains(&index) {
                format!("{cell:>width$}  ")
            } else {
                format!("{cell:<width$}  ")
            };
            line.push_str(&padded);
        }
        // Writing to a string does not fail.
        let _infallible = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn told(model: &Model, catalogue: &Catalogue) -> Value {
    let price = model.price.as_ref();
    let tiers = price.map(Price::tiers).unwrap_or_default();
    let tiers = tiers.into_iter().map(|(above, rates)| {
        let rates = rates.into_iter();
        let each = rates.map(|(kind, PicoUsd(pico))| (kind.to_owned(), pico.into()));
        json!({ "above_tokens": above, "pico_usd": each.collect::<Map<String, Value>>() })
    });
    let abilities = model.abilities.iter().map(|ability| ability.as_str());
    let provider = catalogue.provider(&model.provider);
    let per_token = |price: Option<PicoUsd>| price.map(|PicoUsd(pico)| pico);
    json!({
        "provider": model.provider,
        "model": model.name,
        "does": model.mode.as_str(),
        "context": model.context,
        "max_output": model.max_output,
        "input_pico_usd": per_token(price.and_then(|price| price.input())),
        "output_pico_usd": per_token(price.and_then(|price| price.output())),
        "prices": tiers.collect::<Vec<Value>>(),
        "batch_percent": provider.and_then(|provider| provider.batch_percent),
        "abilities": abilities.collect::<Vec<&str>>(),
        "retires": model.retires.map(|day| day.to_string()),
        "source": model.source,
    })
}

impl Update {
    fn run(self) -> Result<(), Failure> {
        let path = configuration_of(self.config.as_ref()).ok_or_else(|| {
            failed("there is no configuration that says where the data folder is; name it with `--config`")
        })?;
        let place = configuration::data_place(&path, &environment::variable)?;
        let text = self.text()?;
        let newer = catalogue::read(&text).map_err(|why| {
            Failure::new(
                WHAT,
                format!("what came from {}: {why}", self.from),
                "bad_catalogue",
            )
        })?;
        let summary = format!(
            "{} providers, {} models, revision {}",
            newer.providers().count(),
            newer.models().count(),
            newer.revision()
        );
        self.leads_where_it_did(&place.data_dir, &newer)?;
        still_serves(&path, newer)?;
        let file = catalogue::place(&place.data_dir);
        replace(&place.data_dir, &file, &text).map_err(|error| {
            Failure::new(WHAT, format!("{}: {error}", file.display()), "output")
        })?;
        terminal::write_line(&format!("{}: {summary}", file.display()))
    }

    /// Whether keys go where they went before: nobody has signed what came.
    fn leads_where_it_did(&self, data_dir: &Path, newer: &Catalogue) -> Result<(), Failure> {
        // One that can't be read counts for nothing: the one of the version does.
        let before = catalogue::newer(data_dir).ok().flatten().map(Arc::new);
        let Some(before) = before.or_else(keyward_gateway::catalogue) else {
            return Ok(());
        };
        let moved: Vec<String> = newer
            .providers()
            .filter_map(|provider| Some((before.provider(&provider.id)?, provider)))
            .flat_map(|(before, newer)| changes(before, newer))
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        let moved = moved.join("; ");
        if self.accept_addresses {
            return terminal::write_line(&format!("Accepted: {moved}"));
        }
        let why = format!(
            "what came from {} would lead keys elsewhere: {moved}. Look at each, and take it with `--accept-addresses` if that is right",
            self.from
        );
        Err(Failure::new(WHAT, why, "other_addresses"))
    }

    fn text(&self) -> Result<String, Failure> {
        let bytes = if self.from.contains("://") {
            fetch(&self.from, &self.allow)?
        } else {
            let input = Input::from(std::ffi::OsString::from(&self.from));
            input.read(catalogue::MAX_BYTES)?.to_vec()
        };
        String::from_utf8(bytes).map_err(|_| failed("it is no UTF-8 text"))
    }
}

/// What of a provider decides where its keys go, and how.
fn changes(before: &Provider, newer: &Provider) -> Vec<String> {
    let facts = [
        ("address", before.base_url.as_str(), newer.base_url.as_str()),
        ("dialect", before.dialect.as_str(), newer.dialect.as_str()),
        ("place of the key", before.key.as_str(), newer.key.as_str()),
    ];
    let changed = facts
        .into_iter()
        .filter(|(_, before, newer)| before != newer);
    let told = changed.map(|(what, was, is)| {
        format!(
            "the provider `{}` has another {what}: `{is}` instead of `{was}`",
            newer.id
        )
    });
    told.collect()
}

fn fetch(url: &str, allow: &[AllowRule]) -> Result<Vec<u8>, Failure> {
    let unreachable = |why: String| Failure::new(WHAT, why, "unreachable");
    let policy = Policy {
        allow: allow.to_vec(),
        ..Policy::default()
    };
    let limits = Limits {
        max_bytes: catalogue::MAX_BYTES,
        total: FETCH_MAX,
        ..Limits::DOCUMENT
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| unreachable(error.to_string()))?;
    runtime.block_on(async {
        let egress = Egress::new(policy).map_err(|error| unreachable(error.to_string()))?;
        let request = Request::get(url).map_err(|error| unreachable(error.to_string()))?;
        let response = egress.fetch(request, limits).await;
        let response = response.map_err(|error| unreachable(error.to_string()))?;
        if response.status != 200 {
            return Err(unreachable(format!(
                "{url} answered with status {}",
                response.status
            )));
        }
        Ok(response.body.to_vec())
    })
}

/// Whether the configuration could be served with a newer one.
fn still_serves(path: &Path, newer: Catalogue) -> Result<(), Failure> {
    let loaded = configuration::load(Some(path), &[], &environment::variable);
    let Some(configuration) = &loaded.configuration else {
        let why = loaded.report.first_error().unwrap_or_default();
        terminal::complain(&format!(
            "keyward: whether the configuration's providers are in it was not checked, since that can't be read here: {why}"
        ));
        return Ok(());
    };
    use_catalogue(Some(Arc::new(newer)));
    for declared in &configuration.resources {
        if let Spec::Provider(provider) = &declared.resource.spec {
            check_provider(provider).map_err(|why| {
                let why = format!(
                    "with it the provider `{}` could not be served: {why}",
                    declared.resource.name
                );
                Failure::new(WHAT, why, "bad_catalogue")
            })?;
        }
    }
    Ok(())
}

/// Puts a text in the place of another: who reads meanwhile gets the one or the other, whole.
fn replace(folder: &Path, file: &Path, text: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(std::io::Error::other)?;
    let beside = folder.join(format!("catalogue.{:016x}.new", u64::from_be_bytes(random)));
    let written = std::fs::File::create_new(&beside).and_then(|mut new| {
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        std::fs::rename(&beside, file)
    });
    if written.is_err() {
        // What went wrong is told; what is left over would only be in the way.
        let _removed = std::fs::remove_file(&beside);
        return written;
    }
    std::fs::File::open(folder)?.sync_all()
}
