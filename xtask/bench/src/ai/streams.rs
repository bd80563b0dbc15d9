//! What many streams at once take of memory.

use super::load::{Load, Until, connected};
use super::mock::{FIRST_WORD, find};
use super::peer::{Peer, Setting};
use super::{Call, Form, SMALL, Scenario, scenario, started};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::LocalSet;

/// So many at once.
const STREAMS: usize = 500;
/// What the node may take with all of them open.
const MOST_MEGABYTES: f64 = 100.0;
/// How long they go on once all have begun.
const FOR: Duration = Duration::from_secs(3);
/// How long all of them may take to begin.
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens the streams on a fresh node, of its provider's dialect and translated, and prints what it holds.
pub(super) fn measure(setting: &Setting<'_>) -> Result<(), String> {
    println!("\n| {STREAMS} streams at once | idle MB | with all open MB | peak MB |");
    println!("|---|---:|---:|---:|");
    let mut bounds = Vec::new();
    for (name, form) in [("same dialect", Form::Chat), ("translated", Form::Messages)] {
        let asked = scenario("slow", Peer::Keyward, Call::Model("slow", form), SMALL).streamed();
        // Asked until it answers with something that ends.
        let ready = scenario("ready", Peer::Keyward, Call::Model("same", form), SMALL);
        let running = started(&ready, setting)?;
        let idle = megabytes(running.process.resident_kilobytes()?);
        let load = Scenario { ..asked }.load(running.address, setting, STREAMS);
        let open = opened(&load, &|| running.process.resident_kilobytes())?;
        let peak = megabytes(running.process.peak_kilobytes()?);
        println!(
            "| {name} | {idle:.1} | {:.1} | {peak:.1} |",
            megabytes(open)
        );
        let word = if peak < MOST_MEGABYTES {
            "held"
        } else {
            "MISSED"
        };
        bounds.push(format!(
            "{word}: {STREAMS} streams at once, {name}: {peak:.1} MB (under {MOST_MEGABYTES:.0} MB)"
        ));
    }
    println!("\n{}", bounds.join("\n"));
    Ok(())
}

fn megabytes(kilobytes: u64) -> f64 {
    kilobytes as f64 / 1024.0
}

/// Opens all streams, waits until each has its first token, lets them go on for a while, and tells what was held at the end.
fn opened(load: &Load, held: &dyn Fn() -> Result<u64, String>) -> Result<u64, String> {
    debug_assert_eq!(load.until, Until::Whole);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the load generator's runtime did not start: {error}"))?;
    LocalSet::new().block_on(&runtime, async {
        let begun = Rc::new(tokio::sync::Semaphore::new(0));
        let mut streams = tokio::task::JoinSet::new();
        for _ in 0..load.connections {
            streams.spawn_local(stream(load.clone(), Rc::clone(&begun)));
        }
        let count = u32::try_from(load.connections).map_err(|error| error.to_string())?;
        let all = async {
            tokio::select! {
                begun = begun.acquire_many(count) => {
                    begun.map(drop).map_err(|error| error.to_string())
                }
                Some(ended) = streams.join_next() => match ended {
                    Ok(why) => Err(why),
                    Err(error) => Err(error.to_string()),
                },
            }
        };
        tokio::time::timeout(PATIENCE, all)
            .await
            .map_err(|_| "not all streams have begun in time".to_owned())??;
        tokio::time::sleep(FOR).await;
        let held = held()?;
        if streams.len() < load.connections {
            return Err("a stream has ended early".to_owned());
        }
        Ok(held)
    })
}

/// One stream, for as long as it goes on; why it ended.
async fn stream(load: Load, begun: Rc<tokio::sync::Semaphore>) -> String {
    let result = async {
        let mut stream = connected(load.address).await?;
        let text = |error: std::io::Error| error.to_string();
        stream.write_all(&load.request).await.map_err(text)?;
        let mut buffer = Vec::with_capacity(8 * 1024);
        let mut first = false;
        loop {
            if stream.read_buf(&mut buffer).await.map_err(text)? == 0 {
                return Err(format!(
                    "a stream ended: {}",
                    String::from_utf8_lossy(&buffer)
                ));
            }
            if !first && find(&buffer, FIRST_WORD).is_some() {
                first = true;
                begun.add_permits(1);
            }
            if first {
                buffer.clear();
            }
        }
    };
    let result: Result<(), String> = result.await;
    result.err().unwrap_or_default()
}
