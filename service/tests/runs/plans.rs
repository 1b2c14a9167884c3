//! How SQLite finds the rows of what a test asked: it has no statistics, so that what it chooses for an empty database it
//! chooses for a full one.

use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};

/// Tables that grow with every run, and what statements call them.
const GROWING: [&str; 20] = [
    "following",
    "ready",
    "runs",
    "steps",
    "attempts",
    "items",
    "appends",
    "run_inbox",
    "approvals",
    "slots",
    "files",
    "blobs",
    "ledger",
    "audit",
    "feedback",
    "step_cache",
    "kept_values",
    "run_words",
    "run_accounts",
    "idempotency_keys",
];

/// Fails where a statement reads all rows of a table that grows, or all of a status whoever they belong to.
pub(crate) async fn check(statements: Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/weir.db?mode=rwc", folder.path().display());
    migration::migrate(&url, None).await.unwrap();
    let connection = Database::connect(&url).await.unwrap();
    assert!(!statements.is_empty(), "the store has no tap");
    let mut dear = Vec::new();
    for sql in statements {
        let explain = Statement::from_string(DbBackend::Sqlite, format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = connection.query_all_raw(explain).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
        if plan.iter().any(|line| reads_all(&sql, line)) {
            dear.push(format!("{sql}\n    {}", plan.join("\n    ")));
        }
    }
    assert!(dear.is_empty(), "these cost the more the more runs there were:\n{}", dear.join("\n"));
}

fn reads_all(sql: &str, line: &str) -> bool {
    let table = line.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
    // The first row of an index, and no other.
    let first = ["SCAN runs USING INDEX runs_claimable", "SCAN runs USING INDEX runs_ready"].contains(&line);
    let scans = table.is_some_and(|table| GROWING.contains(&table)) && !(first && sql.contains("LIMIT 1"));
    scans || line.ends_with("runs_status (status=?)")
}
