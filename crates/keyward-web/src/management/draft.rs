//! From what is declared to what can be served: every mistake is told with its member.

use super::kind::KindDescription;
use super::secret;
use crate::node::{DatabaseResource, ResourceKey};
use crate::problem::{MemberFlaw, Problem, ProblemKind};
use crate::site::Site;
use keyward_access::management::check_role;
use keyward_model::resource::authorization::{Authorization, PolicyReference};
use keyward_model::resource::raw::{
    Declared, Node as Tree, Place, Problems, Severity, read_team_resource,
};
use keyward_model::resource::{
    AccessPolicy, IssuerKeys, PolicySource, Provider, Spec, UpstreamTls,
};
use keyward_model::{Name, Origin, Secret};
use keyward_store::management::Team;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What the node tells of a resource and nobody writes.
pub(crate) const TOLD: [&str; 3] = ["id", "origin", "revision"];

/// A resource that is to be stored, with the secrets that came with it.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) resource: DatabaseResource,
    pub(crate) secrets: Vec<(String, Secret<String>)>,
}

impl Site {
    /// Reads what is declared of this kind for a team.
    pub(crate) async fn draft(
        &self,
        kind: &'static KindDescription,
        team: &Team,
        body: Value,
    ) -> Result<Draft, Problem> {
        self.stay_where_they_are(kind, team, &body).await?;
        self.draft_again(kind, team, body).await
    }

    /// That the secrets which a body refers to are sent where they were sent before: else whoever may declare something
    /// and read no secret would have them told by sending them to an address of their own.
    async fn stay_where_they_are(
        &self,
        kind: &'static KindDescription,
        team: &Team,
        body: &Value,
    ) -> Result<(), Problem> {
        let sent = secret::references_by_place(body, kind);
        if kind.sent_to.is_empty() || sent.is_empty() {
            return Ok(());
        }
        let catalogue = self.catalogue().await?;
        let named = body.get("name").and_then(Value::as_str);
        let mut of_kind = catalogue.of(team.id, kind.kind);
        let before = of_kind.find(|resource| Some(resource.key.name.as_str()) == named);
        let known = before.map(|before| {
            let mut members = kind.sent_to.iter();
            let stays = members.all(|member| before.body.get(member) == body.get(member));
            (
                stays,
                secret::references_by_place(&before.body, kind),
                &before.body,
            )
        });
        let mut moved = sent.into_iter().filter(|(place, reference)| {
            let same = |(before, known): &(String, String), told: &Value| {
                known == reference && secret::is_beside_the_same((told, before), (body, place))
            };
            !known.as_ref().is_some_and(|(stays, places, told)| {
                *stays && places.iter().any(|before| same(before, told))
            })
        });
        match moved.next() {
            None => Ok(()),
            Some((place, _)) => {
                let members = kind.sent_to.join("`, `");
                let why = format!(
                    "a secret that is kept goes where it went before: write the secret itself where `{members}` change, or what stands beside it"
                );
                Err(invalid(vec![flaw(&place, "unknown_secret", &why)]))
            }
        }
    }

    /// The same of what was declared before and is put back.
    pub(crate) async fn draft_again(
        &self,
        kind: &'static KindDescription,
        team: &Team,
        mut body: Value,
    ) -> Result<Draft, Problem> {
        normalize(&mut body, kind, team)?;
        let foreign = secret::foreign_references(&body, kind);
        if !foreign.is_empty() {
            return Err(invalid(foreign));
        }
        let misplaced = secret::misplaced(&body, kind);
        if !misplaced.is_empty() {
            return Err(invalid(misplaced));
        }
        // A key or password that is kept as a hash is read as it came, once, since a hash tells nothing of it.
        if secret::is_to_be_hashed(&body, kind) {
            let read = self.read(kind, team, body.clone(), &HashMap::new());
            read.map_err(invalid)?;
        }
        let taken = secret::take_out(
            &mut body,
            kind,
            team.id,
            self.secret_references(),
            self.node(),
        );
        let mut secrets: HashMap<String, Secret<String>> = taken.new.iter().cloned().collect();
        for reference in taken.known {
            let known = self.store().resource_secret(team.id, &reference).await?;
            let Some(known) = known else {
                return Err(unknown_secret(&body, kind));
            };
            secrets.insert(reference, known);
        }
        let resource = self.read(kind, team, body, &secrets).map_err(invalid)?;
        Ok(Draft {
            resource,
            secrets: taken.new,
        })
    }

