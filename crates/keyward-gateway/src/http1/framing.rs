//! Where an HTTP/1.1 request begins and ends, read strictly (RFC 9112).
//!
//! Two parsers that disagree about the end of a message let one request hide in another. The HTTP
//! library that parses after us forgives what others read differently: a bare line feed, a content
//! length beside a transfer encoding. So every byte passes this reader first, which follows the framing
//! by the letter and stops the connection at the first message that could be read in two ways.

use keyward_model::{Code, Fault};
use memchr::memchr;

/// Bounds on a request's head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadBounds {
    /// The request line, in bytes.
    pub(crate) line: usize,
    /// The whole head, in bytes.
    pub(crate) head: usize,
    /// The number of header fields.
    pub(crate) fields: usize,
}

/// A chunk's size line: 16 hexadecimal digits and a short extension.
const CHUNK_LINE_MAX: usize = 256;
/// All trailer fields of a request together.
const TRAILERS_MAX: usize = 8 * 1024;

/// Follows one connection's requests, byte by byte, as they arrive in pieces of any size.
#[derive(Debug)]
pub(crate) struct Framing {
    bounds: HeadBounds,
    state: State,
    head: Head,
    /// The beginning of a line whose end has not arrived yet.
    carry: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    RequestLine,
    Fields,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkDataCr,
    ChunkDataLf,
    Trailers(usize),
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    bytes: usize,
    fields: usize,
    content_length: Option<u64>,
    chunked: bool,
    /// HTTP/1.0, which knows no transfer encoding.
    old: bool,
    hosts: usize,
}

impl Framing {
    pub(crate) fn new(bounds: HeadBounds) -> Self {
        Self {
            bounds,
            state: State::RequestLine,
            head: Head::default(),
            carry: Vec::new(),
        }
    }

    /// Whether a message has begun and not ended.
    pub(crate) fn inside_message(&self) -> bool {
        self.state != State::RequestLine || !self.carry.is_empty()
    }

    /// Whether the body of a message is being read.
    pub(crate) fn inside_body(&self) -> bool {
        !matches!(self.state, State::RequestLine | State::Fields)
    }

