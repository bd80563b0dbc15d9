//! A service manager starts the node, passes it sockets and is told how it is.

use super::edit;
use crate::node::request;
use keyward_testkit::{KeywardProcess, RawClient, free_addresses};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const OPEN: &str = "format: 1\nlisteners:\n  - { address: 127.0.0.1:8080, serves: gateway }\n  - { address: 127.0.0.1:9090, serves: operations }\ndata_dir: ./data\n";

/// The manager's ear.
struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> (Self, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let patience = Some(Duration::from_secs(20));
        socket.set_read_timeout(patience).unwrap();
        let address = path.to_str().unwrap().to_owned();
        let manager = Self {
            socket,
            _folder: folder,
        };
        (manager, address)
    }

    /// The next thing that is said.
    async fn hears(&self) -> String {
        let socket = self.socket.try_clone().unwrap();
        let hearing = tokio::task::spawn_blocking(move || {
            let mut bytes = [0; 1024];
            let length = socket.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        });
        hearing.await.unwrap()
    }
}

async fn told_node() -> (KeywardProcess, Manager) {
    let (manager, address) = Manager::new();
    let process = KeywardProcess::start_configured(
        env!("CARGO_BIN_EXE_keyward"),
        OPEN,
        &[("NOTIFY_SOCKET", &address)],
        &[],
    )
    .await;
    (process, manager)
}

#[tokio::test]
async fn the_manager_is_told_of_start_reload_and_stop() {
    let (process, manager) = told_node().await;
    assert_eq!(manager.hears().await, "READY=1\nSTATUS=serving revision 1");
    process.signal("HUP");
    let reloading = manager.hears().await;
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert_eq!(manager.hears().await, "READY=1\nSTATUS=serving revision 2");
    // A reload that fails ends as well, with what is served.
    edit(&process, |text| text.replace("format: 1", "format: 9"));
    assert!(manager.hears().await.starts_with("RELOADING=1\n"));
    assert_eq!(manager.hears().await, "READY=1\nSTATUS=serving revision 2");
    let (status, _) = process.stop().await;
    assert!(status.success());
    assert!(manager.hears().await.starts_with("STOPPING=1\n"));
}

#[tokio::test]
async fn the_manager_is_told_which_process_is_the_service_after_an_upgrade() {
    let (mut process, manager) = told_node().await;
    manager.hears().await;
    process.take_over().await;
    assert_eq!(manager.hears().await, format!("MAINPID={}", process.pid()));
    assert_eq!(manager.hears().await, "READY=1\nSTATUS=serving revision 1");
}

/// A process that is started with sockets, as by systemd: killed when dropped.
struct Activated {
    child: Child,
    folder: tempfile::TempDir,
}

impl Activated {
    /// Runs the binary with a listening socket at each of `passed` as descriptors from 3 on.
    fn start(configuration: &str, passed: &[SocketAddr]) -> Self {
        // The manager's part, in a language that may say which number a descriptor has.
        const MANAGER: &str = "
import os, socket, sys
held = []
for address in sys.argv[2:]:
    host, port = address.split(':')
    listener = socket.create_server((host, int(port)))
    held.append(os.dup2(listener.fileno(), 100 + len(held)))
for index, descriptor in enumerate(held):
    os.dup2(descriptor, 3 + index)
    os.set_inheritable(descriptor, False)
os.environ['LISTEN_FDS'] = str(len(held))
os.environ['LISTEN_PID'] = str(os.getpid())
os.execv(sys.argv[1], [sys.argv[1], 'serve'])
";
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("keyward.yaml"), configuration).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("python3")
            .args(["-c", MANAGER, env!("CARGO_BIN_EXE_keyward")])
            .args(passed.iter().map(SocketAddr::to_string))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

fn configuration(gateway: SocketAddr, operations: SocketAddr) -> String {
    format!(
        "format: 1\nworkers: 2\nlisteners:\n  - {{ address: \"{gateway}\", serves: gateway }}\n  - {{ address: \"{operations}\", serves: operations }}\ndata_dir: ./data\n"
    )
}

async fn status(address: SocketAddr, path: &str) -> Option<u16> {
    let mut client = RawClient::connect(address).await.ok()?;
    client.send(request("GET", path, &[], "")).await.ok()?;
    Some(client.answer().await.ok()?.status)
}

#[tokio::test]
async fn sockets_of_the_manager_are_served() {
    let [gateway, operations] = free_addresses();
    let node = Activated::start(&configuration(gateway, operations), &[gateway, operations]);
    let mut waited = 0;
    while status(operations, "/readyz").await != Some(200) {
        waited += 1;
        assert!(waited < 500, "{}", node.log());
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    for _ in 0..20 {
        assert_eq!(status(gateway, "/.well-known/jwks.json").await, Some(200));
    }
}

#[tokio::test]
async fn a_socket_of_the_manager_that_no_listener_has_is_refused() {
    let [gateway, operations, other] = free_addresses();
    let mut node = Activated::start(&configuration(gateway, operations), &[gateway, other]);
    let mut waited = 0;
    let ended = loop {
        if let Some(ended) = node.child.try_wait().unwrap() {
            break ended;
        }
        waited += 1;
        assert!(waited < 500, "{}", node.log());
        tokio::time::sleep(Duration::from_millis(40)).await;
    };
    let log = node.log();
    assert_eq!(ended.code(), Some(1), "{log}");
    assert!(
        log.contains(&format!("a socket at {other} was passed")),
        "{log}"
    );
    assert!(log.contains("[sockets]"), "{log}");
}
