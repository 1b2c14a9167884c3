//! A PostgreSQL cluster of one test's own, for suites that stop and start it.
//!
//! Invariant: the cluster that the whole test run shares is never stopped by a test; this one ends with its handle.
use crate::{
    limits::{self, within},
    store::Database,
};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};
use tempfile::TempDir;

#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    port: String,
}

/// How a server goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Down {
    /// Connections are cut and the server ends in order.
    Fast,
    /// A crash: the next start recovers from the log.
    Crash,
}

impl Cluster {
    /// Makes and starts one on a free port.
    pub async fn start() -> Self {
        let folder =
            tempfile::Builder::new().prefix("weir-cluster-").tempdir().expect("a temporary folder can be made");
        let path = folder.path().to_string_lossy().into_owned();
        script(&["init", &path]).await;
        let port = script(&["start", &path]).await;
        script(&["roles", &path, &port]).await;
        Self { folder, port }
    }

    /// A fresh database in it.
    pub async fn database(&self) -> Database {
        let of = |role: &str| format!("postgres://{role}:weir@127.0.0.1:{}/postgres", self.port);
        Database::create_by(&of("weir_admin"), &of("weir_owner"), &of("weir_login")).await
    }

    pub async fn stop(&self, down: Down) {
        let mode = if down == Down::Fast { "fast" } else { "immediate" };
        script(&["stop", &self.path(), mode]).await;
    }

    /// At the address that it had before.
    pub async fn start_again(&self) {
        script(&["start", &self.path(), &self.port]).await;
    }

    fn path(&self) -> String {
        self.folder.path().to_string_lossy().into_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // One that is down already says so, and that is fine here.
        let mut command = Command::new(program());
        let _ = command.args(["stop", &self.path(), "immediate"]).stderr(Stdio::null()).status();
    }
}

fn program() -> PathBuf {
    crate::room().join("../scripts/postgres")
}

/// What the script said, without the end of the line.
async fn script(arguments: &[&str]) -> String {
    let mut command = tokio::process::Command::new(program());
    command.args(arguments).stderr(Stdio::inherit());
    let what = format!("the end of `scripts/postgres {}`", arguments.join(" "));
    let output = within(limits::COMMAND, &what, command.output()).await.expect("the script can be started");
    assert!(output.status.success(), "`scripts/postgres {}` failed", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
