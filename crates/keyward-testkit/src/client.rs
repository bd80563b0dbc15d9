//! A client that sends bytes as they are: for what no HTTP library would send.

use crate::message::{Fields, Framing, Head, read_body};
use std::io::Result;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// How long an answer may take before a test is said to have failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The status line and the header fields.
    pub head: Head,
    /// The body, whole.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Fields,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// Where it is none.
    pub fn json(&self) -> std::result::Result<serde_json::Value, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// A connection whose every byte is the test's own.
#[derive(Debug)]
pub struct RawClient {
    stream: BufReader<TcpStream>,
}

impl RawClient {
    /// Connects.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "a test's own client")]
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends bytes at once, as they are.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn finish_sending(&mut self) -> Result<()> {
        self.stream.shutdown().await
    }

    /// Reads the next answer to something other than HEAD, interim ones included.
    ///
    /// # Errors
    /// `UnexpectedEof` where the connection is closed instead, `TimedOut` after 10 s, `InvalidData` for
    /// what is no answer.
    pub async fn answer(&mut self) -> Result<Answer> {
        patiently(read_answer(&mut self.stream, false)).await
    }

    /// Reads the answer to a HEAD request, or the head alone of any other.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub async fn answer_to_head(&mut self) -> Result<Answer> {
        patiently(read_answer(&mut self.stream, true)).await
    }

    /// Reads so many bytes and no more, as a slow client does.
    ///
    /// # Errors
    /// Those of the system, `UnexpectedEof` where fewer come, `TimedOut` after 10 s.
    pub async fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        patiently(self.stream.read_exact(&mut bytes)).await?;
        Ok(bytes)
    }

    /// Reads so many bytes and throws them away.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes), `TimedOut` when nothing comes for 10 s.
    pub async fn skip(&mut self, count: u64) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let piece = patiently(self.stream.fill_buf()).await?;
            if piece.is_empty() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let length = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.stream.consume(length);
            left -= u64::try_from(length).unwrap_or(left);
        }
        Ok(())
    }

    /// Reads whatever comes until the other side closes.
    ///
    /// # Errors
    /// Those of the system, `TimedOut` after 10 s.
    pub async fn rest(&mut self) -> Result<Vec<u8>> {
        let mut rest = Vec::new();
        patiently(self.stream.read_to_end(&mut rest)).await?;
        Ok(rest)
    }

    /// Whether the other side closes, in order or not, within this time and without another byte.
    pub async fn is_closed_within(&mut self, time: Duration) -> bool {
        match tokio::time::timeout(time, self.stream.read_u8()).await {
            Ok(Ok(_)) | Err(_) => false,
            Ok(Err(_)) => true,
        }
    }

    /// Whether nothing comes within this time, neither a byte nor the end.
    pub async fn is_silent_for(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.stream.read_u8())
            .await
            .is_err()
    }
}

/// Sends bytes on a connection of their own and reads answers until the other side closes, or nothing comes
/// for 2 s: how many answers some bytes get is what request smuggling is about.
///
/// # Errors
/// Those of connecting. What breaks later ends the list.
pub async fn raw_exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Result<Vec<Answer>> {
    const QUIET: Duration = Duration::from_secs(2);
    let mut client = RawClient::connect(address).await?;
    // A server may refuse before it has read everything.
    let _refused = client.send(bytes).await;
    let mut answers = Vec::new();
    while let Ok(Ok(answer)) = tokio::time::timeout(QUIET, client.answer()).await {
        answers.push(answer);
    }
    Ok(answers)
}

async fn patiently<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

async fn read_answer(stream: &mut BufReader<TcpStream>, to_head: bool) -> Result<Answer> {
    let head = Head::read(stream)
        .await?
        .ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head
        .first_line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.strip_prefix("1 ").or_else(|| rest.strip_prefix("0 ")))
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| digits.parse().ok())
        .ok_or(std::io::ErrorKind::InvalidData)?;
    let framing = if to_head {
        Framing::Length(0)
    } else {
        Framing::of_answer(&head, status)?
    };
    let mut body = Vec::new();
    let trailers = read_body(stream, framing, |piece| body.extend_from_slice(piece)).await?;
    Ok(Answer {
        status,
        head,
        body,
        trailers,
    })
}
