//! docs/attacks.md: every attack names the tests that show its refusal, and every such test exists.
//!
//! A row is `| attack | rule | tests |`; the last column holds one or more paths in backquotes:
//! `crate::module::test_name`, where the integration tests' crate is `keyward::it`.

use super::Finding;
use super::source::{Source, Tree};

const TABLE: &str = "docs/attacks.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(table) = tree.find(TABLE) else {
        return vec![Finding::at(
            TABLE,
            0,
            "is missing: it names the test that shows each refusal",
        )];
    };
    let mut findings = Vec::new();
    let mut rows = 0_usize;
    for (index, line) in table.text.lines().enumerate() {
        let Some(cells) = cells(line) else { continue };
        rows += 1;
        let tests: Vec<&str> = cells.last().map_or(Vec::new(), |cell| backquoted(cell));
        if tests.is_empty() {
            findings.push(Finding::at(
                TABLE,
                index + 1,
                "names no test in its last column: write one, and name it as `crate::module::test`",
            ));
        }
        for test in tests {
            if !exists(tree, test) {
                findings.push(Finding::at(
                    TABLE,
                    index + 1,
                    format!("there is no test `{test}`: correct its path, or write it"),
                ));
            }
        }
    }
    if rows == 0 {
        findings.push(Finding::at(
            TABLE,
            0,
            "holds no row `| attack | rule | tests |`",
        ));
    }
    findings
}

/// A row's cells; nothing for text, the table's head and the line below it.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
    let head = cells
        .first()
        .is_some_and(|cell| cell.eq_ignore_ascii_case("attack"));
    let rule = cells
        .iter()
        .all(|cell| !cell.is_empty() && cell.chars().all(|c| "-: ".contains(c)));
    (!head && !rule).then_some(cells)
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

    fn check_row(row: &str, found: &str) {
        let table = format!("| attack | rule | tests |\n|---|---|---|\n{row}\n");
        let tree = Tree {
            files: [TESTS, INLINE, BINARY, (TABLE, table.as_str())]
                .iter()
                .map(|(path, text)| Source::new(path, text))
                .collect(),
        };
        let findings = check(&tree);
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
        check_row(
            "| none | 3.1 | `keyward_jose::jws::tests::none_is_refused` |",
            "",
        );
        check_row(
            "| none | 3.1 | `keyward_jose::jwt::tests::expired_is_refused` |",
            "",
        );
        check_row(
            "| fold | 3.1 | `keyward::it::smuggling::folded_header_is_refused` |",
            "",
        );
        check_row(
            "| none | 3.1 | `keyward_jose::jws::tests::gone` |",
            "there is no test",
        );
        check_row(
            "| none | 3.1 | `keyward_jose::tests::none_is_refused` |",
            "there is no test",
        );
        check_row(
            "| none | 3.1 | `keyward_jose::jws::tests::not_a_test` |",
            "there is no test",
        );
        check_row("| none | 3.1 | later |", "names no test");
        check_row("", "holds no row");
    }

    #[test]
    fn a_repository_without_the_table_is_found() {
        assert!(
            check(&Tree { files: Vec::new() })[0]
                .message
                .contains("is missing")
        );
    }
}
