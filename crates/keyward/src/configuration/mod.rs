//! The configuration: from the text of `keyward.yaml` and of resource files to what the node runs with.
//!
//! Text → [`document`] (a tree that knows its lines) → [`substitution`] (`${ENV:NAME}`, `${FILE:path}`)
//! → typed ([`node`] here, resources in `keyward_model`) → what fits together ([`keys`] and
//! `keyward_model::resource::consistency`). Mistakes are gathered all the way.

mod access;
pub(crate) mod access_log;
mod acme;
mod address;
mod address_files;
mod authentication;
pub(crate) mod captures;
pub(crate) mod catalogue;
mod content;
pub(crate) mod database;
pub(crate) mod document;
pub(crate) mod file;
pub(crate) mod kept;
mod keys;
mod limits;
pub(crate) mod listener;
pub(crate) mod listener_tls;
mod network;
pub(crate) mod node;
pub(crate) mod pkcs11;
pub(crate) mod reload;
mod report;
mod retired;
pub(crate) mod shared_state;
mod site;
mod substitution;
pub(crate) mod traces;
mod upstream_tls;

#[cfg(test)]
mod tests;

pub(crate) use node::NodeConfiguration;
pub(crate) use report::Report;

use crate::command::Failure;
use address_files::AddressFiles;
pub(crate) use database::DataPlace;
use document::DOCUMENT_MAX_BYTES;
use file::SeenFile;
use kept::{Before, Kept, ListPlaces};
use keyward_llm::catalogue::Day;
use keyward_model::resource::raw::{
    Declared, Field, Fields, Node, Place, Problems, Value, read_resource,
};
use keyward_model::resource::{IssuerKeys, Spec, UpstreamTls, consistency};
use keyward_model::{Clock as _, Origin, SystemClock};
use report::Source;
use std::path::{Path, PathBuf};
use substitution::Environment;
pub(crate) use substitution::substitute;

/// Where the configuration stands when nobody says otherwise.
pub(crate) const DEFAULT_FILE: &str = "keyward.yaml";

/// The issuer `self` where no `site_url` is known.
const DEFAULT_ISSUER: &str = "http://localhost:8090";

/// What was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// How the node runs; `None` when no configuration was given or it can't be used.
    pub(crate) configuration: Option<NodeConfiguration>,
    /// The resources of further files.
    pub(crate) further: Vec<Declared>,
    /// The files that all of this stands in, also those that could not be read: a change of one of them
    /// changes what is loaded. Issuers' key files are not among them: these are watched by the issuers.
    pub(crate) files: Vec<SeenFile>,
    /// What was found.
    pub(crate) report: Report,
    /// Where the resources of the configuration stand in its text.
    root: Option<ListPlaces>,
}

/// What is served from now on, if it can be.
pub(crate) struct Reread {
    pub(crate) kept: Kept,
    /// What was found, no errors among it.
    pub(crate) report: Report,
    /// How many resources were read from their text.
    pub(crate) read: usize,
    /// What was served until now.
    pub(crate) before: Before,
}

/// Reads a node's configuration once more: of what was read the last time only what has changed since, where that
/// can be told. Otherwise, and where something is wrong, it reads all of it.
pub(crate) fn reread(
    before: Option<Kept>,
    path: &Path,
    environment: Environment<'_>,
) -> Result<Reread, Refused> {
    let mut before = before;
    if let Some(mut kept) = before.take() {
        let Some(followed) = kept.follow(environment) else {
            return read_whole(Some(kept), path, environment);
        };
        let mut problems = Problems::new();
        let declared: Vec<&Declared> = kept.configuration.resources.iter().collect();
        let own_issuer = &kept.configuration.site_url;
        if followed.apis_alone {
            let changed = followed.changed.clone();
            consistency::check_changed_apis(&declared, changed, own_issuer, &mut problems);
        } else {
            consistency::check(&declared, own_issuer, &mut problems);
        }
        check_files(
            &declared,
            Some(&kept.configuration),
            &mut kept.files,
            &mut problems,
        );
        if !problems.has_errors() {
            let sources = vec![Source::new(path, String::new())];
            return Ok(Reread {
                report: Report::new(sources, problems),
                read: followed.changed.len(),
                before: Before::part(followed),
                kept,
            });
        }
        before = Some(kept.unfollowed(followed));
    }
    read_whole(before, path, environment)
}

