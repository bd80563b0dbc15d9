//! Templates of one message: compiled when they are configured, rendered within bounds.

use super::plain::{Fact, Plain};
use crate::request::headers;
use keyward_model::resource::content::Change;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde_json::Value;
use std::cell::OnceCell;
use std::fmt::Write as _;

/// Instructions of one template's run. A loop over a body's list of 1,000 entries takes some 10,000.
const FUEL: u64 = 200_000;
/// The longest header that is made.
const HEADER_MAX: usize = 4096;
/// What the body's template is called.
const BODY: &str = "body.json";

/// The templates of one message.
#[derive(Debug)]
pub(crate) struct Templates {
    environment: Environment<'static>,
    headers: Box<[HeaderTemplate]>,
    makes_body: bool,
    reads: Reads,
    most: usize,
}

/// The template of one header.
#[derive(Debug)]
struct HeaderTemplate {
    name: Box<str>,
    /// What the template is called.
    template: Box<str>,
    plain: Option<Plain>,
}

/// What templates speak of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::policy) struct Reads {
    pub(in crate::policy) body: bool,
    /// Who calls.
    pub(in crate::policy) caller: bool,
    /// The request's headers, whichever.
    pub(in crate::policy) request_headers: bool,
}

impl Reads {
    /// What the template reads under this name: a variable, or a member of one.
    fn add(&mut self, name: &str) {
        let mut path = name.split('.');
        let (variable, member) = (path.next(), path.next());
        self.body |= variable == Some("body");
        self.caller |= variable == Some("caller");
        // The variable as a whole may be asked for any member.
        self.request_headers |=
            variable == Some("request") && member.is_none_or(|member| member == "headers");
    }

    /// What either reads.
    pub(in crate::policy) fn or(self, other: Self) -> Self {
        Self {
            body: self.body | other.body,
            caller: self.caller | other.caller,
            request_headers: self.request_headers | other.request_headers,
        }
    }
}

/// What came of them.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) headers: Vec<(Box<str>, String)>,
    pub(super) body: Option<Vec<u8>>,
}

impl Templates {
    pub(super) fn new(change: &Change) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // In a body every value is written as JSON writes it, so that none can break out of its place.
        environment.set_auto_escape_callback(|name| {
            if name == BODY {
                AutoEscape::Json
            } else {
                AutoEscape::None
            }
        });
        // In a header nothing is no text; in a body it is `null`.
        environment.set_formatter(|out, state, value| {
            if value.is_none() && matches!(state.auto_escape(), AutoEscape::None) {
                return Ok(());
            }
            minijinja::escape_formatter(out, state, value)
        });
        let mut reads = Reads::default();
        let mut add = |name: String, text: &str| {
            environment
                .add_template_owned(name.clone(), text.to_owned())
                .map_err(|error| told(&name, &error))?;
            let template = environment
                .get_template(&name)
                .map_err(|error| told(&name, &error))?;
            for name in template.undeclared_variables(true) {
                reads.add(&name);
            }
            Ok::<(), String>(())
        };
        if let Some(text) = &change.body {
            add(BODY.to_owned(), text)?;
        }
        let mut names = Vec::new();
        for (name, text) in &change.set_headers {
            if headers::is_ours(name) && **name != *"content-type" && **name != *"cache-control" {
                return Err(format!(
                    "header `{name}`: the gateway sets or takes out this one itself"
                ));
            }
            let template = format!("header `{name}`");
            add(template.clone(), text)?;
            names.push(HeaderTemplate {
                name: name.clone(),
                template: template.into(),
                plain: Plain::parse(text),
            });
        }
        Ok(Self {
            environment,
            headers: names.into(),
            makes_body: change.body.is_some(),
            reads,
            most: change.max_output_bytes,
        })
    }

    pub(super) fn makes_body(&self) -> bool {
        self.makes_body
    }

    pub(super) fn reads(&self) -> Reads {
        self.reads
    }

    /// Renders all of them. `fact` gives what is named most often, and `context` all there is, where that is not
    /// enough. The error is for the operator: it may repeat what was sent.
    pub(super) fn render<'f>(
        &self,
        fact: impl Fn(Fact) -> Option<&'f str>,
        context: impl Fn() -> Value,
    ) -> Result<Rendered, String> {
        let made = OnceCell::new();
        let made = || made.get_or_init(|| minijinja::Value::from(Serde(context())));
        let render = |name: &str, most: usize| {
            let template = self
                .environment
                .get_template(name)
                .map_err(|error| told(name, &error))?;
            let mut out = Bounded {
                bytes: Vec::new(),
                most,
            };
            template
                .render_captured_to(made().clone(), &mut out)
                .map_err(|error| told(name, &error))?;
            Ok::<Vec<u8>, String>(out.bytes)
        };
        let mut headers = Vec::with_capacity(self.headers.len());
        for header in &self.headers {
            let plain = header.plain.as_ref();
            let value = match plain.and_then(|plain| plain.fill(&fact, HEADER_MAX)) {
                Some(value) => value,
                None => String::from_utf8(render(&header.template, HEADER_MAX)?)
                    .map_err(|error| error.to_string())?,
            };
            headers.push((header.name.clone(), value));
        }
        let body = if self.makes_body {
            let text = render(BODY, self.most)?;
            // What is sent as JSON is JSON.
            let value: Value = serde_json::from_slice(&text)
                .map_err(|error| format!("what the template `body` gives is no JSON: {error}"))?;
            Some(value.to_string().into_bytes())
        } else {
            None
        };
        Ok(Rendered { headers, body })
    }
}

