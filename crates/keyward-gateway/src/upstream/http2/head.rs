//! Heads of requests and answers as HTTP/2 has them (RFC 9113, section 8.3).

use crate::message::Fields;
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};
use keyward_model::{Code, Fault};

/// Fields of an answer: as many as in HTTP/1.1.
const FIELDS_MAX: usize = 128;

/// What makes up the head of a request.
pub(crate) struct RequestParts<'a> {
    pub(crate) method: &'a Method,
    pub(crate) scheme: &'a Scheme,
    pub(crate) authority: &'a Authority,
    /// With its query.
    pub(crate) path: Vec<u8>,
    pub(crate) fields: &'a Fields,
    pub(crate) length: Option<u64>,
    /// Whether the client understands trailers (RFC 9110, section 10.1.4).
    pub(crate) takes_trailers: bool,
}

impl RequestParts<'_> {
    /// The head.
    ///
    /// # Errors
    /// A fault of the caller's: the path has a character that stands in no address.
    pub(crate) fn into_request(self) -> Result<Request<()>, Fault> {
        let path = PathAndQuery::from_maybe_shared(Bytes::from(self.path));
        let path = path.map_err(bad_address)?;
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(bad_address)?;
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        let mut fields = self.fields.to_header_map(2);
        if let Some(length) = self.length {
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if self.takes_trailers {
            fields.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        *request.headers_mut() = fields;
        Ok(request)
    }
}

fn bad_address(error: impl std::fmt::Display) -> Fault {
    Fault::new(
        Code::BadRequest,
        "The request's path has a character that stands in no address",
    )
    .because(error)
}

/// The fields of an answer's head or trailers.
///
/// # Errors
/// What is wrong with them.
pub(super) fn fields(map: &HeaderMap) -> Result<Fields, &'static str> {
    if map.len() > FIELDS_MAX {
        return Err("more than 128 header fields");
    }
    Ok(Fields::of_header_map(map))
}
