//! A call as a case of a table: the same value is sent and told, so that what is told is what was sent.

use super::table::{Names, code, shortened};
use crate::node::Node;
use keyward_testkit::Answer;
use std::fmt::Write as _;

/// Longer texts of a body are told by their length.
const SHOWN_BODY_MAX: usize = 60;

/// One call on a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Call {
    /// A call of `target`, which is path and query.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// One header field more.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A token in `Authorization`.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// A body with its length.
    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }

    /// The first part of its path: mostly the API's name.
    pub(crate) fn first_segment(&self) -> &str {
        self.target.split(['/', '?']).nth(1).unwrap_or_default()
    }

    pub(crate) async fn send(&self, node: &Node) -> Answer {
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        node.call(&self.method, &self.target, &headers, &self.body)
            .await
    }

    /// As the table tells it, with names for what is another one each time.
    pub(super) fn told(&self, names: &Names) -> String {
        let target = shortened(&names.put_in(&self.target));
        let mut told = code(&format!("{} {target}", self.method));
        for (name, value) in &self.headers {
            let field = format!("{name}: {}", shortened(&names.put_in(value)));
            write!(told, "<br>{}", code(&field)).unwrap();
        }
        if self.body.len() > SHOWN_BODY_MAX {
            write!(told, "<br>a body of {} bytes", self.body.len()).unwrap();
        } else if !self.body.is_empty() {
            let body = names.put_in(&self.body);
            write!(told, "<br>body {}", code(&body)).unwrap();
        }
        told
    }
}
