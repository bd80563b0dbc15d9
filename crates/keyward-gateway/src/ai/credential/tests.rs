use super::google::ServiceAccount;
use super::grant::{Grant, Granted, Source, ahead_of};
use super::machine::MachineEnvironment;
use super::signature::{Signing, SigningKeys};
use super::{WayOut, aws};
use crate::issuer::IssuersContext;
use keyward_egress::{Egress, Policy};
use keyward_jose::jws;
use keyward_jose::key::{Encoding, Part};
use keyward_jose::{Algorithm, Key, SignatureAlgorithm, Verifiers};
use keyward_model::resource::provider::EntraClient;
use keyward_model::{Secret, Timestamp};
use keyward_testkit::{Script, TokioClock, Upstream};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::sleep;

/// 2015-08-30T12:36:00Z, the time of AWS's published vectors.
const OF_VECTORS: i64 = 1_440_938_160;

fn keys(session: Option<&str>) -> SigningKeys {
    SigningKeys {
        id: "AKIDEXAMPLE".into(),
        secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
        session: session.map(|session| Secret::new(session.to_owned())),
    }
}

const VANILLA: Signing<'_> = Signing {
    method: "GET",
    host: "example.amazonaws.com",
    path: "/",
    query: "",
    content_type: None,
    body: b"",
    region: "us-east-1",
    service: "service",
    now: Timestamp::from_seconds(OF_VECTORS),
};

#[track_caller]
fn check_signature(signing: Signing<'_>, names: &str, expected: &str) {
    let signed = signing.sign(&keys(None));
    assert_eq!(signed.date, "20150830T123600Z");
    let scope = format!("20150830/us-east-1/{}/aws4_request", signing.service);
    let expected = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={names}, Signature={expected}"
    );
    assert_eq!(signed.authorization, expected);
}

