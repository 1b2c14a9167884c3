//! A small closed-loop HTTP/1.1 load: so many connections, each sends its next request when the last one was answered.
//!
//! Invariant: every answer is read whole and must be a 200 or a 202; the loop ends by itself.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// One request, as bytes, and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) address: String,
    pub(crate) bytes: Vec<u8>,
}

impl Request {
    pub(crate) fn post(address: &str, path: &str, headers: &str, body: &str) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { address: address.to_owned(), bytes: head.into_bytes() }
    }
}

/// Latencies of everything that was answered.
#[derive(Debug)]
pub(crate) struct Figures {
    sorted: Vec<Duration>,
    elapsed: Duration,
}

impl Figures {
    pub(crate) fn new(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        Self { sorted: latencies, elapsed }
    }

    /// Answers a second.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub(crate) fn rate(&self) -> f64 {
        self.sorted.len() as f64 / self.elapsed.as_secs_f64()
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index below the length"
    )]
    pub(crate) fn percentile_ms(&self, part: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        let index = (last as f64 * part).round() as usize;
        self.sorted.get(index).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1_000.0)
    }
}

/// A fifth of the time to warm up, then the measured time.
pub(crate) async fn run(request: &Request, connections: usize, time: Duration) -> Result<Figures, String> {
    drive(request, connections, time / 5).await?;
    drive(request, connections, time).await
}

async fn drive(request: &Request, connections: usize, time: Duration) -> Result<Figures, String> {
    let began = Instant::now();
    let until = began + time;
    let mut tasks = Vec::with_capacity(connections);
    for _ in 0..connections {
        let request = request.clone();
        tasks.push(tokio::spawn(async move { connection(&request, until).await }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.map_err(|error| error.to_string())??);
    }
    Ok(Figures::new(latencies, began.elapsed()))
}

async fn connection(request: &Request, until: Instant) -> Result<Vec<Duration>, String> {
    let mut line = Line::open(&request.address).await?;
    let mut latencies = Vec::new();
    while Instant::now() < until {
        latencies.push(line.ask(request).await?);
    }
    Ok(latencies)
}

/// So many requests, each made by its number, over so many connections.
pub(crate) async fn each<F>(numbers: std::ops::Range<usize>, connections: usize, make: F) -> Result<Figures, String>
where
    F: Fn(usize) -> Request + Send + Sync + 'static,
{
    let (next, make) = (Arc::new(AtomicUsize::new(numbers.start)), Arc::new(make));
    let began = Instant::now();
    let mut tasks = Vec::with_capacity(connections);
    for _ in 0..connections {
        let (next, make, end) = (Arc::clone(&next), Arc::clone(&make), numbers.end);
        tasks.push(tokio::spawn(async move {
            let mut line = Line::open(&make(0).address).await?;
            let mut latencies = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return Ok::<_, String>(latencies);
                }
                latencies.push(line.ask(&make(number)).await?);
            }
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.map_err(|error| error.to_string())??);
    }
    Ok(Figures::new(latencies, began.elapsed()))
}

/// One connection, kept alive.
struct Line {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Line {
    async fn open(address: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (read, write) = stream.into_split();
        Ok(Self { read: BufReader::new(read), write })
    }

    /// How long the answer took.
    async fn ask(&mut self, request: &Request) -> Result<Duration, String> {
        let sent = Instant::now();
        self.write.write_all(&request.bytes).await.map_err(|error| error.to_string())?;
        answer(&mut self.read).await?;
        Ok(sent.elapsed())
    }
}

async fn answer(read: &mut BufReader<OwnedReadHalf>) -> Result<(), String> {
    let mut line = String::new();
    read.read_line(&mut line).await.map_err(|error| error.to_string())?;
    let ok = matches!(line.split_whitespace().nth(1), Some("200" | "202"));
    let (first, mut length) = (line.trim().to_owned(), 0_usize);
    loop {
        line.clear();
        read.read_line(&mut line).await.map_err(|error| error.to_string())?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(|_| format!("a content-length of `{value}`"))?;
        }
    }
    let mut body = vec![0; length];
    read.read_exact(&mut body).await.map_err(|error| error.to_string())?;
    if ok { Ok(()) } else { Err(format!("`{first}`: {}", String::from_utf8_lossy(&body))) }
}
