//! The new process's side: it asks for the sockets, and says when it serves.

use super::message::{Named, Reason, expect_line, reason, receive_sockets, send_line};
use super::{ANSWER_WITHIN, HELLO, READY, YOURS, socket_path};
use crate::command::Failure;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// The running process's node, on its way to this one.
#[derive(Debug)]
pub(crate) struct TakeOver {
    stream: UnixStream,
}

impl TakeOver {
    /// Asks the process that serves from `data_dir` for its listening sockets. Blocks.
    pub(crate) fn begin(data_dir: &Path) -> Result<(Self, Vec<Named>), Failure> {
        let path = socket_path(data_dir);
        let stream = UnixStream::connect(&path).map_err(|error| {
            let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
            let why = if nobody.contains(&error.kind()) {
                format!(
                    "no running node offers its sockets at {}: start without --take-over",
                    path.display()
                )
            } else {
                format!("{}: {error}", path.display())
            };
            Failure::new("take over", why, "take_over")
        })?;
        let receive = || {
            stream.set_read_timeout(Some(ANSWER_WITHIN))?;
            stream.set_write_timeout(Some(ANSWER_WITHIN))?;
            send_line(&stream, HELLO)?;
            receive_sockets(&stream)
        };
        let sockets = receive().map_err(|error| failed(&error))?;
        Ok((Self { stream }, sockets))
    }

    /// This process serves: the other one may end. Blocks.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        send_line(&self.stream, READY)
            .and_then(|()| expect_line(&self.stream, YOURS))
            .map_err(|error| failed(&error))
    }
}

fn failed(error: &io::Error) -> Failure {
    let why = match reason(error) {
        Some(Reason::Left) => "the running process gave up; see what it says in its log".to_owned(),
        Some(Reason::Late) => {
            "the running process did not answer in time: is another upgrade under way?".to_owned()
        }
        None => error.to_string(),
    };
    Failure::new("take over", why, "take_over")
}
