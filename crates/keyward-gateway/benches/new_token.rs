//! What a call with a token that was never seen costs over a call with one that is known.
//!
//! A gateway with one worker serves real calls on loopback, windows of both kinds in turn. What counts is the
//! processor time of the worker's thread alone, as Linux tells it in nanoseconds, so that client, upstream and
//! whatever else the machine does stay out of it. Beside it stands the bare RS256 verification of the same
//! tokens.
//!
//! `cargo bench -p keyward-gateway --bench new_token`; with `-- known` or `-- new` it serves calls of one kind
//! and measures nothing, for a profiler.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a benchmark that can't run should stop, and tells its figures"
)]

use arc_swap::ArcSwap;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_egress::{Egress, Policy};
use keyward_gateway::issuer::{Issuers, IssuersContext};
use keyward_gateway::{
    Allowance, CredentialIndex, CredentialKeys, Gateway, GatewayContext, Limits, ListenerSettings,
    PublicUrl, Settings, UpstreamGuard,
};
use keyward_jose::jwe::Decrypters;
use keyward_jose::jwt::{self, Claims, Profile};
use keyward_jose::key::{Encoding, Part};
use keyward_jose::{
    Algorithm, JwkSet, Key, LocalSigner, NumericDate, SignatureAlgorithm, Verifiers,
};
use keyward_model::id::{DataKeyId, NodeId};
use keyward_model::resource::raw::{Node, Problems, read_resource};
use keyward_model::{Clock, Origin, Revision, Secret, SystemClock};
use serde_json::{Value as Json, json};
use std::fs;
use std::hint::black_box;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ISSUER: &str = "https://issuer.bench";
const AUDIENCE: &str = "bench-api";
/// Connections that ask at the same time.
const CONNECTIONS: usize = 16;
/// Calls of each kind before anything is measured.
const WARM_UP: usize = 4_000;
/// Calls of a window.
const WINDOW: usize = 4_000;
/// Windows of each kind: their tokens together are more than the worker's cache keeps, so that forgetting
/// is measured too.
const WINDOWS: usize = 12;

fn main() {
    let clock = SystemClock::new();
    let key = Key::generate(Algorithm::Signature(SignatureAlgorithm::Rs256), None)
        .unwrap()
        .with_kid(Some("bench-1".to_owned()))
        .unwrap();
    let tokens = tokens(&key, WARM_UP + WINDOW * WINDOWS, clock.now().as_seconds());

    let mut world = World::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let gateway = gateway(&key, world.upstream(), runtime.handle());
    world.connect(gateway.addresses().first().copied().unwrap());

    let (known, fresh) = tokens.split_first().unwrap();
    let mut fresh = fresh.iter().cycle();
    // The worker has its name once it has answered.
    world.call(|| known);
    let mut window = |calls: usize, new: bool| {
        let before = worker_time();
        for _ in 0..calls / CONNECTIONS {
            world.call(|| if new { fresh.next().unwrap() } else { known });
        }
        (worker_time() - before).as_secs_f64() * 1e6 / calls as f64
    };
    if let Some(new) = only() {
        window(WARM_UP + WINDOW * WINDOWS, new);
        return;
    }
    bare(&clock, &key, &tokens);
    window(WARM_UP, false);
    window(WARM_UP, true);
    let (mut of_known, mut of_new): (Vec<f64>, Vec<f64>) = (0..WINDOWS)
        .map(|_| (window(WINDOW, false), window(WINDOW, true)))
        .unzip();
    of_known.sort_by(f64::total_cmp);
    of_new.sort_by(f64::total_cmp);
    let median = |sorted: &[f64]| sorted.get(sorted.len() / 2).copied().unwrap();
    let (known, new) = (median(&of_known), median(&of_new));
    println!("a call with a token that is known    {known:6.2} µs");
    println!("a call with a token that is new      {new:6.2} µs");
    println!(
        "a new token over a known one         {:6.2} µs",
        new - known
    );
    drop(world);
    gateway.shut_down().unwrap();
}

/// Whether calls of one kind are wanted, and whether their tokens are to be new.
fn only() -> Option<bool> {
    std::env::args().find_map(|argument| match argument.as_str() {
        "known" => Some(false),
        "new" => Some(true),
        _ => None,
    })
}

