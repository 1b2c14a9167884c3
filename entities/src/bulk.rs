//! Inserts and rewrites of many rows, in statements whose texts are made once: the databases keep them prepared.
//!
//! Invariant: a text depends on the table and on how many rows it takes, which is one of a few numbers, or any number where
//! the rows come as one parameter.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, EntityName, EntityTrait, IdenStatic, Iterable, ModelTrait, Statement, Value,
};
use serde_json::json;

/// Rows that one statement takes. SQLite takes 32,766 parameters a statement, PostgreSQL 65,535; the widest table has fewer
/// than 64 columns.
const SIZES: [usize; 4] = [256, 64, 16, 4];

/// A row that is written again while what it belongs to goes on.
pub(crate) trait Rewritten: ModelTrait {
    /// What it is known by.
    fn key() -> &'static [<Self::Entity as EntityTrait>::Column];
    /// What may be different the next time.
    fn changing() -> &'static [<Self::Entity as EntityTrait>::Column];
}

/// What becomes of a row whose key is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Known {
    Refused,
    Rewritten,
    LeftAlone,
}

/// Whether it is for PostgreSQL, the table, the rows.
type Key = (bool, &'static str, usize, Known);

static TEXTS: LazyLock<RwLock<HashMap<Key, Arc<str>>>> = LazyLock::new(RwLock::default);

/// Inserts rows of one table, in as few statements as the sizes allow.
pub(crate) async fn insert<M: ModelTrait>(connection: &impl ConnectionTrait, rows: &[M]) -> Result<(), DbErr> {
    execute(connection, rows, Known::Refused, String::new).await
}

/// The same for rows that may be there already, and are as these from now on.
pub(crate) async fn rewrite<M: Rewritten>(connection: &impl ConnectionTrait, rows: &[M]) -> Result<(), DbErr> {
    execute(connection, rows, Known::Rewritten, rewriting::<M>).await
}

/// The same for rows that may be there already, and stay as they are.
pub(crate) async fn insert_absent<M: ModelTrait>(connection: &impl ConnectionTrait, rows: &[M]) -> Result<(), DbErr> {
    execute(connection, rows, Known::LeftAlone, absent).await
}

async fn execute<M: ModelTrait>(
    connection: &impl ConnectionTrait,
    rows: &[M],
    known: Known,
    conflict: fn() -> String,
) -> Result<(), DbErr> {
    let backend = connection.get_database_backend();
    for rows in in_sizes(rows) {
        let text = text::<M>(backend, rows.len(), known, conflict);
        connection.execute_raw(Statement::from_sql_and_values(backend, &*text, values_of(rows))).await?;
    }
    Ok(())
}

/// Adds the inserts of these rows to a script of several statements, which is one trip to the database. On SQLite alone,
/// whose statements take their parameters in turn.
pub(crate) fn add_to<M: ModelTrait>(script: &mut String, values: &mut Vec<Value>, rows: &[M]) {
    add(script, values, rows, Known::Refused, String::new);
}

/// The same for rows that may be there already, and are as these from now on.
pub(crate) fn add_rewrite_to<M: Rewritten>(script: &mut String, values: &mut Vec<Value>, rows: &[M]) {
    add(script, values, rows, Known::Rewritten, rewriting::<M>);
}

/// The same for rows that may be there already, and stay as they are.
pub(crate) fn add_absent_to<M: ModelTrait>(script: &mut String, values: &mut Vec<Value>, rows: &[M]) {
    add(script, values, rows, Known::LeftAlone, absent);
}

fn add<M: ModelTrait>(
    script: &mut String,
    values: &mut Vec<Value>,
    rows: &[M],
    known: Known,
    conflict: fn() -> String,
) {
    for rows in in_sizes(rows) {
        script.push_str(&text::<M>(DbBackend::Sqlite, rows.len(), known, conflict));
        script.push(';');
        values.extend(values_of(rows));
    }
}

fn absent() -> String {
    " ON CONFLICT DO NOTHING".to_owned()
}

fn rewriting<M: Rewritten>() -> String {
    let quoted = |column: &<M::Entity as EntityTrait>::Column| format!("\"{}\"", column.as_str());
    let key: Vec<String> = M::key().iter().map(quoted).collect();
    let set = |column| {
        let name = quoted(column);
        format!("{name} = excluded.{name}")
    };
    let set: Vec<String> = M::changing().iter().map(set).collect();
    format!(" ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), set.join(", "))
}

/// An insert on PostgreSQL of however many rows the parameter of this number has, as [`records`] gives them.
pub(crate) fn of_records<M: ModelTrait>(parameter: usize) -> String {
    let (table, names) = (table::<M>(), names::<M>());
    format!(
        "INSERT INTO \"{table}\" ({names}) SELECT {names} FROM json_populate_recordset(NULL::\"{table}\", ${parameter})"
    )
}

/// Rows as a JSON array of objects by column; what is null is left out.
///
/// # Errors
/// A column of a type that no table has whose rows are inserted like this.
pub(crate) fn records<'a, M: ModelTrait + 'a>(rows: impl Iterator<Item = &'a M>) -> Result<String, DbErr> {
    let record = |row: &M| -> Result<serde_json::Value, DbErr> {
        let mut record = serde_json::Map::new();
        for column in <M::Entity as EntityTrait>::Column::iter() {
            if let Some(value) = as_json(row.get(column))? {
                record.insert(column.as_str().to_owned(), value);
            }
        }
        Ok(record.into())
    };
    let records: serde_json::Value = rows.map(record).collect::<Result<Vec<_>, _>>()?.into();
    Ok(records.to_string())
}

fn as_json(value: Value) -> Result<Option<serde_json::Value>, DbErr> {
    Ok(match value {
        Value::Bool(value) => value.map(Into::into),
        Value::Int(value) => value.map(Into::into),
        Value::BigInt(value) => value.map(Into::into),
        Value::String(value) => value.map(Into::into),
        Value::Uuid(value) => value.map(|value| json!(value)),
        Value::ChronoDateTimeUtc(value) => value.map(|value| json!(value)),
        other => return Err(DbErr::Type(format!("a column of a type that no record has: {other:?}"))),
    })
}

/// The rows, statement by statement.
fn in_sizes<M>(rows: &[M]) -> impl Iterator<Item = &[M]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rest.len()).unwrap_or(1);
        let now;
        (now, rest) = rest.split_at_checked(size)?;
        Some(now)
    })
}

