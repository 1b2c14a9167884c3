//! The outside world of a test: an HTTP server in the suite's own process that counts what reaches it, by idempotency key.
//!
//! Invariant: a call is counted when its head has arrived, whether or not anybody is still there to read the answer.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
};

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Receiver {
    url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    calls: Mutex<Vec<Call>>,
    count: watch::Sender<usize>,
    /// One permit an answer while the receiver is held back.
    gate: Option<Semaphore>,
    answer: Mutex<BTreeMap<String, Vec<u16>>>,
}

/// One call that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub key: Option<String>,
    /// By name in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Receiver {
    /// Answers everything at once with 200 and `{"received": n}`.
    pub async fn start() -> Self {
        Self::listen(None).await
    }

    /// Answers nothing until `answer` lets calls go, so that a test decides what is in flight.
    pub async fn holding() -> Self {
        Self::listen(Some(Semaphore::new(0))).await
    }

    async fn listen(gate: Option<Semaphore>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            calls: Mutex::new(Vec::new()),
            count: watch::Sender::new(0),
            gate,
            answer: Mutex::new(BTreeMap::new()),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self { url: format!("http://{address}"), shared, task }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The statuses that a path answers with, in order; then 200.
    pub fn script(&self, path: &str, statuses: &[u16]) {
        let mut answers = self.shared.answer.lock().expect("no holder of the lock panics");
        answers.insert(path.to_owned(), statuses.iter().rev().copied().collect());
    }

    /// Lets this many held calls be answered.
    pub fn answer(&self, calls: usize) {
        if let Some(gate) = &self.shared.gate {
            gate.add_permits(calls);
        }
    }

    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().expect("no holder of the lock panics").clone()
    }

    /// How often each key arrived.
    pub fn by_key(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in self.calls() {
            *counts.entry(call.key.unwrap_or_default()).or_insert(0) += 1;
        }
        counts
    }

    /// Waits until so many calls have arrived in all.
    pub async fn reached(&self, calls: usize) {
        let mut count = self.shared.count.subscribe();
        let arrived = count.wait_for(|count| *count >= calls);
        crate::limits::within(crate::limits::REQUEST, &format!("call {calls} at the receiver"), arrived)
            .await
            .expect("the sender lives as long as the receiver");
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection, kept alive over its calls.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    while let Some(call) = receive(&mut read).await {
        let path = call.path.clone();
        let received = {
            let mut calls = shared.calls.lock().expect("no holder of the lock panics");
            calls.push(call);
            calls.len()
        };
        shared.count.send_replace(received);
        if let Some(gate) = &shared.gate {
            gate.acquire().await.expect("the gate is never closed").forget();
        }
        let scripted = shared.answer.lock().expect("no holder of the lock panics").get_mut(&path).and_then(Vec::pop);
        let status = scripted.unwrap_or(200);
        let body = format!("{{\"received\":{received}}}");
        if write.write_all(answer(status, &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// An HTTP answer as it goes over the wire.
pub(crate) fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// The next call of a connection; `None` when the other side has gone.
pub(crate) async fn receive(read: &mut BufReader<tokio::net::tcp::OwnedReadHalf>) -> Option<Call> {
    let mut line = String::new();
    read.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        read.read_line(&mut header).await.ok().filter(|length| *length > 0)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let key = headers.get("idempotency-key").cloned();
    let length = headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?;
    let mut body = vec![0; length];
    read.read_exact(&mut body).await.ok()?;
    Some(Call { method, path, key, headers, body: String::from_utf8_lossy(&body).into_owned() })
}
