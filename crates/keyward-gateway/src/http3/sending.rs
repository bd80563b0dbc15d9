//! The side of a stream on which the answer goes.

use super::code;
use super::connection::NOTHING;
use super::frame;
use bytes::Bytes;
use quinn::{SendStream, StoppedError, VarInt, WriteError};
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

/// The answer was not given to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The client has broken it off, or its connection has ended.
    Left,
    /// There was no more to give, or the client took no more.
    Short,
}

type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>>>>;

/// A stream, what was put to it and did not go yet, and how it ends.
pub(super) struct Sending {
    stream: SendStream,
    /// Frames, of which the last may be a head alone; then the piece of a body that this is of.
    unsent: [Bytes; 2],
    /// Made when it is first asked for.
    stopped: Option<Stopped>,
    outcome: Option<Result<(), Cut>>,
    /// Whether it was said how it ends.
    closed: bool,
}

impl Sending {
    pub(super) fn new(stream: SendStream) -> Self {
        Self {
            stream,
            unsent: [NOTHING; 2],
            stopped: None,
            outcome: None,
            closed: false,
        }
    }

    /// Puts a frame behind those that have not gone yet.
    pub(super) fn put(&mut self, frame: Bytes) {
        let [frames, piece] = &mut self.unsent;
        debug_assert!(piece.is_empty(), "a piece is sent before more is put");
        if frames.is_empty() {
            *frames = frame;
        } else {
            *frames = [&**frames, &*frame].concat().into();
        }
    }

    /// Puts a piece of a body, without a copy of it. All that was put before has gone.
    pub(super) fn put_data(&mut self, bytes: Bytes) {
        self.put(frame::head(frame::DATA, bytes.len()));
        let [_, piece] = &mut self.unsent;
        *piece = bytes;
    }

    /// Sends what was put, as far as the client and its network take it; `moved` when they do.
    pub(super) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        mut moved: impl FnMut(),
    ) -> Poll<Result<(), Cut>> {
        while self.unsent.iter().any(|bytes| !bytes.is_empty()) {
            let begun = self
                .unsent
                .iter()
                .position(|bytes| !bytes.is_empty())
                .unwrap_or_default();
            let rest = self.unsent.get_mut(begun..).unwrap_or_default();
            let written = ready!(pin!(self.stream.write_chunks(rest)).poll(context));
            match written {
                Ok(_) => moved(),
                Err(
                    WriteError::Stopped(_)
                    | WriteError::ConnectionLost(_)
                    | WriteError::ClosedStream
                    | WriteError::ZeroRttRejected,
                ) => return Poll::Ready(Err(Cut::Left)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// All was put.
    pub(super) fn finish(&mut self) {
        self.closed = true;
        // Fails where the client has stopped it.
        let _finished = self.stream.finish();
    }

    /// Breaks it off.
    pub(super) fn reset(&mut self, code: VarInt) {
        self.closed = true;
        let _reset = self.stream.reset(code);
    }

    /// Ready when the client takes no more: it has all, or has left.
    pub(super) fn poll_stopped(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        if let Some(outcome) = self.outcome {
            return Poll::Ready(outcome);
        }
        let stream = &self.stream;
        let stopped = self
            .stopped
            .get_or_insert_with(|| Box::pin(stream.stopped()));
        let outcome = match ready!(stopped.as_mut().poll(context)) {
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(StoppedError::ConnectionLost(_) | StoppedError::ZeroRttRejected) => {
                Err(Cut::Left)
            }
        };
        self.outcome = Some(outcome);
        Poll::Ready(outcome)
    }
}

impl Drop for Sending {
    /// Whoever gives it up without a word, as a task that panics does, has not given the answer to its end: the library
    /// would finish the stream, and what was sent of the answer would pass for all of it.
    fn drop(&mut self) {
        if !self.closed {
            self.reset(code::INTERNAL_ERROR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::TlsSettings;
    use crate::tls::tests::{Authority, Files, client, settings};
    use quinn::crypto::rustls::QuicClientConfig;
    use quinn::{ClientConfig, Endpoint, ReadToEndError, ServerConfig};
    use std::future::poll_fn;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;

    #[tokio::test]
    async fn an_answer_that_is_given_up_without_a_word_does_not_pass_for_all_of_it() {
        let (authority, files) = (Authority::new(), Files::new());
        let certificate = files.put("server", &authority.issue(&["a.example"]));
        let server = files
            .load(TlsSettings {
                http3: true,
                ..settings(&[certificate])
            })
            .unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = ServerConfig::with_crypto(server.quic().unwrap());
        let (near, far) = (
            Endpoint::client(any).unwrap(),
            Endpoint::server(config, any).unwrap(),
        );
        let mut config =
            rustls::ClientConfig::clone(&client(&authority, &[&rustls::version::TLS13], None));
        config.alpn_protocols = vec![b"h3".to_vec()];
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
        let connecting = near
            .connect_with(config, far.local_addr().unwrap(), "a.example")
            .unwrap();
        let accepting = async { far.accept().await.unwrap().await.unwrap() };
        let (client, server) = tokio::join!(async { connecting.await.unwrap() }, accepting);
        for is_whole in [true, false] {
            let (mut send, mut receive) = client.open_bi().await.unwrap();
            send.finish().unwrap();
            let (send, _receive) = server.accept_bi().await.unwrap();
            let mut sending = Sending::new(send);
            sending.put_data(Bytes::from_static(b"the first half"));
            poll_fn(|context| sending.poll_flush(context, || {}))
                .await
                .unwrap();
            if is_whole {
                sending.finish();
            }
            drop(sending);
            match receive.read_to_end(100).await {
                Ok(read) => assert!(is_whole, "{read:?}"),
                Err(ReadToEndError::Read(quinn::ReadError::Reset(code))) => {
                    assert!(!is_whole && code == code::INTERNAL_ERROR, "{code}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}
