//! Shared connections, on a worker's own kind of runtime.

use super::{Heard, Http2Call, Line, Terms, agree, drive};
use crate::tls::provider;
use crate::tls::tests::{Authority, Files, Issued};
use crate::upstream::guard::UpstreamGuard;
use crate::upstream::plan::UpstreamPlan;
use crate::upstream::pool::{LeaseFailure, Pool, Pools};
use crate::upstream::protocols::UpstreamConnection;
use crate::upstream::state::{TargetState, UpstreamState};
use bytes::Bytes;
use http::{Method, Response};
use keyward_model::id::TeamId;
use keyward_model::resource::raw::{Node, Problems, read_resource};
use keyward_model::resource::{Resource, Spec};
use keyward_model::{Clock, Origin, SystemClock, Timestamp};
use keyward_testkit::TokioClock;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio_rustls::TlsAcceptor;

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// The pool of the first target of an upstream that is declared so, and the upstream.
fn pool(url: &str, rest: Value) -> (Rc<Pool>, Arc<UpstreamPlan>) {
    let mut json = json!({ "kind": "upstream", "name": "u", "targets": [ { "url": url } ] });
    let Value::Object(rest) = rest else {
        panic!("keys")
    };
    json.as_object_mut().unwrap().extend(rest);
    let mut problems = Problems::new();
    let read = read_resource(Node::from_json(&json), Origin::File, &mut problems);
    let mut resource: Resource = read.unwrap_or_else(|| panic!("{problems:?}")).resource;
    resource.team = TeamId::DEFAULT;
    let Spec::Upstream(declared) = &resource.spec else {
        panic!("no upstream")
    };
    let mut state = UpstreamState::default();
    let guard = Arc::new(UpstreamGuard::default());
    let plan = UpstreamPlan::new(&resource, declared, &mut state, &guard, &clock(), None);
    let plan = plan.unwrap();
    plan.take_effect();
    (Pools::default().of(&plan.targets[0]), plan)
}

async fn join(pool: &Rc<Pool>, plan: &UpstreamPlan) -> Result<UpstreamConnection, LeaseFailure> {
    let terms = Terms::from(&plan.declared);
    let bounded = plan.declared.max_connections.is_some();
    pool.join(bounded, terms, &clock()).await
}

/// So long a test may take that waits for real.
const PATIENCE: Duration = Duration::from_secs(60);

async fn on_a_worker(test: impl Future<Output = ()>) {
    let local = LocalSet::new();
    let ended = tokio::time::timeout(PATIENCE, local.run_until(test)).await;
    assert!(ended.is_ok(), "it did not end");
}

/// Takes connections at an address of this machine, agrees to HTTP/2 on each, and counts them.
async fn server(address: (Ipv4Addr, u16)) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    spawn_local(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            spawn_local(async move {
                let mut connection = h2::server::handshake(socket).await.unwrap();
                while let Some(Ok(_call)) = connection.accept().await {}
            });
        }
    });
    (address, count)
}

#[tokio::test]
async fn calls_that_come_while_a_connection_is_made_wait_for_that_one() {
    on_a_worker(async {
        let (address, count) = server((Ipv4Addr::LOCALHOST, 0)).await;
        let (pool, plan) = pool(&format!("http://{address}"), json!({ "protocol": "http2" }));
        let calls: Vec<_> = (0..50)
            .map(|_| {
                let (pool, plan) = (Rc::clone(&pool), Arc::clone(&plan));
                spawn_local(async move { join(&pool, &plan).await.unwrap() })
            })
            .collect();
        let mut all = Vec::new();
        for call in calls {
            all.push(call.await.unwrap());
        }
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert!(all.iter().all(|call| !call.is_proven()));
        // As many as a connection carries; then there is another one.
        for _ in 50..150 {
            let taken = poll_fn(|context| Poll::Ready(pool.take(context, clock().moment())));
            let call = match taken.await {
                Some(call) => call,
                None => join(&pool, &plan).await.unwrap(),
            };
            all.push(call);
        }
        assert_eq!(count.load(Ordering::Relaxed), 2);
        assert_eq!(plan.targets[0].endpoint.state.connections(), 2);
    })
    .await;
}

/// Sends each answer in frames of four bytes, as fast as the window allows, and then a large one.
async fn piecemeal(frames: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn_local(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(socket).await.unwrap();
        while let Some(Ok((_, mut answer))) = connection.accept().await {
            spawn_local(async move {
                let mut sending = answer.send_response(Response::new(()), false).unwrap();
                for _ in 0..frames {
                    sending.reserve_capacity(4);
                    while sending.capacity() < 4 {
                        poll_fn(|context| sending.poll_capacity(context)).await;
                    }
                    sending
                        .send_data(Bytes::from_static(b"tiny"), false)
                        .unwrap();
                }
                let large = Bytes::from(vec![b'x'; 10_000]);
                sending.send_data(large, true).unwrap();
            });
        }
    });
    address
}

