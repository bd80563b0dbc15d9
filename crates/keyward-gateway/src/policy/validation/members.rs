//! An object whose members stand in the query by themselves, in brackets (`style: deepObject`): `filter[state]=open`.
//!
//! OpenAPI defines it for members that are texts, numbers and the like. Members that are lists are read as most servers
//! read them (`filter[id]=1&filter[id]=2`, or with `[]` or their places, `[0]` and so on, behind the name), and so are objects in objects
//! (`filter[price][from]=5`).

use super::parameters::{Kinds, alternatives, types};
use super::schema::{Builder, pointer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How many brackets a name may have.
const DEPTH_MAX: usize = 8;

/// How many members of one parameter's schema are looked at for what their texts may stand for; those beyond are texts.
const MEMBERS_MAX: usize = 1_000;

static TEXT: Shape = Shape::One(Kinds::TEXT);

/// What the texts of an object's members may stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One(Kinds),
    List(Kinds),
    Object {
        members: BTreeMap<Box<str>, Shape>,
        /// Of members that are not listed.
        others: Box<Shape>,
    },
}

/// A value as it was sent.
#[derive(Debug)]
enum Sent {
    /// Once or more, with `[]` or without.
    Texts {
        texts: Vec<String>,
        is_list: bool,
    },
    Members(BTreeMap<String, Sent>),
}

/// What is wrong, and where in the object.
pub(super) type Mistake = (String, String);

impl Shape {
    pub(super) fn of(builder: &Builder, schema: Option<&Value>) -> Self {
        let mut left = MEMBERS_MAX;
        Self::within(builder, schema, DEPTH_MAX, &mut left)
    }

    /// A schema may lead back to itself: it is followed as deep as names go.
    fn within(builder: &Builder, schema: Option<&Value>, depth: usize, left: &mut usize) -> Self {
        let schemas = alternatives(builder, schema);
        let kinds = types(&schemas);
        if kinds.contains(&"array") {
            let items = schemas.iter().find_map(|schema| schema.get("items"));
            return Self::List(Kinds::of(&types(&alternatives(builder, items))));
        }
        let described = schemas
            .iter()
            .any(|schema| schema.get("properties").is_some());
        if depth == 0 || !(described || kinds.contains(&"object")) {
            return Self::One(Kinds::of(&kinds));
        }
        let mut members = BTreeMap::new();
        for schema in &schemas {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, schema) in properties.into_iter().flatten() {
                let Some(fewer) = left.checked_sub(1) else {
                    break;
                };
                *left = fewer;
                if !members.contains_key(&**name) {
                    let shape = Self::within(builder, Some(schema), depth - 1, left);
                    members.insert(name.as_str().into(), shape);
                }
            }
        }
        let others = schemas
            .iter()
            .find_map(|schema| schema.get("additionalProperties"))
            .filter(|others| others.is_object() && *left > 0);
        *left = left.saturating_sub(1);
        let others = match others {
            Some(others) => Self::within(builder, Some(others), depth - 1, left),
            None => Self::One(Kinds::default()),
        };
        Self::Object {
            members,
            others: Box::new(others),
        }
    }

    /// The object that was sent under these names, and of how many values it is made.
    pub(super) fn object(
        &self,
        name: &str,
        sent: &[(String, String)],
    ) -> Result<(Value, usize), Vec<Mistake>> {
        let mut members = BTreeMap::new();
        let mut mistakes = Vec::new();
        for (full, text) in sent {
            let put = match path(name, full) {
                Ok((path, is_list)) => put(&mut members, &path, (text, is_list)),
                Err(why) => Err((String::new(), why.to_owned())),
            };
            mistakes.extend(put.err());
        }
        let mut nodes = 1;
        let mut object = Map::new();
        for (member, sent) in members {
            let at = format!("/{}", pointer(&member));
            let value = self
                .member(&member)
                .value(sent, at, &mut nodes, &mut mistakes);
            object.insert(member, value);
        }
        if mistakes.is_empty() {
            Ok((object.into(), nodes))
        } else {
            Err(mistakes)
        }
    }

    fn member(&self, name: &str) -> &Self {
        match self {
            Self::Object { members, others } => members.get(name).unwrap_or(others),
            Self::One(_) | Self::List(_) => &TEXT,
        }
    }

    /// A list whose members were sent with their places: `filter[id][0]=1`.
    fn numbered(
        &self,
        mut members: BTreeMap<String, Sent>,
        at: &str,
        nodes: &mut usize,
        mistakes: &mut Vec<Mistake>,
    ) -> Value {
        let of_member = match self {
            Self::One(kinds) | Self::List(kinds) => Self::One(*kinds),
            Self::Object { .. } => Self::One(Kinds::default()),
        };
        let mut list = Vec::with_capacity(members.len());
        while let Some(sent) = members.remove(&list.len().to_string()) {
            let at = format!("{at}/{}", list.len());
            list.push(of_member.value(sent, at, nodes, mistakes));
        }
        if !members.is_empty() {
            // What stands in the places between, and where the others are then, is anyone's guess.
            let why = "the numbers of its members are not 0, 1, 2 and so on";
            mistakes.push((at.to_owned(), why.to_owned()));
        }
        list.into()
    }

    fn value(
        &self,
        sent: Sent,
        at: String,
        nodes: &mut usize,
        mistakes: &mut Vec<Mistake>,
    ) -> Value {
        *nodes += 1;
        match sent {
            Sent::Members(members)
                if matches!(self, Self::List(_)) && members.keys().all(|key| is_number(key)) =>
            {
                self.numbered(members, &at, nodes, mistakes)
            }
            Sent::Members(members) => {
                let object = members.into_iter().map(|(name, sent)| {
                    let at = format!("{at}/{}", pointer(&name));
                    let value = self.member(&name).value(sent, at, nodes, mistakes);
                    (name, value)
                });
                Value::Object(object.collect())
            }
            Sent::Texts { texts, is_list } => {
                let kinds = match self {
                    Self::One(kinds) | Self::List(kinds) => *kinds,
                    Self::Object { .. } => Kinds::default(),
                };
                if is_list || matches!(self, Self::List(_)) {
                    *nodes += texts.len();
                    return texts.iter().map(|text| kinds.value(text)).collect();
                }
                if texts.len() > 1 {
                    // Which of them the upstream reads is anyone's guess.
                    mistakes.push((at, "it was sent more than once".to_owned()));
                }
                texts.first().map_or(Value::Null, |text| kinds.value(text))
            }
        }
    }
}

