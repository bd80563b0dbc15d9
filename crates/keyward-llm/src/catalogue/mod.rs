//! Who serves which models, and at what price: data, in the repository and replaceable without a new binary.

mod price;
mod read;

#[cfg(test)]
mod tests;

pub use price::{Price, Service};

use crate::dialect::{Dialect, Quirks, Target};
use crate::error::Error;
use std::collections::BTreeMap;
use std::fmt;

/// The catalogue that goes with this version.
const BUILT_IN: &str = include_str!("catalogue.tsv");

/// Providers and their models.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    providers: BTreeMap<String, Provider>,
    models: BTreeMap<String, BTreeMap<String, Model>>,
    revision: u32,
}

/// Who serves models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// By what configurations name it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it speaks.
    pub dialect: Dialect,
    /// Its address; words in braces are to be filled in.
    pub base_url: String,
    /// How its key is sent.
    pub key: KeyPlace,
    /// The variable in which its key usually is.
    pub key_variable: Option<String>,
    /// How it differs from others of its dialect.
    pub quirks: Quirks,
    /// What a call in a batch costs, in percent of the price; nothing where it has no batches.
    pub batch_percent: Option<u8>,
}

/// How a provider's key is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyPlace {
    /// `Authorization: Bearer`.
    Bearer,
    /// `x-api-key`.
    XApiKey,
    /// `x-goog-api-key`.
    XGoogApiKey,
    /// `api-key`.
    ApiKey,
    /// A token of Google's, for which the key signs.
    GoogleOauth,
    /// The request is signed (AWS signature, version 4).
    AwsSignature,
    /// There is none.
    None,
}

impl KeyPlace {
    /// As a catalogue has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::XApiKey => "x-api-key",
            Self::XGoogApiKey => "x-goog-api-key",
            Self::ApiKey => "api-key",
            Self::GoogleOauth => "google-oauth",
            Self::AwsSignature => "aws-sigv4",
            Self::None => "none",
        }
    }
}

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Converses.
    Chat,
    /// Goes on with a text.
    Completion,
    /// Makes vectors of texts.
    Embedding,
    /// Makes pictures.
    Image,
    /// Reads out.
    Speech,
    /// Writes down what is said.
    Transcription,
    /// Sorts texts by how they fit.
    Rerank,
    /// Tells what is harmful.
    Moderation,
    /// Converses by voice.
    Realtime,
}

impl Mode {
    /// As a catalogue has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completion => "completion",
            Self::Embedding => "embedding",
            Self::Image => "image",
            Self::Speech => "speech",
            Self::Transcription => "transcription",
            Self::Rerank => "rerank",
            Self::Moderation => "moderation",
            Self::Realtime => "realtime",
        }
    }
}

/// What a model can take or give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ability {
    /// Calls tools.
    Tools,
    /// Calls several at once.
    ParallelTools,
    /// Answers by a schema.
    JsonSchema,
    /// Reasons.
    Reasoning,
    /// Reads pictures.
    Vision,
    /// Reads PDF.
    Pdf,
    /// Hears.
    AudioIn,
    /// Speaks.
    AudioOut,
    /// Its provider keeps prompts for less.
    PromptCache,
    /// Searches the web.
    WebSearch,
}

impl Ability {
    /// As a catalogue has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::ParallelTools => "parallel_tools",
            Self::JsonSchema => "json_schema",
            Self::Reasoning => "reasoning",
            Self::Vision => "vision",
            Self::Pdf => "pdf",
            Self::AudioIn => "audio_in",
            Self::AudioOut => "audio_out",
            Self::PromptCache => "prompt_cache",
            Self::WebSearch => "web_search",
        }
    }
}

/// A day, by the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    /// The year.
    pub year: u16,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
}

/// A model of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its provider.
    pub provider: String,
    /// As the provider names it.
    pub name: String,
    /// What it does.
    pub mode: Mode,
    /// How many tokens it can take in.
    pub context: Option<u64>,
    /// How many it can write.
    pub max_output: Option<u64>,
    /// What it costs; nothing where that is not known or is not by tokens.
    pub price: Option<Price>,
    /// What it can.
    pub abilities: Vec<Ability>,
    /// From when it is served no more.
    pub retires: Option<Day>,
    /// How it differs from other models of its provider.
    pub quirks: Quirks,
    /// Where that is told.
    pub source: Option<String>,
}

impl Catalogue {
    /// The one that goes with this version.
    ///
    /// # Errors
    /// None that the tests have not seen.
    pub fn built_in() -> Result<Self, Error> {
        Self::read(BUILT_IN)
    }

    /// Reads one, in the form of the built-in.
    ///
    /// # Errors
    /// [`Error::Catalogue`] with the line that can't be read.
    pub fn read(text: &str) -> Result<Self, Error> {
        read::catalogue(text)
    }

    /// A number that stands for this very text: records of what calls cost say by which prices.
    #[must_use]
    pub const fn revision(&self) -> u32 {
        self.revision
    }

    /// The provider of that id.
    #[must_use]
    pub fn provider(&self, id: &str) -> Option<&Provider> {
        self.providers.get(id)
    }

    /// All providers, by id.
    pub fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.providers.values()
    }

    /// A model of a provider.
    #[must_use]
    pub fn model(&self, provider: &str, name: &str) -> Option<&Model> {
        self.models.get(provider)?.get(name)
    }

    /// All models, by provider and name.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.models.values().flat_map(BTreeMap::values)
    }

    /// Who serves a model of that name.
    pub fn served_by<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Model> {
        self.models
            .values()
            .filter_map(move |models| models.get(name))
    }

    /// How a provider's model is asked: with what is special about both. A model that is not here is asked all the
    /// same: providers have new ones every week.
    #[must_use]
    pub fn target(&self, provider: &str, name: &str) -> Option<Target> {
        let provider = self.provider(provider)?;
        let model = self.model(&provider.id, name);
        let mut quirks = provider.quirks;
        if let Some(model) = model {
            quirks.adaptive_reasoning |= model.quirks.adaptive_reasoning;
            quirks.reasoning_levels |= model.quirks.reasoning_levels;
        }
        Some(Target {
            model: name.to_owned(),
            max_output: model.and_then(|model| model.max_output),
            quirks,
        })
    }
}

impl Model {
    /// Whether it can.
    #[must_use]
    pub fn can(&self, ability: Ability) -> bool {
        self.abilities.contains(&ability)
    }

    /// Whether it is served no more.
    #[must_use]
    pub fn is_retired(&self, today: Day) -> bool {
        self.retires.is_some_and(|day| day <= today)
    }
}

impl Day {
    /// The day of a time in UTC, in seconds since 1970. Years before 2000 and after 9999 are told as these.
    #[must_use]
    pub fn of(seconds: i64) -> Self {
        // Years that begin in March have the odd day at their end; 719 468 days are from March of the year 0 to 1970.
        let days = seconds
            .clamp(946_684_800, 253_402_300_799)
            .div_euclid(86_400)
            + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Self {
            year: u16::try_from(year).unwrap_or(u16::MAX),
            month: u8::try_from(month).unwrap_or(u8::MAX),
            day: u8::try_from(day).unwrap_or(u8::MAX),
        }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}
