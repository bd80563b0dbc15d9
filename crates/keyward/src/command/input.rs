//! Files that commands read; `-` is standard input.

use super::Failure;
use crate::configuration::file;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read as _};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// What every header of a token starts with: `{"` in base64url.
const TOKEN_START: &[u8] = b"eyJ";

/// Bytes of the longest line break.
const LINE_BREAK_MAX: usize = "\r\n".len();

/// A file, or standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// `-`.
    Standard,
    /// Any other name.
    File(PathBuf),
}

impl From<OsString> for Input {
    fn from(name: OsString) -> Self {
        if name == "-" {
            Self::Standard
        } else {
            Self::File(PathBuf::from(name))
        }
    }
}

/// For messages.
impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Input {
    /// All of it, up to `limit` bytes.
    pub(super) fn read(&self, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let most = u64::try_from(limit).unwrap_or(u64::MAX);
        let bytes = match self {
            Self::Standard => {
                let mut bytes = Zeroizing::new(Vec::new());
                io::stdin()
                    .lock()
                    .take(most.saturating_add(1))
                    .read_to_end(&mut bytes)
                    .map_err(|error| Failure::new(self.to_string(), error.to_string(), "input"))?;
                bytes
            }
            Self::File(path) => file::read(path, most)
                .map(Zeroizing::new)
                .map_err(|why| Failure::new("input", self.refusal(why), "input"))?,
        };
        if bytes.len() > limit {
            return Err(self.too_large(limit));
        }
        Ok(bytes)
    }

    fn too_large(&self, limit: usize) -> Failure {
        Failure::new(
            self.to_string(),
            format!("it has more than {limit} bytes, which is the most that is read here"),
            "too_large",
        )
    }

    /// Why the file can't be read. A token that was given in its place is not repeated: it may be a good one.
    fn refusal(&self, why: String) -> String {
        match self {
            Self::File(path) if path.as_os_str().as_encoded_bytes().starts_with(TOKEN_START) => {
                "the name of a file is needed here, and this looks like a token itself: send it to standard input".to_owned()
            }
            Self::File(_) | Self::Standard => why,
        }
    }

    /// All of it as text, without the line break that files and pipes end with and that does not count.
    pub(super) fn read_line(&self, limit: usize) -> Result<Zeroizing<String>, Failure> {
        let bytes = self.read(limit.saturating_add(LINE_BREAK_MAX))?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Failure::new(self.to_string(), "it is no text", "serialization"))?;
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.len() > limit {
            return Err(self.too_large(limit));
        }
        Ok(Zeroizing::new(line.to_owned()))
    }
}

/// Standard input can be read once: that not two arguments ask for it.
pub(super) fn check_one_standard<'i>(
    inputs: impl IntoIterator<Item = &'i Input>,
) -> Result<(), Failure> {
    let standard = inputs
        .into_iter()
        .filter(|input| **input == Input::Standard)
        .count();
    if standard > 1 {
        return Err(Failure::usage(
            "arguments",
            "standard input (`-`, or nothing said) can be read once: name a file for the other",
        ));
    }
    Ok(())
}

/// That what is about to be written can be read again by the command that is its other half.
pub(super) fn check_readable(what: &str, written: &str, limit: usize) -> Result<(), Failure> {
    if written.len() > limit {
        return Err(Failure::new(
            what,
            format!(
                "the result would have {} bytes, and more than {limit} are not read again",
                written.len()
            ),
            "too_large",
        ));
    }
    Ok(())
}
