//! HTTP/1.1 messages, byte by byte: what was sent, in which order and spelling, rather than what a
//! library makes of it.

use std::io::{Error, ErrorKind, Result};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// A bound for heads, so that a test that goes wrong ends.
const LINE_MAX: usize = 1024 * 1024;

/// Header fields as they were sent: in order, doubles and letter case included.
pub type Fields = Vec<(String, String)>;

/// The first line and the header fields of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The request line or the status line.
    pub first_line: String,
    /// The header fields.
    pub fields: Fields,
}

impl Head {
    /// The value of the only field of this name, letter case aside; `None` without one and with several.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self
            .fields
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            (Some(_), Some(_)) | (None, _) => None,
        }
    }

    /// The values of the fields of this name, letter case aside.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.fields.iter();
        fields
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Reads a head; `None` where the other side closes before one begins.
    pub(crate) async fn read(reader: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Self>> {
        let first_line = line(reader).await?;
        if first_line.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            first_line: trimmed(&first_line),
            fields: fields(reader).await?,
        }))
    }
}

/// How the end of a body is known (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    UntilClosed,
}

impl Framing {
    /// Of a request: without a word about it there is no body.
    pub(crate) fn of_request(head: &Head) -> Result<Self> {
        Ok(Self::said(head)?.unwrap_or(Self::Length(0)))
    }

    /// Of an answer with `status` to something other than HEAD.
    pub(crate) fn of_answer(head: &Head, status: u16) -> Result<Self> {
        if matches!(status, 100..=199 | 204 | 304) {
            return Ok(Self::Length(0));
        }
        Ok(Self::said(head)?.unwrap_or(Self::UntilClosed))
    }

    fn said(head: &Head) -> Result<Option<Self>> {
        if let Some(coding) = head.values("transfer-encoding").last() {
            if coding.eq_ignore_ascii_case("chunked") {
                return Ok(Some(Self::Chunked));
            }
            return Err(malformed("a transfer coding other than chunked"));
        }
        match head.values("content-length").next() {
            Some(length) => {
                let length = length.parse().map_err(|_| malformed("content-length"))?;
                Ok(Some(Self::Length(length)))
            }
            None => Ok(None),
        }
    }
}

/// Reads a body, handing each piece to `take`, and gives the trailers.
pub(crate) async fn read_body(
    reader: &mut (impl AsyncBufRead + Unpin),
    framing: Framing,
    mut take: impl FnMut(&[u8]),
) -> Result<Fields> {
    match framing {
        Framing::Length(length) => {
            read_exactly(reader, length, &mut take).await?;
            Ok(Fields::new())
        }
        Framing::UntilClosed => loop {
            let piece = reader.fill_buf().await?;
            if piece.is_empty() {
                return Ok(Fields::new());
            }
            take(piece);
            let length = piece.len();
            reader.consume(length);
        },
        Framing::Chunked => loop {
            let size = trimmed(&line(reader).await?);
            let digits = size.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(digits, 16).map_err(|_| malformed("chunk size"))?;
            if size == 0 {
                return fields(reader).await;
            }
            read_exactly(reader, size, &mut take).await?;
            let mut end = [0; 2];
            reader.read_exact(&mut end).await?;
            if &end != b"\r\n" {
                return Err(malformed("the end of a chunk"));
            }
        },
    }
}

async fn read_exactly(
    reader: &mut (impl AsyncBufRead + Unpin),
    length: u64,
    take: &mut impl FnMut(&[u8]),
) -> Result<()> {
    let mut left = length;
    while left > 0 {
        let piece = reader.fill_buf().await?;
        if piece.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let wanted = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = piece.get(..wanted).unwrap_or(piece);
        take(piece);
        let length = piece.len();
        reader.consume(length);
        left -= u64::try_from(length).unwrap_or(left);
    }
    Ok(())
}

/// Header or trailer fields up to the empty line.
async fn fields(reader: &mut (impl AsyncBufRead + Unpin)) -> Result<Fields> {
    let mut fields = Fields::new();
    loop {
        let line = line(reader).await?;
        if line.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let line = trimmed(&line);
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("a field"))?;
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// A line with its end; empty where the other side has closed.
async fn line(reader: &mut (impl AsyncBufRead + Unpin)) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    let bound = u64::try_from(LINE_MAX).unwrap_or(u64::MAX);
    reader.take(bound).read_until(b'\n', &mut line).await?;
    if line.is_empty() || line.ends_with(b"\n") {
        Ok(line)
    } else {
        Err(ErrorKind::UnexpectedEof.into())
    }
}

fn trimmed(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end_matches(['\r', '\n']).to_owned()
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("malformed: {what}"))
}
