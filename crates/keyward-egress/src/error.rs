//! Why nothing was fetched.

use crate::Refusal;
use std::net::SocketAddr;
use std::time::Duration;

/// Everything that can keep an answer from coming back. The texts are for operators: they may hold
/// addresses of the inside, which callers must not see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a URL that is fetched here.
    #[error("`{url}` can't be fetched: {why}")]
    Url {
        /// The text, cut when it is long; without what stands before an `@`.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A header that the caller may not set.
    #[error("the header `{0}` can't be set on a request of the egress")]
    Header(String),
    /// The address may not be dialled.
    #[error(
        "{host} is at {address}, which is {refusal}: allow it in the egress' allow list if that is meant"
    )]
    Refused {
        /// As the URL names it.
        host: String,
        /// What the name resolved to.
        address: SocketAddr,
        /// Why it may not be dialled.
        refusal: Refusal,
    },
    /// `http:` to an address that the operator has not allowed.
    #[error(
        "{host} at {address} would be asked without TLS: use https, or allow the address in the egress' allow list"
    )]
    Unprotected {
        /// As the URL names it.
        host: String,
        /// What the name resolved to.
        address: SocketAddr,
    },
    /// The name has no address, or the resolver failed.
    #[error("{host} can't be resolved: {why}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        why: String,
    },
    /// No connection to any of the addresses.
    #[error("{host} can't be reached at {address}: {why}")]
    Connect {
        /// As the URL names it.
        host: String,
        /// The address tried last.
        address: SocketAddr,
        /// What the system said.
        why: String,
    },
    /// The TLS handshake failed: mostly a certificate that is not to be trusted.
    #[error("TLS with {host} failed: {why}")]
    Tls {
        /// As the URL names it.
        host: String,
        /// What the handshake said.
        why: String,
    },
    /// No root certificate is there to check TLS with, or one that was given is broken.
    #[error("root certificates: {0}")]
    Roots(String),
    /// The answer is not HTTP, or broke off.
    #[error("{host} broke the protocol: {why}")]
    Protocol {
        /// As the URL names it.
        host: String,
        /// What was wrong.
        why: String,
    },
    /// The answer's body is over the bound.
    #[error("{host} sent more than {limit} bytes")]
    TooLarge {
        /// As the URL names it.
        host: String,
        /// The bound.
        limit: usize,
    },
    /// The answer is compressed although that was not asked for.
    #[error("{host} sent a body with content-encoding `{encoding}`, which is not taken here")]
    ContentEncoding {
        /// As the URL names it.
        host: String,
        /// What the answer says.
        encoding: String,
    },
    /// The whole fetch, redirects included, took too long.
    #[error("{host} did not answer within {limit:?}")]
    TimedOut {
        /// As the first URL names it.
        host: String,
        /// The bound.
        limit: Duration,
    },
    /// More redirects than the bound.
    #[error("{host} redirects more than {limit} times")]
    TooManyRedirects {
        /// As the last URL names it.
        host: String,
        /// The bound.
        limit: u8,
    },
    /// A redirect that can't be followed.
    #[error("{host} redirects to nowhere that may be followed: {why}")]
    Redirect {
        /// As the redirecting URL names it.
        host: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// The stable code, in snake case, for logs and metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Url { .. } => "url",
            Self::Header(_) => "header",
            Self::Refused { .. } => "address_refused",
            Self::Unprotected { .. } => "unprotected",
            Self::Resolve { .. } => "resolve",
            Self::Connect { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::Roots(_) => "roots",
            Self::Protocol { .. } => "protocol",
            Self::TooLarge { .. } => "too_large",
            Self::ContentEncoding { .. } => "content_encoding",
            Self::TimedOut { .. } => "timed_out",
            Self::TooManyRedirects { .. } => "too_many_redirects",
            Self::Redirect { .. } => "redirect",
        }
    }
}
