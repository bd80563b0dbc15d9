//! Restoring from a backup.

use super::form::{Head, Line, LineReader};
use crate::audit::{self, Action};
use crate::changes::ABSENT_AT_MOST;
use crate::database::catalogue::{self, Column, ColumnKind, Table};
use crate::database::{BUSY_TIMEOUT, Connection, Database, Engine, Location, Transaction};
use crate::hierarchy::{Keyring, random_id};
use crate::schema::{self, MIGRATIONS, Migration, RECORD_TABLE};
use crate::{Error, MasterKey};
use keyward_model::Timestamp;
use keyward_model::id::{NodeId, TeamId};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _};
use std::io::BufRead;
use std::time::Duration;

/// Values of one statement: SQLite takes 32,766, and its text has to be parsed.
const VALUES_AT_ONCE: usize = 4_000;

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// How many rows it has.
    pub rows: u64,
    /// When the backup was made.
    pub made_at: String,
    /// Which version made it.
    pub made_by: String,
    /// From which database: `sqlite` or `postgres`.
    pub database: String,
    /// The hash that the backup ends with.
    pub sha256: String,
}

/// Fills the database at `location` from a backup, all of it or nothing. `replace` takes away what is there
/// before, for which no node may run: on PostgreSQL it is watched for a while whether one comes. With `master` it is seen that this is the key under which the backup was
/// sealed. The audit log says who did it.
///
/// # Errors
/// [`Error::NotEmpty`] without `replace`; [`Error::InUse`]; [`Error::Foreign`]; [`Error::ForeignTable`];
/// [`Error::NoBackup`]; [`Error::BackupBroken`]; [`Error::BackupTooNew`]; [`Error::WrongMasterKey`]; [`Error::Nul`];
/// [`Error::Input`]; what the database says.
pub async fn restore(
    location: &Location,
    master: Option<&MasterKey>,
    input: impl BufRead,
    replace: bool,
    actor: &str,
    now: Timestamp,
) -> Result<Restored, Error> {
    let replace = replace.then_some(ABSENT_AT_MOST);
    restore_watching(location, master, input, replace, actor, now).await
}

/// The same, with how long it is watched whether a node comes where data is to be replaced.
pub(crate) async fn restore_watching(
    location: &Location,
    master: Option<&MasterKey>,
    input: impl BufRead,
    replace: Option<Duration>,
    actor: &str,
    now: Timestamp,
) -> Result<Restored, Error> {
    let mut reader = LineReader::new(input);
    // Before anything is made: what is no backup changes nothing.
    let head = reader.head()?;
    let known = known(&head)?;
    // A file that is made here stays when something goes wrong, and is empty then: a node may have begun to use it
    // meanwhile.
    let database = Database::open(location, BUSY_TIMEOUT).await?;
    let restoring = Restoring {
        database: &database,
        known: &known,
        replace,
        now,
    };
    let restored = restoring.run(&mut reader, &head, master, actor).await;
    database.pool().close().await;
    restored
}

/// The migrations that the backup's schema was made by.
fn known(head: &Head) -> Result<Vec<Migration>, Error> {
    let known = head.migrations.iter().map(|(version, checksum)| {
        let ours = MIGRATIONS.iter().find(|ours| ours.version == *version);
        let ours = ours.ok_or_else(|| Error::BackupTooNew {
            made_by: head.made_by.clone(),
        })?;
        if schema::checksum(ours.sql) != *checksum {
            return Err(Error::MigrationChanged { version: *version });
        }
        Ok(Migration { ..*ours })
    });
    known.collect()
}

struct Restoring<'r> {
    database: &'r Database,
    known: &'r [Migration],
    /// Whether what is there goes, and how long it is watched before whether a node comes.
    replace: Option<Duration>,
    now: Timestamp,
}

