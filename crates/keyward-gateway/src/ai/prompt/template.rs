//! The templates of a prompt: compiled once, rendered within bounds. A variable's value is data: it is never read as a
//! template, and makes no message.

use super::check::PromptFlaw;
use keyward_model::resource::Prompt;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Instructions of one template's run. A loop over a list of 1,000 entries takes some 10,000.
const FUEL: u64 = 200_000;
/// What one template gives: more than models read at once.
const RENDERED_MAX: usize = 1 << 20;
/// What templates call the pieces of text that a prompt declares.
const PARTIALS: &str = "partials";

/// The templates of one prompt.
#[derive(Debug)]
pub(super) struct Templates {
    environment: Environment<'static>,
    /// Those that some message names, each behind those that it names itself.
    partials: Vec<Box<str>>,
}

/// What templates name.
#[derive(Debug, Default)]
pub(super) struct Used {
    pub(super) variables: BTreeSet<Box<str>>,
    pub(super) partials: BTreeSet<Box<str>>,
}

/// Why a template gives nothing.
#[derive(Debug)]
pub(super) enum Unrendered {
    /// There would be more than may be, or it takes too long: what was sent is too large.
    TooMuch,
    /// The last message, which is the caller's question, comes out empty.
    Empty,
    /// The template does not go with what it was given. For the operator.
    Failed(String),
}

/// What a template is called, by where it stands.
pub(super) fn called(path: &[Box<str>]) -> String {
    path.join(".")
}

fn of_partial(name: &str) -> String {
    format!("{PARTIALS}.{name}")
}

impl Templates {
    /// Compiles them all, and says what they name; what is wrong goes into `flaws`.
    pub(super) fn compile(prompt: &Prompt, flaws: &mut Vec<PromptFlaw>) -> (Self, Used) {
        let mut environment = Environment::new();
        // It would show everything that a template is given.
        environment.remove_global("debug");
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        // What was not sent is nothing, and is written as nothing.
        environment.set_formatter(|out, state, value| {
            if value.is_none() {
                Ok(())
            } else {
                minijinja::escape_formatter(out, state, value)
            }
        });
        let mut used = Used::default();
        let mut of_partials: BTreeMap<&str, BTreeSet<Box<str>>> = BTreeMap::new();
        for (path, text) in prompt.templates() {
            let name = called(&path);
            if let Err(error) = environment.add_template_owned(name.clone(), text.to_owned()) {
                flaws.push(PromptFlaw::fatal(&path, told(&error)));
                continue;
            }
            let Ok(template) = environment.get_template(&name) else {
                continue;
            };
            let mut named = Named {
                prompt,
                path: &path,
                used: Used::default(),
            };
            for variable in template.undeclared_variables(true) {
                let first = variable.split('.').next().unwrap_or_default();
                if environment.globals().all(|(global, _)| global != first) {
                    named.take(&variable, flaws);
                }
            }
            let Used {
                variables,
                partials,
            } = named.used;
            used.variables.extend(variables);
            match path.as_slice() {
                [kind, name] if **kind == *PARTIALS => {
                    let name = prompt.partials.get_key_value(name).map(|(name, _)| &**name);
                    of_partials.insert(name.unwrap_or_default(), partials);
                }
                _ => used.partials.extend(partials),
            }
        }
        let mut order = Order {
            of_partials: &of_partials,
            found: Vec::new(),
            under_way: Vec::new(),
        };
        for name in &used.partials {
            if let Err(circle) = order.add(name) {
                let path = [PARTIALS.into(), circle];
                let why = "names itself, by way of others or at once: take one of these out";
                flaws.push(PromptFlaw::fatal(&path, why));
            }
        }
        let partials = order.found;
        used.partials.extend(partials.iter().cloned());
        let templates = Self {
            environment,
            partials,
        };
        (templates, used)
    }

    /// All that templates may speak of: the values, and the pieces that are made of them.
    pub(super) fn context(
        &self,
        values: &Map<String, Value>,
    ) -> Result<minijinja::Value, Unrendered> {
        let mut all: BTreeMap<String, minijinja::Value> = values
            .iter()
            .map(|(name, value)| (name.clone(), minijinja::Value::from(Serde(value))))
            .collect();
        let mut partials: BTreeMap<String, minijinja::Value> = BTreeMap::new();
        for name in &self.partials {
            let known = minijinja::Value::from(partials.clone());
            all.insert(PARTIALS.to_owned(), known);
            let context = minijinja::Value::from(all.clone());
            let text = self.render(&of_partial(name), &context)?;
            partials.insert(name.to_string(), text.into());
        }
        all.insert(PARTIALS.to_owned(), minijinja::Value::from(partials));
        Ok(minijinja::Value::from(all))
    }