fn read_whole(
    before: Option<Kept>,
    path: &Path,
    environment: Environment<'_>,
) -> Result<Reread, Refused> {
    let loaded = load(Some(path), &[], environment);
    let files = loaded.files.clone();
    if let Some(why) = loaded.report.first_error() {
        let before = before.map(Box::new);
        return Err(Refused { why, files, before });
    }
    let report = loaded.report.without_texts();
    match Kept::of(path, loaded) {
        Some(kept) => Ok(Reread {
            report,
            read: kept.resources().len(),
            kept,
            before: Before::whole(before),
        }),
        None => Err(Refused {
            why: "it can't be used; try `keyward check` [configuration]".to_owned(),
            files,
            before: before.map(Box::new),
        }),
    }
}

/// Why a configuration can't be served, the files that it was read from, and what goes on to be served.
pub(crate) struct Refused {
    pub(crate) why: String,
    pub(crate) files: Vec<SeenFile>,
    pub(crate) before: Option<Box<Kept>>,
}

/// Reads the configuration at `path` and the resources in `files`, all checked together. A file of
/// `files` that is a node's configuration is taken as that when `path` is `None`.
pub(crate) fn load(path: Option<&Path>, files: &[PathBuf], environment: Environment<'_>) -> Loaded {
    let mut reading = Reading {
        environment,
        sources: Vec::new(),
        problems: Problems::new(),
        configuration: None,
        configured: false,
        further: Vec::new(),
        files: Vec::new(),
        root: None,
    };
    if let Some(path) = path {
        reading.configuration(path);
    }
    for file in files {
        reading.resources(file);
    }
    reading.finished()
}

/// The first error among problems of documents called `name`, in a line. `None` when there is none.
pub(crate) fn report_line(problems: &Problems, name: &str) -> Option<String> {
    let source = Source::new(Path::new(name), String::new());
    Report::new(vec![source], problems.clone()).first_error()
}

/// What is wrong with resources of the database, held against those of a configuration and against each other. Where
/// the API at `only_api` is all that has changed since they fitted, no more than that is looked at.
pub(crate) fn check_database(
    kept: &Kept,
    database: &[&Declared],
    only_api: Option<usize>,
) -> Problems {
    let configuration = kept.configuration();
    let own_issuer = &configuration.site_url;
    let mut problems = Problems::new();
    let files = configuration.resources.iter();
    let mut all: Vec<&Declared> = files.chain(database.iter().copied()).collect();
    let first = configuration.resources.len();
    let mut changed = first..all.len();
    if let Some(index) = only_api
        && first + index < all.len()
    {
        let api = all.remove(first + index);
        all.push(api);
        changed = all.len() - 1..all.len();
        consistency::check_changed_apis(&all, changed.clone(), own_issuer, &mut problems);
    } else {
        consistency::check(&all, own_issuer, &mut problems);
    }
    let looked_at = all.get(changed).unwrap_or_default();
    if !problems.has_errors() && looked_at.iter().any(|one| access::is_about_access(one)) {
        access::check_apis(&all, looked_at, &mut problems);
    }
    // Nothing that comes by the management API names a file.
    let mut files = Vec::new();
    check_files(looked_at, Some(configuration), &mut files, &mut problems);
    problems
}

/// What is wrong with credentials of the database by themselves.
pub(crate) fn check_credentials(kept: &Kept, credentials: &[&Declared], problems: &mut Problems) {
    // Nothing that comes by the management API names a file.
    let mut files = Vec::new();
    let configuration = Some(kept.configuration());
    check_files(credentials, configuration, &mut files, problems);
}

/// What says where data is kept, and under what it is sealed.
const KEPT_WITH: &[&str] = &["database", "pkcs11", "master_key"];

