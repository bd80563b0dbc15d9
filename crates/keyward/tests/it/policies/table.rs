//! A table of cases: what was sent, and what came of it. It is compared with the page in the documents, so that
//! the page can't be untrue; or written into it, where `KEYWARD_WRITE_TABLES=1` is set.

use super::call::Call;
use super::page;
use crate::node::Node;
use keyward_testkit::{Answer, Received, Upstream};
use std::fmt::Write as _;

/// Longer values are told by their beginning and their length.
const SHOWN_VALUE_MAX: usize = 120;

/// The cases of one table of one policy's page.
pub(crate) struct Table {
    page: &'static str,
    name: &'static str,
    headers: Vec<&'static str>,
    upstream_headers: Vec<&'static str>,
    names: Names,
    masks: Vec<(&'static str, Mask)>,
    rows: Vec<Row>,
    tells_upstream: bool,
}

/// What a value that is another one each time is told as.
type Mask = Box<dyn Fn(&str) -> String + Send>;

/// Texts that are others each time, and what is written in their places.
#[derive(Default)]
pub(super) struct Names(Vec<(String, String)>);

impl Names {
    pub(super) fn put_in(&self, text: &str) -> String {
        let names = self.0.iter();
        names.fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

struct Row {
    case: String,
    cells: Vec<String>,
}

impl Table {
    /// The table `name` in `docs/policies/PAGE.md`. Name both in text here: a test looks through the sources
    /// for them, so that no table stays that nothing drives.
    pub(crate) fn new(page: &'static str, name: &'static str) -> Self {
        Self {
            page,
            name,
            headers: Vec::new(),
            upstream_headers: Vec::new(),
            names: Names::default(),
            masks: Vec::new(),
            rows: Vec::new(),
            tells_upstream: false,
        }
    }

    /// The answer's headers that matter, in the order in which they are told; those that an answer lacks are
    /// left out of its row.
    pub(crate) fn headers(mut self, names: &[&'static str]) -> Self {
        self.headers.extend_from_slice(names);
        self
    }

    /// The headers of the call that matter as the upstream gets them.
    pub(crate) fn upstream_headers(mut self, names: &[&'static str]) -> Self {
        self.upstream_headers.extend_from_slice(names);
        self
    }

    /// A text that is another one each time, as a token or an address is, and what is written in its place.
    pub(crate) fn naming(mut self, text: &str, name: &str) -> Self {
        self.name_also(text, name);
        self
    }

    /// As [`naming`](Self::naming), for what comes up on the way.
    pub(crate) fn name_also(&mut self, text: &str, name: &str) {
        self.names.0.push((text.to_owned(), name.to_owned()));
    }

    /// How a header's value is told that is another one each time: seconds that are left, a nonce.
    pub(crate) fn masking(
        mut self,
        header: &'static str,
        mask: impl Fn(&str) -> String + Send + 'static,
    ) -> Self {
        self.masks.push((header, Box::new(mask)));
        self
    }

    /// Sends the call and tells what came of it, and whether it reached the node's upstream.
    pub(crate) async fn drive(&mut self, node: &Node, case: &str, call: Call) -> Answer {
        self.drive_to(node, &node.upstream, case, call).await
    }

    /// As [`drive`](Self::drive), with another upstream than the node's own.
    pub(crate) async fn drive_to(
        &mut self,
        node: &Node,
        upstream: &Upstream,
        case: &str,
        call: Call,
    ) -> Answer {
        let before = upstream.received().len();
        let answer = call.send(node).await;
        let received = upstream.received();
        let reached = self.upstream_cell(received.get(before..).unwrap_or_default());
        self.tells_upstream = true;
        let told = call.told(&self.names);
        self.push(case, &told, &answer, reached);
        answer
    }

    /// A case that was driven by other means. `sent` says what was sent, in short.
    pub(crate) fn add(&mut self, case: &str, sent: &str, answer: &Answer) {
        self.push(case, sent, answer, String::new());
    }

    /// As [`add`](Self::add), with what reached an upstream.
    pub(crate) fn add_received(
        &mut self,
        case: &str,
        sent: &str,
        answer: &Answer,
        received: &[Received],
    ) {
        self.tells_upstream = true;
        let cell = self.upstream_cell(received);
        self.push(case, sent, answer, cell);
    }

    fn push(&mut self, case: &str, sent: &str, answer: &Answer, reached: String) {
        assert!(
            self.rows.iter().all(|row| row.case != case),
            "two cases are called `{case}`"
        );
        let mut cells = vec![
            case.to_owned(),
            sent.to_owned(),
            answer.status.to_string(),
            problem_code(answer),
            self.header_cell(answer),
            reached,
        ];
        for cell in &mut cells {
            *cell = self.names.put_in(cell).replace('|', "\\|");
        }
        self.rows.push(Row {
            case: case.to_owned(),
            cells,
        });
    }

    fn header_cell(&self, answer: &Answer) -> String {
        let mut lines = Vec::new();
        for name in &self.headers {
            for value in answer.head.values(name) {
                lines.push(self.field(name, value));
            }
        }
        lines.join("<br>")
    }

    fn field(&self, name: &str, value: &str) -> String {
        let mask = self.masks.iter().find(|(header, _)| *header == name);
        let value = match mask {
            Some((_, mask)) => mask(value),
            None => value.to_owned(),
        };
        let value = self.names.put_in(&value);
        code(&format!("{name}: {}", shortened(&value)))
    }

    fn upstream_cell(&self, received: &[Received]) -> String {
        let Some(last) = received.last() else {
            return "not called".to_owned();
        };
        let mut lines = vec![match received.len() {
            1 => "called".to_owned(),
            times => format!("called {times} times"),
        }];
        for name in &self.upstream_headers {
            for value in last.head.values(name) {
                lines.push(self.field(name, value));
            }
        }
        lines.join("<br>")
    }

    /// Compares the table with the page, or writes it.
    ///
    /// # Panics
    /// Where the page says something else.
    #[track_caller]
    pub(crate) fn finish(self) {
        page::settle(self.page, self.name, &self.text());
    }

    fn text(&self) -> String {
        let columns = [
            ("case", true),
            ("sent", true),
            ("status", true),
            ("code", self.rows.iter().any(|row| row.tells(3))),
            ("headers", self.rows.iter().any(|row| row.tells(4))),
            ("upstream", self.tells_upstream),
        ];
        let shown = |cells: &[&str]| {
            let mut line = String::from("|");
            for (cell, (_, told)) in cells.iter().zip(columns) {
                if told {
                    let space = if cell.is_empty() { "" } else { " " };
                    write!(line, " {cell}{space}|").unwrap();
                }
            }
            line
        };
        let mut lines = vec![
            shown(&columns.map(|(name, _)| name)),
            shown(&["---"; 6]).replace(' ', ""),
        ];
        for row in &self.rows {
            let cells: Vec<&str> = row.cells.iter().map(String::as_str).collect();
            lines.push(shown(&cells));
        }
        lines.join("\n")
    }
}

impl Row {
    fn tells(&self, column: usize) -> bool {
        !self.cells[column].is_empty()
    }
}

fn problem_code(answer: &Answer) -> String {
    let problem = answer.head.field("content-type") == Some("application/problem+json");
    let code_of = || Some(answer.json().ok()?.get("code")?.as_str()?.to_owned());
    match code_of() {
        Some(told) if problem => code(&told),
        Some(_) | None => String::new(),
    }
}

/// A text in a code span, on one line.
pub(super) fn code(text: &str) -> String {
    let text = text.replace('`', "'").replace(['\r', '\n'], " ");
    format!("`{text}`")
}

pub(super) fn shortened(value: &str) -> String {
    if value.len() <= SHOWN_VALUE_MAX {
        return value.to_owned();
    }
    let beginning: String = value.chars().take(20).collect();
    format!("{beginning}… ({} bytes)", value.len())
}

/// A number that is another one each time.
pub(crate) fn seconds(value: &str) -> String {
    let whole = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    if whole { "SECONDS" } else { value }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_testkit::Head;

    fn head(fields: &[(&str, &str)]) -> Head {
        let fields = fields.iter();
        Head {
            first_line: String::new(),
            fields: fields
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn answer(status: u16, fields: &[(&str, &str)], body: &str) -> Answer {
        Answer {
            status,
            head: head(fields),
            body: body.as_bytes().to_vec(),
            trailers: Vec::new(),
        }
    }

    #[test]
    fn what_is_another_one_each_time_stands_under_a_name() {
        let mut table = Table::new("page", "name")
            .headers(&["retry-after", "x-nonce", "vary"])
            .upstream_headers(&["x-user"])
            .naming("eyJ.a.b", "TOKEN")
            .masking("retry-after", seconds);
        table.name_also("77123", "NONCE");
        let refused = answer(
            429,
            &[
                ("Content-Type", "application/problem+json"),
                ("Retry-After", "17"),
                ("X-Nonce", "77123"),
                ("Other", "x"),
            ],
            r#"{"code":"rate_limited"}"#,
        );
        let told = Call::get("/a").bearer("eyJ.a.b").told(&table.names);
        table.add("one | two", &told, &refused);
        let passed = answer(200, &[("Vary", "Origin"), ("Retry-After", "soon")], "{}");
        let received = Received {
            head: head(&[("x-user", "alice")]),
            trailers: Vec::new(),
            body_length: 0,
            body_sha256: String::new(),
            body: Vec::new(),
        };
        table.add_received("passed", "`GET /b`", &passed, &[received]);
        assert_eq!(
            table.text(),
            "| case | sent | status | code | headers | upstream |\n\
             |---|---|---|---|---|---|\n\
             | one \\| two | `GET /a`<br>`Authorization: Bearer TOKEN` | 429 | `rate_limited` | `retry-after: SECONDS`<br>`x-nonce: NONCE` | |\n\
             | passed | `GET /b` | 200 | | `retry-after: soon`<br>`vary: Origin` | called<br>`x-user: alice` |"
        );
    }

    #[test]
    #[should_panic(expected = "two cases are called `a`")]
    fn a_case_is_told_once() {
        let mut table = Table::new("page", "name");
        table.add("a", "", &answer(200, &[], ""));
        table.add("a", "", &answer(200, &[], ""));
    }

    #[test]
    #[should_panic(expected = "+ | a | | 500 |")]
    fn a_page_that_is_not_what_the_node_does_is_told() {
        if page::writes() {
            panic!("+ | a | | 500 | (nothing is compared while tables are written)");
        }
        let mut table = Table::new("size-limits", "listener");
        table.add("a", "", &answer(500, &[], ""));
        table.finish();
    }
}
