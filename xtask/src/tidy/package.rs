//! The workspace's packages, as `cargo metadata` gives them.

use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

/// A member of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// From the repository's root, with `/`; where its manifest lies.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a manifest's dependency tables.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// What the sources call it.
    pub(crate) extern_name: String,
    pub(crate) kind: Kind,
}

/// Which table the dependency stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Dev,
    Build,
}

/// Libraries whose crate is not called as their package is.
const LIBRARY_NAMES: &[(&str, &str)] = &[("rustls-webpki", "webpki")];

impl Package {
    pub(crate) fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

impl Dependency {
    pub(crate) fn new(name: &str, rename: Option<&str>, kind: Kind) -> Self {
        let library = LIBRARY_NAMES.iter().find(|(package, _)| *package == name);
        let extern_name = rename
            .or(library.map(|(_, library)| *library))
            .unwrap_or(name);
        Self {
            name: name.to_owned(),
            extern_name: extern_name.replace('-', "_"),
            kind,
        }
    }
}

/// Asks cargo for the members of the workspace at `root`; needs no network.
pub(crate) fn read(root: &Path) -> Result<Vec<Package>, String> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata could not run: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    parse(&output.stdout, root).ok_or_else(|| {
        "cargo metadata answered in a form this task does not know: is cargo's version the one of \
         rust-toolchain.toml?"
            .to_owned()
    })
}

fn parse(metadata: &[u8], root: &Path) -> Option<Vec<Package>> {
    let metadata: HashMap<String, Value> = serde_json::from_slice(metadata).ok()?;
    let mut packages = Vec::new();
    for package in metadata.get("packages")?.as_array()? {
        let manifest = Path::new(package.get("manifest_path")?.as_str()?);
        let folder = manifest
            .parent()?
            .strip_prefix(root)
            .ok()?
            .to_str()?
            .to_owned();
        let mut dependencies = Vec::new();
        for dependency in package.get("dependencies")?.as_array()? {
            let kind = match dependency.get("kind").and_then(Value::as_str) {
                Some("dev") => Kind::Dev,
                Some("build") => Kind::Build,
                Some(_) | None => Kind::Normal,
            };
            dependencies.push(Dependency::new(
                dependency.get("name")?.as_str()?,
                dependency.get("rename").and_then(Value::as_str),
                kind,
            ));
        }
        packages.push(Package {
            name: package.get("name")?.as_str()?.to_owned(),
            folder,
            dependencies,
        });
    }
    Some(packages)
}

#[cfg(test)]
pub(crate) mod fixtures {
    use super::{Dependency, Kind, Package};

    /// A crate of ours under `crates/` with dependencies of one kind.
    pub(crate) fn package(name: &str, kind: Kind, dependencies: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            folder: format!("crates/{name}"),
            dependencies: dependencies
                .iter()
                .map(|dependency| Dependency::new(dependency, None, kind))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_known_by_what_the_sources_call_it() {
        let metadata = br#"{"packages": [{"name": "keyward-a", "manifest_path": "/r/crates/keyward-a/Cargo.toml",
            "dependencies": [{"name": "rustls-webpki", "kind": null, "rename": null},
                             {"name": "serde-saphyr", "kind": "dev", "rename": "yaml"}]}]}"#;
        let packages = parse(metadata, Path::new("/r")).unwrap();
        assert_eq!(packages[0].folder, "crates/keyward-a");
        let names: Vec<_> = packages[0]
            .dependencies
            .iter()
            .map(|d| (d.extern_name.as_str(), d.kind))
            .collect();
        assert_eq!(names, [("webpki", Kind::Normal), ("yaml", Kind::Dev)]);
    }
}
