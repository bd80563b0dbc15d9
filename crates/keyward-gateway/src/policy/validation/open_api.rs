//! An OpenAPI document as it is read once, when the configuration is compiled: operations by path and method.

use super::answers::Answers;
use super::decoded;
use super::parameters::{Parameter, Place};
use super::schema::{Builder, Message, Schema, pointer};
use keyward_model::resource::capture::MediaRange;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The methods that a path item may have, as it writes them.
const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];
/// How many references to parameters and bodies may lead to one another.
const HOPS_MAX: usize = 16;

/// The operations of a document.
#[derive(Debug)]
pub(crate) struct Operations {
    /// By the number of segments; those that are more certain first.
    paths: HashMap<usize, Vec<PathItem>>,
}

#[derive(Debug)]
struct PathItem {
    segments: Box<[Segment]>,
    /// By the method in lower case.
    operations: BTreeMap<&'static str, Operation>,
}

/// One part of a path's template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(Box<str>),
    /// What stands before and behind the name of a parameter.
    Parameter {
        before: Box<str>,
        name: Box<str>,
        after: Box<str>,
    },
}

/// What one operation takes.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) parameters: Box<[Parameter]>,
    pub(super) body: Option<BodyRule>,
    /// `None`: answers are not looked at.
    pub(super) answers: Option<Answers>,
}

/// Makes what a document describes.
#[derive(Clone, Copy)]
struct Builders<'b> {
    requests: &'b Builder,
    answers: Option<&'b Builder>,
}

/// What bodies an operation takes.
#[derive(Debug)]
pub(crate) struct BodyRule {
    pub(super) required: bool,
    pub(super) content: Box<[Content]>,
}

/// Bodies of one kind.
#[derive(Debug)]
pub(super) struct Content {
    /// `None`: of every kind.
    pub(super) kind: Option<MediaRange>,
    pub(super) schema: Option<Arc<Schema>>,
    /// Whether what is not JSON passes unread.
    pub(super) others_pass: bool,
}

/// What was found for a call.
#[derive(Debug)]
pub(super) enum Found<'o> {
    /// With the values of the path's parameters, decoded.
    Operation(&'o Operation, Vec<(&'o str, String)>),
    OtherMethods(String),
    Nothing,
}

impl Operations {
    /// Reads a document, what it says of answers too where those are looked at. The error names the place by a JSON
    /// Pointer.
    pub(super) fn new(document: &Value, with_answers: bool) -> Result<Self, String> {
        let requests = Builder::new(document, Message::Request)?;
        let answers = with_answers
            .then(|| Builder::new(document, Message::Answer))
            .transpose()?;
        let builders = Builders {
            requests: &requests,
            answers: answers.as_ref(),
        };
        let document = requests.document();
        let mut paths: HashMap<usize, Vec<PathItem>> = HashMap::new();
        let items = document.get("paths").and_then(Value::as_object);
        for (path, item) in items.into_iter().flatten() {
            let place = format!("/paths/{}", pointer(path));
            let item = PathItem::new(builders, path, item, &place)?;
            let alike = paths.entry(item.segments.len()).or_default();
            if alike.iter().any(|other| other.is_like(&item)) {
                return Err(format!("`{place}`: another path matches the same calls"));
            }
            alike.push(item);
        }
        for items in paths.values_mut() {
            items.sort_by(|one, two| one.segments.cmp(&two.segments));
        }
        if paths.is_empty() {
            return Err("the document describes no path: `/paths` is empty or missing".to_owned());
        }
        Ok(Self { paths })
    }

