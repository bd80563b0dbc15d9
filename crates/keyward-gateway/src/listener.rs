//! Listening sockets: one per worker and address, so that the kernel spreads connections and workers
//! never wake each other.

use crate::settings::ListenerSettings;
use crate::worker::{Phase, Worker, serve};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// When the process has no descriptors left, accepting again at once would only spin.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens one socket per worker on `address`. With port 0 all get the port that the first was given.
pub(crate) fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let mut sockets = Vec::with_capacity(workers);
    let mut address = address;
    if address.port() != 0 {
        // Sockets that share a port share it with those of another process of the same user, too, which
        // would then get a part of the calls. Somebody who is alone there can have it alone.
        drop(open(address, Sharing::Alone)?);
    }
    for _ in 0..workers {
        let socket = open(address, Sharing::AmongWorkers)?;
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Who else may listen at a socket's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Alone,
    AmongWorkers,
}

fn open(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::AmongWorkers)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until draining begins.
pub(crate) fn accept(
    worker: Rc<Worker>,
    settings: Rc<ListenerSettings>,
    socket: TcpListener,
    mut phase: watch::Receiver<Phase>,
) -> io::Result<JoinHandle<()>> {
    let listener = tokio::net::TcpListener::from_std(socket)?;
    Ok(tokio::task::spawn_local(async move {
        while *phase.borrow() == Phase::Serving {
            tokio::select! {
                accepted = listener.accept(), if has_room(&worker) => take(&worker, &settings, accepted).await,
                () = tokio::time::sleep(PAUSE), if !has_room(&worker) => {}
                changed = phase.changed() => if changed.is_err() { break },
            }
        }
        // What the kernel has queued already was promised an answer.
        while let Ok(Ok(accepted)) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
            take(&worker, &settings, Ok(accepted)).await;
        }
    }))
}

fn has_room(worker: &Worker) -> bool {
    worker.drain.connections() < worker.settings.limits.connections
}

async fn take(
    worker: &Rc<Worker>,
    settings: &Rc<ListenerSettings>,
    accepted: io::Result<(tokio::net::TcpStream, SocketAddr)>,
) {
    match accepted {
        Ok((socket, peer)) => {
            // Without it small answers wait for the client's delayed acknowledgement.
            if let Err(error) = socket.set_nodelay(true) {
                tracing::debug!(%error, "a connection was gone before it was served");
                return;
            }
            serve(worker, settings, socket, peer);
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
