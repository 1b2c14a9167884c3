//! Warm children, handed out one job at a time, to the tenants by turns.
//!
//! Invariant: at most `max_children` live at once; a child goes back to the shelf only after an exchange that ended
//! properly; whoever drops the future of a job kills its child. There is no way to a child but through a tenant's share.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;

use crate::error::SandboxError;
use crate::limits::Limits;
use crate::process::Process;
use crate::turns::Turns;

/// How a pool starts and keeps its children.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// Our own program, as a rule.
    pub program: PathBuf,
    /// `["sandbox"]`, as a rule.
    pub arguments: Vec<OsString>,
    pub max_children: usize,
    /// Jobs of one tenant that may wait for a child; one more is refused.
    pub max_waiting: usize,
    /// A child that had nothing to do for this long is ended.
    pub idle_timeout: Duration,
    /// A child is replaced after this many jobs.
    pub max_jobs_per_child: u32,
    /// A child that holds more than this after a job is replaced.
    pub keep_bytes: u64,
    /// The highest `memory_bytes` that any job can have.
    pub memory_ceiling_bytes: u64,
}

impl PoolConfig {
    /// Children by `program sandbox`, as many as the machine has cores, at least two.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: vec!["sandbox".into()],
            max_children: std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 16)),
            max_waiting: 1024,
            idle_timeout: Duration::from_secs(60),
            max_jobs_per_child: 500,
            keep_bytes: 192 << 20,
            memory_ceiling_bytes: 2 << 30,
        }
    }
}

/// What a job gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub output: Value,
    pub payload: Bytes,
}

/// The parent's side of the sandbox. Starts nothing before the first job. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

/// One tenant's way to the children. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Share {
    pool: Pool,
    tenant: u128,
}

struct Shared {
    config: PoolConfig,
    turns: Turns,
    shelf: Mutex<Shelf>,
    /// An empty folder that the children stand in.
    directory: OnceLock<TempDir>,
}

#[derive(Default)]
struct Shelf {
    idle: Vec<Process>,
    reaper_runs: bool,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Pool {
    #[must_use]
    pub fn new(config: PoolConfig) -> Self {
        let turns = Turns::new(config.max_children, config.max_waiting);
        Self { shared: Arc::new(Shared { config, turns, shelf: Mutex::default(), directory: OnceLock::new() }) }
    }

    /// A pool whose children are this very program, started with the one argument `sandbox`.
    ///
    /// # Errors
    /// The program's own path cannot be found out.
    pub fn of_this_program() -> std::io::Result<Self> {
        // By this name the kernel finds the program that runs, also when its file was replaced by an upgrade.
        let running = PathBuf::from("/proc/self/exe");
        let program = if running.exists() { running } else { std::env::current_exe()? };
        Ok(Self::new(PoolConfig::new(program)))
    }

    /// The pool as one tenant has it: its jobs wait in a line of their own.
    #[must_use]
    pub fn share(&self, tenant: u128) -> Share {
        Share { pool: self.clone(), tenant }
    }

    /// Children that idle now; for tests and metrics.
    #[must_use]
    pub fn idle_children(&self) -> usize {
        self.shared.shelf().idle.len()
    }

    fn take(&self) -> Option<Process> {
        let mut shelf = self.shared.shelf();
        while let Some(mut process) = shelf.idle.pop() {
            if process.is_alive() {
                return Some(process);
            }
        }
        None
    }

    fn put_back(&self, mut process: Process) {
        let config = &self.shared.config;
        if process.jobs >= config.max_jobs_per_child || process.held_bytes > config.keep_bytes {
            return;
        }
        process.idle_since = Instant::now();
        let mut shelf = self.shared.shelf();
        shelf.idle.push(process);
        if !shelf.reaper_runs {
            shelf.reaper_runs = true;
            tokio::spawn(reap(Arc::downgrade(&self.shared), config.idle_timeout));
        }
    }
}

impl Share {
    /// Runs one job in a child. Dropping the future ends the child at once.
    ///
    /// # Errors
    /// See [`SandboxError`]; every one but `Refused` costs the child, which is replaced when next needed.
    pub async fn run(&self, job: &str, input: Value, payload: Bytes, limits: Limits) -> Result<Answer, SandboxError> {
        if payload.len() as u64 > limits.input_bytes {
            return Err(SandboxError::TooLarge { what: "input", limit_bytes: limits.input_bytes });
        }
        let _turn = self.pool.shared.turns.take(self.tenant).await.ok_or(SandboxError::Busy)?;
        let mut process = match self.pool.take() {
            Some(process) => process,
            None => self.pool.shared.start().await?,
        };
        let result = process.run(job, input, payload, limits).await;
        if matches!(result, Ok(_) | Err(SandboxError::Refused(_) | SandboxError::UnknownJob(_))) {
            self.pool.put_back(process);
        }
        result
    }
}

impl Shared {
    fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start(&self) -> Result<Process, SandboxError> {
        if self.directory.get().is_none() {
            let directory = tempfile::Builder::new().prefix("weir-sandbox-").tempdir();
            let directory = directory.map_err(|error| SandboxError::Start(format!("no empty folder: {error}")))?;
            // Of two that come at the same time one folder stays and the other is removed by its drop.
            let _ = self.directory.set(directory);
        }
        let directory = self.directory.get().ok_or_else(|| SandboxError::Start("no empty folder".to_owned()))?;
        Process::start(&self.config, directory.path()).await
    }
}

/// Ends children that idle too long; ends itself when the shelf is empty or the pool is gone.
async fn reap(shared: std::sync::Weak<Shared>, idle_timeout: Duration) {
    loop {
        tokio::time::sleep(idle_timeout).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut shelf = shared.shelf();
        shelf.idle.retain(|process| process.idle_since.elapsed() < idle_timeout);
        if shelf.idle.is_empty() {
            shelf.reaper_runs = false;
            return;
        }
    }
}
