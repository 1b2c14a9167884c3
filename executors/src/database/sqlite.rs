//! A file that is an SQLite database: asked inside a sandbox child, in memory.
//!
//! Invariant: the file is never opened in the server's process, nor as a file; whatever a query does stays in the copy.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use domain::{Failure, FailureKind, FileRef};
use engine::Call;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, MAIN_DB, Statement};
use sandbox::{JobError, Limits, Pool};
use serde_json::{Number, Value};

use super::{Output, Query, Rows};
use crate::config::{self, flow_fault};

/// The job's name in the sandbox.
const JOB: &str = "executors.sqlite";
const WALL: Duration = Duration::from_secs(30);

pub(super) async fn ask(pool: &Pool, call: &Call, file: &FileRef, query: Query) -> Result<Output, Failure> {
    let bytes = call.blobs.get_file(file).await.map_err(|error| config::storage_fault(&error))?;
    let write = query.write;
    let job = serde_json::to_value(query).map_err(|_| flow_fault("config_invalid", "`parameters` is no JSON."))?;
    let limits = Limits { wall: WALL, cpu: WALL, ..Limits::document() };
    let answer = config::share(pool, call).run(JOB, job, bytes, limits).await;
    let answer = answer.map_err(|error| config::sandbox_fault(&error, "query_limit", "The query"))?;
    let senseless = |_| Failure::new(FailureKind::Internal, "sandbox", "The sandbox gave no sensible answer.");
    let mut output = serde_json::from_value::<Result<Output, Failure>>(answer.output).map_err(senseless)??;
    if write {
        let stored = call.blobs.put_file(&file.name, "application/vnd.sqlite3", answer.payload).await;
        let stored = stored.map_err(|error| config::storage_fault(&error))?;
        output.file = serde_json::to_value(stored).ok();
    }
    Ok(output)
}

/// Adds the job that runs in a child.
pub(crate) fn handlers(handlers: sandbox::Handlers) -> sandbox::Handlers {
    handlers.with(JOB, |job, bytes| {
        let query: Query = serde_json::from_value(job).map_err(|error| JobError::new("bad_job", error.to_string()))?;
        let made = run(&query, &bytes);
        let (answer, file) = match made {
            Ok((output, file)) => (Ok(output), file),
            Err(failure) => (Err(failure), Bytes::new()),
        };
        let answer = serde_json::to_value(answer).map_err(|error| JobError::new("bad_answer", error.to_string()))?;
        Ok((answer, file))
    })
}

fn run(query: &Query, bytes: &[u8]) -> Result<(Output, Bytes), Failure> {
    let connection = open(bytes, query.write)?;
    let output = rows(&connection, query).map_err(|fault| match fault {
        Fault::Database(error) => refused(&error, query.write),
        Fault::Ours(failure) => failure,
    })?;
    if !query.write {
        return Ok((output, Bytes::new()));
    }
    let file = connection.serialize(MAIN_DB).map_err(|error| refused(&error, true))?;
    Ok((output, Bytes::copy_from_slice(&file)))
}

enum Fault {
    Database(Error),
    Ours(Failure),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

fn open(bytes: &[u8], write: bool) -> Result<Connection, Failure> {
    let broken = |error: Error| {
        let message = format!("The file is no SQLite database that can be read ({}).", said(&error));
        Failure::new(FailureKind::Document, "document_broken", message)
    };
    let mut connection = Connection::open_in_memory().map_err(broken)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0).map_err(broken)?;
    // There is nowhere to write a temporary file to.
    connection.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF").map_err(broken)?;
    connection.deserialize_read_exact(MAIN_DB, bytes, bytes.len(), !write).map_err(broken)?;
    // Reads the header, and every definition in the file.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(broken)?;
    connection.authorizer(Some(allowed)).map_err(broken)?;
    Ok(connection)
}

fn allowed(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => Authorization::Deny,
        AuthAction::Pragma { pragma_value: Some(_), pragma_name } if !pragma_name.ends_with("_info") => {
            Authorization::Deny
        }
        _ => Authorization::Allow,
    }
}

fn rows(connection: &Connection, query: &Query) -> Result<Output, Fault> {
    let mut statement = connection.prepare(&query.text)?;
    bind(&mut statement, &query.parameters)?;
    let columns = statement.column_names().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let count = columns.len();
    let mut found = Rows::new(columns, query.max_rows).map_err(Fault::Ours)?;
    if count == 0 {
        found.output.affected = statement.raw_execute()? as u64;
        return Ok(found.output);
    }
    let writes = !statement.readonly();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let values = (0..count).map(|index| row.get_ref(index).map(value)).collect::<Result<_, _>>()?;
        // A statement that changes data is run to its end, whether or not all of its rows are given.
        if !found.push(values).map_err(Fault::Ours)? && !writes {
            break;
        }
    }
    drop(rows);
    let given = found.output.rows.len() as u64;
    found.output.affected = if writes { connection.changes() } else { given };
    Ok(found.output)
}

/// `$2` and `?2` are the second value wherever they stand; other marks take the values in order.
fn bind(statement: &mut Statement<'_>, parameters: &[Value]) -> Result<(), Fault> {
    let marks = statement.parameter_count();
    let mut wanted = 0;
    for mark in 1..=marks {
        let numbered = statement.parameter_name(mark).and_then(|name| name.get(1..)?.parse::<usize>().ok());
        let number = numbered.unwrap_or(mark);
        wanted = wanted.max(number);
        if let Some(value) = number.checked_sub(1).and_then(|index| parameters.get(index)) {
            bind_one(statement, mark, value)?;
        }
    }
    if wanted == parameters.len() {
        return Ok(());
    }
    let message = format!("The query takes {wanted} values and `parameters` has {}.", parameters.len());
    Err(Fault::Ours(flow_fault("query_parameters", message)))
}

fn bind_one(statement: &mut Statement<'_>, mark: usize, value: &Value) -> Result<(), Error> {
    match value {
        Value::Null => statement.raw_bind_parameter(mark, rusqlite::types::Null),
        Value::Bool(value) => statement.raw_bind_parameter(mark, value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => statement.raw_bind_parameter(mark, whole),
            None => statement.raw_bind_parameter(mark, number.as_f64()),
        },
        Value::String(text) => statement.raw_bind_parameter(mark, text),
        other => statement.raw_bind_parameter(mark, other.to_string()),
    }
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(whole) => Value::from(whole),
        ValueRef::Real(real) => Number::from_f64(real).map_or_else(|| Value::from(real.to_string()), Value::Number),
        ValueRef::Text(text) => Value::from(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::from(BASE64.encode(bytes)),
    }
}

fn said(error: &Error) -> String {
    match error {
        Error::SqliteFailure(code, message) => message.clone().unwrap_or_else(|| code.to_string()),
        other => other.to_string(),
    }
}

fn refused(error: &Error, write: bool) -> Failure {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly) if !write => {
            let message = "The query changes data, and the step does not say that it may. Add `write: true`.";
            flow_fault("query_writes", message)
        }
        Some(ErrorCode::OutOfMemory | ErrorCode::TooBig) => {
            Failure::new(FailureKind::Limit, "query_limit", "The query needs more memory than it may use.")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Failure::new(FailureKind::Document, "document_broken", "The SQLite file is damaged.")
        }
        Some(ErrorCode::ConstraintViolation) => {
            let message = format!("The database refused: {}.", said(error));
            Failure::new(FailureKind::Rejected, "query_refused", message)
        }
        _ => flow_fault("query_invalid", format!("The database refused: {}.", said(error).trim_end_matches('.'))),
    }
}
