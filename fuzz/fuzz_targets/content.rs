//! Headers that a cache reads, idempotency keys, and bodies that are held against a description.

#![no_main]

use keyward_gateway::{read_cache_headers, read_idempotency_key, read_json_body};
use libfuzzer_sys::fuzz_target;

const BEGINNINGS: &[&[u8]] = &[
    b"",
    b"max-age=60, no-store, private=\"set-cookie, x\", ",
    b"public, s-maxage=1, stale-while-revalidate=",
    b"\"8e03978e-40d5\\\"",
    b"{\"a\":1,\"\\u0061\":",
    b"[[[{\"a\":[",
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let beginning = BEGINNINGS[usize::from(*choice) % BEGINNINGS.len()];
    let bytes = [beginning, rest].concat();
    read_cache_headers(&bytes);
    read_idempotency_key(&bytes);
    read_json_body(&bytes, usize::from(*choice));
});
