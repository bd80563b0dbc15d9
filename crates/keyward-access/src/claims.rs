//! Claims of a caller, and what is asked of them.

use keyward_model::Caller;
use keyward_model::resource::authorization::{ClaimCondition, ClaimPath, ClaimTest, Scalar};
use serde_json::Value;

/// The claim at a path; `null` counts as none.
pub(crate) fn claim(caller: &Caller, path: &ClaimPath) -> Option<Value> {
    let found = caller.claim(path.as_str()).or_else(|| {
        let (first, rest) = path.nested()?;
        let mut value = caller.claim(first)?;
        for name in rest {
            value = value.get_mut(name)?.take();
        }
        Some(value)
    });
    found.filter(|value| !value.is_null())
}

/// Whether a caller's claims say all of this.
#[must_use]
pub fn claims_fit(caller: &Caller, conditions: &[ClaimCondition]) -> bool {
    conditions
        .iter()
        .all(|condition| fits(caller, condition).is_ok())
}

/// Whether a caller's claim is what is asked for; else what it is not.
pub(crate) fn fits(caller: &Caller, condition: &ClaimCondition) -> Result<(), String> {
    let value = claim(caller, &condition.claim);
    let failed = condition
        .tests
        .iter()
        .find(|test| !passes(test, value.as_ref()));
    match failed {
        None => Ok(()),
        Some(test) => Err(unfit(&condition.claim, test, value.as_ref())),
    }
}

fn passes(test: &ClaimTest, value: Option<&Value>) -> bool {
    let Some(value) = value else {
        return matches!(test, ClaimTest::Present(false));
    };
    match test {
        ClaimTest::Equals(wanted) => is(value, wanted),
        ClaimTest::Not(unwanted) => is_another(value, unwanted),
        ClaimTest::OneOf(wanted) => wanted.iter().any(|wanted| is(value, wanted)),
        ClaimTest::Contains(wanted) => contains(value, wanted),
        ClaimTest::ContainsAny(wanted) => wanted.iter().any(|wanted| contains(value, wanted)),
        ClaimTest::ContainsAll(wanted) => wanted.iter().all(|wanted| contains(value, wanted)),
        ClaimTest::AtLeast(least) => compared(value, *least).is_some_and(std::cmp::Ordering::is_ge),
        ClaimTest::AtMost(most) => compared(value, *most).is_some_and(std::cmp::Ordering::is_le),
        ClaimTest::StartsWith(start) => value
            .as_str()
            .is_some_and(|text| text.starts_with(&**start)),
        ClaimTest::EndsWith(end) => value.as_str().is_some_and(|text| text.ends_with(&**end)),
        ClaimTest::Present(wanted) => *wanted,
    }
}

fn is(value: &Value, wanted: &Scalar) -> bool {
    match wanted {
        Scalar::Text(text) => value.as_str() == Some(text),
        Scalar::Whole(number) => compared(value, *number).is_some_and(std::cmp::Ordering::is_eq),
        Scalar::Boolean(wanted) => value.as_bool() == Some(*wanted),
    }
}

/// Whether a value is another one of the same type. Of a list, or of a number that came as text, nobody can say
/// that it is not what must not be.
fn is_another(value: &Value, unwanted: &Scalar) -> bool {
    let comparable = match unwanted {
        Scalar::Text(_) => value.is_string(),
        Scalar::Whole(_) => value.is_number(),
        Scalar::Boolean(_) => value.is_boolean(),
    };
    comparable && !is(value, unwanted)
}

fn contains(value: &Value, wanted: &Scalar) -> bool {
    match value {
        Value::Array(members) => members.iter().any(|member| is(member, wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => is(value, wanted),
        Value::Object(_) => false,
    }
}

/// How a number compares; `None` for what is none.
fn compared(value: &Value, with: i64) -> Option<std::cmp::Ordering> {
    let number = value.as_number()?;
    if let Some(whole) = number.as_i64() {
        return Some(whole.cmp(&with));
    }
    if number.as_u64().is_some() {
        // More than an `i64` holds.
        return Some(std::cmp::Ordering::Greater);
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "fractions are compared as what they are, to 53 bits"
    )]
    number.as_f64()?.partial_cmp(&(with as f64))
}

/// What the operator reads: which claim, what was asked, and what kind of value there was instead. Not the
/// value itself, which may be about a person.
fn unfit(path: &ClaimPath, test: &ClaimTest, value: Option<&Value>) -> String {
    let list = |wanted: &[Scalar]| {
        let texts: Vec<_> = wanted.iter().map(ToString::to_string).collect();
        texts.join(", ")
    };
    let asked = match test {
        ClaimTest::Equals(wanted) => format!("is not {wanted}"),
        ClaimTest::Not(unwanted) => {
            format!("is {unwanted}, or nothing that could be compared with it")
        }
        ClaimTest::OneOf(wanted) => format!("is none of {}", list(wanted)),
        ClaimTest::Contains(wanted) => format!("does not contain {wanted}"),
        ClaimTest::ContainsAny(wanted) => format!("contains none of {}", list(wanted)),
        ClaimTest::ContainsAll(wanted) => format!("does not contain all of {}", list(wanted)),
        ClaimTest::AtLeast(least) => format!("is not at least {least}"),
        ClaimTest::AtMost(most) => format!("is not at most {most}"),
        ClaimTest::StartsWith(start) => format!("does not start with {start:?}"),
        ClaimTest::EndsWith(end) => format!("does not end with {end:?}"),
        ClaimTest::Present(true) => "is not there".to_owned(),
        ClaimTest::Present(false) => "is there, and should not be".to_owned(),
    };
    format!("claim `{path}` ({}) {asked}", kind(value))
}

pub(crate) fn kind(value: Option<&Value>) -> &'static str {
    match value {
        None | Some(Value::Null) => "missing",
        Some(Value::Bool(_)) => "true or false",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "a text",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "an object",
    }
}
