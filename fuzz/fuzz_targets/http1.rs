//! Requests of HTTP/1.1: whatever the gateway reads, hyper reads in the same way, in whatever pieces it comes.

#![no_main]

use keyward_fuzz::edited;
use libfuzzer_sys::fuzz_target;

const VALID: &[&str] = &[
    "GET /a/b?c=d HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: b\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
    "PUT http://a:80/b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
];

fuzz_target!(|data: &[u8]| {
    keyward_gateway::compare_with_hyper(&edited(VALID, data).text);
});
