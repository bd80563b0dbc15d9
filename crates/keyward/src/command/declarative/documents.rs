//! Documents of resources, with everything put in that they refer to on this machine.

use super::folder_of;
use crate::command::Failure;
use crate::command::input::Input;
use crate::configuration::file::{self, SeenFile};
use crate::configuration::{document, report_line, substitute};
use crate::environment;
use keyward_jose::JwkSet;
use keyward_jose::key::Part;
use keyward_model::resource::AccessPolicy;
use keyward_model::resource::raw::{Node, Problems, Value as Tree};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The largest file of documents.
const DOCUMENTS_MAX: usize = 32 << 20;
/// The largest key set.
const KEY_SET_MAX: u64 = 512 << 10;
/// What a reference to a secret of the deployment begins with.
const SECRET: &str = "${SECRET:";
/// The endings of files that are read of a folder.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// The resources of all files, in order.
pub(super) fn read(files: &[Input]) -> Result<Vec<Value>, Failure> {
    let mut resources = Vec::new();
    for named in files {
        match named {
            Input::File(path) if path.is_dir() => {
                for path in of_folder(path)? {
                    resources.extend(of_file(&Input::File(path))?);
                }
            }
            Input::File(_) | Input::Standard => resources.extend(of_file(named)?),
        }
    }
    Ok(resources)
}

fn of_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(folder.display().to_string(), error.to_string(), "input")
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn of_file(named: &Input) -> Result<Vec<Value>, Failure> {
    let bytes = named.read(DOCUMENTS_MAX)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::new(named.to_string(), "it is no UTF-8 text", "input"))?;
    let directory = match named {
        Input::File(path) => folder_of(path),
        Input::Standard => PathBuf::new(),
    };
    let mut problems = Problems::new();
    let nodes = document::read(text, 0, &mut problems);
    let mut resources = Vec::with_capacity(nodes.len());
    for mut node in nodes {
        if node.get("format").is_some() && node.get("kind").is_none() {
            return Err(Failure::new(
                named.to_string(),
                "this is a node's configuration: what it declares stays in it (`origin: file`); put resources for `apply` into files of their own",
                "node_configuration",
            ));
        }
        put_in(&mut node, &directory, &mut problems);
        let mut resource = json(&node);
        files_of(&mut resource, &directory)
            .map_err(|why| Failure::new(named.to_string(), why, "file"))?;
        resources.push(resource);
    }
    match report_line(&problems, &named.to_string()) {
        Some(why) => Err(Failure::new("documents", why, "documents")),
        None => Ok(resources),
    }
}

/// Puts in what references stand for; those to secrets of the deployment stay.
fn put_in(node: &mut Node, directory: &Path, problems: &mut Problems) {
    match &mut node.value {
        Tree::Text(text) if text.as_str().starts_with(SECRET) => {}
        Tree::List(members) => {
            for member in members {
                put_in(member, directory, problems);
            }
        }
        Tree::Map(entries) => {
            for entry in entries {
                put_in(&mut entry.node, directory, problems);
            }
        }
        Tree::Text(_) | Tree::Null | Tree::Boolean(_) | Tree::Whole(_) | Tree::Number(_) => {
            let mut seen: Vec<SeenFile> = Vec::new();
            substitute(node, directory, &environment::variable, &mut seen, problems);
        }
    }
}

/// As the API takes it: a `${` that is meant is written `$${`.
fn json(node: &Node) -> Value {
    match &node.value {
        Tree::Null => Value::Null,
        Tree::Boolean(value) => json!(value),
        Tree::Whole(value) => json!(value),
        Tree::Number(value) => json!(value),
        Tree::Text(text) if text.reference().is_none() && text.as_str().starts_with(SECRET) => {
            json!(text.as_str())
        }
        Tree::Text(text) => json!(text.as_str().replace("${", "$${")),
        Tree::List(members) => Value::Array(members.iter().map(json).collect()),
        Tree::Map(entries) => {
            let members = entries.iter();
            let members = members.map(|entry| (entry.key.clone(), json(&entry.node)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

/// Puts the contents of files in their place: key sets of issuers, and texts of policies. Other files are read by
/// nodes alone, and the API says so.
fn files_of(resource: &mut Value, directory: &Path) -> Result<(), String> {
    if let Some(Value::Object(jwks)) = resource.get_mut("jwks")
        && let Some(Value::String(path)) = jwks.get("file")
    {
        let bytes = file::read(&directory.join(path), KEY_SET_MAX)?;
        let set =
            JwkSet::parse_public(&bytes).map_err(|error| format!("`jwks`: {path}: {error}"))?;
        let text = set
            .to_json(Part::Public)
            .map_err(|error| error.to_string())?;
        let set: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        jwks.remove("file");
        let keys = set.get("keys").cloned().unwrap_or_default();
        jwks.insert("keys".to_owned(), keys);
    }
    if resource.get("kind").and_then(Value::as_str) == Some("access_policy") {
        policy(resource, directory)?;
    }
    of_level(resource, directory)?;
    let routes = resource.get_mut("routes").and_then(Value::as_array_mut);
    for route in routes.into_iter().flatten() {
        of_level(route, directory)?;
    }
    Ok(())
}

fn of_level(level: &mut Value, directory: &Path) -> Result<(), String> {
    let policies = level.pointer_mut("/authorization/policies");
    let policies = policies.and_then(Value::as_array_mut);
    for reference in policies.into_iter().flatten() {
        policy(reference, directory)?;
    }
    Ok(())
}

fn policy(declared: &mut Value, directory: &Path) -> Result<(), String> {
    let Value::Object(members) = declared else {
        return Ok(());
    };
    let Some(Value::String(path)) = members.get("file") else {
        return Ok(());
    };
    let most = u64::try_from(AccessPolicy::TEXT_MAX_BYTES).unwrap_or(u64::MAX);
    let text = file::read_text(&directory.join(path), most)?;
    members.remove("file");
    members.insert("cedar".to_owned(), json!(text.replace("${", "$${")));
    Ok(())
}