    /// What the template of this name gives.
    pub(super) fn render(
        &self,
        name: &str,
        context: &minijinja::Value,
    ) -> Result<String, Unrendered> {
        let failed = |error: minijinja::Error| {
            let too_much = [ErrorKind::OutOfFuel, ErrorKind::WriteFailure];
            if too_much.contains(&error.kind()) {
                Unrendered::TooMuch
            } else {
                Unrendered::Failed(format!("`{name}`: {}", told(&error)))
            }
        };
        let template = self.environment.get_template(name).map_err(failed)?;
        let mut out = Bounded(Vec::new());
        template
            .render_captured_to(context.clone(), &mut out)
            .map_err(failed)?;
        String::from_utf8(out.0).map_err(|error| Unrendered::Failed(error.to_string()))
    }
}

/// What one template names.
struct Named<'a> {
    prompt: &'a Prompt,
    path: &'a [Box<str>],
    used: Used,
}

impl Named<'_> {
    /// Takes a name, with the members of it that are asked for behind dots.
    fn take(&mut self, name: &str, flaws: &mut Vec<PromptFlaw>) {
        let mut parts = name.split('.');
        let first = parts.next().unwrap_or_default();
        if first == PARTIALS {
            match parts.next() {
                Some(partial) if self.prompt.partials.contains_key(partial) => {
                    self.used.partials.insert(partial.into());
                }
                Some(partial) => {
                    let why = format!(
                        "`{PARTIALS}.{partial}` is named, and there is none: declare it under `{PARTIALS}`"
                    );
                    flaws.push(PromptFlaw::fatal(self.path, why));
                }
                None => {
                    let why =
                        format!("`{PARTIALS}` is named: name one of them, as `{PARTIALS}.NAME`");
                    flaws.push(PromptFlaw::fatal(self.path, why));
                }
            }
            return;
        }
        let Some(variable) = self.prompt.variables.get(first) else {
            let why =
                format!("`{first}` is no variable of the prompt: declare it under `variables`");
            flaws.push(PromptFlaw::fatal(self.path, why));
            return;
        };
        self.used.variables.insert(first.into());
        if variable.image.is_some() {
            let why = format!(
                "`{first}` is a picture, which is no text: put it into `parts`, as `image: {first}`"
            );
            flaws.push(PromptFlaw::fatal(self.path, why));
        }
        let mut schema = &variable.schema;
        for member in parts {
            // What is no object has no members that a template could misspell, but methods of its own.
            let Some(members) = schema.get("properties") else {
                return;
            };
            match members.get(member) {
                Some(of_member) => schema = of_member,
                None => {
                    let why = format!("`{name}` is named, and `{first}` has no `{member}`");
                    flaws.push(PromptFlaw::fatal(self.path, why));
                    return;
                }
            }
        }
    }
}

/// Brings pieces into an order in which each stands behind those that it names.
struct Order<'a> {
    of_partials: &'a BTreeMap<&'a str, BTreeSet<Box<str>>>,
    found: Vec<Box<str>>,
    under_way: Vec<Box<str>>,
}

impl Order<'_> {
    /// The error is the name of one that leads to itself.
    fn add(&mut self, name: &str) -> Result<(), Box<str>> {
        if self.found.iter().any(|known| **known == *name) {
            return Ok(());
        }
        if self.under_way.iter().any(|known| **known == *name) {
            return Err(name.into());
        }
        self.under_way.push(name.into());
        for other in self.of_partials.get(name).into_iter().flatten() {
            self.add(other)?;
        }
        self.under_way.pop();
        self.found.push(name.into());
        Ok(())
    }
}

/// What is wrong, with the line. Nothing of the template is repeated.
fn told(error: &minijinja::Error) -> String {
    let mut text = error.kind().to_string();
    // Writing to a string does not fail.
    if let Some(line) = error.line() {
        text = format!("line {line}: {text}");
    }
    if let Some(detail) = error.detail() {
        let _infallible = write!(text, ": {detail}");
    }
    text
}

/// Takes so many bytes and no more.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + piece.len() > RENDERED_MAX {
            return Err(std::io::Error::other("more comes out than may"));
        }
        self.0.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
