//! Standard output and error.

use super::Failure;
use serde_json::Value;
use std::fmt::Write as _;
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

/// Writes `bytes` to standard output for as long as anyone reads them: `false` when nobody does any more.
pub(super) fn write_while_read(bytes: &[u8]) -> Result<bool, Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new("standard output", error.to_string(), "output")),
    }
}

/// Writes a line to standard output.
pub(crate) fn write_line(line: &str) -> Result<(), Failure> {
    write(line.as_bytes())?;
    write(b"\n")
}

/// Writes JSON, over several lines, to standard output.
pub(super) fn write_json(value: &Value) -> Result<(), Failure> {
    write_line(&visible_but(&format!("{value:#}"), &['\n']))
}

/// The text with every control character written as `\u001b` is, as JSON writes them: what strangers put
/// into tokens and keys must not steer the terminal.
pub(crate) fn visible(text: &str) -> String {
    visible_but(text, &[])
}

fn visible_but(text: &str, kept: &[char]) -> String {
    text.chars().fold(
        String::with_capacity(text.len()),
        |mut visible, character| {
            if character.is_control() && !kept.contains(&character) {
                let _ = write!(visible, "\\u{:04x}", u32::from(character));
            } else {
                visible.push(character);
            }
            visible
        },
    )
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

/// Writes a line, or an excerpt of some, to standard error, without control characters. When even that
/// fails, there is nobody left to tell.
pub(crate) fn complain(line: &str) {
    let line = visible_but(line, &['\n', '\t']);
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Whether a person reads standard error.
pub(crate) fn someone_reads_errors() -> bool {
    io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn control_characters_are_written_out() {
        for (text, shown) in [
            ("plain \u{e4} \u{1f511} \\", "plain \u{e4} \u{1f511} \\"),
            ("\u{1b}[2J", "\\u001b[2J"),
            ("a\u{9b}31mb", "a\\u009b31mb"),
            (
                "a\nb\rc\td\u{7f}\0",
                "a\\u000ab\\u000dc\\u0009d\\u007f\\u0000",
            ),
        ] {
            assert_eq!(visible(text), shown);
        }
    }
}
