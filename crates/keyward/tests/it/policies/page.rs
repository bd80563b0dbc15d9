//! The pages of `docs/policies/`: where tables stand in them, and how they are compared and written.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;

/// The folder of the pages.
pub(super) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/policies")
}

/// The part of a page that is made by a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

fn beginning(name: &str) -> String {
    format!("<!-- cases: {name} -->\n")
}

const END: &str = "<!-- end of cases -->";

/// The parts of a page, in order.
pub(super) fn parts(page: &str) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    for piece in page.split("<!-- cases: ").skip(1) {
        let (name, rest) = piece.split_once(" -->\n").expect("a marker ends its line");
        let (text, _) = rest
            .split_once(END)
            .unwrap_or_else(|| panic!("the cases `{name}` have no `{END}`"));
        found.push(Part {
            name,
            text: text.trim_end_matches('\n'),
        });
    }
    found
}

/// How many cases a page has.
pub(super) fn rows(page: &str) -> usize {
    let lines = |part: &Part<'_>| part.text.lines().count().saturating_sub(2);
    parts(page).iter().map(lines).sum()
}

/// Whether tables are written rather than compared.
pub(super) fn writes() -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is told by it to write its table into the documents"
    )]
    std::env::var("KEYWARD_WRITE_TABLES").is_ok_and(|value| value == "1")
}

/// Compares a part of a page with what the tests saw, or writes it.
#[track_caller]
pub(super) fn settle(page: &str, name: &str, table: &str) {
    settle_in(&folder(), page, name, table);
    if writes() {
        super::index::settle();
    }
}

/// The same, of a page in another folder of the documents.
#[track_caller]
pub(crate) fn settle_in(folder: &std::path::Path, page: &str, name: &str, table: &str) {
    let path = folder.join(format!("{page}.md"));
    if writes() {
        edit(&path, |text| replaced(&text, name, table, page));
        return;
    }
    let text = read(&path);
    let parts = parts(&text);
    let part = parts.iter().find(|part| part.name == name);
    let told = part.map_or("", |part| part.text);
    assert!(
        told == table,
        "{page}.md, cases `{name}`: the page (-) is not what the node does (+).\n\
         Where the node is right, run this test with KEYWARD_WRITE_TABLES=1, and read what it has changed.\n\n{}",
        difference(told, table)
    );
}

/// The page with this table at its place; at its end, where it has none yet.
fn replaced(text: &str, name: &str, table: &str, page: &str) -> String {
    let begin = beginning(name);
    let made = format!("{begin}{table}\n{END}");
    let Some((before, rest)) = text.split_once(&begin) else {
        let before = if text.is_empty() {
            format!("# {page}\n")
        } else {
            text.to_owned()
        };
        return format!("{before}\n{made}\n");
    };
    let (_, after) = rest.split_once(END).expect("cases have an end");
    format!("{before}{made}{after}")
}

/// Changes a file while nobody else does: tests run in processes of their own, at the same time.
pub(super) fn edit(path: &std::path::Path, change: impl FnOnce(String) -> String) {
    let mut file = opened(path);
    file.lock().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    let changed = change(text);
    file.rewind().unwrap();
    file.set_len(0).unwrap();
    file.write_all(changed.as_bytes()).unwrap();
}

/// A page, while nobody writes it.
pub(super) fn read(path: &std::path::Path) -> String {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.lock_shared().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

fn opened(path: &std::path::Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines that are in one alone, in order.
pub(super) fn difference(told: &str, seen: &str) -> String {
    let (told, seen): (Vec<&str>, Vec<&str>) = (told.lines().collect(), seen.lines().collect());
    let mut shown = String::new();
    for line in &told {
        if !seen.contains(line) {
            writeln!(shown, "- {line}").unwrap();
        }
    }
    for line in &seen {
        if !told.contains(line) {
            writeln!(shown, "+ {line}").unwrap();
        }
    }
    if shown.is_empty() {
        shown.push_str("The same lines in another order.\n");
    }
    shown
}

#[test]
fn a_table_takes_the_place_of_the_one_before() {
    let page = "# P\n\nText.\n\n<!-- cases: a -->\n| old |\n<!-- end of cases -->\n\nMore.\n";
    let changed = replaced(page, "a", "| new |", "p");
    assert_eq!(
        changed,
        "# P\n\nText.\n\n<!-- cases: a -->\n| new |\n<!-- end of cases -->\n\nMore.\n"
    );
    let both = replaced(&changed, "b", "| b |\n|---|\n| 1 |\n| 2 |", "p");
    assert_eq!(parts(&both).len(), 2);
    assert_eq!(rows(&both), 2);
    assert_eq!(parts(&both)[1].name, "b");
}

#[test]
fn a_difference_shows_what_the_page_and_the_node_say() {
    assert_eq!(
        difference("| a |\n| b |", "| a |\n| c |"),
        "- | b |\n+ | c |\n"
    );
    assert!(difference("a\nb", "b\na").contains("another order"));
}
