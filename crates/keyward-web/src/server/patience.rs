//! A connection whose other end has to read: one that takes answers byte by byte, or not at all, would hold its seat
//! for good.

use hyper::rt::{Read, ReadBufCursor, Write};
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// A stream on which everything that is written has to be taken within a time.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    within: Duration,
    /// When what waits to be written has to be gone; `None` while nothing does.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, within: Duration) -> Self {
        Self {
            stream,
            within,
            until: None,
        }
    }

    /// What came of writing, unless it takes too long.
    fn waited<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            return written;
        }
        let within = self.within;
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(within)));
        ready!(until.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: Read + Unpin> Read for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: Write + Unpin> Write for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.waited(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.waited(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Asked for when all that there was is written: the next answer has its own time.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        let flushed = self.waited(flushed, context);
        if flushed.is_ready() {
            self.until = None;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(context);
        self.waited(ended, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use std::convert::Infallible;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Larger than what waits on the way.
    const LARGE: usize = 1 << 20;

    async fn served(stream: tokio::io::DuplexStream, within: Duration) -> Result<(), String> {
        let service = service_fn(async |_| {
            let body = Full::new(bytes::Bytes::from(vec![b'x'; LARGE]));
            Ok::<_, Infallible>(http::Response::new(body))
        });
        let stream = Patient::new(TokioIo::new(stream), within);
        let connection = hyper::server::conn::http1::Builder::new();
        let served = connection.serve_connection(stream, service).await;
        served.map_err(|error| format!("{error:?}"))
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_read_an_answer_loses_the_connection() {
        let (mut client, server) = tokio::io::duplex(4096);
        let serving = tokio::spawn(served(server, Duration::from_secs(120)));
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.unwrap();
        // A byte now and then is no reading either.
        let mut read = 0;
        while !serving.is_finished() && read < 100 {
            let _byte = tokio::time::timeout(Duration::from_secs(10), client.read_u8()).await;
            sleep(Duration::from_secs(10)).await;
            read += 1;
        }
        assert!((2..20).contains(&read), "{read}");
        let error = serving.await.unwrap().unwrap_err();
        assert!(error.contains("TimedOut"), "{error}");
    }

    #[tokio::test]
    async fn whoever_reads_has_all_of_it() {
        let (mut client, server) = tokio::io::duplex(4096);
        let serving = tokio::spawn(served(server, Duration::from_secs(120)));
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.len() > LARGE);
        serving.await.unwrap().unwrap();
    }
}
