//! Dependencies that nothing uses: each costs build time and trust.

use super::Finding;
use super::package::{Kind, Package};
use super::source::{Tree, contains_word};

pub(super) fn check(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let folder = format!("{}/", package.folder);
        // Another member's folder inside this one is not this package's source.
        let inner: Vec<_> = packages
            .iter()
            .filter(|other| other.folder != package.folder && other.folder.starts_with(&folder))
            .map(|other| format!("{}/", other.folder))
            .collect();
        let files: Vec<_> = tree
            .rust()
            .filter(|file| file.path.starts_with(&folder))
            .filter(|file| !inner.iter().any(|other| file.path.starts_with(other)))
            .collect();
        for dependency in &package.dependencies {
            let used = files.iter().any(|file| {
                // Examples in docstrings are code too.
                let is_doc = |line: &str| {
                    let line = line.trim_start();
                    line.starts_with("///") || line.starts_with("//!")
                };
                contains_word(&file.code, &dependency.extern_name)
                    || (dependency.kind == Kind::Dev
                        && file.text.lines().any(|line| {
                            is_doc(line) && contains_word(line, &dependency.extern_name)
                        }))
            });
            if !used {
                findings.push(Finding::at(
                    &package.manifest(),
                    0,
                    format!(
                        "{} is not used by {}: take it out",
                        dependency.name, package.name
                    ),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::package::fixtures::package;
    use super::super::source::Source;
    use super::*;

    #[test]
    fn a_dependency_that_no_source_names_is_found() {
        let packages = [package(
            "keyward-a",
            Kind::Normal,
            &["serde-json", "bytes", "http"],
        )];
        let tree = Tree {
            files: vec![
                Source::new(
                    "crates/keyward-a/src/lib.rs",
                    "use serde_json::Value; // http",
                ),
                Source::new("crates/keyward-ab/src/lib.rs", "use bytes::Bytes;"),
            ],
        };
        let messages: Vec<_> = check(&tree, &packages)
            .into_iter()
            .map(|f| f.message)
            .collect();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages[0].starts_with("bytes") && messages[1].starts_with("http"));
    }
}
