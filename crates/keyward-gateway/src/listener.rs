//! Listening sockets: one per worker and address, so that the kernel spreads connections and workers
//! never wake each other.

use crate::settings::ListenerSettings;
use crate::worker::{Phase, Worker, serve};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// When the process has no descriptors left, accepting again at once would only spin.
const PAUSE: Duration = Duration::from_millis(50);

/// The sockets of each worker for `address`: those that were `given` to the process, else new ones.
///
/// Every socket that was given goes to a worker, for what waits in its queue waits for an answer: where there
/// are fewer workers than sockets, some have several. Where there are more workers, each has one of its own
/// all the same if the socket may share its port, and else they share one's queue.
pub(crate) fn sockets(
    address: SocketAddr,
    workers: usize,
    given: Vec<TcpListener>,
) -> io::Result<Vec<Vec<TcpListener>>> {
    if given.is_empty() {
        let bound = bind(address, workers)?;
        return Ok(bound.into_iter().map(|socket| vec![socket]).collect());
    }
    let mut of_workers: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    let mut all = given;
    for index in all.len()..workers {
        let further = match all.get(index % all.len()) {
            Some(socket) => beside(socket)?,
            None => break,
        };
        all.push(further);
    }
    for (index, socket) in all.into_iter().enumerate() {
        // Whoever made it may have left it blocking, which would stop a whole worker.
        socket.set_nonblocking(true)?;
        if let Some(of_worker) = of_workers.get_mut(index % workers.max(1)) {
            of_worker.push(socket);
        }
    }
    Ok(of_workers)
}

/// Another socket at the same address; the same one where it doesn't share its port.
fn beside(socket: &TcpListener) -> io::Result<TcpListener> {
    let shares = SockRef::from(socket).reuse_port()?;
    if shares && let Ok(further) = open(socket.local_addr()?, Sharing::AmongWorkers) {
        return Ok(further);
    }
    socket.try_clone()
}

/// Opens one socket per worker on `address`.
fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    bind_all(address, workers, Sharing::Alone, open)
}

/// Opens one socket of a kind per worker on `address`, which has to be free of others where it is to be had `alone`.
/// With port 0 all get the port that the first was given.
pub(crate) fn bind_all<S: Bound>(
    address: SocketAddr,
    workers: usize,
    sharing: Sharing,
    open: impl Fn(SocketAddr, Sharing) -> io::Result<S>,
) -> io::Result<Vec<S>> {
    let mut sockets = Vec::with_capacity(workers);
    let mut address = address;
    if address.port() != 0 && sharing == Sharing::Alone {
        // Sockets that share a port share it with those of another process of the same user, too, which
        // would then get a part of the calls. Somebody who is alone there can have it alone.
        drop(open(address, Sharing::Alone)?);
    }
    for _ in 0..workers {
        let socket = open(address, Sharing::AmongWorkers)?;
        address = socket.address()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// A socket that has an address.
pub(crate) trait Bound {
    fn address(&self) -> io::Result<SocketAddr>;
}

impl Bound for TcpListener {
    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl Bound for UdpSocket {
    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

/// Who else may listen at a socket's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn counts(of_workers: &[Vec<TcpListener>]) -> Vec<usize> {
        of_workers.iter().map(Vec::len).collect()
    }

    fn given(workers: usize) -> (SocketAddr, Vec<TcpListener>) {
        let sockets = bind(ANY, workers).unwrap();
        (sockets[0].local_addr().unwrap(), sockets)
    }

    #[test]
    fn each_worker_opens_a_socket_at_one_port() {
        let of_workers = sockets(ANY, 3, Vec::new()).unwrap();
        assert_eq!(counts(&of_workers), [1, 1, 1]);
        let ports: Vec<u16> = of_workers
            .iter()
            .map(|of_worker| of_worker[0].local_addr().unwrap().port())
            .collect();
        assert!(ports.iter().all(|port| *port == ports[0]));
    }

    #[test]
    fn no_socket_that_was_given_is_left_without_a_worker() {
        for (sockets_given, workers, expected) in [
            (2, 2, vec![1, 1]),
            (3, 2, vec![2, 1]),
            (5, 1, vec![5]),
            (1, 3, vec![1, 1, 1]),
        ] {
            let (address, given) = given(sockets_given);
            let of_workers = sockets(address, workers, given).unwrap();
            assert_eq!(
                counts(&of_workers),
                expected,
                "{sockets_given} for {workers}"
            );
        }
    }

    #[test]
    fn a_socket_that_shares_its_port_with_none_is_shared_by_the_workers() {
        let alone = TcpListener::bind(ANY).unwrap();
        let address = alone.local_addr().unwrap();
        let of_workers = sockets(address, 2, vec![alone]).unwrap();
        assert_eq!(counts(&of_workers), [1, 1]);
        for of_worker in &of_workers {
            let accepted = of_worker[0].accept().unwrap_err();
            assert_eq!(accepted.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn an_address_that_another_listens_at_is_refused() {
        let (address, _held) = given(1);
        let error = sockets(address, 1, Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
