//! What happens in a run, told while it happens: a line a step, and on a terminal a line that moves.
//!
//! Invariant: only stderr is written to; with `--json` nothing is said at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{NanoUsd, RunId, StepStatus};
use engine::memory::{Observer, Unobserved};
use engine::{Entry, Event, Progress};
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Output;

pub(in crate::commands) fn observer(output: Output) -> Arc<dyn Observer> {
    if output.is_json() {
        return Arc::new(Unobserved);
    }
    let bar = output.is_lively().then(|| {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    });
    Arc::new(Teller { output, bar, started: Mutex::default() })
}

struct Teller {
    output: Output,
    bar: Option<ProgressBar>,
    /// When each step's first attempt began.
    started: Mutex<HashMap<(RunId, String), DateTime<Utc>>>,
}

impl Teller {
    fn tell(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.note(line)),
            None => self.output.note(line),
        }
    }

    fn now_running(&self) {
        let Some(bar) = &self.bar else { return };
        let started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<&str> = started.keys().map(|(_, step)| step.as_str()).collect();
        names.sort_unstable();
        bar.set_message(names.join(", "));
    }
}

impl Observer for Teller {
    fn entry(&self, run: RunId, depth: u32, entry: &Entry) {
        let indent = "  ".repeat(depth as usize);
        match &entry.event {
            Event::AttemptStarted { step, attempt, .. } => {
                let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
                started.entry((run, step.clone())).or_insert(entry.at);
                drop(started);
                if *attempt > 1 {
                    self.tell(&format!("{indent}  {step}: attempt {attempt}"));
                }
            }
            Event::AttemptFailed { step, failure, .. } => {
                self.tell(&format!("{indent}! {step}: {} ({}); another try follows", failure.message, failure.code));
            }
            Event::StepSettled { step, status, error, reason, usage, .. } => {
                let started = self.started.lock().unwrap_or_else(PoisonError::into_inner).remove(&(run, step.clone()));
                let took = started.map_or_else(String::new, |at| format!(" {}", seconds(entry.at - at)));
                let cost = usage.as_ref().and_then(|usage| usage.cost_nano_usd).filter(|cost| *cost != NanoUsd::ZERO);
                let cost = cost.map_or_else(String::new, |cost| format!(" {cost}"));
                let mark = match status {
                    StepStatus::Succeeded | StepStatus::Cached => "✓",
                    StepStatus::Skipped => "-",
                    _ => "✗",
                };
                let why = match (error, reason) {
                    (_, Some(reason)) => format!(" {} ({})", status, reason.as_str().replace('_', " ")),
                    (Some(error), None) => format!(" {}: {}", error.code, error.message),
                    (None, None) => String::new(),
                };
                self.tell(&format!("{indent}{mark} {step}{took}{cost}{why}"));
            }
            Event::RunSettled { .. } if depth == 0 => {
                if let Some(bar) = &self.bar {
                    bar.finish_and_clear();
                }
                return;
            }
            _ => {}
        }
        self.now_running();
    }

    fn progress(&self, _run: RunId, _depth: u32, step: &str) -> Arc<dyn Progress> {
        Arc::new(Within { bar: self.bar.clone(), step: step.to_owned() })
    }
}

/// `1.2 s`, or milliseconds below a tenth.
fn seconds(took: chrono::TimeDelta) -> String {
    let ms = took.num_milliseconds().max(0);
    if ms < 100 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1_000, ms % 1_000 / 100) }
}

/// Progress inside one attempt, shown only where a line can move.
struct Within {
    bar: Option<ProgressBar>,
    step: String,
}

impl Progress for Within {
    fn delta(&self, _text: &str) {}

    fn advanced(&self, done: u64, total: Option<u64>, unit: &str) {
        if let Some(bar) = &self.bar {
            let total = total.map_or_else(String::new, |total| format!(" of {total}"));
            bar.set_message(format!("{}: {done}{total} {unit}", self.step));
        }
    }
}
