//! The tracked files, and what of a Rust file is code.

use std::path::Path;
use std::process::Command;

/// The repository's text files, each with its path from the root.
pub(crate) struct Tree {
    pub(crate) files: Vec<Source>,
}

/// One text file.
pub(crate) struct Source {
    /// From the repository's root, with `/`.
    pub(crate) path: String,
    /// As it stands.
    pub(crate) text: String,
    /// Rust only: the text with comments and the contents of literals blanked, line for line.
    pub(crate) code: String,
    /// Rust only: `code` with `#[cfg(test)]` items blanked too; empty in a file that holds tests alone.
    pub(crate) shipped: String,
}

impl Tree {
    /// Every file that git tracks or would track, so that a new file is checked before it is added.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let listed = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(root)
            .output()
            .map_err(|error| format!("git ls-files could not run ({error}): install git"))?;
        if !listed.status.success() {
            return Err(format!(
                "git ls-files failed: run this in a clone of the repository ({})",
                String::from_utf8_lossy(&listed.stderr).trim()
            ));
        }
        let mut files = Vec::new();
        for path in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
            // A file that is deleted but not yet committed is listed; one that is not UTF-8 is no text.
            if let Ok(text) = std::fs::read_to_string(root.join(path)) {
                files.push(Source::new(path, &text));
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path);
        Ok(Self { files })
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    pub(crate) fn find(&self, path: &str) -> Option<&Source> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether `path` is a file here, or a folder that holds one.
    pub(crate) fn holds(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        path.is_empty()
            || self
                .files
                .iter()
                .any(|file| file.path == path || file.path.starts_with(&folder))
    }
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") {
            code_only(text)
        } else {
            String::new()
        };
        let shipped = if is_test_file(path) {
            String::new()
        } else {
            without_tests(&code)
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            shipped,
        }
    }

    /// Where `needle` stands in `within`, as a whole path segment: one line number for each line.
    pub(crate) fn lines_with(within: &str, needle: &str) -> Vec<usize> {
        within
            .lines()
            .enumerate()
            .filter(|(_, line)| contains_word(line, needle))
            .map(|(index, _)| index + 1)
            .collect()
    }
}

/// Whether `needle` occurs in `line` and is no part of a longer name.
pub(crate) fn contains_word(line: &str, needle: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let first_is_name = needle.chars().next().is_some_and(is_name);
    let last_is_name = needle.chars().next_back().is_some_and(is_name);
    line.match_indices(needle).any(|(at, _)| {
        let before = line.get(..at).and_then(|s| s.chars().next_back());
        let after = line.get(at + needle.len()..).and_then(|s| s.chars().next());
        let longer = first_is_name && before.is_some_and(is_name)
            || last_is_name && after.is_some_and(is_name);
        !longer
    })
}

/// Files that hold tests, benches or fuzz targets alone.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || ["/tests/", "/benches/"]
            .iter()
            .any(|folder| path.contains(folder))
        || ["fuzz/", "oracles/", "xtask/", "crates/keyward-testkit/"]
            .iter()
            .any(|folder| path.starts_with(folder))
}

