//! Listening sockets that this process did not open itself: a process before it handed them over, or the
//! service manager holds them.

use crate::command::Failure;
use std::net::{SocketAddr, TcpListener};

/// The sockets, each with the address that the configuration calls it by, until somebody serves them.
#[derive(Debug, Default)]
pub(crate) struct GivenSockets {
    sockets: Vec<(SocketAddr, TcpListener)>,
    /// Whether the service manager passed them.
    by_manager: bool,
}

impl GivenSockets {
    /// Those that another process hands over.
    pub(super) fn handed_over(sockets: Vec<(SocketAddr, TcpListener)>) -> Self {
        Self {
            sockets,
            by_manager: false,
        }
    }

    /// Those that the service manager passed (`LISTEN_FDS`), by the addresses they are bound to.
    pub(crate) fn of_manager(sockets: Vec<TcpListener>) -> Result<Self, Failure> {
        let named = sockets.into_iter().map(|socket| {
            let address = socket
                .local_addr()
                .map_err(|error| Failure::new("socket activation", error.to_string(), "sockets"))?;
            Ok((address, socket))
        });
        Ok(Self {
            sockets: named.collect::<Result<_, Failure>>()?,
            by_manager: true,
        })
    }

    /// Takes out those for these addresses.
    pub(super) fn take(&mut self, addresses: &[SocketAddr]) -> Vec<(SocketAddr, TcpListener)> {
        self.sockets
            .extract_if(.., |(address, _)| addresses.contains(address))
            .collect()
    }

    /// What is left has no listener: a socket of the manager's is a mistake in its unit, one that was handed
    /// over belongs to a listener that the new configuration lacks.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let Some((address, _)) = self.sockets.first() else {
            return Ok(());
        };
        if self.by_manager {
            return Err(Failure::new(
                "socket activation",
                format!(
                    "a socket at {address} was passed, and no listener has this address: add it to `listeners`, or take it out of the socket unit"
                ),
                "sockets",
            ));
        }
        tracing::info!(%address, "upgrade: no listener has this address any more");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> (SocketAddr, TcpListener) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        (socket.local_addr().unwrap(), socket)
    }

    #[test]
    fn every_socket_of_the_manager_needs_a_listener() {
        let (address, socket) = socket();
        let mut given = GivenSockets::of_manager(vec![socket]).unwrap();
        let other: SocketAddr = "127.0.0.1:1".parse().unwrap();
        assert!(given.take(&[other]).is_empty());
        let refused = given.finish().unwrap_err().to_string();
        assert!(refused.contains(&address.to_string()), "{refused}");
    }

    #[test]
    fn sockets_are_found_by_their_address_and_the_rest_of_a_handover_is_closed() {
        let [(one, first), (two, second)] = [socket(), socket()];
        let again = first.try_clone().unwrap();
        let sockets = vec![(one, first), (two, second), (one, again)];
        let mut given = GivenSockets::handed_over(sockets);
        assert_eq!(given.take(&[one]).len(), 2);
        assert!(given.take(&[one]).is_empty());
        given.finish().unwrap();
        assert!(TcpListener::bind(two).is_ok());
    }
}
