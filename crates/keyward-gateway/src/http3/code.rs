//! What a stream or a connection is ended with (RFC 9114, section 8.1).

use quinn::VarInt;

/// No error: the connection closes, or the rest of a request is not needed.
pub(super) const NO_ERROR: VarInt = VarInt::from_u32(0x100);
/// A rule was broken for which there is no code of its own.
pub(super) const GENERAL_PROTOCOL_ERROR: VarInt = VarInt::from_u32(0x101);
/// Something went wrong here.
pub(super) const INTERNAL_ERROR: VarInt = VarInt::from_u32(0x102);
/// A stream that is not wanted.
pub(super) const STREAM_CREATION_ERROR: VarInt = VarInt::from_u32(0x103);
/// A stream that has to last has ended.
pub(super) const CLOSED_CRITICAL_STREAM: VarInt = VarInt::from_u32(0x104);
/// A frame where none of its kind may be.
pub(super) const FRAME_UNEXPECTED: VarInt = VarInt::from_u32(0x105);
/// A frame that breaks off, or has another length than it says.
pub(super) const FRAME_ERROR: VarInt = VarInt::from_u32(0x106);
/// The client asks for much work and makes nothing of it.
pub(super) const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(0x107);
/// An identifier that goes up where it may only go down, or the other way.
pub(super) const ID_ERROR: VarInt = VarInt::from_u32(0x108);
/// The client's settings can't be.
pub(super) const SETTINGS_ERROR: VarInt = VarInt::from_u32(0x109);
/// The control stream does not begin with settings.
pub(super) const MISSING_SETTINGS: VarInt = VarInt::from_u32(0x10a);
/// Nothing was done of the request: it can be sent again.
pub(super) const REQUEST_REJECTED: VarInt = VarInt::from_u32(0x10b);
/// Nobody waits for the answer any more.
pub(super) const REQUEST_CANCELLED: VarInt = VarInt::from_u32(0x10c);
/// The request's end is missing.
pub(super) const REQUEST_INCOMPLETE: VarInt = VarInt::from_u32(0x10d);
/// The message is malformed.
pub(super) const MESSAGE_ERROR: VarInt = VarInt::from_u32(0x10e);
/// A header section can't be understood (RFC 9204, section 6).
pub(super) const QPACK_DECOMPRESSION_FAILED: VarInt = VarInt::from_u32(0x200);
/// The stream that speaks of the table that has room for nothing says something else.
pub(super) const QPACK_ENCODER_STREAM_ERROR: VarInt = VarInt::from_u32(0x201);
/// What is acknowledged was never sent.
pub(super) const QPACK_DECODER_STREAM_ERROR: VarInt = VarInt::from_u32(0x202);
