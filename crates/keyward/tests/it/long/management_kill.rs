//! `kill -9` while several declare through the management API: what was answered is there after the next start, and no
//! revision is there by half; nor is a change of credentials, which have none.

use keyward_model::{Clock as _, Revision, SystemClock};
use keyward_store::{Location, MasterKey, PostgresSettings, Store};
use keyward_testkit::{Answer, KeywardProcess, PostgresServer, RawClient};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How often the node is killed, on each database.
const KILLS: usize = 100;

/// Who declare at once, each resources of their own.
const CLIENTS: usize = 4;

/// The kill comes after so many answers at most; at none, as soon as the clients begin.
const ANSWERED_MAX: usize = 30;

/// Every so many rounds PostgreSQL is killed, too.
const SERVER_KILLED_EVERY: usize = 5;

/// Resources of a client, which are made, changed and taken away in turn.
const RESOURCES: usize = 5;

const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// What may be in the place of a resource: a text of its body, or nothing. One after an answer, two while there is none.
type Possible = Vec<Option<String>>;

/// A client and what it was told.
struct Client {
    number: usize,
    steps: usize,
    known: BTreeMap<String, Possible>,
}

impl Client {
    /// Declares until the node is gone.
    async fn declare(&mut self, site: SocketAddr, token: &str, answered: &AtomicUsize) {
        loop {
            self.steps += 1;
            let member = self.steps % RESOURCES;
            let plural = if member.is_multiple_of(2) {
                "upstreams"
            } else {
                "credentials"
            };
            let name = format!("{}-{}-{member}", &plural[..1], self.number);
            let url = format!("http://127.0.0.1:{}", 1_024 + self.steps);
            // After a start it is known what is there.
            let before = self.known.get(&name).and_then(|possible| possible.first());
            let before = before.cloned().flatten();
            let (method, after) = match before {
                Some(_) if self.steps.is_multiple_of(3) => ("DELETE", None),
                Some(_) | None => ("PUT", Some(url)),
            };
            let precondition = match before {
                Some(_) => "if-match: *",
                None => "if-none-match: *",
            };
            self.known.insert(name.clone(), vec![before, after.clone()]);
            let body = after.as_ref().map(|url| match plural {
                "upstreams" => json!({ "name": name, "targets": [{ "url": url }] }),
                _ => {
                    let key = format!("a-key-that-was-made-elsewhere-{name}-{}", self.steps);
                    json!({ "name": name, "api_key": key, "subject": url })
                }
            });
            let path = format!("/teams/default/{plural}/{name}");
            let Ok(answer) = call(site, token, (method, &path), precondition, body).await else {
                return;
            };
            match answer.status {
                200 | 201 | 204 => {
                    self.known.insert(name, vec![after]);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                _ => panic!("{method} {path}: {}", answer.text()),
            }
        }
    }
}

async fn call(
    site: SocketAddr,
    token: &str,
    (method, path): (&str, &str),
    header: &str,
    body: Option<Value>,
) -> std::io::Result<Answer> {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let mut client = RawClient::connect(site).await?;
    let text = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nhost: {site}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n{header}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    client.send(text).await?;
    client.answer().await
}

fn configuration(database: &str) -> String {
    format!(
        "format: 1\nlisteners:\n  - {{ address: 127.0.0.1:8080, serves: gateway }}\n  - {{ address: 127.0.0.1:8090, serves: site }}\n  - {{ address: 127.0.0.1:9090, serves: operations }}\ndata_dir: .\ndatabase: {database}\nworkers: 1\naccess_log: {{ destination: off }}\nnetwork: {{ upstreams_allow: [127.0.0.1] }}\n"
    )
}

async fn start(database: &str) -> KeywardProcess {
    KeywardProcess::start_configured(
        env!("CARGO_BIN_EXE_keyward"),
        &configuration(database),
        &[("KEYWARD_MASTER_KEY", MASTER_KEY)],
        &[],
    )
    .await
}

/// The token of the first administrator.
async fn administrator(node: &KeywardProcess) -> String {
    let path = node.folder().join("setup-secret");
    let secret = std::fs::read_to_string(path).unwrap();
    let claim = json!({ "secret": secret.trim(), "name": "root" });
    let answer = call(
        node.site(),
        "",
        ("POST", "/setup"),
        "accept: */*",
        Some(claim),
    )
    .await;
    let made = answer.unwrap().json().unwrap();
    made["token"].as_str().unwrap().to_owned()
}

/// What is there, by name: exactly what the changes come to, one revision after another.
async fn checked(store: &Store, round: usize) -> BTreeMap<String, String> {
    let changes = store.resource_changes(None, Revision(0), Revision(u64::MAX));
    let mut replayed = BTreeMap::new();
    let mut last = Revision(0);
    for change in changes.await.unwrap() {
        assert!(
            change.revision == last || change.revision == last.next(),
            "round {round}: {last:?} is followed by {:?}",
            change.revision
        );
        last = change.revision;
        let name = change.name.to_string();
        let before = match change.after {
            Some(after) => replayed.insert(name, after),
            None => replayed.remove(&name),
        };
        assert_eq!(before, change.before, "round {round}: {last:?}");
    }
    assert_eq!(store.revision().await.unwrap(), last, "round {round}");
    let (base, all) = store.resources_at_once().await.unwrap();
    let named = |kind: &str| -> BTreeMap<String, String> {
        let of_kind = all.iter().filter(|one| one.kind == kind);
        let named = of_kind.map(|one| (one.name.to_string(), one.body.clone()));
        named.collect()
    };
    assert_eq!(named("upstream"), replayed, "round {round}");
    // What a node that follows by row comes to is what one that starts reads.
    let rows = store.credential_changes(0).await.unwrap();
    let followed = rows.changed.unwrap().into_iter();
    let followed = followed.filter_map(|row| Some((row.name.to_string(), row.now?.body)));
    let followed: BTreeMap<_, _> = followed.collect();
    assert_eq!(named("credential"), followed, "round {round}");
    let there: BTreeMap<_, _> = replayed.into_iter().chain(followed).collect();

    let chain = store.verify_audit_chain().await.unwrap();
    let (mut told, mut of_credentials, mut after) = (0, 0, 0);
    while after < chain.events {
        for event in store.audit_events(after, 1_000).await.unwrap() {
            after = event.sequence;
            told += u64::from(event.action == "configuration.change");
            of_credentials += i64::from(event.action == "credentials.change");
        }
    }
    assert_eq!(told, last.0, "round {round}: each revision has its event");
    assert_eq!(of_credentials, base.credentials, "round {round}");
    there
}

/// Kills, and lets `between` do something before the node is started again.
async fn survives(
    mut node: KeywardProcess,
    location: &Location,
    mut between: impl AsyncFnMut(usize),
) {
    let token = administrator(&node).await;
    let master = MasterKey::parse(MASTER_KEY).unwrap();
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client {
            number,
            steps: 0,
            known: BTreeMap::new(),
        })
        .collect();
    let answered = Arc::new(AtomicUsize::new(0));
    for round in 0..KILLS {
        let wanted = answered.load(Ordering::Relaxed) + round * 17 % (ANSWERED_MAX + 1);
        let mut calling = tokio::task::JoinSet::new();
        for mut client in clients.drain(..) {
            let (site, token, answered) = (node.site(), token.clone(), Arc::clone(&answered));
            calling.spawn(async move {
                client.declare(site, &token, &answered).await;
                client
            });
        }
        while answered.load(Ordering::Relaxed) < wanted {
            assert!(calling.len() == CLIENTS, "{}", node.log());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        node.signal("KILL");
        clients = calling.join_all().await;
        between(round).await;
        let now = SystemClock::new().now();
        let store = Store::open_at(location, &master, now).await.unwrap();
        let there = checked(&store, round).await;
        store.close().await;
        for client in &mut clients {
            for (name, possible) in &mut client.known {
                let body = there.get(name);
                let found = possible.iter().find(|one| match (one, body) {
                    (Some(url), Some(body)) => body.contains(url.as_str()),
                    (None, None) => true,
                    _ => false,
                });
                let found = found.cloned();
                let found = found.unwrap_or_else(|| {
                    panic!("round {round}: {name} is {body:?}, and was to be one of {possible:?}")
                });
                *possible = vec![found];
            }
        }
        node.restart().await;
    }
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered > KILLS * 5);
    println!("{location}: {KILLS} kills, {answered} changes that were answered, all there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_declared_on_sqlite_survives_kills() {
    let node = start("sqlite").await;
    let location = Location::File(node.folder().join("keyward.db"));
    survives(node, &location, async |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_declared_on_postgres_survives_kills() {
    let mut server = PostgresServer::start().await;
    let url = server.new_database();
    let location = Location::Postgres(PostgresSettings::parse(&url).unwrap());
    let node = start(&url).await;
    survives(node, &location, async |round| {
        if round % SERVER_KILLED_EVERY == 0 {
            server.kill();
            server.bring_back().await;
        }
    })
    .await;
}
