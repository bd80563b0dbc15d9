//! The tables that name tests, in docs/: every row has its tests, and every such test exists.
//!
//! A cell of tests holds one or more paths in backquotes: `crate::module::test_name`, where the integration
//! tests' crate is `keyward::it`. A file of `examples/` that a row names is there, too.

use super::Finding;
use super::source::{Source, Tree};

/// A document of tables that all have the same columns.
struct Table {
    path: &'static str,
    /// What the columns are called.
    head: &'static [&'static str],
    /// Which of them hold tests, from 0.
    tests: &'static [usize],
    /// What a cell without a test says instead, where it may be without.
    gap: Option<&'static str>,
}

const TABLES: &[Table] = &[
    Table {
        path: "docs/attacks.md",
        head: &["attack", "rule", "tests"],
        tests: &[2],
        gap: None,
    },
    Table {
        path: "docs/data-plane.md",
        head: &[
            "what",
            "example",
            "test of the good path",
            "client",
            "test of its failure",
        ],
        tests: &[2, 4],
        // A table that may not say what is missing would be filled with tests of something else.
        gap: Some("none yet"),
    },
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    TABLES
        .iter()
        .flat_map(|table| check_table(tree, table))
        .collect()
}

fn check_table(tree: &Tree, table: &Table) -> Vec<Finding> {
    let Some(document) = tree.find(table.path) else {
        return vec![Finding::at(
            table.path,
            0,
            "is missing: it names the tests of what it lists",
        )];
    };
    let mut findings = Vec::new();
    let mut rows = 0_usize;
    for (index, line) in document.text.lines().enumerate() {
        let Some(cells) = cells(line, table) else {
            continue;
        };
        rows += 1;
        for message in check_row(tree, table, &cells) {
            findings.push(Finding::at(table.path, index + 1, message));
        }
    }
    if rows == 0 {
        let head = table.head.join(" | ");
        findings.push(Finding::at(
            table.path,
            0,
            format!("holds no row `| {head} |`"),
        ));
    }
    findings
}

/// What is wrong with a row.
fn check_row(tree: &Tree, table: &Table, cells: &[&str]) -> Vec<String> {
    if cells.len() != table.head.len() {
        return vec![format!(
            "has {} cells, but the table has {} columns",
            cells.len(),
            table.head.len()
        )];
    }
    let mut messages = Vec::new();
    for (column, (cell, head)) in cells.iter().zip(table.head).enumerate() {
        let quoted = backquoted(cell);
        for example in quoted.iter().filter(|path| path.starts_with("examples/")) {
            if tree.find(example).is_none() {
                messages.push(format!("there is no `{example}`: correct its path"));
            }
        }
        if !table.tests.contains(&column) {
            continue;
        }
        if quoted.is_empty() && !table.gap.is_some_and(|gap| cell.contains(gap)) {
            let gap = table
                .gap
                .map_or_else(String::new, |gap| format!(", or say `{gap}`"));
            messages.push(format!(
                "names no test in its column `{head}`: write one, and name it as `crate::module::test`{gap}"
            ));
        }
        for test in quoted {
            if !exists(tree, test) {
                messages.push(format!(
                    "there is no test `{test}`: correct its path, or write it"
                ));
            }
        }
    }
    messages
}

/// A row's cells; nothing for text, the table's head and the line below it.
fn cells<'a>(line: &'a str, table: &Table) -> Option<Vec<&'a str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
    let rule = cells
        .iter()
        .all(|cell| !cell.is_empty() && cell.chars().all(|c| "-: ".contains(c)));
    (cells != table.head && !rule).then_some(cells)
}

fn backquoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Whether a test function stands at `crate::module::…::name`.
fn exists(tree: &Tree, test: &str) -> bool {
    let parts: Vec<&str> = test.split("::").collect();
    let Some((name, modules)) = parts.split_last() else {
        return false;
    };
    tree.rust().any(|file| {
        let Some(rooms) = module_path(&file.path) else {
            return false;
        };
        let Some(inner) = strip_prefix(modules, &rooms) else {
            return false;
        };
        inner
            .iter()
            .all(|module| !Source::lines_with(&file.code, &format!("mod {module}")).is_empty())
            && is_test(&file.code, name)
    })
}

/// `crates/keyward-jose/src/jws/tests.rs` is `keyward_jose::jws::tests`, and
/// `crates/keyward/tests/it/serve.rs` is `keyward::it::serve`.
fn module_path(path: &str) -> Option<Vec<String>> {
    let mut parts = path.strip_suffix(".rs")?.split('/');
    let mut modules = Vec::new();
    match parts.next()? {
        "crates" => modules.push(parts.next()?.replace('-', "_")),
        package => modules.push(package.to_owned()),
    }
    if !matches!(parts.next()?, "src" | "tests") {
        return None;
    }
    modules.extend(parts.map(str::to_owned));
    if modules
        .last()
        .is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str()))
    {
        modules.pop();
    }
    Some(modules)
}