/// Where the node of a configuration keeps its data. Nothing else is looked at: the rest may name what is not there
/// yet, such as the hash that is about to be made.
pub(crate) fn data_place(path: &Path, environment: Environment<'_>) -> Result<DataPlace, Failure> {
    let failed = |why: String| {
        Failure::new(
            format!("configuration {}", path.display()),
            why,
            "configuration",
        )
    };
    let text = file::read_text(path, DOCUMENT_MAX_BYTES).map_err(failed)?;
    let unreadable = || failed("it can't be read; `keyward check` says why".to_owned());
    let mut problems = Problems::new();
    let documents = document::read(&text, 0, &mut problems);
    let first = documents.first().ok_or_else(unreadable)?;
    let named = first
        .get("data_dir")
        .map(|node| Field::of("data_dir", node));
    let named = named.and_then(|field| field.as_text());
    let here = directory(path);
    // Of these alone: what else is referred to may not be there yet.
    let mut node = first.clone();
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|entry| KEPT_WITH.contains(&&*entry.key));
    }
    let mut files = Vec::new();
    substitute(&mut node, here, environment, &mut files, &mut problems);
    let fields =
        Fields::of(&node, "the configuration", KEPT_WITH, &mut problems).ok_or_else(unreadable)?;
    let postgres = match fields.optional("database") {
        Some(field) => database::read(field, here, &mut problems).ok_or_else(unreadable)?,
        None => None,
    };
    let token = pkcs11::read(&fields, here, &mut problems).ok_or_else(unreadable)?;
    let master_key = pkcs11::read_master_key(&fields, &mut problems).ok_or_else(unreadable)?;
    if problems.has_errors() {
        return Err(unreadable());
    }
    Ok(DataPlace {
        data_dir: here.join(named.unwrap_or(node::DEFAULT_DATA_DIR)),
        postgres,
        token: token.map(|one| one.token),
        master_key,
    })
}

struct Reading<'e> {
    environment: Environment<'e>,
    sources: Vec<Source>,
    problems: Problems,
    configuration: Option<NodeConfiguration>,
    /// Whether a configuration was seen, usable or not.
    configured: bool,
    further: Vec<Declared>,
    files: Vec<SeenFile>,
    root: Option<ListPlaces>,
}

