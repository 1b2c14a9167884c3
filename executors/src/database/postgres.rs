//! A PostgreSQL server: one connection for one query, in one transaction.
//!
//! Invariant: the server's own words about a query are shown, its address and credentials are not.

use std::time::Duration;

use domain::{Failure, FailureKind};
use egress::Url;
use futures_util::{StreamExt, pin_mut};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Error, NoTls};

use super::secure::Connector;
use super::values::{Bound, Cell};
use super::{Output, Query, Rows};
use crate::config::{flow_fault, input_fault};
use crate::outgoing;

const PORT: u16 = 5432;
const LONGEST: Duration = Duration::from_secs(600);

/// Where a server is and who asks.
pub(super) struct Address {
    host: String,
    port: u16,
    config: Config,
    secure: SslMode,
}

impl Address {
    /// Reads `postgres://user@host:5432/database?sslmode=disable`. A connection keeps its password apart.
    pub(super) fn new(url: &str, password: Option<String>) -> Result<Self, Failure> {
        let invalid = || {
            input_fault(
                "url_invalid",
                "The database's address must be like postgres://user:password@host:5432/database.",
            )
        };
        let url = Url::parse(url.trim()).map_err(|_| invalid())?;
        if !matches!(url.scheme(), "postgres" | "postgresql") || url.username().is_empty() {
            return Err(invalid());
        }
        let decoded = |text: &str| {
            // As the value of a form's field, in which these two mean something else.
            let field = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
            let first = url::form_urlencoded::parse(field.as_bytes()).next();
            first.map_or_else(String::new, |(_, value)| value.into_owned())
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(invalid)?.to_owned();
        let database = decoded(url.path().trim_start_matches('/'));
        let mut config = Config::new();
        config.user(decoded(url.username())).application_name("weir");
        if !database.is_empty() {
            config.dbname(database);
        }
        if let Some(password) = password.or_else(|| url.password().map(decoded)) {
            config.password(password);
        }
        let mode = url.query_pairs().find(|(name, _)| name == "sslmode").map(|(_, value)| value.into_owned());
        let secure = match mode.as_deref() {
            Some("disable") => SslMode::Disable,
            Some("prefer" | "allow") => SslMode::Prefer,
            _ => SslMode::Require,
        };
        config.ssl_mode(secure);
        Ok(Self { host, port: url.port().unwrap_or(PORT), config, secure })
    }
}

pub(super) async fn ask(
    egress: &egress::Client,
    deadline: Option<Instant>,
    address: &Address,
    query: &Query,
) -> Result<Output, Failure> {
    let stream = egress.connect(&address.host, address.port).await.map_err(|error| outgoing::failure(&error))?;
    if address.secure == SslMode::Disable {
        let (client, connection) =
            address.config.connect_raw(stream, NoTls).await.map_err(|error| unconnected(&error))?;
        return talk(deadline, &client, connection, query).await;
    }
    let tls = Connector::new(&address.host).map_err(|error| {
        tracing::error!(%error, "TLS cannot be set up for a database");
        Failure::new(FailureKind::Tls, "tls", "No secure connection to the database can be made.")
    })?;
    let (client, connection) = address.config.connect_raw(stream, tls).await.map_err(|error| unconnected(&error))?;
    talk(deadline, &client, connection, query).await
}

/// Drives the connection while the query is asked; both end together.
async fn talk<S, T>(
    deadline: Option<Instant>,
    client: &Client,
    connection: tokio_postgres::Connection<S, T>,
    query: &Query,
) -> Result<Output, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let asked = answer(deadline, client, query);
    pin_mut!(asked, connection);
    tokio::select! {
        biased;
        output = &mut asked => output,
        ended = &mut connection => match ended {
            // What the query was told before the end is still to be read.
            Ok(()) => asked.await,
            Err(error) => Err(refused(&error)),
        },
    }
}