    /// Reads a body as it is stored.
    pub(crate) async fn stored(
        &self,
        kind: &'static KindDescription,
        team: &Team,
        body: Value,
    ) -> Result<Result<DatabaseResource, Vec<MemberFlaw>>, keyward_store::Error> {
        let asked: Vec<_> = secret::references(&body, kind)
            .into_iter()
            .map(|reference| (team.id, reference))
            .collect();
        let mut secrets = HashMap::with_capacity(asked.len());
        for ((_, reference), known) in self.store().resource_secrets(&asked).await? {
            secrets.insert(reference, known?);
        }
        Ok(self.read(kind, team, body, &secrets))
    }

    /// Reads a body with the secrets that it refers to.
    pub(super) fn read(
        &self,
        kind: &'static KindDescription,
        team: &Team,
        body: Value,
        secrets: &HashMap<String, Secret<String>>,
    ) -> Result<DatabaseResource, Vec<MemberFlaw>> {
        let (mut tree, pointers) = Tree::numbered(&body, next_source());
        if secret::put_in(&mut tree, &body, kind, secrets).is_none() {
            return Err(vec![flaw("", "unknown_secret", UNKNOWN_SECRET)]);
        }
        secret::unescape(&mut tree);
        let mut problems = Problems::new();
        let owner = (team.id, &team.name);
        let read = read_team_resource(tree, Origin::Database, owner, &mut problems);
        let flaws = flaws_of(&problems, &pointers);
        let Some(declared) = read else {
            return Err(flaws);
        };
        let more = [of_files(&declared), of_policies(&declared)].concat();
        if !more.is_empty() {
            return Err(more);
        }
        let resource = Arc::new(declared.resource.clone());
        let version = resource.spec.version().cloned();
        Ok(DatabaseResource {
            key: ResourceKey {
                team: team.id,
                kind: kind.kind,
                name: resource.name.clone(),
                version,
            },
            team_name: team.name.clone(),
            id: None,
            revision: None,
            mark: 0,
            body: Arc::new(body),
            declared: Some(Arc::new(declared)),
            resource,
            pointers,
        })
    }
}

const UNKNOWN_SECRET: &str = "the reference names no secret of this team: write the secret itself, which is then kept under a reference";

/// Each reading is a source of its own, so that whatever is told of it later is known to be of it.
fn next_source() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed) | Place::DECLARED_BY_API
}

/// `kind`, `team` and `name` first; what only the node tells is taken away.
fn normalize(body: &mut Value, kind: &KindDescription, team: &Team) -> Result<(), Problem> {
    let Value::Object(members) = body else {
        return Err(invalid(vec![flaw(
            "",
            "wrong_type",
            "a resource is an object",
        )]));
    };
    for told in TOLD {
        members.remove(told);
    }
    for (key, expected) in [("kind", kind.kind.as_str()), ("team", team.name.as_str())] {
        if let Some(written) = members.get(key)
            && written != expected
        {
            let why = format!("it is `{expected}` at this address: leave it out, or write that");
            return Err(invalid(vec![flaw(&format!("/{key}"), "bad_value", &why)]));
        }
    }
    let rest = std::mem::take(members);
    members.insert("kind".to_owned(), json!(kind.kind.as_str()));
    members.insert("team".to_owned(), json!(team.name));
    members.extend(rest);
    Ok(())
}

pub(crate) fn invalid(flaws: Vec<MemberFlaw>) -> Problem {
    let detail = match flaws.as_slice() {
        [one] => one.detail.clone(),
        [] => "What is declared can't be read".to_owned(),
        [first, rest @ ..] => format!("{} (and {} more)", first.detail, rest.len()),
    };
    Problem::new(ProblemKind::Invalid, detail).with(flaws)
}

fn unknown_secret(body: &Value, kind: &KindDescription) -> Problem {
    let places = secret::references_by_place(body, kind).into_iter();
    let flaws = places.map(|(place, _)| flaw(&place, "unknown_secret", UNKNOWN_SECRET));
    invalid(flaws.collect())
}

fn flaw(member: &str, code: &'static str, detail: &str) -> MemberFlaw {
    MemberFlaw {
        member: member.to_owned(),
        code,
        detail: detail.to_owned(),
    }
}

/// Where a problem of a resource stands.
pub(crate) fn pointer_of(pointers: &[String], place: Place) -> String {
    let index = usize::try_from(place.line).ok();
    let index = index.and_then(|line| line.checked_sub(1));
    let pointer = index.and_then(|index| pointers.get(index));
    pointer.cloned().unwrap_or_default()
}

fn flaws_of(problems: &Problems, pointers: &[String]) -> Vec<MemberFlaw> {
    let errors = problems.as_slice().iter();
    errors
        .filter(|problem| problem.severity == Severity::Error)
        .map(|problem| MemberFlaw {
            member: pointer_of(pointers, problem.place),
            code: problem.code,
            detail: problem.message.clone(),
        })
        .collect()
}

