//! Where calls are logged, and how.

use keyward_model::resource::raw::{Field, Problems};
use std::path::{Path, PathBuf};

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessLog {
    /// How a line looks.
    pub(crate) format: LogFormat,
    /// Where lines go.
    pub(crate) destination: LogDestination,
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// An object a line.
    Json,
    /// For eyes.
    Human,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogDestination {
    /// Standard output.
    StandardOutput,
    /// Standard error.
    StandardError,
    /// A file that is appended to.
    File(PathBuf),
    /// Nowhere.
    Off,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            format: LogFormat::Human,
            destination: LogDestination::StandardOutput,
        }
    }
}

/// Reads `access_log`.
pub(super) fn read(
    field: Field<'_>,
    directory: &Path,
    problems: &mut Problems,
) -> Option<AccessLog> {
    let default = AccessLog::default();
    let fields = field.fields(&["format", "destination"], problems)?;
    let format = match fields.optional("format") {
        Some(field) => field.one_of(
            &[("json", LogFormat::Json), ("human", LogFormat::Human)],
            problems,
        ),
        None => Some(default.format),
    };
    let destination = match fields.optional("destination") {
        Some(field) if field.as_text().is_some() => match field.text(problems)? {
            "stdout" => Some(LogDestination::StandardOutput),
            "stderr" => Some(LogDestination::StandardError),
            "off" => Some(LogDestination::Off),
            _ => {
                field.refuse(
                    "is none of `stdout`, `stderr`, `off` and `{ file: PATH }`",
                    problems,
                );
                None
            }
        },
        Some(field) => {
            let fields = field.fields(&["file"], problems)?;
            let file =
                fields.required("file", "name the file that lines are added to", problems)?;
            file.text(problems)
                .map(|path| LogDestination::File(directory.join(path)))
        }
        None => Some(default.destination),
    };
    Some(AccessLog {
        format: format?,
        destination: destination?,
    })
}
