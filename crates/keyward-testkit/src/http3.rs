//! A client that speaks HTTP/3, by the libraries `quinn` and `h3`.

use bytes::{Buf as _, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3::error::StreamError;
use h3_quinn::{BidiStream, OpenStreams};
use http::{HeaderMap, Request};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, TransportConfig, VarInt};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a client connects.
#[derive(Debug)]
pub struct Http3Connect<'a> {
    /// Where to.
    pub address: SocketAddr,
    /// The host it asks for.
    pub host: &'a str,
    /// PEM: the root that it believes.
    pub root: &'a str,
    /// PEM: the certificate that it shows, and its key.
    pub identity: Option<(&'a str, &'a str)>,
    /// How much of an answer it takes ahead, in bytes, on a stream and in all.
    pub window: Option<u32>,
}

impl<'a> Http3Connect<'a> {
    /// Without a certificate and with the usual windows.
    #[must_use]
    pub fn to(address: SocketAddr, host: &'a str, root: &'a str) -> Self {
        Self {
            address,
            host,
            root,
            identity: None,
            window: None,
        }
    }
}

/// A connection.
pub struct Http3Client {
    endpoint: Endpoint,
    connection: Connection,
    send: SendRequest<OpenStreams, Bytes>,
    driver: JoinHandle<()>,
}

/// A call whose answer was not read yet.
pub type Http3Stream = RequestStream<BidiStream<Bytes>, Bytes>;

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Http3Reply {
    /// Its status.
    pub status: u16,
    /// Its header fields.
    pub fields: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: Option<HeaderMap>,
}

impl Http3Reply {
    /// A field's value.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.to_str().ok()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

impl Http3Client {
    /// Connects.
    ///
    /// # Errors
    /// When the handshake fails, or does not end in time.
    ///
    /// # Panics
    /// When what it is told to use can't be used.
    pub async fn connect(how: Http3Connect<'_>) -> Result<Self, ConnectionError> {
        let mut endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .expect("loopback has free ports");
        endpoint.set_default_client_config(config(&how));
        let connecting = endpoint
            .connect(how.address, how.host)
            .expect("the host is a name");
        let connection = tokio::time::timeout(PATIENCE, connecting)
            .await
            .unwrap_or(Err(ConnectionError::TimedOut))?;
        let (mut driver, send) = h3::client::new(h3_quinn::Connection::new(connection.clone()))
            .await
            .map_err(|_| ConnectionError::Reset)?;
        let driver = tokio::spawn(async move {
            // How it ends is seen by the calls.
            let _ended = std::future::poll_fn(|context| driver.poll_close(context)).await;
        });
        Ok(Self {
            endpoint,
            connection,
            send,
            driver,
        })
    }

    /// Sends a request's head.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn send(&mut self, request: Request<()>) -> Result<Http3Stream, StreamError> {
        self.send.send_request(request).await
    }

    /// Sends a request with a body that is all there, and reads the answer.
    ///
    /// # Errors
    /// When the answer does not come, or not to its end.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn try_call(
        &mut self,
        request: Request<()>,
        body: &[u8],
    ) -> Result<Http3Reply, StreamError> {
        let call = async {
            let mut stream = self.send(request).await?;
            if !body.is_empty() {
                stream.send_data(Bytes::copy_from_slice(body)).await?;
            }
            stream.finish().await?;
            read_http3(&mut stream).await
        };
        let answered = tokio::time::timeout(PATIENCE, call).await;
        answered.expect("an answer comes in time")
    }

    /// The same, where an answer has to come.
    ///
    /// # Panics
    /// When it does not.
    pub async fn call(&mut self, request: Request<()>, body: &[u8]) -> Http3Reply {
        let answered = self.try_call(request, body).await;
        answered.expect("an answer comes to its end")
    }

    /// Goes on from another port of this address of loopback, as a client does that changes its network.
    ///
    /// # Panics
    /// When there is none.
    pub fn move_to(&self, address: Ipv4Addr) {
        let socket = UdpSocket::bind((address, 0)).expect("loopback has free ports");
        self.endpoint
            .rebind(socket)
            .expect("a socket can be exchanged");
    }

    /// The connection below.
    #[must_use]
    pub fn quic(&self) -> &Connection {
        &self.connection
    }

    /// How the connection ends.
    ///
    /// # Panics
    /// When it does not.
    pub async fn ended(&self) -> ConnectionError {
        let ended = tokio::time::timeout(PATIENCE, self.connection.closed()).await;
        ended.expect("the connection ends in time")
    }
}

impl Drop for Http3Client {
    fn drop(&mut self) {
        self.driver.abort();
        self.connection.close(VarInt::from_u32(0x100), b"");
    }
}

/// Reads an answer to its end.
///
/// # Errors
/// When it does not come to its end.
pub async fn read_http3(stream: &mut Http3Stream) -> Result<Http3Reply, StreamError> {
    let (head, ()) = stream.recv_response().await?.into_parts();
    let mut body = Vec::new();
    while let Some(mut piece) = stream.recv_data().await? {
        body.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    Ok(Http3Reply {
        status: head.status.as_u16(),
        fields: head.headers,
        body,
        trailers: stream.recv_trailers().await?,
    })
}

fn config(how: &Http3Connect<'_>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(how.root.as_bytes()) {
        let root = root.expect("the root is PEM");
        roots.add(root).expect("the root is a certificate");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_root_certificates(roots);
    let mut tls = match how.identity {
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .expect("the certificate is PEM");
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("the key is PEM");
            builder
                .with_client_auth_cert(chain, key)
                .expect("the key is the certificate's")
        }
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let tls = QuicClientConfig::try_from(tls).expect("TLS 1.3 is spoken");
    let mut config = ClientConfig::new(Arc::new(tls));
    let mut transport = TransportConfig::default();
    if let Some(window) = how.window {
        transport
            .stream_receive_window(VarInt::from_u32(window))
            .receive_window(VarInt::from_u32(window));
    }
    config.transport_config(Arc::new(transport));
    config
}