impl Restoring<'_> {
    async fn run(
        &self,
        reader: &mut LineReader<impl BufRead>,
        head: &Head,
        master: Option<&MasterKey>,
        actor: &str,
    ) -> Result<Restored, Error> {
        let engine = self.database.engine();
        if let Some(watched) = self.replace {
            self.database.check_alone(watched).await?;
        }
        let mut transaction = self.database.begin_restore().await?;
        if schema::is_ours(&mut transaction, engine).await? {
            if self.replace.is_none() {
                return Err(Error::NotEmpty);
            }
            let tables = catalogue::tables(&mut transaction, engine).await?;
            let applied = schema::applied(&mut transaction).await?;
            schema::check_tables(&tables, &applied)?;
            // Those that refer to others before these.
            for table in tables.iter().rev() {
                let statement = format!(r#"DROP TABLE "{}""#, table.name);
                transaction
                    .execute(sqlx::raw_sql(AssertSqlSafe(statement)))
                    .await?;
            }
        }
        schema::migrate_within(&mut transaction, engine, self.known, self.now).await?;
        let mut tables = catalogue::tables(&mut transaction, engine).await?;
        tables.retain(|table| table.name != RECORD_TABLE);
        // What migrations put in is in the backup, as it has become.
        for table in tables.iter().rev() {
            let statement = format!(r#"DELETE FROM "{}""#, table.name);
            transaction
                .execute(sqlx::raw_sql(AssertSqlSafe(statement)))
                .await?;
        }
        fill(&mut transaction, engine, &tables, reader).await?;
        schema::migrate_within(&mut transaction, engine, MIGRATIONS, self.now).await?;
        if let Some(master) = master {
            Keyring::check(&mut transaction, master).await?;
        }
        self.write_down(&mut transaction, reader, head, actor)
            .await?;
        transaction.commit().await?;
        Ok(Restored {
            rows: reader.rows(),
            made_at: head.made_at.clone(),
            made_by: head.made_by.clone(),
            database: head.database.clone(),
            sha256: reader.hash().to_owned(),
        })
    }

    async fn write_down(
        &self,
        transaction: &mut Transaction,
        reader: &LineReader<impl BufRead>,
        head: &Head,
        actor: &str,
    ) -> Result<(), Error> {
        let action = Action {
            team: TeamId::DEFAULT,
            actor,
            action: "database.restore",
            object: &format!("backup {}", reader.hash()),
            detail: json!({
                "made_at": head.made_at,
                "made_by": head.made_by,
                "from": head.database,
                "rows": reader.rows(),
            }),
        };
        // No process that serves: the event is its only trace.
        let node = NodeId::new(self.now, random_id()?);
        audit::append(transaction, node, action, self.now).await?;
        Ok(())
    }
}

async fn fill(
    connection: &mut Connection,
    engine: Engine,
    tables: &[Table],
    reader: &mut LineReader<impl BufRead>,
) -> Result<(), Error> {
    let mut filling: Option<Filling> = None;
    let mut left: Vec<&Table> = tables.iter().collect();
    loop {
        match reader.next()? {
            Line::Table { name, columns } => {
                if let Some(filling) = &mut filling {
                    filling.write(connection).await?;
                }
                let place = left.iter().position(|table| table.name == name);
                let place = place.ok_or_else(|| {
                    reader.broken("it names a table that there is not, or a second time")
                })?;
                let table = left.remove(place);
                filling =
                    Some(Filling::new(table, &columns).ok_or_else(|| {
                        reader.broken("it names other columns than the table has")
                    })?);
            }
            Line::Row(values) => {
                if engine == Engine::Postgres && values.iter().any(has_nul) {
                    return Err(Error::Nul {
                        what: format!("line {} of the backup", reader.line()),
                    });
                }
                let filling = filling
                    .as_mut()
                    .ok_or_else(|| reader.broken("it is of no table"))?;
                filling.add(values).ok_or_else(|| {
                    reader.broken("it has a value of another type than its column")
                })?;
                if filling.is_full() {
                    filling.write(connection).await?;
                }
            }
            Line::End => break,
        }
    }
    if let Some(filling) = &mut filling {
        filling.write(connection).await?;
    }
    if left.is_empty() {
        Ok(())
    } else {
        Err(reader.broken("a table is missing before it"))
    }
}

fn has_nul(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains('\0'))
}

/// A value to be bound.
enum Bound {
    Number(Option<i64>),
    Text(Option<String>),
}

/// A table's rows that are on their way.
struct Filling {
    table: String,
    columns: Vec<Column>,
    values: Vec<Bound>,
}

impl Filling {
    /// The columns are the table's, in the backup's order.
    fn new(table: &Table, names: &[String]) -> Option<Self> {
        let column = |name: &String| {
            let found = table.columns.iter().find(|column| column.name == *name);
            found.cloned()
        };
        let columns: Vec<Column> = names.iter().map(column).collect::<Option<_>>()?;
        let all_are_there = table.columns.iter().all(|column| columns.contains(column));
        (all_are_there && columns.len() == table.columns.len()).then(|| Self {
            table: table.name.clone(),
            columns,
            values: Vec::new(),
        })
    }

    fn add(&mut self, values: Vec<Value>) -> Option<()> {
        for (column, value) in self.columns.iter().zip(values) {
            let bound = match (column.kind, value) {
                (ColumnKind::Number, Value::Null) => Bound::Number(None),
                (ColumnKind::Number, Value::Number(number)) => {
                    Bound::Number(Some(number.as_i64()?))
                }
                (ColumnKind::Text, Value::Null) => Bound::Text(None),
                (ColumnKind::Text, Value::String(text)) => Bound::Text(Some(text)),
                (ColumnKind::Number | ColumnKind::Text, _) => return None,
            };
            self.values.push(bound);
        }
        Some(())
    }

    fn is_full(&self) -> bool {
        self.values.len() + self.columns.len() > VALUES_AT_ONCE
    }

    async fn write(&mut self, connection: &mut Connection) -> Result<(), Error> {
        if self.values.is_empty() {
            return Ok(());
        }
        let width = self.columns.len();
        let names: Vec<&str> = self.columns.iter().map(|column| &*column.name).collect();
        let rows: Vec<String> = (0..self.values.len() / width)
            .map(|row| {
                let places = (1..=width).map(|column| format!("${}", row * width + column));
                format!("({})", places.collect::<Vec<_>>().join(", "))
            })
            .collect();
        // The names are those of our own migrations: the table and its columns were found there.
        let statement = format!(
            r#"INSERT INTO "{}" ("{}") VALUES {}"#,
            self.table,
            names.join(r#"", ""#),
            rows.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        for value in self.values.drain(..) {
            query = match value {
                Bound::Number(number) => query.bind(number),
                Bound::Text(text) => query.bind(text),
            };
        }
        query.execute(connection).await?;
        Ok(())
    }
}
