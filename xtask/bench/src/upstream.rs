//! The upstream: answers every request with the same 1 kB, as cheaply as one thread can.

use clap::Args;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Every answer's body.
pub(crate) const BODY_BYTES: usize = 1024;

/// The largest head of a request that is read: a token of some hundred bytes and a proxy's headers.
const HEAD_BYTES: usize = 32 * 1024;

/// Where it listens.
#[derive(Args)]
pub(crate) struct Options {
    /// Address and port
    #[arg(long)]
    listen: SocketAddr,
}

/// Serves until it is killed.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| format!("the upstream's runtime did not start: {error}"))?;
    runtime.block_on(async {
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|error| format!("{} can't be listened on: {error}", options.listen))?;
        let answer: &'static [u8] = Vec::leak(answer());
        loop {
            // A connection that could not be accepted is the load generator's to count.
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer));
            }
        }
    })
}

fn answer() -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
    )
    .into_bytes();
    answer.resize(answer.len() + BODY_BYTES, b'x');
    answer
}

/// Requests carry no body, so that each ends where its head ends.
async fn serve(mut stream: TcpStream, answer: &'static [u8]) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut buffer = vec![0; HEAD_BYTES];
    let mut filled = 0;
    loop {
        let Some(free) = buffer.get_mut(filled..).filter(|free| !free.is_empty()) else {
            return;
        };
        match stream.read(free).await {
            Ok(0) | Err(_) => return,
            Ok(read) => filled += read,
        }
        if buffer
            .get(..filled)
            .is_some_and(|head| head.ends_with(b"\r\n\r\n"))
        {
            filled = 0;
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}
