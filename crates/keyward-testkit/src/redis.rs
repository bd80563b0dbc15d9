//! A Redis of one's own, to be killed and brought back.

use crate::condition::until;
use crate::port::free_ports;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long an answer to a ping may take.
const PONG_WITHIN: Duration = Duration::from_millis(500);

/// Debian's `redis-server` at a port of its own, without a file to remember anything by. Killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts one, and waits until it answers.
    ///
    /// # Panics
    /// When there is no `redis-server`, or it does not answer.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with more arguments, such as `["--requirepass", "secret"]`.
    ///
    /// # Panics
    /// When there is no `redis-server`, or it does not answer.
    pub async fn start_with(arguments: &[&str]) -> Self {
        let [port] = free_ports();
        let mut server = Self {
            child: None,
            port,
            folder: tempfile::tempdir().expect("the folder for temporary files can be written"),
            arguments: arguments.iter().copied().map(str::to_owned).collect(),
        };
        server.bring_back().await;
        server
    }

    /// Starts it again at the same port after [`kill`](Self::kill): it has forgotten everything.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn bring_back(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string()])
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(&self.arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.child = Some(child);
        let address = self.address();
        until("redis-server answers", async || answers(address)).await;
    }

    /// Ends it at once, as a lost machine would.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it has not ended by itself");
        child.wait().expect("it was killed");
    }

    /// Sends a signal by its name: with `STOP` it takes connections and answers nobody, until `CONT`.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("it runs");
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", child.id())])
            .status()
            .expect("there is a shell");
        assert!(sent.success());
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Its URL, as `shared_state` takes it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// What it answers to one inline command, such as `DBSIZE`.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn command(&self, text: &str) -> String {
        ask(self.address(), text).expect("it answers")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended before.
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}

/// Whether it speaks, be it to say that it wants a password.
fn answers(address: SocketAddr) -> bool {
    ask(address, "PING")
        .is_ok_and(|answer| answer.starts_with("+PONG") || answer.starts_with("-NOAUTH"))
}

#[expect(clippy::disallowed_methods, reason = "a test's own connection")]
fn ask(address: SocketAddr, text: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PONG_WITHIN))?;
    stream.write_all(format!("{text}\r\n").as_bytes())?;
    let mut bytes = [0; 4096];
    let length = stream.read(&mut bytes)?;
    Ok(String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned())
}
