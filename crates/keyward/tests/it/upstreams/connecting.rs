//! Targets whose packets are lost: nobody refuses the connection, and nobody takes it.

use super::{metric, node};
use crate::node::{check_passed, check_problem};
use keyward_testkit::Upstream;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A socket that listens and whose queue is full: the system drops what else wants to connect.
struct Full {
    listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Full {
    #[expect(
        clippy::disallowed_methods,
        reason = "connections of the test's own fill the queue"
    )]
    async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        let patience = Duration::from_millis(500);
        while let Ok(connected) = tokio::time::timeout(patience, TcpStream::connect(address)).await
        {
            queued.push(connected.unwrap());
            assert!(queued.len() < 64, "the queue has no end");
        }
        Self {
            listener,
            _queued: queued,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }
}

#[tokio::test]
async fn a_target_whose_packets_are_lost_is_given_up_in_time_for_another() {
    let lost = Full::start().await;
    let echo = Upstream::echo().await;
    let node = node(&[lost.url(), echo.url()], "connect_timeout: 300ms").await;
    for _ in 0..10 {
        // Nothing was sent: a POST may go elsewhere too.
        check_passed(&node.call("POST", "/many/x", &[], "once").await);
    }
    let ejected = metric(&node.process, "ejections_total", Some(&lost.url())).await;
    assert_eq!(ejected, 1, "a target that can't be reached is left out");
    assert_eq!(echo.received().len(), 10);
}

#[tokio::test]
async fn where_there_is_no_other_target_the_caller_is_told_in_time() {
    let lost = Full::start().await;
    let node = node(&[lost.url()], "connect_timeout: 300ms, retries: none").await;
    let answer = tokio::time::timeout(Duration::from_secs(10), node.get("/many/x", &[]));
    let answer = answer.await.unwrap();
    check_problem(&answer, 502, "upstream_unreachable");
}
