//! Where calls are logged, and how.

use keyward_model::resource::raw::{Field, Fields, Problems, Value};
use serde_json::json;
use std::path::{Path, PathBuf};

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessLog {
    /// How a line looks.
    pub(crate) format: LogFormat,
    /// Where lines go.
    pub(crate) destination: LogDestination,
    /// Which calls have a line.
    pub(crate) sample: Sample,
    /// What stands in a line.
    pub(crate) fields: FieldSet,
    /// Which of these are made unrecognizable.
    pub(crate) mask: FieldSet,
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// An object a line.
    Json,
    /// For eyes.
    Human,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogDestination {
    /// Standard output.
    StandardOutput,
    /// Standard error.
    StandardError,
    /// A file that is appended to.
    File(PathBuf),
    /// Nowhere.
    Off,
}

/// The share of the calls without a failure that have a line, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample(u32);

impl Sample {
    /// Every call.
    pub(crate) const ALL: Self = Self(Self::WHOLE);
    const WHOLE: u32 = 1_000_000;

    /// A share from 0 to 1.
    pub(crate) fn of(share: f64) -> Option<Self> {
        if !(0.0..=1.0).contains(&share) {
            return None;
        }
        let millionths = (share * f64::from(Self::WHOLE)).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is from 0 to a million"
        )]
        Some(Self(millionths as u32))
    }

    /// The share, from 0 to 1.
    pub(crate) fn share(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }

    /// The share in millionths.
    pub(crate) fn millionths(self) -> u32 {
        self.0
    }

    /// Whether a number that is evenly spread over all of its values falls into the share.
    pub(crate) fn takes(self, spread: u64) -> bool {
        let place = (u128::from(spread) * u128::from(Self::WHOLE)) >> 64;
        place < u128::from(self.0)
    }
}

/// The fields of a line, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogField {
    Time,
    RequestId,
    TraceId,
    Protocol,
    Method,
    Path,
    Status,
    GrpcStatus,
    Code,
    Blame,
    Because,
    Limit,
    Policy,
    Address,
    Team,
    Api,
    Version,
    Route,
    Authentication,
    Issuer,
    Subject,
    Client,
    Revision,
    BytesIn,
    BytesOut,
    TotalUs,
    UpstreamUs,
    FirstByteUs,
    Model,
    ModelServed,
    Provider,
    InputTokens,
    CachedTokens,
    CacheWriteTokens,
    OutputTokens,
    ReasoningTokens,
    CostPicoUsd,
    PriceRevision,
    TokensEstimated,
}

impl LogField {
    /// All, by the names that they have in a line.
    pub(crate) const NAMED: [(&'static str, Self); 39] = [
        ("time", Self::Time),
        ("request_id", Self::RequestId),
        ("trace_id", Self::TraceId),
        ("protocol", Self::Protocol),
        ("method", Self::Method),
        ("path", Self::Path),
        ("status", Self::Status),
        ("grpc_status", Self::GrpcStatus),
        ("code", Self::Code),
        ("blame", Self::Blame),
        ("because", Self::Because),
        ("limit", Self::Limit),
        ("policy", Self::Policy),
        ("address", Self::Address),
        ("team", Self::Team),
        ("api", Self::Api),
        ("version", Self::Version),
        ("route", Self::Route),
        ("authentication", Self::Authentication),
        ("issuer", Self::Issuer),
        ("subject", Self::Subject),
        ("client", Self::Client),
        ("revision", Self::Revision),
        ("bytes_in", Self::BytesIn),
        ("bytes_out", Self::BytesOut),
        ("total_us", Self::TotalUs),
        ("upstream_us", Self::UpstreamUs),
        ("first_byte_us", Self::FirstByteUs),
        ("model", Self::Model),
        ("model_served", Self::ModelServed),
        ("provider", Self::Provider),
        ("input_tokens", Self::InputTokens),
        ("cached_tokens", Self::CachedTokens),
        ("cache_write_tokens", Self::CacheWriteTokens),
        ("output_tokens", Self::OutputTokens),
        ("reasoning_tokens", Self::ReasoningTokens),
        ("cost_pico_usd", Self::CostPicoUsd),
        ("price_revision", Self::PriceRevision),
        ("tokens_estimated", Self::TokensEstimated),
    ];

    /// Those that say who called or what for, and can be masked.
    const MASKED: [(&'static str, Self); 4] = [
        ("address", Self::Address),
        ("subject", Self::Subject),
        ("client", Self::Client),
        ("path", Self::Path),
    ];
}

/// Some of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldSet(u64);

impl FieldSet {
    /// All of them.
    pub(crate) const ALL: Self = Self(u64::MAX);
    /// None of them.
    pub(crate) const NONE: Self = Self(0);

    /// Whether `field` is among them.
    pub(crate) fn has(self, field: LogField) -> bool {
        self.0 & Self::bit(field) != 0
    }

    /// These and `field`.
    pub(crate) fn with(self, field: LogField) -> Self {
        Self(self.0 | Self::bit(field))
    }

    /// All but these.
    pub(crate) fn others(self) -> Self {
        Self(!self.0)
    }

    fn bit(field: LogField) -> u64 {
        1 << field as u32
    }

    fn names(self) -> Vec<&'static str> {
        LogField::NAMED
            .into_iter()
            .filter_map(|(name, field)| self.has(field).then_some(name))
            .collect()
    }
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            format: LogFormat::Human,
            destination: LogDestination::StandardOutput,
            sample: Sample::ALL,
            fields: FieldSet::ALL,
            mask: FieldSet::NONE,
        }
    }
}

