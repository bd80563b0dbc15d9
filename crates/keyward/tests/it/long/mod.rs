//! What takes minutes: `cargo xtask test --long`, or
//! `cargo test -p keyward --features long-tests --test it long::`.

mod kill;
mod large_bodies;
mod large_bodies_http2;
mod running;
mod soak;
