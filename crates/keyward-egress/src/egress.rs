//! Fetching.

use crate::connect::{Connection, connect};
use crate::error::Error;
use crate::policy::Policy;
use crate::request::Request;
use crate::resolver::{Resolve, SystemResolver};
use crate::url::{Scheme, Url};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use keyward_model::network::AllowRule;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// The largest head of an answer in bytes: four times what servers commonly allow themselves.
const HEAD_MAX: usize = 32 * 1024;
/// The most headers of an answer.
const HEADERS_MAX: usize = 100;

/// What one fetch may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest body in bytes.
    pub max_bytes: usize,
    /// How long it may take in all: resolving, connecting, redirects and the last byte.
    pub total: Duration,
    /// How long connecting to one address may take.
    pub connect: Duration,
    /// How many redirects are followed.
    pub max_redirects: u8,
}

impl Limits {
    /// For key sets and metadata. The largest key sets of large issuers have some 50 kB; servers that are
    /// up answer within a second, from the other side of the earth too; nobody needs more than a redirect
    /// to `www` and one to a content network.
    pub const DOCUMENT: Self = Self {
        max_bytes: 512 * 1024,
        total: Duration::from_secs(10),
        connect: Duration::from_secs(3),
        max_redirects: 3,
    };
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Response {
    /// Where it came from, after redirects.
    pub url: Url,
    /// The status; a redirect only when it could not be followed as one (304, 300).
    pub status: u16,
    /// The headers as they came.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

/// The way out. Make one and share it.
#[derive(Clone)]
pub struct Egress {
    policy: Arc<Policy>,
    resolver: Arc<dyn Resolve>,
    tls: Arc<ClientConfig>,
}

impl Egress {
    /// An egress that resolves names as the machine does.
    ///
    /// The system's roots are read from where the system keeps them (OpenSSL's `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` included), once, now.
    ///
    /// # Errors
    /// [`Error::Roots`] when one of the policy's roots is broken, or none is there at all.
    pub fn new(policy: Policy) -> Result<Self, Error> {
        Self::with_resolver(policy, Arc::new(SystemResolver))
    }

    /// An egress with a resolver of the caller's.
    ///
    /// # Errors
    /// As [`Egress::new`].
    pub fn with_resolver(policy: Policy, resolver: Arc<dyn Resolve>) -> Result<Self, Error> {
        let tls = Arc::new(tls(&policy)?);
        Ok(Self {
            policy: Arc::new(policy),
            resolver,
            tls,
        })
    }

    /// The same, which may go to these addresses too.
    #[must_use]
    pub fn allowing(&self, rules: Vec<AllowRule>) -> Self {
        let mut policy = Policy::clone(&self.policy);
        policy.allow.extend(rules);
        Self {
            policy: Arc::new(policy),
            resolver: Arc::clone(&self.resolver),
            tls: Arc::clone(&self.tls),
        }
    }

    /// Fetches a resource, following redirects (but those of a POST or PUT), within `limits`. Dropping the future ends everything
    /// that belongs to it.
    ///
    /// # Errors
    /// Every [`Error`]: refused addresses and URLs, failures of the network, bounds that were passed.
    /// A status is none of them.
    pub async fn fetch(&self, request: Request, limits: Limits) -> Result<Response, Error> {
        let following = Box::pin(self.follow(&request, limits));
        match tokio::time::timeout(limits.total, following).await {
            Ok(result) => result,
            Err(_) => Err(Error::TimedOut {
                host: request.url.host().to_string(),
                limit: limits.total,
            }),
        }
    }

    async fn follow(&self, request: &Request, limits: Limits) -> Result<Response, Error> {
        let mut url = request.url.clone();
        let mut redirects = 0;
        loop {
            let response = self.exchange(request, &url, limits).await?;
            if matches!(request.method, Method::POST | Method::PUT) {
                return Ok(response);
            }
            let Some(next) = redirect(&url, &response)? else {
                return Ok(response);
            };
            if redirects == limits.max_redirects {
                return Err(Error::TooManyRedirects {
                    host: url.host().to_string(),
                    limit: limits.max_redirects,
                });
            }
            redirects += 1;
            url = next;
        }
    }

    /// One request and its answer, on a connection of its own.
    async fn exchange(
        &self,
        request: &Request,
        url: &Url,
        limits: Limits,
    ) -> Result<Response, Error> {
        let connection = connect(
            url,
            &self.policy,
            self.resolver.as_ref(),
            &self.tls,
            limits.connect,
        )
        .await?;
        let broke = |error: hyper::Error| protocol(url, error.to_string());
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_MAX)
            .max_headers(HEADERS_MAX)
            .handshake::<TokioIo<Connection>, Full<Bytes>>(TokioIo::new(connection))
            .await
            .map_err(broke)?;
        let mut message = http::Request::builder()
            .method(request.method.clone())
            .uri(url.path_and_query())
            .body(Full::new(request.body.clone()))
            .map_err(|_| Error::Url {
                url: url.to_string(),
                why: "its path can't be sent",
            })?;
        *message.headers_mut() = request.headers_for(url)?;
        let answer = async {
            let response = sender.send_request(message).await.map_err(broke)?;
            receive(url, response, limits.max_bytes).await
        };
        // The connection is driven here rather than in a task of its own, so that nothing of it outlives
        // the fetch. It may end before the last bytes of the body are taken out of it.
        let mut answer = pin!(answer);
        let mut connection = pin!(connection);
        let mut open = true;
        loop {
            tokio::select! {
                result = &mut answer => return result,
                _ = &mut connection, if open => open = false,
            }
        }
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

fn tls(policy: &Policy) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    if policy.system_roots {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's root certificates can't be read");
        }
        // Some systems carry old roots that a strict parser refuses. The rest serves.
        let (_, ignored) = roots.add_parsable_certificates(found.certs);
        if ignored > 0 {
            tracing::debug!(ignored, "system roots that can't be parsed are left out");
        }
    }
    for root in &policy.extra_roots {
        roots
            .add(root.clone())
            .map_err(|error| Error::Roots(format!("an extra root can't be used: {error}")))?;
    }
    if roots.is_empty() {
        tracing::warn!("no root certificates: every fetch over https will fail");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Roots(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Where an answer redirects to; `None` when it is none of the redirects of RFC 9110, section 15.4, that
/// a GET follows.
fn redirect(url: &Url, response: &Response) -> Result<Option<Url>, Error> {
    if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let refuse = |why: String| Error::Redirect {
        host: url.host().to_string(),
        why,
    };
    let mut locations = response.headers.get_all(LOCATION).iter();
    let (Some(location), None) = (locations.next(), locations.next()) else {
        return Err(refuse("it has no location, or several".to_owned()));
    };
    let location = location
        .to_str()
        .map_err(|_| refuse("its location is not ASCII".to_owned()))?;
    let next = url
        .join(location)
        .map_err(|error| refuse(error.to_string()))?;
    match (url.scheme(), next.scheme()) {
        (Scheme::Https, Scheme::Http) => Err(refuse("it leads from https to http".to_owned())),
        (Scheme::Http, Scheme::Http | Scheme::Https) | (Scheme::Https, Scheme::Https) => {
            Ok(Some(next))
        }
    }
}

/// Reads an answer whole, within the bound.
async fn receive(
    url: &Url,
    response: http::Response<Incoming>,
    max_bytes: usize,
) -> Result<Response, Error> {
    let (head, mut body) = response.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(protocol(url, "it switches protocols".to_owned()));
    }
    for encoding in &head.headers.get_all(CONTENT_ENCODING) {
        if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
            return Err(Error::ContentEncoding {
                host: url.host().to_string(),
                encoding: String::from_utf8_lossy(encoding.as_bytes())
                    .chars()
                    .take(40)
                    .collect(),
            });
        }
    }
    let too_large = || Error::TooLarge {
        host: url.host().to_string(),
        limit: max_bytes,
    };
    // What says itself that it is too large need not be read. What says otherwise is counted.
    let announced = head
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if announced.is_some_and(|length| length > u64::try_from(max_bytes).unwrap_or(u64::MAX)) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| protocol(url, error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            if data.len() > max_bytes - bytes.len() {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(Response {
        url: url.clone(),
        status: head.status.as_u16(),
        headers: head.headers,
        body: bytes.freeze(),
    })
}

fn protocol(url: &Url, why: String) -> Error {
    Error::Protocol {
        host: url.host().to_string(),
        why,
    }
}
