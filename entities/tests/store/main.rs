//! The store's promises, on SQLite always and on PostgreSQL when `WEIR_TEST_POSTGRES_OWNER_URL` names a role that may create
//! databases and roles.
#![expect(clippy::unwrap_used, reason = "a suite fails loudly")]

mod bench;
mod notices;
mod older;
mod plans;
mod run_updates;
mod system;
mod units;
mod walls;
mod whole_runs;
