//! What a statement goes through: a pool or a running transaction, with the wall between tenants in front.
//!
//! Invariant: private to this crate. A unit whose statement failed executes no other (as PostgreSQL does it), a unit that
//! is over executes none, and in suites a statement on a tenant table that does not carry the bound tenant fails.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use domain::TenantId;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    Value,
};

use crate::error::UNSCOPED;

/// Tables whose rows belong to one tenant.
const TENANT_TABLES: &[&str] = &[
    "memberships",
    "api_keys",
    "secrets",
    "connections",
    "flows",
    "versions",
    "channels",
    "blobs",
    "files",
    "runs",
    "steps",
    "items",
    "attempts",
    "appends",
    "run_words",
    "idempotency_keys",
    "ledger",
    "audit",
    "experiments",
    "feedback",
    "slots",
    "run_inbox",
    "approvals",
    "step_cache",
    "run_accounts",
    "kept_values",
    "tenants",
];

#[derive(Debug)]
pub(crate) enum Link {
    Pool(DatabaseConnection),
    /// Owned: a read's own transaction, rolled back when it is dropped.
    Read(Box<DatabaseTransaction>),
    /// Weak: a unit that somebody keeps after its closure ended must not hold the transaction open.
    Write(Weak<DatabaseTransaction>),
}

/// Shared between a unit and whoever runs it.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: AtomicBool,
    failed: AtomicBool,
    /// What other processes hear, if the unit is kept.
    notices: Mutex<Vec<String>>,
}

impl Gate {
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(crate) fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What looks at each statement's text, where somebody is to be told of it.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    heard: Mutex<BTreeSet<String>>,
}

impl Tap {
    /// Lists of values make texts without end; this many are enough to look at.
    const MOST: usize = 5_000;

    fn hear(&self, sql: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() < Self::MOST && !heard.contains(sql) {
            heard.insert(sql.to_owned());
        }
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    backend: DbBackend,
    link: Link,
    bound: Option<TenantId>,
    tap: Option<Arc<Tap>>,
    gate: Option<Arc<Gate>>,
}

impl Connection {
    pub(crate) fn new(backend: DbBackend, link: Link, bound: Option<TenantId>, tap: Option<Arc<Tap>>) -> Self {
        Self { backend, link, bound, tap, gate: None }
    }

    pub(crate) fn gated(mut self, gate: Arc<Gate>) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Other processes are told once the unit is kept; where one process has the store, there is nobody to tell.
    pub(crate) fn announce(&self, notice: &str) {
        if let (DbBackend::Postgres, Some(gate)) = (self.backend, &self.gate) {
            gate.notices.lock().unwrap_or_else(PoisonError::into_inner).push(notice.to_owned());
        }
    }

    fn check(&self, statement: &Statement) -> Result<(), DbErr> {
        let Some(tap) = &self.tap else { return Ok(()) };
        tap.hear(&statement.sql);
        let Some(tenant) = self.bound else { return Ok(()) };
        let Some(table) = TENANT_TABLES.iter().find(|table| names_table(&statement.sql, table)) else { return Ok(()) };
        let carries = statement.values.as_ref().is_some_and(|values| {
            values.0.iter().any(|value| matches!(value, Value::Uuid(Some(id)) if *id == tenant.uuid()))
        });
        if carries { Ok(()) } else { Err(DbErr::Custom(format!("{UNSCOPED}{table}"))) }
    }

    fn enter(&self) -> Result<(), DbErr> {
        match &self.gate {
            Some(gate) if gate.closed.load(Ordering::Acquire) => {
                Err(DbErr::Custom("the unit of work is over".to_owned()))
            }
            Some(gate) if gate.has_failed() => {
                Err(DbErr::Custom("an earlier statement of this unit of work failed".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn leave<T>(&self, result: Result<T, DbErr>) -> Result<T, DbErr> {
        if let (Err(_), Some(gate)) = (&result, &self.gate) {
            gate.failed.store(true, Ordering::Release);
        }
        result
    }
}

fn names_table(sql: &str, table: &str) -> bool {
    sql.match_indices(table).any(|(at, _)| {
        let before = sql[..at].chars().next_back();
        let after = sql[at + table.len()..].chars().next();
        matches!(before, Some('"' | ' ')) && !matches!(after, Some('a'..='z' | '_' | '0'..='9'))
    })
}

macro_rules! pass {
    ($self:ident, $link:ident => $call:expr) => {{
        $self.enter()?;
        let result = match &$self.link {
            Link::Pool($link) => $call.await,
            Link::Read(transaction) => {
                let $link = transaction.as_ref();
                $call.await
            }
            Link::Write(transaction) => match transaction.upgrade() {
                Some(transaction) => {
                    let $link = transaction.as_ref();
                    $call.await
                }
                None => Err(DbErr::Custom("the unit of work is over".to_owned())),
            },
        };
        $self.leave(result)
    }};
}

#[async_trait::async_trait]
impl ConnectionTrait for Connection {
    fn get_database_backend(&self) -> DbBackend {
        self.backend
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.leave(self.check(&statement))?;
        pass!(self, link => link.execute_raw(statement))
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        pass!(self, link => link.execute_unprepared(sql))
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.leave(self.check(&statement))?;
        pass!(self, link => link.query_one_raw(statement))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.leave(self.check(&statement))?;
        pass!(self, link => link.query_all_raw(statement))
    }
}
