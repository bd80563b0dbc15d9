//! An upgrade in place: the running process hands its listening sockets to a new one, and ends when that
//! serves.
//!
//! The very same sockets are passed, so that no connection that waits in a queue is lost: closing a socket
//! that shares its port (`SO_REUSEPORT`) resets what waits in its queue, even when others listen at the port.
//! They go over a Unix socket in the data directory, which only the owner may open, by `SCM_RIGHTS`. So the
//! new process may be the old one's child (SIGUSR2) or be started by whoever likes
//! (`keyward serve --take-over`).
//!
//! The new process asks ([`TakeOver`]) and the old one answers ([`Offer`]):
//!
//! ```text
//! new                                     old
//!  keyward-handover 1            ──►
//!                                ◄──      a line of JSON with sockets beside it, until all are passed
//!  got                           ──►
//!  (opens the database, compiles, serves)
//!  ready                         ──►
//!                                ◄──      yours
//!                                         (drains, ends)
//! ```
//!
//! Until `yours` the old process serves as ever: a new one that fails is only told of.

mod message;
mod offer;
mod successor;
mod take_over;

pub(super) use offer::Offer;
pub(super) use successor::Successor;
pub(super) use take_over::TakeOver;

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The Unix socket's name in the data directory.
const SOCKET_FILE: &str = "handover.sock";

/// What the new process says first. The number is the protocol's version: another one is refused.
const HELLO: &str = "keyward-handover 1";
/// What it says when it serves.
const READY: &str = "ready";
/// What the old one says when it will end.
const YOURS: &str = "yours";

/// How long either waits for an answer that needs no work.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How long the new process may take to serve: it opens the database, which may be migrated, and compiles
/// the configuration.
const READY_WITHIN: Duration = Duration::from_secs(300);

fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join(SOCKET_FILE)
}
