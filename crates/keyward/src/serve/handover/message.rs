//! What two processes say to each other over the Unix socket: lines, some with sockets beside them.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

/// Sockets beside one line. The kernel takes 253 at most.
const SOCKETS_A_LINE: usize = 64;
/// The longest line: its addresses take some 60 bytes each.
const LINE_MAX: usize = 8 * 1024;
/// More sockets than any node has: 1,024 workers at sixteen addresses.
const SOCKETS_MAX: usize = 16 * 1024;
/// Says that sockets have arrived, so that the next can follow without being read as one with them.
const GOT: &str = "got";

/// A listening socket, with the address that the configuration calls it by.
pub(super) type Named = (SocketAddr, TcpListener);

/// The line beside which sockets are passed.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Passed {
    /// Of each socket, in their order.
    addresses: Vec<SocketAddr>,
    /// Whether another such line follows.
    more: bool,
}

/// Sends a line.
pub(super) fn send_line(mut stream: &UnixStream, line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\n").as_bytes())
}

/// Reads a line, byte by byte, so that nothing of what follows is taken with it.
pub(super) fn read_line(mut stream: &UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match stream.read(&mut byte)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if byte == *b"\n" => break,
            _ if line.len() >= LINE_MAX => return Err(invalid("a line that is too long")),
            _ => line.extend(byte),
        }
    }
    String::from_utf8(line).map_err(|_| invalid("a line that is no text"))
}

/// Reads a line that has to be this one.
pub(super) fn expect_line(stream: &UnixStream, expected: &str) -> io::Result<()> {
    let line = read_line(stream)?;
    if line == expected {
        Ok(())
    } else {
        Err(invalid(&format!("`{}`", line.escape_debug())))
    }
}

/// Passes sockets, and waits until each has arrived.
pub(super) fn send_sockets(stream: &UnixStream, sockets: &[Named]) -> io::Result<()> {
    let mut pieces = sockets.chunks(SOCKETS_A_LINE).peekable();
    if pieces.peek().is_none() {
        return Err(io::Error::other("there is no socket to hand over"));
    }
    while let Some(piece) = pieces.next() {
        let passed = Passed {
            addresses: piece.iter().map(|(address, _)| *address).collect(),
            more: pieces.peek().is_some(),
        };
        let line = serde_json::to_string(&passed)? + "\n";
        let descriptors: Vec<_> = piece.iter().map(|(_, socket)| socket.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_A_LINE))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !beside.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("the sockets don't fit into a message"));
        }
        let bytes = [IoSlice::new(line.as_bytes())];
        let sent = sendmsg(stream, &bytes, &mut beside, SendFlags::empty())?;
        // The sockets went with the first byte.
        let mut stream = stream;
        stream.write_all(line.as_bytes().get(sent..).unwrap_or_default())?;
        expect_line(stream, GOT)?;
    }
    Ok(())
}

/// Receives what [`send_sockets`] passes.
pub(super) fn receive_sockets(stream: &UnixStream) -> io::Result<Vec<Named>> {
    let mut all = Vec::new();
    loop {
        let (line, sockets) = receive_line(stream)?;
        let passed: Passed = serde_json::from_slice(&line)?;
        if passed.addresses.len() != sockets.len() {
            return Err(invalid("another number of sockets than of addresses"));
        }
        all.extend(passed.addresses.into_iter().zip(sockets));
        send_line(stream, GOT)?;
        if !passed.more {
            return Ok(all);
        }
        if all.len() > SOCKETS_MAX {
            return Err(invalid("sockets without end"));
        }
    }
}

/// A line and the sockets beside it.
fn receive_line(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<TcpListener>)> {
    let mut line = Vec::new();
    let mut sockets = Vec::new();
    while !line.ends_with(b"\n") {
        if line.len() > LINE_MAX {
            return Err(invalid("a line that is too long"));
        }
        let mut bytes = [0; LINE_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_A_LINE))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut beside,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::other(
                "some sockets did not arrive: raise the limit of descriptors (ulimit -n)",
            ));
        }
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend_from_slice(bytes.get(..received.bytes).unwrap_or_default());
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                sockets.extend(descriptors.map(TcpListener::from));
            }
        }
    }
    Ok((line, sockets))
}

/// Why the other process did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It has ended, or closed the socket.
    Left,
    /// It took too long.
    Late,
}

/// What an error says of the other process; `None` when it is about something else.
pub(super) fn reason(error: &io::Error) -> Option<Reason> {
    let is = |kind| error.kind() == kind;
    if is(io::ErrorKind::UnexpectedEof) || is(io::ErrorKind::BrokenPipe) {
        Some(Reason::Left)
    } else if is(io::ErrorKind::WouldBlock) || is(io::ErrorKind::TimedOut) {
        Some(Reason::Late)
    } else {
        None
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the other process says {what}: is it another version?"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(count: usize) -> Vec<Named> {
        (0..count)
            .map(|_| {
                let socket = TcpListener::bind("127.0.0.1:0").unwrap();
                (socket.local_addr().unwrap(), socket)
            })
            .collect()
    }

    #[test]
    fn sockets_arrive_with_their_addresses_however_many() {
        for count in [1, SOCKETS_A_LINE, SOCKETS_A_LINE + 1, 3 * SOCKETS_A_LINE] {
            let (one, other) = UnixStream::pair().unwrap();
            let sent = sockets(count);
            let expected: Vec<SocketAddr> = sent.iter().map(|(address, _)| *address).collect();
            let sending = std::thread::spawn(move || send_sockets(&one, &sent));
            let received = receive_sockets(&other).unwrap();
            sending.join().unwrap().unwrap();
            let addresses: Vec<SocketAddr> = received
                .iter()
                .map(|(address, socket)| {
                    assert_eq!(socket.local_addr().unwrap(), *address);
                    *address
                })
                .collect();
            assert_eq!(addresses, expected);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "",
            "{}",
            "hello",
            r#"{"addresses":["127.0.0.1:80"],"more":false}"#,
            r#"{"addresses":["here"],"more":false}"#,
            r#"{"addresses":[],"more":false,"further":1}"#,
        ] {
            let (one, other) = UnixStream::pair().unwrap();
            send_line(&one, line).unwrap();
            assert!(receive_sockets(&other).is_err(), "{line}");
        }
    }

    #[test]
    fn who_says_nothing_more_or_never_ends_is_refused() {
        let (one, other) = UnixStream::pair().unwrap();
        drop(one);
        let error = read_line(&other).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let (one, other) = UnixStream::pair().unwrap();
        let endless = "x".repeat(LINE_MAX + 1);
        send_line(&one, &endless).unwrap();
        let error = read_line(&other).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
