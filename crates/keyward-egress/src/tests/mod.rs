//! Fetches from servers on loopback, which the policy of most tests allows.

mod tls;

use crate::{Egress, Error, Limits, Policy, Refusal, Request, Resolve, Resolving};
use http::header::{AUTHORIZATION, ETAG, HOST};
use http::{HeaderName, HeaderValue};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

const LIMITS: Limits = Limits {
    max_bytes: 1000,
    total: Duration::from_secs(10),
    connect: Duration::from_secs(2),
    max_redirects: 2,
};

/// Names with chosen addresses.
#[derive(Default)]
struct Names(HashMap<&'static str, Vec<IpAddr>>);

impl Names {
    fn one(name: &'static str, addresses: &[&str]) -> Arc<Self> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self(HashMap::from([(name, addresses)])))
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        let found = self.0.get(host).cloned().unwrap_or_default();
        Box::pin(async move { Ok(found) })
    }
}

/// What a server does with a connection once the request's head is read.
#[derive(Clone)]
enum Script {
    /// Writes this and closes.
    Say(Vec<u8>),
    /// Writes the first, then the second over and over with a pause before each.
    Drip(&'static [u8], &'static [u8], Duration),
    /// Never answers.
    Silence,
}

fn say(text: impl AsRef<[u8]>) -> Script {
    Script::Say(text.as_ref().to_vec())
}

fn ok(body: &str) -> Script {
    say(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

fn redirect(status: u16, location: &str) -> Script {
    say(format!(
        "HTTP/1.1 {status} X\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
    ))
}

/// A server on loopback that answers the n-th request with the n-th script (the last one again and
/// again) and keeps the heads it was sent.
struct Server {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(scripts: Vec<Script>) -> Self {
        Self::start_at("127.0.0.1:0", scripts, None).await
    }

    async fn start_at(
        address: &str,
        scripts: Vec<Script>,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        tokio::spawn(async move {
            let mut count = 0;
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let script = scripts.get(count).or(scripts.last()).unwrap().clone();
                count += 1;
                let (kept, tls) = (Arc::clone(&kept), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, script, kept).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, script, kept).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, heads }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: Script,
    heads: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    heads.lock().unwrap().push(String::from_utf8(head).unwrap());
    match script {
        Script::Say(text) => {
            let _ = stream.write_all(&text).await;
            let _ = stream.shutdown().await;
        }
        Script::Drip(first, again, pause) => {
            let mut alive = stream.write_all(first).await.is_ok();
            while alive {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                alive = stream.write_all(again).await.is_ok();
            }
        }
        Script::Silence => {
            let _ = stream.read_u8().await;
        }
    }
}

fn policy(allow: &[&str]) -> Policy {
    Policy {
        allow: allow.iter().map(|rule| rule.parse().unwrap()).collect(),
        system_roots: false,
        ..Policy::default()
    }
}

fn egress(allow: &[&str]) -> Egress {
    Egress::new(policy(allow)).unwrap()
}

async fn get(egress: &Egress, url: &str) -> Result<String, Error> {
    let response = egress.fetch(Request::get(url)?, LIMITS).await?;
    Ok(format!(
        "{} {}",
        response.status,
        String::from_utf8(response.body.to_vec()).unwrap()
    ))
}

async fn check_answer(script: Script, expected: Result<&str, &str>) {
    let server = Server::start(vec![script]).await;
    let result = get(&egress(&["127.0.0.1"]), &server.url("/")).await;
    match (&result, expected) {
        (Ok(answer), Ok(expected)) => assert_eq!(answer, expected),
        (Err(error), Err(expected)) => assert_eq!(error.code(), expected, "{error}"),
        (_, expected) => panic!("{result:?} instead of {expected:?}"),
    }
}

#[tokio::test]
async fn an_allowed_address_is_fetched_with_our_headers_alone() {
    let server = Server::start(vec![ok("hello")]).await;
    assert_eq!(
        get(&egress(&["127.0.0.0/8"]), &server.url("/keys?a=b")).await,
        Ok("200 hello".to_owned())
    );
    let head = server.heads().remove(0);
    assert!(head.starts_with("GET /keys?a=b HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains(&format!("host: {}\r\n", server.address)),
        "{head}"
    );
    assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
    assert!(!head.contains("cookie"), "{head}");
}

#[tokio::test]
async fn an_address_of_the_inside_is_refused_and_not_dialled() {
    let server = Server::start(vec![ok("secret")]).await;
    let port = server.address.port();
    for (allow, url) in [
        (&[] as &[&str], format!("http://127.0.0.1:{port}/")),
        (&[], format!("https://127.0.0.1:{port}/")),
        (&[], format!("http://[::ffff:127.0.0.1]:{port}/")),
        (&[], format!("http://[::1]:{port}/")),
        (&["127.0.0.1:1"], format!("http://127.0.0.1:{port}/")),
        (&["10.0.0.0/8"], format!("http://127.0.0.1:{port}/")),
        (&[], "http://169.254.169.254/latest/meta-data/".to_owned()),
    ] {
        let error = get(&egress(allow), &url).await.unwrap_err();
        assert_eq!(error.code(), "address_refused", "{url}");
    }
    assert_eq!(server.heads().len(), 0);
}

#[tokio::test]
async fn what_a_name_resolves_to_is_judged() {
    let server = Server::start(vec![ok("secret")]).await;
    let names = Names::one("rebind.example", &["127.0.0.1"]);
    let egress = Egress::with_resolver(policy(&[]), names).unwrap();
    let url = format!("http://rebind.example:{}/", server.address.port());
    let error = get(&egress, &url).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Refused {
                refusal: Refusal::Loopback,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(server.heads().len(), 0);
}

#[tokio::test]
async fn of_a_good_and_a_bad_address_only_the_good_one_is_dialled() {
    let good = Server::start_at("127.0.0.2:0", vec![ok("good")], None).await;
    let port = good.address.port();
    let bad = Server::start_at(&format!("127.0.0.1:{port}"), vec![ok("bad")], None).await;
    for order in [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]] {
        let names = Names::one("mixed.example", &order);
        let egress = Egress::with_resolver(policy(&["127.0.0.2"]), names).unwrap();
        let url = format!("http://mixed.example:{port}/");
        assert_eq!(get(&egress, &url).await, Ok("200 good".to_owned()));
    }
    assert_eq!((good.heads().len(), bad.heads().len()), (2, 0));
}

#[tokio::test]
async fn a_dead_address_gives_way_to_the_next() {
    let good = Server::start_at("127.0.0.2:0", vec![ok("good")], None).await;
    let names = Names::one("half.example", &["127.0.0.3", "127.0.0.2"]);
    let egress = Egress::with_resolver(policy(&["127.0.0.0/8"]), names).unwrap();
    let url = format!("http://half.example:{}/", good.address.port());
    assert_eq!(get(&egress, &url).await, Ok("200 good".to_owned()));
}

#[tokio::test]
async fn failures_of_the_network_have_codes() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let names = Names::one("empty.example", &[]);
    let egress = Egress::with_resolver(policy(&["127.0.0.1"]), names).unwrap();
    for (url, code) in [
        (format!("http://{closed}/"), "connect"),
        ("https://empty.example/".to_owned(), "resolve"),
        ("ftp://a.example/".to_owned(), "url"),
    ] {
        assert_eq!(get(&egress, &url).await.unwrap_err().code(), code, "{url}");
    }
}

#[tokio::test]
async fn an_own_listener_is_refused_although_its_network_is_allowed() {
    let server = Server::start(vec![ok("console")]).await;
    let policy = Policy {
        own_listeners: vec![server.address],
        ..policy(&["127.0.0.0/8"])
    };
    let error = get(&Egress::new(policy).unwrap(), &server.url("/"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Refused {
                refusal: Refusal::OwnListener,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn plain_http_to_the_public_network_is_refused() {
    let names = Names::one("public.example", &["8.8.8.8"]);
    let egress = Egress::with_resolver(policy(&["127.0.0.1"]), names).unwrap();
    let error = get(&egress, "http://public.example/").await.unwrap_err();
    assert_eq!(error.code(), "unprotected");
}

#[tokio::test]
async fn redirects_are_followed_within_the_bound() {
    for (count, expected) in [(1, Ok("200 end".to_owned())), (2, Ok("200 end".to_owned()))] {
        let mut scripts = vec![redirect(302, "/next"); count];
        scripts.push(ok("end"));
        let server = Server::start(scripts).await;
        assert_eq!(
            get(&egress(&["127.0.0.1"]), &server.url("/")).await,
            expected
        );
    }
    let server = Server::start(vec![redirect(301, "/again")]).await;
    let error = get(&egress(&["127.0.0.1"]), &server.url("/"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "too_many_redirects");
    assert_eq!(server.heads().len(), 3);
}

#[tokio::test]
async fn a_redirect_to_a_refused_address_is_refused() {
    let inside = Server::start_at("127.0.0.2:0", vec![ok("secret")], None).await;
    for (location, code) in [
        (inside.url("/"), "address_refused"),
        ("//169.254.169.254/latest".to_owned(), "address_refused"),
        ("http://8.8.8.8/".to_owned(), "unprotected"),
        ("http://0x7f000001/".to_owned(), "redirect"),
        ("http://user@127.0.0.1/".to_owned(), "redirect"),
        ("file:///etc/passwd".to_owned(), "redirect"),
        ("gopher://127.0.0.1:6379/_x".to_owned(), "redirect"),
    ] {
        let server = Server::start(vec![redirect(307, &location)]).await;
        let error = get(&egress(&["127.0.0.1"]), &server.url("/"))
            .await
            .unwrap_err();
        assert_eq!(error.code(), code, "{location}: {error}");
    }
    assert_eq!(inside.heads().len(), 0);
}

#[tokio::test]
async fn credentials_stay_with_their_origin() {
    let other = Server::start(vec![ok("other")]).await;
    let first = Server::start(vec![redirect(302, "/same"), redirect(302, &other.url("/"))]).await;
    let secret = HeaderValue::from_static("Bearer secret");
    let request = Request::get(&first.url("/"))
        .unwrap()
        .accept("application/json")
        .header(AUTHORIZATION, secret)
        .unwrap();
    let response = egress(&["127.0.0.1"]).fetch(request, LIMITS).await.unwrap();
    assert_eq!(response.url.to_string(), other.url("/"));
    assert!(
        first
            .heads()
            .iter()
            .all(|head| head.contains("Bearer secret"))
    );
    assert!(!other.heads()[0].contains("authorization"));
    assert!(other.heads()[0].contains("accept: application/json"));
}

#[test]
fn headers_of_framing_and_routing_can_not_be_set() {
    for name in [HOST, HeaderName::from_static("transfer-encoding")] {
        let request = Request::get("https://a.example/").unwrap();
        let result = request.header(name, HeaderValue::from_static("x"));
        assert!(matches!(result, Err(Error::Header(_))));
    }
}

#[tokio::test]
async fn a_not_modified_is_an_answer() {
    let server = Server::start(vec![say(
        "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n",
    )])
    .await;
    let request = Request::get(&server.url("/"))
        .unwrap()
        .if_none_match(HeaderValue::from_static("\"a\""));
    let response = egress(&["127.0.0.1"]).fetch(request, LIMITS).await.unwrap();
    assert_eq!(
        (
            response.status,
            response.headers.get(ETAG).unwrap().to_str().unwrap()
        ),
        (304, "\"a\"")
    );
    assert!(server.heads()[0].contains("if-none-match: \"a\"\r\n"));
}

#[tokio::test]
async fn bodies_are_bounded_whatever_they_announce() {
    let exact = "x".repeat(LIMITS.max_bytes);
    let over = "x".repeat(LIMITS.max_bytes + 1);
    check_answer(ok(&exact), Ok(&format!("200 {exact}"))).await;
    check_answer(ok(&over), Err("too_large")).await;
    check_answer(
        say(format!("HTTP/1.1 200 OK\r\n\r\n{over}")),
        Err("too_large"),
    )
    .await;
    check_answer(
        say("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"),
        Err("too_large"),
    )
    .await;
    check_answer(
        say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort"),
        Err("protocol"),
    )
    .await;
    check_answer(
        Script::Drip(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            b"10\r\n0123456789abcdef\r\n",
            Duration::ZERO,
        ),
        Err("too_large"),
    )
    .await;
}

#[tokio::test]
async fn answers_that_are_not_plain_http_are_refused() {
    let headers: String = (0..=100).map(|n| format!("x-{n}: y\r\n")).collect();
    for (script, code) in [
        (say("SSH-2.0-OpenSSH_9.7\r\n"), "protocol"),
        (
            say("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
            "protocol",
        ),
        (
            say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
            "protocol",
        ),
        (
            say("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n\r\n"),
            "content_encoding",
        ),
        (
            say("HTTP/1.1 200 OK\r\ncontent-encoding: identity, br\r\ncontent-length: 0\r\n\r\n"),
            "content_encoding",
        ),
        (
            say("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n"),
            "redirect",
        ),
        (
            say(format!(
                "HTTP/1.1 200 OK\r\n{headers}content-length: 0\r\n\r\n"
            )),
            "protocol",
        ),
        (
            say(format!(
                "HTTP/1.1 200 OK\r\nx: {}\r\n\r\n",
                "x".repeat(64 * 1024)
            )),
            "protocol",
        ),
        (
            Script::Drip(
                b"HTTP/1.1 200 OK\r\n",
                b"x: 0123456789abcdef0123456789abcdef\r\n",
                Duration::ZERO,
            ),
            "protocol",
        ),
        (say(""), "protocol"),
    ] {
        check_answer(script, Err(code)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn time_is_bounded_however_slowly_bytes_come() {
    for script in [
        Script::Silence,
        Script::Drip(b"", b"H", Duration::from_secs(3)),
        Script::Drip(b"HTTP/1.1 200 OK\r\nx: ", b"y", Duration::from_secs(1)),
        Script::Drip(
            b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n",
            b"y",
            Duration::from_secs(1),
        ),
        Script::Drip(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            b"1\r\nx\r\n",
            Duration::from_secs(1),
        ),
        Script::Drip(
            b"",
            b"HTTP/1.1 103 Early Hints\r\n\r\n",
            Duration::from_secs(1),
        ),
    ] {
        check_answer(script, Err("timed_out")).await;
    }
}

#[tokio::test]
async fn a_post_carries_its_body_and_follows_no_redirect() {
    let server = Server::start(vec![ok("done"), redirect(307, "/elsewhere")]).await;
    let egress = Egress::new(policy(&["127.0.0.1"])).unwrap();
    let request = || {
        Request::get(&server.url("/order"))
            .unwrap()
            .post("application/jose+json", "{}".into())
    };
    let response = egress.fetch(request(), LIMITS).await.unwrap();
    assert_eq!((response.status, &*response.body), (200, &b"done"[..]));
    let response = egress.fetch(request(), LIMITS).await.unwrap();
    assert_eq!(response.status, 307);
    let heads = server.heads();
    assert_eq!(heads.len(), 2);
    for expected in [
        "POST /order HTTP/1.1",
        "content-type: application/jose+json",
        "content-length: 2",
    ] {
        assert!(heads[0].contains(expected), "{}", heads[0]);
    }
}

#[tokio::test]
async fn a_head_asks_for_no_body() {
    let answer = "HTTP/1.1 200 OK\r\nreplay-nonce: abc\r\ncontent-length: 900\r\n\r\n";
    let server = Server::start(vec![say(answer)]).await;
    let egress = Egress::new(policy(&["127.0.0.1"])).unwrap();
    let request = Request::get(&server.url("/nonce")).unwrap().head_only();
    let response = egress.fetch(request, LIMITS).await.unwrap();
    assert_eq!(response.headers["replay-nonce"], "abc");
    assert!(response.body.is_empty());
    assert!(server.heads()[0].starts_with("HEAD /nonce"));
}
