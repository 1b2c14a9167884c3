//! Where a program under test keeps its rows: a fresh SQLite folder, or a fresh database in the run's PostgreSQL cluster.
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use std::{
    env,
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// The two stores that every rule must hold on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Sqlite,
    Postgres,
}

/// A test's own PostgreSQL database, dropped when the test ends well. What is left over goes with the cluster.
#[derive(Debug)]
pub struct Database {
    name: String,
    /// What the program connects as: a plain role, as in production.
    pub url: String,
    /// The role that owns the database and runs the migrations.
    pub owner_url: String,
    admin_url: String,
}

impl Database {
    /// In the cluster that the whole test run shares.
    pub async fn create() -> Self {
        let admin = variable("WEIR_TEST_POSTGRES_ADMIN_URL");
        Self::create_by(&admin, &variable("WEIR_TEST_POSTGRES_OWNER_URL"), &variable("WEIR_TEST_POSTGRES_URL")).await
    }

    /// In the cluster that these three roles' addresses name.
    pub(crate) async fn create_by(admin_url: &str, owner_url: &str, url: &str) -> Self {
        let name = fresh_name();
        let admin = connect(admin_url).await;
        execute(&admin, &format!("CREATE DATABASE {name} OWNER weir_owner")).await;
        execute(&admin, &format!("GRANT CONNECT ON DATABASE {name} TO weir_login")).await;
        admin.close().await.expect("the administrator's connection closes");
        Self { url: named(url, &name), owner_url: named(owner_url, &name), admin_url: named(admin_url, &name), name }
    }

    /// A connection that row level security does not bind, for looking at what was stored. Never for arranging state.
    pub async fn inspect(&self) -> DatabaseConnection {
        connect(&self.admin_url).await
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn admin_url(&self) -> &str {
        &self.admin_url
    }
}

/// Not used before in this cluster: tests are processes of their own, and the clock tells a recycled id apart.
fn fresh_name() -> String {
    static CREATED: AtomicU32 = AtomicU32::new(1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_nanos();
    format!("weir_{}_{}_{now:x}", std::process::id(), CREATED.fetch_add(1, Ordering::Relaxed))
}

fn variable(name: &str) -> String {
    env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the suites by `make suites` or under scripts/with-services"))
}

fn named(url: &str, database: &str) -> String {
    let mut url = url::Url::parse(url).expect("the services' script hands on valid addresses");
    url.set_path(database);
    url.into()
}

async fn connect(url: &str) -> DatabaseConnection {
    sea_orm::Database::connect(url).await.unwrap_or_else(|error| panic!("the test cluster does not answer: {error}"))
}

async fn execute(connection: &DatabaseConnection, statement: &str) {
    connection
        .execute_unprepared(statement)
        .await
        .unwrap_or_else(|error| panic!("the test cluster refused `{statement}`: {error}"));
}
