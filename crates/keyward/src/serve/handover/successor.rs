//! A new process of the same program, started to take over from this one.

use super::super::event::Event;
use crate::environment;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::sync::mpsc;

/// What makes `keyward serve` take over from a running process.
const TAKE_OVER: &str = "--take-over";

/// How this process was started, so that it can be started again.
#[derive(Clone, Debug)]
pub(crate) struct Successor {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Successor {
    /// The program by the name it was called by, which may lead to another binary by now.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        let mut arguments = std::env::args_os();
        let called = arguments.next().map(PathBuf::from).unwrap_or_default();
        let mut arguments: Vec<OsString> = arguments.collect();
        if !arguments.iter().any(|argument| argument == TAKE_OVER) {
            arguments.push(TAKE_OVER.into());
        }
        Ok(Self {
            program: program(&called)?,
            arguments,
        })
    }

    /// Starts it. How it ends is told by an event: when it took over, this process has ended before.
    pub(crate) fn start(&self, events: mpsc::Sender<Event>) -> io::Result<()> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.program.display()))
        };
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .spawn()
            .map_err(named)?;
        tracing::info!(
            process = child.id(),
            program = %self.program.display(),
            "upgrade: started a new process"
        );
        std::thread::Builder::new()
            .name("successor".to_owned())
            .spawn(move || {
                match child.wait() {
                    Ok(status) => tracing::error!(
                        "upgrade: the new process has ended ({status}); this process goes on serving until another takes over"
                    ),
                    Err(error) => tracing::error!(%error, "upgrade: the new process can't be waited for"),
                }
                // Nobody waits for it only when this process is ending.
                let _ended = events.blocking_send(Event::SuccessorEnded);
            })?;
        Ok(())
    }
}

/// Where `called` leads from everywhere. A path stays as it was written, links included, so that a link
/// that was set to another version is followed.
fn program(called: &Path) -> io::Result<PathBuf> {
    if called.components().count() > 1 {
        return std::path::absolute(called);
    }
    let places = environment::variable("PATH").unwrap_or_default();
    let found = std::env::split_paths(&places)
        .map(|place| place.join(called))
        .find(|path| !called.as_os_str().is_empty() && path.is_file());
    match found {
        Some(path) => std::path::absolute(path),
        None => std::env::current_exe(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_as_it_was_written() {
        let here = std::env::current_dir().unwrap();
        for (called, found) in [
            (
                "/opt/keyward/current/keyward",
                PathBuf::from("/opt/keyward/current/keyward"),
            ),
            ("./keyward", here.join("keyward")),
            ("bin/keyward", here.join("bin/keyward")),
        ] {
            assert_eq!(program(Path::new(called)).unwrap(), found);
        }
    }

    #[test]
    fn a_name_is_looked_for_where_the_shell_looks() {
        let shell = program(Path::new("sh")).unwrap();
        assert!(shell.is_absolute() && shell.ends_with("sh"), "{shell:?}");
    }

    #[test]
    fn a_name_that_is_nowhere_is_this_binary() {
        let own = std::env::current_exe().unwrap();
        assert_eq!(program(Path::new("no-such-program")).unwrap(), own);
        assert_eq!(program(Path::new("")).unwrap(), own);
    }
}
