//! Access policies: their files are read, and their text is checked.

use super::file::{self, SeenFile};
use super::report::Source;
use keyward_access::management::check_role;
use keyward_access::{Catalogue, Flaw};
use keyward_model::resource::authorization::{Authorization, PolicyReference};
use keyward_model::resource::raw::{Declared, Node, Place, Problems};
use keyward_model::resource::{AccessPolicy, PolicySource, Resource, Spec};
use std::path::Path;

/// What a file of policies may have, in bytes.
const FILE_MAX_BYTES: u64 = AccessPolicy::TEXT_MAX_BYTES as u64;

/// What was read, and what of it is wrong.
pub(super) struct Found<'r> {
    pub(super) sources: &'r mut Vec<Source>,
    pub(super) files: &'r mut Vec<SeenFile>,
    pub(super) problems: &'r mut Problems,
}

impl Found<'_> {
    /// Puts the text of each policy of a resource in its place, and tells what is wrong with it.
    pub(super) fn read(&mut self, declared: &mut Declared) {
        let name = declared.resource.name.to_string();
        let node = &declared.node;
        match &mut declared.resource.spec {
            Spec::AccessPolicy(policy) => self.policy(&name, policy, Some(node)),
            Spec::Api(api) => {
                let of_api = node.get("authorization");
                self.inline("api", &mut api.authorization, of_api);
                for (index, route) in api.routes.iter_mut().enumerate() {
                    let written = node.get("routes").and_then(|routes| routes.member(index));
                    let written = written.and_then(|route| route.get("authorization"));
                    self.inline("route", &mut route.authorization, written);
                }
            }
            Spec::ManagementRole(role) => {
                let flaws = check_role(&name, &role.cedar);
                self.tell(flaws, &role.cedar, node.place_of(&["cedar"]));
            }
            Spec::Issuer(_)
            | Spec::Upstream(_)
            | Spec::Credential(_)
            | Spec::Role(_)
            | Spec::KeySet(_)
            | Spec::Webhook(_)
            | Spec::Provider(_)
            | Spec::Model(_)
            | Spec::Prompt(_) => {}
        }
    }

    fn inline(&mut self, place: &str, authorization: &mut Authorization, node: Option<&Node>) {
        let written = node.and_then(|node| node.get("policies"));
        let mut number = 0;
        for (index, reference) in authorization.policies.iter_mut().enumerate() {
            if let PolicyReference::Inline(policy) = reference {
                number += 1;
                let node = written.and_then(|list| list.member(index));
                self.policy(&format!("{place}:{number}"), policy, node);
            }
        }
    }

    fn policy(&mut self, name: &str, policy: &mut AccessPolicy, node: Option<&Node>) {
        let written = |key: &str| node.map_or_else(Place::default, |node| node.place_of(&[key]));
        let mut begin = written("cedar");
        if let PolicySource::File(path) = &policy.source {
            match self.file(path) {
                Ok((text, source)) => {
                    begin = Place {
                        source,
                        line: 1,
                        column: 1,
                    };
                    policy.source = PolicySource::Text(text.into());
                }
                Err(why) => {
                    let message = format!("`file`: {why}");
                    self.problems.error(written("file"), "file", message);
                    return;
                }
            }
        }
        let PolicySource::Text(text) = &policy.source else {
            return;
        };
        self.tell(keyward_access::check(name, policy), text, begin);
    }

    /// What is wrong with a text of policies that is written at `begin`.
    fn tell(&mut self, flaws: Vec<Flaw>, text: &str, begin: Place) {
        for flaw in flaws {
            let at = flaw.offset.unwrap_or_default();
            let place = self.place(begin, text, at);
            if flaw.fatal {
                self.problems.error(place, flaw.code, flaw.message);
            } else {
                self.problems.warning(place, flaw.code, flaw.message);
            }
        }
    }

    /// The text of a file, and the number of its source.
    fn file(&mut self, path: &Path) -> Result<(String, u32), String> {
        self.files.push(SeenFile::now(path));
        let text = file::read_text(path, FILE_MAX_BYTES)?;
        let source = u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
        self.sources.push(Source::new(path, text.clone()));
        Ok((text, source))
    }

    /// Where byte `at` of a policy's text stands, which is written at `begin`: its line in the file, where the
    /// text stands there as it is (a block, or one line in quotes), else where it begins.
    fn place(&self, begin: Place, text: &str, at: usize) -> Place {
        let before = text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count();
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count();
        let index = usize::try_from(begin.source).ok();
        let source = index.and_then(|index| self.sources.get(index));
        let found = source.and_then(|source| {
            let written: Vec<&str> = source.text().lines().collect();
            let from = usize::try_from(begin.line.checked_sub(1)?).ok()?;
            let first = text.lines().next()?.trim();
            // A block begins behind its `|`, perhaps after lines that are empty.
            let start = (from..written.len().min(from + 8)).find(|index| {
                !first.is_empty() && written.get(*index).is_some_and(|l| l.contains(first))
            })?;
            let (wanted, there) = (text.lines().nth(line)?, written.get(start + line)?);
            let indent = there.find(wanted.trim_end())?;
            let indent = there.get(..indent)?.chars().count();
            Some(Place {
                source: begin.source,
                line: u32::try_from(start + line + 1).ok()?,
                column: u32::try_from(indent + column + 1).ok()?,
            })
        });
        found.unwrap_or(begin)
    }
}

/// Whether a resource is part of who may call, in more than the scopes of an API.
pub(super) fn is_about_access(declared: &Declared) -> bool {
    match &declared.resource.spec {
        Spec::AccessPolicy(_) | Spec::Role(_) => true,
        Spec::Api(api) => {
            let routes = api.routes.iter().map(|route| &route.authorization);
            let mut levels = std::iter::once(&api.authorization).chain(routes);
            levels.any(|asked| !asked.is_scopes_alone())
        }
        Spec::Issuer(_)
        | Spec::Upstream(_)
        | Spec::Credential(_)
        | Spec::KeySet(_)
        | Spec::Webhook(_)
        | Spec::ManagementRole(_)
        | Spec::Provider(_)
        | Spec::Model(_)
        | Spec::Prompt(_) => false,
    }
}

/// Whether roles and policies make a rule for each route. To be asked when nothing else is wrong.
pub(super) fn check(declared: &[&Declared], problems: &mut Problems) {
    check_apis(declared, declared, problems);
}

/// Whether the roles and policies among `declared` make a rule for each route of `apis`.
pub(super) fn check_apis(declared: &[&Declared], apis: &[&Declared], problems: &mut Problems) {
    let resources: Vec<&Resource> = declared.iter().map(|declared| &declared.resource).collect();
    let catalogue = match Catalogue::new(&resources, None) {
        Ok(catalogue) => catalogue,
        Err(error) => {
            problems.error(Place::default(), "access", error.to_string());
            return;
        }
    };
    for declared in apis {
        let Spec::Api(api) = &declared.resource.spec else {
            continue;
        };
        let inputs = catalogue.inputs(declared.resource.team, api);
        let rules = inputs.and_then(|inputs| match inputs {
            Some(inputs) => inputs.rules(&declared.resource, api).map(|_| ()),
            None => Ok(()),
        });
        if let Err(error) = rules {
            let place = declared.node.place_of(&["authorization"]);
            problems.error(place, "access", format!("`authorization`: {error}"));
        }
    }
}
