//! A receiver that honours idempotency keys, in a process of its own: what arrived, how often, and what it did.
//!
//! Invariant: an effect is done when a call with a key arrives that was not done before, whether or not anybody is still
//! there to read the answer; a call that is answered with a failure did nothing.
use crate::{
    limits::{self, within},
    receiver::{self, Call},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};
use url::Url;

/// What a key did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// What the caller calls it: the path's last part.
    pub name: String,
    pub key: String,
    pub arrived: u64,
    pub done: bool,
}

/// The running process. Ends when it is dropped.
#[derive(Debug)]
pub struct Effects {
    url: String,
    _process: Child,
}

impl Effects {
    /// Starts `program`, which is the suite's `effect-counter`.
    pub async fn start(program: &Path) -> Self {
        let mut command = Command::new(program);
        // Its standard input closes with the suite, however that ends.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("the effect counter can be started");
        let mut lines = BufReader::new(process.stdout.take().expect("stdout was asked for")).lines();
        let line = within(limits::START, "the effect counter's greeting", lines.next_line()).await;
        let line = line.expect("its greeting is text").expect("it greets before it ends");
        let greeting: Value = serde_json::from_str(&line).expect("its greeting is JSON");
        let url = greeting["url"].as_str().expect("its greeting names its address").to_owned();
        Self { url, _process: process }
    }

    /// Where `PUT NAME?delay_ms=N&fail_first=true` counts.
    pub fn url(&self) -> String {
        format!("{}/effect", self.url)
    }

    pub async fn all(&self) -> Vec<Effect> {
        let answer = crate::key::client().get(format!("{}/effects", self.url)).send().await;
        let rows: Vec<Value> = answer.expect("the counter answers").json().await.expect("it lists what it has");
        let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
        let read = |row: &Value| Effect {
            name: text(row, "name"),
            key: text(row, "key"),
            arrived: row["arrived"].as_u64().unwrap_or_default(),
            done: row["done"].as_bool().unwrap_or_default(),
        };
        rows.iter().map(read).collect()
    }
}

#[derive(Debug, Default)]
struct Counter {
    /// By name and key.
    effects: Mutex<BTreeMap<(String, String), (u64, bool)>>,
}

/// What the process does: listens, says where, counts, and ends with whoever started it.
///
/// # Errors
/// When loopback cannot be listened on.
pub async fn count_effects() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", json!({"url": format!("http://{}", listener.local_addr()?)}))?;
    tokio::spawn(async move {
        let counter = Arc::new(Counter::default());
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&counter)));
        }
    });
    tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await.map(|_| ())
}

async fn serve(stream: TcpStream, counter: Arc<Counter>) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    while let Some(call) = receiver::receive(&mut read).await {
        let (status, body) = counter.take(&call).await;
        if write.write_all(receiver::answer(status, &body.to_string()).as_bytes()).await.is_err() {
            return;
        }
    }
}

impl Counter {
    async fn take(&self, call: &Call) -> (u16, Value) {
        let Ok(url) = Url::parse(&format!("http://counter{}", call.path)) else { return (400, Value::Null) };
        if url.path() == "/effects" {
            return (200, self.all());
        }
        let Some(name) = url.path().strip_prefix("/effect/") else { return (404, Value::Null) };
        let asked =
            |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
        let done = self.count(name, call.key.as_deref().unwrap_or_default(), asked("fail_first").is_some());
        if let Some(delay) = asked("delay_ms").and_then(|text| text.parse().ok()) {
            // The work that the effect takes, not a wait for something.
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if done { (200, json!({"done": name})) } else { (503, json!({"failed": name})) }
    }

    /// Counts a call, and says whether its effect is done now.
    fn count(&self, name: &str, key: &str, fail_first: bool) -> bool {
        let mut effects = self.effects.lock().expect("no holder of the lock panics");
        let (arrived, done) = effects.entry((name.to_owned(), key.to_owned())).or_default();
        *arrived += 1;
        *done |= !fail_first || *arrived > 1;
        *done
    }

    fn all(&self) -> Value {
        let effects = self.effects.lock().expect("no holder of the lock panics");
        let row = |((name, key), (arrived, done)): (&(String, String), &(u64, bool))| json!({"name": name, "key": key, "arrived": arrived, "done": done});
        effects.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_its_effect_once_and_a_failed_call_does_nothing() {
        let counter = Counter::default();
        assert!(!counter.count("charge", "k", true));
        assert!(counter.count("charge", "k", true));
        assert!(counter.count("charge", "k", true));
        assert!(counter.count("charge", "other", false));
        let all = counter.all();
        assert_eq!(all[0], json!({"name": "charge", "key": "k", "arrived": 3, "done": true}));
        assert_eq!(all.as_array().map(Vec::len), Some(2));
    }
}
