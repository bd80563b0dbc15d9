//! Documents that stay true: links lead somewhere, examples are run, changes are told.

use super::Finding;
use super::source::{Source, Tree};

/// The architecture is read in one sitting.
const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";
const MOST_ARCHITECTURE_LINES: usize = 300;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in links(&file.text) {
            if let Some(why) = broken(tree, file, &target) {
                findings.push(Finding::at(
                    &file.path,
                    line,
                    format!("link `{target}`: {why}"),
                ));
            }
        }
    }
    findings.extend(examples(tree));
    findings.extend(change_log(tree));
    if let Some(file) = tree.find(ARCHITECTURE) {
        let lines = file.text.lines().count();
        if lines >= MOST_ARCHITECTURE_LINES {
            findings.push(Finding::at(
                ARCHITECTURE,
                0,
                format!("{lines} lines: it stays under {MOST_ARCHITECTURE_LINES}; move detail to a guide"),
            ));
        }
    }
    findings
}

/// Every `[text](target)` outside code, with its line.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in outside_fences(text) {
        let mut code = false;
        let plain: String = line
            .chars()
            .map(|c| {
                code ^= c == '`';
                if code || c == '`' { ' ' } else { c }
            })
            .collect();
        for part in plain.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                let target = target.split_whitespace().next().unwrap_or_default();
                found.push((index + 1, target.to_owned()));
            }
        }
    }
    found
}

fn outside_fences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// Why a link leads nowhere, if it does. Addresses elsewhere are believed.
fn broken(tree: &Tree, file: &Source, target: &str) -> Option<String> {
    if ["https://", "http://", "mailto:"]
        .iter()
        .any(|scheme| target.starts_with(scheme))
    {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() {
        Some(file.path.clone())
    } else {
        resolve(&file.path, path)
    };
    let Some(path) = path else {
        return Some("leads out of the repository".to_owned());
    };
    if !tree.holds(&path) {
        return Some(format!("there is no {path}: correct or remove it"));
    }
    let page = tree.find(&path).filter(|page| page.path.ends_with(".md"));
    match page {
        Some(page) if !anchor.is_empty() && !headings(&page.text).any(|slug| slug == anchor) => {
            Some(format!("{path} has no heading `#{anchor}`"))
        }
        Some(_) | None => None,
    }
}

/// `target` as seen from the folder of `from`, from the root.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// What a page's headings are called in links.
fn headings(text: &str) -> impl Iterator<Item = String> {
    outside_fences(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter_map(|c| match c {
                    ' ' => Some('-'),
                    c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                    _ => None,
                })
                .collect()
        })
}

/// Every example is loaded by a test, named there by its file's name.
fn examples(tree: &Tree) -> Vec<Finding> {
    let is_example = |path: &str| {
        path.starts_with("examples/") && [".yaml", ".yml"].iter().any(|e| path.ends_with(e))
    };
    tree.files
        .iter()
        .filter(|file| is_example(&file.path))
        .filter(|file| {
            let name = file.path.rsplit('/').next().unwrap_or(&file.path);
            !tree.rust().any(|source| {
                (source.shipped.is_empty() || source.code.contains("#[cfg(test)]"))
                    && source.text.contains(name)
            })
        })
        .map(|file| {
            Finding::at(
                &file.path,
                0,
                "no test names this example: load it in crates/keyward/tests/it/",
            )
        })
        .collect()
}

fn change_log(tree: &Tree) -> Option<Finding> {
    const PATH: &str = "CHANGELOG.md";
    let told = tree.find(PATH).is_some_and(|file| {
        file.text
            .lines()
            .any(|line| line.starts_with("## ") && line.contains("Unreleased"))
    });
    (!told).then(|| {
        Finding::at(
            PATH,
            0,
            "has no section `## Unreleased`: tell operators what changes",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> String {
        let mut files: Vec<_> = files
            .iter()
            .map(|(path, text)| Source::new(path, text))
            .collect();
        if !files.iter().any(|file| file.path == "CHANGELOG.md") {
            files.push(Source::new("CHANGELOG.md", "## Unreleased\n"));
        }
        let messages: Vec<_> = check(&Tree { files })
            .iter()
            .map(ToString::to_string)
            .collect();
        messages.join("\n")
    }

    #[test]
    fn links_must_lead_somewhere() {
        let page = ("docs/b.md", "# One and two!\n");
        assert_eq!(
            findings(&[
                page,
                (
                    "docs/a.md",
                    "[b](b.md#one-and-two) [c](../docs/) [d](https://x.test) `[e](f)`"
                )
            ]),
            ""
        );
        assert!(
            findings(&[page, ("docs/a.md", "\n[b](c.md)")]).contains("docs/a.md:2: link `c.md`")
        );
        assert!(findings(&[page, ("docs/a.md", "[b](b.md#three)")]).contains("no heading"));
        assert!(
            findings(&[page, ("docs/a.md", "[b](../../b.md)")]).contains("out of the repository")
        );
        assert_eq!(findings(&[("docs/a.md", "```\n[b](c.md)\n```")]), "");
    }

    #[test]
    fn an_example_that_no_test_names_is_found() {
        let example = ("examples/echo.yaml", "format: 1");
        assert!(findings(&[example]).contains("no test names"));
        let test = ("crates/keyward/tests/it/examples.rs", "load(\"echo.yaml\")");
        assert_eq!(findings(&[example, test]), "");
    }

    #[test]
    fn a_change_log_without_unreleased_is_found() {
        assert!(findings(&[("CHANGELOG.md", "# Changes\n")]).contains("Unreleased"));
    }

    #[test]
    fn the_architecture_stays_short() {
        let text = "line\n".repeat(300);
        assert!(findings(&[("docs/ARCHITECTURE.md", &text)]).contains("under 300"));
    }
}
