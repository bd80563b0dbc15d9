//! What this parser and hyper's make of the same bytes: they must agree wherever this one reads a request at
//! all. Refusing more is the point; reading otherwise would be request smuggling.

use super::decoder::Next;
use super::{BodyDecoder, HeadBounds, HeadParser};
#[cfg(feature = "fuzzing")]
use crate::message::RequestHead;
use crate::message::{Fields, Version};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use tokio::io::AsyncWriteExt as _;

const BOUNDS: HeadBounds = HeadBounds {
    line: 8 * 1024,
    head: 64 * 1024,
    fields: 100,
};

/// A request as a parser understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Understood {
    method: String,
    path: String,
    query: Option<String>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The head of one request that is there whole, and what follows it.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_whole(bytes: &[u8]) -> Option<(RequestHead, &[u8])> {
    let mut held = bytes.to_vec();
    let mut parser = HeadParser::of_request(BOUNDS, Fields::new());
    let length = parser.advance(&mut held).ok()??;
    held.truncate(length);
    let head = parser.into_request(held)?;
    Some((head, bytes.get(length..)?))
}

/// Reads all requests in `bytes` with both.
///
/// # Panics
/// When the two disagree, or when pieces of another size lead to another reading.
#[cfg_attr(
    not(feature = "fuzzing"),
    expect(unreachable_pub, reason = "public for fuzz targets")
)]
pub fn compare(bytes: &[u8]) {
    let ours = ours(bytes, bytes.len().max(1));
    for size in [1, 7] {
        assert_eq!(self::ours(bytes, size), ours, "in pieces of {size}");
    }
    let theirs = theirs(bytes);
    for (place, request) in ours.iter().enumerate() {
        assert_eq!(theirs.get(place), Some(request), "request {place}");
    }
}

fn list(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut list: Vec<_> = fields
        .iter()
        .map(|field| (field.name.to_vec(), field.value.to_vec()))
        .collect();
    list.sort();
    list
}

/// Up to the first that is refused, not whole, or the last of its connection.
fn ours(bytes: &[u8], piece: usize) -> Vec<Understood> {
    let mut understood = Vec::new();
    let mut held = Vec::new();
    let mut pieces = bytes.chunks(piece);
    let mut more = |held: &mut Vec<u8>| pieces.next().map(|piece| held.extend_from_slice(piece));
    'requests: loop {
        let mut parser = HeadParser::of_request(BOUNDS, Fields::new());
        let length = loop {
            match parser.advance(&mut held) {
                Ok(Some(length)) => break length,
                Ok(None) => {}
                Err(_) => return understood,
            }
            if more(&mut held).is_none() {
                return understood;
            }
        };
        let framing = parser.framing();
        let rest = held.split_off(length);
        let Some(head) = parser.into_request(std::mem::replace(&mut held, rest)) else {
            return understood;
        };
        // What follows is no HTTP, if the server agrees; here none does.
        if head.method == http::Method::CONNECT {
            return understood;
        }
        let mut decoder = match (framing.content_length, framing.chunked) {
            (_, true) => BodyDecoder::chunked(),
            (length, false) => BodyDecoder::of_length(length.unwrap_or_default()),
        };
        let mut body = Vec::new();
        loop {
            match decoder.next(&mut held) {
                Ok(Next::End) => break,
                Ok(Next::Skip(count)) => {
                    held.drain(..count);
                }
                Ok(Next::Data(count)) => {
                    body.extend(held.drain(..count));
                    decoder.took(count);
                }
                Ok(Next::More) => {
                    if more(&mut held).is_none() {
                        break 'requests;
                    }
                }
                Err(_) => break 'requests,
            }
        }
        understood.push(Understood {
            method: head.method.to_string(),
            path: head.path().to_owned(),
            query: head.query().map(str::to_owned),
            fields: list(&head.fields),
            body,
            trailers: decoder
                .take_trailers()
                .map(|trailers| list(&trailers))
                .unwrap_or_default(),
        });
        if framing.close || head.version == Version::Http10 {
            break;
        }
    }
    understood
}

