//! The endpoints.

use super::call::{JSON, MERGE_PATCH};
use super::endpoint::{BASE, Endpoint, Gate, Handler, KnownHandler, OpenHandler, PermittedHandler};
use super::kind::KindDescription;
use super::list::page_schema;
use super::operation::{Operation, Parameter, schema_named};
use super::{apply, audit, document, events, history, member, path, resource, setup, team, token};
use http::Method;
use keyward_access::management::{Action, Subject};
use serde_json::{Value, json};

mod keys;

/// A setup secret and a name: everyone may send them.
const SETUP_MAX: usize = 4 << 10;
/// A resource: some hundred routes, or a key set.
const RESOURCE_MAX: usize = 1 << 20;
/// Some thousands of resources at once.
const APPLY_MAX: usize = 32 << 20;

/// All there are.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let mut table = vec![
        open(
            Method::GET,
            "/openapi.json",
            document::show,
            Operation::new("openapi", "about", "This document")
                .gives(200, Some(json!({ "type": "object" }))),
        ),
        open(
            Method::POST,
            "/setup",
            setup::claim,
            Operation::new(
                "claim_setup",
                "about",
                "Become the first administrator, by the setup secret that the node has shown",
            )
            .takes(JSON, schema_named("Setup"))
            .up_to(SETUP_MAX)
            .gives(201, Some(schema_named("IssuedToken")))
            .refuses([403, 422]),
        ),
        known(
            Method::GET,
            "/me",
            team::me,
            Operation::new("me", "about", "Who the token says you are")
                .gives(200, Some(schema_named("Me"))),
        ),
        known(
            Method::GET,
            "/teams",
            team::list,
            Operation::new("list_teams", "teams", "The teams that you see")
                .with(Parameter::paging())
                .gives(200, Some(page_schema(schema_named("Team")))),
        ),
        permitted(
            Method::POST,
            "/teams",
            Action::write(Subject::Teams),
            team::create,
            Operation::new("create_team", "teams", "Make a team")
                .takes(JSON, schema_named("NewTeam"))
                .gives(201, Some(schema_named("Team")))
                .refuses([403, 409, 422]),
        ),
        permitted(
            Method::GET,
            "/teams/{team}",
            Action::read(Subject::Teams),
            team::show,
            Operation::new("show_team", "teams", "A team")
                .gives(200, Some(schema_named("Team")))
                .tagged()
                .refuses([403, 404]),
        ),
        permitted(
            Method::DELETE,
            "/teams/{team}",
            Action::write(Subject::Teams),
            team::delete,
            Operation::new(
                "delete_team",
                "teams",
                "Take a team away: one that has nothing, or all that it has with it",
            )
            .with([
                Parameter::query(
                    "cascade",
                    "The team's name once more, if all that it has is to go with it",
                    json!({ "type": "string", "minLength": 1, "maxLength": 63 }),
                ),
                if_match().required(),
                Parameter::reason(),
            ])
            .gives(204, None)
            .refuses([403, 404, 409, 412, 422, 428]),
        ),
        permitted(
            Method::GET,
            "/teams/{team}/paths",
            Action::read(Subject::Teams),
            path::show,
            Operation::new(
                "show_paths",
                "teams",
                "The paths below which a team publishes",
            )
            .gives(200, Some(schema_named("Paths")))
            .tagged()
            .refuses([403, 404]),
        ),
        permitted(
            Method::PUT,
            "/teams/{team}/paths",
            Action::write(Subject::Teams),
            path::put,
            Operation::new(
                "put_paths",
                "teams",
                "Give a team these paths and no others: each is one team's alone",
            )
            .with([if_match()])
            .takes(JSON, schema_named("Paths"))
            .gives(200, Some(schema_named("Paths")))
            .tagged()
            .refuses([403, 404, 409, 412, 422]),
        ),
    ];
    table.extend(members());
    table.extend(tokens());
    for kind in KindDescription::ALL {
        table.extend(resources(kind));
    }
    table.extend(keys::rows());
    table.extend(at_once());
    for (of_team, base) in [(false, ""), (true, "/teams/{team}")] {
        table.extend(revisions(of_team, base));
        table.push(permitted(
            Method::GET,
            &format!("{base}/events"),
            Action::read(Subject::Audit),
            events::follow,
            Operation::new(
                scoped("follow_events", of_team),
                "audit",
                format!(
                    "What is done{}, as server-sent events, as soon as it is written; for a minute, then come again with `Last-Event-ID`",
                    in_team(of_team)
                ),
            )
            .with([
                Parameter::query(
                    "after",
                    "The sequence of the last event that you know; without it, from now on",
                    json!({ "type": "integer", "minimum": 0 }),
                ),
                Parameter::query(
                    "wait",
                    "For how many seconds more is waited for; with 0 what there is comes, and the stream ends",
                    json!({ "type": "integer", "minimum": 0, "maximum": events::WAIT_MAX, "default": events::WAIT_MAX }),
                ),
                Parameter::header(
                    "last-event-id",
                    "The same, as browsers send it",
                    json!({ "type": "string", "pattern": "^[0-9]{1,18}$" }),
                ),
            ])
            .streams()
            .refuses(if of_team { vec![403, 404] } else { vec![403] }),
        ));
        table.push(permitted(
            Method::GET,
            &format!("{base}/audit"),
            Action::read(Subject::Audit),
            audit::list,
            Operation::new(
                scoped("list_audit", of_team),
                "audit",
                format!("What was done{}, the newest first", in_team(of_team)),
            )
            .with(Parameter::paging())
            .gives(200, Some(page_schema(schema_named("AuditEvent"))))
            .refuses(if of_team { vec![403, 404] } else { vec![403] }),
        ));
    }
    table.push(permitted(
        Method::GET,
        "/audit/verify",
        Action::read(Subject::Audit),
        audit::verify,
        Operation::new(
            "verify_audit",
            "audit",
            "Whether the log is as it was written, so many events at once: `next` goes on, and is null at the end",
        )
        .with([Parameter::query(
            "after",
            "The event up to which it was verified; from its first event on without it",
            json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX }),
        )])
        .gives(200, Some(schema_named("AuditChain")))
        .refuses([403]),
    ));
    table
}