fn strip_prefix<'a>(modules: &'a [&'a str], rooms: &[String]) -> Option<&'a [&'a str]> {
    let head = modules.get(..rooms.len())?;
    if head.iter().zip(rooms).all(|(module, room)| module == room) {
        modules.get(rooms.len()..)
    } else {
        None
    }
}

/// A function of that name with a test attribute above it, or made by a macro that is called with it.
fn is_test(code: &str, name: &str) -> bool {
    let mut attribute = false;
    for line in code.lines().map(str::trim) {
        if line.starts_with("#[") && line.contains("test") {
            attribute = true;
        } else if line.contains("fn ") {
            if attribute && super::source::contains_word(line, &format!("fn {name}")) {
                return true;
            }
            attribute = false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: (&str, &str) = (
        "crates/keyward-jose/src/jws/tests.rs",
        "#[test]\nfn none_is_refused() {}\nfn not_a_test() {}\n",
    );
    const INLINE: (&str, &str) = (
        "crates/keyward-jose/src/jwt/mod.rs",
        "mod tests {\n    #[test]\n    fn expired_is_refused() {}\n}\n",
    );
    const BINARY: (&str, &str) = (
        "crates/keyward/tests/it/smuggling.rs",
        "#[tokio::test(flavor = \"multi_thread\")]\nasync fn folded_header_is_refused() {}\n",
    );

    const EXAMPLE: (&str, &str) = ("examples/tls.yaml", "format: 1\n");

    /// What is found in the table with this row alone.
    fn check_one(table: &Table, row: &str, found: &str) {
        let head = table.head.join(" | ");
        let rule = "---|".repeat(table.head.len());
        let text = format!("| {head} |\n|{rule}\n{row}\n");
        let tree = Tree {
            files: [TESTS, INLINE, BINARY, EXAMPLE, (table.path, text.as_str())]
                .iter()
                .map(|(path, text)| Source::new(path, text))
                .collect(),
        };
        let findings = check_table(&tree, table);
        match found {
            "" => assert_eq!(findings, [], "{row}"),
            _ => assert!(
                findings.iter().any(|f| f.message.contains(found)),
                "{row}: {findings:?}"
            ),
        }
    }

    #[test]
    fn every_row_names_a_test_that_exists() {
        for (row, found) in [
            (
                "| none | 3.1 | `keyward_jose::jws::tests::none_is_refused` |",
                "",
            ),
            (
                "| none | 3.1 | `keyward_jose::jwt::tests::expired_is_refused` |",
                "",
            ),
            (
                "| fold | 3.1 | `keyward::it::smuggling::folded_header_is_refused` |",
                "",
            ),
            (
                "| none | 3.1 | `keyward_jose::jws::tests::gone` |",
                "there is no test",
            ),
            (
                "| none | 3.1 | `keyward_jose::tests::none_is_refused` |",
                "there is no test",
            ),
            (
                "| none | 3.1 | `keyward_jose::jws::tests::not_a_test` |",
                "there is no test",
            ),
            ("| none | 3.1 | later |", "names no test"),
            ("| none | 3.1 | none yet |", "names no test"),
            (
                "| none | `keyward_jose::jws::tests::none_is_refused` |",
                "has 2 cells",
            ),
            ("", "holds no row"),
        ] {
            check_one(&TABLES[0], row, found);
        }
    }

    #[test]
    fn what_is_there_has_an_example_a_test_and_a_test_of_its_failure_or_says_that_it_has_none() {
        const TEST: &str = "`keyward_jose::jws::tests::none_is_refused`";
        for (example, good, failure, found) in [
            ("`examples/tls.yaml`", TEST, TEST, ""),
            ("none yet (`tls: {}`)", TEST, "none yet", ""),
            (
                "`examples/tsl.yaml`",
                TEST,
                TEST,
                "there is no `examples/tsl.yaml`",
            ),
            (
                "`examples/tls.yaml`",
                "`a::gone`",
                TEST,
                "there is no test `a::gone`",
            ),
            (
                "`examples/tls.yaml`",
                TEST,
                "`a::gone`",
                "there is no test `a::gone`",
            ),
            (
                "`examples/tls.yaml`",
                "",
                TEST,
                "in its column `test of the good path`",
            ),
            (
                "`examples/tls.yaml`",
                TEST,
                "later",
                "in its column `test of its failure`",
            ),
        ] {
            let row = format!("| TLS | {example} | {good} | curl | {failure} |");
            check_one(&TABLES[1], &row, found);
        }
    }

    #[test]
    fn a_repository_without_the_tables_is_found() {
        let findings = check(&Tree { files: Vec::new() });
        assert_eq!(findings.len(), TABLES.len());
        assert!(findings.iter().all(|f| f.message.contains("is missing")));
    }
}
