//! What an OpenAPI document says of an operation's answers: by status, headers and bodies.

use super::open_api::{BodyRule, Content, resolved};
use super::parameters::Parameter;
use super::schema::{Builder, pointer};
use crate::message::{Class, Header};
use serde_json::Value;
use std::collections::BTreeMap;

/// The answers of one operation.
#[derive(Debug)]
pub(super) struct Answers {
    exact: BTreeMap<u16, AnswerRule>,
    /// By the first digit.
    classes: BTreeMap<u16, AnswerRule>,
    default: Option<AnswerRule>,
}

/// What answers of one status are.
#[derive(Debug)]
pub(super) struct AnswerRule {
    pub(super) headers: Box<[Parameter]>,
    /// `None`: nothing is said of bodies.
    pub(super) content: Option<Box<[Content]>>,
}

/// The statuses that a key of `responses` stands for.
enum Statuses {
    Exact(u16),
    Class(u16),
    Default,
}

impl Answers {
    pub(super) fn new(builder: &Builder, responses: &Value, place: &str) -> Result<Self, String> {
        let mut answers = Self {
            exact: BTreeMap::new(),
            classes: BTreeMap::new(),
            default: None,
        };
        let described = responses.as_object().into_iter().flatten();
        for (key, response) in described.filter(|(key, _)| !key.starts_with("x-")) {
            let place = format!("{place}/{}", pointer(key));
            let statuses = Statuses::of(key).ok_or_else(|| {
                format!("`{place}`: it is a status, such as 200 or 2XX, or `default`")
            })?;
            let (response, place) = resolved(builder.document(), response, place)?;
            let rule = AnswerRule::new(builder, response, &place)?;
            match statuses {
                Statuses::Exact(status) => {
                    answers.exact.insert(status, rule);
                }
                Statuses::Class(class) => {
                    answers.classes.insert(class, rule);
                }
                Statuses::Default => answers.default = Some(rule),
            }
        }
        Ok(answers)
    }

    /// What answers of this status are; the more exact one decides (OpenAPI 3.1, section 4.8.16).
    pub(super) fn of(&self, status: u16) -> Option<&AnswerRule> {
        self.exact
            .get(&status)
            .or_else(|| self.classes.get(&(status / 100)))
            .or(self.default.as_ref())
    }
}

impl Statuses {
    fn of(key: &str) -> Option<Self> {
        if key == "default" {
            return Some(Self::Default);
        }
        if let Some(class) = key.strip_suffix("XX") {
            let class = class.parse().ok()?;
            return (1..=5).contains(&class).then_some(Self::Class(class));
        }
        let status = key.parse().ok()?;
        (100..=599).contains(&status).then_some(Self::Exact(status))
    }
}

/// Whether a header is there while answers are looked at: not those that speak of the upstream's connection or of the
/// body's framing, which are gone, nor those that are set afterwards.
fn is_looked_at(name: &str) -> bool {
    let header = Header::of(name.to_ascii_lowercase().as_bytes());
    let elsewhere = Class::HOP.or(Class::SET_HERE);
    header != Header::ContentLength && !header.class().meets(elsewhere)
}

impl AnswerRule {
    fn new(builder: &Builder, response: &Value, place: &str) -> Result<Self, String> {
        let mut headers = Vec::new();
        let described = response.get("headers").and_then(Value::as_object);
        for (name, header) in described.into_iter().flatten() {
            if !is_looked_at(name) {
                continue;
            }
            let place = format!("{place}/headers/{}", pointer(name));
            let (header, place) = resolved(builder.document(), header, place)?;
            // It is written like a parameter that has no need to say what it is called and where it stands.
            let mut header = header.clone();
            if let Some(header) = header.as_object_mut() {
                header.insert("name".to_owned(), name.as_str().into());
                header.insert("in".to_owned(), "header".into());
            }
            headers.extend(Parameter::new(builder, &header, &place)?);
        }
        let content = match response.get("content") {
            Some(_) => Some(BodyRule::new(builder, response, place)?.content),
            None => None,
        };
        Ok(Self {
            headers: headers.into(),
            content,
        })
    }
}
