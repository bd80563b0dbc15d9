//! Calls that come when they come, whether those before are answered or not, and ten minutes of them.

use super::soak::upstream;
use crate::node::{Plan, request};
use crate::running::load::Load;
use keyward_model::{Clock as _, SystemClock};
use keyward_testkit::RawClient;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Calls that are due are begun this often.
const TICK: Duration = Duration::from_millis(5);
/// After so many calls a client comes back with a new connection.
const CALLS_A_CONNECTION: u32 = 100;
/// Of so many calls one is left in its middle.
const CALLS_A_LEAVER: u64 = 997;

/// How long the soak takes.
const SOAK: Duration = Duration::from_secs(600);
/// After this everything that a node remembers is there.
const WARM_UP: Duration = Duration::from_secs(60);
/// The load, in percent of what the node can bear.
const LOAD_PERCENT: u64 = 60;
/// What may come on top: the allocator's own slack.
const GROWTH_BYTES: u64 = 16 << 20;

/// What became of the calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcomes {
    /// How long answers took from when the call was due, by their status.
    pub(super) took: BTreeMap<u16, Vec<Duration>>,
    /// Calls that had no answer, and why.
    pub(super) failed: Vec<String>,
    /// Calls that were left on purpose.
    pub(super) left: u64,
}

impl Outcomes {
    pub(super) fn count(&self, status: u16) -> usize {
        self.took.get(&status).map_or(0, Vec::len)
    }

    /// The time that so many per cent of the answers of a status did not exceed.
    pub(super) fn percentile(&self, status: u16, percent: usize) -> Duration {
        let mut took = self.took.get(&status).cloned().unwrap_or_default();
        took.sort_unstable();
        let place = took.len() * percent / 100;
        took.get(place.min(took.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }
}

/// Clients at a gateway, as many as calls are under way.
pub(super) struct Pace {
    pub(super) gateway: SocketAddr,
    pub(super) path: &'static str,
    /// How many calls begin in a second.
    pub(super) rate: u64,
    /// Whether some are left in their middle.
    pub(super) some_leave: bool,
}

type Idle = Arc<Mutex<Vec<(RawClient, u32)>>>;

impl Pace {
    /// Calls for so long.
    pub(super) async fn go_on(&self, time: Duration) -> Outcomes {
        let outcomes = Arc::new(Mutex::new(Outcomes::default()));
        let idle = Idle::default();
        let bytes: Arc<str> = request("GET", self.path, &[("Connection", "keep-alive")], "").into();
        let mut calls = JoinSet::new();
        let clock = Arc::new(SystemClock::new());
        let begun = clock.moment();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut made = 0;
        while clock.moment().since(begun) < time {
            ticks.tick().await;
            let due = u64::try_from(clock.moment().since(begun).as_micros()).unwrap() * self.rate
                / 1_000_000;
            while made < due {
                made += 1;
                let leaves = self.some_leave && made.is_multiple_of(CALLS_A_LEAVER);
                let (idle, outcomes) = (Arc::clone(&idle), Arc::clone(&outcomes));
                let (gateway, bytes) = (self.gateway, Arc::clone(&bytes));
                let clock = Arc::clone(&clock);
                calls.spawn(async move {
                    let due = clock.moment();
                    let outcome = call(gateway, &bytes, &idle, leaves).await;
                    let mut outcomes = outcomes.lock().unwrap();
                    match outcome {
                        Ok(Some(status)) => outcomes
                            .took
                            .entry(status)
                            .or_default()
                            .push(clock.moment().since(due)),
                        Ok(None) => outcomes.left += 1,
                        Err(why) => outcomes.failed.push(why),
                    }
                });
            }
            while calls.try_join_next().is_some() {}
        }
        while calls.join_next().await.is_some() {}
        let outcomes = outcomes.lock().unwrap();
        outcomes.clone()
    }
}

/// One call on a connection that waits, or on a new one: its status, or none where it was left. A connection that
/// has waited may have been closed meanwhile: then, as any client does (RFC 9112, section 9.3.1), on a new one.
async fn call(
    gateway: SocketAddr,
    bytes: &str,
    idle: &Idle,
    leaves: bool,
) -> Result<Option<u16>, String> {
    let waiting = idle.lock().unwrap().pop();
    if let Some((client, made)) = waiting
        && let Ok(status) = call_on(client, made, bytes, idle, leaves).await
    {
        return Ok(status);
    }
    let client = RawClient::connect(gateway).await;
    let client = client.map_err(|error| format!("connect: {error}"))?;
    call_on(client, 0, bytes, idle, leaves).await
}

/// The same on this connection, which has carried so many before.
async fn call_on(
    mut client: RawClient,
    made: u32,
    bytes: &str,
    idle: &Idle,
    leaves: bool,
) -> Result<Option<u16>, String> {
    let sent = client.send(bytes).await;
    sent.map_err(|error| format!("send: {error}"))?;
    if leaves {
        return Ok(None);
    }
    let answer = client.answer().await;
    let answer = answer.map_err(|error| format!("answer: {error}"))?;
    let closes = answer
        .head
        .field("connection")
        .is_some_and(|value| value == "close");
    if made + 1 < CALLS_A_CONNECTION && !closes {
        idle.lock().unwrap().push((client, made + 1));
    }
    Ok(Some(answer.status))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_minutes_at_sixty_percent_of_its_capacity_leave_memory_flat() {
    let target = format!("http://{}", upstream().await);
    let node = Plan::default()
        .settings("workers: 1\naccess_log: { format: json, destination: { file: /dev/null } }")
        .upstream("plain", &[target], "")
        .api_at(
            "plain",
            "/open",
            "plain",
            "authentication: none, rate_limits: [ { by: address, requests: 1000000, per: 1s } ]",
        )
        .start()
        .await;
    // What it can bear beside these very clients.
    let clock = SystemClock::new();
    let begun = clock.moment();
    let load = Load::on(node.gateway(), 32);
    load.more(20_000).await;
    let took = clock.moment().since(begun);
    let calls = load.finish().await;
    let capacity = u64::try_from(u128::from(calls) * 1_000_000 / took.as_micros()).unwrap();
    let pace = Pace {
        gateway: node.gateway(),
        path: "/open/x",
        rate: capacity * LOAD_PERCENT / 100,
        some_leave: true,
    };
    let warm = pace.go_on(WARM_UP).await;
    let before = node.process.resident_bytes();
    println!(
        "capacity {capacity}/s, load {}/s, {} calls passed, resident at first {before}",
        pace.rate,
        warm.count(200)
    );
    let soaked = pace.go_on(SOAK - WARM_UP).await;
    let after = node.process.resident_bytes();
    println!(
        "{} calls passed, {} were left, p50 {:?}, p99 {:?}, resident at last {after}, at most {}",
        soaked.count(200),
        soaked.left,
        soaked.percentile(200, 50),
        soaked.percentile(200, 99),
        node.process.peak_bytes()
    );
    for outcomes in [&warm, &soaked] {
        assert!(outcomes.failed.is_empty(), "{:?}", outcomes.failed.first());
        assert_eq!(outcomes.took.keys().collect::<Vec<_>>(), [&200]);
        assert!(outcomes.left > 0);
    }
    assert!(
        after <= before + GROWTH_BYTES,
        "memory went from {before} to {after} bytes"
    );
    let (status, log) = node.process.stop().await;
    assert!(status.success(), "{log}");
}
