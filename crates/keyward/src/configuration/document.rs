//! YAML text as a tree of values that knows its lines.

use keyward_model::resource::raw::{Entry, Node, Place, Problems, Text, Value};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Location, Options, SnippetMode, Spanned};
use std::fmt;

/// The largest text taken: 100,000 APIs are some 50 MB.
pub(crate) const DOCUMENT_MAX_BYTES: u64 = 64 << 20;

/// The most values in a text: 10,000 APIs have some 400,000.
const NODES_MAX: usize = 16_000_000;

/// How deep values may nest. Configuration needs seven.
const DEPTH_MAX: usize = 32;

/// Aliases are for a few repeated blocks: what they stand for may count up to this many values in all.
const ALIASED_MAX: usize = 10_000;

/// Reads all YAML documents of `text` (JSON is YAML, too), the source of this number. When it can't be read at all, `problems` says
/// where.
pub(crate) fn read(text: &str, source: u32, problems: &mut Problems) -> Vec<Node> {
    match serde_saphyr::from_multiple_with_options::<Parsed>(text, options()) {
        Ok(documents) => documents
            .into_iter()
            .map(|Parsed(mut node)| {
                belong_to(&mut node, source);
                node
            })
            .collect(),
        Err(error) => {
            let mut place = error.location().map(place).unwrap_or_default();
            place.source = source;
            problems.error(place, "yaml", refusal(&error));
            Vec::new()
        }
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: NODES_MAX,
            max_events: NODES_MAX * 2,
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_aliases: ALIASED_MAX,
            max_anchors: ALIASED_MAX,
            max_total_scalar_bytes: 64 << 20,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: ALIASED_MAX,
            max_replay_stack_depth: DEPTH_MAX,
            max_alias_expansions_per_anchor: ALIASED_MAX,
        },
        strict_booleans: true,
        reject_unsupported_tags: true,
    }
}

/// Why the text can't be read, in our words where the parser's speak of its own options.
fn refusal(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error as E;
    let error = error.without_snippet();
    if let E::DuplicateMappingKey { key, .. } = error {
        let key = key.as_deref().unwrap_or("a key");
        return format!("`{key}` stands here twice: a key has one value");
    }
    if let E::MergeKeyNotAllowed { .. } = error {
        return "`<<` is not taken here: write the keys out".to_owned();
    }
    if let E::RecursiveReferencesRequireWeakTypes { .. } = error {
        return "an alias stands inside of what it stands for".to_owned();
    }
    let message = error.render_with_options(serde_saphyr::render_options! {
        snippets: SnippetMode::Off,
    });
    if message.contains("alias replay limit") || message.contains("alias expansion limit") {
        return format!("the aliases stand for more than {ALIASED_MAX} values: write them out");
    }
    if message.contains("recursion limit") {
        return format!("values nest deeper than {DEPTH_MAX} levels");
    }
    plain(&message)
}

/// The parser's message without its own words for the place, which stands in front already.
fn plain(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    match line.find(" at line ") {
        Some(end) => line.get(..end).unwrap_or(line).to_owned(),
        None => line.to_owned(),
    }
}

/// Says of the whole tree which source it comes from.
fn belong_to(node: &mut Node, source: u32) {
    node.place.source = source;
    match &mut node.value {
        Value::List(members) => {
            for member in members {
                belong_to(member, source);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                entry.place.source = source;
                belong_to(&mut entry.node, source);
            }
        }
        Value::Null | Value::Boolean(_) | Value::Whole(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

fn place(location: Location) -> Place {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Place {
        source: 0,
        line: number(location.line()),
        column: number(location.column()),
    }
}

/// A node on its way out of the parser.
struct Parsed(Node);

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<ParsedValue>::deserialize(deserializer)?;
        Ok(Self(Node {
            place: place(spanned.referenced),
            value: spanned.value.0,
        }))
    }
}

struct ParsedValue(Value);

impl<'de> Deserialize<'de> for ParsedValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true or false, a list or a mapping")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Whole(value))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a number over i64 is out of every range there is: only its size is told"
    )]
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => Value::Whole(value),
            Err(_) => Value::Number(value as f64),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(Text::written(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(Text::written(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Parsed(node)) = members.next_element()? {
            list.push(node);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((Parsed(key), Parsed(node))) = entries.next_entry()? {
            let Value::Text(text) = key.value else {
                return Err(A::Error::custom(format!(
                    "a key is a text, not {}",
                    key.shown()
                )));
            };
            map.push(Entry {
                key: text.as_str().to_owned(),
                place: key.place,
                node,
            });
        }
        Ok(Value::Map(map))
    }
}
