use super::*;
use crate::http1::decoder::Next;
use crate::message::Header;
use keyward_model::{Code, Fault};
use proptest::prelude::*;

const BOUNDS: HeadBounds = HeadBounds {
    line: 64,
    head: 200,
    fields: 5,
};

/// Reads requests one after the other, as a connection does, and tells whether the last is whole.
#[derive(Default)]
struct Reader {
    bytes: Vec<u8>,
    parser: Option<HeadParser>,
    body: Option<BodyDecoder>,
}

impl Reader {
    fn advance(&mut self, piece: &[u8]) -> Result<(), Fault> {
        self.bytes.extend_from_slice(piece);
        loop {
            if let Some(body) = &mut self.body {
                match body.next(&mut self.bytes)? {
                    Next::Data(count) => {
                        body.took(count);
                        self.bytes.drain(..count);
                    }
                    Next::Skip(count) => {
                        self.bytes.drain(..count);
                    }
                    Next::More => return Ok(()),
                    Next::End => self.body = None,
                }
                continue;
            }
            if self.bytes.is_empty() {
                return Ok(());
            }
            let parser = self
                .parser
                .get_or_insert_with(|| HeadParser::of_request(BOUNDS, Fields::new()));
            let Some(length) = parser.advance(&mut self.bytes)? else {
                return Ok(());
            };
            let framing = parser.framing();
            self.parser = None;
            self.bytes.drain(..length);
            self.body = Some(match (framing.content_length, framing.chunked) {
                (_, true) => BodyDecoder::chunked(),
                (length, false) => BodyDecoder::of_length(length.unwrap_or_default()),
            });
        }
    }

    fn inside_message(&self) -> bool {
        !self.bytes.is_empty() || self.body.is_some()
    }
}

/// The same outcome whether the bytes come at once, one by one, or split in two at any place.
fn check(bytes: &str) -> Result<bool, Code> {
    let read = |pieces: &[&[u8]]| {
        let mut reader = Reader::default();
        for piece in pieces {
            reader.advance(piece).map_err(|fault| fault.code())?;
        }
        Ok(reader.inside_message())
    };
    let bytes = bytes.as_bytes();
    let whole = read(&[bytes]);
    let one_by_one: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(&one_by_one), whole);
    for at in 0..bytes.len() {
        let (left, right) = bytes.split_at(at);
        assert_eq!(read(&[left, right]), whole, "split at {at}");
    }
    whole
}

#[test]
fn sound_messages_pass_and_end_where_they_should() {
    for text in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /x HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\na\nb\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:\tCHUNKED \r\n\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(check(text), Ok(false), "{text:?}");
    }
    assert_eq!(
        check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"),
        Ok(true)
    );
    assert_eq!(check("GET"), Ok(true));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for text in [
        // content length against transfer encoding, either way round
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        // two lengths, equal or not, and odd spellings
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3,3\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        // bare line feeds, carriage returns, folded lines, spaces before colons
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n A: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\x01\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\x7f\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "GET / x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\n\r\n\r\n\r\n",
        // whom it is for
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET x/y HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET x:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01",
        "GET /\t HTTP/1.1\r\nHost: a\r\n\r\n",
        // chunks
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n a: b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: b\n\r\n",
    ] {
        assert_eq!(check(text), Err(Code::BadRequest), "{text:?}");
    }
}

#[test]
fn sizes_are_bounded_before_a_line_ends() {
    assert_eq!(
        check(&format!("GET /{}", "a".repeat(64))),
        Err(Code::UriTooLong)
    );
    assert_eq!(
        check(&format!(
            "GET / HTTP/1.1\r\nHost: a\r\nA: {}",
            "a".repeat(200)
        )),
        Err(Code::HeadersTooLarge)
    );
    assert_eq!(
        check(&format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "A: b\r\n".repeat(5)
        )),
        Err(Code::HeadersTooLarge)
    );
    let trailers = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: {}",
        "b".repeat(9000)
    );
    let mut reader = Reader::default();
    let outcome = reader.advance(trailers.as_bytes());
    assert_eq!(
        outcome.map_err(|fault| fault.code()),
        Err(Code::HeadersTooLarge)
    );
}

fn answer(text: &str) -> Result<(u16, Framing, Fields), Code> {
    let mut bytes = text.as_bytes().to_vec();
    let mut parser = HeadParser::of_answer(BOUNDS, Fields::new());
    let length = parser.advance(&mut bytes).map_err(|fault| fault.code())?;
    assert_eq!(length, Some(text.len()), "{text:?}");
    let framing = parser.framing();
    let head = parser.into_answer(bytes).unwrap();
    Ok((head.status.as_u16(), framing, head.fields))
}

#[test]
fn answers_are_read_as_strictly() {
    let (status, framing, fields) = answer(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\nSet-Cookie: a\r\n\r\n",
    )
    .unwrap();
    assert_eq!((status, framing.content_length), (200, Some(3)));
    assert_eq!(fields.get(Header::SetCookie), Some(&b"a"[..]));
    for text in ["HTTP/1.1 404\r\n\r\n", "HTTP/1.0 299 \r\n\r\n"] {
        assert!(answer(text).is_ok(), "{text:?}");
    }
    for text in [
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        assert_eq!(answer(text).map(|_| ()), Err(Code::BadRequest), "{text:?}");
    }
}

#[test]
fn numbers_are_written_as_they_are_read() {
    for number in [0, 1, 9, 10, 15, 16, 255, 4096, 65_535, 1 << 40, u64::MAX] {
        let (mut decimal, mut hexadecimal) = (Vec::new(), Vec::new());
        write_decimal(&mut decimal, number);
        write_hexadecimal(&mut hexadecimal, number as usize);
        assert_eq!(String::from_utf8(decimal).unwrap(), number.to_string());
        assert_eq!(
            String::from_utf8(hexadecimal).unwrap(),
            format!("{number:x}")
        );
    }
}

proptest! {
    /// Whatever is written in chunks is read back, cut into pieces of any size.
    #[test]
    fn chunks_are_read_back(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
        cuts in prop::collection::vec(1usize..64, 1..20),
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            write_chunk(&mut wire, chunk.len(), |out| out.extend_from_slice(chunk));
        }
        let trailers = Fields::from([("x-sum", "1")]);
        write_last_chunk(&mut wire, Some(&trailers));
        let (mut decoder, mut held, mut read) = (BodyDecoder::chunked(), Vec::new(), Vec::new());
        let mut rest = wire.as_slice();
        let mut cuts = cuts.into_iter().cycle();
        loop {
            match decoder.next(&mut held).unwrap() {
                Next::End => break,
                Next::Skip(count) => { held.drain(..count); }
                Next::Data(count) => {
                    read.extend(held.drain(..count));
                    decoder.took(count);
                }
                Next::More => {
                    let (piece, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                    prop_assert!(!piece.is_empty());
                    held.extend_from_slice(piece);
                    rest = later;
                }
            }
        }
        prop_assert_eq!(read, chunks.concat());
        prop_assert_eq!(decoder.take_trailers(), Some(trailers));
        prop_assert!(held.is_empty() && rest.is_empty());
    }
}
