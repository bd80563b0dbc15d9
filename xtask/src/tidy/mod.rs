//! What the compiler can't see and a reviewer forgets: layers, absences, rooms, documents.
//!
//! Each check takes the sources or the packages and gives findings; none of them writes anything.

mod absences;
mod dependencies;
mod documents;
mod layers;
mod package;
mod rooms;
mod source;
mod test_tables;

use package::Package;
use source::Tree;
use std::fmt;
use std::path::Path;

/// One thing to put right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    /// From 1; 0 for the file as a whole.
    line: usize,
    message: String,
}

impl Finding {
    fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Runs every check over the repository and prints what it finds, one a line.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let tree = Tree::read(root)?;
    let packages = package::read(root)?;
    let mut findings = check(&tree, &packages);
    findings.sort();
    findings.dedup();
    for warning in rooms::long_files(&tree) {
        println!("warning: {warning}");
    }
    for finding in &findings {
        println!("error: {finding}");
    }
    println!(
        "tidy: {} files, {} packages, {} to put right",
        tree.files.len(),
        packages.len(),
        findings.len()
    );
    if findings.is_empty() {
        Ok(())
    } else {
        Err(format!("{} findings", findings.len()))
    }
}

fn check(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let mut findings = layers::check(packages);
    findings.extend(absences::check(tree, packages));
    findings.extend(rooms::check(tree));
    findings.extend(dependencies::check(tree, packages));
    findings.extend(documents::check(tree));
    findings.extend(test_tables::check(tree));
    findings
}
