//! Heads of HTTP/1.1 messages, read strictly (RFC 9112).
//!
//! Two parsers that disagree about the end of a message let one request hide in another. What could be read
//! in two ways is refused here, whoever sent it: bare line feeds, folded lines, a content length beside a
//! transfer encoding, two lengths, two hosts, white space before a colon.
//!
//! A head is read as it arrives, line by line, in pieces of any size. Nothing is copied: the parser notes
//! where things stand, and writes names in lower case where they are.

use super::line::{Start, begins_as_http, decimal, field_line, request_line, status_line};
use crate::message::{AnswerHead, Fields, Header, RequestHead, Span, Version};
use keyward_model::{Code, Fault};
use memchr::memchr;

/// Bounds on a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadBounds {
    /// The first line, in bytes.
    pub(crate) line: usize,
    /// The whole head, in bytes.
    pub(crate) head: usize,
    /// The number of header fields.
    pub(crate) fields: usize,
}

/// Empty lines before a request line, which some old clients send after a body (RFC 9112, section 2.2).
const EMPTY_LINES_MAX: usize = 4;

/// What a head says of its message's end and of the connection's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Framing {
    pub(crate) content_length: Option<u64>,
    pub(crate) chunked: bool,
    /// `Connection: close`.
    pub(crate) close: bool,
    /// `Connection: keep-alive`.
    pub(crate) keep_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Request,
    Answer,
}

/// Reads one head.
#[derive(Debug)]
pub(crate) struct HeadParser {
    side: Side,
    bounds: HeadBounds,
    /// Where the line begins that has not ended.
    line: usize,
    /// How far was looked for its end.
    scanned: usize,
    empty_lines: usize,
    start: Option<Start>,
    fields: Fields,
    framing: Framing,
    hosts: usize,
}

impl HeadParser {
    /// A parser of requests, which notes what it finds in `fields`, empty ones.
    pub(crate) fn of_request(bounds: HeadBounds, fields: Fields) -> Self {
        Self::new(Side::Request, bounds, fields)
    }

    /// A parser of answers.
    pub(crate) fn of_answer(bounds: HeadBounds, fields: Fields) -> Self {
        Self::new(Side::Answer, bounds, fields)
    }

    fn new(side: Side, bounds: HeadBounds, fields: Fields) -> Self {
        Self {
            side,
            bounds,
            line: 0,
            scanned: 0,
            empty_lines: 0,
            start: None,
            fields,
            framing: Framing::default(),
            hosts: 0,
        }
    }

    /// Reads on in `bytes`, which hold the head from its first byte on: what was there before is still
    /// there. `Some`: the head is whole, and has so many bytes.
    pub(crate) fn advance(&mut self, bytes: &mut [u8]) -> Result<Option<usize>, Fault> {
        loop {
            let rest = bytes.get(self.scanned..).unwrap_or_default();
            let Some(offset) = memchr(b'\n', rest) else {
                self.scanned = bytes.len();
                self.bound_unfinished(bytes)?;
                return Ok(None);
            };
            let feed = self.scanned + offset;
            let (begin, end) = (self.line, feed.saturating_sub(1));
            if end < begin || bytes.get(end) != Some(&b'\r') {
                return Err(malformed(
                    "A line ends with a bare line feed; lines end with CR LF",
                ));
            }
            self.line = feed + 1;
            self.scanned = self.line;
            let last = match &self.start {
                None => {
                    self.first_line(bytes, begin, end)?;
                    false
                }
                Some(_) => self.field_line(bytes, begin, end)?,
            };
            if last {
                return Ok(Some(self.line));
            }
        }
    }

    /// What the head says of its message's end.
    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// The request whose head was whole; `bytes` hold it.
    pub(crate) fn into_request(self, bytes: Vec<u8>) -> Option<RequestHead> {
        match self.start? {
            Start::Request {
                method,
                version,
                target,
            } => Some(RequestHead::new(
                method,
                version,
                target,
                self.fields,
                bytes,
            )),
            Start::Answer { .. } => None,
        }
    }

    /// The answer whose head was whole; `bytes` hold it.
    pub(crate) fn into_answer(self, bytes: Vec<u8>) -> Option<AnswerHead> {
        match self.start? {
            Start::Answer { status, version } => {
                Some(AnswerHead::new(status, version, self.fields, bytes))
            }
            Start::Request { .. } => None,
        }
    }

