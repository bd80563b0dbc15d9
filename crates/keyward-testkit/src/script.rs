//! What a scripted server does once it has read a request.

use std::io::Result;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// What scripts wait for until a test lets them go on, all at once and for good.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A gate that is shut.
    #[must_use]
    pub fn shut() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets everyone pass from now on.
    pub fn open(&self) {
        self.0.close();
    }

    async fn pass(&self) {
        // There is never a permit: this ends with the semaphore.
        let _closed = self.0.acquire().await;
    }
}

/// A server's part in one exchange: read the request, then do one thing after the other.
#[derive(Clone, Debug)]
pub struct Script {
    pub(crate) reads_body: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<u8>),
    Repeat(Vec<u8>, u64),
    Pause(Duration),
    WaitFor(Gate),
    Read(u64),
    Mirror,
    WaitUntilClosed,
    Close,
    Reset,
}

impl Script {
    /// Reads the whole request, body and trailers included.
    #[must_use]
    pub fn new() -> Self {
        Self {
            reads_body: true,
            steps: Vec::new(),
        }
    }

    /// Reads the head alone and leaves the body in the socket.
    #[must_use]
    pub fn without_reading_the_body() -> Self {
        Self {
            reads_body: false,
            ..Self::new()
        }
    }

    /// A whole answer with a length. `status` is the code with its phrase: `200 OK`.
    #[must_use]
    pub fn answer(status: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        Self::new()
            .write(head(
                status,
                headers,
                &format!("content-length: {}", body.len()),
            ))
            .write(body)
    }

    /// A whole answer in chunks, with trailers.
    #[must_use]
    pub fn chunked(
        status: &str,
        headers: &[(&str, &str)],
        chunks: &[&str],
        trailers: &[(&str, &str)],
    ) -> Self {
        let mut script = Self::new().write(head(status, headers, "transfer-encoding: chunked"));
        for chunk in chunks {
            script = script.write_chunk(chunk);
        }
        script.write(format!("0\r\n{}\r\n", lines(trailers)))
    }

    /// An answer whose body has this many bytes, all of them `x`.
    #[must_use]
    pub fn long(bytes: u64) -> Self {
        const PIECE: u64 = 64 * 1024;
        let piece = |length: u64| vec![b'x'; usize::try_from(length).unwrap_or(usize::MAX)];
        Self::new()
            .write(head("200 OK", &[], &format!("content-length: {bytes}")))
            .repeat(piece(PIECE), bytes / PIECE)
            .write(piece(bytes % PIECE))
    }

    /// Writes these bytes as they are.
    #[must_use]
    pub fn write(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Write(bytes.as_ref().to_vec()))
    }

    /// Writes a chunk with its size.
    #[must_use]
    pub fn write_chunk(self, data: impl AsRef<[u8]>) -> Self {
        let data = data.as_ref();
        let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
        chunk.extend_from_slice(data);
        chunk.extend_from_slice(b"\r\n");
        self.write(chunk)
    }

    /// Writes these bytes so many times.
    #[must_use]
    pub fn repeat(self, bytes: impl AsRef<[u8]>, times: u64) -> Self {
        self.then(Step::Repeat(bytes.as_ref().to_vec(), times))
    }

    /// Waits.
    #[must_use]
    pub fn pause(self, time: Duration) -> Self {
        self.then(Step::Pause(time))
    }

    /// Waits until this is open.
    #[must_use]
    pub fn wait_for(self, gate: &Gate) -> Self {
        self.then(Step::WaitFor(gate.clone()))
    }

    /// Reads so many bytes of what follows the head and throws them away, after
    /// [`without_reading_the_body`](Self::without_reading_the_body).
    #[must_use]
    pub fn read(self, bytes: u64) -> Self {
        self.then(Step::Read(bytes))
    }

    /// Writes back every byte as soon as it comes, until the client closes: both ways at once, after
    /// [`without_reading_the_body`](Self::without_reading_the_body).
    #[must_use]
    pub fn mirror(self) -> Self {
        self.then(Step::Mirror)
    }

    /// Waits until the client closes; that it did counts as having left.
    #[must_use]
    pub fn wait_until_closed(self) -> Self {
        self.then(Step::WaitUntilClosed)
    }

    /// Closes the connection in order.
    #[must_use]
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    /// Breaks the connection off: what is on its way is lost, and the client sees a reset.
    #[must_use]
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Follows the script, and tells whether the connection is fit for another request.
    /// `wrote` is told how many bytes the other side has taken.
    pub(crate) async fn follow(
        &self,
        stream: &mut BufReader<TcpStream>,
        wrote: impl Fn(usize),
    ) -> Result<bool> {
        for step in &self.steps {
            match step {
                Step::Write(bytes) => {
                    stream.write_all(bytes).await?;
                    wrote(bytes.len());
                }
                Step::Repeat(bytes, times) => {
                    for _ in 0..*times {
                        stream.write_all(bytes).await?;
                        wrote(bytes.len());
                    }
                }
                Step::WaitFor(gate) => gate.pass().await,
                Step::Pause(time) => tokio::time::sleep(*time).await,
                Step::Read(bytes) => {
                    let mut left = stream.take(*bytes);
                    let read = tokio::io::copy(&mut left, &mut tokio::io::sink()).await?;
                    if read < *bytes {
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Step::Mirror => loop {
                    let piece = stream.fill_buf().await?.to_vec();
                    if piece.is_empty() {
                        return Ok(false);
                    }
                    stream.consume(piece.len());
                    stream.write_all(&piece).await?;
                },
                Step::WaitUntilClosed => {
                    let mut rest = Vec::new();
                    stream.read_to_end(&mut rest).await?;
                    return Err(std::io::ErrorKind::ConnectionAborted.into());
                }
                Step::Close => {
                    stream.shutdown().await?;
                    // Closing with bytes unread would be a reset.
                    let mut rest = Vec::new();
                    let drained = stream.read_to_end(&mut rest);
                    let _late = tokio::time::timeout(Duration::from_secs(1), drained).await;
                    return Ok(false);
                }
                Step::Reset => {
                    stream.get_ref().set_zero_linger()?;
                    return Ok(false);
                }
            }
        }
        Ok(self.reads_body)
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

fn head(status: &str, headers: &[(&str, &str)], framing: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{}{framing}\r\n\r\n", lines(headers))
}

fn lines(fields: &[(&str, &str)]) -> String {
    fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}
