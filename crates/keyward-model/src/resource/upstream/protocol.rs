//! Which protocol an upstream is spoken to in.

/// The version of HTTP between this node and the targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1: a connection carries one call at a time.
    #[default]
    Http1,
    /// HTTP/2 alone (RFC 9113): agreed upon by ALPN where TLS is spoken, with prior knowledge where it is
    /// not (section 3.3).
    Http2,
    /// Whichever of the two a target chooses in its TLS handshake; HTTP/1.1 where there is none.
    Auto,
}
