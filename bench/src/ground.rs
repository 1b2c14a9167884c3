//! The stores that are measured: SQLite in a folder, and PostgreSQL where a cluster was given.
//!
//! Invariant: every measurement has a fresh store; databases are made in the cluster that the variables name, and nowhere
//! else.
use std::fmt;

use entities::{Store, StoreOptions};
use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;

/// The roles of a cluster, as `scripts/with-services` says them.
const ADMIN: &str = "WEIR_TEST_POSTGRES_ADMIN_URL";
const OWNER: &str = "WEIR_TEST_POSTGRES_OWNER_URL";
const LOGIN: &str = "WEIR_TEST_POSTGRES_URL";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    Sqlite,
    Postgres,
}

impl fmt::Display for Ground {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if *self == Self::Sqlite { "SQLite" } else { "PostgreSQL" })
    }
}

/// A fresh store's addresses. What it needs on the disk goes with it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) url: String,
    /// Who migrates; on SQLite the same.
    pub(crate) owner_url: String,
    pub(crate) folder: TempDir,
}

impl Ground {
    /// SQLite always, PostgreSQL where there is one.
    pub(crate) fn all() -> Vec<Self> {
        let given = [ADMIN, OWNER, LOGIN].iter().all(|name| std::env::var_os(name).is_some());
        if given { vec![Self::Sqlite, Self::Postgres] } else { vec![Self::Sqlite] }
    }

    pub(crate) async fn fresh(self) -> Result<Site, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        if self == Self::Sqlite {
            // Where the program keeps it too.
            std::fs::create_dir(folder.path().join("data")).map_err(|error| error.to_string())?;
            let url = format!("sqlite://{}", folder.path().join("data/weir.db").display());
            return Ok(Site { owner_url: url.clone(), url, folder });
        }
        let name = format!("weir_bench_{:x}", rand_name());
        let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
        let admin = sea_orm::Database::connect(variable(ADMIN)?).await.map_err(|error| error.to_string())?;
        for statement in [
            format!("CREATE DATABASE {name} OWNER weir_owner"),
            format!("GRANT CONNECT ON DATABASE {name} TO weir_login"),
        ] {
            admin.execute_unprepared(&statement).await.map_err(|error| format!("{statement}: {error}"))?;
        }
        let named = |url: String| url.rsplit_once('/').map(|(cluster, _)| format!("{cluster}/{name}"));
        let named = |url: String| named(url).ok_or_else(|| "an address without a database".to_owned());
        Ok(Site { url: named(variable(LOGIN)?)?, owner_url: named(variable(OWNER)?)?, folder })
    }
}

impl Site {
    /// The store itself, past the program. On SQLite only while the program is not running.
    pub(crate) async fn store(&self) -> Result<Store, String> {
        Store::connect(&self.url, &StoreOptions::default()).await.map_err(|error| error.to_string())
    }

    pub(crate) async fn migrate(&self) -> Result<(), String> {
        let login = self.url.starts_with("postgres").then_some("weir_login");
        let url = if login.is_none() { format!("{}?mode=rwc", self.owner_url) } else { self.owner_url.clone() };
        migration::migrate(&url, login).await.map_err(|error| error.to_string())
    }
}

/// Not used before in this cluster.
fn rand_name() -> u128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos()) ^ (u128::from(std::process::id()) << 64)
}
