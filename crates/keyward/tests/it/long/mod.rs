//! What takes minutes: `cargo xtask test --long`, or
//! `cargo test -p keyward --features long-tests --test it long:: -- --test-threads=1 --nocapture`: one at a time,
//! since they measure, and with what they have measured.

mod h2load;
mod kill;
mod large_bodies;
mod large_bodies_http2;
mod llama;
mod management_kill;
mod overload;
mod paced;
mod running;
mod soak;
mod store_kill;
