//! One child as the parent holds it.
//!
//! Invariant: dropping it kills it; a child whose exchange did not end properly is never used again.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::SandboxError;
use crate::frame::{self, ENVELOPE_BYTES, PREFIX_BYTES, Prefix, Request, Response};
use crate::limits::Limits;
use crate::pool::{Answer, PoolConfig};

const START_WAIT: Duration = Duration::from_secs(10);
/// How long the death of a child that closed its socket may take to show.
const DEATH_WAIT: Duration = Duration::from_secs(2);
const STDERR_BYTES: usize = 4096;
/// Signals by number, as the kernel sends them: the limit on CPU time, and the last word.
const SIGXCPU: i32 = 24;

pub(crate) struct Process {
    child: Child,
    socket: UnixStream,
    stderr: Arc<Mutex<Vec<u8>>>,
    /// Ends when the child's standard error is at its end.
    collector: Option<JoinHandle<()>>,
    pub(crate) jobs: u32,
    pub(crate) idle_since: Instant,
    pub(crate) held_bytes: u64,
}

impl Process {
    pub(crate) async fn start(config: &PoolConfig, directory: &std::path::Path) -> Result<Self, SandboxError> {
        let failed = |error: io::Error| SandboxError::Start(format!("{}: {error}", config.program.display()));
        let (socket, other) = UnixStream::pair().map_err(failed)?;
        let other = other.into_std().map_err(failed)?;
        other.set_nonblocking(false).map_err(failed)?;
        let mut child = Command::new(&config.program)
            .args(&config.arguments)
            .env_clear()
            // One arena: each further one would reserve address space that counts against the job.
            .env("MALLOC_ARENA_MAX", "1")
            .current_dir(directory)
            .stdin(Stdio::from(OwnedFd::from(other)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let collector = child.stderr.take().map(|pipe| tokio::spawn(collect(pipe, Arc::clone(&stderr))));
        let mut process = Self { child, socket, stderr, collector, jobs: 0, idle_since: Instant::now(), held_bytes: 0 };
        let hello = Request::Hello { memory_ceiling_bytes: config.memory_ceiling_bytes };
        let greeting = async {
            process.send(&hello, &Bytes::new()).await?;
            process.receive(ENVELOPE_BYTES).await
        };
        match timeout(START_WAIT, greeting).await {
            Ok(Ok((Response::Ready { weaker }, _))) => {
                if let Some(weaker) = weaker {
                    tracing::warn!(%weaker, "sandbox children are confined less than they should be");
                }
                Ok(process)
            }
            Ok(Ok(_)) => Err(SandboxError::Start("an answer that is no greeting".to_owned())),
            Ok(Err(_)) => Err(SandboxError::Start(process.last_words().await)),
            Err(_) => Err(SandboxError::Start("no greeting within ten seconds".to_owned())),
        }
    }

    /// Whether it still runs; a child may die of the machine's troubles while it idles.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// One job. On any error but `Refused` the child is not to be used again.
    pub(crate) async fn run(
        &mut self,
        name: &str,
        input: Value,
        payload: Bytes,
        limits: Limits,
    ) -> Result<Answer, SandboxError> {
        self.jobs += 1;
        let request = Request::Job { name: name.to_owned(), input, limits };
        let exchange = async {
            self.send(&request, &payload).await?;
            drop(request);
            drop(payload);
            self.receive(limits.output_bytes.saturating_add(ENVELOPE_BYTES)).await
        };
        let Ok(answer) = timeout(limits.wall, exchange).await else {
            return Err(SandboxError::Time);
        };
        match answer {
            Ok((Response::Done { output, held_bytes }, payload)) => {
                self.held_bytes = held_bytes;
                Ok(Answer { output, payload })
            }
            Ok((Response::Refused { error, held_bytes }, _)) => {
                self.held_bytes = held_bytes;
                Err(SandboxError::Refused(error))
            }
            Ok((Response::UnknownJob, _)) => Err(SandboxError::UnknownJob(name.to_owned())),
            Ok((Response::TooLarge, _)) => {
                Err(SandboxError::TooLarge { what: "output", limit_bytes: limits.output_bytes })
            }
            Ok((Response::Panicked { message }, _)) => Err(SandboxError::Crashed(format!("it panicked: {message}"))),
            Ok((Response::Ready { .. }, _)) => Err(SandboxError::Crashed("it broke the protocol".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(SandboxError::TooLarge { what: "output", limit_bytes: limits.output_bytes })
            }
            Err(_) => Err(self.cause_of_death().await),
        }
    }

    async fn send(&mut self, request: &Request, payload: &Bytes) -> io::Result<()> {
        let header = frame::encode(request, payload)?;
        self.socket.write_all(&header).await?;
        self.socket.write_all(payload).await
    }

    async fn receive(&mut self, limit_bytes: u64) -> io::Result<(Response, Bytes)> {
        let mut prefix = [0; PREFIX_BYTES];
        self.socket.read_exact(&mut prefix).await?;
        let prefix = Prefix::decode(prefix);
        if prefix.total() > limit_bytes {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut header = vec![0; usize::try_from(prefix.header).map_err(io::Error::other)?];
        self.socket.read_exact(&mut header).await?;
        let mut payload = vec![0; usize::try_from(prefix.payload).map_err(io::Error::other)?];
        self.socket.read_exact(&mut payload).await?;
        Ok((serde_json::from_slice(&header)?, payload.into()))
    }

    async fn cause_of_death(&mut self) -> SandboxError {
        let (status, words) = self.death().await;
        let Some(status) = status else {
            return SandboxError::Crashed("it closed its socket".to_owned());
        };
        if words.contains("memory allocation of") || words.contains("out of memory") {
            return SandboxError::Memory;
        }
        if status.signal() == Some(SIGXCPU) {
            return SandboxError::Time;
        }
        if words.contains("has overflowed its stack") {
            return SandboxError::Crashed("it overflowed its stack".to_owned());
        }
        SandboxError::Crashed(ending(status))
    }

    async fn last_words(&mut self) -> String {
        let (status, words) = self.death().await;
        let ending = status.map_or_else(|| "it closed its socket".to_owned(), ending);
        format!("{ending}; {}", words.trim())
    }

    /// How it ended, if it did, and what it said to the last.
    async fn death(&mut self) -> (Option<ExitStatus>, String) {
        let status = timeout(DEATH_WAIT, self.child.wait()).await;
        if let Some(collector) = self.collector.take() {
            let _ = timeout(DEATH_WAIT, collector).await;
        }
        let bytes = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        (status.ok().and_then(Result::ok), String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn ending(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("it ended by signal {signal}"),
        (None, Some(code)) => format!("it ended with status {code}"),
        (None, None) => "it ended".to_owned(),
    }
}

/// Keeps the last words of a child and throws the rest away, so that it never blocks on a full pipe.
async fn collect(mut pipe: ChildStderr, kept: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&buffer[..length]);
        let surplus = kept.len().saturating_sub(STDERR_BYTES);
        kept.drain(..surplus);
    }
}
