//! WebSocket between a client and a server that others wrote: Python's `websockets`.

use super::configuration;
use keyward_testkit::KeywardProcess;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// An echo that says at which port it is, and runs until its input ends.
const SERVER: &str = r#"
import asyncio, sys
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
async def echo(connection):
    try:
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        pass
async def main():
    async with serve(echo, "127.0.0.1", 0, subprotocols=["chat"], max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
asyncio.run(main())
"#;

/// Texts, bytes, a large message, pings, compression, a subprotocol, and a close that both sides agree on.
const CLIENT: &str = r#"
import asyncio, sys
from websockets.asyncio.client import connect
async def main(url, compression):
    async with connect(url, subprotocols=["other", "chat"], compression=compression, max_size=None) as connection:
        assert connection.subprotocol == "chat", connection.subprotocol
        large = bytes(range(256)) * 40000
        for message in ["hello", "\u4e16\u754c" * 1000, b"", b"\x00\xff", large]:
            await connection.send(message)
            assert await connection.recv() == message
        for _ in range(3):
            await asyncio.wait_for(await connection.ping(), 10)
        await connection.close(4001, "enough")
    assert (connection.close_code, connection.close_reason) == (4001, "enough"), connection.close_code
for compression in [None, "deflate"]:
    asyncio.run(asyncio.wait_for(main(sys.argv[1], compression), 30))
print("well")
"#;

/// Waits to be told goodbye, and says how it was put.
const WAITING_CLIENT: &str = r#"
import asyncio, sys
from websockets.asyncio.client import connect
async def main(url):
    async with connect(url, subprotocols=["chat"]) as connection:
        await connection.send("hello")
        assert await connection.recv() == "hello"
        print("open", flush=True)
        await connection.wait_closed()
        print(connection.close_code, flush=True)
asyncio.run(asyncio.wait_for(main(sys.argv[1]), 60))
"#;

fn python(program: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../../.venv/bin/python");
    assert!(
        python.is_file(),
        "websockets is needed: `cargo xtask test` installs it into .venv"
    );
    let mut command = Command::new(python);
    command.args(["-c", program]);
    command
}

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Python's server, and a node before it.
async fn behind_us() -> (Server, KeywardProcess) {
    let mut command = python(SERVER);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = Server(command.spawn().unwrap());
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().unwrap())
        .read_line(&mut port)
        .unwrap();
    let upstream = format!("http://127.0.0.1:{}", port.trim());
    let configuration = configuration(&upstream, "[http1]", "", "websocket: true");
    let binary = env!("CARGO_BIN_EXE_keyward");
    let node = KeywardProcess::start_configured(binary, &configuration, &[], &[]).await;
    (server, node)
}

#[tokio::test]
async fn a_node_that_goes_away_tells_pythons_client_so() {
    let (_server, node) = behind_us().await;
    let mut client = python(WAITING_CLIENT);
    client.arg(format!("ws://{}/open/x", node.gateway()));
    let mut client = Server(client.stdout(Stdio::piped()).spawn().unwrap());
    let mut told = BufReader::new(client.0.stdout.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert_eq!(line, "open\n");
    let (status, log) = node.stop().await;
    assert!(status.success(), "{log}");
    line.clear();
    told.read_line(&mut line).unwrap();
    assert_eq!(line, "1001\n", "{log}");
}

#[tokio::test]
async fn pythons_client_and_server_understand_each_other_through_us() {
    let (_server, node) = behind_us().await;
    let mut client = python(CLIENT);
    client.arg(format!("ws://{}/open/x", node.gateway()));
    let output = tokio::task::spawn_blocking(move || client.output().unwrap())
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "well\n",
        "{errors}"
    );
}