/// The processor time of the gateway's worker so far.
fn worker_time() -> Duration {
    let worker = fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|task| task.unwrap().path())
        .find(|task| {
            let name = fs::read_to_string(task.join("comm"));
            name.is_ok_and(|name| name.trim() == "worker-0")
        });
    let times = fs::read_to_string(worker.unwrap().join("schedstat")).unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

/// Tokens that differ in subject and `jti`.
fn tokens(key: &Key, count: usize, now: i64) -> Vec<String> {
    let signer = LocalSigner::new(key, SignatureAlgorithm::Rs256).unwrap();
    let sign = |number: usize| {
        let claims = Claims::new()
            .with_issuer(ISSUER)
            .with_audience([AUDIENCE])
            .with_subject(format!("user-{number}"))
            .with("client_id", "bench".into())
            .unwrap()
            .with_scopes(["read"])
            .with_issued_at(NumericDate(now))
            .with_expiry(NumericDate(now + 3600))
            .with_token_id(format!("{number:016x}"));
        jwt::sign(&claims, &signer, "at+jwt").unwrap()
    };
    let half = count / 2;
    std::thread::scope(|scope| {
        let second = scope.spawn(|| (half..count).map(sign).collect::<Vec<_>>());
        let mut tokens: Vec<_> = (0..half).map(sign).collect();
        tokens.extend(second.join().unwrap());
        tokens
    })
}

/// What the signature alone costs, and what the token does, without a gateway around.
fn bare(clock: &SystemClock, key: &Key, tokens: &[String]) {
    let der = key.to_der(Part::Public, Encoding::Spki).unwrap();
    let public = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).unwrap();
    let verifiers = Verifiers::new(std::slice::from_ref(key), &[SignatureAlgorithm::Rs256]);
    let profile = Profile::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .typ("at+jwt")
        .build()
        .unwrap();
    let now = NumericDate(clock.now().as_seconds());
    let parts: Vec<_> = tokens
        .iter()
        .map(|token| token.rsplit_once('.').unwrap())
        .map(|(message, signature)| (message, URL_SAFE_NO_PAD.decode(signature).unwrap()))
        .collect();
    // The least of many short batches, in turn: whatever else the machine does only adds.
    let batch = tokens.len() / 64;
    let (mut raw, mut token) = (f64::MAX, f64::MAX);
    for (parts, tokens) in parts.chunks_exact(batch).zip(tokens.chunks_exact(batch)) {
        let timed = |work: &dyn Fn()| {
            let begun = clock.moment();
            work();
            clock.moment().since(begun).as_secs_f64() * 1e6 / batch as f64
        };
        raw = raw.min(timed(&|| {
            for (message, signature) in parts {
                public.verify_sig(message.as_bytes(), signature).unwrap();
            }
        }));
        token = token.min(timed(&|| {
            for token in tokens {
                black_box(jwt::verify(token, &verifiers, &profile, now).unwrap());
            }
        }));
    }
    println!("RS256 verified by aws-lc-rs          {raw:6.2} µs");
    println!("the token verified by keyward-jose   {token:6.2} µs");
}

/// Client and upstream in one thread, which never sleeps: waking it would be the worker's cost, and would
/// depend on how busy the machine is.
struct World {
    listener: TcpListener,
    clients: Vec<Connection>,
    upstreams: Vec<Connection>,
    answer: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let body = "x".repeat(1024);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n{body}");
        Self {
            listener,
            clients: Vec::new(),
            upstreams: Vec::new(),
            answer: answer.into_bytes(),
        }
    }

    /// Where the upstream listens.
    fn upstream(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    fn connect(&mut self, gateway: SocketAddr) {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the client of the gateway that is measured"
        )]
        let connect = || Connection::new(TcpStream::connect(gateway).unwrap());
        self.clients.extend((0..CONNECTIONS).map(|_| connect()));
    }

    /// Each client asks with the token it is given; all have their answers when this returns.
    fn call<'a>(&mut self, mut token: impl FnMut() -> &'a str) {
        for client in &mut self.clients {
            let token = token();
            let request = format!(
                "GET /echo/x HTTP/1.1\r\nhost: gateway.bench\r\nauthorization: Bearer {token}\r\n\r\n"
            );
            client.stream.write_all(request.as_bytes()).unwrap();
        }
        let mut waiting = self.clients.len();
        while waiting > 0 {
            if let Ok((stream, _)) = self.listener.accept() {
                self.upstreams.push(Connection::new(stream));
            }
            for upstream in &mut self.upstreams {
                if upstream.message(0).is_some() {
                    upstream.stream.write_all(&self.answer).unwrap();
                }
            }
            for client in &mut self.clients {
                if let Some(answer) = client.message(1024) {
                    assert!(answer.starts_with(b"HTTP/1.1 200 "));
                    waiting -= 1;
                }
            }
        }
    }
}

