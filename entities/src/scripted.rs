//! What is written of runs on SQLite, as scripts that are made ready by whoever asks, because the one writer is what everybody
//! waits for. Many share a trip to the database's thread: each trip wakes two threads up, which costs more than the rows do.
//!
//! Invariant: of what shares a trip, all is kept or nothing; then each is tried alone, so that it is kept or refused for its
//! own sake.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, Statement, Value};
use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::run_update::RunUpdate;
use crate::whole_run::{self, WholeRun};

/// Ends a script unless the statement before it changed one row. What is read as JSON depends on that statement, so that
/// nobody reads it beforehand.
const ONE_ROW: &str = "SELECT json(CASE changes() WHEN 1 THEN '1' ELSE 'stale' END);";

/// What is written of one run.
pub(crate) enum Work {
    New(Box<WholeRun>),
    Update(RunUpdate),
}

/// Work on its way to the writer.
pub(crate) struct Scripted {
    work: Work,
    script: String,
    /// Taken by the first try.
    values: Vec<Value>,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

impl Scripted {
    pub(crate) fn new(work: Work, answer: oneshot::Sender<Result<(), StoreError>>) -> Self {
        let (script, values) = work.script();
        Self { work, script, values, answer }
    }

    /// Whoever asked may be gone; what was kept stands all the same.
    pub(crate) fn answer(self, result: Result<(), StoreError>) {
        let _ = self.answer.send(result);
    }

    /// In a transaction that is open, by itself.
    pub(crate) async fn alone(&self, connection: &impl ConnectionTrait) -> Result<(), StoreError> {
        let (script, values) = match &self.work {
            Work::New(run) => whole_run::script(run),
            Work::Update(update) => {
                let (fence, values) = update.fence();
                if execute(connection, fence, values).await?.rows_affected() != 1 {
                    return Err(StoreError::Stale);
                }
                update.rest()
            }
        };
        if !script.is_empty() {
            execute(connection, script, values).await?;
        }
        Ok(())
    }
}

impl Work {
    fn script(&self) -> (String, Vec<Value>) {
        match self {
            Self::New(run) => whole_run::script(run),
            Self::Update(update) => {
                let (mut script, mut values) = update.fence();
                let (rest, mut of_rest) = update.rest();
                script.push_str(ONE_ROW);
                script.push_str(&rest);
                values.append(&mut of_rest);
                (script, values)
            }
        }
    }
}

/// Works that one trip to the database's thread takes.
pub(crate) const RUNS_A_TRIP: usize = 16;
/// A trip's text is made of as many of one kind. A prepared text holds all of its statements, up to 50 KB a run, and with any
/// number of any kinds there would be no end of texts.
const SIZES: [usize; 5] = [RUNS_A_TRIP, 8, 4, 2, 1];

/// In any order, in trips whose texts are often the same.
fn in_trips(works: &mut [Scripted]) -> Vec<&mut [Scripted]> {
    works.sort_by(|one, other| (one.script.len(), &one.script).cmp(&(other.script.len(), &other.script)));
    let mut trips = Vec::new();
    for mut same in works.chunk_by_mut(|one, other| one.script == other.script) {
        while let Some(size) = SIZES.into_iter().find(|size| *size <= same.len()) {
            let (trip, rest) = std::mem::take(&mut same).split_at_mut(size);
            trips.push(trip);
            same = rest;
        }
    }
    trips
}

/// All of them, in as few trips as their texts allow, between `begin` and `end`.
pub(crate) async fn together(
    connection: &impl ConnectionTrait,
    begin: &str,
    works: &mut [Scripted],
    end: &str,
) -> Result<(), DbErr> {
    let trips = in_trips(works);
    let last = trips.len().saturating_sub(1);
    for (index, works) in trips.into_iter().enumerate() {
        let before = if index == 0 { begin } else { "" };
        let after = if index == last { end } else { "" };
        trip(connection, before, works, after).await?;
    }
    Ok(())
}

/// One trip with all of these, between `before` and `after`.
async fn trip(
    connection: &impl ConnectionTrait,
    before: &str,
    works: &mut [Scripted],
    after: &str,
) -> Result<(), DbErr> {
    let (mut script, mut values) = (before.to_owned(), Vec::new());
    for work in works {
        script.push_str(&work.script);
        values.append(&mut work.values);
    }
    script.push_str(after);
    execute(connection, script, values).await.map(drop)
}

async fn execute(connection: &impl ConnectionTrait, script: String, values: Vec<Value>) -> Result<ExecResult, DbErr> {
    connection.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, script, values)).await
}
