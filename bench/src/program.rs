//! The built program as a process: how fast it starts, what it weighs, and a tenant with a flow of one step to run.
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::Request;
use crate::shapes;

/// `weir serve` on a fresh embedded store, `synchronous=FULL`.
#[derive(Debug)]
pub(crate) struct Weir {
    child: Child,
    address: String,
    key: String,
    _folder: TempDir,
}

/// The bare handler, in a process of its own as the program is.
#[derive(Debug)]
pub(crate) struct Bare {
    _child: Child,
    address: String,
}

impl Weir {
    pub(crate) async fn start(program: &Path) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (child, address) = serve(program, folder.path()).await?;
        call(program, folder.path(), &["tenant", "create", "bench", "--owner", "bench@example.test", "--json"]).await?;
        for shape in shapes::all() {
            let flow = folder.path().join(shape.name);
            std::fs::create_dir(&flow).map_err(|error| error.to_string())?;
            std::fs::write(flow.join("flow.yaml"), &shape.yaml).map_err(|error| error.to_string())?;
            call(program, folder.path(), &["flow", "import", "--tenant", "bench", &flow.to_string_lossy(), "--json"])
                .await?;
        }
        let made =
            call(program, folder.path(), &["key", "create", "--tenant", "bench", "--name", "bench", "--json"]).await?;
        let made: serde_json::Value = serde_json::from_str(&made).map_err(|error| format!("{error}: {made}"))?;
        let key = made["key"].as_str().ok_or("`weir key create --json` has no key")?.to_owned();
        Ok(Self { child, address, key, _folder: folder })
    }

    pub(crate) fn request(&self, flow: &str, body: &str) -> Request {
        Request::post(&self.address, &format!("/api/v1/flows/{flow}/run"), Some(&self.key), body)
    }

    /// Resident memory now, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64, String> {
        let pid = self.child.id().ok_or("the program has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| error.to_string())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc")?;
        line.split_whitespace().next().and_then(|text| text.parse().ok()).ok_or_else(|| format!("VmRSS is `{line}`"))
    }
}

impl Bare {
    pub(crate) async fn start() -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(own);
        command.arg("bare").stdin(Stdio::piped());
        let (child, address) = greeted(command).await?;
        Ok(Self { _child: child, address })
    }

    pub(crate) fn request(&self) -> Request {
        Request::post(&self.address, "/run", None, r#"{"number":7}"#)
    }
}

/// From spawning the program on a store that is already made to its first answer, in milliseconds.
pub(crate) async fn cold_starts(program: &Path, times: usize) -> Result<Vec<f64>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut starts = Vec::with_capacity(times);
    for round in 0..=times {
        let began = Instant::now();
        let (mut child, address) = serve(program, folder.path()).await?;
        healthy(&address).await?;
        // The first round makes the store and is not counted.
        if round > 0 {
            starts.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
        child.kill().await.map_err(|error| error.to_string())?;
    }
    Ok(starts)
}

async fn healthy(address: &str) -> Result<(), String> {
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let request = format!("GET /health/ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(|error| error.to_string())?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(format!("not ready: {answer}")) }
}

async fn serve(program: &Path, folder: &Path) -> Result<(Child, String), String> {
    let mut command = base(program, folder);
    command.arg("serve").stdin(Stdio::null()).stderr(Stdio::null());
    greeted(command).await
}

async fn greeted(mut command: Command) -> Result<(Child, String), String> {
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().map_err(|error| error.to_string())?;
    let stdout = child.stdout.take().ok_or("stdout was asked for")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line())
        .await
        .map_err(|_| "no first line within a minute".to_owned())?
        .map_err(|error| error.to_string())?
        .ok_or("the program ended before it said where it listens")?;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let address = line.strip_prefix("listening on http://").ok_or_else(|| format!("unexpected first line: {line}"))?;
    Ok((child, address.trim_end_matches('/').to_owned()))
}

async fn call(program: &Path, folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = base(program, folder).args(arguments).output().await.map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("`weir {}`: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
    }
}

fn base(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("WEIR_DATA", folder.join("data"))
        .env("WEIR_ADDR", "127.0.0.1:0")
        .env("WEIR_LOG", "warn");
    command
}
