//! Policies: what a route does with calls besides sending them on. Each stands in a room of its own; the order
//! in which they have their turn is that of [`request`](crate::request).

pub(crate) mod cache;
pub(crate) mod content;
