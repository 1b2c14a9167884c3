//! The built program as a process: started, asked, stopped, killed, started again on the same data.
//!
//! Invariant: a process is ended by the handle that started it, never by name, and none outlives its handle.
use crate::limits::{self, within};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    env, fmt, fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
};

/// Gives every started process a log of its own.
static STARTED: AtomicU32 = AtomicU32::new(1);

/// How to call the program: its folder, its environment. Calls share both with the server.
#[derive(Debug, Clone)]
pub struct Program {
    binary: PathBuf,
    folder: PathBuf,
    environment: BTreeMap<String, String>,
}

/// What a command line call answered.
#[derive(Debug)]
pub struct CommandAnswer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A running `weir serve`, `weir demo` or `weir work`.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
    /// The object of its first line.
    pub greeting: Value,
}

impl Program {
    /// The program that `WEIR_BIN` names, or the dev build; with nothing of this machine's environment but `PATH`.
    pub fn in_folder(folder: &Path) -> Self {
        let binary = env::var_os("WEIR_BIN").map_or_else(default_binary, PathBuf::from);
        assert!(binary.exists(), "{} is not there: run scripts/build dev, or set WEIR_BIN", binary.display());
        let mut environment = BTreeMap::new();
        environment.insert("PATH".to_owned(), env::var("PATH").unwrap_or_default());
        environment.insert("HOME".to_owned(), folder.to_string_lossy().into_owned());
        environment.insert("TMPDIR".to_owned(), env::temp_dir().to_string_lossy().into_owned());
        environment.insert("WEIR_DATA".to_owned(), folder.join("data").to_string_lossy().into_owned());
        environment.insert("WEIR_LOG".to_owned(), "info".to_owned());
        environment.insert("RUST_BACKTRACE".to_owned(), "1".to_owned());
        Self { binary, folder: folder.to_owned(), environment }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a command to its end.
    pub async fn call(&self, arguments: &[&str]) -> CommandAnswer {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let what = format!("the end of `weir {}`", arguments.join(" "));
        let output = within(limits::COMMAND, &what, command.output()).await.expect("the program can be started");
        CommandAnswer {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts a command that keeps running and waits for its first line, a JSON object.
    pub async fn start(&self, arguments: &[&str]) -> Running {
        match self.try_start(arguments).await {
            Ok(running) => running,
            Err(log) => panic!("`weir {}` ended before it said where it listens:\n{log}", arguments.join(" ")),
        }
    }

    /// As `start`; a program that ends instead of greeting gives what it wrote to stderr.
    pub async fn try_start(&self, arguments: &[&str]) -> Result<Running, String> {
        let log = self.folder.join(format!("weir-{}.log", STARTED.fetch_add(1, Ordering::Relaxed)));
        let stderr = fs::File::create(&log).expect("the test's folder takes a log");
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().expect("the program can be started");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout was asked for"));
        let mut line = String::new();
        let what = format!("the first line of `weir {}`", arguments.join(" "));
        within(limits::START, &what, stdout.read_line(&mut line)).await.expect("stdout is text");
        if line.is_empty() {
            return Err(fs::read_to_string(&log).unwrap_or_default());
        }
        // Read on, so that a full pipe never stops the program.
        tokio::spawn(async move {
            let mut rest = Vec::new();
            stdout.read_to_end(&mut rest).await
        });
        let greeting = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the first line is not JSON: {line}"));
        Ok(Running { child, log, greeting })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).current_dir(&self.folder).env_clear().envs(&self.environment).kill_on_drop(true);
        command
    }
}

fn default_binary() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    target.join("debug/weir")
}

impl CommandAnswer {
    /// The one object that `--json` prints.
    pub fn json(&self) -> Value {
        serde_json::from_str(self.stdout.trim()).unwrap_or_else(|error| panic!("not one JSON object ({error}): {self}"))
    }

    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert_eq!(self.code, 0, "{self}");
        self
    }
}

impl fmt::Display for CommandAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "exit code {}\nstdout: {}\nstderr: {}", self.code, self.stdout, self.stderr)
    }
}

impl Running {
    /// A text of the first line, such as `url`.
    #[track_caller]
    pub fn said(&self, name: &str) -> &str {
        self.greeting[name].as_str().unwrap_or_else(|| panic!("the first line has no `{name}`: {}", self.greeting))
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("the process was not waited for yet")
    }

    /// The most memory that it held at once so far, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The memory that it holds, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let found = status.lines().find_map(|text| text.strip_prefix(line));
        let kilobytes = found.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.unwrap_or_else(|| panic!("the kernel does not say {line}")) * 1024
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL: no destructor runs, nothing is flushed.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a process of ours can be killed");
    }

    /// SIGSTOP: it holds whatever it holds, and does nothing more until `proceed`.
    pub async fn halt(&self) {
        self.signal("-STOP").await;
    }

    /// SIGCONT: it goes on where it was, as if no time had passed.
    pub async fn proceed(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await.expect("`kill` is there");
        assert!(sent.success(), "the process ended before it was sent {signal}");
    }

    /// SIGTERM, then its exit status.
    pub async fn stop(mut self) -> ExitStatus {
        self.signal("-TERM").await;
        within(limits::STOP, "the end after SIGTERM", self.child.wait())
            .await
            .expect("a process of ours can be awaited")
    }

    /// Waits until it ends by itself.
    pub async fn ended(mut self) -> ExitStatus {
        within(limits::STOP, "the program's own end", self.child.wait())
            .await
            .expect("a process of ours can be awaited")
    }
}

impl Drop for Running {
    #[expect(clippy::print_stderr, reason = "a failed test shows what the program said")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(60)..];
            eprintln!("--- the program's log (last {} of {} lines)\n{}", tail.len(), lines.len(), tail.join("\n"));
        }
    }
}
