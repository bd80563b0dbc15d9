//! For fuzz targets: what the cache reads of strangers' headers, held against a simpler reading.

use super::conditions::{Part, of_range};
use super::directives::{RequestDirectives, ResponseDirectives};
use crate::message::Fields;

/// Reads the value as `Cache-Control` and as `Range`.
///
/// # Panics
/// When a directive is overlooked that a simpler reading finds, or a range leads out of its body.
pub fn read_cache_headers(value: &[u8]) {
    let mut fields = Fields::new();
    fields.append_named("cache-control", value);
    let answer = ResponseDirectives::of(&fields);
    let _request = RequestDirectives::of(&fields);
    let quoted = value.iter().any(|byte| matches!(byte, b'"' | b'\\'));
    let simple = |name: &[u8]| {
        !fields.bytes().is_empty()
            && value
                .split(|byte| *byte == b',')
                .any(|member| member.trim_ascii().eq_ignore_ascii_case(name))
    };
    if !quoted {
        assert_eq!(answer.no_store, simple(b"no-store"));
        assert!(answer.private || !simple(b"private"));
        assert_eq!(answer.public, simple(b"public"));
    }
    let range = [b"bytes=", value].concat();
    for length in [0, 1, 10, usize::MAX] {
        if let Part::Range(from, to) = of_range(&range, length) {
            assert!(from < to && to <= length);
        }
    }
}
