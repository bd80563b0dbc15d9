//! The management API of a node with many APIs and many keys: how long its calls take, how long the node takes to start,
//! and what all of it costs a guarded call.

use crate::load::{self, Load, Tokens};
use crate::peer::free_address;
use crate::process::{Place, Process, pin_self};
use clap::Args;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Calls of each kind, of which the median counts.
const ROUNDS: usize = 21;
/// Windows of the guarded call on each node, in turn, so that a machine that changes pace changes it for both.
const WINDOWS: usize = 6;
/// How many resources one `apply` brings.
const AT_ONCE: usize = 5_000;
/// How long a start may take before something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// What a call may take at the median, and a start, in milliseconds.
const CALL_MAX: f64 = 200.0;
const START_MAX: f64 = 5_000.0;
/// The key of the guarded call.
const KEY: &str = "a-key-that-the-benchmark-calls-with";

/// What is measured.
#[derive(Args)]
pub(crate) struct Options {
    /// The binary
    #[arg(long)]
    keyward: PathBuf,
    /// How many APIs there are
    #[arg(long, default_value_t = 10_000)]
    apis: usize,
    /// How many API keys there are
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
    /// How long the guarded call is called, in seconds
    #[arg(long, default_value_t = 5.0)]
    window: f64,
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    pin_self();
    let folder = std::env::temp_dir().join(format!("keyward-management-{}", std::process::id()));
    let measured = measure(options, &folder);
    // It is in the folder for temporary files: what is left there is in nobody's way.
    drop(std::fs::remove_dir_all(&folder));
    measured
}

fn measure(options: &Options, folder: &Path) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let upstream = free_address()?;
    let arguments = ["upstream", "--listen", &upstream.to_string()].map(str::to_owned);
    let log = folder.join("upstream.log");
    let _upstream = Process::start("upstream", Place::Load, &own, &arguments, &log)?;
    let small = Node::beginning(options, &folder.join("small"), upstream)?;
    let folder = &folder.join("large");
    let mut node = Node::beginning(options, folder, upstream)?;
    let place = node.place;

    let begun = now();
    let apis: Vec<Value> = (1..options.apis)
        .map(|number| with_kind(api(number), "api"))
        .collect();
    let keys: Vec<Value> = (1..options.keys)
        .map(|number| with_kind(key(number), "credential"))
        .collect();
    for some in apis.chunks(AT_ONCE).chain(keys.chunks(AT_ONCE)) {
        node.call("POST", "/apply", &json!({ "resources": some }))?;
    }
    println!(
        "{} APIs and {} keys, declared by `apply`, {AT_ONCE} at a time, in {:.0} s\n",
        options.apis,
        options.keys,
        begun.elapsed().as_secs_f64()
    );
    println!("| call | median | slowest of {ROUNDS} | bound | |");
    println!("|---|---:|---:|---:|---|");
    let one_api = |round: usize| {
        let mut api = with_kind(api(options.apis / 2), "api");
        if let Value::Object(members) = &mut api {
            members.insert("base_path".to_owned(), format!("/changed/{round}").into());
        }
        json!({ "resources": [api] })
    };
    let one_key =
        |round: usize| json!({ "resources": [with_kind(key(options.keys + round), "credential")] });
    let nothing = |_: usize| Value::Null;
    let named = |round: usize| format!("/teams/default/credentials/key-{}", options.keys + round);
    for (what, method, path, body) in [
        (
            "list: a page of APIs",
            "GET",
            &(|_| "/teams/default/apis?limit=100".to_owned()) as &dyn Fn(usize) -> String,
            &nothing as &dyn Fn(usize) -> Value,
        ),
        (
            "list: a page of keys",
            "GET",
            &|_| "/teams/default/credentials?limit=100".to_owned(),
            &nothing,
        ),
        (
            "list: keys, the newest first",
            "GET",
            &|_| "/teams/default/credentials?limit=100&sort=-revision".to_owned(),
            &nothing,
        ),
        (
            "search among APIs",
            "GET",
            &|round| format!("/teams/default/apis?q=pi-{round}7"),
            &nothing,
        ),
        (
            "search among keys",
            "GET",
            &|round| format!("/teams/default/credentials?q=ey-{round}7"),
            &nothing,
        ),
        (
            "apply: one API changed",
            "POST",
            &|_| "/apply".to_owned(),
            &one_api,
        ),
        (
            "apply: one key more",
            "POST",
            &|_| "/apply".to_owned(),
            &one_key,
        ),
        (
            "a key switched off",
            "PATCH",
            &named,
            &|_| json!({ "enabled": false }),
        ),
        ("a key taken away", "DELETE", &named, &nothing),
    ] {
        let mut took = Vec::with_capacity(ROUNDS);
        for round in 0..ROUNDS {
            let body = body(round);
            let begun = now();
            node.call(method, &path(round), &body)?;
            took.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        took.sort_by(f64::total_cmp);
        let at = |place: usize| took.get(place).copied().unwrap_or_default();
        row(what, at(ROUNDS / 2), at(ROUNDS - 1), CALL_MAX);
    }
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..WINDOWS {
        few.push(small.guarded(options)?);
        many.push(node.guarded(options)?);
    }
    drop(small);
    let kilobytes = node.process.peak_kilobytes()?;
    let token = node.token.clone();
    drop(node);
    let mut starts = Vec::new();
    for _ in 0..3 {
        let begun = now();
        let node = Node::start(options, folder, place)?;
        starts.push(begun.elapsed().as_secs_f64() * 1e3);
        let mut node = Node {
            token: token.clone(),
            ..node
        };
        node.call("GET", "/me", &Value::Null)?;
        drop(node);
    }
    starts.sort_by(f64::total_cmp);
    let at = |place: usize| starts.get(place).copied().unwrap_or_default();
    row("a start, until it is ready", at(1), at(2), START_MAX);
    let (few, many) = (median(&mut few), median(&mut many));
    println!(
        "\nA call guarded by an API key, {WINDOWS} windows of each node in turn: {few:.1} µs of CPU with one API and one key, {many:.1} µs with all of them: {:.2}. Memory at most: {} MB.",
        many / few,
        kilobytes / 1_000
    );
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or_default();
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(at(half.saturating_sub(1)), at(half))
    } else {
        at(half)
    }
}