fn scoped(id: &str, of_team: bool) -> String {
    if of_team {
        format!("{id}_of_team")
    } else {
        id.to_owned()
    }
}

fn in_team(of_team: bool) -> &'static str {
    if of_team {
        " in a team"
    } else {
        " in the deployment"
    }
}

fn members() -> [Endpoint; 4] {
    let one = "/teams/{team}/members/{member}";
    let (read, write) = (
        Action::read(Subject::Members),
        Action::write(Subject::Members),
    );
    [
        permitted(
            Method::GET,
            "/teams/{team}/members",
            read,
            member::list,
            Operation::new("list_members", "members", "Who is in a team")
                .with(Parameter::paging())
                .gives(200, Some(page_schema(schema_named("Member"))))
                .refuses([403, 404]),
        ),
        permitted(
            Method::GET,
            one,
            read,
            member::show,
            Operation::new("show_member", "members", "A member")
                .gives(200, Some(schema_named("Member")))
                .tagged()
                .refuses([403, 404]),
        ),
        permitted(
            Method::PUT,
            one,
            write,
            member::put,
            Operation::new(
                "put_member",
                "members",
                "Give a member these roles and no others; whoever is none becomes one",
            )
            .with([if_match()])
            .takes(JSON, schema_named("Member"))
            .gives(200, Some(schema_named("Member")))
            .tagged()
            .refuses([403, 404, 409, 412, 422]),
        ),
        permitted(
            Method::DELETE,
            one,
            write,
            member::delete,
            Operation::new(
                "delete_member",
                "members",
                "Take all roles away; their tokens count no more",
            )
            .with([if_match()])
            .gives(204, None)
            .refuses([403, 404, 409, 412]),
        ),
    ]
}

fn tokens() -> [Endpoint; 4] {
    let one = "/teams/{team}/tokens/{token}";
    let (read, write) = (
        Action::read(Subject::Tokens),
        Action::write(Subject::Tokens),
    );
    [
        permitted(
            Method::GET,
            "/teams/{team}/tokens",
            read,
            token::list,
            Operation::new("list_tokens", "tokens", "The tokens of a team's machines")
                .with(Parameter::paging())
                .gives(200, Some(page_schema(schema_named("Token"))))
                .refuses([403, 404]),
        ),
        permitted(
            Method::POST,
            "/teams/{team}/tokens",
            write,
            token::create,
            Operation::new(
                "create_token",
                "tokens",
                "Make a token that acts as a member, within its scopes. It is shown this once",
            )
            .takes(JSON, schema_named("NewToken"))
            .gives(201, Some(schema_named("IssuedToken")))
            .refuses([403, 404, 409, 422]),
        ),
        permitted(
            Method::GET,
            one,
            read,
            token::show,
            Operation::new("show_token", "tokens", "A token, without itself")
                .gives(200, Some(schema_named("Token")))
                .refuses([403, 404]),
        ),
        permitted(
            Method::DELETE,
            one,
            write,
            token::revoke,
            Operation::new(
                "revoke_token",
                "tokens",
                "Take a token back: it counts no more from now on",
            )
            .gives(204, None)
            .refuses([403, 404]),
        ),
    ]
}