/// A connection, read as far as bytes are there.
struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// A message with a body of this length, once it is there.
    fn message(&mut self, body: usize) -> Option<Vec<u8>> {
        let mut piece = [0; 8192];
        match self.stream.read(&mut piece) {
            Ok(0) => self.read.clear(),
            Ok(read) => self.read.extend_from_slice(piece.get(..read).unwrap()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return None;
            }
        }
        let head = self
            .read
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")?;
        (self.read.len() >= head + 4 + body).then(|| std::mem::take(&mut self.read))
    }
}

/// A gateway with one worker and one API as the comparison with peers has it: a scope, a rate limit by
/// subject, the usual identity headers.
fn gateway(key: &Key, upstream: SocketAddr, runtime: &tokio::runtime::Handle) -> Gateway {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let issuers = Issuers::new(IssuersContext {
        clock: Arc::clone(&clock),
        egress: Egress::new(Policy {
            system_roots: false,
            ..Policy::default()
        })
        .unwrap(),
        runtime: runtime.clone(),
    });
    let settings = Settings {
        node: NodeId::from_u128(1),
        listeners: vec![ListenerSettings::from(SocketAddr::from((
            [127, 0, 0, 1],
            0,
        )))],
        workers: 1,
        limits: Limits::default(),
        trusted_proxies: Vec::new(),
        public_url: PublicUrl::parse("http://localhost").unwrap(),
        failed_attempts: Allowance {
            attempts: NonZeroUsize::MIN,
            per: Duration::from_secs(1),
        },
        tracing: None,
        captures: None,
        upstream_guard: UpstreamGuard::default(),
        machine: Arc::default(),
    };
    let context = GatewayContext {
        limits: Arc::default(),
        shared_limits: None,
        clock,
        issuers: Arc::new(issuers),
        revocations: Arc::default(),
        decrypters: Arc::new(ArcSwap::from_pointee(Decrypters::new(&[], &[], &[]))),
        published: Arc::default(),
        challenges: Arc::default(),
        credentials: Arc::new(CredentialIndex::new(CredentialKeys::new(
            (DataKeyId::from_u128(1), Secret::new([1; 32])),
            [],
        ))),
        nonce_key: Secret::new([2; 32]),
        runtime: runtime.clone(),
    };
    let (gateway, usage) = Gateway::bind(settings, Vec::new(), context).unwrap();
    std::thread::spawn(move || usage.iter().for_each(drop));
    let keys = JwkSet::from_keys([key.clone()]).unwrap();
    let keys: Json = serde_json::from_str(keys.to_json(Part::Public).unwrap().as_ref()).unwrap();
    let resources = [
        json!({
            "kind": "issuer", "name": "bench", "issuer": ISSUER,
            "jwks": keys, "algorithms": ["RS256"]
        }),
        json!({
            "kind": "upstream", "name": "bench",
            "targets": [ { "url": format!("http://{upstream}") } ]
        }),
        json!({
            "kind": "api", "name": "bench", "version": "v1", "state": "published",
            "base_path": "/echo", "upstream": "bench",
            "authentication": { "issuers": ["bench"], "audience": AUDIENCE },
            "authorization": { "scopes": ["read"] },
            "rate_limits": [ { "by": "subject", "requests": 1_000_000, "per": "1s" } ]
        }),
    ]
    .map(|json| {
        let mut problems = Problems::new();
        let read = read_resource(Node::from_json(&json), Origin::File, &mut problems);
        Arc::new(read.unwrap_or_else(|| panic!("{problems:?}")).resource)
    });
    gateway.apply(Revision(1), &resources, None).unwrap();
    gateway.serve().unwrap();
    gateway
}