/// What is wrong, with the template and its line, and what caused it.
fn told(name: &str, error: &minijinja::Error) -> String {
    let name = if name == BODY { "body" } else { name };
    let mut text = format!("the template `{name}`");
    // Writing to a string does not fail.
    if let Some(line) = error.line() {
        let _infallible = write!(text, ", line {line}");
    }
    let _infallible = write!(text, ": {}", error.kind());
    if let Some(detail) = error.detail() {
        let _infallible = write!(text, ": {detail}");
    }
    text
}

/// Takes so many bytes and no more.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl std::io::Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + piece.len() > self.most {
            return Err(std::io::Error::other("more comes out than may"));
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn change(body: &str) -> Change {
        Change {
            set_headers: Vec::new(),
            remove_headers: Vec::new(),
            body: Some(body.into()),
            max_body_bytes: 1024,
            max_output_bytes: 1024,
            passes_other: false,
            statuses: (200, 299),
        }
    }

    fn made(template: &str, context: &Value) -> Result<String, String> {
        let rendered = Templates::new(&change(template))?.render(|_| None, || context.clone())?;
        Ok(String::from_utf8(rendered.body.unwrap()).unwrap())
    }

    #[test]
    fn nothing_is_no_text_in_a_header_and_null_in_a_body() {
        let mut change = change(r#"{"a": {{ body.a }}}"#);
        change.set_headers = vec![("x-a".into(), "{{ body.a }}".into())];
        let rendered = Templates::new(&change).unwrap();
        let context = || json!({ "body": { "a": null } });
        let rendered = rendered.render(|_| None, context).unwrap();
        assert_eq!(rendered.headers, [("x-a".into(), String::new())]);
        assert_eq!(rendered.body.unwrap(), br#"{"a":null}"#);
    }

    #[test]
    fn what_is_filled_in_is_what_would_be_rendered() {
        let context = || {
            json!({
                "request": { "method": "GET", "path": "/a%20{{ 1 }}", "query": null },
                "caller": { "subject": "ann & \"bo\" <x>", "issuer": "" },
            })
        };
        let fact = |fact| match fact {
            Fact::Subject => Some("ann & \"bo\" <x>"),
            Fact::Issuer => Some(""),
            Fact::Method => Some("GET"),
            Fact::Path => Some("/a%20{{ 1 }}"),
            Fact::Query => None,
        };
        for template in [
            "eu",
            "",
            "{{ caller.subject }}",
            " {{caller.issuer}}/{{  caller.subject  }} }} ",
            "{{ request.method }} {{ request.path }}",
            "{{ request.method }}?{{ request.query }}",
            "{{ request.nothing }}",
        ] {
            let mut change = change("1");
            change.set_headers = vec![("x-a".into(), template.into())];
            change.body = None;
            let templates = Templates::new(&change).unwrap();
            let filled = templates.render(fact, context).map(|made| made.headers);
            let rendered = templates.render(|_| None, context).map(|made| made.headers);
            assert_eq!(filled, rendered, "{template}");
        }
    }

    #[test]
    fn what_is_read_is_known() {
        let (body, caller, headers) = (
            Reads {
                body: true,
                ..Reads::default()
            },
            Reads {
                caller: true,
                ..Reads::default()
            },
            Reads {
                request_headers: true,
                ..Reads::default()
            },
        );
        for (template, expected) in [
            ("1", Reads::default()),
            ("{{ request.path }}{{ request.query }}", Reads::default()),
            ("{{ response.headers.a }}", Reads::default()),
            ("{{ body.caller }}", body),
            ("{{ caller.subject }}", caller),
            ("{% set who = caller %}{{ who.issuer }}", caller),
            ("{{ request.headers['x-a'] }}", headers),
            ("{{ request.headers.a }}", headers),
            ("{{ request['headers'].a }}", headers),
            (
                "{% for name in request.headers %}{{ name }}{% endfor %}",
                headers,
            ),
            (
                "{% if request.headers.a and caller %}1{% endif %}",
                caller.or(headers),
            ),
            ("{% set all = request %}{{ all.headers.a }}", headers),
        ] {
            assert_eq!(
                Templates::new(&change(template)).unwrap().reads(),
                expected,
                "{template}"
            );
        }
    }

    #[test]
    fn no_value_breaks_out_of_its_place() {
        let hostile = json!({ "body": { "name": "\",\"admin\":true,\"x\":\"{{ 7 * 7 }}" } });
        let out = made(r#"{"name": {{ body.name }}, "admin": false}"#, &hostile).unwrap();
        let out: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(out["admin"], false);
        assert_eq!(out["name"], hostile["body"]["name"]);
    }

    #[test]
    fn what_comes_out_is_json_and_bounded_and_comes_to_an_end() {
        let context = json!({ "body": { "list": [1, 2, 3] } });
        let list = r#"[{% for x in body.list %}{{ x * 2 }}{% if not loop.last %},{% endif %}{% endfor %}]"#;
        assert_eq!(made(list, &context).unwrap(), "[2,4,6]");
        for (template, expected) in [
            ("{{ body.list }", "the template `body`, line 1"),
            ("{{ body.nothing }}", "undefined"),
            ("{ 1 }", "is no JSON"),
            (
                "{% for x in range(100000) %}{% for y in range(100000) %}{% endfor %}{% endfor %}1",
                "fuel",
            ),
            (
                "\"{% for x in range(2000) %}a{% endfor %}\"",
                "the template `body`",
            ),
            ("{{ nobody() }}", "the template `body`"),
            ("{% include 'other' %}", "the template `body`"),
        ] {
            let error = made(template, &context).unwrap_err();
            assert!(error.contains(expected), "{template}: {error}");
        }
    }
}