fn row(what: &str, median: f64, slowest: f64, bound: f64) {
    let held = if median <= bound {
        "held"
    } else {
        "**missed**"
    };
    println!("| {what} | {median:.1} ms | {slowest:.1} ms | {bound:.0} ms | {held} |");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the machine's clock"
)]
fn now() -> Instant {
    Instant::now()
}

fn api(number: usize) -> Value {
    json!({
        "name": format!("api-{number}"), "version": "v1", "state": "published",
        "base_path": format!("/team-{}/api-{number}", number % 97), "upstream": "back",
        "authentication": { "api_key": { "header": "x-api-key" } },
        "rate_limits": [{ "by": "subject", "requests": 1_000_000, "per": "1s" }],
        "routes": [{ "match": { "prefix": "/orders/{id}" } }, { "match": { "prefix": "/" } }],
    })
}

fn key(number: usize) -> Value {
    json!({
        "name": format!("key-{number}"), "api_key": format!("a-key-that-was-made-elsewhere-{number}"),
        "scopes": ["read"],
    })
}

fn with_kind(mut resource: Value, kind: &str) -> Value {
    if let Value::Object(members) = &mut resource {
        members.insert("kind".to_owned(), kind.into());
    }
    resource
}

/// Where a node listens.
#[derive(Clone, Copy)]
struct Addresses {
    gateway: SocketAddr,
    site: SocketAddr,
    operations: SocketAddr,
}

struct Node {
    process: Process,
    folder: PathBuf,
    place: Addresses,
    token: String,
}

impl Node {
    /// With an API and a key, in a folder of its own.
    fn beginning(options: &Options, folder: &Path, upstream: SocketAddr) -> Result<Self, String> {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let place = Addresses {
            gateway: free_address()?,
            site: free_address()?,
            operations: free_address()?,
        };
        write(&folder.join("keyward.yaml"), &configuration(&place, folder))?;
        let mut node = Self::start(options, folder, place)?;
        node.claim()?;
        let url = format!("http://{upstream}");
        let back = json!({ "name": "back", "targets": [{ "url": url }] });
        node.call("POST", "/teams/default/upstreams", &back)?;
        node.call("POST", "/teams/default/apis", &api(0))?;
        let caller = json!({ "name": "caller", "api_key": KEY });
        node.call("POST", "/teams/default/credentials", &caller)?;
        Ok(node)
    }

