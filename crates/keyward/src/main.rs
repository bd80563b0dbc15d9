//! The Keyward binary.
fn main() {}
