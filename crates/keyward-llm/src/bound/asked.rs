//! What a request says of how much is answered.

use super::CHOICES_MAX;
use crate::dialect::Dialect;
use crate::error::Error;
use crate::json::Json;

/// Where Gemini's form has it: two names of one member.
const CONFIGS: &[&str] = &["generationConfig", "generation_config"];
/// Members that bound an answer, in whatever form.
const BOUNDING: &[&str] = &[
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "maxOutputTokens",
    "n",
    "candidateCount",
    "candidate_count",
    "generationConfig",
    "generation_config",
];

/// What a request says of its answer.
pub(super) struct Asked {
    pub(super) output: Option<u64>,
    /// How many answers it asks for.
    pub(super) choices: u64,
}

impl Asked {
    pub(super) fn of(form: Dialect, request: &Json) -> Self {
        let number = |of: &Json, name: &str| of.get(name).and_then(Json::as_u64);
        // A limit that is there and can't be read as a whole number is none: the provider may read it otherwise.
        let unread = |of: &Json, names: &[&str]| {
            names.iter().any(|name| {
                of.get(name)
                    .is_some_and(|value| !value.is_null() && value.as_u64().is_none())
            })
        };
        // Servers that take none for a limit take it for no limit.
        let none = |of: &Json, names: &[&str]| names.iter().any(|name| number(of, name) == Some(0));
        let most = |of: &Json, names: &[&str]| {
            let most = names.iter().filter_map(|name| number(of, name)).max();
            most.filter(|_| !unread(of, names) && !none(of, names))
        };
        match form {
            Dialect::OpenAiChat => Self {
                output: most(request, &["max_tokens", "max_completion_tokens"]),
                choices: count(request.get("n"), CHOICES_MAX),
            },
            Dialect::OpenAiResponses => Self {
                output: most(request, &["max_output_tokens"]),
                choices: 1,
            },
            Dialect::Anthropic | Dialect::Bedrock | Dialect::Ollama | Dialect::Cohere => Self {
                output: most(request, &["max_tokens"]),
                choices: 1,
            },
            Dialect::Gemini => {
                let settings = CONFIGS.iter().find_map(|name| request.get(name));
                let (settings, names) = match settings {
                    Some(settings) => (settings, ["candidateCount", "candidate_count"]),
                    None => return Self::default(),
                };
                let choices = names
                    .iter()
                    .map(|name| count(settings.get(name), CHOICES_MAX));
                Self {
                    output: most(settings, &["maxOutputTokens", "max_output_tokens"]),
                    choices: choices.max().unwrap_or(1),
                }
            }
        }
    }
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            output: None,
            choices: 1,
        }
    }
}

/// How many answers are asked for. A number that can't be read here may be read by the provider: then it is the most.
pub(super) fn count(said: Option<&Json>, most: u64) -> u64 {
    match said {
        None | Some(Json::Null) => 1,
        Some(said) => said.as_u64().unwrap_or(most).clamp(1, most),
    }
}

/// Refuses names that some servers read as others do one that bounds the answer: whoever heeds one of them alone reads
/// another request than this one.
pub(super) fn check_names(form: Dialect, request: &Json) -> Result<(), Error> {
    check_case(request, "", BOUNDING)?;
    if form != Dialect::Gemini {
        return Ok(());
    }
    let mut said = CONFIGS.iter().filter(|name| request.get(name).is_some());
    if let (Some(one), Some(other)) = (said.next(), said.next()) {
        let detail = format!("must not stand beside `{one}`: say one of them");
        return Err(Error::field(other, detail));
    }
    for name in CONFIGS {
        if let Some(settings) = request.get(name) {
            check_case(settings, name, BOUNDING)?;
        }
    }
    Ok(())
}

fn check_case(of: &Json, at: &str, names: &[&str]) -> Result<(), Error> {
    let Some(object) = of.as_object() else {
        return Ok(());
    };
    for (said, _) in object.iter() {
        let meant = names
            .iter()
            .find(|name| said.eq_ignore_ascii_case(name) && said != **name);
        if let Some(meant) = meant.filter(|_| !names.contains(&said)) {
            let path = if at.is_empty() {
                said.to_owned()
            } else {
                format!("{at}.{said}")
            };
            return Err(Error::field(&path, format!("must be written `{meant}`")));
        }
    }
    Ok(())
}
