//! The old process's side: whoever asks gets the sockets, and the node when it is ready for it.

use super::super::event::Event;
use super::super::supervisor::Supervisor;
use super::message::{Named, Reason, expect_line, reason, send_line, send_sockets};
use super::{ANSWER_WITHIN, HELLO, READY, READY_WITHIN, YOURS, socket_path};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// An offer to hand the node over, as long as it is not closed.
#[derive(Debug)]
pub(crate) struct Offer {
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
enum State {
    Open(Arc<Vec<Named>>),
    /// Another process serves.
    HandedOver,
    /// The process is ending.
    Closed,
}

impl Offer {
    /// Listens in the data directory, in the place of whoever did so before. Where that can't be, the
    /// node serves all the same, and says that it can't be upgraded in place.
    pub(crate) fn open(
        data_dir: &Path,
        sockets: Vec<Named>,
        supervisor: Supervisor,
        events: mpsc::Sender<Event>,
    ) -> Option<Self> {
        match Self::try_open(data_dir, sockets, supervisor, events) {
            Ok(offer) => Some(offer),
            Err(error) => {
                tracing::warn!(
                    "this process can't be upgraded in place: {}: {error}",
                    socket_path(data_dir).display()
                );
                None
            }
        }
    }

    fn try_open(
        data_dir: &Path,
        sockets: Vec<Named>,
        supervisor: Supervisor,
        events: mpsc::Sender<Event>,
    ) -> io::Result<Self> {
        let path = socket_path(data_dir);
        let listener = listen(&path)?;
        let state = Arc::new(Mutex::new(State::Open(Arc::new(sockets))));
        let answering = Answering {
            state: Arc::clone(&state),
            supervisor,
            events,
        };
        std::thread::Builder::new()
            .name("handover".to_owned())
            .spawn(move || answering.run(&listener))?;
        Ok(Self { path, state })
    }

    /// Ends the offer, so that the addresses are closed when the workers have closed theirs.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        if matches!(*state, State::Open(_)) {
            *state = State::Closed;
            // Whoever comes later is told that nobody is there.
            if let Err(error) = std::fs::remove_file(&self.path) {
                tracing::debug!(%error, "the hand-over's socket was gone");
            }
        }
    }
}

/// A socket that only the owner can open, under its name from the first moment on: made beside it, then
/// moved over what a process before has left there.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    // Of a process that had this number before and was killed just here.
    if let Err(error) = std::fs::remove_file(&beside)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = UnixListener::bind(&beside)?;
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&beside, path)?;
    Ok(listener)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Answering {
    state: Arc<Mutex<State>>,
    supervisor: Supervisor,
    events: mpsc::Sender<Event>,
}

impl Answering {
    /// Answers one after the other, until one has taken over.
    fn run(self, listener: &UnixListener) {
        for stream in listener.incoming() {
            let handed = stream.and_then(|stream| self.hand_over(&stream));
            match handed {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(
                        "upgrade: the new process did not take over ({error}); see what it says; this process goes on serving"
                    );
                }
            }
        }
    }

    fn hand_over(&self, stream: &UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        let process = peer(stream)?;
        expect_line(stream, HELLO)?;
        let sockets = match &*lock(&self.state) {
            State::Open(sockets) => Arc::clone(sockets),
            State::HandedOver | State::Closed => return Err(closed()),
        };
        tracing::info!(process, "upgrade: handing the sockets to a new process");
        send_sockets(stream, &sockets)?;
        drop(sockets);
        stream.set_read_timeout(Some(READY_WITHIN))?;
        expect_line(stream, READY).map_err(|error| match reason(&error) {
            Some(Reason::Left) => io::Error::other("it gave up"),
            Some(Reason::Late) => io::Error::other("it was not ready in time"),
            None => error,
        })?;
        let mut state = lock(&self.state);
        if !matches!(*state, State::Open(_)) {
            return Err(closed());
        }
        // First, so that the supervisor believes the new process when it speaks.
        self.supervisor.main_process_is(process);
        send_line(stream, YOURS)?;
        *state = State::HandedOver;
        drop(state);
        // Nobody waits for it only when the process is ending anyway.
        let _ended = self.events.blocking_send(Event::HandedOver(process));
        Ok(())
    }
}

fn closed() -> io::Error {
    io::Error::other("this process is ending itself")
}

/// The process at the other end, which has to be of the same user: the file's mode says so, too.
fn peer(stream: &UnixStream) -> io::Result<i32> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    if peer.uid != rustix::process::geteuid() && !peer.uid.is_root() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is another user's",
        ));
    }
    Ok(peer.pid.as_raw_nonzero().get())
}