/// Files are of the machine that reads them: nothing that comes by the API names one.
fn of_files(declared: &Declared) -> Vec<MemberFlaw> {
    let mut spec = declared.resource.spec.clone();
    let (member, named): (&str, Vec<PathBuf>) = match &mut spec {
        Spec::Issuer(issuer) => match &issuer.keys {
            IssuerKeys::File(path) => ("/jwks/file", vec![path.clone()]),
            IssuerKeys::Inline(_)
            | IssuerKeys::Url { .. }
            | IssuerKeys::Secret(_)
            | IssuerKeys::Introspection(_)
            | IssuerKeys::KeySet(_)
            | IssuerKeys::Own => return Vec::new(),
        },
        Spec::Upstream(upstream) => {
            let paths = upstream.tls.iter_mut().flat_map(UpstreamTls::paths_mut);
            ("/tls", paths.map(|path| path.clone()).collect())
        }
        Spec::Api(api) => ("", api.paths_mut().map(|path| path.clone()).collect()),
        Spec::AccessPolicy(policy) => {
            let path = policy.path_mut().map(|path| path.clone());
            ("/file", path.into_iter().collect())
        }
        Spec::Provider(provider) => return of_machine(provider),
        Spec::Credential(_)
        | Spec::Role(_)
        | Spec::KeySet(_)
        | Spec::Webhook(_)
        | Spec::ManagementRole(_)
        | Spec::Model(_)
        | Spec::Prompt(_) => {
            return Vec::new();
        }
    };
    let told = named.into_iter().map(|path| {
        let why = format!(
            "`{}` is a file, and the management API reads none: `keyward apply` puts in what files hold, and files that a node reads by itself are named in its own configuration",
            path.display()
        );
        flaw(member, "file", &why)
    });
    told.collect()
}

/// What the machine has of its own is for whoever runs it: a team would call with the operator's account.
fn of_machine(provider: &Provider) -> Vec<MemberFlaw> {
    let keys = provider.credentials.iter().enumerate();
    let of_machine = keys.filter(|(_, key)| key.secret.is_of_machine());
    of_machine
        .map(|(index, _)| {
            flaw(
                &format!("/credentials/{index}"),
                "machine",
                "`machine: true` is for providers of the operator's own files: give keys of your own",
            )
        })
        .collect()
}

/// What is wrong with the text of Cedar policies.
fn of_policies(declared: &Declared) -> Vec<MemberFlaw> {
    let name = declared.resource.name.as_str();
    let mut flaws = Vec::new();
    match &declared.resource.spec {
        Spec::AccessPolicy(policy) => of_policy(name, policy, "", &mut flaws),
        Spec::Api(api) => {
            of_level("api", &api.authorization, "/authorization", &mut flaws);
            for (index, route) in api.routes.iter().enumerate() {
                let pointer = format!("/routes/{index}/authorization");
                of_level("route", &route.authorization, &pointer, &mut flaws);
            }
        }
        Spec::ManagementRole(role) => {
            let found = check_role(name, &role.cedar).into_iter();
            flaws.extend(found.filter(|found| found.fatal).map(|found| MemberFlaw {
                member: "/cedar".to_owned(),
                code: found.code,
                detail: at_line(&role.cedar, found.offset, found.message),
            }));
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
    flaws
}

/// What is wrong with a text, with the line where it stands.
fn at_line(text: &str, offset: Option<usize>, message: String) -> String {
    let before = offset.and_then(|offset| text.get(..offset));
    match before {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}

fn of_level(place: &str, level: &Authorization, pointer: &str, flaws: &mut Vec<MemberFlaw>) {
    for (index, reference) in level.policies.iter().enumerate() {
        if let PolicyReference::Inline(policy) = reference {
            let name = format!("{place}:{}", index + 1);
            let pointer = format!("{pointer}/policies/{index}");
            of_policy(&name, policy, &pointer, flaws);
        }
    }
}

fn of_policy(name: &str, policy: &AccessPolicy, pointer: &str, flaws: &mut Vec<MemberFlaw>) {
    if !matches!(policy.source, PolicySource::Text(_)) {
        return;
    }
    let found = keyward_access::check(name, policy).into_iter();
    flaws.extend(found.filter(|found| found.fatal).map(|found| MemberFlaw {
        member: format!("{pointer}/cedar"),
        code: found.code,
        detail: found.message,
    }));
}

/// A version's name, as stored: empty where there is none.
pub(crate) fn stored_version(version: Option<&Name>) -> String {
    version.map(Name::to_string).unwrap_or_default()
}
