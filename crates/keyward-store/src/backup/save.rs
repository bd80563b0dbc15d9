//! Making a backup.

use super::form::{Head, LineWriter};
use crate::Error;
use crate::database::catalogue::{self, ColumnKind, Table};
use crate::database::{BUSY_TIMEOUT, Connection, Database, Location};
use crate::schema::{self, BINARY_VERSION, MIGRATIONS, RECORD_TABLE};
use futures_util::TryStreamExt as _;
use keyward_model::Timestamp;
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};
use std::io::Write;

/// What a backup came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// How many rows it has.
    pub rows: u64,
    /// The SHA-256 of all lines but the last, which holds it; hexadecimal.
    pub sha256: String,
}

/// Writes all that the database at `location` holds at this moment to `output`. Nodes go on meanwhile. No master
/// key is needed.
///
/// # Errors
/// [`Error::Missing`] when no node has begun to use it; [`Error::SchemaTooNew`]; [`Error::ForeignTable`];
/// [`Error::Output`]; what the database says.
pub async fn save(location: &Location, now: Timestamp, output: impl Write) -> Result<Saved, Error> {
    if let Location::File(path) = location
        && !path.exists()
    {
        // Opening would make it.
        return Err(Error::Missing);
    }
    let database = Database::open(location, BUSY_TIMEOUT).await?;
    let saved = save_from(&database, now, output).await;
    database.pool().close().await;
    saved
}

async fn save_from(
    database: &Database,
    now: Timestamp,
    output: impl Write,
) -> Result<Saved, Error> {
    let mut transaction = database.begin_read().await?;
    if !schema::is_ours(&mut transaction, database.engine()).await? {
        return Err(Error::Missing);
    }
    let applied = schema::applied(&mut transaction).await?;
    schema::check(&applied, MIGRATIONS)?;
    let mut writer = LineWriter::new(output);
    let tables = catalogue::tables(&mut transaction, database.engine()).await?;
    schema::check_tables(&tables, &applied)?;
    writer.head(&Head {
        made_at: now.to_string(),
        made_by: BINARY_VERSION.to_owned(),
        database: database.engine().as_str().to_owned(),
        migrations: applied
            .into_iter()
            .map(|one| (one.version, one.checksum))
            .collect(),
    })?;
    for table in tables {
        // The head has it.
        if table.name != RECORD_TABLE {
            save_table(&mut transaction, &table, &mut writer).await?;
        }
    }
    transaction.rollback().await?;
    let (rows, sha256) = writer.end()?;
    Ok(Saved { rows, sha256 })
}

async fn save_table(
    connection: &mut Connection,
    table: &Table,
    writer: &mut LineWriter<impl Write>,
) -> Result<(), Error> {
    let names: Vec<&str> = table.columns.iter().map(|column| &*column.name).collect();
    writer.table(&table.name, &names)?;
    // The names are those of our own migrations.
    let statement = format!(
        r#"SELECT "{}" FROM "{}""#,
        names.join(r#"", ""#),
        table.name
    );
    let mut rows = sqlx::query(AssertSqlSafe(statement))
        .persistent(false)
        .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        writer.row(values(table, &row)?)?;
    }
    Ok(())
}

fn values(table: &Table, row: &AnyRow) -> Result<Vec<Value>, sqlx::Error> {
    let columns = table.columns.iter().enumerate();
    columns
        .map(|(index, column)| {
            let value = match column.kind {
                ColumnKind::Number => row.try_get::<Option<i64>, _>(index)?.map(Value::from),
                ColumnKind::Text => row.try_get::<Option<String>, _>(index)?.map(Value::from),
            };
            Ok(value.unwrap_or(Value::Null))
        })
        .collect()
}
