//! Header sections, read as heads.

use super::head::{ReadHead, Unread, read, trailers};
use super::oracle::{compare_section, write_section};
use crate::http1::HeadBounds;
use crate::message::{Fields, Header, RequestHead, Version};
use crate::settings::Http3Settings;
use http::Method;
use keyward_model::{Code, Fault};
use proptest::prelude::*;

const BOUNDS: HeadBounds = HeadBounds {
    line: 100,
    head: 400,
    fields: 10,
};

const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "a.test"),
    (":path", "/b/c?d=e"),
];

fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    write_section(&fields)
}

fn result(fields: &[(&str, &str)]) -> Result<ReadHead, Unread> {
    read(&section(fields), BOUNDS, (Fields::new(), Vec::new()))
}

#[track_caller]
fn head(fields: &[(&str, &str)]) -> RequestHead {
    result(fields).unwrap().head
}

#[track_caller]
fn refused(fields: &[(&str, &str)], code: Code) -> (Method, Fault) {
    match result(fields) {
        Err(Unread::Refused(method, fault)) => {
            assert_eq!(fault.code(), code, "{fields:?}");
            (method, fault)
        }
        other => panic!("{other:?}: {fields:?}"),
    }
}

/// GET's fields, and these.
fn and<'a>(fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&GET, fields].concat()
}

#[test]
fn a_head_has_its_target_its_host_and_its_fields() {
    let head = head(&and(&[("x-one", "1")]));
    assert_eq!(head.version, Version::Http3);
    assert_eq!(head.method, Method::GET);
    assert_eq!((head.path(), head.query()), ("/b/c", Some("d=e")));
    assert_eq!(head.path_and_query(), "/b/c?d=e");
    assert_eq!(head.authority(), None);
    assert_eq!(
        head.fields,
        Fields::from([("x-one", "1"), ("host", "a.test")])
    );
}

#[test]
fn clients_are_told_the_port_that_they_reach() {
    for (advertised, told) in [(None, 8443), (Some(443), 443)] {
        let mut settings = Http3Settings::at(advertised);
        settings.bound(8443);
        let expected = format!("h3=\":{told}\"; ma=86400");
        assert_eq!(settings.alternative.as_deref(), Some(expected.as_str()));
    }
}

#[test]
fn memory_of_an_earlier_head_is_used_and_nothing_of_it_is_left() {
    let before = head(&and(&[("authorization", "Bearer x")]));
    let section = section(&GET);
    let head = read(&section, BOUNDS, before.fields.recycle())
        .unwrap()
        .head;
    assert_eq!(head.path(), "/b/c");
    assert_eq!(head.fields, Fields::from([("host", "a.test")]));
}

#[test]
fn crumbs_of_cookies_are_put_together_in_their_order() {
    let crumbs = [("cookie", "a=1"), ("x-between", "1"), ("cookie", "b=2")];
    let head = head(&and(&crumbs));
    assert_eq!(
        head.fields.all(Header::Cookie).collect::<Vec<_>>(),
        [b"a=1; b=2"]
    );
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let [method, scheme, authority, path] = GET;
    for fields in [
        and(&[("host", "b.test")]),
        and(&[("host", "a.test"), ("host", "a.test")]),
        and(&[(":path", "/x")]),
        and(&[("x-one", "1"), (":path", "/x")]),
        and(&[(":status", "200")]),
        and(&[("transfer-encoding", "chunked")]),
        and(&[("connection", "x-one")]),
        and(&[("upgrade", "h2c")]),
        and(&[("te", "gzip")]),
        and(&[("content-length", "7"), ("content-length", "7")]),
        and(&[("content-length", "7,7")]),
        and(&[("X-One", "1")]),
        and(&[("x one", "1")]),
        and(&[("x-one", "1\r\n")]),
        and(&[("x-one", " 1")]),
        vec![method, scheme, path],
        vec![method, authority, path],
        vec![scheme, authority, path],
        vec![method, scheme, authority],
        vec![method, scheme, authority, (":path", "")],
        vec![method, scheme, authority, (":path", "/x#y")],
        vec![method, scheme, (":authority", "u@a.test"), path],
        vec![(":method", "CONNECT"), scheme, authority, path],
        Vec::new(),
    ] {
        refused(&fields, Code::BadRequest);
    }
    head(&and(&[
        ("host", "A.test"),
        ("te", "trailers"),
        ("x", "a b\tc"),
    ]));
    head(&[(":method", "CONNECT"), (":authority", "a.test:443")]);
}