fn is_number(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_digit())
}

/// What stands in the brackets behind the parameter's name, and whether a pair of empty ones follows.
fn path<'n>(parameter: &str, name: &'n str) -> Result<(Vec<&'n str>, bool), &'static str> {
    const OTHERWISE: &str = "it is written in another way than `name[member]=value`";
    let mut rest = name.strip_prefix(parameter).ok_or(OTHERWISE)?;
    let mut path = Vec::new();
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').ok_or(OTHERWISE)?;
        let (key, after) = inner.split_once(']').ok_or(OTHERWISE)?;
        if key.contains('[') {
            return Err(OTHERWISE);
        }
        if key.is_empty() {
            return match (path.is_empty(), after.is_empty()) {
                (false, true) => Ok((path, true)),
                _ => Err(OTHERWISE),
            };
        }
        if path.len() == DEPTH_MAX {
            return Err("it nests deeper than is taken here");
        }
        path.push(key);
        rest = after;
    }
    if path.is_empty() {
        return Err(OTHERWISE);
    }
    Ok((path, false))
}

/// Puts a text in its place. The error: something else stands there.
fn put(
    members: &mut BTreeMap<String, Sent>,
    path: &[&str],
    (text, with_brackets): (&str, bool),
) -> Result<(), Mistake> {
    const BOTH: &str = "it was sent as a value and as an object or a list";
    let mut members = members;
    let mut at = String::new();
    let mut path = path.iter();
    while let Some(key) = path.next() {
        at.push('/');
        at.push_str(&pointer(key));
        let is_last = path.as_slice().is_empty();
        let member = members
            .entry((*key).to_owned())
            .or_insert_with(|| match is_last {
                true => Sent::Texts {
                    texts: Vec::new(),
                    is_list: with_brackets,
                },
                false => Sent::Members(BTreeMap::new()),
            });
        match (member, is_last) {
            (Sent::Texts { texts, is_list }, true) if *is_list == with_brackets => {
                texts.push(text.to_owned());
                return Ok(());
            }
            (Sent::Members(inner), false) => members = inner,
            (Sent::Texts { .. }, _) | (Sent::Members(_), true) => {
                return Err((at, BOTH.to_owned()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::schema::Message;
    use super::*;
    use serde_json::json;

    fn shape(schema: Value) -> Shape {
        let document = json!({ "openapi": "3.1.0", "schema": schema });
        let builder = Builder::new(&document, Message::Request).unwrap();
        Shape::of(&builder, builder.document().get("schema"))
    }

    fn read(shape: &Shape, query: &[(&str, &str)]) -> Result<Value, Vec<Mistake>> {
        let query: Vec<_> = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        shape.object("f", &query).map(|(value, _)| value)
    }

    #[test]
    fn members_become_what_their_schemas_speak_of() {
        let shape = shape(json!({
            "type": "object",
            "properties": {
                "state": { "type": "string" }, "most": { "type": "integer" }, "open": { "type": "boolean" },
                "ids": { "type": "array", "items": { "type": "integer" } },
                "price": { "type": "object", "properties": { "from": { "type": "number" } } },
            },
            "additionalProperties": { "type": "integer" },
        }));
        for (query, expected) in [
            (
                &[("f[state]", "7"), ("f[most]", "7"), ("f[open]", "true")][..],
                json!({ "state": "7", "most": 7, "open": true }),
            ),
            (
                &[("f[ids]", "1"), ("f[ids]", "2")],
                json!({ "ids": [1, 2] }),
            ),
            (&[("f[ids][]", "1")], json!({ "ids": [1] })),
            (&[("f[ids]", "1")], json!({ "ids": [1] })),
            (&[("f[ids][0]", "1")], json!({ "ids": [1] })),
            (
                &[("f[ids][1]", "2"), ("f[ids][0]", "1")],
                json!({ "ids": [1, 2] }),
            ),
            (&[("f[ids][a]", "1")], json!({ "ids": { "a": "1" } })),
            (&[("f[other][0]", "1")], json!({ "other": { "0": "1" } })),
            (
                &[("f[price][from]", "1.5"), ("f[other]", "3")],
                json!({ "price": { "from": 1.5 }, "other": 3 }),
            ),
            (&[("f[most]", "many")], json!({ "most": "many" })),
            (&[("f[a b/c]", "1")], json!({ "a b/c": 1 })),
        ] {
            assert_eq!(read(&shape, query), Ok(expected), "{query:?}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let shape = shape(json!({
            "type": "object", "properties": { "a": { "type": "string" }, "b": { "type": "array" } },
        }));
        for (query, at) in [
            (&[("f", "x")][..], ""),
            (&[("f[", "x")], ""),
            (&[("f[a", "x")], ""),
            (&[("f[a]b", "x")], ""),
            (&[("f[]", "x")], ""),
            (&[("f[a][][b]", "x")], ""),
            (&[("f[[a]]", "x")], ""),
            (&[("f[a]", "x"), ("f[a]", "y")], "/a"),
            (&[("f[a]", "x"), ("f[a][b]", "y")], "/a"),
            (&[("f[a][b]", "x"), ("f[a]", "y")], "/a"),
            (&[("f[b]", "x"), ("f[b][]", "y")], "/b"),
            (&[("f[b][1]", "x")], "/b"),
            (&[("f[b][0]", "x"), ("f[b][2]", "y")], "/b"),
            (&[("f[b][00]", "x")], "/b"),
            (&[("f[b][0]", "x"), ("f[b][0]", "y")], "/b/0"),
            (&[("f[b][]", "x"), ("f[b][0]", "y")], "/b"),
            (&[("f[1][2][3][4][5][6][7][8][9]", "x")], ""),
        ] {
            let found = read(&shape, query).unwrap_err();
            assert_eq!(found[0].0, at, "{query:?}: {found:?}");
        }
    }

    #[test]
    fn a_schema_that_leads_to_itself_has_an_end() {
        let node = json!({
            "type": "object",
            "properties": { "left": { "$ref": "#/schema" }, "right": { "$ref": "#/schema" }, "n": { "type": "integer" } },
        });
        let shape = shape(node);
        assert_eq!(
            read(&shape, &[("f[left][right][n]", "7")]),
            Ok(json!({ "left": { "right": { "n": 7 } } }))
        );
    }
}
