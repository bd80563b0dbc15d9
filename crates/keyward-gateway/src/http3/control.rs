//! The streams that go one way (RFC 9114, section 6.2): the client's control stream, and those of header
//! compression, which have nothing to say here.

use super::code;
use super::connection::Shared;
use super::frame::{self, FrameHead, Number, PartialHead};
use crate::settings::Limits;
use bytes::{Bytes, BytesMut};
use quinn::{RecvStream, VarInt};
use std::cell::Cell;
use std::rc::Rc;

/// What a field is said to cost beside its name and value (RFC 9114, section 4.2.2).
pub(super) const FIELD_OVERHEAD: usize = 32;
/// The largest settings that are read; those that there are take some 40 bytes.
const SETTINGS_MAX: u64 = 1024;
/// Frames of the control stream that say one number.
const NUMBER_MAX: u64 = 8;

/// The kinds of streams (RFC 9114, section 11.2.4; RFC 9204, section 8.2).
const CONTROL: u64 = 0x0;
const PUSH: u64 = 0x1;
const ENCODER: u64 = 0x2;
const DECODER: u64 = 0x3;

/// The settings that we send (RFC 9114, section 7.2.4.1).
const MAX_FIELD_SECTION_SIZE: u64 = 0x6;

/// Which of the streams that there may be one of have been opened.
#[derive(Debug, Default)]
pub(super) struct Critical {
    control: Cell<bool>,
    encoder: Cell<bool>,
    decoder: Cell<bool>,
}

/// The header section that clients are told not to pass, by HTTP/3's own measure. Above what is allowed of bytes
/// and fields, so that it is us who say which bound a head has passed.
pub(super) fn section_size(limits: &Limits) -> usize {
    limits.head_bytes + FIELD_OVERHEAD * (limits.header_fields + 1)
}

/// What our control stream begins with.
pub(super) fn opening(limits: &Limits) -> BytesMut {
    let mut settings = BytesMut::new();
    frame::put_number(&mut settings, MAX_FIELD_SECTION_SIZE);
    frame::put_number(&mut settings, section_size(limits) as u64);
    let mut out = BytesMut::new();
    frame::put_number(&mut out, CONTROL);
    out.extend_from_slice(&frame::whole(frame::SETTINGS, &settings));
    out
}

/// Why a stream is followed no further.
enum End {
    /// It has ended, or the connection has.
    Over,
    /// The connection has to end with this.
    Connection(VarInt, &'static str),
}

/// Follows a stream of the client's to its end.
pub(super) async fn follow(stream: RecvStream, connection: Rc<Shared>) {
    let mut follower = Follower {
        stream,
        connection: Rc::clone(&connection),
        read: Bytes::new(),
    };
    if let Err(End::Connection(code, because)) = follower.run().await {
        connection.end(code, because);
    }
}

struct Follower {
    stream: RecvStream,
    connection: Rc<Shared>,
    /// What was read and not used.
    read: Bytes,
}

impl Follower {
    async fn run(&mut self) -> Result<(), End> {
        let once = |seen: &Cell<bool>| {
            if seen.replace(true) {
                Err(End::Connection(
                    code::STREAM_CREATION_ERROR,
                    "it opens a second stream of a kind that there is one of",
                ))
            } else {
                Ok(())
            }
        };
        let connection = Rc::clone(&self.connection);
        let critical = &connection.critical;
        let kind = self.number().await?;
        match kind {
            CONTROL => {
                once(&critical.control)?;
                self.control().await
            }
            ENCODER => {
                once(&critical.encoder)?;
                self.encoder().await
            }
            DECODER => {
                once(&critical.decoder)?;
                self.decoder().await
            }
            PUSH => {
                return Err(End::Connection(
                    code::STREAM_CREATION_ERROR,
                    "it opens a stream of pushes, which are a server's",
                ));
            }
            _ => {
                // Of a kind that nobody knows (section 6.2).
                let _stopped = self.stream.stop(code::STREAM_CREATION_ERROR);
                return Ok(());
            }
        }
        .map_err(|end| match end {
            End::Over => End::Connection(
                code::CLOSED_CRITICAL_STREAM,
                "it closes a stream that has to last",
            ),
            End::Connection(..) => end,
        })
    }

    /// Never returns but with an error: the stream lasts as long as the connection.
    async fn control(&mut self) -> Result<(), End> {
        let first = self.head().await?;
        if first.kind != frame::SETTINGS {
            return Err(End::Connection(
                code::MISSING_SETTINGS,
                "its control stream does not begin with settings",
            ));
        }
        self.settings(first.length).await?;
        let mut goaway = u64::MAX;
        let mut pushes = 0;
        loop {
            let FrameHead { kind, length } = self.head().await?;
            match kind {
                frame::GOAWAY => {
                    // The pushes that it takes, of which there are none; it may only go down (section 5.2).
                    let id = self.number_of(length).await?;
                    if id > goaway {
                        return Err(End::Connection(code::ID_ERROR, "its GOAWAY goes up"));
                    }
                    goaway = id;
                }
                frame::MAX_PUSH_ID => {
                    let id = self.number_of(length).await?;
                    if id < pushes {
                        return Err(End::Connection(code::ID_ERROR, "its MAX_PUSH_ID goes down"));
                    }
                    pushes = id;
                }
                frame::CANCEL_PUSH => {
                    self.number_of(length).await?;
                    return Err(End::Connection(
                        code::ID_ERROR,
                        "it cancels a push that was never promised",
                    ));
                }
                frame::SETTINGS | frame::DATA | frame::HEADERS | frame::PUSH_PROMISE => {
                    return Err(unexpected());
                }
                kind if frame::is_of_http2(kind) => return Err(unexpected()),
                _ => self.skip(length).await?,
            }
        }
    }