    /// Reads on. On a fault, the first number is how many of `bytes` belong to messages that are whole
    /// and sound, and may still be served.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<(), (usize, Fault)> {
        let mut rest = bytes;
        // Where the last message that was sound to its end stopped.
        let mut sound = 0;
        while !rest.is_empty() {
            let before = self.state;
            let step = self.step(rest);
            match step {
                Ok(read) => rest = rest.get(read..).unwrap_or_default(),
                Err(fault) => return Err((sound, fault)),
            }
            if self.state == State::RequestLine && before != State::RequestLine {
                sound = bytes.len() - rest.len();
            }
        }
        Ok(())
    }

    fn step(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        match self.state {
            State::Body(left) => {
                let (read, left) = skip(bytes, left);
                self.state = if left == 0 {
                    State::RequestLine
                } else {
                    State::Body(left)
                };
                Ok(read)
            }
            State::ChunkData(left) => {
                let (read, left) = skip(bytes, left);
                self.state = if left == 0 {
                    State::ChunkDataCr
                } else {
                    State::ChunkData(left)
                };
                Ok(read)
            }
            State::ChunkDataCr => self.exactly(bytes, b'\r', State::ChunkDataLf),
            State::ChunkDataLf => self.exactly(bytes, b'\n', State::ChunkSize),
            State::RequestLine | State::Fields | State::ChunkSize | State::Trailers(_) => {
                self.line(bytes)
            }
        }
    }

    fn exactly(&mut self, bytes: &[u8], wanted: u8, next: State) -> Result<usize, Fault> {
        if bytes.first() == Some(&wanted) {
            self.state = next;
            Ok(1)
        } else {
            Err(malformed(
                "A chunk of the body does not end where its size says",
            ))
        }
    }

    /// Takes one line, or what there is of it.
    fn line(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let Some(end) = memchr(b'\n', bytes) else {
            self.carry.extend_from_slice(bytes);
            self.begins_as_http()?;
            self.bound_unfinished()?;
            return Ok(bytes.len());
        };
        let piece = bytes.get(..end).unwrap_or_default();
        if self.carry.is_empty() {
            self.whole_line(piece)?;
        } else {
            self.carry.extend_from_slice(piece);
            let line = std::mem::take(&mut self.carry);
            let outcome = self.whole_line(&line);
            self.carry = line;
            self.carry.clear();
            outcome?;
        }
        Ok(end + 1)
    }

    /// What speaks another protocol, TLS above all, would wait for an answer to a line that never ends.
    fn begins_as_http(&self) -> Result<(), Fault> {
        let begun = self.state == State::RequestLine;
        match self.carry.first() {
            Some(first) if begun && *first != b'\r' && !is_token(&[*first]) => Err(malformed(
                "This is no HTTP/1.1 request; is the client set to TLS? Plain HTTP is spoken here",
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn bound_unfinished(&self) -> Result<(), Fault> {
        let length = self.carry.len();
        match self.state {
            State::RequestLine if length > self.bounds.line => Err(self.line_too_long()),
            State::Fields if self.head.bytes + length > self.bounds.head => {
                Err(self.head_too_large())
            }
            State::ChunkSize if length > CHUNK_LINE_MAX => {
                Err(malformed("A chunk's size line is too long"))
            }
            State::Trailers(read) if read + length > TRAILERS_MAX => Err(trailers_too_large()),
            State::RequestLine
            | State::Fields
            | State::ChunkSize
            | State::Trailers(_)
            | State::Body(_)
            | State::ChunkData(_)
            | State::ChunkDataCr
            | State::ChunkDataLf => Ok(()),
        }
    }

    /// A line up to, but without, its line feed.
    fn whole_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let Some(line) = line.strip_suffix(b"\r") else {
            return Err(malformed(
                "A line ends with a bare line feed; lines end with CR LF",
            ));
        };
        match self.state {
            State::RequestLine => self.request_line(line),
            State::Fields => self.field_line(line),
            State::ChunkSize => self.chunk_size(line),
            State::Trailers(read) => self.trailer_line(read, line),
            State::Body(_) | State::ChunkData(_) | State::ChunkDataCr | State::ChunkDataLf => {
                Ok(())
            }
        }
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        if line.is_empty() {
            // RFC 9112, section 2.2: an empty line before the request line is ignored.
            return Ok(());
        }
        if line.len() > self.bounds.line {
            return Err(self.line_too_long());
        }
        let mut parts = line.split(|byte| *byte == b' ');
        let (method, target, version) = (parts.next(), parts.next(), parts.next());
        let well_formed = parts.next().is_none()
            && method.is_some_and(is_token)
            && target.is_some_and(|target| !target.is_empty())
            && matches!(version, Some(b"HTTP/1.1" | b"HTTP/1.0"));
        if !well_formed {
            return Err(malformed(
                "The request line is not `METHOD target HTTP/1.1` with single spaces",
            ));
        }
        let connect = method == Some(b"CONNECT");
        if !target.is_some_and(|target| is_target(connect, target)) {
            return Err(malformed(
                "The request's target is no path; it begins with `/`, and other characters than those of a URL are percent-encoded",
            ));
        }
        self.head = Head {
            bytes: line.len() + 2,
            old: version == Some(b"HTTP/1.0"),
            ..Head::default()
        };
        self.state = State::Fields;
        Ok(())
    }

    fn field_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        self.head.bytes += line.len() + 2;
        if self.head.bytes > self.bounds.head {
            return Err(self.head_too_large());
        }
        if line.is_empty() {
            return self.end_of_head();
        }
        self.head.fields += 1;
        if self.head.fields > self.bounds.fields {
            return Err(Fault::new(
                Code::HeadersTooLarge,
                format!(
                    "The request has more than {} header fields",
                    self.bounds.fields
                ),
            ));
        }
        let (name, value) = field(line)?;
        // These decide where the message ends, and whom it is for.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value),
            _ => Ok(()),
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.head.content_length.is_some() {
            return Err(malformed(
                "`Content-Length` stands there twice; send it once",
            ));
        }
        let digits = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
        let length = digits.then(|| {
            value
                .iter()
                .fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'))
        });
        match length {
            Some(length) => {
                self.head.content_length = Some(length);
                Ok(())
            }
            None => Err(malformed("`Content-Length` is not a plain decimal number")),
        }
    }

    fn host(&mut self) -> Result<(), Fault> {
        self.head.hosts += 1;
        if self.head.hosts > 1 {
            return Err(malformed("`Host` stands there twice; send it once"));
        }
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.head.old {
            return Err(malformed("`Transfer-Encoding` does not exist in HTTP/1.0"));
        }
        if self.head.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(malformed(
                "`Transfer-Encoding` may be `chunked`, once, and nothing else",
            ));
        }
        self.head.chunked = true;
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<(), Fault> {
        // RFC 9112, section 3.2. HTTP/1.0 knows no `Host`.
        if self.head.hosts == 0 && !self.head.old {
            return Err(malformed("The `Host` header is missing"));
        }
        self.state = match (self.head.content_length, self.head.chunked) {
            (Some(_), true) => {
                return Err(malformed(
                    "Both `Content-Length` and `Transfer-Encoding` were sent; the body's end would be ambiguous",
                ));
            }
            (None | Some(0), false) => State::RequestLine,
            (Some(length), false) => State::Body(length),
            (None, true) => State::ChunkSize,
        };
        Ok(())
    }

    fn chunk_size(&mut self, line: &[u8]) -> Result<(), Fault> {
        if line.len() > CHUNK_LINE_MAX {
            return Err(malformed("A chunk's size line is too long"));
        }
        let (size, extension) = match memchr(b';', line) {
            Some(at) => line.split_at(at),
            None => (line, &[][..]),
        };
        let hexadecimal = (1..=15).contains(&size.len()) && size.iter().all(u8::is_ascii_hexdigit);
        if !hexadecimal
            || extension
                .iter()
                .any(|byte| byte.is_ascii_control() && *byte != b'\t')
        {
            return Err(malformed("A chunk's size is not a hexadecimal number"));
        }
        let size = size.iter().fold(0u64, |sum, digit| {
            sum * 16 + u64::from(char::from(*digit).to_digit(16).unwrap_or_default())
        });
        self.state = if size == 0 {
            State::Trailers(0)
        } else {
            State::ChunkData(size)
        };
        Ok(())
    }

    fn trailer_line(&mut self, read: usize, line: &[u8]) -> Result<(), Fault> {
        if line.is_empty() {
            self.state = State::RequestLine;
            return Ok(());
        }
        let read = read + line.len() + 2;
        if read > TRAILERS_MAX {
            return Err(trailers_too_large());
        }
        field(line)?;
        self.state = State::Trailers(read);
        Ok(())
    }

    fn line_too_long(&self) -> Fault {
        Fault::new(
            Code::UriTooLong,
            format!(
                "The request line is longer than {} bytes; shorten the address",
                self.bounds.line
            ),
        )
    }

    fn head_too_large(&self) -> Fault {
        Fault::new(
            Code::HeadersTooLarge,
            format!(
                "The header section is larger than {} bytes",
                self.bounds.head
            ),
        )
    }
}

/// Name and value of a field line (RFC 9112, section 5).
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(malformed(
            "A header is folded over several lines; send it on one",
        ));
    }
    let Some(colon) = memchr(b':', line) else {
        return Err(malformed("A header line has no colon"));
    };
    let (name, value) = line.split_at(colon);
    if !is_token(name) {
        return Err(malformed(
            "A header's name has a character that may not stand there (a space before the colon?)",
        ));
    }
    let value = value.get(1..).unwrap_or_default();
    if has_control(value) {
        return Err(malformed(
            "A header's value has a control character (a bare carriage return, a NUL, …)",
        ));
    }
    Ok((name, trim(value)))
}

