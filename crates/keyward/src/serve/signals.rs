//! What tells the process to stop.

use std::future::Future;
use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// Ends with the name of the first signal that asks the process to stop.
pub(super) fn listen() -> io::Result<impl Future<Output = &'static str>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}
