//! The stream of what is done.

use super::{Asked, Managed, expect};
use crate::node::{Plan, check_problem};
use keyward_testkit::RawClient;
use serde_json::{Value, json};

/// A stream that is open, and what has come so far.
struct Listening {
    client: RawClient,
    text: String,
}

impl Listening {
    async fn begin(managed: &Managed, path: &str, token: &str, more: &str) -> Self {
        let site = managed.node.process.site();
        let mut client = RawClient::connect(site).await.unwrap();
        let head = format!(
            "GET /api/v1{path} HTTP/1.1\r\nhost: {site}\r\nauthorization: Bearer {token}\r\n{more}\r\n"
        );
        client.send(head).await.unwrap();
        Self {
            client,
            text: String::new(),
        }
    }

    /// Reads until this has come, and the event that it stands in is whole.
    async fn until(&mut self, wanted: &str) {
        let patience = std::time::Duration::from_secs(20);
        let reading = async {
            while !(self.text.contains(wanted) && self.text.ends_with("\n\n")) {
                let byte = self.client.bytes(1).await.unwrap();
                // What is told here is ASCII.
                self.text.push_str(std::str::from_utf8(&byte).unwrap());
            }
        };
        let read = tokio::time::timeout(patience, reading).await;
        assert!(read.is_ok(), "{wanted}: {}", self.text);
    }

    /// The events that have come, by their numbers.
    fn events(&self) -> Vec<(i64, Value)> {
        let mut id = 0;
        let mut events = Vec::new();
        for line in self.text.lines() {
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.parse().unwrap();
            } else if let Some(data) = line.strip_prefix("data: ") {
                events.push((id, serde_json::from_str(data).unwrap()));
            }
        }
        events
    }
}

#[tokio::test]
async fn what_is_done_is_told_as_it_is_done_and_nothing_is_missed_in_between() {
    let managed = Managed::start(Plan::default()).await;
    let mut listening = Listening::begin(&managed, "/events", &managed.token, "").await;
    listening.until("retry: 500").await;
    assert!(listening.text.contains("content-type: text/event-stream"));
    managed.team("red").await;
    listening.until("event: team.create").await;
    let (last, told) = listening.events().pop().unwrap();
    assert_eq!(told["sequence"], last);
    assert_eq!(
        (&told["actor"], &told["object"]),
        (&json!("root"), &json!("team red"))
    );
    drop(listening);

    // While nobody listens things happen; whoever comes again is told of them.
    managed.team("blue").await;
    let again = format!("last-event-id: {last}\r\n");
    let mut listening = Listening::begin(&managed, "/events", &managed.token, &again).await;
    listening.until("team blue").await;
    assert_eq!(listening.events()[0].0, last + 1);

    // A team's own are told to the team, and nothing of others.
    let auditor = managed.member("red", "ann", "auditor", &["read"]).await;
    let mut listening = Listening::begin(&managed, "/teams/red/events?after=0", &auditor, "").await;
    listening.until("member ann").await;
    managed.team("green").await;
    managed.member("red", "bea", "consumer", &["read"]).await;
    listening.until("member bea").await;
    assert!(!listening.text.contains("green") && !listening.text.contains("blue"));

    let other = Asked::new("GET", "/teams/blue/events").by(&auditor);
    check_problem(&managed.send(other).await, 404, "not_found");
    let all = Asked::new("GET", "/events").by(&auditor);
    check_problem(&managed.send(all).await, 403, "forbidden");
    let bad = managed.call("GET", "/events?after=x", None).await;
    check_problem(&bad, 400, "malformed");
    let bad = managed.call("GET", "/events?wait=61", None).await;
    check_problem(&bad, 400, "malformed");
    // What there is, and no waiting.
    let whole = managed.call("GET", "/events?after=0&wait=0", None).await;
    assert_eq!(whole.status, 200);
    assert!(whole.text().contains("event: team.create"));
    // Streams hold up nobody else.
    expect(&managed.call("GET", "/me", None).await, 200);
}
