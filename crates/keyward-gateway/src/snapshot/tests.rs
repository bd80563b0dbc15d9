use super::*;
use crate::issuer::IssuersContext;
use http::Method;
use keyward_egress::{Egress, Policy};
use keyward_model::resource::raw::{Node, Problems, read_resource};
use keyward_model::{Clock, Origin, SystemClock};
use route_table::HostTable;
use serde_json::{Value as Json, json};
use std::sync::Weak;
use tokio::runtime::Handle;

/// What compiles snapshots, one after the other.
struct Compiler {
    issuers: Issuers,
    continuity: Continuity,
}

impl Compiler {
    fn new() -> Self {
        let policy = Policy {
            system_roots: false,
            ..Policy::default()
        };
        Self {
            issuers: Issuers::new(IssuersContext {
                clock: Arc::new(SystemClock::new()),
                egress: Egress::new(policy).unwrap(),
                runtime: Handle::current(),
            }),
            continuity: Continuity::default(),
        }
    }

    fn compile(&mut self, resources: &[Json]) -> Result<Snapshot, CompileError> {
        let resources: Vec<Arc<Resource>> = resources.iter().map(resource).map(Arc::new).collect();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Snapshot::compile(
            Revision::default(),
            &resources,
            &self.issuers,
            None,
            &mut self.continuity,
            1,
            &clock,
        )
    }

    /// The tables of the last snapshot by their hosts.
    fn tables(&self) -> Vec<(String, Weak<HostTable>)> {
        let hosts = self.continuity.tables();
        hosts
            .map(|(host, table)| {
                let host = host.map_or_else(|| "*".to_owned(), ToString::to_string);
                (host, Arc::downgrade(table))
            })
            .collect()
    }
}

fn resource(json: &Json) -> Resource {
    let mut problems = Problems::new();
    let read = read_resource(Node::from_json(json), Origin::File, &mut problems);
    read.unwrap_or_else(|| panic!("{problems:?}")).resource
}

fn upstream(name: &str) -> Json {
    json!({ "kind": "upstream", "name": name, "targets": [ { "url": format!("http://{name}") } ] })
}

