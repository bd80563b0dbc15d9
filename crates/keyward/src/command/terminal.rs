//! Standard output and error.

use super::Failure;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

/// Writes `bytes` to standard output. Whoever reads may leave early: that is no failure.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new("standard output", error.to_string(), "output")),
    }
}

/// Writes a line to standard output.
pub(crate) fn write_line(line: &str) -> Result<(), Failure> {
    write(line.as_bytes())?;
    write(b"\n")
}

/// Writes bytes that are no text: not to a terminal, where they would be read as commands.
pub(super) fn write_binary(bytes: &[u8]) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return Err(Failure::new(
            "standard output",
            "this is binary and would garble the terminal: send it to a file or a pipe",
            "output",
        ));
    }
    write(bytes)
}

/// Writes a line to standard error. When even that fails, there is nobody left to tell.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Whether a person reads standard error.
pub(crate) fn someone_reads_errors() -> bool {
    io::stderr().is_terminal()
}
