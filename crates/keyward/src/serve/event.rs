//! What happens to a running node, one thing after the other.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// More than can be meant: signals and changes that come meanwhile are one.
const QUEUE: usize = 8;

/// What happens to a running node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The signal of this name asks the process to stop.
    Stop(&'static str),
    /// The configuration is to be read anew, because of this.
    Reload(&'static str),
    /// A new process is to be started, which takes over.
    Upgrade,
    /// The new process that was started has ended.
    SuccessorEnded,
    /// The process of this number serves in the place of this one.
    HandedOver(i32),
}

/// Where events come from, and where they are waited for.
pub(super) struct Events {
    sender: mpsc::Sender<Event>,
    receiver: mpsc::Receiver<Event>,
}

impl Events {
    /// The process's signals.
    pub(super) fn of_signals() -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let signals = [
            (SignalKind::interrupt(), Event::Stop("SIGINT")),
            (SignalKind::terminate(), Event::Stop("SIGTERM")),
            (SignalKind::hangup(), Event::Reload("SIGHUP")),
            (SignalKind::user_defined2(), Event::Upgrade),
        ];
        for (kind, event) in signals {
            tokio::spawn(pass_on(signal(kind)?, event, sender.clone()));
        }
        Ok(Self { sender, receiver })
    }

    /// Whom others tell of theirs.
    pub(super) fn sender(&self) -> mpsc::Sender<Event> {
        self.sender.clone()
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Event {
        // There is a sender in `self`: the channel does not end.
        self.receiver.recv().await.unwrap_or(Event::Stop("nothing"))
    }
}

async fn pass_on(mut signal: Signal, event: Event, sender: mpsc::Sender<Event>) {
    while signal.recv().await.is_some() {
        if sender.send(event).await.is_err() {
            return;
        }
    }
}
