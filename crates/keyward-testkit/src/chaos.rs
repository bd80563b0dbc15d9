//! A network that fails: a proxy for TCP between two sides that know nothing of it.

use crate::task::Task;
use std::io::Result;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What happens to the bytes of a connection. It holds for connections made after it was set, and for each
/// piece that passes from then on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Every piece is held up so long.
    pub delay: Duration,
    /// No more than this passes at one time, so that with a delay a connection is slow.
    pub piece_max: Option<usize>,
    /// The connection is cut, both ways, when so many bytes have passed in one direction.
    pub cut_after: Option<u64>,
    /// The byte at this place of a direction is changed, counted from 0.
    pub garble_at: Option<u64>,
    /// Which of the two directions this happens to.
    pub direction: Direction,
    /// Connections are taken and nothing passes at all.
    pub black_hole: bool,
    /// Connections are closed as soon as they are made.
    pub refuse: bool,
}

/// A direction of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both.
    #[default]
    Both,
    /// What the one who connects sends.
    ToServer,
    /// What the server sends.
    ToClient,
}

/// A proxy on loopback with weather.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    weather: Arc<Mutex<Weather>>,
    era: Arc<AtomicU64>,
    _task: Task,
}

impl ChaosProxy {
    /// A proxy before `server`, with fair weather.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let weather = Arc::new(Mutex::new(Weather::default()));
        let shared = Arc::clone(&weather);
        let era = Arc::new(AtomicU64::new(0));
        let eras = Arc::clone(&era);
        let task = Task::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let sky = Sky {
                    weather: Arc::clone(&shared),
                    began: eras.load(Ordering::Relaxed),
                    era: Arc::clone(&eras),
                };
                open.spawn(async move {
                    // That connections break is what this is for.
                    let _broken = pass(client, server, &sky).await;
                });
                while open.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            weather,
            era,
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

    /// Nothing passes any more on connections that are open now, and neither end is told: as when the machine behind
    /// them is gone without a word and another has its address.
    pub fn abandon_open(&self) {
        self.era.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes the weather.
    pub fn set(&self, weather: Weather) {
        *self.weather.lock().expect("no holder panics") = weather;
    }
}

/// What a connection is exposed to.
struct Sky {
    weather: Arc<Mutex<Weather>>,
    /// When it was made.
    began: u64,
    era: Arc<AtomicU64>,
}

impl Sky {
    fn now(&self) -> Weather {
        *self.weather.lock().expect("no holder panics")
    }

    fn is_abandoned(&self) -> bool {
        self.era.load(Ordering::Relaxed) != self.began
    }
}

async fn pass(client: TcpStream, server: SocketAddr, sky: &Sky) -> Result<()> {
    let now = sky.now();
    if now.refuse {
        client.set_zero_linger()?;
        return Ok(());
    }
    #[expect(clippy::disallowed_methods, reason = "a test's own proxy")]
    let upstream = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = upstream.into_split();
    // When one direction is cut the other is dropped with it; when one ends in order the other goes on.
    tokio::try_join!(
        pour(from_client, to_server, Direction::ToServer, sky),
        pour(from_server, to_client, Direction::ToClient, sky),
    )?;
    Ok(())
}

async fn pour(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    sky: &Sky,
) -> Result<()> {
    const PIECE: usize = 16 * 1024;
    let mut passed: u64 = 0;
    let mut buffer = vec![0; PIECE];
    loop {
        let most = current(sky, direction).piece_max.unwrap_or(PIECE);
        let room = buffer.get_mut(..most.clamp(1, PIECE)).unwrap_or_default();
        let length = from.read(room).await?;
        if sky.is_abandoned() {
            if length == 0 {
                return std::future::pending().await;
            }
            continue;
        }
        if length == 0 {
            return to.shutdown().await;
        }
        let now = current(sky, direction);
        let Some(piece) = buffer.get_mut(..length) else {
            return Ok(());
        };
        if !now.delay.is_zero() {
            tokio::time::sleep(now.delay).await;
        }
        if now.black_hole {
            continue;
        }
        if let Some(at) = now.garble_at
            && let Some(place) = at.checked_sub(passed)
            && let Some(byte) = usize::try_from(place).ok().and_then(|at| piece.get_mut(at))
        {
            *byte ^= 0x20;
        }
        let allowed = now.cut_after.map(|end| end.saturating_sub(passed));
        let allowed = allowed.and_then(|left| usize::try_from(left).ok());
        match allowed.and_then(|left| piece.get(..left)) {
            // It has all passed, or the end is beyond this piece.
            None => to.write_all(piece).await?,
            Some(before) => {
                to.write_all(before).await?;
                return Err(std::io::ErrorKind::ConnectionAborted.into());
            }
        }
        passed += u64::try_from(length).unwrap_or(u64::MAX);
    }
}

/// The weather as this direction has it.
fn current(sky: &Sky, direction: Direction) -> Weather {
    let now = sky.now();
    if now.direction == Direction::Both || now.direction == direction {
        now
    } else {
        Weather::default()
    }
}
