//! Reading files, with a bound on their size.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

/// The bytes of the file at `path`; what went wrong in words otherwise.
pub(crate) fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| {
        let path = path.display();
        let kind = error.kind();
        if kind == ErrorKind::NotFound {
            format!("there is no file {path}")
        } else if kind == ErrorKind::PermissionDenied {
            format!("{path} may not be read by this user")
        } else if kind == ErrorKind::IsADirectory {
            format!("{path} is a directory")
        } else {
            format!("{path} can't be read: {error}")
        }
    };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(max_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max_bytes {
        return Err(format!(
            "{} has more than {max_bytes} bytes",
            path.display()
        ));
    }
    Ok(bytes)
}

/// The text of the file at `path`.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> Result<String, String> {
    String::from_utf8(read(path, max_bytes)?)
        .map_err(|_| format!("{} is no UTF-8 text", path.display()))
}