/// The parameters of rows, in the order of a statement's text.
fn values_of<M: ModelTrait>(rows: &[M]) -> impl Iterator<Item = Value> {
    rows.iter().flat_map(|row| <M::Entity as EntityTrait>::Column::iter().map(|column| row.get(column)))
}

fn text<M: ModelTrait>(backend: DbBackend, rows: usize, known: Known, conflict: fn() -> String) -> Arc<str> {
    let key = (backend == DbBackend::Postgres, std::any::type_name::<M>(), rows, known);
    if let Some(text) = TEXTS.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Arc::clone(text);
    }
    let text: Arc<str> = (written::<M>(backend, rows) + &conflict()).into();
    TEXTS.write().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&text));
    text
}

fn table<M: ModelTrait>() -> &'static str {
    M::Entity::default().table_name()
}

fn columns<M: ModelTrait>() -> usize {
    <M::Entity as EntityTrait>::Column::iter().count()
}

/// All columns, quoted and with commas.
fn names<M: ModelTrait>() -> String {
    let names: Vec<&str> = <M::Entity as EntityTrait>::Column::iter().map(|column| column.as_str()).collect();
    format!("\"{}\"", names.join("\", \""))
}

fn written<M: ModelTrait>(backend: DbBackend, rows: usize) -> String {
    let columns = columns::<M>();
    let mut text = format!("INSERT INTO \"{}\" ({}) VALUES ", table::<M>(), names::<M>());
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            let lead = if column == 0 { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = match backend {
                DbBackend::Postgres => write!(text, "{lead}${}", row * columns + column + 1),
                _ => write!(text, "{lead}?"),
            };
        }
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership;

    #[test]
    fn rows_are_taken_in_as_few_statements_as_the_sizes_allow() {
        let rows: Vec<u32> = (0..345).collect();
        let sizes: Vec<usize> = in_sizes(&rows).map(<[u32]>::len).collect();
        assert_eq!(sizes, [256, 64, 16, 4, 4, 1]);
        assert_eq!(in_sizes(&rows).flatten().copied().collect::<Vec<_>>(), rows);
    }

    #[test]
    fn a_text_names_every_column_and_counts_its_parameters_as_the_database_does() {
        let columns = membership::Column::iter().count();
        let one = written::<membership::Model>(DbBackend::Sqlite, 1);
        assert!(one.starts_with("INSERT INTO \"memberships\" (\"tenant_id\", "), "{one}");
        assert_eq!(one.matches('?').count(), columns);
        let three = written::<membership::Model>(DbBackend::Postgres, 3);
        assert!(three.ends_with(&format!("${})", columns * 3)), "{three}");
        assert_eq!(three.matches('(').count(), 4);
    }
}