fn resources(kind: &'static KindDescription) -> [Endpoint; 6] {
    let subject = kind.subject();
    let (plural, one) = (subject.as_str(), kind.one);
    let all = format!("/teams/{{team}}/{plural}");
    let at = format!("{all}/{{key}}");
    let schema = schema_named(document::schema_name(kind));
    let id = |verb: &str| format!("{verb}_{}", kind.kind.as_str());
    let (read, write) = (Action::read(subject), Action::write(subject));
    let filters = || {
        let mut filters = vec![
            Parameter::query("q", "A part of the name", json!({ "type": "string" })),
            Parameter::query("name", "The name", json!({ "type": "string" })),
            Parameter::query(
                "origin",
                "Where it was declared",
                json!({ "type": "string", "enum": ["file", "database"] }),
            ),
            Parameter::query(
                "sort",
                "By what; `-` turns it round",
                json!({ "type": "string", "enum": resource::SORTS, "default": "name" }),
            ),
        ];
        if kind.versioned {
            filters.push(Parameter::query(
                "state",
                "The state",
                json!({ "type": "string", "enum": ["draft", "published", "deprecated", "retired"] }),
            ));
        }
        filters.extend(Parameter::paging());
        filters
    };
    let rows = [
        (
            Method::GET,
            all.as_str(),
            read,
            Handler::Permitted(resource::list),
            Operation::new(id("list"), plural, format!("All of the kind `{}`", kind.kind))
                .with(filters())
                .gives(200, Some(page_schema(schema.clone())))
                .refuses([403, 404]),
        ),
        (
            Method::POST,
            all.as_str(),
            write,
            Handler::Permitted(resource::create),
            Operation::new(id("create"), plural, format!("Declare {one}"))
                .with([
                    Parameter::dry_run(),
                    Parameter::header(
                        "idempotency-key",
                        "The same call with the same key makes nothing a second time",
                        json!({ "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$" }),
                    ),
                    Parameter::reason(),
                ])
                .takes(JSON, schema.clone())
            .up_to(RESOURCE_MAX)
                .up_to(RESOURCE_MAX)
                .gives(201, Some(schema.clone()))
                .gives(200, Some(schema.clone()))
                .tagged()
                .refuses([403, 404, 409, 422]),
        ),
        (
            Method::GET,
            at.as_str(),
            read,
            Handler::Permitted(resource::show),
            Operation::new(id("show"), plural, format!("Look at {one}"))
                .with([Parameter::header(
                    "if-none-match",
                    "An `etag` that you have: 304 where it is still so",
                    tags(),
                )])
                .gives(200, Some(schema.clone()))
                .gives(304, None)
                .tagged()
                .refuses([403, 404]),
        ),
        (
            Method::PUT,
            at.as_str(),
            write,
            Handler::Permitted(resource::replace),
            Operation::new(
                id("replace"),
                plural,
                format!("Declare {one} anew, or for the first time"),
            )
            .with([
                Parameter::dry_run(),
                if_match(),
                Parameter::header(
                    "if-none-match",
                    "`*`: only where there is none yet",
                    tags(),
                ),
                Parameter::reason(),
            ])
            .takes(JSON, schema.clone())
            .gives(200, Some(schema.clone()))
            .gives(201, Some(schema.clone()))
            .tagged()
            .refuses([403, 404, 409, 412, 422, 428]),
        ),
        (
            Method::PATCH,
            at.as_str(),
            write,
            Handler::Permitted(resource::patch),
            Operation::new(
                id("patch"),
                plural,
                format!("Change members of {one} (RFC 7396)"),
            )
            .with([
                Parameter::dry_run(),
                if_match().required(),
                Parameter::reason(),
            ])
            .takes(MERGE_PATCH, json!({ "type": "object" }))
            .up_to(RESOURCE_MAX)
            .gives(200, Some(schema))
            .tagged()
            .refuses([403, 404, 409, 412, 422, 428]),
        ),
        (
            Method::DELETE,
            at.as_str(),
            write,
            Handler::Permitted(resource::delete),
            Operation::new(id("delete"), plural, format!("Take {one} away"))
                .with([
                    Parameter::dry_run(),
                    if_match().required(),
                    Parameter::reason(),
                ])
                .gives(204, None)
                .refuses([403, 404, 409, 412, 422, 428]),
        ),
    ];
    rows.map(|(method, path, action, handler, operation)| {
        let gate = Gate::May(action);
        row((method, path), gate, Some(kind), handler, operation)
    })
}