    /// The operation for a path below the base path, and a method. The path has one reading: what is escaped in it
    /// stands for itself.
    pub(super) fn find(&self, path: &str, method: &str) -> Found<'_> {
        let segments: Vec<String> = segments(path).map(|text| decoded(text, false)).collect();
        let method = method.to_ascii_lowercase();
        let mut others = None;
        for item in self.paths.get(&segments.len()).into_iter().flatten() {
            let Some(values) = item.matched(&segments) else {
                continue;
            };
            // HEAD is GET without the answer's body (RFC 9110, section 9.3.2).
            let of_head = || item.operations.get("get").filter(|_| method == "head");
            if let Some(operation) = item.operations.get(&*method).or_else(of_head) {
                return Found::Operation(operation, values);
            }
            others.get_or_insert_with(|| {
                let methods: Vec<_> = item.operations.keys().map(|m| m.to_uppercase()).collect();
                methods.join(", ")
            });
        }
        others.map_or(Found::Nothing, Found::OtherMethods)
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

impl PathItem {
    fn new(builders: Builders<'_>, path: &str, item: &Value, place: &str) -> Result<Self, String> {
        if !path.starts_with('/') {
            return Err(format!("`{place}`: a path begins with `/`"));
        }
        if item.get("$ref").is_some() {
            return Err(format!(
                "`{place}`: a path item that refers to another is not read: write it out"
            ));
        }
        let shared = item.get("parameters");
        let mut operations = BTreeMap::new();
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                let place = format!("{place}/{method}");
                operations.insert(method, Operation::new(builders, operation, shared, &place)?);
            }
        }
        Ok(Self {
            segments: segments(path)
                .map(|segment| Segment::new(segment, place))
                .collect::<Result<_, _>>()?,
            operations,
        })
    }

    fn is_like(&self, other: &Self) -> bool {
        self.segments
            .iter()
            .zip(&other.segments)
            .all(|pair| match pair {
                (Segment::Literal(one), Segment::Literal(two)) => one == two,
                (
                    Segment::Parameter { before, after, .. },
                    Segment::Parameter {
                        before: before_two,
                        after: after_two,
                        ..
                    },
                ) => before == before_two && after == after_two,
                _ => false,
            })
    }

    fn matched(&self, path: &[String]) -> Option<Vec<(&str, String)>> {
        let mut values = Vec::new();
        for (segment, sent) in self.segments.iter().zip(path) {
            match segment {
                Segment::Literal(literal) => {
                    // What follows a `;` is no part of the name to servers that read parameters there.
                    if sent.split(';').next() != Some(&**literal) {
                        return None;
                    }
                }
                Segment::Parameter {
                    before,
                    name,
                    after,
                } => {
                    let value = sent.strip_prefix(&**before)?.strip_suffix(&**after)?;
                    if value.is_empty() {
                        return None;
                    }
                    values.push((&**name, value.to_owned()));
                }
            }
        }
        Some(values)
    }
}

impl Segment {
    fn new(text: &str, place: &str) -> Result<Self, String> {
        let Some((before, rest)) = text.split_once('{') else {
            return Ok(Self::Literal(decoded(text, false).into()));
        };
        match rest.split_once('}') {
            Some((name, after)) if !name.is_empty() && !after.contains(['{', '}']) => {
                Ok(Self::Parameter {
                    before: before.into(),
                    name: name.into(),
                    after: after.into(),
                })
            }
            _ => Err(format!(
                "`{place}`: a segment has one parameter in braces at most, such as `/orders/{{id}}`"
            )),
        }
    }
}

