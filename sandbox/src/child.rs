//! The child's side: reads jobs, runs their handlers under the job's limits, answers.
//!
//! Invariant: nothing but this loop writes to the socket; a handler's prints and panics cannot reach the protocol. When
//! the parent goes away the child ends at once, whatever it is doing.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use serde_json::Value;

use crate::confine::{self, Meter};
use crate::error::JobError;
use crate::frame::{self, PREFIX_BYTES, Prefix, Request, Response};
use crate::limits::Limits;

/// Parsers recurse; only touched pages of it cost memory.
const STACK_BYTES: usize = 64 << 20;
/// What the parent may send at most; it checks the job's own limit before.
const FRAME_BYTES: u64 = 512 << 20;

type Handler = Box<dyn Fn(Value, Bytes) -> Result<(Value, Bytes), JobError> + Send>;

/// The jobs a child can do, by name.
#[derive(Default)]
pub struct Handlers {
    by_name: BTreeMap<&'static str, Handler>,
}

impl Handlers {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a job. A later handler of the same name wins.
    #[must_use]
    pub fn with(
        mut self,
        name: &'static str,
        handler: impl Fn(Value, Bytes) -> Result<(Value, Bytes), JobError> + Send + 'static,
    ) -> Self {
        self.by_name.insert(name, Box::new(handler));
        self
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

/// The whole of `weir sandbox`: serves jobs from the socket that is standard input until it closes.
#[must_use]
pub fn child_main(handlers: Handlers) -> ExitCode {
    // The parent reads standard error of a child that dies; a sentence there is all that can be done.
    match serve(handlers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "weir sandbox: {error}");
            ExitCode::from(2)
        }
    }
}

struct Job {
    name: String,
    input: Value,
    payload: Bytes,
    limits: Limits,
}

fn serve(handlers: Handlers) -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.peer_addr().map_err(|_| io::Error::other("this command is started by the program itself, not by hand"))?;
    // As a file, so that it is read and written without the socket calls that are about to be taken away.
    let mut socket = File::from(OwnedFd::from(socket));
    let (Request::Hello { memory_ceiling_bytes }, _) = read(&mut socket)?.ok_or(io::ErrorKind::UnexpectedEof)? else {
        return Err(io::Error::other("the first frame is no greeting"));
    };
    confine::limit_process(memory_ceiling_bytes)?;
    let meter = Meter::open()?;
    let (jobs, inbox) = mpsc::sync_channel::<Job>(0);
    let mut answers = socket.try_clone()?;
    thread::Builder::new().name("job".to_owned()).stack_size(STACK_BYTES).spawn(move || {
        panic::set_hook(Box::new(|_| {}));
        for job in inbox {
            let (response, payload) = run(&handlers, &meter, memory_ceiling_bytes, job);
            // A parent that is gone is noticed by the reading thread.
            let _ = write(&mut answers, &response, &payload);
        }
    })?;
    // After the thread was started: from here on no files, no network, no processes.
    let weaker = confine::drop_system_calls().err();
    write(&mut socket, &Response::Ready { weaker }, &Bytes::new())?;
    // Reading goes on during a job, so that the end of the parent ends the child in the middle of it.
    while let Some((request, payload)) = read(&mut socket)? {
        let Request::Job { name, input, limits } = request else {
            return Err(io::Error::other("a second greeting"));
        };
        jobs.send(Job { name, input, payload, limits }).map_err(io::Error::other)?;
    }
    Ok(())
}

fn run(handlers: &Handlers, meter: &Meter, ceiling: u64, job: Job) -> (Response, Bytes) {
    let Some(handler) = handlers.by_name.get(job.name.as_str()) else {
        return (Response::UnknownJob, Bytes::new());
    };
    let limit = job.limits.output_bytes;
    if let Err(error) = meter.limit(&job.limits, ceiling) {
        return (Response::Panicked { message: format!("the limits could not be set: {error}") }, Bytes::new());
    }
    let result = panic::catch_unwind(AssertUnwindSafe(|| handler(job.input, job.payload)));
    let _ = meter.lift(ceiling);
    let held_bytes = meter.held_bytes();
    match result {
        Ok(Ok((output, payload))) => {
            if json_bytes(&output, limit).is_none_or(|bytes| bytes + payload.len() as u64 > limit) {
                return (Response::TooLarge, Bytes::new());
            }
            (Response::Done { output, held_bytes }, payload)
        }
        Ok(Err(error)) => (Response::Refused { error, held_bytes }, Bytes::new()),
        Err(panic) => (Response::Panicked { message: panic_message(panic.as_ref()) }, Bytes::new()),
    }
}

/// The value's length as JSON; `None` as soon as it passes the limit.
fn json_bytes(value: &Value, limit: u64) -> Option<u64> {
    struct Counter {
        bytes: u64,
        limit: u64,
    }
    impl Write for Counter {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            self.bytes += buffer.len() as u64;
            if self.bytes > self.limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(buffer.len()) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter { bytes: 0, limit };
    serde_json::to_writer(&mut counter, value).ok()?;
    Some(counter.bytes)
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message");
    text.chars().take(400).collect()
}

/// The next frame; `None` when the parent closed the socket between two.
fn read(socket: &mut File) -> io::Result<Option<(Request, Bytes)>> {
    let mut prefix = [0; PREFIX_BYTES];
    match socket.read_exact(&mut prefix) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let prefix = Prefix::decode(prefix);
    if prefix.total() > FRAME_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut body = |bytes: u64| -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
        socket.read_exact(&mut buffer)?;
        Ok(buffer)
    };
    let header = body(prefix.header)?;
    let payload = body(prefix.payload)?;
    Ok(Some((serde_json::from_slice(&header)?, payload.into())))
}

fn write(socket: &mut File, response: &Response, payload: &Bytes) -> io::Result<()> {
    socket.write_all(&frame::encode(response, payload)?)?;
    socket.write_all(payload)
}