fn if_match() -> Parameter {
    Parameter::header(
        "if-match",
        "The `etag` of what you have read, so that nobody's change is lost",
        tags(),
    )
}

/// Entity tags, or any.
fn tags() -> Value {
    json!({ "type": "string", "pattern": r#"^(\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$"# })
}

fn at_once() -> [Endpoint; 2] {
    let kinds: Vec<&str> = KindDescription::ALL
        .iter()
        .map(|kind| kind.kind.as_str())
        .collect();
    [
        known(
            Method::POST,
            "/apply",
            apply::apply,
            Operation::new(
                "apply",
                "declarative",
                "Declare many resources: all or none, in any order, as one revision",
            )
            .with([Parameter::dry_run(), Parameter::reason()])
            .takes(JSON, schema_named("Apply"))
            .up_to(APPLY_MAX)
            .gives(200, Some(schema_named("Applied")))
            .refuses([403, 404, 409, 412, 422]),
        ),
        known(
            Method::GET,
            "/export",
            apply::export,
            Operation::new(
                "export",
                "declarative",
                "All that you may read of the database, as `apply` takes it",
            )
            .with([
                Parameter::query("team", "Of this team alone", json!({ "type": "string" })),
                Parameter::query(
                    "kind",
                    "Of this kind alone",
                    json!({ "type": "string", "enum": kinds }),
                ),
            ])
            .gives(200, Some(schema_named("Exported"))),
        ),
    ]
}

fn revisions(of_team: bool, base: &str) -> [Endpoint; 4] {
    let all = format!("{base}/revisions");
    let one = format!("{all}/{{revision}}");
    let (read, write) = (
        Action::read(Subject::Revisions),
        Action::write(Subject::Revisions),
    );
    let id = |id: &str| scoped(id, of_team);
    let refusals = || if of_team { vec![403, 404] } else { vec![403] };
    let place = in_team(of_team);
    [
        permitted(
            Method::GET,
            &all,
            read,
            history::list,
            Operation::new(
                id("list_revisions"),
                "revisions",
                format!("What has changed{place}, the newest first"),
            )
            .with(Parameter::paging())
            .gives(200, Some(page_schema(schema_named("Revision"))))
            .refuses(refusals()),
        ),
        permitted(
            Method::GET,
            &one,
            read,
            history::show,
            Operation::new(
                id("show_revision"),
                "revisions",
                "A revision, and what it did",
            )
            .gives(200, Some(schema_named("RevisionWithChanges")))
            .refuses([403, 404, 422]),
        ),
        permitted(
            Method::GET,
            &format!("{one}/compare"),
            read,
            history::compare,
            Operation::new(
                id("compare_revisions"),
                "revisions",
                format!("What differs{place} between this revision and another"),
            )
            .with([Parameter::query(
                "with",
                "The other revision; the newest without it",
                json!({ "type": "integer", "minimum": 0 }),
            )])
            .gives(200, Some(schema_named("Comparison")))
            .refuses([403, 404, 422]),
        ),
        permitted(
            Method::POST,
            &format!("{one}/rollback"),
            write,
            history::rollback,
            Operation::new(
                id("roll_back"),
                "revisions",
                format!("Put back all that was changed{place} since this revision"),
            )
            .with([Parameter::dry_run(), Parameter::reason()])
            .gives(200, Some(schema_named("RolledBack")))
            .refuses([403, 404, 409, 422]),
        ),
    ]
}

/// An operation that answers pages of `schema` of a team.
fn paged(operation: Operation, schema: &str) -> Operation {
    operation
        .with(Parameter::paging())
        .gives(200, Some(page_schema(schema_named(schema))))
        .refuses([403, 404])
}

fn open(method: Method, path: &str, handler: OpenHandler, operation: Operation) -> Endpoint {
    let handler = Handler::Open(handler);
    row((method, path), Gate::Open, None, handler, operation)
}

fn known(method: Method, path: &str, handler: KnownHandler, operation: Operation) -> Endpoint {
    let handler = Handler::Known(handler);
    row((method, path), Gate::Known, None, handler, operation)
}

fn permitted(
    method: Method,
    path: &str,
    action: Action,
    handler: PermittedHandler,
    operation: Operation,
) -> Endpoint {
    let (gate, handler) = (Gate::May(action), Handler::Permitted(handler));
    row((method, path), gate, None, handler, operation)
}

fn row(
    (method, path): (Method, &str),
    gate: Gate,
    kind: Option<&'static KindDescription>,
    handler: Handler,
    operation: Operation,
) -> Endpoint {
    Endpoint {
        method,
        path: format!("{BASE}{path}"),
        gate,
        kind,
        handler,
        operation,
    }
}
