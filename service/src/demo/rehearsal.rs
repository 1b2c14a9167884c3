//! The demo's past, acted out: real plans, the real engine and real records, with executors that take their lines from a
//! script instead of reading documents and calling providers, and a clock that jumps where they would have worked.
//!
//! Invariant: nothing here is reachable outside of seeding a demo; what it writes is labelled as such.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use domain::{Failure, FailureKind};
use engine::ports::Clock;
use engine::{Call, Done, Executor, Failed, Registry};
use language::ExecutorSpec;
use serde_json::{Value, json};

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(super) struct StageClock(Mutex<DateTime<Utc>>);

impl StageClock {
    pub(super) fn at(moment: DateTime<Utc>) -> Self {
        Self(Mutex::new(moment))
    }

    pub(super) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// Moves forward, never back.
    pub(super) fn reach(&self, moment: DateTime<Utc>) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = (*now).max(moment);
    }
}

impl Clock for StageClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn runs_by_itself(&self) -> bool {
        false
    }
}

/// How a run of the past went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plot {
    Smooth,
    /// Everything takes ten times as long.
    Slow,
    /// The model's provider is overloaded twice, then answers.
    Retried,
    /// The model's provider stays down.
    ProviderDown,
    /// The document has nothing to read.
    EmptyDocument,
}

/// One run's script: the plot, and a number that varies the details.
#[derive(Debug, Clone, Copy)]
pub(super) struct Script {
    pub(super) plot: Plot,
    pub(super) variation: u64,
}

impl Script {
    fn takes(self, executor: &str, attempt: u32) -> Duration {
        let base = match executor {
            "ocr_processor" => 1_450,
            "llm_analyzer" => 2_100,
            "document_extractor" => 180,
            "api_request" => 240,
            "file_analyzer" | "text_analyzer" | "generic_processor" => 14,
            _ => 1,
        };
        let spread = i64::try_from((self.variation / 7 + u64::from(attempt) * 13) % 80).unwrap_or_default();
        let slow = if self.plot == Plot::Slow { 10 } else { 1 };
        Duration::milliseconds(base * (60 + spread) / 100 * slow + 1)
    }

    fn fault(self, executor: &str, attempt: u32) -> Option<Failure> {
        match (self.plot, executor) {
            (Plot::Retried, "llm_analyzer") if attempt <= 2 => Some(overloaded()),
            (Plot::ProviderDown, "llm_analyzer") => Some(overloaded()),
            (Plot::EmptyDocument, "document_extractor" | "ocr_processor") => Some(Failure::new(
                FailureKind::Document,
                "no_text_layer",
                "The document has no text layer. Read it with `ocr_processor`, or set `allow_empty: true`.",
            )),
            _ => None,
        }
    }
}

fn overloaded() -> Failure {
    Failure::new(
        FailureKind::Overloaded,
        "provider_overloaded",
        "The provider is overloaded (503). It may answer later.",
    )
}

/// A real executor's part, played.
struct Player {
    real: Arc<dyn Executor>,
    clock: Arc<StageClock>,
    script: Script,
}

/// The registry of a rehearsal: every executor of the real one.
pub(super) fn registry(real: &Registry, clock: &Arc<StageClock>, script: Script) -> Registry {
    Registry::new(real.catalogue().iter().filter_map(|spec| {
        let player = Player { real: Arc::clone(real.get(&spec.name)?), clock: Arc::clone(clock), script };
        Some(Arc::new(player) as Arc<dyn Executor>)
    }))
}

#[async_trait]
impl Executor for Player {
    fn spec(&self) -> &ExecutorSpec {
        self.real.spec()
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let name = self.spec().name.clone();
        self.clock.advance(self.script.takes(&name, call.attempt));
        if let Some(failure) = self.script.fault(&name, call.attempt) {
            return Err(failure.into());
        }
        match line(&name, self.script.variation) {
            Some(output) => Ok(Done::free(output)),
            // Executors that stay inside the process play themselves; the model is the tenant's simulated one.
            None => self.real.run(call, config).await,
        }
    }
}

/// What executors that would read a document or call out are said to have found.
fn line(executor: &str, variation: u64) -> Option<Value> {
    let invoice = 4_100 + variation % 800;
    let text = format!(
        "Invoice {invoice}\nNorthwind Paper GmbH, Kiel\n\n12 boxes of paper, A4, 80 g        96.00 EUR\n\
         3 toner cartridges, black         211.50 EUR\n\nTotal due by 30 November 2026     307.50 EUR\n\
         Thank you for ordering with us again."
    );
    let pages = json!([{"number": 1, "text": text}]);
    match executor {
        "document_extractor" => Some(json!({
            "text": text, "pages": pages, "tables": [], "metadata": {"title": format!("Invoice {invoice}")},
        })),
        "ocr_processor" => {
            let words: Vec<Value> = text.split_whitespace().enumerate().map(word).collect();
            let pages = json!([{"number": 1, "text": text, "words": words}]);
            Some(json!({"text": text, "pages": pages, "confidence": 0.94}))
        }
        "file_analyzer" => Some(json!({
            "file_type": "pdf", "media_type": "application/pdf", "size_bytes": 48_213, "pages": 1,
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "encoding": null, "language": "en", "width": null, "height": null,
        })),
        "generic_processor" => Some(json!({"text": text, "file_type": "pdf", "method": "text_layer"})),
        "api_request" => Some(json!({
            "http_status": 200, "headers": {"content-type": "text/plain"}, "body": text, "file": null,
        })),
        _ => None,
    }
}

fn word((index, text): (usize, &str)) -> Value {
    let (column, row) = (index % 8, index / 8);
    json!({"text": text, "box": [90 + 130 * column, 120 + 42 * row, 11 * text.len(), 26], "confidence": 0.94})
}
