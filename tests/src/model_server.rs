//! A model provider that others wrote: aimock, an OpenAI-compatible program from npm, started by each test that asks one.
//!
//! Invariant: what it answers stands in the test; a question without an answer is refused (`--strict`), never made up.
use crate::limits::{self, within};
use serde_json::{Value, json};
use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

const PROGRAM: &str = "@copilotkit/aimock/dist/cli.js";

/// Listens until it is dropped.
#[derive(Debug)]
pub struct ModelServer {
    url: String,
    key: String,
    _process: Child,
    _fixtures: TempDir,
}

impl ModelServer {
    /// Starts it on a free port. It takes calls with this key only; `fixtures` is aimock's list of matches and responses.
    pub async fn start(key: &str, fixtures: &Value) -> Self {
        let program = modules().join(PROGRAM);
        assert!(
            program.exists(),
            "{} is not there: run scripts/setup test, or set WEIR_NODE_MODULES",
            program.display()
        );
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let file = folder.path().join("fixtures.json");
        std::fs::write(&file, json!({"fixtures": fixtures}).to_string()).expect("a file can be written");
        let mut command = Command::new("node");
        command.arg(&program).args(["--port", "0", "--strict", "--chunk-size", "8", "--fixtures"]).arg(&file);
        command.env("AIMOCK_API_KEYS", key).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = command.kill_on_drop(true).spawn().expect("`node` can be started: run scripts/setup test");
        let mut lines = BufReader::new(process.stdout.take().expect("stdout was asked for")).lines();
        let greeting = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((_, address)) = line.split_once("listening on ") {
                    return address.trim().to_owned();
                }
            }
            panic!("{} ended before it said where it listens", program.display());
        };
        let url = within(limits::START, "the model server's greeting", greeting).await;
        // Its log goes on; an unread pipe would stop it in the end.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { url, key: key.to_owned(), _process: process, _fixtures: folder }
    }

    /// What a connection takes as its `base_url`.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.url)
    }

    /// The chat completions that were asked for so far, and with which status each was answered.
    pub async fn asked(&self) -> Vec<(Value, u64)> {
        let request = crate::key::client().get(format!("{}/__aimock/journal", self.url)).bearer_auth(&self.key);
        let answer = request.send().await.expect("the model server answers").error_for_status();
        let entries: Vec<Value> = answer.expect("it shows its journal").json().await.expect("its journal is a list");
        let read = |entry: &Value| (entry["body"].clone(), entry["response"]["status"].as_u64().unwrap_or_default());
        entries.iter().map(read).collect()
    }
}

/// Where `scripts/setup test` puts npm's packages.
fn modules() -> PathBuf {
    if let Some(modules) = env::var_os("WEIR_NODE_MODULES") {
        return modules.into();
    }
    let user = || {
        let caches = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let caches = caches.unwrap_or_else(|| Path::new(&env::var_os("HOME").unwrap_or_default()).join(".cache"));
        caches.join("weir")
    };
    env::var_os("WEIR_CACHE").map_or_else(user, PathBuf::from).join("node/node_modules")
}
