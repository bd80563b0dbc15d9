use super::*;
use keyward_egress::Policy;
use keyward_model::Secret;
use keyward_testkit::{FakeClock, Script, Upstream};

const NOW: i64 = 1_795_000_000;
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

#[test]
fn an_answer_says_whether_the_token_is_active() {
    for (body, active) in [
        (r#"{"active":true,"sub":"a"}"#, Ok(true)),
        (r#"{"active":false}"#, Ok(false)),
        (r#"{"active":"true"}"#, Err(())),
        (r#"{"sub":"a"}"#, Err(())),
        (r#"{"active":true,"active":false}"#, Err(())),
        ("[]", Err(())),
        ("", Err(())),
    ] {
        let found = read(body.as_bytes()).map(|claims| claims.is_some());
        assert_eq!(found.map_err(|_| ()), active, "{body}");
    }
}

#[test]
fn credentials_and_tokens_are_form_encoded() {
    assert_eq!(form_encoded("a b:c&d=\u{e4}"), "a+b%3Ac%26d%3D%C3%A4");
    assert_eq!(form_encoded("abc-._*123"), "abc-._*123");
}

struct Bench {
    issuer: Upstream,
    clock: Arc<FakeClock>,
    introspector: Arc<Introspector>,
}

impl Bench {
    async fn new(scripts: Vec<Script>) -> Self {
        let issuer = Upstream::scripts(scripts).await;
        let clock = Arc::new(FakeClock::at(Timestamp::from_seconds(NOW)));
        let egress = Egress::new(Policy {
            allow: vec!["127.0.0.1".parse().unwrap()],
            system_roots: false,
            ..Policy::default()
        });
        let asked = Introspection {
            url: format!("{}/introspect", issuer.url()).into(),
            client_id: "gate way".into(),
            client_secret: Secret::new("s:ecret".to_owned()),
            cache_for: Duration::from_secs(30),
        };
        let shared: Arc<dyn Clock> = Arc::<FakeClock>::clone(&clock);
        let introspector =
            Introspector::new(&asked, egress.unwrap(), Handle::current(), shared).unwrap();
        Self {
            issuer,
            clock,
            introspector: Arc::new(introspector),
        }
    }

    async fn ask(&self, token: &str) -> Result<String, Code> {
        let outcome = self.introspector.ask(token).await;
        let subject = |known: Arc<Introspected>| known.claims.subject().unwrap().to_owned();
        outcome.map(subject).map_err(|fault| fault.code())
    }

    fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn questions(&self) -> usize {
        self.issuer.received().len()
    }
}

fn active(subject: &str, expires_in: i64) -> Script {
    let body = format!(
        r#"{{"active":true,"sub":"{subject}","exp":{}}}"#,
        NOW + expires_in
    );
    Script::answer("200 OK", JSON, body)
}

#[tokio::test]
async fn calls_that_come_at_once_are_one_question() {
    let bench = Bench::new(vec![active("alice", 3_600)]).await;
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let introspector = Arc::clone(&bench.introspector);
            tokio::spawn(async move { introspector.ask("opaque token").await.is_ok() })
        })
        .collect();
    for asked in asking {
        assert!(asked.await.unwrap());
    }
    let [question] = &bench.issuer.received()[..] else {
        panic!("{:?}", bench.issuer.received());
    };
    assert_eq!(question.method(), "POST");
    assert_eq!(question.target(), "/introspect");
    // `gate+way:s%3Aecret`, RFC 6749, section 2.3.1.
    let authorization = question.head.field("authorization").unwrap();
    assert_eq!(authorization, "Basic Z2F0ZSt3YXk6cyUzQWVjcmV0");
    let body = String::from_utf8_lossy(&question.body);
    assert_eq!(body, "token=opaque+token&token_type_hint=access_token");
}

#[tokio::test]
async fn an_answer_counts_for_its_time_and_not_after_the_token() {
    let bench = Bench::new(vec![
        active("a", 3_600),
        active("b", 3_600),
        active("c", 10),
    ])
    .await;
    assert_eq!(bench.ask("one").await.as_deref(), Ok("a"));
    bench.later(29);
    assert_eq!(bench.ask("one").await.as_deref(), Ok("a"));
    bench.later(1);
    assert_eq!(bench.ask("one").await.as_deref(), Ok("b"));
    bench.later(30);
    let ends = bench.introspector.ask("one").await.unwrap();
    assert_eq!(ends.until, Timestamp::from_seconds(NOW + 10));
    assert_eq!(bench.questions(), 3);
}

#[tokio::test]
async fn a_token_that_is_no_good_is_not_asked_about_again_at_once() {
    let inactive = Script::answer("200 OK", JSON, r#"{"active":false}"#);
    let bench = Bench::new(vec![inactive, active("alice", 3_600)]).await;
    for _ in 0..10 {
        assert_eq!(bench.ask("one").await, Err(Code::TokenInvalid));
    }
    assert_eq!(bench.questions(), 1);
    bench.later(5);
    assert_eq!(bench.ask("one").await.as_deref(), Ok("alice"));
}

#[tokio::test]
async fn an_issuer_that_fails_is_left_alone_and_then_tried_again() {
    let broken = || Script::answer("500 Internal Server Error", JSON, "{}");
    let html = Script::answer("200 OK", &[("content-type", "text/html")], "{}");
    let garbled = Script::answer("200 OK", JSON, "{");
    let bench = Bench::new(vec![
        active("known", 3_600),
        broken(),
        html,
        garbled,
        broken(),
        active("back", 3_600),
    ])
    .await;
    assert_eq!(bench.ask("known").await.as_deref(), Ok("known"));
    for number in 0..10 {
        let token = format!("token {number}");
        assert_eq!(bench.ask(&token).await, Err(Code::IssuerUnavailable));
    }
    assert_eq!(bench.questions(), 4);
    // What is known counts meanwhile.
    assert_eq!(bench.ask("known").await.as_deref(), Ok("known"));
    bench.later(1);
    assert_eq!(bench.ask("x").await, Err(Code::IssuerUnavailable));
    assert_eq!(bench.questions(), 5);
    bench.later(1);
    assert_eq!(bench.ask("x").await, Err(Code::IssuerUnavailable));
    assert_eq!(bench.questions(), 5, "longer each time");
    bench.later(1);
    assert_eq!(bench.ask("x").await.as_deref(), Ok("back"));
    assert_eq!(bench.ask("x").await.as_deref(), Ok("back"));
    assert_eq!(bench.questions(), 6);
}

#[tokio::test]
async fn a_token_that_its_issuer_cant_deal_with_bars_nobody_else() {
    let odd = [
        Script::answer("400 Bad Request", JSON, r#"{"error":"invalid_request"}"#),
        Script::answer("200 OK", JSON, r#"{"active":true,"aud":7}"#),
        Script::answer("200 OK", JSON, r#"{"active":"yes"}"#),
        Script::answer("413 Content Too Large", JSON, ""),
    ];
    let count = odd.len();
    let mut scripts = odd.to_vec();
    scripts.push(active("alice", 3_600));
    let bench = Bench::new(scripts).await;
    for number in 0..count {
        let token = format!("odd {number}");
        for _ in 0..2 {
            assert_eq!(bench.ask(&token).await, Err(Code::IssuerUnavailable));
        }
    }
    assert_eq!(bench.questions(), count, "each is asked about once");
    assert_eq!(bench.ask("good").await.as_deref(), Ok("alice"));
}

#[tokio::test]
async fn an_issuer_that_refuses_to_be_asked_is_left_alone() {
    for status in [
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "429 Too Many Requests",
    ] {
        let refusing = || Script::answer(status, JSON, "{}");
        let bench = Bench::new(vec![refusing(), refusing(), refusing(), refusing()]).await;
        for number in 0..10 {
            let token = format!("token {number}");
            assert_eq!(bench.ask(&token).await, Err(Code::IssuerUnavailable));
        }
        assert_eq!(bench.questions(), 3, "{status}");
    }
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let mut state = State::default();
    let until = Timestamp::from_seconds(NOW);
    let fault = || Fault::new(Code::TokenInvalid, "x");
    for number in 0..3 * ANSWERS_MAX as u64 {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        state.insert(key, Entry::Known(Err(fault()), until));
    }
    assert!(state.young.len() <= ANSWERS_MAX && state.old.len() <= ANSWERS_MAX);
}