fn theirs(bytes: &[u8]) -> Vec<Understood> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let understood = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&understood);
    runtime.block_on(async move {
        let (mut client, server) = tokio::io::duplex(bytes.len().max(1) + 1024 * 1024);
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let seen = Rc::clone(&seen);
            async move {
                let (head, body) = request.into_parts();
                if let Ok(body) = body.collect().await {
                    let list = |map: &http::HeaderMap| {
                        let mut list: Vec<_> = map
                            .iter()
                            .map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec()))
                            .collect();
                        list.sort();
                        list
                    };
                    let trailers = body.trailers().map(list).unwrap_or_default();
                    seen.borrow_mut().push(Understood {
                        method: head.method.to_string(),
                        path: head.uri.path().to_owned(),
                        query: head.uri.query().map(str::to_owned),
                        fields: list(&head.headers),
                        body: body.to_bytes().to_vec(),
                        trailers,
                    });
                }
                Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
            }
        });
        let serving = http1::Builder::new()
            .max_headers(BOUNDS.fields)
            .half_close(true)
            .serve_connection(TokioIo::new(server), service);
        let sending = async {
            // A server that has seen enough closes: no more is owed to it.
            let _sent = client.write_all(bytes).await;
            let _ended = client.shutdown().await;
            let mut answers = Vec::new();
            let _read = tokio::io::AsyncReadExt::read_to_end(&mut client, &mut answers).await;
        };
        // However it ends, what was understood until then counts.
        let _outcome = tokio::join!(serving, sending);
    });
    understood.take()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pieces that requests, and attacks on those who read them, are made of.
    const PIECES: &[&str] = &[
        "GET / HTTP/1.1\r\n",
        "POST /a?b=c HTTP/1.1\r\n",
        "GET http://a/b HTTP/1.1\r\n",
        "GET http://a?b HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "PUT /x HTTP/1.0\r\n",
        "get /%2e%2e HTTP/1.1\r\n",
        "Host: a\r\n",
        "host:b\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "content-length: 05\r\n",
        "Content-Length:\t3 \r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length : 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: Chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Expect: 100-continue\r\n",
        "Upgrade: websocket\r\nConnection: upgrade\r\n",
        "X: \u{fc}\r\n",
        "X:\r\n",
        "X: a b \t \r\n",
        " folded: x\r\n",
        "\r\n",
        "\n",
        "\r",
        "hello",
        "5\r\nhello\r\n",
        "5;a=b\r\nhello\r\n",
        "05\r\nhello\r\n",
        "0\r\n\r\n",
        "0\r\nx: y\r\n\r\n",
        "0x5\r\n",
        "ffffffffffffffff\r\n",
    ];

    /// Nearly a request: sound, or spoilt by one piece that does not belong there.
    fn message() -> impl Strategy<Value = String> {
        let line = prop::sample::select(PIECES.get(..7).unwrap_or_default());
        let fields = prop::sample::subsequence(PIECES.get(7..27).unwrap_or_default(), 0..3);
        let framing = prop::sample::select(
            &[
                ("", ""),
                ("Content-Length: 5\r\n", "hello"),
                ("Content-Length: 0\r\n", ""),
                ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
                (
                    "Transfer-Encoding: chunked\r\n",
                    "2;a=b\r\nhe\r\n03\r\nllo\r\n0\r\nx: y\r\n\r\n",
                ),
            ][..],
        );
        (line, fields, framing).prop_map(|(line, fields, (framing, body))| {
            format!("{line}Host: a\r\n{}{framing}\r\n{body}", fields.concat())
        })
    }

    #[test]
    fn requests_one_after_the_other_are_understood() {
        let wire = b"POST /a?b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\nx: y\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n";
        let ours = ours(wire, 3);
        assert_eq!(ours.len(), 2);
        assert_eq!(
            (ours[0].path.as_str(), ours[0].body.as_slice()),
            ("/a", &b"he"[..])
        );
        assert_eq!(theirs(wire), ours);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_read_here_hyper_reads_too(
            messages in prop::collection::vec(message(), 1..4),
            rest in prop::collection::vec(prop::sample::select(PIECES), 0..6),
        ) {
            compare((messages.concat() + &rest.concat()).as_bytes());
        }

        #[test]
        fn a_changed_byte_changes_no_reading_here_alone(
            pieces in prop::collection::vec(prop::sample::select(PIECES), 3..10),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n{}",
                pieces.concat()
            )
            .into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            compare(&bytes);
        }
    }
}