/// `get-vanilla`, `post-vanilla` and `get-vanilla-query-order-key-case` of AWS's test suite for this signature, and the
/// example of its documentation (`ListUsers` of IAM).
#[test]
fn requests_are_signed_as_the_published_vectors_are() {
    check_signature(
        VANILLA,
        "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    );
    check_signature(
        Signing {
            method: "POST",
            ..VANILLA
        },
        "host;x-amz-date",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    );
    check_signature(
        Signing {
            query: "Param2=value2&Param1=value1",
            ..VANILLA
        },
        "host;x-amz-date",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    );
    check_signature(
        Signing {
            host: "iam.amazonaws.com",
            query: "Action=ListUsers&Version=2010-05-08",
            content_type: Some("application/x-www-form-urlencoded; charset=utf-8"),
            service: "iam",
            ..VANILLA
        },
        "content-type;host;x-amz-date",
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    );
}

#[test]
fn everything_of_a_request_is_signed() {
    let of = |signing: Signing<'_>, session| signing.sign(&keys(session)).authorization;
    let plain = of(VANILLA, None);
    for other in [
        Signing {
            path: "/model/a%3A0/converse",
            ..VANILLA
        },
        Signing {
            path: "/model/a:0/converse",
            ..VANILLA
        },
        Signing {
            body: b"{}",
            ..VANILLA
        },
        Signing {
            host: "other.amazonaws.com",
            ..VANILLA
        },
        Signing {
            region: "eu-west-1",
            ..VANILLA
        },
        Signing {
            now: Timestamp::from_seconds(OF_VECTORS + 1),
            ..VANILLA
        },
    ] {
        assert_ne!(of(other, None), plain);
    }
    let with_session = of(VANILLA, Some("session"));
    assert!(with_session.contains("SignedHeaders=host;x-amz-date;x-amz-security-token,"));
    let shown = format!("{:?}", keys(Some("session")));
    assert!(
        !shown.contains("wJalr") && !shown.contains("\"session\""),
        "{shown}"
    );
}

fn account(token_uri: &str) -> (Key, Secret<String>) {
    let key = Key::generate(Algorithm::Signature(SignatureAlgorithm::Rs256), Some(2048)).unwrap();
    let pem = key.to_pem(Part::Private, Encoding::Pkcs8).unwrap();
    let file = json!({
        "type": "service_account",
        "client_email": "keyward@project.iam.gserviceaccount.com",
        "private_key": &*pem,
        "private_key_id": "key-1",
        "token_uri": token_uri,
    });
    (key, Secret::new(file.to_string()))
}

#[test]
fn an_account_states_who_it_is_and_to_whom() {
    let (key, file) = account("https://oauth2.googleapis.com/token");
    let statement = ServiceAccount::read(&file)
        .unwrap()
        .statement(1_000)
        .unwrap();
    let key = key.with_kid(Some("key-1".to_owned())).unwrap();
    let verifiers = Verifiers::new(&[key], &[SignatureAlgorithm::Rs256]);
    let read = jws::compact::verify(&statement, &verifiers).unwrap();
    let claims: Value = serde_json::from_slice(&read.payload).unwrap();
    assert_eq!(
        claims,
        json!({
            "iss": "keyward@project.iam.gserviceaccount.com",
            "aud": "https://oauth2.googleapis.com/token",
            "scope": "https://www.googleapis.com/auth/cloud-platform",
            "iat": 1_000,
            "exp": 4_600,
        })
    );
}

#[test]
fn a_file_that_is_no_account_is_refused_without_a_word_of_it() {
    for file in [
        "hunter2".to_owned(),
        json!({ "type": "service_account", "client_email": "a@b" }).to_string(),
        json!({ "type": "authorized_user", "client_email": "a@b", "private_key": "hunter2" })
            .to_string(),
        json!({ "type": "service_account", "client_email": "a@b", "private_key": "hunter2" })
            .to_string(),
    ] {
        let Err(why) = ServiceAccount::read(&Secret::new(file.clone())) else {
            panic!("{file}");
        };
        assert!(why.starts_with("`service_account`"), "{why}");
        assert!(!why.contains("hunter2"), "{why}");
    }
}

fn way_out(environment: &[(&str, &str)]) -> WayOut {
    let policy = Policy {
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        system_roots: false,
        ..Policy::default()
    };
    let context = IssuersContext {
        clock: Arc::new(TokioClock::starting_at(Timestamp::from_seconds(
            1_790_000_000,
        ))),
        egress: Egress::new(policy).unwrap(),
        runtime: Handle::current(),
    };
    let environment = MachineEnvironment::read(|name| {
        let mut set = environment.iter();
        let (_, value) = set.find(|(known, _)| *known == name)?;
        Some((*value).to_owned())
    });
    WayOut::new(&context, &Arc::new(environment))
}

fn client(authority: String) -> Source {
    Source::Entra(EntraClient {
        tenant: "tenant-1".into(),
        client_id: "client-1".into(),
        client_secret: Secret::new("s3cr&t".to_owned()),
        authority: Some(authority.into()),
        scope: EntraClient::SCOPE.into(),
    })
}

fn token_of(granted: Result<Granted, String>) -> String {
    match granted {
        Ok(Granted::Token(token)) => token.reveal().clone(),
        Ok(Granted::Keys(_)) => panic!("these are keys"),
        Err(why) => panic!("{why}"),
    }
}

/// A server of tokens: the n-th answer has the token `token-n`, but that those at `failing` fail.
async fn tokens(lasts: u64, failing: std::ops::Range<usize>) -> Upstream {
    let count = AtomicUsize::new(0);
    Upstream::choosing(move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        if failing.contains(&number) {
            let said = json!({ "error": "invalid_client" });
            return Script::json("401 Unauthorized", &[], &said);
        }
        let token = json!({ "access_token": format!("token-{number}"), "expires_in": lasts });
        Script::json("200 OK", &[], &token)
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_token_is_there_for_the_first_call_and_got_anew_ahead_of_its_end() {
    let server = tokens(3_600, 1..2).await;
    let way_out = way_out(&[]);
    let grant = Grant::new(client(server.url()), &way_out);
    let renewed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&renewed);
    sleep(Duration::from_secs(60)).await;
    assert!(
        server.received().is_empty(),
        "nothing is asked before it is served"
    );
    grant.begin(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(token_of(grant.current().await), "token-0");
    let [asked] = &server.received()[..] else {
        panic!("one fetch");
    };
    assert_eq!(asked.target(), "/tenant-1/oauth2/v2.0/token");
    assert_eq!(
        String::from_utf8_lossy(&asked.body),
        "grant_type=client_credentials&client_id=client-1&client_secret=s3cr%26t&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"
    );
    sleep(Duration::from_secs(2_600)).await;
    assert_eq!(server.received().len(), 1, "it is good for a while yet");
    // After three quarters of its life; the first try fails, and what is there counts meanwhile.
    sleep(Duration::from_millis(100_100)).await;
    assert_eq!(server.received().len(), 2);
    assert_eq!(token_of(grant.current().await), "token-0");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(token_of(grant.current().await), "token-2");
    assert_eq!(renewed.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_are_told_why_there_is_no_token_and_cause_no_fetch() {
    let server = tokens(3_600, 0..1_000).await;
    let way_out = way_out(&[]);
    let grant = Grant::new(client(server.url()), &way_out);
    grant.begin(|| {});
    for _ in 0..50 {
        let Err(why) = grant.current().await else {
            panic!("there is none");
        };
        assert!(
            why.contains("401") && why.contains("invalid_client"),
            "{why}"
        );
        assert!(!why.contains("s3cr"), "{why}");
    }
    assert!(server.received().len() <= 2, "{}", server.received().len());
    sleep(Duration::from_secs(3_600)).await;
    let asked = server.received().len();
    assert!(
        (10..40).contains(&asked),
        "it is asked less and less: {asked}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_is_got_anew_once() {
    let server = tokens(3_600, 0..0).await;
    let way_out = way_out(&[]);
    let grant = Grant::new(client(server.url()), &way_out);
    grant.begin(|| {});
    assert_eq!(token_of(grant.current().await), "token-0");
    grant.was_refused();
    sleep(Duration::from_millis(900)).await;
    assert_eq!(server.received().len(), 1, "it has only just come");
    for _ in 0..20 {
        grant.was_refused();
    }
    sleep(Duration::from_millis(900)).await;
    assert_eq!(token_of(grant.current().await), "token-1");
    assert_eq!(server.received().len(), 2);
    // An account that is refused whatever it shows is asked about less and less.
    for _ in 0..600 {
        grant.was_refused();
        sleep(Duration::from_secs(1)).await;
    }
    let asked = server.received().len();
    assert!((6..14).contains(&asked), "{asked}");
    drop(grant);
    sleep(Duration::from_secs(7_200)).await;
    assert_eq!(server.received().len(), asked, "who is gone asks nobody");
}

#[test]
fn what_ends_is_got_anew_in_time_and_not_all_the_time() {
    let seconds = Duration::from_secs;
    assert_eq!(ahead_of(seconds(3_600)), seconds(2_700));
    assert_eq!(ahead_of(seconds(0)), seconds(1));
}

#[tokio::test]
async fn the_machine_s_keys_of_aws_come_from_where_its_environment_says() {
    let keys = json!({
        "AccessKeyId": "ASIA1", "SecretAccessKey": "s", "Token": "t", "Expiration": "2099-01-01T00:00:00Z",
    });
    let answers = keys.clone();
    let service = Upstream::choosing(move |asked| {
        let text = |body: &str| Script::answer("200 OK", &[("content-type", "text/plain")], body);
        match (asked.method(), asked.target()) {
            ("PUT", "/latest/api/token") => text("look"),
            ("GET", "/latest/meta-data/iam/security-credentials/") => text("role-1\n"),
            ("GET", "/latest/meta-data/iam/security-credentials/role-1" | "/keys") => {
                Script::json("200 OK", &[], &answers)
            }
            ("POST", "/") => Script::json(
                "200 OK",
                &[],
                &json!({ "AssumeRoleWithWebIdentityResponse": { "AssumeRoleWithWebIdentityResult": { "Credentials": {
                    "AccessKeyId": "ASIA2", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": 4_070_908_800.0,
                } } } }),
            ),
            (_, _) => Script::answer("404 Not Found", &[], ""),
        }
    })
    .await;
    let url = service.url();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "of-the-cluster\n").unwrap();
    let file = file.to_str().unwrap();
    let id_of = async |environment: &[(&str, &str)]| {
        let fetched = aws::of_machine("eu-west-1", &way_out(environment)).await?;
        match fetched.granted {
            Granted::Keys(keys) => Ok((keys.id.to_string(), keys.session.is_some())),
            Granted::Token(_) => Err("a token".to_owned()),
        }
    };
    let own = [
        ("AWS_ACCESS_KEY_ID", "AKIA0"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ];
    assert_eq!(id_of(&own).await, Ok(("AKIA0".to_owned(), false)));
    let identity = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_ENDPOINT_URL_STS", url.as_str()),
    ];
    assert_eq!(id_of(&identity).await, Ok(("ASIA2".to_owned(), true)));
    let container = format!("{url}/keys");
    let container = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file),
    ];
    assert_eq!(id_of(&container).await, Ok(("ASIA1".to_owned(), true)));
    let instance = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())];
    assert_eq!(id_of(&instance).await, Ok(("ASIA1".to_owned(), true)));
    let received = service.received();
    let asked: Vec<(&str, Option<&str>)> = received
        .iter()
        .map(|asked| {
            let shown = ["authorization", "x-aws-ec2-metadata-token"];
            (
                asked.target(),
                shown.iter().find_map(|name| asked.head.field(name)),
            )
        })
        .collect();
    assert_eq!(
        asked,
        [
            ("/", None),
            ("/keys", Some("of-the-cluster")),
            ("/latest/api/token", None),
            ("/latest/meta-data/iam/security-credentials/", Some("look")),
            (
                "/latest/meta-data/iam/security-credentials/role-1",
                Some("look")
            ),
        ]
    );
    let body = String::from_utf8_lossy(&received[0].body).into_owned();
    assert!(body.contains("WebIdentityToken=of-the-cluster"), "{body}");
    let off = [("AWS_EC2_METADATA_DISABLED", "true")];
    assert!(
        id_of(&off)
            .await
            .unwrap_err()
            .contains("AWS_EC2_METADATA_DISABLED")
    );
}
