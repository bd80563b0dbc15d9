//! The index of the pages, with how many cases each has; and that each table is driven by a test.

use super::page;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- index -->\n";
const END: &str = "<!-- end of index -->";

/// Compares the index with the pages, or writes it.
#[track_caller]
pub(super) fn settle() {
    let path = page::folder().join("README.md");
    if page::writes() {
        page::edit(&path, |text| {
            let (before, rest) = text.split_once(BEGIN).expect("the index has a beginning");
            let (_, after) = rest.split_once(END).expect("the index has an end");
            format!("{before}{BEGIN}{}\n{END}{after}", made())
        });
        return;
    }
    let text = page::read(&path);
    let told = text
        .split_once(BEGIN)
        .and_then(|(_, rest)| rest.split_once(END))
        .map_or("", |(told, _)| told.trim_end_matches('\n'));
    let made = made();
    assert!(
        told == made,
        "docs/policies/README.md is not what its pages are: run this test with KEYWARD_WRITE_TABLES=1\n\n{}",
        page::difference(told, &made)
    );
}

/// The pages by name, with their text.
fn pages() -> Vec<(String, String)> {
    let mut pages: Vec<_> = std::fs::read_dir(page::folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // The index itself may be locked by whoever asks.
        .filter(|path| !path.ends_with("README.md"))
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, page::read(&path))
        })
        .collect();
    pages.sort();
    pages
}

fn made() -> String {
    let mut text = "| policy | cases |\n|---|---|\n".to_owned();
    let mut all = 0;
    for (name, page) in pages() {
        let heading = page.lines().find_map(|line| line.strip_prefix("# "));
        let title = heading.unwrap_or(&name);
        let rows = page::rows(&page);
        writeln!(text, "| [{title}]({name}.md) | {rows} |").unwrap();
        all += rows;
    }
    write!(text, "| all | {all} |").unwrap();
    text
}

#[test]
fn the_index_counts_the_cases_of_every_page() {
    settle();
}

#[test]
fn every_table_is_driven_by_a_test() {
    let mut sources = String::new();
    gather(
        &PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it"),
        &mut sources,
    );
    // As rustfmt may have broken the line.
    let sources: String = sources.split_whitespace().collect();
    for (page, text) in pages() {
        let parts = page::parts(&text);
        // One that is being written just now has none yet.
        let written = page::writes() || !parts.is_empty();
        assert!(written, "docs/policies/{page}.md has no cases");
        for part in parts {
            let named = format!("Table::new(\"{page}\",\"{}\"", part.name);
            assert!(
                sources.contains(&named),
                "docs/policies/{page}.md: no test drives the cases `{}`: remove them, or drive them",
                part.name
            );
        }
    }
}

fn gather(folder: &Path, sources: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, sources);
        } else if path.extension().is_some_and(|end| end == "rs") {
            sources.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