    fn start(options: &Options, folder: &Path, place: Addresses) -> Result<Self, String> {
        let path = folder.join("keyward.yaml").display().to_string();
        let arguments = ["serve".to_owned(), "--config".to_owned(), path];
        let log = folder.join("log");
        let process = Process::start("keyward", Place::Proxy, &options.keyward, &arguments, &log)?;
        let mut node = Self {
            process,
            folder: folder.to_owned(),
            place,
            token: String::new(),
        };
        let begun = now();
        while !get(place.operations, "/readyz").is_ok_and(|page| page.contains(" 200 ")) {
            node.process
                .alive()
                .map_err(|why| format!("{why}\n{}", node.log()))?;
            if begun.elapsed() > PATIENCE {
                return Err(format!("it is not ready\n{}", node.log()));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(node)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Becomes its administrator.
    fn claim(&mut self) -> Result<(), String> {
        let path = self.folder.join("data/setup-secret");
        let secret = std::fs::read_to_string(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let made = self.call(
            "POST",
            "/setup",
            &json!({ "secret": secret.trim(), "name": "root" }),
        )?;
        let token = made.get("token").and_then(Value::as_str);
        token
            .ok_or("there is no token")?
            .clone_into(&mut self.token);
        Ok(())
    }

    /// A call of the management API, on a connection of its own, as it is answered when it is done.
    fn call(&mut self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let kind = if method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let sent = if body.is_empty() {
            String::new()
        } else {
            format!("content-type: {kind}\r\n")
        };
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nif-match: *\r\n{sent}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.place.site,
            self.token,
            body.len()
        );
        let request = if self.token.is_empty() {
            request.replace("authorization: Bearer \r\n", "")
        } else {
            request
        };
        let request = if matches!(method, "PATCH" | "DELETE" | "PUT") {
            request
        } else {
            request.replace("if-match: *\r\n", "")
        };
        let answer = exchange(self.place.site, &request)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or("the answer has no end")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        if !status.starts_with('2') {
            return Err(format!("{method} {path}: {status}: {body}"));
        }
        Ok(serde_json::from_str(body).unwrap_or_default())
    }

    /// The CPU time of a guarded call, in microseconds.
    fn guarded(&self, options: &Options) -> Result<f64, String> {
        let load = Load {
            address: self.place.gateway,
            path: "/team-0/api-0/orders",
            connections: 16,
            tokens: Tokens::None,
            headers: &format!("x-api-key: {KEY}\r\n"),
            tls: None,
            pace: None,
        };
        load::probe(&load)?;
        let window = Duration::from_secs_f64(options.window);
        let seen = load::run(&load, Duration::from_secs(1), window, &|| {
            self.process.cpu_time()
        })?;
        if seen.failures > 0 {
            return Err(seen.first_failure.unwrap_or_default());
        }
        let requests = u32::try_from(seen.requests).unwrap_or(u32::MAX);
        Ok(seen.cpu.total().as_secs_f64() * 1e6 / f64::from(requests))
    }
}

fn get(address: SocketAddr, path: &str) -> Result<String, String> {
    exchange(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n"),
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "the benchmark is a client, not the gateway"
)]
fn exchange(address: SocketAddr, request: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    String::from_utf8(answer).map_err(|error| error.to_string())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn configuration(place: &Addresses, folder: &Path) -> String {
    let Addresses {
        gateway,
        site,
        operations,
    } = place;
    format!(
        "format: 1\nlisteners:\n  - {{ address: {gateway}, serves: gateway }}\n  - {{ address: {site}, serves: site }}\n  - {{ address: {operations}, serves: operations }}\nsite_url: http://{site}\ndata_dir: {}\nworkers: 1\naccess_log: {{ destination: off }}\nnetwork: {{ upstreams_allow: [127.0.0.1] }}\n",
        folder.join("data").display()
    )
}
