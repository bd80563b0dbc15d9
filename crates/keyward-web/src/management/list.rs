//! Lists: pages with cursors that only this deployment makes.

use super::call::{Call, bad_query};
use crate::problem::{Problem, ProblemKind};
use crate::site::Site;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// How many a page has unless said otherwise, and at most.
const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 500;
/// How many bytes of a MAC a cursor carries.
const TAG: usize = 16;

/// A page that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Paging {
    pub(crate) limit: usize,
    /// What the page before ended with.
    pub(crate) after: Option<Value>,
    /// What the list is of: a cursor of another list does not count.
    list: String,
}

impl Paging {
    /// What `call` asks of the list that `list` names, filters and order included.
    pub(crate) fn of(site: &Site, call: &Call, list: &[&str]) -> Result<Self, Problem> {
        let limit = call.number("limit")?.unwrap_or(LIMIT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(bad_query("limit", "it is from 1 to 500"));
        }
        let list = json!(list).to_string();
        let after = match call.query("cursor") {
            None => None,
            Some(cursor) => {
                let opened = open(site.cursor_key(), &list, cursor);
                Some(opened.ok_or_else(no_cursor)?)
            }
        };
        Ok(Self {
            limit: usize::try_from(limit).unwrap_or_default(),
            after,
            list,
        })
    }

    /// One more than the page has tells whether there is another.
    pub(crate) fn wanted(&self) -> u32 {
        u32::try_from(self.limit + 1).unwrap_or(u32::MAX)
    }

    /// The page of what was found, of which there is one more than a page has if it goes on. `end` says of a
    /// member where a page that ends with it ends.
    pub(crate) fn page<T>(
        &self,
        site: &Site,
        mut found: Vec<T>,
        end: impl Fn(&T) -> Value,
        told: impl Fn(T) -> Value,
    ) -> Value {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        let next = found.last().filter(|_| more).map(end);
        let next = next.map(|end| sealed(site.cursor_key(), &self.list, &end));
        let items: Vec<Value> = found.into_iter().map(told).collect();
        json!({ "items": items, "next": next })
    }
}

fn no_cursor() -> Problem {
    Problem::of_member(
        ProblemKind::Invalid,
        "query:cursor",
        "cursor",
        "`cursor`: it is of no page of this list: begin without one",
    )
}

fn tag(key: &hmac::Key, list: &str, end: &str) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(&(list.len() as u64).to_be_bytes());
    context.update(list.as_bytes());
    context.update(end.as_bytes());
    context.sign()
}

fn sealed(key: &hmac::Key, list: &str, end: &Value) -> String {
    let end = end.to_string();
    let tag = tag(key, list, &end);
    let mut bytes = tag.as_ref().get(..TAG).unwrap_or_default().to_vec();
    bytes.extend_from_slice(end.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn open(key: &hmac::Key, list: &str, cursor: &str) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (shown, end) = bytes.split_at_checked(TAG)?;
    let end = std::str::from_utf8(end).ok()?;
    let expected = tag(key, list, end);
    let expected = expected.as_ref().get(..TAG)?;
    aws_lc_rs::constant_time::verify_slices_are_equal(shown, expected).ok()?;
    serde_json::from_str(end).ok()
}

/// The schema of a page of these.
pub(crate) fn page_schema(item: Value) -> Value {
    json!({
        "type": "object",
        "required": ["items", "next"],
        "properties": {
            "items": { "type": "array", "items": item },
            "next": { "type": ["string", "null"], "description": "The cursor of the page after; null on the last" },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_counts_for_its_own_list_alone() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let end = json!(["echo", "v1"]);
        let cursor = sealed(&key, "apis", &end);
        assert_eq!(open(&key, "apis", &cursor), Some(end.clone()));
        assert_eq!(open(&key, "upstreams", &cursor), None);
        let other = hmac::Key::new(hmac::HMAC_SHA256, &[8; 32]);
        assert_eq!(open(&other, "apis", &cursor), None);
        for bad in ["", "AAAA", &cursor[1..], "not base64!"] {
            assert_eq!(open(&key, "apis", bad), None, "{bad}");
        }
    }
}