#[test]
fn a_refusal_knows_the_method_that_it_answers() {
    let fields = [(":method", "HEAD"), (":path", "nowhere")];
    assert_eq!(refused(&fields, Code::BadRequest).0, Method::HEAD);
}

#[test]
fn each_bound_is_told_by_its_code() {
    let long = |length: usize| "x".repeat(length);
    let [method, scheme, authority, _] = GET;
    let path = format!("/{}", long(BOUNDS.line - 1));
    head(&[method, scheme, authority, (":path", &path)]);
    let path = format!("/{}", long(BOUNDS.line));
    refused(
        &[method, scheme, authority, (":path", &path)],
        Code::UriTooLong,
    );
    let value = long(BOUNDS.head);
    refused(&and(&[("x-long", &value)]), Code::HeadersTooLarge);
    // The host is one of the ten.
    let many = |count: usize| and(&vec![("x", "1"); count]);
    head(&many(9));
    refused(&many(10), Code::HeadersTooLarge);
    // Crumbs are one field; with nine others and the host it is one too many.
    head(&and(&[("cookie", "a=1"); 11]));
    let crumbs = |count: usize| [many(count), vec![("cookie", "a=1"); 11]].concat();
    head(&crumbs(8));
    refused(&crumbs(9), Code::HeadersTooLarge);
    // Their bytes count once, with what separates them.
    let crumb = &*long(BOUNDS.head * 3 / 10);
    head(&and(&[("cookie", crumb); 2]));
    refused(&and(&[("cookie", crumb); 4]), Code::HeadersTooLarge);
}

#[test]
fn trailers_are_fields_and_nothing_else() {
    let read = |fields: &[(&str, &str)]| trailers(&section(fields), 100);
    assert_eq!(
        read(&[("x-sum", "1"), ("x-more", "2")]),
        Some(Fields::from([("x-sum", "1"), ("x-more", "2")]))
    );
    for fields in [
        &[(":path", "/x")][..],
        &[("X-Sum", "1")],
        &[("x-sum", "1\n")],
        &[("x-sum", &"x".repeat(100))],
    ] {
        assert_eq!(read(fields), None, "{fields:?}");
    }
}

/// Names and values of which many are nearly good.
fn field() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        4 => proptest::sample::select(vec![
            ":method", ":scheme", ":authority", ":path", "host", "cookie", "content-length", "te",
            "expect", "connection", "x-one",
        ]).prop_map(str::to_owned),
        1 => "[ -~]{0,6}",
    ];
    let value = prop_oneof![
        4 => proptest::sample::select(vec![
            "GET", "https", "a.test", "/b?c", "/", "*", "5", "trailers", "a=1", "", " x", "x:y",
        ]).prop_map(str::to_owned),
        1 => "[ -~\\r\\n\\t]{0,8}",
    ];
    (name, value)
}

proptest! {
    #[test]
    fn what_is_read_is_read_the_same_in_http1(
        more in proptest::collection::vec(field(), 0..8),
        good in any::<bool>(),
    ) {
        let more: Vec<_> = more.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let fields = if good { and(&more) } else { more };
        compare_section(&section(&fields));
    }

    #[test]
    fn no_section_breaks_it(section in proptest::collection::vec(any::<u8>(), 0..200)) {
        compare_section(&section);
    }
}
