//! The protocol's messages on their way through the egress.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use keyward_egress::{Egress, Limits, Request, Url};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// What one message may cost. Chains have some 10 kB; an authority under load takes its time.
const LIMITS: Limits = Limits {
    max_bytes: 256 * 1024,
    total: Duration::from_secs(30),
    connect: Duration::from_secs(5),
    max_redirects: 3,
};

/// What the signed messages of RFC 8555, section 6.2, are.
const SIGNED: &str = "application/jose+json";

/// An HTTP client that can go where the egress may.
pub(super) struct WayOut(pub(super) Egress);

impl HttpClient for WayOut {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let egress = self.0.clone();
        Box::pin(async move { send(&egress, request).await })
    }
}

async fn send(
    egress: &Egress,
    request: http::Request<BodyWrapper<Bytes>>,
) -> Result<BytesResponse, Error> {
    let (head, body) = request.into_parts();
    let failed = |error: keyward_egress::Error| Error::Other(Box::new(error));
    // What an authority names in its directory is held against the egress's rules like any address.
    let url = Url::parse(&head.uri.to_string()).map_err(failed)?;
    let mut outgoing = Request::at(url);
    if head.method == Method::HEAD {
        outgoing = outgoing.head_only();
    } else if head.method == Method::POST {
        let signed = HeaderValue::from_static(SIGNED);
        if head.headers.get(CONTENT_TYPE) != Some(&signed) {
            return Err(Error::Str("a media type that is sent"));
        }
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        outgoing = outgoing.post(SIGNED, body);
    } else if head.method != Method::GET {
        return Err(Error::Str("a method that is sent"));
    }
    let answer = egress.fetch(outgoing, LIMITS).await.map_err(failed)?;
    let mut response = Response::builder().status(answer.status);
    if let Some(headers) = response.headers_mut() {
        *headers = answer.headers;
    }
    Ok(response.body(Full::new(answer.body))?.into())
}
