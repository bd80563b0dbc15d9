//! What the rooms of the cache do together is tested over real sockets, in `crates/keyward/tests/it/policies`.
