//! Connections of HTTP/3: from a client's first packet to the end of the handshake.

use super::connection;
use super::connection_id::Generator;
use super::socket::{DatagramSocket, SteeredSocket};
use crate::request::Client;
use crate::settings::{Http3Limits, ListenerSettings};
use crate::tls::{HandshakeFailure, PresentedCertificate, TlsServer};
use crate::transport::{AcceptFailure, ApplicationProtocol, TlsPeer};
use crate::worker::{Phase, Worker};
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{
    Endpoint, EndpointConfig, IdleTimeout, Incoming, Runtime as _, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};
use rustls_pki_types::CertificateDer;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A client from which nothing has come for so long is gone. It is asked for a sign of life before.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const ASKED_AFTER: Duration = Duration::from_secs(10);
/// Streams that go one way: a control stream, two of header compression, and a few of kinds that nobody knows,
/// which clients open to see that they are passed over.
const ONE_WAY_STREAMS: u32 = 8;
/// Connections that have begun and that the worker has not looked at yet; and what may come of one, and of all,
/// before it has.
const WAITING_MAX: usize = 1024;
const WAITING_BYTES: u64 = 64 * 1024;
const WAITING_BYTES_TOTAL: u64 = 8 * 1024 * 1024;
/// When one in so many of the handshakes that may be unfinished is, clients have to show that they are where they
/// say: with a packet that was sent there (RFC 9000, section 8.1.2). It costs them a way there and back.
const UNPROVEN_PART: usize = 16;
/// How long a worker that ends waits until its clients have been told.
const FAREWELL: Duration = Duration::from_millis(500);

/// A listener's endpoint of one worker.
pub(crate) struct Accepting(JoinHandle<Farewell>);

impl Accepting {
    /// Waits until no more connections are accepted.
    pub(crate) async fn stopped(self) -> Option<Farewell> {
        // The task ends when draining begins; it does not fail.
        self.0.await.ok()
    }
}

/// An endpoint whose connections are on their way to their end: the task that holds it until then.
pub(crate) struct Farewell(JoinHandle<()>);

impl Farewell {
    /// Lets the packets go that tell clients of it.
    pub(crate) async fn wait(self) {
        let _all_gone = tokio::time::timeout(FAREWELL, self.0).await;
    }
}

/// Accepts until draining begins.
pub(crate) fn accept(
    worker: Rc<Worker>,
    listener: &ListenerSettings,
    socket: DatagramSocket,
    mut phase: watch::Receiver<Phase>,
) -> io::Result<Option<Accepting>> {
    let Some(tls) = listener.tls.clone() else {
        return Ok(None);
    };
    let Some(offer) = Offer::new(&worker, listener, &tls) else {
        return Ok(None);
    };
    let DatagramSocket { socket, steering } = socket;
    let key = steering.key.clone();
    let mut config = EndpointConfig::default();
    let index = worker.index;
    config.cid_generator(move || Box::new(Generator::new(key.clone(), index)));
    let runtime = Arc::new(TokioRuntime);
    let socket = SteeredSocket::new(runtime.wrap_udp_socket(socket)?, steering);
    let endpoint = Endpoint::new_with_abstract_socket(
        config,
        Some(offer.current(&tls).as_ref().clone()),
        Arc::new(socket),
        runtime,
    )?;
    // Nobody else holds the endpoint, so that its socket closes with this: one that nobody reads would still be given
    // packets, which are another process's that listens beside it.
    let task = tokio::task::spawn_local(async move {
        while *phase.borrow() == Phase::Serving {
            tokio::select! {
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => take(&worker, &offer, &tls, incoming),
                    None => {
                        tracing::error!(
                            worker = worker.index,
                            "HTTP/3 has ended on this worker: its clients go on over TCP; please report this"
                        );
                        break;
                    }
                },
                changed = phase.changed() => if changed.is_err() { break },
            }
        }
        // Whoever comes now is told at once, and may go on over TCP or elsewhere, as long as there are connections to
        // finish.
        Farewell(tokio::task::spawn_local(async move {
            let refusing = async {
                while let Some(incoming) = endpoint.accept().await {
                    incoming.refuse();
                }
            };
            tokio::select! {
                () = refusing => {}
                () = endpoint.wait_idle() => {}
            }
        }))
    });
    Ok(Some(Accepting(task)))
}

/// What connections are accepted with.
struct Offer {
    transport: Arc<TransportConfig>,
    base: ServerConfig,
    current: RefCell<(u64, Arc<ServerConfig>)>,
}

impl Offer {
    fn new(worker: &Worker, listener: &ListenerSettings, tls: &TlsServer) -> Option<Self> {
        listener.http3.as_ref()?;
        let epoch = tls.epoch();
        let crypto: Arc<QuicServerConfig> = tls.quic()?;
        let transport = Arc::new(transport(&worker.settings.limits.http3));
        let mut base = ServerConfig::with_crypto(crypto);
        base.transport_config(Arc::clone(&transport))
            .max_incoming(WAITING_MAX)
            .incoming_buffer_size(WAITING_BYTES)
            .incoming_buffer_size_total(WAITING_BYTES_TOTAL);
        Some(Self {
            transport,
            current: RefCell::new((epoch, Arc::new(base.clone()))),
            base,
        })
    }