async fn answer(deadline: Option<Instant>, client: &Client, query: &Query) -> Result<Output, Failure> {
    let fault = |error: Error| refused(&error);
    let left = deadline.map_or(LONGEST, |deadline| deadline.saturating_duration_since(Instant::now())).min(LONGEST);
    let access = if query.write { "READ WRITE" } else { "READ ONLY" };
    // The server gives up by itself when we are gone.
    let begin = format!("BEGIN {access}; SET LOCAL statement_timeout = {}", left.as_millis().max(1));
    client.batch_execute(&begin).await.map_err(fault)?;
    let output = rows(client, query).await?;
    let end = if query.write { "COMMIT" } else { "ROLLBACK" };
    client.batch_execute(end).await.map_err(|error| committed(&error, query.write))?;
    Ok(output)
}

async fn rows(client: &Client, query: &Query) -> Result<Output, Failure> {
    let fault = |error: Error| refused(&error);
    let statement = client.prepare(&query.text).await.map_err(fault)?;
    let wanted = statement.params().len();
    if wanted != query.parameters.len() {
        let given = query.parameters.len();
        let message = format!("The query takes {wanted} values and `parameters` has {given}.");
        return Err(flow_fault("query_parameters", message));
    }
    let bound: Vec<Bound<'_>> = query.parameters.iter().map(Bound).collect();
    let stream = client.query_raw(&statement, &bound).await.map_err(fault)?;
    pin_mut!(stream);
    let columns = statement.columns();
    let mut rows = Rows::new(columns.iter().map(|column| column.name().to_owned()).collect(), query.max_rows)?;
    while let Some(row) = stream.next().await {
        let row = row.map_err(fault)?;
        let values = (0..columns.len()).map(|index| row.try_get::<_, Cell>(index).map(|cell| cell.0));
        let values = values.collect::<Result<Vec<Value>, Error>>().map_err(|error| unread(&error))?;
        if !rows.push(values)? {
            break;
        }
    }
    let given = rows.output.rows.len() as u64;
    rows.output.affected = stream.rows_affected().unwrap_or(given);
    Ok(rows.output)
}

fn unread(error: &Error) -> Failure {
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    flow_fault("query_type", format!("{cause}. Cast the column in the query: `column::text`."))
}

/// No session was begun: nothing can have happened.
fn unconnected(error: &Error) -> Failure {
    if error.as_db_error().is_some() {
        return refused(error);
    }
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    if cause.contains("does not support TLS") {
        let message = "The database does not offer a secure connection. If that is fine where it stands, \
                       add `?sslmode=disable` to its address.";
        return Failure::new(FailureKind::Tls, "tls", message).retryable(false);
    }
    tracing::debug!(%cause, "no connection to a tenant's database");
    Failure::new(FailureKind::Connect, "connect", "No connection to the database could be made.")
}

/// An error in the middle of the end: whether it was kept, nobody knows.
fn committed(error: &Error, write: bool) -> Failure {
    if write && error.as_db_error().is_none() {
        let message = "The connection broke off while the change was made final.";
        return Failure::new(FailureKind::Unknown, "connection_cut", message);
    }
    refused(error)
}

fn refused(error: &Error) -> Failure {
    let Some(said) = error.as_db_error() else {
        tracing::debug!(%error, "a tenant's database broke off");
        return Failure::new(FailureKind::Provider, "connection_cut", "The connection to the database broke off.");
    };
    let code = said.code().code();
    let message = format!("The database refused: {} ({code}).", said.message().trim_end_matches('.'));
    match code.get(..2) {
        // Connection trouble, no room, shutting down.
        Some("08" | "53") => Failure::new(FailureKind::Overloaded, "database_unavailable", message),
        Some("57") if code == "57014" => Failure::new(FailureKind::Timeout, "query_timeout", message),
        Some("57") => Failure::new(FailureKind::Overloaded, "database_unavailable", message),
        // Serialization and deadlocks: the transaction was rolled back as a whole.
        Some("40") => Failure::new(FailureKind::Overloaded, "database_conflict", message),
        Some("25") if code == "25006" => {
            let message = "The query changes data, and the step does not say that it may. Add `write: true`.";
            flow_fault("query_writes", message)
        }
        Some("28") => Failure::new(FailureKind::Rejected, "database_login", message),
        Some("42") if code == "42501" => Failure::new(FailureKind::Rejected, "query_refused", message),
        Some("42") => flow_fault("query_invalid", message),
        _ => Failure::new(FailureKind::Rejected, "query_refused", message),
    }
}
