//! A terminal that a picture is drawn on, again and again, and that is left as it was found.
//!
//! A handful of the control sequences that all terminals know (ECMA-48, and the other screen of xterm): a
//! library for what else there is would be larger than the whole command.

use super::WHAT;
use super::table::Size;
use crate::command::{Failure, terminal};
use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use std::io::{self, Read as _};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// To the other screen, without a cursor.
const OPEN: &str = "\u{1b}[?1049h\u{1b}[?25l";
const CLOSE: &str = "\u{1b}[?25h\u{1b}[?1049l";
/// To the first place.
const HOME: &str = "\u{1b}[H";
/// What is right of the cursor goes, and what is below it.
const CLEAR_LINE: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";
const BOLD: &str = "\u{1b}[1m";
const PLAIN: &str = "\u{1b}[0m";

/// Where the terminal does not tell how large it is.
const USUAL: Size = Size {
    columns: 80,
    lines: 24,
};

/// The terminal while pictures are drawn on it.
pub(super) struct Screen {
    /// How standard input was; `None` when it is no terminal.
    before: Option<Termios>,
    keys: mpsc::Receiver<u8>,
    signals: [Signal; 3],
}

impl Screen {
    pub(super) fn open() -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::new(WHAT, error.to_string(), "terminal");
        let signals = [
            signal(SignalKind::interrupt()).map_err(failed)?,
            signal(SignalKind::terminate()).map_err(failed)?,
            signal(SignalKind::hangup()).map_err(failed)?,
        ];
        let before = termios::tcgetattr(io::stdin()).ok();
        let (sender, keys) = mpsc::channel(1);
        if let Some(before) = &before {
            // Keys come at once and are not shown; Ctrl-C stays the signal that it is.
            let mut own = before.clone();
            own.local_modes
                .remove(LocalModes::ICANON | LocalModes::ECHO);
            termios::tcsetattr(io::stdin(), OptionalActions::Now, &own)
                .map_err(|error| failed(error.into()))?;
            // It waits for a key as long as the process lives, and ends with that.
            std::thread::spawn(move || {
                let mut key = [0];
                while io::stdin().read_exact(&mut key).is_ok() {
                    let [key] = key;
                    if sender.blocking_send(key).is_err() {
                        return;
                    }
                }
            });
        }
        let screen = Self {
            before,
            keys,
            signals,
        };
        terminal::write(OPEN.as_bytes())?;
        Ok(screen)
    }

    /// Waits; whether it was asked to end meanwhile.
    pub(super) async fn wait(&mut self, time: Duration) -> bool {
        let sleep = tokio::time::sleep(time);
        tokio::pin!(sleep);
        let [interrupt, terminate, hangup] = &mut self.signals;
        loop {
            tokio::select! {
                () = &mut sleep => return false,
                _ = interrupt.recv() => return true,
                _ = terminate.recv() => return true,
                _ = hangup.recv() => return true,
                Some(key) = self.keys.recv() => if matches!(key, b'q' | b'Q' | 0x1b | 0x04) {
                    return true;
                },
            }
        }
    }

    pub(super) fn size(&self) -> Size {
        match termios::tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Size {
                columns: size.ws_col.into(),
                lines: size.ws_row.into(),
            },
            Ok(_) | Err(_) => USUAL,
        }
    }

    /// Draws a picture, and below it what is wrong just now.
    pub(super) fn draw(&self, picture: &str, problem: Option<&str>) -> Result<(), Failure> {
        let size = self.size();
        let mut out = String::from(HOME);
        let room = size.lines.saturating_sub(1);
        for line in picture.lines().take(room) {
            let title = line.starts_with("CALLE");
            let (begin, end) = if title { (BOLD, PLAIN) } else { ("", "") };
            let line: String = line.chars().take(size.columns).collect();
            for part in [begin, &line, end, CLEAR_LINE, "\n"] {
                out.push_str(part);
            }
        }
        out.push_str(CLEAR_BELOW);
        if let Some(problem) = problem {
            out.extend(terminal::visible(problem).chars().take(size.columns));
        }
        terminal::write(out.as_bytes())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is left to tell if the terminal is gone.
        let _gone = terminal::write(CLOSE.as_bytes());
        if let Some(before) = &self.before {
            let _gone = termios::tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
