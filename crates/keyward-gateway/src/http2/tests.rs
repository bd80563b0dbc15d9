//! Heads that the `h2` crate lets pass, read on.

use super::head::{ReadHead, read};
use crate::http1::HeadBounds;
use crate::message::{Fields, Header, RequestHead, Version};
use http::Request;
use http::request::Builder;
use keyward_model::{Code, Fault};

const BOUNDS: HeadBounds = HeadBounds {
    line: 100,
    head: 300,
    fields: 10,
};

fn get(uri: &str) -> Builder {
    Request::get(uri)
}

fn result(builder: Builder) -> Result<ReadHead, Fault> {
    let (parts, ()) = builder.body(()).unwrap().into_parts();
    read(parts, BOUNDS, (Fields::new(), Vec::new()))
}

#[track_caller]
fn head(builder: Builder) -> RequestHead {
    result(builder).unwrap().head
}

#[track_caller]
fn refused(builder: Builder, code: Code) {
    assert_eq!(result(builder).unwrap_err().code(), code);
}

#[test]
fn a_head_has_its_target_its_host_and_its_fields() {
    let head = head(get("http://a.test/b/c?d=e").header("x-one", "1"));
    assert_eq!(head.version, Version::Http2);
    assert_eq!((head.path(), head.query()), ("/b/c", Some("d=e")));
    assert_eq!(head.path_and_query(), "/b/c?d=e");
    assert_eq!(head.authority(), None);
    assert_eq!(
        head.fields,
        Fields::from([("host", "a.test"), ("x-one", "1")])
    );
}

#[test]
fn memory_of_an_earlier_head_is_used_and_nothing_of_it_is_left() {
    let before = head(get("http://before.test/secret").header("authorization", "Bearer x"));
    let (parts, ()) = get("http://a.test/").body(()).unwrap().into_parts();
    let head = read(parts, BOUNDS, before.fields.recycle()).unwrap().head;
    assert_eq!(head.path(), "/");
    assert_eq!(head.fields, Fields::from([("host", "a.test")]));
}

#[test]
fn the_host_is_named_once() {
    assert_eq!(
        head(get("/x").header("host", "a.test"))
            .fields
            .get(Header::Host),
        Some(&b"a.test"[..])
    );
    head(get("http://a.test/x").header("host", "A.test"));
    refused(get("/x"), Code::BadRequest);
    refused(
        get("http://a.test/x").header("host", "b.test"),
        Code::BadRequest,
    );
    refused(get("http://u@a.test/x"), Code::BadRequest);
    refused(
        get("/x").header("host", "a.test").header("host", "a.test"),
        Code::BadRequest,
    );
}

#[test]
fn crumbs_of_cookies_are_put_together_in_their_order() {
    let builder = get("http://a.test/")
        .header("cookie", "a=1")
        .header("x-between", "1")
        .header("cookie", "b=2");
    let head = head(builder);
    assert_eq!(
        head.fields.all(Header::Cookie).collect::<Vec<_>>(),
        [b"a=1; b=2"]
    );
}

#[test]
fn a_length_is_a_number_that_stands_there_once() {
    let long = |value: &str| get("http://a.test/").header("content-length", value);
    assert_eq!(result(long("7")).unwrap().content_length, Some(7));
    assert_eq!(result(get("http://a.test/")).unwrap().content_length, None);
    for value in ["", "+7", "7 ", "0x7", "7,7", "99999999999999999999"] {
        refused(long(value), Code::BadRequest);
    }
    refused(long("7").header("content-length", "7"), Code::BadRequest);
}

#[test]
fn fields_of_a_connection_are_none_of_http2() {
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ] {
        refused(get("http://a.test/").header(name, "x"), Code::BadRequest);
    }
    head(get("http://a.test/").header("te", "trailers"));
}

#[test]
fn white_space_around_a_value_is_refused() {
    for value in [" x", "x ", "\tx", "x\t", " "] {
        refused(
            get("http://a.test/").header("x-one", value),
            Code::BadRequest,
        );
    }
    head(
        get("http://a.test/")
            .header("x-one", "a b\tc")
            .header("x-two", ""),
    );
}

#[test]
fn each_bound_is_told_by_its_code() {
    let path = |length: usize| format!("http://a.test/{}", "x".repeat(length - 1));
    head(get(&path(BOUNDS.line)));
    refused(get(&path(BOUNDS.line + 1)), Code::UriTooLong);
    let value = "x".repeat(300);
    refused(
        get("http://a.test/").header("x-long", &value),
        Code::HeadersTooLarge,
    );
    // The host is one of the ten.
    let many = |count: usize| {
        (0..count).fold(get("http://a.test/"), |builder, _| builder.header("x", "1"))
    };
    head(many(9));
    refused(many(10), Code::HeadersTooLarge);
}
