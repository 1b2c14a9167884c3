//! Runs that are written for the first time, and whole: rows and nothing else, so that many can share their statements.
//!
//! Invariant: a run is kept whole or not at all; one that cannot be kept takes none of its neighbours with it.

use domain::TenantId;
use sea_orm::{ConnectionTrait, DbErr, Value};
use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::{append, attempt, bulk, item, ledger, run, run_word, step};

/// Rows of one run: all there are of one that is not in the store yet.
#[derive(Debug, Clone, PartialEq)]
pub struct WholeRun {
    pub run: run::Model,
    pub steps: Vec<step::Model>,
    pub attempts: Vec<attempt::Model>,
    pub items: Vec<item::Model>,
    pub appends: Vec<append::Model>,
    pub ledger: Vec<ledger::Model>,
    pub words: Vec<run_word::Model>,
    /// What other processes hear once it is kept.
    pub notice: String,
}

/// A run on its way into the store, with whoever waits for it.
pub(crate) struct Waiting {
    pub(crate) tenant: TenantId,
    pub(crate) run: Box<WholeRun>,
    pub(crate) answer: oneshot::Sender<Result<(), StoreError>>,
}

impl WholeRun {
    /// The run's row alone.
    #[must_use]
    pub fn of(run: run::Model, notice: String) -> Self {
        let (steps, attempts, items, appends) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (ledger, words) = (Vec::new(), Vec::new());
        Self { run, steps, attempts, items, appends, ledger, words, notice }
    }

    /// Every row is the tenant's own, and the run's.
    pub(crate) fn check(&self, tenant: TenantId) -> Result<(), StoreError> {
        let (tenant, run) = (tenant.uuid(), self.run.id);
        let mut owners = std::iter::once((self.run.tenant_id, run))
            .chain(self.steps.iter().map(|row| (row.tenant_id, row.run_id)))
            .chain(self.attempts.iter().map(|row| (row.tenant_id, row.run_id)))
            .chain(self.items.iter().map(|row| (row.tenant_id, row.run_id)))
            .chain(self.appends.iter().map(|row| (row.tenant_id, row.run_id)))
            .chain(self.ledger.iter().map(|row| (row.tenant_id, row.run_id)))
            .chain(self.words.iter().map(|row| (row.tenant_id, row.run_id)));
        if owners.all(|owner| owner == (tenant, run)) { Ok(()) } else { Err(StoreError::Unscoped("runs".to_owned())) }
    }

    /// In a unit, on either database.
    pub(crate) async fn write(&self, connection: &impl ConnectionTrait) -> Result<(), DbErr> {
        bulk::insert(connection, std::slice::from_ref(&self.run)).await?;
        bulk::insert(connection, &self.steps).await?;
        bulk::insert(connection, &self.attempts).await?;
        bulk::insert(connection, &self.items).await?;
        bulk::insert(connection, &self.appends).await?;
        bulk::insert(connection, &self.ledger).await?;
        bulk::insert(connection, &self.words).await
    }
}

/// Statements that insert this run on SQLite, with their parameters.
pub(crate) fn script(run: &WholeRun) -> (String, Vec<Value>) {
    let (mut script, mut values) = (String::new(), Vec::new());
    bulk::add_to(&mut script, &mut values, std::slice::from_ref(&run.run));
    bulk::add_to(&mut script, &mut values, &run.steps);
    bulk::add_to(&mut script, &mut values, &run.attempts);
    bulk::add_to(&mut script, &mut values, &run.items);
    bulk::add_to(&mut script, &mut values, &run.appends);
    bulk::add_to(&mut script, &mut values, &run.ledger);
    bulk::add_to(&mut script, &mut values, &run.words);
    (script, values)
}

/// On PostgreSQL: the parameters and the text of one statement that inserts the rows of many runs, given as [`records`].
pub(crate) fn of_records() -> (String, String) {
    let inserts = [
        bulk::of_records::<run::Model>(1),
        bulk::of_records::<step::Model>(2),
        bulk::of_records::<attempt::Model>(3),
        bulk::of_records::<item::Model>(4),
        bulk::of_records::<append::Model>(5),
        bulk::of_records::<ledger::Model>(6),
        bulk::of_records::<run_word::Model>(7),
    ];
    let parameters = vec!["json"; inserts.len()].join(", ");
    let kept = inserts.iter().enumerate().map(|(number, insert)| format!("kept_{number} AS ({insert})"));
    let kept: Vec<String> = kept.collect();
    // References between the tables are looked at when all of it is done.
    (parameters, format!("WITH {} SELECT 1", kept.join(", ")))
}

/// The rows of runs, table by table.
pub(crate) fn records(runs: &[&WholeRun]) -> Result<[String; 7], DbErr> {
    fn rows<'a, M: 'a>(runs: &'a [&WholeRun], of: impl Fn(&'a WholeRun) -> &'a [M]) -> impl Iterator<Item = &'a M> {
        runs.iter().flat_map(move |run| of(run).iter())
    }
    Ok([
        bulk::records(runs.iter().map(|run| &run.run))?,
        bulk::records(rows(runs, |run| &run.steps))?,
        bulk::records(rows(runs, |run| &run.attempts))?,
        bulk::records(rows(runs, |run| &run.items))?,
        bulk::records(rows(runs, |run| &run.appends))?,
        bulk::records(rows(runs, |run| &run.ledger))?,
        bulk::records(rows(runs, |run| &run.words))?,
    ])
}
