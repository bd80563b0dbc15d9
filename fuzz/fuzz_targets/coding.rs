//! Requests' bodies in a content coding.

#![no_main]

use keyward_gateway::decompress_in_pieces;
use keyward_model::resource::coding::ContentCoding;
use libfuzzer_sys::fuzz_target;

/// How streams begin: what follows is more often read on.
const BEGINNINGS: [&[u8]; 6] = [
    b"",
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
    b"\x78\x9c",
    b"\x0b",
    b"\x28\xb5\x2f\xfd\0\x58",
    b"\x28\xb5\x2f\xfd\x20",
];
const BOUNDS: (u64, u64) = (1 << 20, 100);

fuzz_target!(|data: &[u8]| {
    let [coding, beginning, size, rest @ ..] = data else {
        return;
    };
    let coding = ContentCoding::ALL[usize::from(*coding) % ContentCoding::ALL.len()];
    let beginning = BEGINNINGS[usize::from(*beginning) % BEGINNINGS.len()];
    let bytes = [beginning, rest].concat();
    let (whole, end) = decompress_in_pieces(coding, &bytes, usize::MAX, BOUNDS);
    assert!(whole.len() as u64 <= BOUNDS.0, "the bound holds");
    let (cut, end_of_cut) = decompress_in_pieces(coding, &bytes, usize::from(*size), BOUNDS);
    // Whether it is a stream, and of what, does not hang on how it comes. When it is none, how much of it
    // was read until that was seen does; and so does the ratio, which counts what has come in.
    if end.is_none() && end_of_cut.is_none() {
        assert_eq!(whole, cut);
    }
    if end.is_none() {
        assert!(end_of_cut.is_none_or(|why| why.contains("ratio")));
    }
});
