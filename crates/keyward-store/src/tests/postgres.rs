//! What only PostgreSQL can refuse.

use super::*;
use keyward_testkit::PostgresServer;

/// Long enough for a busy machine, and as long as some of the refusals here take.
const PATIENCE: Duration = Duration::from_secs(5);

async fn open(url: &str) -> Result<Store, Error> {
    let master = MasterKey::generate().unwrap();
    Store::open_within(&bench::at(url), &master, NOW, PATIENCE).await
}

async fn check_refusal(url: &str, code: &str, said: &str) {
    let error = open(url).await.expect_err(url);
    let text = error.to_string();
    assert_eq!(error.code(), code, "{url}: {text}");
    assert!(text.contains(said), "{url}: {text}");
    assert!(!text.contains("geheim"), "{text}");
}

#[tokio::test]
async fn who_may_not_or_can_not_is_told_why() {
    let mut server = PostgresServer::start().await;
    let good = server.new_database();
    let at = server.address();
    check_refusal(
        &server.url("nowhere"),
        "store_denied",
        "\"nowhere\" does not exist",
    )
    .await;
    check_refusal(
        &format!("postgres://eve:geheim@{at}/postgres"),
        "store_denied",
        "\"eve\"",
    )
    .await;
    server.sql(
        "test1",
        "CREATE ROLE reader LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    );
    check_refusal(
        &format!("postgres://reader@{at}/test1"),
        "store_denied",
        "may create tables",
    )
    .await;
    server.sql(
        "test1",
        "ALTER DATABASE test1 SET default_transaction_read_only = on",
    );
    // What says of itself that it writes is let through: only a standby refuses that.
    open(&good).await.unwrap();
    check_refusal(
        &format!("{good}?sslmode=verify-full"),
        "store_tls",
        "sslmode=disable",
    )
    .await;
    server.stop();
    check_refusal(&good, "store_unreachable", "see that it runs").await;
}

#[tokio::test]
async fn one_that_is_full_of_connections_is_said_to_be_so() {
    let settings = "max_connections = 4\nsuperuser_reserved_connections = 0";
    let server = PostgresServer::start_with(settings).await;
    let url = server.url("postgres");
    let store = open(&url).await.unwrap();
    let mut held = Vec::new();
    while let Ok(connection) = store.pool().acquire().await {
        held.push(connection);
    }
    assert_eq!(held.len(), 4);
    check_refusal(&url, "store_unreachable", "too many clients").await;
}

#[tokio::test]
async fn certificates_are_checked_and_passwords_asked_for() {
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = parameters.self_signed(&authority).unwrap();
    let issuer = rcgen::Issuer::from_params(&parameters, &authority);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let leaf = rcgen::CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let server = PostgresServer::start_guarded(&leaf.pem(), &key.serialize_pem()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c a.pem");
    std::fs::write(&file, root.pem()).unwrap();

    let encoded = file.to_str().unwrap().replace(' ', "%20");
    let url = server.url_with_password();
    let by_name = url.replace("127.0.0.1", "localhost");
    let (mode, root) = ("?sslmode=verify-full", format!("&sslrootcert={encoded}"));
    let store = open(&format!("{by_name}{mode}{root}")).await.unwrap();
    insert(&store, "k1", KeyState::Active).await.unwrap();
    let (encrypted,): (i64,) = sqlx::query_as(
        "SELECT count(*) FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl AND version LIKE 'TLSv1.3'",
    )
    .fetch_one(store.pool())
    .await
    .unwrap();
    assert_eq!(encrypted, 1);
    // What hears of changes goes the same way.
    let mut feed = store
        .change_feed_asking(Duration::from_secs(3600), true)
        .await
        .unwrap();
    sqlx::query("INSERT INTO revisions VALUES (1, 0, 'test', '')")
        .execute(store.pool())
        .await
        .unwrap();
    assert!(matches!(feed.next().await, Notice::Changed(_)));

    check_refusal(&format!("{url}{mode}{root}"), "store_tls", "not valid for").await;
    // It is spoken to, under another master key.
    let any_name = open(&format!("{url}?sslmode=verify-ca{root}")).await;
    assert!(
        matches!(any_name, Err(Error::WrongMasterKey)),
        "{any_name:?}"
    );
    check_refusal(&format!("{by_name}{mode}"), "store_tls", "UnknownIssuer").await;
    check_refusal(
        &format!("{url}?sslmode=disable"),
        "store_denied",
        "no encryption",
    )
    .await;
    let wrong = server
        .url("postgres")
        .replace("keyward@127.0.0.1", "keyward:geheim@localhost");
    check_refusal(
        &format!("{wrong}{mode}{root}"),
        "store_denied",
        "password authentication failed",
    )
    .await;
}

#[tokio::test]
async fn texts_are_in_the_order_of_their_bytes_whatever_the_language_of_the_database() {
    let server = PostgresServer::start().await;
    let icu = "CREATE DATABASE spoken TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'";
    server.sql("postgres", icu);
    let order = "SELECT string_agg(x, ' ' ORDER BY x) FROM (VALUES ('a'), ('B'), ('b')) AS v (x)";
    assert_eq!(
        server.sql("spoken", order),
        "a b B",
        "this is what it is about"
    );
    let store = open(&server.url("spoken")).await.unwrap();
    for kid in ["a", "B", "b", "\u{e4}", "z"] {
        insert(&store, kid, KeyState::Published).await.unwrap();
    }
    let (kids,): (String,) = sqlx::query_as("SELECT string_agg(kid, ' ' ORDER BY kid) FROM keys")
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!(kids, "B a b z \u{e4}");
}

#[tokio::test]
async fn what_the_server_gives_up_is_to_be_tried_again_and_a_missing_schema_is_named() {
    let mut server = PostgresServer::start().await;
    let url = server.new_database();
    let store = open(&url).await.unwrap();
    let mut connection = store.pool().acquire().await.unwrap();
    sqlx::query("SET statement_timeout = 1")
        .execute(&mut connection)
        .await
        .unwrap();
    let ended = sqlx::query("SELECT pg_sleep(60)")
        .execute(&mut connection)
        .await
        .unwrap_err();
    assert_eq!(Error::from(ended).code(), "store_try_again");
    server.sql(
        "test1",
        "CREATE ROLE lost LOGIN; ALTER ROLE lost SET search_path = nowhere",
    );
    let at = server.address();
    check_refusal(
        &format!("postgres://lost@{at}/test1"),
        "store_denied",
        "create the schema",
    )
    .await;
}
