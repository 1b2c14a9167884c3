//! The durable half of the engine, on SQLite always and on PostgreSQL when `WEIR_TEST_POSTGRES_OWNER_URL` names a role that may
//! create databases and roles.

mod durability;
mod stage;
mod starting;
mod watching;
