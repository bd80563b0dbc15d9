//! An object that is read member by member, so that what nobody took is known at the end: a request's field is
//! translated, noted or refused, and never just forgotten.

use crate::error::{Error, Within as _};
use crate::json::{Json, Number, Object};

/// An object being taken apart. `null` counts as left out, as every dialect has it.
#[derive(Debug)]
pub(crate) struct Fields {
    object: Object,
}

impl Fields {
    pub(crate) fn of(json: Json) -> Result<Self, Error> {
        match json {
            Json::Object(object) => Ok(Self { object }),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
                Err(wrong("", "an object", &json))
            }
        }
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        Self::of(Json::parse(bytes)?)
    }

    /// With names in the one of two spellings that Google's documents use; its servers take `snake_case` too.
    /// A member in both is refused: a check that saw the one and a provider that takes the other would differ.
    pub(crate) fn camel(self) -> Result<Self, Error> {
        let members = self.object.into_members().map(|(name, value)| {
            let mut camel = String::with_capacity(name.len());
            let mut capital = false;
            for letter in name.chars() {
                if letter == '_' {
                    capital = true;
                } else if capital {
                    capital = false;
                    camel.extend(letter.to_uppercase());
                } else {
                    camel.push(letter);
                }
            }
            (camel, value)
        });
        Ok(Self {
            object: Object::of_members(members.collect())?,
        })
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Json> {
        self.object.take(name).filter(|value| !value.is_null())
    }

    /// All that was not taken.
    pub(crate) fn rest(self) -> Json {
        Json::Object(self.object)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.look(name).is_some()
    }

    /// A member that is there, without taking it.
    pub(crate) fn look(&self, name: &str) -> Option<&Json> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// What a member says when it is a string, without taking it.
    pub(crate) fn peek(&self, name: &str) -> Option<&str> {
        self.object.get(name).and_then(Json::as_str)
    }

    pub(crate) fn string(&mut self, name: &str) -> Result<Option<String>, Error> {
        self.take(name)
            .map(|value| match value {
                Json::String(text) => Ok(text),
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                    Err(wrong(name, "a string", &value))
                }
            })
            .transpose()
    }

    pub(crate) fn need_string(&mut self, name: &str) -> Result<String, Error> {
        self.string(name)?.ok_or_else(|| missing(name))
    }

    pub(crate) fn bool(&mut self, name: &str) -> Result<Option<bool>, Error> {
        self.take(name)
            .map(|value| match value {
                Json::Bool(value) => Ok(value),
                Json::Null
                | Json::Number(_)
                | Json::String(_)
                | Json::Array(_)
                | Json::Object(_) => Err(wrong(name, "true or false", &value)),
            })
            .transpose()
    }

    pub(crate) fn number(&mut self, name: &str) -> Result<Option<Number>, Error> {
        self.take(name)
            .map(|value| match value {
                Json::Number(number) => Ok(number),
                Json::Null | Json::Bool(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => {
                    Err(wrong(name, "a number", &value))
                }
            })
            .transpose()
    }

    pub(crate) fn whole(&mut self, name: &str) -> Result<Option<u64>, Error> {
        self.number(name)?
            .map(|number| {
                number.as_u64().ok_or_else(|| {
                    Error::field(name, "must be a whole number that is not negative")
                })
            })
            .transpose()
    }

    pub(crate) fn array(&mut self, name: &str) -> Result<Option<Vec<Json>>, Error> {
        self.take(name)
            .map(|value| match value {
                Json::Array(items) => Ok(items),
                Json::Null
                | Json::Bool(_)
                | Json::Number(_)
                | Json::String(_)
                | Json::Object(_) => Err(wrong(name, "an array", &value)),
            })
            .transpose()
    }

    /// An array's items, or none.
    pub(crate) fn items(&mut self, name: &str) -> Result<Vec<Json>, Error> {
        Ok(self.array(name)?.unwrap_or_default())
    }

    pub(crate) fn need_items(&mut self, name: &str) -> Result<Vec<Json>, Error> {
        self.array(name)?.ok_or_else(|| missing(name))
    }

    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Self>, Error> {
        self.take(name)
            .map(|value| Self::of(value).within(name))
            .transpose()
    }

    pub(crate) fn need_object(&mut self, name: &str) -> Result<Self, Error> {
        self.object(name)?.ok_or_else(|| missing(name))
    }

    /// Notes fields that have no bearing on what the model answers, where they are there.
    pub(crate) fn note(&mut self, names: &[&str], notes: &mut Vec<String>) {
        for name in names {
            if self.take(name).is_some() {
                notes.push((*name).to_owned());
            }
        }
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), Error> {
        match self.object.iter().find(|(_, value)| !value.is_null()) {
            Some((name, _)) => Err(Error::UnknownField {
                field: name.to_owned(),
            }),
            None => Ok(()),
        }
    }
}

/// Each item as an object, read by `read`, with its place in what goes wrong.
pub(crate) fn each<T>(
    items: Vec<Json>,
    name: &str,
    mut read: impl FnMut(Fields) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    items
        .into_iter()
        .enumerate()
        .map(|(at, item)| Fields::of(item).and_then(&mut read).within(at).within(name))
        .collect()
}

pub(crate) fn missing(name: &str) -> Error {
    Error::field(name, "is missing")
}

pub(crate) fn wrong(name: &str, wanted: &str, found: &Json) -> Error {
    Error::field(name, format!("must be {wanted}, not {}", found.kind()))
}
