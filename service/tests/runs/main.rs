//! The durable half of the engine, on SQLite always and on PostgreSQL when `WEIR_TEST_POSTGRES_OWNER_URL` names a role that may
//! create databases and roles.
#![expect(clippy::unwrap_used, reason = "a suite's actors say what went wrong by panicking")]

mod acts;
mod children;
mod durability;
mod economy;
mod plans;
mod queue;
mod resting;
mod slots;
mod stage;
mod starting;
mod watching;
