//! The PROXY protocol's header.

#![no_main]

use keyward_gateway::proxy_protocol::{HEADER_MAX, Reading, read};
use libfuzzer_sys::fuzz_target;

const BEGINNINGS: &[&[u8]] = &[
    b"",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n",
    b"PROXY TCP6 ",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x34",
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let beginning = BEGINNINGS[usize::from(*choice) % BEGINNINGS.len()];
    let bytes = [beginning, rest].concat();
    let whole = read(&bytes);
    if whole == Reading::NeedMore {
        assert!(bytes.len() < HEADER_MAX, "a header has an end");
    }
    for length in 0..bytes.len() {
        match read(&bytes[..length]) {
            Reading::NeedMore => {}
            Reading::Parsed(header) => {
                assert!(header.consumed <= length);
                assert_eq!(whole, Reading::Parsed(header), "decided once");
            }
            Reading::Refused(_) => assert!(matches!(whole, Reading::Refused(_))),
        }
    }
});