    /// Section 7.2.4.
    async fn settings(&mut self, length: u64) -> Result<(), End> {
        let bad = |because| End::Connection(code::SETTINGS_ERROR, because);
        if length > SETTINGS_MAX {
            return Err(End::Connection(
                code::EXCESSIVE_LOAD,
                "its settings have no end",
            ));
        }
        let mut left = length;
        let mut seen = Vec::new();
        let mut reading = Number::default();
        let mut identifier = None;
        while left > 0 {
            left -= 1;
            let Some(number) = reading.push(self.byte().await?) else {
                continue;
            };
            let Some(id) = identifier.take() else {
                identifier = Some(number);
                continue;
            };
            if seen.contains(&id) {
                return Err(bad("it says a setting twice"));
            }
            seen.push(id);
            match (id, number) {
                // Those of HTTP/2 that HTTP/3 has not (section 11.2.2).
                (0x0 | 0x2..=0x5, _) => return Err(bad("it sends a setting of HTTP/2")),
                // RFC 9220, section 3; RFC 9297, section 2.1.1.
                (0x8 | 0x33, 2..) => return Err(bad("a setting is neither 0 nor 1")),
                _ => {}
            }
        }
        if reading.is_begun() || identifier.is_some() {
            return Err(End::Connection(code::FRAME_ERROR, "its settings break off"));
        }
        Ok(())
    }

    /// The table that it would speak of has room for nothing: only that may be said of it (RFC 9204, section 4.3.1).
    async fn encoder(&mut self) -> Result<(), End> {
        loop {
            if self.byte().await? != 0b0010_0000 {
                return Err(End::Connection(
                    code::QPACK_ENCODER_STREAM_ERROR,
                    "it fills a table that has no room",
                ));
            }
        }
    }

    /// What we send refers to no table: there is nothing to acknowledge but that a stream was left (RFC 9204,
    /// section 4.4.2).
    async fn decoder(&mut self) -> Result<(), End> {
        loop {
            let first = self.byte().await?;
            if first & 0b1100_0000 != 0b0100_0000 {
                return Err(End::Connection(
                    code::QPACK_DECODER_STREAM_ERROR,
                    "it acknowledges what was never sent",
                ));
            }
            // The stream's number, whose further bytes say themselves whether another follows.
            let mut more = first & 0b0011_1111 == 0b0011_1111;
            while more {
                more = self.byte().await? & 0x80 != 0;
            }
        }
    }

    async fn byte(&mut self) -> Result<u8, End> {
        self.fill().await?;
        let byte = self.read.split_to(1);
        byte.first().copied().ok_or(End::Over)
    }

    async fn number(&mut self) -> Result<u64, End> {
        let mut reading = Number::default();
        loop {
            if let Some(number) = reading.push(self.byte().await?) {
                return Ok(number);
            }
        }
    }

    /// The number that is all of a frame of this length.
    async fn number_of(&mut self, length: u64) -> Result<u64, End> {
        let wrong = || End::Connection(code::FRAME_ERROR, "a frame is not one number long");
        let mut reading = Number::default();
        for left in (0..length.min(NUMBER_MAX)).rev() {
            if let Some(number) = reading.push(self.byte().await?) {
                return if left == 0 && length <= NUMBER_MAX {
                    Ok(number)
                } else {
                    Err(wrong())
                };
            }
        }
        Err(wrong())
    }

    async fn head(&mut self) -> Result<FrameHead, End> {
        let mut partial = PartialHead::default();
        loop {
            self.fill().await?;
            if let Some(head) = partial.take(&mut self.read) {
                return Ok(head);
            }
        }
    }

    async fn skip(&mut self, length: u64) -> Result<(), End> {
        let mut left = length;
        while left > 0 {
            self.fill().await?;
            let count = usize::try_from(left).unwrap_or(usize::MAX);
            let count = count.min(self.read.len());
            drop(self.read.split_to(count));
            left -= count as u64;
        }
        Ok(())
    }

    /// Reads on until there is something.
    async fn fill(&mut self) -> Result<(), End> {
        while self.read.is_empty() {
            let Ok(Some(chunk)) = self.stream.read_chunk(usize::MAX, true).await else {
                return Err(End::Over);
            };
            self.read = chunk.bytes;
            self.connection
                .read(self.read.len())
                .map_err(|code| End::Connection(code, "it sends what leads to nothing"))?;
        }
        Ok(())
    }
}

fn unexpected() -> End {
    End::Connection(
        code::FRAME_UNEXPECTED,
        "its control stream has a frame that stands elsewhere",
    )
}
