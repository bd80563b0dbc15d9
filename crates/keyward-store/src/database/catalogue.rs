//! What tables there are: each of the two tells it in its own words.

use super::{Connection, Engine};
use crate::Error;
use std::collections::BTreeMap;

/// What a column holds: the schema knows no other types, which a test holds it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    Number,
    Text,
}

impl ColumnKind {
    fn parse(declared: &str) -> Option<Self> {
        match declared.to_ascii_lowercase().as_str() {
            "bigint" => Some(Self::Number),
            "text" => Some(Self::Text),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: ColumnKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
}

/// What this folder's statements ask for, on each.
struct Words {
    tables: &'static str,
    columns: &'static str,
    references: &'static str,
}

const SQLITE: Words = Words {
    tables: "SELECT name FROM sqlite_master
             WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    columns: "SELECT name, type FROM pragma_table_info($1) ORDER BY cid",
    references: r#"SELECT DISTINCT "table" FROM pragma_foreign_key_list($1) ORDER BY 1"#,
};

/// Of the schema in use. Names have a type of their own there.
const POSTGRES: Words = Words {
    tables: "SELECT c.relname::text
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition
             ORDER BY 1",
    columns: "SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod)
              FROM pg_catalog.pg_attribute a
              JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
              JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = current_schema() AND c.relname = $1
                AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
    references: "SELECT DISTINCT o.relname::text
                 FROM pg_catalog.pg_constraint f
                 JOIN pg_catalog.pg_class c ON c.oid = f.conrelid
                 JOIN pg_catalog.pg_class o ON o.oid = f.confrelid
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = current_schema() AND c.relname = $1 AND f.contype = 'f'
                 ORDER BY 1",
};

fn words(engine: Engine) -> &'static Words {
    match engine {
        Engine::Sqlite => &SQLITE,
        Engine::Postgres => &POSTGRES,
    }
}

/// The names of all tables.
pub(crate) async fn table_names(
    connection: &mut Connection,
    engine: Engine,
) -> Result<Vec<String>, Error> {
    let rows: Vec<(String,)> = sqlx::query_as(words(engine).tables)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// All tables, each behind those that it refers to, and by name where there is a choice.
pub(crate) async fn tables(
    connection: &mut Connection,
    engine: Engine,
) -> Result<Vec<Table>, Error> {
    let mut left = BTreeMap::new();
    for name in table_names(connection, engine).await? {
        let references: Vec<(String,)> = sqlx::query_as(words(engine).references)
            .bind(&name)
            .fetch_all(&mut *connection)
            .await?;
        let references: Vec<String> = references
            .into_iter()
            .map(|(name,)| name)
            // Of a table's own rows each may refer to any other only once all are there.
            .filter(|other| *other != name)
            .collect();
        left.insert(name, references);
    }
    let mut tables: Vec<Table> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let ready: Vec<String> = left
            .iter()
            .filter(|(_, references)| references.iter().all(|other| !left.contains_key(other)))
            .map(|(name, _)| name.clone())
            .collect();
        if ready.is_empty() {
            let names: Vec<&str> = left.keys().map(String::as_str).collect();
            return Err(Error::Malformed {
                place: format!("the order of the tables {}", names.join(", ")),
            });
        }
        for name in ready {
            left.remove(&name);
            let columns = columns(connection, engine, &name).await?;
            tables.push(Table { name, columns });
        }
    }
    Ok(tables)
}

async fn columns(
    connection: &mut Connection,
    engine: Engine,
    table: &str,
) -> Result<Vec<Column>, Error> {
    let rows: Vec<(String, String)> = sqlx::query_as(words(engine).columns)
        .bind(table)
        .fetch_all(connection)
        .await?;
    rows.into_iter()
        .map(|(name, declared)| {
            let kind = ColumnKind::parse(&declared)
                .ok_or_else(|| Error::malformed(table, &name, format!("({declared})")))?;
            Ok(Column { name, kind })
        })
        .collect()
}
