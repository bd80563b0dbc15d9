//! What routes cost: a start with 10,000 of them, the search for conflicts, a change of one, and looking one
//! up.
//!
//! `cargo bench -p keyward-gateway --bench routes`

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that can't run should stop"
)]

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use keyward_egress::{Egress, Policy};
use keyward_gateway::issuer::{Issuers, IssuersContext};
use keyward_gateway::routing::{RoutedRequest, Routing};
use keyward_model::resource::raw::{Declared, Node, Problems, read_resource};
use keyward_model::resource::{Resource, Spec, consistency};
use keyward_model::{Origin, SystemClock};
use serde_json::{Value as Json, json};
use std::hint::black_box;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// How many routes a configuration has.
const COUNTS: [usize; 3] = [1, 100, 10_000];

/// How they are spread over hosts.
#[derive(Clone, Copy)]
enum Layout {
    /// All on whatever host is called.
    OneHost,
    /// Ten on each host of their own.
    ManyHosts,
}

impl Layout {
    const ALL: [(&str, Self); 2] = [("one host", Self::OneHost), ("many hosts", Self::ManyHosts)];

    fn declared(self, count: usize) -> Vec<Declared> {
        let upstream = json!({ "kind": "upstream", "name": "u", "targets": [ { "url": "http://127.0.0.1:9" } ] });
        let apis = (0..count).map(|number| {
            let mut api = json!({
                "kind": "api", "name": format!("api-{number}"), "version": "v1", "state": "published",
                "base_path": format!("/team-{}/api-{number}", number % 97), "upstream": "u",
                "authentication": "none",
                "rate_limits": [ { "by": "address", "requests": 100, "per": "1s" } ],
                "routes": [ { "match": { "prefix": "/orders/{id}" } } ]
            });
            match self {
                Self::OneHost => {}
                Self::ManyHosts => api["hosts"] = json!([Self::host(number)]),
            }
            api
        });
        apis.chain([upstream]).map(|json| declared(&json)).collect()
    }

    fn resources(self, count: usize) -> Vec<Arc<Resource>> {
        let declared = self.declared(count).into_iter();
        declared
            .map(|declared| Arc::new(declared.resource))
            .collect()
    }

    fn host(number: usize) -> String {
        format!("host-{}.example.com", number / 10)
    }
}

fn declared(json: &Json) -> Declared {
    let mut problems = Problems::new();
    read_resource(Node::from_json(json), Origin::File, &mut problems)
        .unwrap_or_else(|| panic!("{problems:?}"))
}

fn issuers(runtime: &Runtime) -> Issuers {
    let policy = Policy {
        system_roots: false,
        ..Policy::default()
    };
    Issuers::new(IssuersContext {
        clock: Arc::new(SystemClock::new()),
        egress: Egress::new(policy).unwrap(),
        runtime: runtime.handle().clone(),
    })
}

fn compile(bench: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let issuers = issuers(&runtime);
    let mut group = bench.benchmark_group("compile");
    group.sample_size(20);
    for (layout, spread) in Layout::ALL {
        for count in COUNTS {
            let resources = spread.resources(count);
            group.bench_function(format!("a start, {layout}, {count} routes"), |bench| {
                bench.iter(|| {
                    let mut routing = Routing::new();
                    routing.compile(&resources, &issuers, None).unwrap();
                    routing
                });
            });
            let declared = spread.declared(count);
            let declared: Vec<&Declared> = declared.iter().collect();
            group.bench_function(format!("conflicts, {layout}, {count} routes"), |bench| {
                bench.iter(|| {
                    let mut problems = Problems::new();
                    consistency::check(&declared, "http://localhost:8090", &mut problems);
                    assert!(!problems.has_errors());
                });
            });
            let mut changed = resources.clone();
            let mut routing = Routing::new();
            let mut turn = 0;
            group.bench_function(format!("one change, {layout}, {count} routes"), |bench| {
                bench.iter(|| {
                    turn += 1;
                    if let Spec::Api(api) = &mut Arc::make_mut(&mut changed[count / 2]).spec {
                        api.max_body_bytes = Some(turn);
                    }
                    routing.compile(&changed, &issuers, None).unwrap();
                });
            });
        }
    }
    group.finish();
}

fn look_up(bench: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let issuers = issuers(&runtime);
    let headers = HeaderMap::new();
    let mut group = bench.benchmark_group("look up");
    for (layout, spread) in Layout::ALL {
        for count in COUNTS {
            let mut routing = Routing::new();
            routing
                .compile(&spread.resources(count), &issuers, None)
                .unwrap();
            // All of them in turn, in no order that a cache could like.
            let requests: Vec<(String, String)> = (0..count)
                .map(|step| {
                    let number = step * 7919 % count;
                    let path = format!("/team-{}/api-{number}/orders/7/lines", number % 97);
                    (Layout::host(number), path)
                })
                .collect();
            // One of them again and again, and all in turn: the latter shows what memory costs.
            for (called, step) in [("one", 0), ("all", 1)] {
                let mut next = count / 2;
                let name = format!("{called} of {count} routes, {layout}");
                group.bench_function(name, |bench| {
                    bench.iter(|| {
                        let (host, path) = &requests[next];
                        next = (next + step) % count;
                        let request = RoutedRequest {
                            host,
                            path,
                            method: &Method::GET,
                            headers: &headers,
                            query: None,
                        };
                        assert!(routing.find(black_box(&request)).is_some());
                    });
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, compile, look_up);
criterion_main!(benches);
