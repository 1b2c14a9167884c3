//! The values a render may see: outputs loaded once, records made once.
//!
//! Invariant: a record is kept only of a settled step, whose record never changes again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::{Failure, NanoUsd, StepStatus};
use language::plan::{GroupIndex, OnItemError, Phase, StepIndex};
use minijinja::value::Serde;
use serde_json::{Value, json};

use super::Driver;
use crate::dispatcher::{Place, Unit};
use crate::event::Stored;
use crate::limits;
use crate::ports::{Blobs, PortError};
use crate::template::{GroupParts, ITEM, Reads, RecordParts, Scope, ScopeParts};

#[derive(Debug)]
pub(super) struct Values {
    /// Outputs that were in the blob store.
    loaded: Vec<Option<Arc<Value>>>,
    records: Vec<Option<minijinja::Value>>,
    /// Made when first read.
    inputs: Option<minijinja::Value>,
    /// Lists of `for_each` steps that were in the blob store.
    lists: HashMap<StepIndex, Arc<Value>>,
}

impl Values {
    pub(super) fn new(steps: usize) -> Self {
        Self { loaded: vec![None; steps], records: vec![None; steps], inputs: None, lists: HashMap::new() }
    }
}

/// A value from the journal or the blob store.
pub(super) async fn load(blobs: &dyn Blobs, stored: Stored) -> Result<Value, PortError> {
    match stored {
        Stored::Inline(value) => Ok(value),
        Stored::Blob { blob, .. } => blobs.get_value(&blob).await,
    }
}

/// A value for the journal: in the blob store if it is large. `None` if it is larger than an output may be.
pub(super) async fn store(blobs: &dyn Blobs, value: Value) -> Result<Option<Stored>, PortError> {
    let Some(bytes) = json_bytes(&value, limits::OUTPUT_BYTES) else { return Ok(None) };
    if bytes <= limits::INLINE_BYTES {
        return Ok(Some(Stored::Inline(value)));
    }
    let blob = blobs.put_value(&value).await?;
    Ok(Some(Stored::Blob { blob, size_bytes: bytes as u64 }))
}

