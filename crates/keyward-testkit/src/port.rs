//! Ports for programs that are told where to listen.

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that systems give to outgoing connections and to whoever asks for any port: none of the
/// tests beside this one gets one of these by chance.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// The locks on what was given away, until the process ends.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Ports of loopback at which nobody listens, and that no other test is given while this process lives.
///
/// A program that is told to listen at a port can't be given one that is held open. Each port has a file
/// whose lock stands for it instead, for tests run beside each other in processes of their own.
///
/// # Panics
/// When the folder for temporary files can't be written, or every port is taken.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    static TURN: AtomicU16 = AtomicU16::new(0);
    let folder = std::env::temp_dir().join("keyward-testkit-ports");
    std::fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
    // Where the search begins differs by process, so that most find a free one at once.
    let begin = u16::try_from(std::process::id() % u32::from(COUNT)).expect("it is below COUNT");
    std::array::from_fn(|_| {
        (0..COUNT)
            .map(|_| FIRST + (begin + TURN.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
            .find(|port| {
                let lock = File::create(folder.join(port.to_string()))
                    .expect("the folder for temporary files can be written");
                let taken = match lock.try_lock() {
                    Err(TryLockError::WouldBlock) => true,
                    locked => {
                        locked.expect("files for temporary use can be locked");
                        TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_err()
                    }
                };
                if !taken {
                    HELD.lock().expect("nothing panics under it").push(lock);
                }
                !taken
            })
            .expect("there is a port that no test has")
    })
}

/// [`free_ports`] as addresses of loopback.
#[must_use]
pub fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    free_ports().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}
