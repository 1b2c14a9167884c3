//! A started program with a store of its own, and the tenants in it.
use crate::{
    cluster::Cluster,
    console::Owner,
    key::ApiKey,
    program::{CommandAnswer, Program, Running},
    store::{Database, Store},
};
use std::path::Path;
use tempfile::TempDir;

/// One program on one store. Everything goes when the test ends.
#[derive(Debug)]
pub struct World {
    store: Store,
    program: Program,
    running: Option<Running>,
    database: Option<Database>,
    folder: TempDir,
}

/// A tenant made by the operator's command, with the link that makes its owner.
#[derive(Debug, Clone)]
pub struct Tenant {
    pub id: String,
    pub name: String,
    pub owner_email: String,
    pub owner_path: String,
    program: Program,
    url: String,
}

impl World {
    /// A fresh store and `weir serve` on it. Flows may reach this machine's own loopback, where suites put upstreams.
    pub async fn start(store: Store) -> Self {
        let mut world = Self::prepare(store).await;
        world.serve().await;
        world
    }

    /// A fresh store without a server on it, for commands that need none and for settings of its own (`configure`).
    pub async fn prepare(store: Store) -> Self {
        match store {
            Store::Sqlite => Self::prepare_with(store, None),
            Store::Postgres => Self::prepare_with(store, Some(Database::create().await)),
        }
    }

    /// A fresh database in a cluster of the test's own, without a server on it.
    pub async fn prepare_in(cluster: &Cluster) -> Self {
        Self::prepare_with(Store::Postgres, Some(cluster.database().await))
    }

    fn prepare_with(store: Store, database: Option<Database>) -> Self {
        let folder = tempfile::Builder::new().prefix("weir-test-").tempdir().expect("a temporary folder can be made");
        let mut program =
            Program::in_folder(folder.path()).with("WEIR_ADDR", "127.0.0.1:0").with("WEIR_EGRESS_ALLOW", "127.0.0.0/8");
        if let Some(database) = &database {
            program = program.with("DATABASE_URL", &database.url).with("WEIR_MIGRATE_URL", &database.owner_url);
        }
        Self { store, program, running: None, database, folder }
    }

    /// Sets a variable of the program's environment, from the next start or call on.
    #[must_use]
    pub fn configure(mut self, name: &str, value: impl Into<String>) -> Self {
        self.program = self.program.with(name, value);
        self
    }

    /// Starts `weir serve`. Also used after `kill` and `stop`; the address is a new one then.
    pub async fn serve(&mut self) {
        self.serve_with(&[]).await;
    }

    /// As `serve`, with further arguments.
    pub async fn serve_with(&mut self, more: &[&str]) {
        assert!(self.running.is_none(), "the server of this world runs already");
        let arguments = [&["serve", "--json"], more].concat();
        self.running = Some(self.program.start(&arguments).await);
    }

    /// A worker on this world's store, as a process of its own.
    pub async fn worker(&self) -> Running {
        self.program.start(&["work", "--json"]).await
    }

    pub fn store(&self) -> Store {
        self.store
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program with this world's store, for further processes on it.
    pub fn program(&self) -> &Program {
        &self.program
    }

    pub fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    #[track_caller]
    pub fn running(&self) -> &Running {
        self.running.as_ref().expect("the server of this world was started")
    }

    #[track_caller]
    pub fn url(&self) -> String {
        self.running().said("url").trim_end_matches('/').to_owned()
    }

    /// `kill -9` of the server.
    pub async fn kill(&mut self) {
        self.running.take().expect("the server of this world was started").kill().await;
    }

    /// SIGTERM and the end of the server.
    pub async fn stop(&mut self) -> std::process::ExitStatus {
        self.running.take().expect("the server of this world was started").stop().await
    }

    /// A command of the program on this world's store.
    pub async fn weir(&self, arguments: &[&str]) -> CommandAnswer {
        self.program.call(arguments).await
    }

    pub fn stranger(&self) -> ApiKey {
        ApiKey::stranger(&self.url())
    }

    /// The first owner, by the link that a new store's server prints.
    pub async fn first_owner(&self) -> Owner {
        Owner::by_link(self.running().said("owner_link"), "first@example.test", Some("first")).await
    }

    /// A tenant by `weir tenant create`; its owner is `owner@NAME.test`.
    pub async fn tenant(&self, name: &str) -> Tenant {
        let owner_email = format!("owner@{name}.test");
        let answer =
            self.weir(&["tenant", "create", name, "--owner", &owner_email, "--json"]).await.expect_success().json();
        let text = |pointer: &str| {
            let found = answer.pointer(pointer).and_then(|value| value.as_str());
            found.unwrap_or_else(|| panic!("`weir tenant create --json` has no {pointer}: {answer}")).to_owned()
        };
        Tenant {
            id: text("/tenant/id"),
            name: text("/tenant/name"),
            owner_path: text("/owner_path"),
            owner_email,
            program: self.program.clone(),
            url: self.url(),
        }
    }
}

impl Tenant {
    /// A key by `weir key create`; no scopes means all that its maker may.
    pub async fn key(&self, scopes: &[&str]) -> ApiKey {
        let mut arguments = vec!["key", "create", "--tenant", &self.name, "--name", "suite", "--json"];
        for scope in scopes {
            arguments.extend(["--scope", scope]);
        }
        let answer = self.program.call(&arguments).await.expect_success().json();
        let key = answer["key"].as_str().unwrap_or_else(|| panic!("`weir key create --json` has no key: {answer}"));
        ApiKey::new(&self.url, key)
    }

    /// Another member, by `weir member add`, in a browser without scripts.
    pub async fn member(&self, email: &str, role: &str) -> Owner {
        let arguments = ["member", "add", email, "--tenant", &self.name, "--role", role, "--json"];
        let answer = self.program.call(&arguments).await.expect_success().json();
        let path = answer["path"].as_str().unwrap_or_else(|| panic!("`weir member add --json` has no path: {answer}"));
        Owner::by_link(&format!("{}{path}", self.url), email, None).await
    }

    /// The owner in a browser without scripts: the link is used, a password set, a session begun.
    pub async fn owner(&self) -> Owner {
        Owner::by_link(&format!("{}{}", self.url, self.owner_path), &self.owner_email, None).await
    }
}
