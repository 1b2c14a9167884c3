//! The PostgreSQL roles and the second wall between tenants: forced row level security.
//!
//! Invariant: `weir_app` reaches rows of the tenant in `weir.tenant` only; `weir_system` crosses tenants, but only on the
//! tables and with the verbs listed beside its policies. Neither can log in, own a table or bypass a policy.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// Creates both roles where they are missing (roles belong to the whole cluster, so another database may have made
/// them) and makes owner and login members, so that they can `SET ROLE`.
pub(crate) async fn create(connection: &impl ConnectionTrait, login: Option<&str>) -> Result<(), DbErr> {
    for role in ["weir_app", "weir_system"] {
        connection
            .execute_unprepared(&format!(
                "DO $$ BEGIN
                   IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} NOLOGIN; END IF;
                 EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
            ))
            .await?;
        for member in std::iter::once("CURRENT_USER".to_owned()).chain(login.map(quoted)) {
            connection
                .execute_unprepared(&format!(
                    "DO $$ BEGIN
                       IF NOT pg_has_role({name}, '{role}', 'MEMBER') THEN GRANT {role} TO {member}; END IF;
                     EXCEPTION WHEN unique_violation THEN NULL; END $$",
                    name = if member == "CURRENT_USER" { "current_user".to_owned() } else { literal(&member) },
                ))
                .await?;
        }
    }
    connection.execute_unprepared("GRANT USAGE ON SCHEMA public TO weir_app, weir_system").await?;
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(quoted_name: &str) -> String {
    let name = quoted_name.trim_matches('"').replace("\"\"", "\"");
    format!("'{}'", name.replace('\'', "''"))
}

/// Puts a tenant table behind the wall. `key` is the column that names the tenant.
pub(crate) async fn fence(manager: &SchemaManager<'_>, table: &str, key: &str, verbs: &str) -> Result<(), DbErr> {
    if manager.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    // NULLIF: after a first `SET LOCAL` the setting stays as an empty string in the session, and casting that would be
    // an error instead of no rows.
    let tenant = "NULLIF(current_setting('weir.tenant', true), '')::uuid";
    for statement in [
        format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"),
        format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY"),
        format!(
            "CREATE POLICY {table}_of_tenant ON {table} TO weir_app USING ({key} = {tenant}) WITH CHECK ({key} = {tenant})"
        ),
        format!("GRANT {verbs} ON {table} TO weir_app"),
    ] {
        manager.get_connection().execute_unprepared(&statement).await?;
    }
    Ok(())
}

/// Lets the system role reach a table across tenants with the given verbs.
pub(crate) async fn open_to_system(manager: &SchemaManager<'_>, table: &str, verbs: &str) -> Result<(), DbErr> {
    if manager.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    for statement in [
        format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"),
        format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY"),
        format!("CREATE POLICY {table}_of_system ON {table} TO weir_system USING (true) WITH CHECK (true)"),
        format!("GRANT {verbs} ON {table} TO weir_system"),
    ] {
        manager.get_connection().execute_unprepared(&statement).await?;
    }
    Ok(())
}
