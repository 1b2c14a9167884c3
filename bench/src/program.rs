//! The built program as a process: how fast it starts, what it weighs, and a tenant with a flow of one step to run.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::ground::{Ground, Site};
use crate::load::Request;
use crate::shapes::Shape;

/// The tenant whose calls are measured.
pub(crate) const TENANT: &str = "bench";

/// `weir serve` on a fresh store.
#[derive(Debug)]
pub(crate) struct Weir {
    program: PathBuf,
    child: Child,
    address: String,
    /// By tenant.
    keys: BTreeMap<String, String>,
    site: Site,
}

/// The bare handler, in a process of its own as the program is.
#[derive(Debug)]
pub(crate) struct Bare {
    _child: Child,
    address: String,
}

impl Weir {
    /// A server with one tenant and these flows.
    pub(crate) async fn start(program: &Path, ground: Ground, flows: &[Shape]) -> Result<Self, String> {
        let site = ground.fresh().await?;
        let (child, address) = serve(program, &site, false).await?;
        let mut weir = Self { program: program.to_owned(), child, address, keys: BTreeMap::new(), site };
        weir.add_tenant(TENANT, flows).await?;
        Ok(weir)
    }

    /// Another tenant with a key and flows of its own.
    pub(crate) async fn add_tenant(&mut self, name: &str, flows: &[Shape]) -> Result<(), String> {
        self.call(&["tenant", "create", name, "--owner", &format!("{name}@example.test"), "--json"]).await?;
        for shape in flows {
            let flow = self.site.folder.path().join(name).join(&shape.name);
            std::fs::create_dir_all(&flow).map_err(|error| error.to_string())?;
            std::fs::write(flow.join("flow.yaml"), &shape.yaml).map_err(|error| error.to_string())?;
            self.call(&["flow", "import", "--tenant", name, &flow.to_string_lossy(), "--json"]).await?;
        }
        let made = self.call(&["key", "create", "--tenant", name, "--name", "bench", "--json"]).await?;
        let made: serde_json::Value = serde_json::from_str(&made).map_err(|error| format!("{error}: {made}"))?;
        let key = made["key"].as_str().ok_or("`weir key create --json` has no key")?.to_owned();
        self.keys.insert(name.to_owned(), key);
        Ok(())
    }

    async fn call(&self, arguments: &[&str]) -> Result<String, String> {
        let output =
            base(&self.program, &self.site).args(arguments).output().await.map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!("`weir {}`: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
        }
    }

    /// A call that waits for its run.
    pub(crate) fn request(&self, flow: &str, body: &str) -> Request {
        self.request_of(TENANT, flow, body, "")
    }

    /// A call that is answered when its run is acknowledged.
    pub(crate) fn start_request(&self, tenant: &str, flow: &str, body: &str) -> Request {
        self.request_of(tenant, flow, body, "prefer: respond-async\r\n")
    }

    fn request_of(&self, tenant: &str, flow: &str, body: &str, more: &str) -> Request {
        let key = self.keys.get(tenant).map_or("", String::as_str);
        let headers = format!("authorization: Bearer {key}\r\n{more}");
        Request::post(&self.address, &format!("/api/v1/flows/{flow}/run"), &headers, body)
    }

    /// Ends the server at once; what it acknowledged is in the store.
    pub(crate) async fn end(&mut self) -> Result<&Site, String> {
        self.child.kill().await.map_err(|error| error.to_string())?;
        Ok(&self.site)
    }

    /// Starts it again, on another port.
    pub(crate) async fn again(&mut self, paused: bool) -> Result<(), String> {
        (self.child, self.address) = serve(&self.program, &self.site, paused).await?;
        Ok(())
    }

    /// Resident memory now, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64, String> {
        self.status("VmRSS:")
    }

    pub(crate) fn threads(&self) -> Result<u64, String> {
        self.status("Threads:")
    }

    fn status(&self, field: &str) -> Result<u64, String> {
        let pid = self.child.id().ok_or("the program has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| error.to_string())?;
        let line =
            status.lines().find_map(|line| line.strip_prefix(field)).ok_or_else(|| format!("no {field} in /proc"))?;
        line.split_whitespace().next().and_then(|text| text.parse().ok()).ok_or_else(|| format!("{field} is `{line}`"))
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
        Request::post(&self.address, "/run", "", r#"{"number":7}"#)
    }
}

/// From spawning the program on a store that is already made to its first answer, in milliseconds.
pub(crate) async fn cold_starts(program: &Path, times: usize) -> Result<Vec<f64>, String> {
    let site = Ground::Sqlite.fresh().await?;
    let mut starts = Vec::with_capacity(times);
    for round in 0..=times {
        let began = Instant::now();
        let (mut child, address) = serve(program, &site, false).await?;
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

async fn serve(program: &Path, site: &Site, paused: bool) -> Result<(Child, String), String> {
    let mut command = base(program, site);
    command.arg("serve").env("WEIR_PAUSED", paused.to_string()).stdin(Stdio::null()).stderr(Stdio::null());
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

fn base(program: &Path, site: &Site) -> Command {
    let folder = site.folder.path();
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("WEIR_DATA", folder.join("data"))
        .env("WEIR_ADDR", "127.0.0.1:0")
        .env("WEIR_REQUESTS_PER_MINUTE", "0")
        .env("WEIR_LOG", "warn");
    if site.url.starts_with("postgres") {
        command.env("DATABASE_URL", &site.url).env("WEIR_MIGRATE_URL", &site.owner_url);
    }
    command
}
