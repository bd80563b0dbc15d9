//! `${ENV:NAME}` and `${FILE:path}` in texts.

use super::file::{self, SeenFile};
use keyward_model::resource::raw::{Node, Place, Problems, Text, Value};
use std::path::Path;
use zeroize::Zeroizing;

/// The largest file that is put into a text: secrets are short, descriptions of APIs have some megabytes.
const FILE_MAX_BYTES: u64 = 16 << 20;

/// Reads a variable of the environment.
pub(crate) type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Puts values in for the references in `node` and all below it. `$${` stands for a `${` that is meant.
/// The files that are referred to are added to `files`, also those that can't be read.
pub(crate) fn substitute(
    node: &mut Node,
    directory: &Path,
    environment: Environment<'_>,
    files: &mut Vec<SeenFile>,
    problems: &mut Problems,
) {
    match &mut node.value {
        Value::Null | Value::Boolean(_) | Value::Whole(_) | Value::Number(_) => {}
        Value::Text(text) => {
            if text.as_str().contains("${") {
                let mut source = Source {
                    directory,
                    environment,
                    files,
                };
                if let Some(replaced) = source.replaced(text.as_str(), node.place, problems) {
                    *text = replaced;
                }
            }
        }
        Value::List(members) => {
            for member in members {
                substitute(member, directory, environment, files, problems);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                substitute(&mut entry.node, directory, environment, files, problems);
            }
        }
    }
}

struct Source<'s> {
    directory: &'s Path,
    environment: Environment<'s>,
    files: &'s mut Vec<SeenFile>,
}

impl Source<'_> {
    fn replaced(&mut self, written: &str, place: Place, problems: &mut Problems) -> Option<Text> {
        let mut value = Zeroizing::new(String::new());
        let mut referenced = false;
        let mut rest = written;
        while let Some((before, behind)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                value.push_str(before);
                value.push_str("${");
                rest = behind;
                continue;
            }
            value.push_str(before);
            let Some((reference, after)) = behind.split_once('}') else {
                problems.error(
                    place,
                    "substitution",
                    format!("`{written}`: `${{` has no `}}` behind it (write `$${{` for a `${{` that is meant)"),
                );
                return None;
            };
            match self.value_of(reference) {
                Ok(found) => value.push_str(&found),
                Err(why) => {
                    problems.error(place, "substitution", why);
                    return None;
                }
            }
            referenced = true;
            rest = after;
        }
        value.push_str(rest);
        let value = std::mem::take(&mut *value);
        Some(if referenced {
            Text::substituted(value, written)
        } else {
            Text::written(value)
        })
    }

    fn value_of(&mut self, reference: &str) -> Result<Zeroizing<String>, String> {
        if let Some(name) = reference.strip_prefix("ENV:") {
            return match (self.environment)(name) {
                Some(value) if !value.is_empty() => Ok(Zeroizing::new(value)),
                Some(_) => Err(format!(
                    "`${{ENV:{name}}}`: the environment variable `{name}` is empty"
                )),
                None => Err(format!(
                    "`${{ENV:{name}}}`: the environment variable `{name}` is not set"
                )),
            };
        }
        if let Some(path) = reference.strip_prefix("FILE:") {
            let full = self.directory.join(path);
            self.files.push(SeenFile::now(&full));
            let text = file::read_text(&full, FILE_MAX_BYTES)
                .map_err(|why| format!("`${{FILE:{path}}}`: {why}"))?;
            // Editors and `echo` end a file with a line break that is no part of the secret.
            let text = Zeroizing::new(text);
            let trimmed = text.strip_suffix('\n').unwrap_or(&text);
            let trimmed = trimmed.strip_suffix('\r').unwrap_or(trimmed);
            if trimmed.is_empty() {
                return Err(format!("`${{FILE:{path}}}`: {} is empty", full.display()));
            }
            return Ok(Zeroizing::new(trimmed.to_owned()));
        }
        Err(format!(
            "`${{{reference}}}`: write `${{ENV:NAME}}` or `${{FILE:path}}` (and `$${{` for a `${{` that is meant)"
        ))
    }
}
