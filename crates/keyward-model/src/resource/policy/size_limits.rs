//! How large a call may be.

use std::num::NonZeroU64;

/// Bounds below those of the node. `None`: the node's alone holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeLimits {
    /// The body, in bytes as they come; it takes the place of the API's `max_body`.
    pub body: Option<u64>,
    /// Path and query as they were sent, in bytes.
    pub url: Option<NonZeroU64>,
    /// The header section: for each field its name, its value and four bytes more, as HTTP/1.1 writes it. It
    /// counts the same over HTTP/2.
    pub headers: Option<NonZeroU64>,
    /// How many header fields there may be.
    pub header_fields: Option<NonZeroU64>,
}
