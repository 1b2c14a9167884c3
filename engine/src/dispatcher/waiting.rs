//! Steps that wait for a time, a signal or a person, and what comes from outside into a run.
//!
//! Invariant: a wait holds nothing but its entry in the journal; a delivery is taken in once, whatever is redelivered; a
//! signal nobody waits for yet is kept.

use chrono::{DateTime, Utc};
use domain::{Failure, FailureKind, RunStatus, StepStatus};
use language::Control;
use serde_json::{Map, Value, json};

use super::resume::capitalised;
use super::signal::{Command, Timer};
use super::turn::{Turn, later};
use super::unit::Place;
use crate::event::{ApprovalAsked, Event, Outside, Resolution, SkipReason, Stored, Waiting};

impl Turn<'_> {
    pub(super) fn begin_waiting(&mut self, place: Place, control: Control) {
        let empty = Value::Null;
        let config = self.state.unit(place).config.as_ref().unwrap_or(&empty);
        let waiting = match control {
            Control::Wait => wait_of(config, self.at),
            Control::Approval => approval_of(config, self.at),
        };
        let waiting = match waiting {
            Ok(waiting) => waiting,
            Err(message) => {
                let line = Some(self.plan(place.step).line);
                let failure = Failure::new(FailureKind::Flow, "config_invalid", message).at_line(line);
                self.unit_failed(place, failure, None, StepStatus::Failed);
                return;
            }
        };
        let first = self.state.steps[place.step].unit.started_at.is_none();
        let step = self.name(place.step);
        self.emit(Event::StepWaiting { step, item: place.item, waiting });
        if first {
            self.start_total_timer(place.step);
        }
        self.resume_waiting(place);
    }

    /// Takes what is in the mailbox already, else sets the alarm.
    pub(super) fn resume_waiting(&mut self, place: Place) {
        let Some(waiting) = self.state.unit(place).waiting.clone() else { return };
        if let Some(letter) = waiting.signal.as_deref().and_then(|name| self.state.take_letter(name)) {
            self.signalled(place, &letter.payload, &letter.by);
            return;
        }
        if let Some(at) = waiting.until {
            self.command(Command::StartTimer { timer: Timer::Wake(place), at });
        }
    }

    /// The time of a wait has come.
    pub(super) fn wait_is_over(&mut self, place: Place) {
        let Some(unit) = self.state.find(place).filter(|unit| unit.status == StepStatus::Waiting) else { return };
        let Some(waiting) = unit.waiting.clone().filter(|waiting| waiting.until.is_some_and(|at| at <= self.at)) else {
            return;
        };
        let on_time = |key: &str| {
            unit.config.as_ref().and_then(|config| config.get(key)).and_then(Value::as_str).map(str::to_owned)
        };
        if waiting.approval.is_some() {
            // A rejection by the clock is a rejection: where the flow goes on after one, it goes on here too.
            let on_expiry = match (on_time("on_expiry"), on_time("on_reject").as_deref()) {
                (Some(what), Some("continue")) if what == "reject" => Some("continue".to_owned()),
                (what, _) => what,
            };
            self.expired(place, on_expiry.as_deref());
        } else if let Some(name) = waiting.signal {
            if on_time("on_timeout").as_deref() == Some("continue") {
                let output = json!({"reason": "timeout", "payload": null, "by": null, "at": self.at});
                self.settle_success(place, StepStatus::Succeeded, Stored::Inline(output), None);
                return;
            }
            let message = format!("{} waited for the signal `{name}`, and none came.", self.subject(place));
            self.wait_failed(place, FailureKind::Timeout, "signal_timeout", message, StepStatus::TimedOut);
        } else {
            let output = json!({"reason": "time", "payload": null, "by": null, "at": self.at});
            self.settle_success(place, StepStatus::Succeeded, Stored::Inline(output), None);
        }
    }

    fn expired(&mut self, place: Place, on_expiry: Option<&str>) {
        let output = |approved: bool| {
            json!({
                "approved": approved, "decision": "expired", "by": null, "comment": null, "form": null, "at": self.at,
            })
        };
        match on_expiry {
            Some("approve") => {
                let output = Stored::Inline(output(true));
                self.settle_success(place, StepStatus::Succeeded, output, None);
            }
            Some("continue") => {
                let output = Stored::Inline(output(false));
                self.settle_success(place, StepStatus::Succeeded, output, None);
            }
            Some("reject") => {
                let message = format!("{} was rejected, because nobody decided in time.", self.subject(place));
                self.wait_failed(place, FailureKind::Fail, "rejected", message, StepStatus::Failed);
            }
            _ => {
                let message = format!("{} waited for an approval, and nobody decided in time.", self.subject(place));
                self.wait_failed(place, FailureKind::Timeout, "approval_expired", message, StepStatus::TimedOut);
            }
        }
    }

    fn wait_failed(&mut self, place: Place, kind: FailureKind, code: &str, message: String, status: StepStatus) {
        let line = Some(self.plan(place.step).line);
        let failure = Failure::new(kind, code, message).retryable(false).at_line(line);
        self.unit_failed(place, failure, None, status);
    }

    fn subject(&self, place: Place) -> String {
        capitalised(&self.called(place))
    }

    /// A delivery from the run's inbox.
    pub(super) fn outside(&mut self, delivery: String, by: &str, what: &Outside) {
        if self.state.heard.contains(&delivery) || self.state.started_at.is_none() {
            return;
        }
        let parked = match what {
            Outside::Resolve { step, item, .. } => self.place_of(step, *item).filter(|place| self.is_parked(*place)),
            _ => None,
        };
        self.emit(Event::OutsideReceived { delivery, by: by.to_owned(), what: what.clone() });
        match what {
            Outside::Signal { name, .. } => self.deliver(name),
            Outside::Decision { step, item, approved, comment, form } => {
                if let Some(place) = self.place_of(step, *item) {
                    self.decided(place, by, *approved, comment.as_deref(), form);
                }
            }
            Outside::Resolve { resolution, .. } => {
                if let Some(place) = parked {
                    self.resolved(place, by, resolution.clone());
                }
            }
            Outside::Kill { reason } => self.kill(by, reason),
        }
    }

    fn is_parked(&self, place: Place) -> bool {
        self.state.unit(place).status == StepStatus::NeedsAttention
    }

    fn place_of(&self, step: &str, item: Option<u32>) -> Option<Place> {
        let place = Place { step: self.graph.step_named(step)?, item };
        self.state.find(place).map(|_| place)
    }

    /// Gives a signal to the first step that waits for it.
    fn deliver(&mut self, name: &str) {
        let waits = |state: &super::state::State, place: Place| {
            let unit = state.unit(place);
            unit.status == StepStatus::Waiting
                && unit.waiting.as_ref().is_some_and(|waiting| waiting.signal.as_deref() == Some(name))
        };
        let found = self.state.places().find(|place| waits(self.state, *place));
        if let Some(place) = found
            && let Some(letter) = self.state.take_letter(name)
        {
            self.signalled(place, &letter.payload, &letter.by);
        }
    }

    fn signalled(&mut self, place: Place, payload: &Value, by: &str) {
        let output = json!({"reason": "signal", "payload": payload, "by": by, "at": self.at});
        self.settle_success(place, StepStatus::Succeeded, Stored::Inline(output), None);
    }

    fn decided(&mut self, place: Place, by: &str, approved: bool, comment: Option<&str>, form: &Value) {
        let unit = self.state.unit(place);
        let asked = unit.waiting.as_ref().is_some_and(|waiting| waiting.approval.is_some());
        if unit.status != StepStatus::Waiting || !asked {
            return;
        }
        let goes_on = unit.config.as_ref().and_then(|config| config.get("on_reject")).and_then(Value::as_str);
        if approved || goes_on == Some("continue") {
            let decision = if approved { "approved" } else { "rejected" };
            let output = json!({
                "approved": approved, "decision": decision, "by": by, "comment": comment, "form": form, "at": self.at,
            });
            self.settle_success(place, StepStatus::Succeeded, Stored::Inline(output), None);
            return;
        }
        let why = comment.map_or_else(String::new, |comment| format!(": {comment}"));
        let message = format!("{} was rejected by {by}{why}.", self.subject(place));
        self.wait_failed(place, FailureKind::Fail, "rejected", message, StepStatus::Failed);
    }

    /// What a person says of a step that needs attention.
    fn resolved(&mut self, place: Place, by: &str, resolution: Resolution) {
        let error = self.state.unit(place).error.clone();
        match resolution {
            Resolution::Complete { output } => {
                self.settle_success(place, StepStatus::Succeeded, Stored::Inline(output), None);
            }
            Resolution::Retry if place.item.is_none() && self.state.steps[place.step].items.is_some() => {
                self.pump_items(place.step);
            }
            Resolution::Retry if self.state.unit(place).status == StepStatus::Pending => {
                if self.state.steps[place.step].waiting == 0 {
                    self.decide(place.step);
                }
            }
            Resolution::Retry => self.resume_unit(place),
            Resolution::Fail => {
                let message = format!("{by} decided that {} failed.", self.called(place));
                let failure = error.unwrap_or_else(|| Failure::new(FailureKind::Unknown, "resolved_failed", message));
                if place.item.is_some() {
                    self.settle_item(place, StepStatus::Failed, None, Some(failure), None, None);
                } else {
                    self.give_up(place.step, failure);
                }
            }
        }
    }

    /// The end, at once, without handlers.
    fn kill(&mut self, by: &str, reason: &str) {
        let message = format!("The run was killed by {by}: {reason}");
        let failure = Failure::new(FailureKind::Cancelled, "killed", message);
        for step in 0..self.state.steps.len() {
            if !self.state.steps[step].unit.status.is_settled() {
                let (status, attempt) = (self.state.steps[step].unit.status, self.state.steps[step].unit.attempts);
                self.state.steps[step].unit.falling_back = None;
                let usage = self.unseen(Place::of(step));
                if self.state.steps[step].items.is_some() {
                    self.cut_items(step, &failure, StepStatus::Cancelled);
                } else if status == StepStatus::Running {
                    self.command(Command::CancelAttempt { place: Place::of(step), attempt, grace: false });
                }
                self.emit(Event::StepSettled {
                    step: self.name(step),
                    status: StepStatus::Cancelled,
                    attempts: self.attempts_of(step),
                    output: None,
                    error: Some(failure.clone()),
                    reason: Some(SkipReason::Cancelled),
                    usage,
                    taken_on: false,
                    reused_from: None,
                });
            }
        }
        self.state.ready.clear();
        self.settle_run(RunStatus::Killed, None, Some(failure), None);
    }
}

