//! `docs/ai/dialects.md`: its tables are what the tests see, or are written by them where `KEYWARD_WRITE_TABLES=1` is
//! set.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ai/dialects.md")
}

fn writes() -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is told by it to write its table into the documents"
    )]
    std::env::var("KEYWARD_WRITE_TABLES").is_ok_and(|value| value == "1")
}

/// Compares a table of the page with what the tests saw, or writes it.
#[track_caller]
pub(super) fn settle(name: &str, table: &str) {
    // Tests of one process write one after another; of several, only this one writes the page.
    static WRITING: Mutex<()> = Mutex::new(());
    let _writing = WRITING.lock();
    let text = std::fs::read_to_string(path()).unwrap();
    let (begin, end) = (
        format!("<!-- {name} -->\n"),
        format!("<!-- end of {name} -->"),
    );
    let (before, rest) = text
        .split_once(&begin)
        .unwrap_or_else(|| panic!("docs/ai/dialects.md has no `{begin}`"));
    let (told, after) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("docs/ai/dialects.md has no `{end}`"));
    if writes() {
        std::fs::write(path(), format!("{before}{begin}{table}{end}{after}")).unwrap();
        return;
    }
    assert!(
        told == table,
        "docs/ai/dialects.md, `{name}`, is not what the tests see: run this test with KEYWARD_WRITE_TABLES=1, and \
         read what it has changed\n\n--- the page\n{told}\n--- the tests\n{table}"
    );
}
