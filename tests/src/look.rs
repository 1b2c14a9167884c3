//! What a store holds, read past the program: for rules about every row, which no caller could ask for one by one.
//!
//! Invariant: reads alone; state is never arranged here.
use crate::world::World;
use sea_orm::prelude::{DateTimeUtc, Uuid};
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, DbErr, QueryResult, Statement,
    Value as SqlValue,
};
use serde_json::Value;
use std::time::{Duration, SystemTime};

#[derive(Debug, Clone)]
pub struct Look {
    connection: DatabaseConnection,
}

/// How things stand at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Root runs that are not over, without those that wait for a person.
    pub open: u64,
    /// Runs that wait for a person.
    pub parked: u64,
    /// For how long the run that could have been taken up the longest has not been.
    pub overdue: Duration,
}

/// A run's row.
#[derive(Debug, Clone)]
pub struct RunRow {
    pub id: Uuid,
    pub flow: String,
    pub depth: i32,
    pub status: String,
    pub position: i64,
    pub token: i64,
    pub inputs: Value,
    pub error: Value,
}

/// A line of a run's journal.
#[derive(Debug, Clone)]
pub struct Line {
    pub run: Uuid,
    pub position: i64,
    pub kind: String,
    pub step: String,
    pub data: Value,
}

impl Look {
    pub async fn into(world: &World) -> Self {
        let url = match world.database() {
            Some(database) => database.admin_url().to_owned(),
            None => format!("sqlite://{}?mode=ro", world.folder().join("data/weir.db").display()),
        };
        let mut options = ConnectOptions::new(url);
        options.max_connections(2).sqlx_logging(false).acquire_timeout(Duration::from_secs(5));
        let connection = Database::connect(options).await;
        Self { connection: connection.unwrap_or_else(|error| panic!("the store cannot be looked into: {error}")) }
    }

    async fn rows(&self, sql: &str, values: Vec<SqlValue>) -> Result<Vec<QueryResult>, DbErr> {
        let backend = self.connection.get_database_backend();
        self.connection.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await
    }

    /// # Errors
    /// When the store is down.
    pub async fn census(&self) -> Result<Census, DbErr> {
        const SQL: &str = "
            SELECT (SELECT count(*) FROM runs WHERE depth = 0 AND status IN ('queued', 'running', 'waiting')) AS open_runs,
                   (SELECT count(*) FROM runs WHERE status = 'needs_attention') AS parked_runs,
                   (SELECT min(available_at) FROM runs WHERE status IN ('queued', 'running', 'waiting')) AS due_at";
        let now = DateTimeUtc::from(SystemTime::now());
        let rows = self.rows(SQL, Vec::new()).await?;
        let row = rows.first().ok_or_else(|| DbErr::Custom("no census".to_owned()))?;
        let count = |column: &str| Ok::<_, DbErr>(u64::try_from(row.try_get::<i64>("", column)?).unwrap_or_default());
        let due: Option<DateTimeUtc> = row.try_get("", "due_at")?;
        let overdue = due.and_then(|due| (now - due).to_std().ok()).unwrap_or_default();
        Ok(Census { open: count("open_runs")?, parked: count("parked_runs")?, overdue })
    }

    /// Runs that a process of this id holds, by what its leases say.
    ///
    /// # Errors
    /// When the store is down.
    pub async fn held_by(&self, process: u32) -> Result<u64, DbErr> {
        let sql = if self.is_postgres() {
            "SELECT count(*) AS held FROM runs WHERE lease_owner LIKE $1 AND status = 'running'"
        } else {
            "SELECT count(*) AS held FROM runs WHERE lease_owner LIKE ?1 AND status = 'running'"
        };
        let rows = self.rows(sql, vec![format!("worker-{process}-%").into()]).await?;
        let held = rows.first().map(|row| row.try_get::<i64>("", "held")).transpose()?;
        Ok(u64::try_from(held.unwrap_or_default()).unwrap_or_default())
    }

    pub async fn runs(&self) -> Vec<RunRow> {
        let sql =
            "SELECT id, flow_name, depth, status, event_position, fencing_token, inputs, error FROM runs ORDER BY id";
        let rows = self.rows(sql, Vec::new()).await.expect("the runs can be read");
        let read = |row: &QueryResult| {
            let json = |column: &str| {
                let text: Option<String> = row.try_get("", column)?;
                Ok::<_, DbErr>(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null))
            };
            Ok(RunRow {
                id: row.try_get("", "id")?,
                flow: row.try_get("", "flow_name")?,
                depth: row.try_get("", "depth")?,
                status: row.try_get("", "status")?,
                position: row.try_get("", "event_position")?,
                token: row.try_get("", "fencing_token")?,
                inputs: json("inputs")?,
                error: json("error")?,
            })
        };
        rows.iter().map(read).collect::<Result<_, DbErr>>().expect("a run's row can be read")
    }

    /// Every run's journal, in order.
    pub async fn journals(&self) -> Vec<Line> {
        let sql = "SELECT run_id, position, entries FROM appends ORDER BY run_id, position";
        let rows = self.rows(sql, Vec::new()).await.expect("the journals can be read");
        let mut lines = Vec::new();
        for row in &rows {
            let (run, last): (Uuid, i64) = (column(row, "run_id"), column(row, "position"));
            let entries: Vec<Value> =
                serde_json::from_str(&column::<String>(row, "entries")).expect("a list of entries");
            let mut positions = entries.iter().map(|entry| entry["position"].as_i64());
            assert_eq!(positions.next_back().flatten(), Some(last), "an append is found by its last entry");
            lines.extend(entries.into_iter().map(|mut entry| Line {
                run,
                position: entry["position"].as_i64().unwrap_or_default(),
                kind: entry["event"]["type"].as_str().unwrap_or_default().to_owned(),
                step: entry["event"]["step"].as_str().unwrap_or_default().to_owned(),
                data: entry["event"].take(),
            }));
        }
        lines
    }

    /// What SQLite says of its own file: pages, indexes and references. PostgreSQL has no such question.
    pub async fn integrity_faults(&self) -> Vec<String> {
        if self.is_postgres() {
            return Vec::new();
        }
        let checked = self.rows("PRAGMA integrity_check", Vec::new()).await.expect("SQLite checks itself");
        let said = checked.iter().map(|row| row.try_get_by_index::<String>(0).expect("a check says a text"));
        let mut faults: Vec<String> = said.filter(|said| said != "ok").collect();
        let dangling = self.rows("PRAGMA foreign_key_check", Vec::new()).await.expect("SQLite checks its references");
        faults.extend(dangling.iter().map(|row| format!("{row:?} refers to nothing")));
        faults
    }

    pub fn is_postgres(&self) -> bool {
        self.connection.get_database_backend() == DbBackend::Postgres
    }
}

fn column<T: sea_orm::TryGetable>(row: &QueryResult, name: &str) -> T {
    row.try_get("", name).expect("the column is there")
}
