//! Reading `database`: SQLite in the data directory, or PostgreSQL.

use super::file;
use keyward_model::resource::raw::{Field, Problems, Value};
use keyward_pkcs11::Token;
use keyward_store::{Location, PostgresSettings};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The database's name in the data directory.
const DATABASE_FILE: &str = "keyward.db";

/// The largest file of certificates, or of a key.
const CERTIFICATES_MAX_BYTES: u64 = 1 << 20;

const ADVICE: &str = "write `sqlite`, or `postgres://user@host/database`, with `:password` behind the user where the server asks for it";

/// Where a node keeps its data: a directory of its own, and a database there or elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct DataPlace {
    /// Where the master key stands, and the database where no other is named.
    pub(crate) data_dir: PathBuf,
    /// The database where it is not a file in the directory.
    pub(crate) postgres: Option<PostgresSettings>,
    /// A PKCS#11 token that keys are in.
    pub(crate) token: Option<Arc<Token>>,
    /// The label of the key in it that the master key is derived from, where that is so.
    pub(crate) master_key: Option<Box<str>>,
}

impl DataPlace {
    /// Where the database is.
    pub(crate) fn location(&self) -> Location {
        match &self.postgres {
            Some(settings) => Location::Postgres(settings.clone()),
            None => Location::File(self.data_dir.join(DATABASE_FILE)),
        }
    }
}

/// `sqlite`, or an address. The outer `None`: something is wrong. What stands in the address is never
/// repeated: it may have a password.
pub(super) fn read(
    field: Field<'_>,
    directory: &Path,
    problems: &mut Problems,
) -> Option<Option<PostgresSettings>> {
    let text = field.text(problems)?;
    if text == "sqlite" {
        return Some(None);
    }
    let key = field.key();
    let mut settings = match PostgresSettings::parse(text) {
        Ok(settings) => settings,
        Err(refusal) => {
            let why = format!("`{key}`: it {refusal}: {ADVICE}");
            problems.error(field.place(), "bad_value", why);
            return None;
        }
    };
    for path in settings.paths_mut() {
        *path = directory.join(&path);
        if let Err(why) = file::read(path, CERTIFICATES_MAX_BYTES) {
            problems.error(field.place(), "file", format!("`{key}`: {why}"));
            return None;
        }
    }
    let in_clear = match &field.node().value {
        Value::Text(text) => text.reference().is_none(),
        Value::Null
        | Value::Boolean(_)
        | Value::Whole(_)
        | Value::Number(_)
        | Value::List(_)
        | Value::Map(_) => false,
    };
    if settings.has_password() && in_clear {
        problems.warning(
            field.place(),
            "secret_in_clear",
            format!(
                "`{key}`: the password stands in the file: write `${{ENV:NAME}}` or `${{FILE:path}}` in its place"
            ),
        );
    }
    if settings.is_exposed() {
        problems.warning(
            field.place(),
            "clear_text",
            format!(
                "`{key}`: what goes to the server can be read or changed on its way (`sslmode={}`): write `sslmode=verify-full`",
                settings.tls.as_str()
            ),
        );
    }
    Some(Some(settings))
}