/// The length as JSON; `None` over the limit.
fn json_bytes(value: &Value, limit: usize) -> Option<usize> {
    struct Counter {
        left: usize,
    }
    impl std::io::Write for Counter {
        fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
            self.left = self.left.checked_sub(piece.len()).ok_or(std::io::ErrorKind::FileTooLarge)?;
            Ok(piece.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter { left: limit };
    serde_json::to_writer(&mut counter, value).ok()?;
    Some(limit - counter.left)
}

/// Names that only one render sees, with their values.
pub(super) type Locals = Vec<(String, Value)>;

impl Driver {
    /// What templates of this unit see besides: its item, and in handlers what went wrong.
    pub(super) async fn locals(&mut self, place: Place) -> Result<Locals, PortError> {
        let mut locals = self.handler_locals(place.step);
        let each = self.prepared.plan().steps[place.step].for_each.clone();
        if let (Some(each), Some(item)) = (each, place.item) {
            let value = self.list_item(place.step, item).await?;
            // A compensation's list holds what its items gave, too.
            let undoes = matches!(self.prepared.plan().steps[place.step].phase, Phase::Compensation { .. });
            let record = match value {
                Value::Object(mut done) if undoes => {
                    done.insert("index".to_owned(), json!(item));
                    Value::Object(done)
                }
                value => json!({"value": value, "index": item}),
            };
            locals.push((each.name.unwrap_or_else(|| ITEM.to_owned()), record));
        }
        Ok(locals)
    }

    /// `error` and `failed_step`, in handlers alone.
    pub(super) fn handler_locals(&self, step: StepIndex) -> Locals {
        let Some(handling) = &self.state.handling else { return Locals::new() };
        if self.prepared.plan().steps[step].phase == Phase::Main {
            return Locals::new();
        }
        let error = handling.error.as_ref().map(error_json);
        vec![
            ("error".to_owned(), error.unwrap_or(Value::Null)),
            ("failed_step".to_owned(), json!(handling.failed_step)),
        ]
    }

    pub(super) async fn list_item(&mut self, step: StepIndex, item: u32) -> Result<Value, PortError> {
        let Some(items) = &self.state.steps[step].items else { return Ok(Value::Null) };
        let list = match &items.values {
            Stored::Inline(list) => list,
            Stored::Blob { blob, .. } => {
                if !self.values.lists.contains_key(&step) {
                    let list = self.surroundings.blobs.get_value(blob).await?;
                    self.values.lists.insert(step, Arc::new(list));
                }
                self.values.lists.get(&step).map_or(&Value::Null, |list| &**list)
            }
        };
        Ok(list.get(item as usize).cloned().unwrap_or(Value::Null))
    }

    /// The outputs of a step's items, as `on_item_error` wants them.
    pub(super) async fn gathered(&self, step: StepIndex) -> Result<Value, PortError> {
        let Some(items) = &self.state.steps[step].items else { return Ok(Value::Null) };
        let mode = self.prepared.plan().steps[step].for_each.as_ref().map(|each| each.on_item_error);
        let (mut results, mut indexes, mut errors) = (Vec::with_capacity(items.units.len()), Vec::new(), Vec::new());
        for (index, unit) in items.units.iter().enumerate() {
            let output = match &unit.output {
                Some(stored) if unit.status.is_success() => {
                    Some(load(&*self.surroundings.blobs, stored.clone()).await?)
                }
                _ => None,
            };
            match (output, mode) {
                (Some(output), _) => {
                    results.push(output);
                    indexes.push(index);
                }
                (None, Some(OnItemError::Drop)) => {}
                (None, _) => {
                    results.push(Value::Null);
                    errors.push(json!({"index": index, "error": unit.error.as_ref().map(error_json)}));
                }
            }
        }
        Ok(match mode {
            Some(OnItemError::Collect) => json!({"results": results, "errors": errors}),
            Some(OnItemError::Drop) => json!({"results": results, "indexes": indexes}),
            _ => Value::Array(results),
        })
    }

    /// Brings the outputs of these steps and of the groups' members into memory.
    pub(super) async fn load_outputs(&mut self, steps: &[StepIndex]) -> Result<(), PortError> {
        for step in steps {
            if let (Some(Stored::Blob { blob, .. }), None) =
                (&self.state.steps[*step].unit.output, &self.values.loaded[*step])
            {
                let value = self.surroundings.blobs.get_value(blob).await?;
                self.values.loaded[*step] = Some(Arc::new(value));
            }
        }
        Ok(())
    }

    /// A step's output; null where it has none. Blobs must have been loaded.
    pub(super) fn output(&self, step: StepIndex) -> &Value {
        match (&self.state.steps[step].unit.output, &self.values.loaded[step]) {
            (Some(Stored::Inline(value)), _) => value,
            (Some(Stored::Blob { .. }), Some(value)) => value,
            _ => &Value::Null,
        }
    }

    /// All steps whose records these reads want.
    pub(super) fn steps_read(&self, reads: &Reads) -> Vec<StepIndex> {
        let plan = self.prepared.plan();
        if reads.all_steps {
            return (0..plan.steps.len()).collect();
        }
        let mut steps: Vec<StepIndex> =
            reads.steps.iter().filter_map(|name| self.prepared.graph().step_named(name)).collect();
        for group in plan.groups.iter().filter(|group| reads.steps.contains(&group.name)) {
            steps.extend(&group.members);
        }
        steps
    }

    fn groups_read(&self, reads: &Reads) -> Vec<GroupIndex> {
        let groups = self.prepared.plan().groups.iter().enumerate();
        groups
            .filter(|(_, group)| reads.all_steps || reads.steps.contains(&group.name))
            .map(|(index, _)| index)
            .collect()
    }

    fn single_steps(&self, reads: &Reads) -> Vec<StepIndex> {
        let plan = self.prepared.plan();
        if reads.all_steps {
            return (0..plan.steps.len()).collect();
        }
        reads.steps.iter().filter_map(|name| self.prepared.graph().step_named(name)).collect()
    }

    /// The scope for a render here. Outputs must have been loaded.
    pub(super) fn scope(&mut self, reads: &Reads, nonce: Option<&str>, locals: &Locals) -> Scope {
        let mut scope = Scope::default();
        if reads.reads("inputs") {
            let inputs = self.values.inputs.get_or_insert_with(|| minijinja::Value::from(Serde(&self.run.inputs)));
            scope.set("inputs", inputs.clone());
        }
        for (name, value) in self.roots(reads).iter().chain(locals) {
            scope.set_json(name, value);
        }
        if reads.reads("steps") {
            let mut entries = BTreeMap::new();
            for step in self.single_steps(reads) {
                let name = self.prepared.plan().steps[step].name.clone();
                let record = self.record_value(step);
                entries.insert(name, record);
            }
            for group in self.groups_read(reads) {
                let value = self.group_value(group);
                entries.insert(self.prepared.plan().groups[group].name.clone(), value);
            }
            scope.set_steps(entries);
        }
        if reads.reads("secrets") {
            scope.set_secrets(nonce.map(str::to_owned));
        }
        scope
    }

    /// The same scope for a sandbox child.
    pub(super) fn scope_parts(&self, reads: &Reads, nonce: Option<&str>, locals: &Locals) -> ScopeParts {
        let mut parts = ScopeParts { nonce: nonce.map(str::to_owned), ..ScopeParts::default() };
        if reads.reads("inputs") {
            parts.roots.insert("inputs".to_owned(), self.run.inputs.clone());
        }
        parts.roots.extend(self.roots(reads));
        parts.roots.extend(locals.iter().cloned());
        if reads.reads("steps") {
            for step in self.single_steps(reads) {
                parts.steps.insert(self.prepared.plan().steps[step].name.clone(), self.record(step));
            }
            for group in self.groups_read(reads) {
                let plan = &self.prepared.plan().groups[group];
                let (status, success, skipped) = self.group_status(group);
                let member = |step: &StepIndex| (self.prepared.plan().steps[*step].name.clone(), self.record(*step));
                let members = plan.members.iter().map(member).collect();
                parts.groups.insert(plan.name.clone(), GroupParts { status, success, skipped, members });
            }
        }
        parts
    }

    fn roots(&self, reads: &Reads) -> Vec<(String, Value)> {
        let mut roots = Vec::new();
        if reads.reads("vars") {
            roots.push(("vars".to_owned(), self.state.vars.clone().unwrap_or_else(|| json!({}))));
        }
        if reads.reads("run") {
            let run = &self.run;
            roots.push((
                "run".to_owned(),
                json!({
                    "id": run.id, "created_at": run.created_at, "trigger": run.trigger, "labels": run.labels,
                    "test": run.test, "depth": run.depth, "epoch": self.state.epoch,
                }),
            ));
        }
        if reads.reads("flow") {
            roots.push(("flow".to_owned(), json!({"name": self.run.flow, "version": self.run.version})));
        }
        roots
    }

    fn record(&self, step: StepIndex) -> RecordParts {
        record_parts(&self.state.steps[step].unit, self.output(step).clone())
    }

    fn record_value(&mut self, step: StepIndex) -> minijinja::Value {
        if let Some(record) = &self.values.records[step] {
            return record.clone();
        }
        let record = self.record(step).value();
        if self.state.steps[step].unit.status.is_settled() {
            self.values.records[step] = Some(record.clone());
        }
        record
    }

    fn group_value(&mut self, group: GroupIndex) -> minijinja::Value {
        let (status, success, skipped) = self.group_status(group);
        let plan = self.prepared.plan().clone();
        let members = &plan.groups[group].members;
        let members = members.iter().map(|step| (plan.steps[*step].name.clone(), self.record_value(*step))).collect();
        GroupParts::value_of(&status, success, skipped, members)
    }

    fn group_status(&self, group: GroupIndex) -> (String, Option<bool>, bool) {
        match self.state.groups[group].status {
            Some(status) => (status.to_string(), Some(status.is_success()), status == StepStatus::Skipped),
            None if self.state.groups[group].started_at.is_some() => ("running".to_owned(), None, false),
            None => ("pending".to_owned(), None, false),
        }
    }
}

fn error_json(error: &Failure) -> Value {
    json!({"kind": error.kind, "code": error.code, "message": error.message, "retryable": error.retryable})
}

fn record_parts(step: &Unit, output: Value) -> RecordParts {
    let error = step.error.as_ref().map(error_json);
    let duration = step.started_at.zip(step.ended_at).map(|(start, end)| end - start);
    RecordParts {
        status: step.status.to_string(),
        success: step.success(),
        skipped: step.status == StepStatus::Skipped,
        cached: step.status == StepStatus::Cached,
        attempts: step.attempts,
        error,
        output,
        started_at: step.started_at.map(|at| at.to_rfc3339()),
        duration_ms: duration.and_then(|duration| u64::try_from(duration.num_milliseconds()).ok()),
        cost: step.cost.map(dollars),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for templates; sums are made of the integers")]
fn dollars(cost: NanoUsd) -> f64 {
    cost.0 as f64 / NanoUsd::PER_DOLLAR as f64
}