    fn bound_unfinished(&self, bytes: &[u8]) -> Result<(), Fault> {
        let line = bytes.get(self.line..).unwrap_or_default();
        match (&self.start, self.side) {
            (None, Side::Request) => {
                begins_as_http(line)?;
                if line.len() > self.bounds.line {
                    return Err(self.line_too_long());
                }
            }
            (None, Side::Answer) if line.len() > self.bounds.line => {
                return Err(self.line_too_long());
            }
            (Some(_), Side::Request | Side::Answer) if bytes.len() > self.bounds.head => {
                return Err(self.head_too_large());
            }
            (None, Side::Answer) | (Some(_), Side::Request | Side::Answer) => {}
        }
        Ok(())
    }

    fn first_line(&mut self, bytes: &[u8], begin: usize, end: usize) -> Result<(), Fault> {
        let line = bytes.get(begin..end).unwrap_or_default();
        if line.len() > self.bounds.line {
            return Err(self.line_too_long());
        }
        match self.side {
            Side::Request if line.is_empty() => {
                self.empty_lines += 1;
                if self.empty_lines > EMPTY_LINES_MAX {
                    return Err(malformed("There is no request line, but empty lines"));
                }
            }
            Side::Request => self.start = Some(request_line(line, begin)?),
            Side::Answer => self.start = Some(status_line(line)?),
        }
        Ok(())
    }

    /// `true`: it was the empty line that ends the head.
    fn field_line(&mut self, bytes: &mut [u8], begin: usize, end: usize) -> Result<bool, Fault> {
        if end > self.bounds.head {
            return Err(self.head_too_large());
        }
        if begin == end {
            self.end_of_head()?;
            return Ok(true);
        }
        if self.fields.len() >= self.bounds.fields {
            return Err(Fault::new(
                Code::HeadersTooLarge,
                format!("There are more than {} header fields", self.bounds.fields),
            ));
        }
        let line = bytes.get_mut(begin..end).unwrap_or_default();
        let (name, value) = field_line(line)?;
        let header = Header::of(line.get(..name).unwrap_or_default());
        let text = line.get(value.0..value.1).unwrap_or_default();
        self.note_framing(header, text)?;
        self.fields.note(
            header,
            Span::new(begin, begin + name),
            Span::new(begin + value.0, begin + value.1),
        );
        Ok(false)
    }

    /// These decide where the message ends, whom it is for, and what becomes of the connection.
    fn note_framing(&mut self, header: Header, value: &[u8]) -> Result<(), Fault> {
        if header == Header::Host {
            self.host()
        } else if header == Header::ContentLength {
            self.content_length(value)
        } else if header == Header::TransferEncoding {
            self.transfer_encoding(value)
        } else if header == Header::Connection {
            for option in value.split(|byte| *byte == b',') {
                let option = option.trim_ascii();
                self.framing.close |= option.eq_ignore_ascii_case(b"close");
                self.framing.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
            Ok(())
        } else {
            Ok(())
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        let length = decimal(value)
            .ok_or_else(|| malformed("`Content-Length` is not a plain decimal number"))?;
        match self.framing.content_length {
            None => self.framing.content_length = Some(length),
            // An upstream that repeats itself says one thing; a client has no reason to.
            Some(before) if before == length && self.side == Side::Answer => {}
            Some(_) => {
                return Err(malformed(
                    "`Content-Length` stands there twice; send it once",
                ));
            }
        }
        Ok(())
    }

    fn host(&mut self) -> Result<(), Fault> {
        self.hosts += 1;
        if self.hosts > 1 {
            return Err(malformed("`Host` stands there twice; send it once"));
        }
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.is_old() {
            return Err(malformed("`Transfer-Encoding` does not exist in HTTP/1.0"));
        }
        if self.framing.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(malformed(
                "`Transfer-Encoding` may be `chunked`, once, and nothing else",
            ));
        }
        self.framing.chunked = true;
        Ok(())
    }

    fn is_old(&self) -> bool {
        match &self.start {
            Some(Start::Request { version, .. } | Start::Answer { version, .. }) => {
                *version == Version::Http10
            }
            None => false,
        }
    }

    fn end_of_head(&self) -> Result<(), Fault> {
        // RFC 9112, section 3.2. HTTP/1.0 knows no `Host`.
        if self.side == Side::Request && self.hosts == 0 && !self.is_old() {
            return Err(malformed("The `Host` header is missing"));
        }
        if self.framing.content_length.is_some() && self.framing.chunked {
            return Err(malformed(
                "Both `Content-Length` and `Transfer-Encoding` were sent; the body's end would be ambiguous",
            ));
        }
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

pub(super) fn malformed(detail: &'static str) -> Fault {
    Fault::new(Code::BadRequest, detail)
}
