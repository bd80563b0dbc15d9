//! Where captured bodies are written.

use keyward_model::resource::raw::{Field, Problems};
use serde_json::json;
use std::path::{Path, PathBuf};

/// The file's name in the data directory, where none is named.
const DEFAULT_FILE: &str = "captures.jsonl";
/// Nothing is written beyond it until the file is moved away: bodies fill a disk faster than anything else here.
const DEFAULT_MAX_SIZE: u64 = 1 << 30;
/// Memory of all captures that are not written yet, where nothing is said.
const DEFAULT_MEMORY: u64 = 32 << 20;
/// Below it no body of the largest bound would fit.
const MEMORY_MIN: u64 = 1 << 20;

/// Where captured bodies go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Captures {
    /// Lines are added to it.
    pub(crate) file: PathBuf,
    /// Its greatest size in bytes.
    pub(crate) max_size: u64,
    /// The memory that captures take until they are written, in bytes.
    pub(crate) memory: usize,
}

impl Captures {
    /// What holds when nothing is said.
    pub(super) fn in_data_dir(data_dir: &Path) -> Self {
        Self {
            file: data_dir.join(DEFAULT_FILE),
            max_size: DEFAULT_MAX_SIZE,
            memory: usize::try_from(DEFAULT_MEMORY).unwrap_or(usize::MAX),
        }
    }

    /// As `check --json` shows it.
    pub(super) fn to_json(&self) -> serde_json::Value {
        json!({ "file": self.file, "max_size": self.max_size, "memory": self.memory })
    }
}

/// Reads `captures`; `none` when nothing is captured, whatever routes say.
pub(super) fn read(
    field: Field<'_>,
    data_dir: &Path,
    directory: &Path,
    problems: &mut Problems,
) -> Option<Option<Captures>> {
    if field.as_text() == Some("none") {
        return Some(None);
    }
    let default = Captures::in_data_dir(data_dir);
    let fields = field.fields(&["file", "max_size", "memory"], problems)?;
    let file = match fields.optional("file") {
        Some(field) => field.text(problems).map(|path| directory.join(path)),
        None => Some(default.file),
    };
    let max_size = match fields.optional("max_size") {
        Some(field) => field.byte_size(problems),
        None => Some(default.max_size),
    };
    let memory = match fields.optional("memory") {
        Some(field) => {
            let bytes = field.byte_size(problems)?;
            if bytes < MEMORY_MIN {
                field.refuse(
                    "is less than 1MiB, the largest body that may be captured",
                    problems,
                );
                return None;
            }
            usize::try_from(bytes).ok()
        }
        None => Some(default.memory),
    };
    Some(Some(Captures {
        file: file?,
        max_size: max_size?,
        memory: memory?,
    }))
}
