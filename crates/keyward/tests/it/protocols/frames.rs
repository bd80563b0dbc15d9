//! Frames of HTTP/2, written by hand, so that they can be wrong (RFC 9113, section 4).

use super::client::PATIENCE;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;

pub(super) const NO_ERROR: u32 = 0;
pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const INTERNAL_ERROR: u32 = 2;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// What a client begins with.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection.
pub(super) struct Frames {
    socket: TcpStream,
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Status(u16),
    Reset(u32),
    GoAway(u32),
    Closed,
}

impl Outcome {
    /// Whether it was told to be malformed, in one of the ways that RFC 9113, section 8.1.1, allows.
    pub(super) fn is_malformed(self) -> bool {
        matches!(
            self,
            Self::Status(400) | Self::Reset(PROTOCOL_ERROR) | Self::GoAway(PROTOCOL_ERROR)
        )
    }
}

impl Frame {
    /// The error that a `RST_STREAM` or a `GOAWAY` tells.
    pub(super) fn error(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        let code = self.payload.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(code))
    }

    /// The status of an answer's head, when it is one of those with a place in the static table (RFC 7541,
    /// appendix A) or is written plainly.
    pub(super) fn status(&self) -> Option<u16> {
        const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
        match self.payload.first()? {
            first @ 0x88..=0x8e => INDEXED.get(usize::from(first - 0x88)).copied(),
            _ => None,
        }
    }
}

impl Frames {
    /// Connects, sends preface and settings, and acknowledges those of the server.
    pub(super) async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, &[]).await
    }

    /// The same for a client whose streams take so many bytes (RFC 9113, section 6.5.2).
    pub(super) async fn open_with_window(address: SocketAddr, window: u32) -> Self {
        const INITIAL_WINDOW_SIZE: u16 = 4;
        let setting = [
            &INITIAL_WINDOW_SIZE.to_be_bytes()[..],
            &window.to_be_bytes(),
        ];
        Self::open_with(address, &setting.concat()).await
    }

    async fn open_with(address: SocketAddr, settings: &[u8]) -> Self {
        let mut frames = Self::connect(address).await;
        frames.write(PREFACE).await.unwrap();
        frames.frame(SETTINGS, 0, 0, settings).await.unwrap();
        assert_eq!(frames.next().await.unwrap().kind, SETTINGS);
        frames.frame(SETTINGS, ACK, 0, &[]).await.unwrap();
        frames
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a client of a test connects to what is tested"
    )]
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let writing = tokio::time::timeout(PATIENCE, self.socket.write_all(bytes));
        writing.await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Sends a frame.
    pub(super) async fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        self.write(&frame(kind, flags, stream, payload)).await
    }

    /// Sends a request's whole head. The body follows unless it ends here.
    pub(super) async fn head(&mut self, stream: u32, fields: &[(&str, &str)], ends: bool) {
        let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
        let block = block(fields);
        self.frame(HEADERS, flags, stream, &block).await.unwrap();
    }

    /// The next frame.
    pub(super) async fn next(&mut self) -> io::Result<Frame> {
        let reading = async {
            let mut head = [0; 9];
            self.socket.read_exact(&mut head).await?;
            let [a, b, c, kind, flags, stream @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.socket.read_exact(&mut payload).await?;
            Ok(Frame {
                kind,
                flags,
                stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
                payload,
            })
        };
        let reading = tokio::time::timeout(PATIENCE, reading);
        reading.await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// The next frame of this kind; the others are passed over.
    pub(super) async fn next_of(&mut self, kind: u8) -> io::Result<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Ok(frame);
            }
        }
    }

    /// What becomes of a request.
    pub(super) async fn outcome(&mut self, stream: u32) -> Outcome {
        let mut status = None;
        loop {
            let Ok(frame) = self.next().await else {
                return Outcome::Closed;
            };
            match (frame.kind, frame.stream) {
                (GOAWAY, _) => return Outcome::GoAway(frame.error().unwrap()),
                (RST_STREAM, id) if id == stream => {
                    return Outcome::Reset(frame.error().unwrap());
                }
                (HEADERS | DATA, id) if id == stream => {
                    status = status.or_else(|| frame.status());
                    if frame.flags & END_STREAM != 0 {
                        return Outcome::Status(status.unwrap());
                    }
                }
                _ => {}
            }
        }
    }

    /// How the server ended the connection, if what has come by now says so.
    pub(super) async fn gone(&mut self) -> Option<Outcome> {
        loop {
            // Long enough for an answer to what was sent; short, since it is asked often.
            let waiting = Duration::from_millis(5);
            match tokio::time::timeout(waiting, self.socket.peek(&mut [0])).await {
                Err(_) => return None,
                Ok(Err(_) | Ok(0)) => return Some(Outcome::Closed),
                Ok(Ok(_)) => match self.next().await {
                    Err(_) => return Some(Outcome::Closed),
                    Ok(frame) if frame.kind == GOAWAY => {
                        return Some(Outcome::GoAway(frame.error().unwrap()));
                    }
                    Ok(_) => {}
                },
            }
        }
    }

    /// Whether the server closes the connection, whatever it sends before.
    pub(super) async fn is_closed(&mut self) -> bool {
        loop {
            match self.next().await {
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::TimedOut,
            }
        }
    }
}

/// A frame's bytes.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header block: each field as a literal that leaves the table alone (RFC 7541, section 6.2.2).
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A length in seven bits and, where it is longer, more (RFC 7541, section 5.1).
fn length(block: &mut Vec<u8>, mut length: usize) {
    const PREFIX: usize = 0x7f;
    if length < PREFIX {
        return block.push(u8::try_from(length).unwrap());
    }
    block.push(0x7f);
    length -= PREFIX;
    while length >= 0x80 {
        block.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    block.push(u8::try_from(length).unwrap());
}

/// The pseudo-header fields of a GET.
pub(super) const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "gateway.test"),
    (":path", "/open/x"),
];

/// Those of a POST.
pub(super) const POST: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "gateway.test"),
    (":path", "/open/x"),
];