impl AccessLog {
    /// The log as `check --json` shows it.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let destination = match &self.destination {
            LogDestination::StandardOutput => json!("stdout"),
            LogDestination::StandardError => json!("stderr"),
            LogDestination::Off => json!("off"),
            LogDestination::File(path) => json!({ "file": path }),
        };
        json!({
            "format": match self.format {
                LogFormat::Json => "json",
                LogFormat::Human => "human",
            },
            "destination": destination,
            "sample": self.sample.share(),
            "fields": self.fields.names(),
            "mask": self.mask.names(),
        })
    }
}

/// Reads `access_log`.
pub(super) fn read(
    field: Field<'_>,
    directory: &Path,
    problems: &mut Problems,
) -> Option<AccessLog> {
    let default = AccessLog::default();
    let keys = ["format", "destination", "sample", "fields", "omit", "mask"];
    let fields = field.fields(&keys, problems)?;
    let format = match fields.optional("format") {
        Some(field) => field.one_of(
            &[("json", LogFormat::Json), ("human", LogFormat::Human)],
            problems,
        ),
        None => Some(default.format),
    };
    let destination = match fields.optional("destination") {
        Some(field) => destination(field, directory, problems),
        None => Some(default.destination),
    };
    let sample = match fields.optional("sample") {
        Some(field) => sample(field, "failures alone", problems),
        None => Some(default.sample),
    };
    let chosen = chosen(&fields, format, problems);
    let mask = match fields.optional("mask") {
        Some(field) => field_set(field, &LogField::MASKED, problems),
        None => Some(default.mask),
    };
    Some(AccessLog {
        format: format?,
        destination: destination?,
        sample: sample?,
        fields: chosen?,
        mask: mask?,
    })
}

fn destination(
    field: Field<'_>,
    directory: &Path,
    problems: &mut Problems,
) -> Option<LogDestination> {
    if field.as_text().is_none() {
        let fields = field.fields(&["file"], problems)?;
        let file = fields.required("file", "name the file that lines are added to", problems)?;
        let path = file.text(problems)?;
        return Some(LogDestination::File(directory.join(path)));
    }
    match field.text(problems)? {
        "stdout" => Some(LogDestination::StandardOutput),
        "stderr" => Some(LogDestination::StandardError),
        "off" => Some(LogDestination::Off),
        _ => {
            field.refuse(
                "is none of `stdout`, `stderr`, `off` and `{ file: PATH }`",
                problems,
            );
            None
        }
    }
}

/// Reads a share of calls; `none` says what is left at 0.
pub(super) fn sample(field: Field<'_>, none: &str, problems: &mut Problems) -> Option<Sample> {
    let share = match field.node().value {
        Value::Whole(0) => Some(0.0),
        Value::Whole(1) => Some(1.0),
        Value::Number(share) => Some(share),
        Value::Null
        | Value::Boolean(_)
        | Value::Whole(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_) => None,
    };
    let sample = share.and_then(Sample::of);
    if sample.is_none() {
        field.refuse(
            &format!("is no share: write a number from 0 ({none}) to 1 (every call), such as 0.1"),
            problems,
        );
    }
    sample
}

/// What `fields` or `omit` leave. A line for eyes has its own form, which they don't change.
fn chosen(
    fields: &Fields<'_>,
    format: Option<LogFormat>,
    problems: &mut Problems,
) -> Option<FieldSet> {
    let (key, field) = match (fields.optional("fields"), fields.optional("omit")) {
        (None, None) => return Some(FieldSet::ALL),
        (Some(field), None) => ("fields", field),
        (None, Some(field)) => ("omit", field),
        (Some(_), Some(omit)) => {
            problems.error(
                omit.place(),
                "contradiction",
                "`fields` and `omit` don't go together: name the fields that are wanted, or those that are not",
            );
            return None;
        }
    };
    if format == Some(LogFormat::Human) {
        problems.error(
            field.place(),
            "contradiction",
            format!("`{key}` chooses among the fields of `format: json`: a line for people has its own form"),
        );
        return None;
    }
    let named = field_set(field, &LogField::NAMED, problems)?;
    Some(if key == "omit" { named.others() } else { named })
}

fn field_set(
    field: Field<'_>,
    known: &[(&str, LogField)],
    problems: &mut Problems,
) -> Option<FieldSet> {
    let members = field.filled_list(problems)?;
    let named: Vec<Option<LogField>> = members
        .into_iter()
        .map(|member| member.one_of(known, problems))
        .collect();
    named
        .into_iter()
        .try_fold(FieldSet::NONE, |set, field| Some(set.with(field?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_takes_its_share_of_evenly_spread_numbers() {
        let numbers = (0..10_000_u64).map(|number| number * (u64::MAX / 10_000));
        for (share, expected) in [(0.0, 0), (0.1, 1000), (0.5, 5000), (1.0, 10_000)] {
            let sample = Sample::of(share).unwrap();
            let taken = numbers
                .clone()
                .filter(|number| sample.takes(*number))
                .count();
            assert!(taken.abs_diff(expected) <= 1, "{share}: {taken}");
        }
        assert!(Sample::ALL.takes(u64::MAX));
        for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Sample::of(share).is_none(), "{share}");
        }
    }

    #[test]
    fn a_set_has_what_was_put_into_it() {
        let set = FieldSet::NONE
            .with(LogField::Time)
            .with(LogField::FirstByteUs);
        for (name, field) in LogField::NAMED {
            let there = name == "time" || name == "first_byte_us";
            assert_eq!(set.has(field), there, "{name}");
            assert_eq!(set.others().has(field), !there, "{name}");
        }
        assert_eq!(set.names(), ["time", "first_byte_us"]);
    }
}