/// A path, `*`, a whole URL, or a host for `CONNECT` (RFC 9112, section 3.2). What the parser after us can't
/// read it would refuse without a word.
fn is_target(connect: bool, target: &[u8]) -> bool {
    let plain = target.iter().all(is_target_byte);
    match target.first() {
        Some(b'/') => plain,
        Some(b'*') => target.len() == 1,
        Some(_) => {
            plain && http::Uri::try_from(target).is_ok_and(|uri| connect || uri.scheme().is_some())
        }
        None => false,
    }
}

/// What may stand in a request's target. `#` would cut it short for some; the others stand in no address.
fn is_target_byte(byte: &u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'<' | b'>' | b'"' | b'`')
}

/// Whether a control character other than a tab is in it. It looks at all bytes, so that the compiler can
/// look at many at once: tokens are long.
fn has_control(value: &[u8]) -> bool {
    value.iter().fold(false, |found, byte| {
        found | ((*byte < b' ') & (*byte != b'\t')) | (*byte == 0x7f)
    })
}

/// Without the white space around it: spaces and tabs, nothing else (RFC 9110, section 5.6.3).
fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|byte| !blank(byte))
        .map_or(start, |at| at + 1);
    value.get(start..end).unwrap_or_default()
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|byte| TOKEN.get(usize::from(*byte)).copied().unwrap_or(false))
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(
            clippy::indexing_slicing,
            clippy::cast_possible_truncation,
            reason = "evaluated by the compiler"
        )]
        {
            let b = byte as u8;
            table[byte] = b.is_ascii_alphanumeric()
                || matches!(
                    b,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                );
        }
        byte += 1;
    }
    table
};

fn skip(bytes: &[u8], left: u64) -> (usize, u64) {
    let read = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (read, left - u64::try_from(read).unwrap_or(left))
}

fn malformed(detail: &'static str) -> Fault {
    Fault::new(Code::BadRequest, detail)
}

fn trailers_too_large() -> Fault {
    Fault::new(
        Code::HeadersTooLarge,
        format!("The trailers are larger than {TRAILERS_MAX} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: HeadBounds = HeadBounds {
        line: 64,
        head: 200,
        fields: 5,
    };

    /// The same outcome whether the bytes come at once, one by one, or split in two at any place.
    fn check(bytes: &str) -> Result<bool, Code> {
        let read = |pieces: &[&[u8]]| {
            let mut framing = Framing::new(BOUNDS);
            for piece in pieces {
                framing.advance(piece).map_err(|(_, fault)| fault.code())?;
            }
            Ok(framing.inside_message())
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
    }

    #[test]
    fn a_fault_leaves_the_messages_before_it() {
        let mut framing = Framing::new(BOUNDS);
        let good = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let fault = framing.advance(format!("{good}GET / HTTP/1.1\nX: y\r\n").as_bytes());
        assert_eq!(
            fault.map_err(|(sound, fault)| (sound, fault.code())),
            Err((good.len(), Code::BadRequest))
        );
    }
}
