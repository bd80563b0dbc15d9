//! Which crate of ours may use which: the table of the architecture, and no other edge.

use super::Finding;
use super::package::{Kind, Package};

/// A crate and the crates of ours it may use, from the bottom up. What is not here may use none.
const LAYERS: &[(&str, &[&str])] = &[
    ("keyward-model", &[]),
    ("keyward-jose", &[]),
    ("keyward-llm", &["keyward-model"]),
    ("keyward-access", &["keyward-model"]),
    ("keyward-store", &["keyward-model"]),
    ("keyward-state", &["keyward-model"]),
    ("keyward-egress", &["keyward-model"]),
    ("keyward-pkcs11", &["keyward-model", "keyward-jose"]),
    (
        "keyward-authority",
        &[
            "keyward-model",
            "keyward-jose",
            "keyward-store",
            "keyward-state",
            "keyward-egress",
        ],
    ),
    (
        "keyward-gateway",
        &[
            "keyward-model",
            "keyward-jose",
            "keyward-llm",
            "keyward-access",
            "keyward-state",
            "keyward-egress",
        ],
    ),
    (
        "keyward-web",
        &[
            "keyward-model",
            "keyward-jose",
            "keyward-llm",
            "keyward-access",
            "keyward-store",
            "keyward-state",
            "keyward-egress",
            "keyward-authority",
        ],
    ),
    (
        "keyward",
        &[
            "keyward-model",
            "keyward-jose",
            "keyward-llm",
            "keyward-access",
            "keyward-store",
            "keyward-state",
            "keyward-egress",
            "keyward-pkcs11",
            "keyward-authority",
            "keyward-gateway",
            "keyward-web",
        ],
    ),
    ("keyward-testkit", &["keyward-model"]),
];

/// What tests may use beside their crate's own layer.
const TESTKIT: &str = "keyward-testkit";

pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let allowed = LAYERS
            .iter()
            .find(|(name, _)| *name == package.name)
            .map(|(_, uses)| *uses);
        if allowed.is_none() && package.folder.starts_with("crates/") {
            findings.push(Finding::at(
                &package.manifest(),
                0,
                format!(
                    "{} has no layer: give it a row in docs/ARCHITECTURE.md and xtask/src/tidy/layers.rs",
                    package.name
                ),
            ));
        }
        for dependency in &package.dependencies {
            let ours = packages.iter().any(|other| other.name == dependency.name);
            let test_kit = dependency.name == TESTKIT && dependency.kind == Kind::Dev;
            let below = allowed.unwrap_or(&[]).contains(&dependency.name.as_str());
            if ours && !below && !test_kit {
                findings.push(Finding::at(
                    &package.manifest(),
                    0,
                    format!(
                        "{} may not use {}: a crate uses only those of the layers below it; define a \
                         small trait here and let the binary join the two",
                        package.name, dependency.name
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
    use super::*;

    fn check_edge(user: &str, used: &str, kind: Kind, allowed: bool) {
        let packages = [
            package(user, kind, &[used]),
            package(used, Kind::Normal, &[]),
        ];
        assert_eq!(
            check(&packages).is_empty(),
            allowed,
            "{user} -> {used} ({kind:?})"
        );
    }

    #[test]
    fn an_edge_passes_only_down_the_table() {
        check_edge("keyward-gateway", "keyward-jose", Kind::Normal, true);
        check_edge("keyward", "keyward-gateway", Kind::Normal, true);
        check_edge("keyward-gateway", "keyward-store", Kind::Normal, false);
        check_edge("keyward-gateway", "keyward-store", Kind::Dev, false);
        check_edge("keyward-store", "keyward-state", Kind::Normal, false);
        check_edge("keyward-jose", "keyward-model", Kind::Normal, false);
        check_edge("keyward-model", "keyward", Kind::Normal, false);
    }

    #[test]
    fn the_test_kit_is_for_tests_alone() {
        check_edge("keyward-gateway", "keyward-testkit", Kind::Dev, true);
        check_edge("keyward-gateway", "keyward-testkit", Kind::Normal, false);
    }

    #[test]
    fn a_crate_without_a_layer_is_found() {
        let findings = check(&[package("keyward-novel", Kind::Normal, &[])]);
        assert!(findings[0].message.contains("no layer"), "{findings:?}");
    }
}
