//! A server whose every frame of HTTP/2 is the test's own: for what no HTTP library would send.

use crate::task::Task;
use std::io::Result;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame (RFC 9113, section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type (section 6).
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 for the connection.
    pub stream: u32,
    /// What follows the head.
    pub payload: Vec<u8>,
}

impl Frame {
    /// DATA.
    pub const DATA: u8 = 0;
    /// HEADERS.
    pub const HEADERS: u8 = 1;
    /// RST_STREAM.
    pub const RESET: u8 = 3;
    /// SETTINGS.
    pub const SETTINGS: u8 = 4;
    /// PING.
    pub const PING: u8 = 6;
    /// GOAWAY.
    pub const GO_AWAY: u8 = 7;

    /// A frame with these bytes.
    #[must_use]
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Self {
        Self {
            kind,
            flags,
            stream,
            payload: payload.as_ref().to_vec(),
        }
    }

    /// A whole header section (RFC 7541, without indexing or Huffman's code); `ends` the stream.
    #[must_use]
    pub fn headers(stream: u32, fields: &[(&str, &str)], ends: bool) -> Self {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            for text in [name, value] {
                let length = u8::try_from(text.len()).expect("short texts");
                assert!(length < 127, "short texts");
                block.push(length);
                block.extend_from_slice(text.as_bytes());
            }
        }
        Self::new(Self::HEADERS, 4 | u8::from(ends), stream, block)
    }

    /// Bytes of a body; `ends` the stream.
    #[must_use]
    pub fn data(stream: u32, bytes: impl AsRef<[u8]>, ends: bool) -> Self {
        Self::new(Self::DATA, u8::from(ends), stream, bytes)
    }

    /// RST_STREAM with a code (section 7).
    #[must_use]
    pub fn reset(stream: u32, code: u32) -> Self {
        Self::new(Self::RESET, 0, stream, code.to_be_bytes())
    }

    /// GOAWAY with the last stream that was looked at, and a code.
    #[must_use]
    pub fn go_away(last: u32, code: u32) -> Self {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        Self::new(Self::GO_AWAY, 0, 0, payload)
    }

    /// WINDOW_UPDATE: so many bytes more may be sent.
    #[must_use]
    pub fn window(stream: u32, bytes: u32) -> Self {
        Self::new(8, 0, stream, bytes.to_be_bytes())
    }

    /// SETTINGS with one value.
    #[must_use]
    pub fn setting(id: u16, value: u32) -> Self {
        let mut payload = id.to_be_bytes().to_vec();
        payload.extend_from_slice(&value.to_be_bytes());
        Self::new(Self::SETTINGS, 0, 0, payload)
    }

    fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a frame's length");
        let mut bytes = length.to_be_bytes()[1..].to_vec();
        bytes.extend_from_slice(&[self.kind, self.flags]);
        bytes.extend_from_slice(&self.stream.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    async fn read(stream: &mut TcpStream) -> Result<Self> {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, s1, s2, s3, s4] = head;
        let length = u32::from_be_bytes([0, a, b, c]);
        let mut payload = vec![0; usize::try_from(length).unwrap_or_default()];
        stream.read_exact(&mut payload).await?;
        Ok(Self {
            kind,
            flags,
            stream: u32::from_be_bytes([s1, s2, s3, s4]) & 0x7fff_ffff,
            payload,
        })
    }
}

/// What a server says to a frame of its client's.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// These frames, in their order.
    pub frames: Vec<Frame>,
    /// Whether it closes the connection then.
    pub closes: bool,
    /// Whether it leaves a PING unanswered.
    pub mute: bool,
}

impl From<Vec<Frame>> for Told {
    fn from(frames: Vec<Frame>) -> Self {
        Self {
            frames,
            ..Self::default()
        }
    }
}

/// A server on loopback that greets with SETTINGS, acknowledges what has to be, and says to each frame what the
/// test wants.
#[derive(Debug)]
pub struct FrameUpstream {
    address: SocketAddr,
    state: Arc<Mutex<Vec<Vec<Frame>>>>,
    _task: Task,
}

impl FrameUpstream {
    /// `greeting` is sent first. `answer` is asked for each frame that comes, with the number of its
    /// connection, from 0.
    pub async fn start(
        greeting: Vec<Frame>,
        answer: impl Fn(usize, &Frame) -> Told + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(Vec::new()));
        let (shared, answer) = (Arc::clone(&state), Arc::new(answer));
        let task = Task::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                let number = {
                    let mut connections = locked(&shared);
                    connections.push(Vec::new());
                    connections.len() - 1
                };
                let greeting = greeting.clone();
                open.spawn(async move {
                    let _ended = serve(stream, number, &greeting, &*answer, &shared).await;
                });
            }
        });
        Self {
            address,
            state,
            _task: task,
        }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The frames of each connection so far.
    #[must_use]
    pub fn frames(&self) -> Vec<Vec<Frame>> {
        locked(&self.state).clone()
    }

    /// How many frames of this kind have come, over all connections.
    #[must_use]
    pub fn count(&self, kind: u8) -> usize {
        let connections = locked(&self.state);
        let frames = connections.iter().flatten();
        frames.filter(|frame| frame.kind == kind).count()
    }
}

fn locked(state: &Mutex<Vec<Vec<Frame>>>) -> MutexGuard<'_, Vec<Vec<Frame>>> {
    state.lock().expect("no holder panics")
}

async fn serve(
    mut stream: TcpStream,
    number: usize,
    greeting: &[Frame],
    answer: &(impl Fn(usize, &Frame) -> Told + Send + Sync),
    state: &Mutex<Vec<Vec<Frame>>>,
) -> Result<()> {
    const ACK: u8 = 1;
    stream.set_nodelay(true)?;
    for frame in greeting {
        stream.write_all(&frame.bytes()).await?;
    }
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    loop {
        let frame = Frame::read(&mut stream).await?;
        let told = answer(number, &frame);
        let needs_ack = match frame.kind {
            Frame::SETTINGS => frame.flags & ACK == 0,
            Frame::PING => frame.flags & ACK == 0 && !told.mute,
            _ => false,
        };
        if needs_ack {
            let payload: &[u8] = if frame.kind == Frame::PING {
                &frame.payload
            } else {
                &[]
            };
            let ack = Frame::new(frame.kind, ACK, 0, payload);
            stream.write_all(&ack.bytes()).await?;
        }
        if let Some(connection) = locked(state).get_mut(number) {
            connection.push(frame);
        }
        for frame in told.frames {
            stream.write_all(&frame.bytes()).await?;
        }
        if told.closes {
            return stream.shutdown().await;
        }
    }
}