    /// With the certificates as they are now.
    fn current(&self, tls: &TlsServer) -> Arc<ServerConfig> {
        let epoch = tls.epoch();
        let mut current = self.current.borrow_mut();
        if current.0 != epoch
            && let Some(crypto) = tls.quic()
        {
            let mut config = self.base.clone();
            config.crypto = crypto;
            config.transport_config(Arc::clone(&self.transport));
            *current = (epoch, Arc::new(config));
        }
        Arc::clone(&current.1)
    }
}

fn transport(limits: &Http3Limits) -> TransportConfig {
    let Http3Limits {
        streams,
        stream_window,
        connection_window,
    } = *limits;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(ONE_WAY_STREAMS))
        .stream_receive_window(VarInt::from_u32(stream_window))
        .receive_window(VarInt::from_u32(connection_window))
        // What was sent is kept until it is acknowledged.
        .send_window(u64::from(connection_window))
        .max_idle_timeout(IdleTimeout::try_from(SILENCE_MAX).ok())
        // A call may be silent for longer: its client is asked whether it is there. Connections without a call are
        // closed by our own clock.
        .keep_alive_interval(Some(ASKED_AFTER))
        // Nothing of HTTP that is served here uses them.
        .datagram_receive_buffer_size(None);
    transport
}

/// Looks at a client's first packet.
fn take(worker: &Rc<Worker>, offer: &Offer, tls: &Arc<TlsServer>, incoming: Incoming) {
    let limits = &worker.settings.limits;
    let refused = |failure| {
        worker
            .metrics
            .accept_failed(&AcceptFailure::Handshake(failure))
    };
    if worker.drain.connections() >= limits.connections || tls.unfinished() >= limits.handshakes {
        // Without a word: what refuses each of many costs more than they do.
        incoming.ignore();
        return refused(HandshakeFailure::TooMany);
    }
    if tls.unfinished() >= limits.handshakes / UNPROVEN_PART && !incoming.remote_address_validated()
    {
        if let Err(error) = incoming.retry() {
            tracing::debug!(%error, "a client could not be asked for its address");
        }
        return;
    }
    let config = offer.current(tls);
    let (worker, tls) = (Rc::clone(worker), Arc::clone(tls));
    worker.metrics.connection_opened();
    // From before the task's first turn to its end, so that draining waits for it.
    let open = worker.drain.connection();
    tokio::task::spawn_local(async move {
        let address = incoming.remote_address();
        let bound = worker.settings.limits.handshake_timeout;
        let shaking = tokio::time::timeout(bound, handshake(&worker, &tls, config, incoming));
        match shaking.await.unwrap_or(Err(AcceptFailure::Late(bound))) {
            Ok((connection, client)) => {
                worker.metrics.handshake(false);
                connection::serve(Rc::clone(&worker), connection, client).await;
            }
            Err(failure) => {
                worker.metrics.accept_failed(&failure);
                tracing::debug!(peer = %address, %failure, "a connection ended before its first request");
            }
        }
        drop(open);
        worker.metrics.connection_closed();
    });
}

async fn handshake(
    worker: &Worker,
    tls: &Arc<TlsServer>,
    config: Arc<ServerConfig>,
    incoming: Incoming,
) -> Result<(quinn::Connection, Rc<Client>), AcceptFailure> {
    let _unfinished = tls
        .begin_handshake(worker.settings.limits.handshakes)
        .map_err(AcceptFailure::Handshake)?;
    let failed = |error: quinn::ConnectionError| {
        AcceptFailure::Handshake(HandshakeFailure::Io(io::Error::other(error)))
    };
    // Read first: certificates that are verified by older roots are verified again.
    let epoch = tls.epoch();
    // Read first too: the handshake proves this one. The client may already have moved when its end is seen here,
    // and another address is no more than what a packet claims.
    let address = incoming.remote_address();
    let connection = incoming
        .accept_with(config)
        .map_err(failed)?
        .await
        .map_err(failed)?;
    let certificate = certificate(tls, &connection, epoch).map_err(|failure| {
        connection.close(super::code::NO_ERROR, b"the certificate is no longer good");
        AcceptFailure::Handshake(failure)
    })?;
    let data = connection
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok());
    tracing::debug!(
        %address,
        server_name = ?data.as_ref().and_then(|data| data.server_name.as_deref()),
        ?certificate,
        "a connection of HTTP/3 is open"
    );
    let peer = TlsPeer {
        certificate,
        server_name: data
            .and_then(|data| data.server_name)
            .map(String::into_boxed_str),
        resumed: false,
        protocol: Some(ApplicationProtocol::Http3),
        alternative: None,
    };
    let client = Client::new(address).with_tls(Some(Box::new(peer)));
    Ok((connection, Rc::new(client)))
}

fn certificate(
    tls: &Arc<TlsServer>,
    connection: &quinn::Connection,
    epoch: u64,
) -> Result<Option<PresentedCertificate>, HandshakeFailure> {
    let identity = connection.peer_identity();
    let chain = identity.and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
    tls.quic_client(&chain.map_or_else(Vec::new, |chain| *chain), epoch)
}