impl Operation {
    fn new(
        builders: Builders<'_>,
        operation: &Value,
        shared: Option<&Value>,
        place: &str,
    ) -> Result<Self, String> {
        let builder = builders.requests;
        let mut parameters: Vec<Parameter> = Vec::new();
        let own = operation
            .get("parameters")
            .map(|list| (list, format!("{place}/parameters")));
        let of_path = place.rsplit_once('/').map_or(place, |(path, _)| path);
        let shared = shared.map(|list| (list, format!("{of_path}/parameters")));
        // An operation's own come first: they stand for those of the path with the same name and place.
        for (list, place) in own.into_iter().chain(shared) {
            for (index, declared) in list.as_array().into_iter().flatten().enumerate() {
                let (declared, place) =
                    resolved(builder.document(), declared, format!("{place}/{index}"))?;
                let Some(parameter) = Parameter::new(builder, declared, &place)? else {
                    continue;
                };
                let known = |other: &Parameter| {
                    other.place == parameter.place && other.name == parameter.name
                };
                if !parameters.iter().any(known) {
                    parameters.push(parameter);
                }
            }
        }
        let body = match operation.get("requestBody") {
            Some(body) => {
                let (body, place) =
                    resolved(builder.document(), body, format!("{place}/requestBody"))?;
                Some(BodyRule::new(builder, body, &place)?)
            }
            None => None,
        };
        let answers = match (builders.answers, operation.get("responses")) {
            (Some(builder), Some(responses)) => Some(Answers::new(
                builder,
                responses,
                &format!("{place}/responses"),
            )?),
            (Some(_) | None, _) => None,
        };
        Ok(Self {
            parameters: parameters.into(),
            body,
            answers,
        })
    }

    /// Whether a parameter of this name is described in the query.
    pub(super) fn knows_query(&self, name: &str) -> bool {
        self.parameters
            .iter()
            .filter(|parameter| parameter.place == Place::Query)
            .any(|parameter| parameter.is_called(name))
    }
}

impl BodyRule {
    pub(super) fn new(builder: &Builder, body: &Value, place: &str) -> Result<Self, String> {
        let mut content = Vec::new();
        let kinds = body.get("content").and_then(Value::as_object);
        for (kind, media) in kinds.into_iter().flatten() {
            let place = format!("{place}/content/{}", pointer(kind));
            let range = kind.split(';').next().unwrap_or_default().trim();
            let range = match range {
                "*/*" => None,
                range => Some(
                    MediaRange::parse(range)
                        .ok_or_else(|| format!("`{place}`: `{range}` is no media type"))?,
                ),
            };
            let reach = Reach::of(range.as_ref());
            let schema = match media.get("schema") {
                Some(_) if reach != Reach::Others => {
                    Some(builder.schema(&format!("{place}/schema"))?)
                }
                Some(_) | None => None,
            };
            content.push(Content {
                kind: range,
                schema,
                others_pass: reach != Reach::Json,
            });
        }
        // The more exact one decides (OpenAPI 3.1, section 4.8.14.1).
        content.sort_by_key(|content| match content.kind {
            Some(MediaRange::Exact(_)) => 0,
            Some(MediaRange::Suffix(..)) => 1,
            Some(MediaRange::Type(_)) => 2,
            None => 3,
        });
        Ok(Self {
            required: body.get("required") == Some(&Value::Bool(true)),
            content: content.into(),
        })
    }
}

/// Whether bodies of a kind are JSON, which alone is held against a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Json,
    /// Some are.
    Both,
    Others,
}

impl Reach {
    /// `None`: of every kind.
    fn of(kind: Option<&MediaRange>) -> Self {
        match kind {
            Some(MediaRange::Exact(kind)) if super::is_json(kind) => Self::Json,
            Some(MediaRange::Suffix(_, suffix)) if **suffix == *"json" => Self::Json,
            Some(MediaRange::Exact(_) | MediaRange::Suffix(..)) => Self::Others,
            Some(MediaRange::Type(_)) | None => Self::Both,
        }
    }
}

/// What a reference leads to, and where that stands.
pub(super) fn resolved<'d>(
    document: &'d Value,
    mut value: &'d Value,
    mut place: String,
) -> Result<(&'d Value, String), String> {
    for _ in 0..HOPS_MAX {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
            return Ok((value, place));
        };
        let found = reference
            .strip_prefix('#')
            .and_then(|at| document.pointer(at));
        value = found.ok_or_else(|| format!("`{place}`: `{reference}` leads nowhere"))?;
        place = reference.trim_start_matches('#').to_owned();
    }
    Err(format!("`{place}`: references lead in a circle"))
}
