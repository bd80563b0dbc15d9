//! What is asked for.

use crate::error::Error;
use crate::url::Url;
use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, IF_NONE_MATCH,
    RANGE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// How the egress names itself to others.
const PRODUCT: HeaderValue =
    HeaderValue::from_static(concat!("keyward/", env!("CARGO_PKG_VERSION")));

/// Headers that the egress alone sets: framing, routing, and what would change the form of the answer.
const OWN_HEADERS: &[HeaderName] = &[
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    RANGE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    USER_AGENT,
];

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) url: Url,
    pub(crate) method: Method,
    pub(crate) body: Bytes,
    /// For this resource, wherever it is: kept when a redirect leads to another origin.
    general: HeaderMap,
    /// For this origin alone: credentials may be among them.
    private: HeaderMap,
}

impl Request {
    /// A request for the resource at `url`.
    ///
    /// # Errors
    /// [`Error::Url`] when that is no URL which can be fetched.
    pub fn get(url: &str) -> Result<Self, Error> {
        Ok(Self::at(Url::parse(url)?))
    }

    /// A request for the resource at `url`.
    #[must_use]
    pub fn at(url: Url) -> Self {
        Self {
            url,
            method: Method::GET,
            body: Bytes::new(),
            general: HeaderMap::new(),
            private: HeaderMap::new(),
        }
    }

    /// Asks for the head of an answer alone (RFC 9110, section 9.3.2).
    #[must_use]
    pub fn head_only(mut self) -> Self {
        self.method = Method::HEAD;
        self
    }

    /// Sends a body, as POST. An answer that redirects is returned as it is: what was meant for one address
    /// is not sent to another.
    #[must_use]
    pub fn post(mut self, media_type: &'static str, body: Bytes) -> Self {
        self.method = Method::POST;
        self.body = body;
        self.general
            .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        self
    }

    /// Asks as PUT, without a body. An answer that redirects is returned as it is.
    #[must_use]
    pub fn put(mut self) -> Self {
        self.method = Method::PUT;
        self
    }

    /// The media types that are wanted (RFC 9110, section 12.5.1).
    #[must_use]
    pub fn accept(mut self, media_types: &'static str) -> Self {
        self.general
            .insert(ACCEPT, HeaderValue::from_static(media_types));
        self
    }

    /// Asks for an answer only if the resource is no longer the one with this entity tag (RFC 9110,
    /// section 13.1.2). The tag is written as it came in `ETag`.
    #[must_use]
    pub fn if_none_match(mut self, tag: HeaderValue) -> Self {
        self.general.insert(IF_NONE_MATCH, tag);
        self
    }

    /// Adds a header for the URL's origin; it does not go along to another one.
    ///
    /// # Errors
    /// [`Error::Header`] for those that the egress sets itself.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Result<Self, Error> {
        if OWN_HEADERS.contains(&name) {
            return Err(Error::Header(name.as_str().to_owned()));
        }
        self.private.append(name, value);
        Ok(self)
    }

    /// What is sent to `url`, which is where redirects have led so far.
    pub(crate) fn headers_for(&self, url: &Url) -> Result<HeaderMap, Error> {
        let mut headers = self.general.clone();
        if url.same_origin(&self.url) {
            for (name, value) in &self.private {
                headers.append(name, value.clone());
            }
        }
        let authority = HeaderValue::try_from(url.authority()).map_err(|_| Error::Url {
            url: url.to_string(),
            why: "its host can't be sent",
        })?;
        headers.insert(HOST, authority);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(USER_AGENT, PRODUCT);
        Ok(headers)
    }
}
