//! The service manager that started the process: what it is told (systemd's `sd_notify` protocol).

use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;

/// Who is told how the process is. Without a service manager nobody is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supervisor(Option<Arc<Socket>>);

#[derive(Debug)]
struct Socket {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Supervisor {
    /// The one whose socket is called `address` (`NOTIFY_SOCKET`): a path, or an abstract name behind `@`.
    pub(crate) fn at(address: Option<&str>) -> io::Result<Self> {
        let Some(address) = address else {
            return Ok(Self::default());
        };
        Ok(Self(Some(Arc::new(Socket {
            socket: UnixDatagram::unbound()?,
            address: parse(address)?,
        }))))
    }

    /// The node serves.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// The configuration is being read anew, until [`ready`](Self::ready).
    pub(crate) fn reloading(&self) {
        // By the clock that the manager compares it with.
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The node takes no more connections and lets calls finish.
    pub(crate) fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={}", one_line(status)));
    }

    /// Another process is the service now.
    pub(crate) fn main_process_is(&self, process: i32) {
        self.tell(&format!("MAINPID={process}"));
    }

    /// What can't be told changes nothing about the node.
    fn tell(&self, state: &str) {
        let Some(socket) = &self.0 else { return };
        let told = socket
            .socket
            .send_to_addr(state.as_bytes(), &socket.address);
        if let Err(error) = told {
            tracing::warn!(%error, "the service manager could not be told how the node is");
        }
    }
}

fn parse(address: &str) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = address.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt as _;
        return SocketAddr::from_abstract_name(name);
    }
    if address.starts_with('/') {
        return SocketAddr::from_pathname(address);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is neither a path nor an abstract name",
    ))
}

/// A line break would begin another assignment.
fn one_line(status: &str) -> String {
    status.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(address: &str, manager: &UnixDatagram, tell: impl FnOnce(&Supervisor)) -> String {
        tell(&Supervisor::at(Some(address)).unwrap());
        let mut bytes = [0; 512];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn the_manager_hears_what_the_node_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(
            told(path, &manager, |manager| manager.ready("one\ntwo")),
            "READY=1\nSTATUS=one two"
        );
        assert_eq!(
            told(path, &manager, |manager| manager.main_process_is(42)),
            "MAINPID=42"
        );
        let reloading = told(path, &manager, Supervisor::reloading);
        let micros = reloading
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .unwrap();
        assert!(micros.parse::<u64>().is_ok_and(|micros| micros > 0));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_manager_may_have_an_abstract_name() {
        use std::os::linux::net::SocketAddrExt as _;
        let name = format!("keyward-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        assert_eq!(
            told(&format!("@{name}"), &manager, |manager| manager
                .stopping("bye")),
            "STOPPING=1\nSTATUS=bye"
        );
    }

    #[test]
    fn nobody_is_told_where_nobody_asked_and_a_manager_that_is_gone_stops_nothing() {
        Supervisor::at(None).unwrap().ready("serving");
        Supervisor::at(Some("/nowhere/at/all")).unwrap().reloading();
        assert!(Supervisor::at(Some("nonsense")).is_err());
    }
}
