//! Calls that go on while something else happens.

use crate::node::request;
use keyward_testkit::RawClient;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

const KEEP: [(&str, &str); 1] = [("Connection", "keep-alive")];

/// Clients that call until they are stopped: half of them keep their connections, half come with new ones.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn on(gateway: SocketAddr, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let calls = Arc::new(AtomicU64::new(0));
        let clients = (0..clients)
            .map(|client| {
                let (stop, calls) = (Arc::clone(&stop), Arc::clone(&calls));
                tokio::spawn(call_on(gateway, client % 2 == 0, stop, calls))
            })
            .collect();
        Self {
            stop,
            calls,
            clients,
        }
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Waits until so many more calls have passed.
    pub(crate) async fn more(&self, count: u64) {
        let from = self.calls();
        while self.calls() < from + count {
            assert!(
                self.clients.iter().all(|client| !client.is_finished()),
                "a client has failed"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many calls have passed; a failed one panics.
    pub(crate) async fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        self.calls.load(Ordering::Relaxed)
    }
}

async fn call_on(gateway: SocketAddr, keeps: bool, stop: Arc<AtomicBool>, calls: Arc<AtomicU64>) {
    let headers: &[(&str, &str)] = if keeps { &KEEP } else { &[] };
    let bytes = request("GET", "/open/x", headers, "");
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        let mut client = match kept.take() {
            Some(client) => client,
            None => RawClient::connect(gateway).await.unwrap(),
        };
        client.send(&bytes).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        calls.fetch_add(1, Ordering::Relaxed);
        let closes = answer
            .head
            .field("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if keeps && !closes {
            kept = Some(client);
        }
    }
}
