//! What takes minutes: `cargo xtask test --long`, or
//! `cargo test -p keyward --features long-tests --test it long::`.

mod kill;
mod large_bodies;
mod running;
mod soak;