impl Reading<'_> {
    fn configuration(&mut self, path: &Path) {
        let documents = self.documents(path);
        self.configured = true;
        let mut documents = documents.into_iter();
        let Some(node) = documents.next() else {
            return;
        };
        if let Some(second) = documents.next() {
            self.problems.error(
                second.place,
                "yaml",
                "a node's configuration is one document: put resources under `resources`, or into files of their own",
            );
        }
        self.root = ListPlaces::of_resources(&node);
        self.configuration = node::read(node, directory(path), &mut self.problems);
    }

    fn resources(&mut self, path: &Path) {
        let documents = self.documents(path);
        if let [node] = documents.as_slice()
            && node.get("format").is_some()
            && node.get("kind").is_none()
        {
            if self.configured {
                self.problems.error(
                    node.place,
                    "contradiction",
                    "this is a node's configuration, and there is one already: check each by itself",
                );
                return;
            }
            self.configured = true;
            self.configuration = node::read(node.clone(), directory(path), &mut self.problems);
            return;
        }
        for node in documents {
            self.further
                .extend(resource(node, directory(path), &mut self.problems));
        }
    }

    /// The documents of a file with everything put in that they refer to.
    fn documents(&mut self, path: &Path) -> Vec<Node> {
        let source = u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
        let start = Place {
            source,
            line: 0,
            column: 0,
        };
        self.files.push(SeenFile::now(path));
        let text = match file::read_text(path, DOCUMENT_MAX_BYTES) {
            Ok(text) => text,
            Err(why) => {
                self.sources.push(Source::new(path, String::new()));
                self.problems.error(start, "file", why);
                return Vec::new();
            }
        };
        let read = self.problems.as_slice().len();
        let mut documents = document::read(&text, source, &mut self.problems);
        if documents.is_empty() && self.problems.as_slice().len() == read {
            self.problems.error(start, "yaml", "the file is empty");
        }
        self.sources.push(Source::new(path, text));
        for node in &mut documents {
            substitute(
                node,
                directory(path),
                self.environment,
                &mut self.files,
                &mut self.problems,
            );
        }
        documents
    }

    fn finished(mut self) -> Loaded {
        if let Some(configuration) = &self.configuration {
            let data_dir = &configuration.data_dir;
            catalogue::take_up(data_dir, &mut self.files, &mut self.problems);
        }
        let own_issuer = self.configuration.as_ref().map_or_else(
            || DEFAULT_ISSUER.into(),
            |configuration| configuration.site_url.clone(),
        );
        let mut found = access::Found {
            sources: &mut self.sources,
            files: &mut self.files,
            problems: &mut self.problems,
        };
        let own = self.configuration.iter_mut();
        let own = own.flat_map(|configuration| &mut configuration.resources);
        for declared in own.chain(&mut self.further) {
            found.read(declared);
        }
        let declared = self
            .configuration
            .iter()
            .flat_map(|configuration| &configuration.resources)
            .chain(&self.further);
        let declared: Vec<&Declared> = declared.collect();
        // References to a resource that could not be read would be called unknown: only what was read
        // without a mistake is held against each other.
        if !self.problems.has_errors() {
            consistency::check(&declared, &own_issuer, &mut self.problems);
        }
        if !self.problems.has_errors() {
            access::check(&declared, &mut self.problems);
        }
        let configuration = self.configuration.as_ref();
        check_files(
            &declared,
            configuration,
            &mut self.files,
            &mut self.problems,
        );
        let failed = self.problems.has_errors();
        Loaded {
            configuration: self.configuration.filter(|_| !failed),
            further: self.further,
            files: self.files,
            report: Report::new(self.sources, self.problems),
            root: self.root,
        }
    }
}

/// Whether what resources name outside of themselves is there and fits: keys, certificates, listeners, lists of
/// addresses. `files` are those that are known, and as they were when they were read.
fn check_files(
    declared: &[&Declared],
    configuration: Option<&NodeConfiguration>,
    files: &mut Vec<SeenFile>,
    problems: &mut Problems,
) {
    let closed = configuration.is_some_and(|configuration| configuration.egress_allow.is_empty());
    let mut addresses = AddressFiles::beside(files);
    for declared in declared {
        addresses.check(declared, files, problems);
        keys::check(declared, closed, problems);
        upstream_tls::check(declared, problems);
        authentication::check(declared, configuration, problems);
        shared_state::check(declared, configuration, problems);
        limits::check(declared, configuration, problems);
        content::check(declared, problems);
    }
    let now = SystemClock::new().now().as_seconds();
    retired::check(declared, Day::of(now), problems);
}

/// Reads one resource; the paths in it are taken from `directory`.
fn resource(node: Node, directory: &Path, problems: &mut Problems) -> Option<Declared> {
    let mut declared = read_resource(node, Origin::File, problems)?;
    match &mut declared.resource.spec {
        Spec::Issuer(issuer) => {
            if let IssuerKeys::File(path) = &mut issuer.keys {
                *path = directory.join(&path);
            }
        }
        Spec::Upstream(upstream) => {
            for path in upstream.tls.iter_mut().flat_map(UpstreamTls::paths_mut) {
                *path = directory.join(&path);
            }
        }
        Spec::Credential(_) => {}
        Spec::Api(api) => {
            for path in api.paths_mut() {
                *path = directory.join(&path);
            }
        }
        Spec::AccessPolicy(policy) => {
            if let Some(path) = policy.path_mut() {
                *path = directory.join(&path);
            }
        }
        Spec::Role(_)
        | Spec::KeySet(_)
        | Spec::Webhook(_)
        | Spec::ManagementRole(_)
        | Spec::Provider(_)
        | Spec::Model(_)
        | Spec::Prompt(_) => {}
    }
    Some(declared)
}

fn directory(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new(""))
}