impl super::state::State {
    /// Every unit there is: steps, and behind each its items.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.steps.iter().enumerate().flat_map(|(step, state)| {
            let items = state.items.as_ref().map_or(0, |items| items.units.len());
            let items = u32::try_from(items).unwrap_or(u32::MAX);
            std::iter::once(Place::of(step)).chain((0..items).map(move |item| Place::item(step, item)))
        })
    }

    fn take_letter(&mut self, name: &str) -> Option<super::state::Letter> {
        let letters = self.mailbox.get_mut(name)?;
        let letter = letters.pop_front();
        if letters.is_empty() {
            self.mailbox.remove(name);
        }
        letter
    }
}

fn duration_of(config: &Value, key: &str) -> Result<Option<u64>, String> {
    let bad = || format!("`{key}` must be a duration, such as `30s` or `2h`.");
    match config.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => language::duration::parse(text).ok_or_else(bad).map(Some),
        Some(Value::Number(number)) => number.as_f64().and_then(language::duration::seconds).ok_or_else(bad).map(Some),
        Some(_) => Err(bad()),
    }
}

fn text_of(config: &Value, key: &str) -> Option<String> {
    config.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn wait_of(config: &Value, at: DateTime<Utc>) -> Result<Waiting, String> {
    let span = duration_of(config, "for")?.map(|ms| later(at, ms));
    let moment = match text_of(config, "until") {
        None => None,
        Some(text) => match DateTime::parse_from_rfc3339(&text) {
            Ok(moment) => Some(moment.with_timezone(&Utc)),
            Err(_) => return Err(format!("`until` is `{text}`; it must be a time such as `2030-01-31T08:00:00Z`.")),
        },
    };
    let until = span.into_iter().chain(moment).min();
    let signal = text_of(config, "signal");
    if until.is_none() && signal.is_none() {
        return Err("A `wait` step needs `for`, `until` or `signal`.".to_owned());
    }
    Ok(Waiting { until, signal, approval: None })
}

fn approval_of(config: &Value, at: DateTime<Utc>) -> Result<Waiting, String> {
    let roles = config.get("roles").and_then(Value::as_array).into_iter().flatten();
    let approval = ApprovalAsked {
        message: text_of(config, "message"),
        roles: roles.filter_map(Value::as_str).map(str::to_owned).collect(),
        form: config.get("form").filter(|form| form.as_object().is_some_and(|form| *form != Map::new())).cloned(),
    };
    let until = duration_of(config, "expires_in")?.map(|ms| later(at, ms));
    Ok(Waiting { until, signal: None, approval: Some(approval) })
}
