//! A worker's UDP socket, beside those of the other workers at the same address.

use super::connection_id::IdKey;
use crate::listener::{Sharing, bind_all};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Packets that wait for the worker they were handed over to. More are lost, as they may be on any network.
const HANDED_OVER_MAX: usize = 2048;
/// What the kernel is asked to hold for a worker that is busy. It gives what it may (`net.core.rmem_max`).
const KERNEL_BUFFER: usize = 2 * 1024 * 1024;

/// Packets that came to another worker than the one whose connection it is.
struct HandedOver {
    bytes: Vec<u8>,
    meta: RecvMeta,
}

/// A socket, and the ways to and from the other workers.
pub(crate) struct DatagramSocket {
    pub(super) socket: UdpSocket,
    pub(super) steering: Steering,
}

impl fmt::Debug for DatagramSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

/// How packets find the worker whose connection it is.
pub(super) struct Steering {
    pub(super) key: IdKey,
    worker: usize,
    to: Arc<[Sender<HandedOver>]>,
    from: Receiver<HandedOver>,
}

/// Opens one socket per worker on `address`. A process that takes over finds those of the one before still there:
/// `beside` says that this is so.
pub(crate) fn sockets(
    address: SocketAddr,
    workers: usize,
    beside: bool,
) -> io::Result<Vec<DatagramSocket>> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|_| io::Error::other("the random generator failed"))?;
    let key = IdKey::from_random(random);
    let (to, from): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel(HANDED_OVER_MAX)).unzip();
    let to: Arc<[_]> = to.into();
    let sharing = if beside {
        Sharing::AmongWorkers
    } else {
        Sharing::Alone
    };
    let sockets = bind_all(address, workers, sharing, open)?;
    Ok(sockets
        .into_iter()
        .zip(from)
        .enumerate()
        .map(|(worker, (socket, from))| DatagramSocket {
            socket,
            steering: Steering {
                key: key.clone(),
                worker,
                to: Arc::clone(&to),
                from,
            },
        })
        .collect())
}

fn open(address: SocketAddr, sharing: Sharing) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_reuse_port(sharing == Sharing::AmongWorkers)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    for asked in [
        socket.set_recv_buffer_size(KERNEL_BUFFER),
        socket.set_send_buffer_size(KERNEL_BUFFER),
    ] {
        if let Err(error) = asked {
            tracing::debug!(%error, "a UDP socket keeps its small buffers");
        }
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A socket as the QUIC library sees it.
pub(super) struct SteeredSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    key: IdKey,
    worker: usize,
    to: Arc<[Sender<HandedOver>]>,
    /// Only the endpoint's own task asks for it.
    from: Mutex<Receiver<HandedOver>>,
}

impl SteeredSocket {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>, steering: Steering) -> Self {
        let Steering {
            key,
            worker,
            to,
            from,
        } = steering;
        Self {
            socket,
            key,
            worker,
            to,
            from: Mutex::new(from),
        }
    }

    /// Another worker's way in, when the packet is for that one.
    fn other(&self, packet: &[u8]) -> Option<&Sender<HandedOver>> {
        let worker = self.key.worker_of_packet(packet)?;
        (worker != self.worker)
            .then(|| self.to.get(worker))
            .flatten()
    }

    /// What other workers have handed over.
    fn poll_handed_over(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> usize {
        let mut from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        for (buffer, meta) in buffers.iter_mut().zip(metas) {
            let Poll::Ready(Some(packet)) = from.poll_recv(context) else {
                break;
            };
            // Every worker's buffers have the same size.
            if let Some(place) = buffer.get_mut(..packet.bytes.len()) {
                place.copy_from_slice(&packet.bytes);
                *meta = packet.meta;
                count += 1;
            }
        }
        count
    }
}

/// Takes out of what the kernel gave at once, packets of `stride` bytes of which the last may be shorter, those that
/// are `taken`. They come from one address, at which a client may have several connections. How many bytes are left, at
/// the buffer's beginning.
fn keep_own(
    buffer: &mut [u8],
    length: usize,
    stride: usize,
    mut taken: impl FnMut(&[u8]) -> bool,
) -> usize {
    let mut kept = 0;
    let mut start = 0;
    while start < length {
        let end = length.min(start.saturating_add(stride.max(1)));
        if !buffer.get(start..end).is_none_or(&mut taken) {
            buffer.copy_within(start..end, kept);
            kept += end - start;
        }
        start = end;
    }
    kept
}

impl fmt::Debug for SteeredSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl AsyncUdpSocket for SteeredSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let handed_over = self.poll_handed_over(context, buffers, metas);
        if handed_over > 0 {
            return Poll::Ready(Ok(handed_over));
        }
        loop {
            let received = std::task::ready!(self.socket.poll_recv(context, buffers, metas))?;
            let mut kept = 0;
            for at in 0..received {
                let (Some(buffer), Some(meta)) = (buffers.get_mut(at), metas.get_mut(at)) else {
                    break;
                };
                // With one worker there is nothing to look at.
                if self.to.len() > 1 {
                    let batch = *meta;
                    meta.len = keep_own(buffer, batch.len, batch.stride, |packet| {
                        let Some(other) = self.other(packet) else {
                            return false;
                        };
                        let packet = HandedOver {
                            bytes: packet.to_vec(),
                            meta: RecvMeta {
                                len: packet.len(),
                                stride: packet.len(),
                                ..batch
                            },
                        };
                        if other.try_send(packet).is_err() {
                            tracing::debug!("a packet for another worker was lost");
                        }
                        true
                    });
                }
                if meta.len > 0 {
                    buffers.swap(kept, at);
                    metas.swap(kept, at);
                    kept += 1;
                }
            }
            if kept > 0 {
                return Poll::Ready(Ok(kept));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_of_those_that_come_at_once_goes_where_it_belongs() {
        for (came, own, others) in [
            (&b"a1a2a3"[..], &b"a1a2a3"[..], &[][..]),
            (b"b1b2b", b"", &[&b"b1"[..], b"b2", b"b"]),
            (b"b1a2b3a", b"a2a", &[b"b1", b"b3"]),
            (b"a1b2a3b", b"a1a3", &[b"b2", b"b"]),
            (b"", b"", &[]),
        ] {
            let mut buffer = [came, b"older bytes"].concat();
            let mut handed_over = Vec::new();
            let kept = keep_own(&mut buffer, came.len(), 2, |packet| {
                let is_other = packet.starts_with(b"b");
                if is_other {
                    handed_over.push(packet.to_vec());
                }
                is_other
            });
            assert_eq!(&buffer[..kept], own);
            assert_eq!(handed_over, others);
        }
    }
}
