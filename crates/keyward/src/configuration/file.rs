//! Reading files, with a bound on their size, and telling whether they have changed since.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file of the configuration, and how it was marked just before it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenFile {
    path: PathBuf,
    mark: Option<Mark>,
}

/// What of a file's description another content changes, be it written over or put in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl SeenFile {
    /// Where it stands.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file at `path` as it is now, behind all links; also one that is not there.
    pub(crate) fn now(path: &Path) -> Self {
        let mark = std::fs::metadata(path).ok().map(|found| Mark {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        });
        Self {
            path: path.to_owned(),
            mark,
        }
    }

    /// The same file as it is now.
    pub(crate) fn again(&self) -> Self {
        Self::now(&self.path)
    }
}

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
    // As much as there is, at once: a large file read into a buffer that grows is copied several times.
    let length = file.metadata().map_or(0, |found| found.len());
    let room = length.min(max_bytes).saturating_add(1);
    let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or_default());
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