/// Blanks comments and the contents of string and character literals; keeps every line where it is.
fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let c = at(i);
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && at(i) != '\n' {
                out.push(' ');
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0_usize;
            while i < chars.len() {
                if at(i) == '/' && at(i + 1) == '*' {
                    depth += 1;
                    out.push_str("  ");
                    i += 2;
                } else if at(i) == '*' && at(i + 1) == '/' {
                    depth -= 1;
                    out.push_str("  ");
                    i += 2;
                    if depth == 0 {
                        break;
                    }
                } else {
                    out.push(blank(at(i)));
                    i += 1;
                }
            }
        } else if let Some((open, hashes)) = raw_string(&chars, i) {
            out.extend(std::iter::repeat_n(' ', open));
            i += open;
            while i < chars.len() {
                let closes = at(i) == '"' && (1..=hashes).all(|n| at(i + n) == '#');
                out.push(blank(at(i)));
                i += 1;
                if closes {
                    out.extend(std::iter::repeat_n(' ', hashes));
                    i += hashes;
                    break;
                }
            }
        } else if c == '"' {
            out.push('"');
            i += 1;
            while i < chars.len() && at(i) != '"' {
                if at(i) == '\\' {
                    out.push(' ');
                    i += 1;
                }
                out.push(blank(at(i)));
                i += 1;
            }
            out.push('"');
            i += 1;
        } else if c == '\'' && (at(i + 1) == '\\' || (at(i + 2) == '\'' && at(i + 1) != '\'')) {
            // A character, not a lifetime: escaped, or closed after one.
            out.push(' ');
            i += 1;
            if at(i) == '\\' {
                out.push(' ');
                i += 1;
            }
            while i < chars.len() && (at(i) != '\'' || at(i - 1) == '\\' && at(i + 1) == '\'') {
                out.push(blank(at(i)));
                i += 1;
            }
            out.push(' ');
            i += 1;
        } else if is_name(c) {
            // A whole name at once, so that the `r` of `for"` is not taken for a raw string.
            while is_name(at(i)) {
                out.push(at(i));
                i += 1;
            }
        } else {
            out.push(c);
            i += 1;
        }
    }
    out
}

/// At the `r` of a raw string: how long its opening is, and how many `#` it has.
fn raw_string(chars: &[char], start: usize) -> Option<(usize, usize)> {
    let mut i = start;
    if matches!(chars.get(i), Some('b' | 'c')) {
        i += 1;
    }
    if chars.get(i) != Some(&'r') {
        return None;
    }
    i += 1;
    let first_hash = i;
    while chars.get(i) == Some(&'#') {
        i += 1;
    }
    (chars.get(i) == Some(&'"')).then_some((i + 1 - start, i - first_hash))
}

/// Blanks every item behind `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some((before, after)) = rest.split_once(MARK) {
        out.push_str(before);
        let mut depth = 0_usize;
        let mut end = after.len();
        for (at, c) in after.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && (c == '}' || c == ';') {
                end = at + 1;
                break;
            }
        }
        let (item, following) = after.split_at(end);
        out.extend(item.chars().filter(|c| *c == '\n'));
        rest = following;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_line_for_line() {
        let text = "let a = \"env::var\"; // env::var\n/* env::var\n/* nested */ */ b('\"'); r#\"x\n\"y\"#; 'a: loop {}\n";
        let code = code_only(text);
        assert_eq!(code.lines().count(), text.lines().count());
        assert!(!code.contains("env::var") && !code.contains('x') && !code.contains('y'));
        assert!(code.contains("let a = ") && code.contains("b(") && code.contains("'a: loop {}"));
    }

    #[test]
    fn escaped_quotes_do_not_end_a_literal() {
        let code = code_only(r#"f("a\"b", '\'', '\\', '\u{1F600}'); g"#);
        assert!(code.ends_with("; g"), "{code}");
        assert!(!code.contains('b') && !code.contains("600"));
    }

    #[test]
    fn test_items_are_no_shipped_code() {
        let source = Source::new(
            "crates/a/src/x.rs",
            "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { c() } }\nfn d() {}\n#[cfg(test)]\nmod more;\nfn e() {}\n",
        );
        assert!(source.shipped.contains("fn a()") && source.shipped.contains("fn d()"));
        assert!(!source.shipped.contains("fn b()") && !source.shipped.contains("mod more"));
        assert_eq!(Source::lines_with(&source.shipped, "fn e"), [7]);
    }

    #[test]
    fn a_word_is_not_found_inside_another() {
        assert!(contains_word("use sqlx::Any;", "sqlx"));
        assert!(!contains_word("use sqlx_like::Any;", "sqlx"));
        assert!(!contains_word("my_env::vars()", "env::var"));
        assert!(contains_word("#![allow(x)]", "allow("));
    }
}