fn api(name: &str, changes: &Json) -> Json {
    let mut api = json!({
        "kind": "api", "name": name, "version": "v1", "state": "published", "base_path": "/",
        "upstream": "echo", "authentication": "none"
    });
    let members = api.as_object_mut().unwrap();
    members.extend(changes.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    api
}

/// A request with the method, host and path, and headers, in one line each: `GET a.example /x?y`.
fn ask<'s>(snapshot: &'s Snapshot, line: &str, headers: &[(&str, &'static str)]) -> Lookup<'s> {
    let mut words = line.split(' ');
    let method: Method = words.next().unwrap().parse().unwrap();
    let host = words.next();
    let target = words.next().unwrap();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    // Headers and query live as long as the question.
    let query: Option<&'static str> = query.map(|query| &*query.to_owned().leak());
    let header = |name: &str| {
        let values = headers.iter().filter(|(known, _)| *known == name);
        Occurrence::of(values.map(|(_, value)| value.as_bytes()))
    };
    let view = RequestView {
        host,
        path,
        method: &method,
        header: &header,
        query,
    };
    snapshot.table.find(&view, || 0)
}

/// What a request leads to, as one text.
fn answer(snapshot: &Snapshot, line: &str, headers: &[(&str, &'static str)]) -> String {
    match ask(snapshot, line, headers) {
        Lookup::Found(found) => {
            let labels = &found.route.labels;
            format!("{} {}", labels.api, labels.route)
        }
        Lookup::OtherMethods(allow) => format!("405 {}", allow.to_str().unwrap()),
        Lookup::Nothing => "404".to_owned(),
    }
}

#[tokio::test]
async fn an_exact_host_comes_before_a_longer_and_a_shorter_wildcard_and_before_none() {
    let named = |name: &str, hosts: &[&str], path: &str| {
        api(name, &json!({ "hosts": hosts, "base_path": path }))
    };
    let snapshot = Compiler::new()
        .compile(&[
            upstream("echo"),
            named("exact", &["api.eu.example.com", "second.example"], "/"),
            named("eu", &["*.eu.example.com"], "/"),
            named("example", &["*.example.com"], "/"),
            named("part", &["part.example.com"], "/part"),
            api("any", &json!({ "base_path": "/any" })),
            api("rest", &json!({})),
        ])
        .unwrap();
    for (line, expected) in [
        ("GET api.eu.example.com /", "exact /"),
        ("GET API.EU.Example.Com.:8443 /", "exact /"),
        ("GET second.example:80 /", "exact /"),
        ("GET www.eu.example.com /", "eu /"),
        ("GET a.b.eu.example.com /", "eu /"),
        ("GET a.b.c.d.e.f.eu.example.com /", "eu /"),
        ("GET eu.example.com /", "example /"),
        ("GET example.com /", "rest /"),
        ("GET notexample.com /", "rest /"),
        ("GET other.example /any/x", "any /any"),
        // What the host's own APIs have not is looked for behind them.
        ("GET part.example.com /part/x", "part /part"),
        ("GET part.example.com /any", "example /"),
        ("GET second.example /any", "exact /"),
        ("GET  /any", "any /any"),
    ] {
        assert_eq!(answer(&snapshot, line, &[]), expected, "{line}");
    }
}

#[tokio::test]
async fn conditions_tell_routes_of_one_path_apart() {
    let snapshot = Compiler::new()
        .compile(&[
            upstream("echo"),
            api("a", &json!({ "routes": [
                { "name": "all", "match": { "path": "/x" } },
                { "name": "get", "match": { "path": "/x", "methods": ["GET"] } },
                { "name": "get-v2", "match": { "path": "/x", "methods": ["GET"], "headers": { "api-version": "2" } } },
                { "name": "v2", "match": { "path": "/x", "headers": { "api-version": "2" } } },
                { "name": "full", "match": { "path": "/x", "query": { "full": { "present": true } } } },
                { "name": "y-post", "match": { "path": "/y", "methods": ["POST", "PURGE"] } },
                { "name": "y-put", "match": { "path": "/{any}", "methods": ["PUT"] } },
                { "name": "old", "match": { "path": "/z", "headers": { "x-new": { "present": false } } } }
            ] })),
        ])
        .unwrap();
    let v2 = ("api-version", "2");
    for (line, headers, expected) in [
        ("POST h /x", &[][..], "a all"),
        ("GET h /x", &[], "a get"),
        ("HEAD h /x", &[], "a get"),
        ("GET h /x", &[v2], "a get-v2"),
        ("POST h /x", &[v2], "a v2"),
        // Twice is not once: neither reading counts.
        ("POST h /x", &[v2, v2], "a all"),
        ("POST h /x", &[("api-version", "22")], "a all"),
        ("POST h /x?full", &[], "a full"),
        ("POST h /x?a=b&f%75ll=1", &[], "a full"),
        ("POST h /x?full", &[v2], "a v2"),
        ("POST h /y", &[], "a y-post"),
        ("PURGE h /y", &[], "a y-post"),
        ("PUT h /y", &[], "a y-put"),
        ("GET h /y", &[], "405 POST, PURGE, PUT"),
        ("PURGE2 h /y/", &[], "405 POST, PURGE, PUT"),
        ("GET h /other", &[], "405 PUT"),
        ("GET h /z", &[], "a old"),
        ("GET h /z", &[("x-new", "1")], "405 PUT"),
        ("GET h /y/z", &[], "404"),
        ("GET h /", &[], "404"),
    ] {
        assert_eq!(
            answer(&snapshot, line, headers),
            expected,
            "{line} {headers:?}"
        );
    }
}

#[tokio::test]
async fn the_variants_of_a_split_differ_in_their_targets_and_count_as_one_route() {
    let mut compiler = Compiler::new();
    let snapshot = compiler
        .compile(&[
            upstream("echo"),
            upstream("canary"),
            api(
                "a",
                &json!({ "hosts": ["a.example", "b.example"], "upstream": null, "routes": [
                { "split": [
                    { "upstream": "echo", "weight": 1 },
                    { "upstream": "canary", "when": { "headers": { "x-canary": "always" } } }
                ] },
                { "match": { "path": "/hello" }, "respond": { "body": "hello" } }
            ] }),
            ),
        ])
        .unwrap();
    let target = |headers: &[(&str, &'static str)]| {
        let Lookup::Found(found) = ask(&snapshot, "GET b.example /x", headers) else {
            panic!("nothing found")
        };
        (
            found.place,
            found.route.upstream.as_ref().unwrap().targets[0]
                .target
                .host
                .to_string(),
        )
    };
    let canary = [("x-canary", "always")];
    assert_eq!(target(&[]).1, "echo");
    assert_eq!(target(&canary).1, "canary");
    assert_ne!(target(&[]).0, target(&canary).0);
    assert_eq!(snapshot.table.places(), 6);
    let labels: Vec<_> = snapshot
        .routes()
        .map(|route| &*route.labels.route)
        .collect();
    assert_eq!(labels, ["/*", "/hello"]);
}

#[tokio::test]
async fn a_routes_scopes_are_asked_for_besides_those_of_its_api() {
    let issuer = json!({
        "kind": "issuer", "name": "i", "issuer": "https://i", "algorithms": ["HS256"],
        "secret": "0123456789abcdef0123456789abcdef"
    });
    let snapshot = Compiler::new()
        .compile(&[
            issuer,
            upstream("echo"),
            api("a", &json!({
                "authentication": { "issuers": ["i"], "audience": "a" },
                "authorization": { "scopes": ["read"] },
                "routes": [{ "match": { "path": "/x" }, "authorization": { "scopes": ["write"] } }, {}]
            })),
        ])
        .unwrap();
    let scopes = |line: &str| match ask(&snapshot, line, &[]) {
        Lookup::Found(found) => found.route.scope_list.to_string(),
        Lookup::OtherMethods(_) | Lookup::Nothing => panic!("nothing found"),
    };
    assert_eq!(scopes("GET h /x"), "read write");
    assert_eq!(scopes("GET h /x/"), "read write");
    assert_eq!(scopes("GET h /x;y"), "read write");
    assert_eq!(scopes("GET h /y"), "read");
}

/// Which tables are the same in both.
fn shared(
    before: &[(String, Weak<HostTable>)],
    after: &[(String, Weak<HostTable>)],
) -> Vec<String> {
    let same = before.iter().filter(|(host, table)| {
        let is_it = |other: &&(String, Weak<HostTable>)| other.0 == *host;
        after
            .iter()
            .find(is_it)
            .is_some_and(|(_, other)| Weak::ptr_eq(table, other))
    });
    same.map(|(host, _)| host.clone()).collect()
}

#[tokio::test]
async fn a_change_leaves_the_tables_of_other_hosts_as_they_are() {
    let mut compiler = Compiler::new();
    let resources = |changed: &Json| {
        let on = |number: usize| json!({ "hosts": [format!("h{number}.example")] });
        let mut resources = vec![upstream("echo"), upstream("other")];
        resources.extend((0..99).map(|number| api(&format!("api-{number}"), &on(number))));
        resources.push(api("api-99", changed));
        resources
    };
    let last = json!({ "hosts": ["h98.example", "h99.example"], "base_path": "/99" });
    let _first = compiler.compile(&resources(&last)).unwrap();
    let first = compiler.tables();
    assert_eq!(first.len(), 100);

    let _same = compiler.compile(&resources(&last)).unwrap();
    assert_eq!(shared(&first, &compiler.tables()).len(), 100);

    let mut changed = last.clone();
    changed["max_body"] = json!("1MB");
    let _second = compiler.compile(&resources(&changed)).unwrap();
    let second = compiler.tables();
    let kept = shared(&first, &second);
    assert_eq!(kept.len(), 98);
    assert!(!kept.contains(&"h98.example".to_owned()) && !kept.contains(&"h99.example".to_owned()));

    // An upstream that changes compiles the APIs anew that go there.
    changed["upstream"] = json!("other");
    let _third = compiler.compile(&resources(&changed)).unwrap();
    let third = compiler.tables();
    let mut resources = resources(&changed);
    resources[1]["connect_timeout"] = json!("1s");
    let _fourth = compiler.compile(&resources).unwrap();
    assert_eq!(shared(&third, &compiler.tables()).len(), 98);
}

#[tokio::test]
async fn a_configuration_that_can_not_be_served_leaves_the_tables_as_they_were() {
    let mut compiler = Compiler::new();
    let good = [
        upstream("echo"),
        api("a", &json!({})),
        api("b", &json!({ "base_path": "/b" })),
    ];
    let _first = compiler.compile(&good).unwrap();
    let before = compiler.tables();
    let rivals = [upstream("echo"), api("a", &json!({})), api("b", &json!({}))];
    let error = compiler.compile(&rivals).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a call could be for the route `a/v1 /` and for `b/v1 /`, and no rule tells which"
    );
    let dangling = [api("a", &json!({}))];
    assert!(matches!(
        compiler.compile(&dangling),
        Err(CompileError::Dangling { .. })
    ));
    assert_eq!(shared(&before, &compiler.tables()), ["*"]);
    let _again = compiler.compile(&good).unwrap();
    assert_eq!(shared(&before, &compiler.tables()), ["*"]);
}

#[tokio::test]
async fn a_draft_is_not_served() {
    let draft = api("a", &json!({ "state": "draft" }));
    let snapshot = Compiler::new().compile(&[upstream("echo"), draft]).unwrap();
    assert_eq!(answer(&snapshot, "GET h /", &[]), "404");
}

#[tokio::test]
async fn what_is_known_of_a_target_outlives_its_upstreams_changes_but_not_its_end() {
    let mut compiler = Compiler::new();
    let on = |name: &str, timeout: &str| {
        let mut upstream = upstream(name);
        upstream["connect_timeout"] = json!(timeout);
        let api = api("a", &json!({ "upstream": name }));
        [upstream, api]
    };
    let state = |snapshot: &Snapshot| {
        let route = snapshot.routes().next().unwrap();
        let plan = route.upstream.as_ref().unwrap();
        (
            Arc::downgrade(plan),
            Arc::downgrade(&plan.targets[0].endpoint.state),
        )
    };
    let (plan, first) = state(&compiler.compile(&on("one", "1s")).unwrap());
    let (same, _) = state(&compiler.compile(&on("one", "1s")).unwrap());
    assert!(Weak::ptr_eq(&plan, &same));
    let (other, second) = state(&compiler.compile(&on("one", "2s")).unwrap());
    assert!(!Weak::ptr_eq(&plan, &other));
    assert!(Weak::ptr_eq(&first, &second));
    // Refused: what is served stays.
    let dangling = [api("a", &json!({ "upstream": "nowhere" }))];
    assert!(compiler.compile(&dangling).is_err());
    compiler.continuity.forget_unused();
    assert!(first.upgrade().is_some());
    let _third = compiler.compile(&on("two", "1s")).unwrap();
    compiler.continuity.forget_unused();
    assert!(first.upgrade().is_none());
}
