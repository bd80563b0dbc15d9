//! What HTTP/1.1's parser makes of a head that came over HTTP/3: the same, or the head could be read in two ways
//! behind us.

use super::head;
use super::qpack::Section;
use crate::http1::{HeadBounds, HeadParser};
use crate::message::{Fields, Header};
use http::Method;

const BOUNDS: HeadBounds = HeadBounds {
    line: 8 * 1024,
    head: 64 * 1024,
    fields: 100,
};

/// Reads a header section, and where it is one, what it would be in HTTP/1.1.
///
/// # Panics
/// When the two disagree.
#[cfg_attr(
    not(feature = "fuzzing"),
    expect(unreachable_pub, reason = "public for fuzz targets")
)]
pub fn compare_section(section: &[u8]) {
    let _trailers = head::trailers(section, BOUNDS.head);
    let Ok(read) = head::read(section, BOUNDS, (Fields::new(), Vec::new())) else {
        return;
    };
    let head = read.head;
    assert_eq!(head.fields.all(Header::Host).count(), 1);
    assert!(head.fields.all(Header::Cookie).count() <= 1);
    if head.method == Method::CONNECT {
        return;
    }
    let mut text = format!("{} {} HTTP/1.1\r\n", head.method, head.path_and_query()).into_bytes();
    head.fields.write(&mut text);
    text.extend_from_slice(b"\r\n");
    // What joins the parts of a line takes some bytes more than a section has.
    let bounds = HeadBounds {
        line: 2 * BOUNDS.line,
        head: 2 * BOUNDS.head,
        fields: BOUNDS.fields,
    };
    let mut parser = HeadParser::of_request(bounds, Fields::new());
    let end = parser.advance(&mut text);
    assert!(end.is_ok_and(|end| end == Some(text.len())));
    let framing = parser.framing();
    assert_eq!(framing.content_length, read.content_length);
    assert!(!framing.chunked && !framing.close && !framing.keep_alive);
    let same = parser.into_request(text);
    assert!(same.is_some());
    let Some(same) = same else {
        return;
    };
    assert_eq!(same.method, head.method);
    assert_eq!(same.path_and_query(), head.path_and_query());
    assert_eq!((same.path(), same.query()), (head.path(), head.query()));
    assert_eq!(same.fields, head.fields);
}

/// The section of these fields, for targets that begin with a good one.
#[cfg_attr(
    not(feature = "fuzzing"),
    expect(unreachable_pub, reason = "public for fuzz targets")
)]
pub fn write_section(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut section = Section::of_trailers(0);
    for (name, value) in fields {
        section.field(name, value);
    }
    section.bytes().to_vec()
}
