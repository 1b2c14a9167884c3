//! `database`: one query, its values bound, never written into it.
//!
//! Invariant: a query runs in a transaction that can only read unless the step says `write`; a server is reached only
//! through the egress client, and a file is opened only inside a sandbox child.

mod postgres;
mod secure;
mod sqlite;
mod values;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Failure;
use engine::{Call, Done, Executor, Failed};
use language::{EffectRule, ExecutorSpec};
use sandbox::Pool;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::config::{self, flow_fault};
use crate::spec;

pub(crate) use sqlite::handlers;

const ROWS: usize = 1_000;
const MOST_ROWS: usize = 100_000;
/// All rows together, as JSON.
const MOST_BYTES: usize = 16 << 20;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// One statement, with `$1`, `$2` ... where values go: `select name from customers where id = $1`.
    query: String,
    /// The values, in order. They are bound, so that no value can change the query.
    #[serde(default)]
    parameters: Vec<Value>,
    /// A connection of the tenant's of the kind `postgres`.
    connection: Option<String>,
    /// Instead of a connection, the address of a PostgreSQL server, from a secret: `postgres://user:password@host/database`.
    url: Option<String>,
    /// Instead of a server, a file: an SQLite database.
    #[serde(default)]
    #[schemars(schema_with = "spec::file_value")]
    sqlite: Option<Value>,
    /// Lets the query change data. Without it, it can only read.
    #[serde(default)]
    write: bool,
    /// How many rows are given at most; 1,000 unless said. More rows than that are cut, and `truncated` says so.
    #[schemars(range(min = 1, max = 100_000))]
    max_rows: Option<usize>,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
struct Output {
    /// The rows, each an object by column. Exact decimals, dates and times are texts, bytes are Base64.
    rows: Vec<Map<String, Value>>,
    /// The columns in their order.
    columns: Vec<String>,
    /// How many rows the statement changed; for one that reads, how many it gave.
    affected: u64,
    /// Whether there were more rows than were given.
    truncated: bool,
    /// With `sqlite` and `write`: the database as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "spec::file_value")]
    file: Option<Value>,
}

/// What is asked of whichever database.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Query {
    text: String,
    parameters: Vec<Value>,
    write: bool,
    max_rows: usize,
}

/// Rows as they come, up to their limits.
#[derive(Debug)]
struct Rows {
    output: Output,
    max_rows: usize,
    bytes: usize,
}

impl Rows {
    fn new(columns: Vec<String>, max_rows: usize) -> Result<Self, Failure> {
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = columns.iter().find(|name| !seen.insert(name.as_str())) {
            let message = format!("The query gives two columns `{twice}`. Name one of them otherwise: `... as other`.");
            return Err(flow_fault("query_columns", message));
        }
        Ok(Self { output: Output { columns, ..Output::default() }, max_rows, bytes: 0 })
    }

    /// Takes a row; false when there is no room for another.
    fn push(&mut self, values: Vec<Value>) -> Result<bool, Failure> {
        if self.output.rows.len() >= self.max_rows {
            self.output.truncated = true;
            return Ok(false);
        }
        self.bytes += values.iter().map(|value| value.to_string().len()).sum::<usize>();
        if self.bytes > MOST_BYTES {
            let message = "The rows hold more than 16 MiB. Ask for fewer rows or columns.";
            return Err(Failure::new(domain::FailureKind::Limit, "rows_too_large", message));
        }
        self.output.rows.push(self.output.columns.iter().cloned().zip(values).collect());
        Ok(true)
    }
}

pub(crate) struct Database {
    spec: ExecutorSpec,
    egress: egress::Client,
    sandbox: Arc<Pool>,
}

impl Database {
    pub(crate) fn new(egress: egress::Client, sandbox: Arc<Pool>) -> Self {
        let spec = ExecutorSpec {
            // Without the key it reads, which is pure; whatever is written there counts as unsafe.
            effect: EffectRule::ByMethod { field: "write".into() },
            secret_fields: ["parameters", "url"].map(str::to_owned).to_vec(),
            ..spec::plain::<Config, Output>(
                "database",
                "Asks a PostgreSQL server or an SQLite file, with bound values.",
            )
        };
        Self { spec, egress, sandbox }
    }

    async fn ask(&self, call: &Call, config: Config) -> Result<Output, Failure> {
        let max_rows = config.max_rows.unwrap_or(ROWS).clamp(1, MOST_ROWS);
        let query = Query { text: config.query, parameters: config.parameters, write: config.write, max_rows };
        let url = match (config.connection, config.url, config.sqlite) {
            (Some(name), None, None) => {
                let service = call.models.service(&name).await?;
                if service.kind != "postgres" {
                    let message = format!("The connection `{name}` is of the kind `{}`, not `postgres`.", service.kind);
                    return Err(flow_fault("connection_kind", message));
                }
                postgres::Address::new(&service.base_url, service.credential)?
            }
            (None, Some(url), None) => postgres::Address::new(&url, None)?,
            (None, None, Some(file)) => {
                return sqlite::ask(&self.sandbox, call, &config::file(&file, "sqlite")?, query).await;
            }
            _ => return Err(flow_fault("config_invalid", "Give one of `connection`, `url` and `sqlite`.")),
        };
        if call.test && query.write {
            return Ok(Output::default());
        }
        postgres::ask(&self.egress, call.deadline, &url, &query).await
    }
}

/// Asks a PostgreSQL server who it is, and waits no longer than that.
pub(crate) async fn hello(
    egress: &egress::Client,
    url: &str,
    password: Option<String>,
    patience: Duration,
) -> Result<String, Failure> {
    let address = postgres::Address::new(url, password)?;
    let text = "select current_setting('server_version') as version".to_owned();
    let query = Query { text, parameters: Vec::new(), write: false, max_rows: 1 };
    let asked = postgres::ask(egress, Some(tokio::time::Instant::now() + patience), &address, &query);
    let output = tokio::time::timeout(patience, asked).await.map_err(|_| {
        let message = format!("The database did not answer within {} s.", patience.as_secs());
        Failure::new(domain::FailureKind::Timeout, "no_answer", message)
    })??;
    let version = output.rows.first().and_then(|row| row.get("version")).and_then(Value::as_str);
    Ok(format!("PostgreSQL {}", version.unwrap_or("of an unknown version")))
}

#[async_trait]
impl Executor for Database {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let config: Config = config::read(config)?;
        Ok(Done::free(json!(config::unless_cancelled(call, self.ask(call, config)).await?)))
    }
}
