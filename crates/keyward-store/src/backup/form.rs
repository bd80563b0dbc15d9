//! The lines of a backup.

use crate::Error;
use aws_lc_rs::digest::{Context, SHA256};
use serde_json::{Map, Value, json};
use std::io::{BufRead, Read as _, Write};

/// The version of the form that is written, and the only one that is read.
const VERSION: u64 = 1;

/// The member by which a backup is known.
const MARK: &str = "keyward_backup";

/// The longest line: a row of the largest thing there is, an API's description, and room.
const LINE_MAX_BYTES: u64 = 64 << 20;

/// How gzip begins, and zstd: what people pack backups with.
const PACKED: [&[u8]; 2] = [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd]];

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) made_at: String,
    pub(super) made_by: String,
    pub(super) database: String,
    /// Versions of the migrations, with their checksums.
    pub(super) migrations: Vec<(i64, String)>,
}

impl Head {
    pub(super) fn to_json(&self) -> Value {
        let migrations = self.migrations.iter();
        let migrations: Vec<Value> = migrations
            .map(|(version, checksum)| json!({ "version": version, "checksum": checksum }))
            .collect();
        json!({
            MARK: VERSION,
            "made_at": self.made_at,
            "made_by": self.made_by,
            "database": self.database,
            "migrations": migrations,
        })
    }

    fn parse(line: &[u8]) -> Result<Self, Error> {
        if PACKED.iter().any(|packed| line.starts_with(packed)) {
            return Err(Error::NoBackup(
                "it is compressed: undo that first, as with `gunzip -c FILE | keyward restore`",
            ));
        }
        let no_backup = Error::NoBackup("its first line is not that of one");
        let Ok(Value::Object(head)) = serde_json::from_slice(line) else {
            return Err(no_backup);
        };
        match head.get(MARK).and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(_) => {
                return Err(Error::NoBackup(
                    "its form is one of a later version of Keyward: restore it with that",
                ));
            }
            None => return Err(no_backup),
        }
        let text = |name: &str| head.get(name).and_then(Value::as_str).map(str::to_owned);
        let migration = |one: &Value| {
            let version = one.get("version")?.as_i64()?;
            Some((version, one.get("checksum")?.as_str()?.to_owned()))
        };
        let head = || {
            let migrations = head.get("migrations")?.as_array()?;
            Some(Self {
                made_at: text("made_at")?,
                made_by: text("made_by")?,
                database: text("database")?,
                migrations: migrations.iter().map(migration).collect::<Option<_>>()?,
            })
        };
        head().ok_or_else(|| broken(1, "its head lacks something"))
    }
}

/// A line after the first.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line {
    Table { name: String, columns: Vec<String> },
    Row(Vec<Value>),
    End,
}

/// Writes lines, and knows what they come to.
pub(super) struct LineWriter<W> {
    output: W,
    digest: Context,
    rows: u64,
}

impl<W: Write> LineWriter<W> {
    pub(super) fn new(output: W) -> Self {
        Self {
            output,
            digest: Context::new(&SHA256),
            rows: 0,
        }
    }

    pub(super) fn head(&mut self, head: &Head) -> Result<(), Error> {
        self.line(&head.to_json())
    }

    pub(super) fn table(&mut self, name: &str, columns: &[&str]) -> Result<(), Error> {
        self.line(&json!({ "table": name, "columns": columns }))
    }

    pub(super) fn row(&mut self, values: Vec<Value>) -> Result<(), Error> {
        self.rows += 1;
        self.line(&Value::Array(values))
    }

    /// The last line; how many rows there were, and the hash.
    pub(super) fn end(mut self) -> Result<(u64, String), Error> {
        let rows = self.rows;
        let hash = crate::schema::hexadecimal(self.digest.clone().finish().as_ref());
        self.line(&json!({ "rows": rows, "sha256": hash }))?;
        self.output.flush().map_err(Error::Output)?;
        Ok((rows, hash))
    }

    fn line(&mut self, value: &Value) -> Result<(), Error> {
        let mut line = value.to_string();
        line.push('\n');
        self.digest.update(line.as_bytes());
        self.output
            .write_all(line.as_bytes())
            .map_err(Error::Output)
    }
}

/// Reads lines, and holds them against their end.
pub(super) struct LineReader<R> {
    input: R,
    digest: Context,
    line: u64,
    rows: u64,
    columns: usize,
    hash: String,
}

impl<R: BufRead> LineReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            digest: Context::new(&SHA256),
            line: 0,
            rows: 0,
            columns: 0,
            hash: String::new(),
        }
    }

    pub(super) fn head(&mut self) -> Result<Head, Error> {
        let line = self.read()?;
        if line.is_empty() {
            return Err(Error::NoBackup("it is empty"));
        }
        let head = Head::parse(&line)?;
        self.digest.update(&line);
        Ok(head)
    }

    /// The next line. At the end it is known that all before is what was written, and nothing is behind it.
    pub(super) fn next(&mut self) -> Result<Line, Error> {
        let line = self.read()?;
        if !line.ends_with(b"\n") {
            return Err(self.broken("it ends here, before its end"));
        }
        match serde_json::from_slice(&line) {
            Ok(Value::Array(values)) if values.len() == self.columns => {
                self.digest.update(&line);
                self.rows += 1;
                Ok(Line::Row(values))
            }
            Ok(Value::Object(object)) if object.contains_key("table") => {
                let (name, columns) =
                    table(&object).ok_or_else(|| self.broken("it names no table"))?;
                self.digest.update(&line);
                self.columns = columns.len();
                Ok(Line::Table { name, columns })
            }
            Ok(Value::Object(object)) => self.end(&object),
            Ok(_) | Err(_) => Err(self.broken("it can't be read")),
        }
    }

    /// The hash of all that was read; empty before the end.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    /// The number of the line that was read last, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn broken(&self, why: &'static str) -> Error {
        broken(self.line, why)
    }

    fn end(&mut self, object: &Map<String, Value>) -> Result<Line, Error> {
        let hash = crate::schema::hexadecimal(self.digest.clone().finish().as_ref());
        let rows = object.get("rows").and_then(Value::as_u64);
        if rows != Some(self.rows) {
            return Err(self.broken("it does not count the rows that are there"));
        }
        if object.get("sha256").and_then(Value::as_str) != Some(hash.as_str()) {
            return Err(self.broken("what is before it has another hash"));
        }
        self.hash = hash;
        if !self.read()?.is_empty() {
            return Err(self.broken("it is behind the end"));
        }
        Ok(Line::End)
    }

    fn read(&mut self) -> Result<Vec<u8>, Error> {
        self.line += 1;
        let mut line = Vec::new();
        let mut bounded = (&mut self.input).take(LINE_MAX_BYTES);
        bounded.read_until(b'\n', &mut line).map_err(Error::Input)?;
        if line.len() as u64 == LINE_MAX_BYTES {
            return Err(self.broken("it is longer than any line of a backup"));
        }
        Ok(line)
    }
}

fn broken(line: u64, why: &'static str) -> Error {
    Error::BackupBroken { line, why }
}

fn table(object: &Map<String, Value>) -> Option<(String, Vec<String>)> {
    let columns = object.get("columns")?.as_array()?;
    let columns = columns
        .iter()
        .map(|column| column.as_str().map(str::to_owned));
    Some((
        object.get("table")?.as_str()?.to_owned(),
        columns.collect::<Option<_>>()?,
    ))
}
