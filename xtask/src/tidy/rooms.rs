//! A file is a room: its length, its name, and the debts it may not hold.

use super::Finding;
use super::source::{Source, Tree};

/// Past this a file is two rooms.
const MOST_LINES: usize = 700;
/// Past this it is worth asking.
const MANY_LINES: usize = 500;

/// Names that say where something was put and not what it is.
const EMPTY_NAMES: &[&str] = &[
    "utils", "util", "helpers", "helper", "common", "manager", "types", "misc",
];

/// Markers of debt, and what to do instead.
const DEBTS: &[(&str, &str)] = &[
    (
        "#[allow",
        "use #[expect(lint, reason = \"...\")], which goes away with its cause",
    ),
    (
        "#![allow",
        "use #![expect(lint, reason = \"...\")], which goes away with its cause",
    ),
    ("todo!", "finish it, or leave the feature out"),
    ("unimplemented!", "finish it, or leave the feature out"),
    (
        "#[ignore",
        "a test that takes long belongs in crates/keyward/tests/it/long/",
    ),
    ("dbg!", "take it out"),
];

/// What must not be named in the repository: where packages come from is each machine's own setting.
/// Written in two halves, so that this file does not name them either.
const REGISTRIES: &[&str] = &[
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("npmjs", "."),
    concat!("arti", "factory"),
    concat!("index", "-url"),
    concat!("replace", "-with"),
];

/// How Cargo.lock calls the default registry; any other source is a private one.
const DEFAULT_REGISTRY: &str = concat!(
    "registry+https://github.com/rust-lang/",
    "crates",
    ".io-index"
);

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let lines = file.text.lines().count();
        if lines > MOST_LINES {
            findings.push(Finding::at(
                &file.path,
                0,
                format!("{lines} lines, more than {MOST_LINES}: make it two rooms"),
            ));
        }
        for part in file.path.trim_end_matches(".rs").split('/') {
            if EMPTY_NAMES.contains(&part) {
                findings.push(Finding::at(
                    &file.path,
                    0,
                    format!("`{part}` says nothing: name the room by the noun it holds"),
                ));
            }
        }
        for (debt, instead) in DEBTS {
            for line in Source::lines_with(&file.code, debt) {
                findings.push(Finding::at(
                    &file.path,
                    line,
                    format!("`{debt}`: {instead}"),
                ));
            }
        }
    }
    for file in &tree.files {
        findings.extend(registries(file));
    }
    findings
}

/// Files long enough to be worth a question, said and not refused.
pub(super) fn long_files(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter_map(|file| {
            let lines = file.text.lines().count();
            (MANY_LINES < lines && lines <= MOST_LINES)
                .then(|| Finding::at(&file.path, 0, format!("{lines} lines: is it two rooms?")))
        })
        .collect()
}

fn registries(file: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_lock = file.path.ends_with("Cargo.lock");
    for (index, line) in file.text.lines().enumerate() {
        if is_lock {
            if line.starts_with("source = ") && !line.contains(DEFAULT_REGISTRY) {
                findings.push(Finding::at(
                    &file.path,
                    index + 1,
                    "a source that is not the default registry: depend on a released version",
                ));
            }
        } else if let Some(name) = REGISTRIES.iter().find(|name| line.contains(*name)) {
            findings.push(Finding::at(
                &file.path,
                index + 1,
                format!("names the package registry `{name}`: that is each machine's own setting"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_file(path: &str, text: &str, found: &str) {
        let tree = Tree {
            files: vec![Source::new(path, text)],
        };
        let findings = check(&tree);
        match found {
            "" => assert_eq!(findings, [], "{path}"),
            _ => assert!(
                findings
                    .iter()
                    .any(|finding| finding.message.contains(found)),
                "{path}: {findings:?}"
            ),
        }
    }

    #[test]
    fn a_file_of_more_than_700_lines_is_found() {
        check_file("crates/a/src/b.rs", &"fn a() {}\n".repeat(701), "two rooms");
        check_file("crates/a/src/b.rs", &"fn a() {}\n".repeat(700), "");
        let tree = Tree {
            files: vec![Source::new("a.rs", &"fn a() {}\n".repeat(501))],
        };
        assert_eq!(long_files(&tree).len(), 1);
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        check_file("crates/a/src/utils.rs", "", "says nothing");
        check_file("crates/a/src/common/b.rs", "", "says nothing");
        check_file("crates/a/src/utilization.rs", "", "");
    }

    #[test]
    fn debts_are_found_in_code_and_not_in_words() {
        check_file(
            "crates/a/src/b.rs",
            "#[allow(dead_code)]\nfn a() {}",
            "#[expect",
        );
        check_file(
            "crates/a/src/b.rs",
            "fn a() { todo!() }",
            "leave the feature out",
        );
        check_file(
            "crates/a/src/b.rs",
            "#[test]\n#[ignore]\nfn a() {}",
            "tests/it/long",
        );
        check_file(
            "crates/a/src/b.rs",
            "// todo! is banned\nconst A: &str = \"#[allow\";",
            "",
        );
    }

    #[test]
    fn registries_are_not_named() {
        check_file(
            "docs/a.md",
            &format!("see {}/x", REGISTRIES[0]),
            "package registry",
        );
        check_file(
            "Cargo.lock",
            &format!("source = \"{DEFAULT_REGISTRY}\""),
            "",
        );
        check_file(
            "Cargo.lock",
            "source = \"git+https://example.org/a\"",
            "not the default",
        );
    }
}
