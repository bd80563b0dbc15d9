//! Reading `kind: key_set`.

use super::field::{Field, Fields, listed};
use super::issuer::refuse_self;
use super::problem::Problems;
use crate::resource::key_set::{KeyAlgorithm, KeySet, KeySetPurpose, KeysIn, Schedule};
use std::time::Duration;

/// The keys beside those of every resource.
pub(super) const KEYS: &[&str] = &[
    "purpose",
    "issuer",
    "algorithms",
    "rotation",
    "publish_before",
    "token_life",
    "max_age",
    "keys_in",
];

const DAY: Duration = Duration::from_secs(24 * 3600);

const EVERY: Duration = Duration::from_secs(90 * 24 * 3600);
const PUBLISH_BEFORE: Duration = DAY;
const TOKEN_LIFE: Duration = DAY;
const MAX_AGE: Duration = Duration::from_secs(15 * 60);

/// More than ten years is no plan for keys, and no number that times can't hold.
const TIME_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// What everybody's libraries know, and others encrypt to.
const SIGNING: KeyAlgorithm = KeyAlgorithm::Es256;
const ENCRYPTION: KeyAlgorithm = KeyAlgorithm::EcdhEs;

pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<KeySet> {
    refuse_self(fields, problems);
    let purpose = fields
        .required(
            "purpose",
            "say what the keys are for: `tokens`, `id_tokens`, `encryption` or `webhooks`",
            problems,
        )
        .and_then(|field| {
            let words = KeySetPurpose::ALL.map(|purpose| (purpose.as_str(), purpose));
            field.one_of(&words, problems)
        })?;
    let issuer = issuer(fields, purpose, problems);
    let algorithms = match fields.optional("algorithms") {
        Some(field) => algorithms(field, purpose, problems),
        None if purpose.signs() => Some(vec![SIGNING]),
        None => Some(vec![ENCRYPTION]),
    };
    let schedule = match fields.optional("rotation") {
        Some(field) => schedule(field, problems),
        None => Some(Schedule::Every(EVERY)),
    };
    let mut time = |key, unless_said| match fields.optional(key) {
        Some(field) => time(field, problems),
        None => Some(unless_said),
    };
    let publish_before = time("publish_before", PUBLISH_BEFORE);
    let token_life = time("token_life", TOKEN_LIFE);
    let max_age = time("max_age", MAX_AGE);
    let algorithms = algorithms?;
    let keys_in = match fields.optional("keys_in") {
        Some(field) => keys_in(field, purpose, &algorithms, problems),
        None => Some(KeysIn::default()),
    };
    let set = KeySet {
        purpose,
        issuer: issuer?,
        algorithms,
        schedule: schedule?,
        publish_before: publish_before?,
        token_life: token_life?,
        max_age: max_age?,
        keys_in: keys_in?,
    };
    fits(&set, fields, problems).then_some(set)
}

/// The `iss`, there and only there where somebody looks at it.
fn issuer(
    fields: &Fields<'_>,
    purpose: KeySetPurpose,
    problems: &mut Problems,
) -> Option<Option<Box<str>>> {
    match (purpose, fields.optional("issuer")) {
        (KeySetPurpose::Encryption, Some(field)) => {
            problems.error(
                field.place(),
                "contradiction",
                "`issuer` stands beside `purpose: encryption`: these keys sign nothing, so that nobody issues with them",
            );
            None
        }
        (KeySetPurpose::Encryption | KeySetPurpose::Webhooks, None) => Some(None),
        (KeySetPurpose::Tokens | KeySetPurpose::IdTokens, None) => {
            problems.error(
                fields.place(),
                "missing_key",
                "`issuer` is missing: write the `iss` of what these keys sign, such as https://payments.example.com",
            );
            None
        }
        (
            KeySetPurpose::Tokens | KeySetPurpose::IdTokens | KeySetPurpose::Webhooks,
            Some(field),
        ) => {
            let text = field.text(problems)?;
            Some(Some(text.into()))
        }
    }
}