const FRAMES: usize = 60_000;

/// Reads the whole answer once all of it has come.
async fn read_late(mut call: Http2Call, uri: String, full: Rc<tokio::sync::Barrier>) -> Vec<u8> {
    call.begin(http::Request::get(uri).body(()).unwrap());
    call.send_head(true);
    let head = poll_fn(|context| call.poll_head(context, &Method::GET, &mut drop)).await;
    assert_eq!(head.unwrap().status, 200);
    poll_fn(|context| call.poll_body(context)).await.unwrap();
    poll_fn(|context| {
        call.absorb(context);
        if call.waiting() == FRAMES * 4 + 10_000 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    full.wait().await;
    let mut body = Vec::new();
    loop {
        let count = poll_fn(|context| call.poll_body(context)).await.unwrap();
        if count == 0 {
            return body;
        }
        // Not all at once.
        call.move_body(count.min(1000), &mut body);
    }
}

#[tokio::test]
async fn small_frames_for_clients_that_read_nothing_do_not_end_the_connection() {
    const CALLS: usize = 8;
    on_a_worker(async {
        let address = piecemeal(FRAMES).await;
        let (pool, plan) = pool(&format!("http://{address}"), json!({ "protocol": "http2" }));
        let mut first = Some(join(&pool, &plan).await.unwrap());
        // All have got all that the window allows before anyone takes any of it.
        let full = Rc::new(tokio::sync::Barrier::new(CALLS));
        let calls: Vec<_> = (0..CALLS)
            .map(|_| {
                let connection = first.take().or_else(|| pool.take_at_once());
                let Some(UpstreamConnection::Http2(call)) = connection else {
                    panic!("it is shared")
                };
                let uri = format!("http://{address}/");
                spawn_local(read_late(call, uri, Rc::clone(&full)))
            })
            .collect();
        for call in calls {
            let body = call.await.unwrap();
            assert_eq!(body.len(), FRAMES * 4 + 10_000);
            assert!(body.starts_with(b"tinytiny") && body.ends_with(b"xx"));
            assert_eq!(
                body.get(FRAMES * 4 - 4..FRAMES * 4 + 1),
                Some(&b"tinyx"[..])
            );
        }
        assert_eq!(pool.open_connections(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_can_not_be_made_fails_all_who_wait_for_it() {
    on_a_worker(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let (pool, plan) = pool(&url, json!({ "protocol": "http2" }));
        let (one, two) = tokio::join!(join(&pool, &plan), join(&pool, &plan));
        for failed in [one, two] {
            assert!(
                matches!(failed, Err(LeaseFailure::Unreachable(_))),
                "{failed:?}"
            );
        }
        assert_eq!(plan.targets[0].endpoint.state.connections(), 0);
    })
    .await;
}

#[tokio::test]
async fn calls_go_to_all_addresses_of_a_name() {
    on_a_worker(async {
        // All of 127.0.0.0/8 is this machine.
        let (first, one) = server((Ipv4Addr::new(127, 0, 0, 1), 0)).await;
        let (_, two) = server((Ipv4Addr::new(127, 0, 0, 2), first.port())).await;
        let (_, three) = server((Ipv4Addr::new(127, 0, 0, 3), first.port())).await;
        let url = format!("http://many.test:{}", first.port());
        let (pool, plan) = pool(&url, json!({ "protocol": "http2" }));
        let addresses = &plan.targets[0].endpoint.state.addresses;
        let ips = (1..=3).map(|last| IpAddr::from([127, 0, 0, last]));
        addresses.replace(ips, "many.test").unwrap();
        let terms = Terms::from(&plan.declared);
        let mut calls = vec![join(&pool, &plan).await.unwrap()];
        let mut now = clock().moment();
        for wanted in 2..=3 {
            pool.spread(false, now, terms, &clock());
            // Once in a while is enough.
            pool.spread(false, now, terms, &clock());
            let state = &plan.targets[0].endpoint.state;
            while pool.open_connections() < wanted {
                yield_now().await;
            }
            assert_eq!(state.connections() as usize, wanted);
            now = now.plus(Duration::from_secs(1));
        }
        pool.spread(false, now, terms, &clock());
        for _ in 0..29 {
            let taken = poll_fn(|context| Poll::Ready(pool.take(context, now)));
            calls.push(taken.await.unwrap());
        }
        for count in [one, two, three] {
            assert_eq!(count.load(Ordering::Relaxed), 1);
        }
        // Evenly.
        assert_eq!(pool.calls_of_each(), [10, 10, 10]);
        // An address that is gone gets no more of them.
        let ips = (1..=2).map(|last| IpAddr::from([127, 0, 0, last]));
        addresses.replace(ips, "many.test").unwrap();
        for _ in 0..10 {
            let taken = poll_fn(|context| Poll::Ready(pool.take(context, now)));
            calls.push(taken.await.unwrap());
        }
        assert_eq!(pool.calls_of_each(), [15, 15]);
    })
    .await;
}

/// A server inside TLS that agrees to these protocols.
async fn protected(issued: &Issued, protocols: &[&str]) -> SocketAddr {
    let certificates = CertificateDer::pem_slice_iter(issued.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates.map(Result::unwrap).collect(), key)
        .unwrap();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn_local(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(socket).await else {
                continue;
            };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                spawn_local(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok(_call)) = connection.accept().await {}
                });
            } else {
                spawn_local(async move {
                    let _closed = stream.read_u8().await;
                });
            }
        }
    });
    address
}

#[tokio::test]
async fn what_is_spoken_is_agreed_upon_in_the_handshake() {
    let (files, authority) = (Files::new(), Authority::new());
    let issued = authority.issue(&["127.0.0.1"]);
    let roots = files.write("roots.pem", &authority.root);
    let (both, old, none) = (&["h2", "http/1.1"][..], &["http/1.1"][..], &[][..]);
    on_a_worker(async {
        for (protocols, protocol, expected) in [
            (both, "http1", Ok(false)),
            (both, "http2", Ok(true)),
            (both, "auto", Ok(true)),
            (old, "http1", Ok(false)),
            (old, "auto", Ok(false)),
            (old, "http2", Err("NoApplicationProtocol")),
            (none, "http1", Ok(false)),
            (none, "auto", Ok(false)),
            (none, "http2", Err("does not agree to HTTP/2")),
        ] {
            let address = protected(&issued, protocols).await;
            let rest = json!({ "protocol": protocol, "tls": { "roots": roots } });
            let (pool, plan) = pool(&format!("https://{address}"), rest);
            // The second one knows what the first has found out.
            for _ in 0..2 {
                let made = if pool.is_shared() {
                    join(&pool, &plan).await
                } else {
                    let (terms, clock) = (Terms::from(&plan.declared), clock());
                    let within = terms.connect_timeout;
                    pool.connect(false, within, terms, clock.as_ref()).await
                };
                let told = format!("{protocols:?} {protocol}: {made:?}");
                match expected {
                    Ok(shared) => {
                        let found = matches!(made.unwrap(), UpstreamConnection::Http2(_));
                        assert_eq!(found, shared, "{told}");
                        assert_eq!(pool.is_shared(), shared, "{told}");
                    }
                    Err(why) => assert!(made.is_err() && told.contains(why), "{told}"),
                }
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_answer_a_question_counts_as_gone() {
    let local = LocalSet::new();
    let test = local.run_until(async {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let line = Rc::new(Line::default());
        let greeting = spawn_local(async move {
            // SETTINGS, then nothing more whatever comes.
            tokio::io::AsyncWriteExt::write_all(&mut far, &[0, 0, 0, 4, 0, 0, 0, 0, 0])
                .await
                .unwrap();
            let mut heard = Vec::new();
            let _broken = far.read_to_end(&mut heard).await;
            heard
        });
        let (mut sender, connection) = agree(Heard::new(near, Rc::clone(&line))).await.unwrap();
        let state = TargetState::new();
        let held = (state.connection(), None);
        let interval = Duration::from_secs(60);
        let connection: Box<h2::client::Connection<_, Bytes>> = Box::new(connection);
        let driving = spawn_local(drive(connection, Rc::clone(&line), interval, held));
        // Nobody waits: nobody asks.
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert!(!line.is_closed());
        let time = TokioClock::starting_at(Timestamp::EPOCH);
        line.call_begins();
        let request = http::Request::get("http://a.test/").body(()).unwrap();
        let (answer, _) = sender.send_request(request, true).unwrap();
        let failed = answer.await.unwrap_err();
        assert!(failed.is_io(), "{failed}");
        let after = time.now().as_seconds();
        // A question after a minute of silence at most, and twenty seconds for the answer.
        assert!((20..=140).contains(&after), "{after}");
        driving.await.unwrap();
        assert!(line.is_closed());
        assert_eq!(state.connections(), 0);
        let heard = greeting.await.unwrap();
        let ping = heard.windows(5).any(|bytes| bytes == [0, 0, 8, 6, 0]);
        assert!(ping, "{heard:?}");
    });
    test.await;
}

#[tokio::test]
async fn only_what_speaks_http2_is_agreed_with() {
    for (said, expected) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "does not speak HTTP/2",
        ),
        (b"220 mail.test ESMTP\r\n", "does not speak HTTP/2"),
        (b"", "closed the connection"),
    ] {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let told = Rc::new(Cell::new(false));
        let (agreed, ()) = tokio::join!(agree(near), async {
            let mut preface = [0; 24];
            far.read_exact(&mut preface).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut far, said)
                .await
                .unwrap();
            told.set(true);
            drop(far);
        });
        let error = agreed.map(|_| ()).unwrap_err().to_string();
        assert!(told.get() && error.contains(expected), "{said:?}: {error}");
    }
}