fn algorithms(
    field: Field<'_>,
    purpose: KeySetPurpose,
    problems: &mut Problems,
) -> Option<Vec<KeyAlgorithm>> {
    let fitting: Vec<(&str, KeyAlgorithm)> = KeyAlgorithm::ALL
        .iter()
        .filter(|algorithm| algorithm.signs() == purpose.signs())
        .map(|algorithm| (algorithm.as_str(), *algorithm))
        .collect();
    let mut algorithms = Vec::new();
    let mut all_are_good = true;
    for member in field.filled_list(problems)? {
        let known = member
            .as_text()
            .and_then(|text| fitting.iter().find(|(name, _)| *name == text));
        match known {
            Some((_, algorithm)) if algorithms.contains(algorithm) => {
                member.refuse("stands there twice", problems);
                all_are_good = false;
            }
            Some((_, algorithm)) => algorithms.push(*algorithm),
            None => {
                let names: Vec<&str> = fitting.iter().map(|(name, _)| *name).collect();
                let why = format!(
                    "is no algorithm that keys for {purpose} are made for: there are {}",
                    listed(&names)
                );
                member.refuse(&why, problems);
                all_are_good = false;
            }
        }
    }
    all_are_good.then_some(algorithms)
}

/// Where the keys are; a token has only some.
fn keys_in(
    field: Field<'_>,
    purpose: KeySetPurpose,
    algorithms: &[KeyAlgorithm],
    problems: &mut Problems,
) -> Option<KeysIn> {
    let words = KeysIn::ALL.map(|place| (place.as_str(), place));
    let place = field.one_of(&words, problems)?;
    match place {
        KeysIn::Database => return Some(place),
        KeysIn::Pkcs11 => {}
    }
    if !purpose.signs() {
        problems.error(
            field.place(),
            "contradiction",
            "`keys_in: pkcs11` stands beside `purpose: encryption`: keys in a token sign, and decrypt nothing here",
        );
        return None;
    }
    let missing: Vec<&str> = algorithms
        .iter()
        .filter(|algorithm| !algorithm.in_token())
        .map(|algorithm| algorithm.as_str())
        .collect();
    if missing.is_empty() {
        return Some(place);
    }
    let known: Vec<&str> = KeyAlgorithm::ALL
        .iter()
        .filter(|algorithm| algorithm.in_token())
        .map(|algorithm| algorithm.as_str())
        .collect();
    problems.error(
        field.place(),
        "contradiction",
        format!(
            "`keys_in: pkcs11`: no keys for {} are made in a token: there are {}",
            listed(&missing),
            listed(&known)
        ),
    );
    None
}

/// `rotation`: `manual`, or how long each key signs.
fn schedule(field: Field<'_>, problems: &mut Problems) -> Option<Schedule> {
    if field.as_text() == Some("manual") {
        return Some(Schedule::Manual);
    }
    time(field, problems).map(Schedule::Every)
}

fn time(field: Field<'_>, problems: &mut Problems) -> Option<Duration> {
    let time = field.positive_duration(problems)?;
    if time > TIME_MAX || time.subsec_nanos() != 0 {
        field.refuse("is a number of whole seconds, ten years at most", problems);
        return None;
    }
    Some(time)
}

/// That the times fit together: no verifier is to meet a key that its copy of the set has not.
fn fits(set: &KeySet, fields: &Fields<'_>, problems: &mut Problems) -> bool {
    let place = |key| {
        let field = fields.optional(key);
        field.map_or_else(|| fields.place(), |field| field.place())
    };
    let mut fits = true;
    if set.publish_before < set.max_age {
        problems.error(
            place("publish_before"),
            "contradiction",
            "`publish_before` is shorter than `max_age`: a key would be used while copies of the set are kept that have it not",
        );
        fits = false;
    }
    if let Schedule::Every(every) = set.schedule
        && every < set.publish_before
    {
        problems.error(
            place("rotation"),
            "contradiction",
            "`rotation` is shorter than `publish_before`: a key would have to go before the next one is ready",
        );
        fits = false;
    }
    fits
}
