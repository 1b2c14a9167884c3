//! Reads of steps and groups: which record, which field, and what that makes the reader wait for.
//!
//! Invariant: a read that comes back names a step or group that exists, and never the reader's own.

use super::outputs;
use super::scope::{Scope, Spot, StepRead, Templates};
use super::steps::BareRead;
use crate::codes;
use crate::names;
use crate::plan::{NeedKind, Phase, StepIndex, Target};
use crate::suggest;
use crate::templates::{self, Read};

impl Templates<'_, '_> {
    /// Resolves a look-up below `steps`.
    pub(super) fn step(&mut self, spot: Spot<'_>, read: &Read, scope: &Scope) -> Option<StepRead> {
        let Some(name) = read.path.first() else {
            let message =
                if read.computed { "a step's name must be written out" } else { "`steps` cannot be used as a whole" };
            let hint = "Name the step (`steps.extract`): the run must know beforehand what to wait for.";
            self.hint(spot, codes::COMPUTED_STEP, (message, hint));
            return None;
        };
        let Some(target) = self.names.get(name) else {
            let message = format!("there is no step `{}`", crate::reader::shorten(name));
            let hint = suggest::did_you_mean(name, self.names.all());
            self.hint(spot, codes::UNKNOWN_STEP, (message, hint));
            return None;
        };
        if let Some(own) = scope.own
            && super::order::own(own, target, self.names, || spot.span(), self.report)
        {
            return None;
        }
        if !self.may_read(spot, target, scope) {
            return None;
        }
        let (step, rest) = match target {
            Target::Step(step) => (step, &read.path[1..]),
            Target::Group(group) => {
                let Some(member) = read.path.get(1) else {
                    let step = self.names.rank(target).0;
                    return Some(StepRead { target, kind: NeedKind::ReadOutput, step, watched: None });
                };
                let step = self.member(spot, group, member)?;
                (step, &read.path[2..])
            }
        };
        let kind = self.field(spot, step, rest);
        let watched = rest.first().is_some_and(|field| names::WATCHED_FIELDS.contains(&field.as_str()));
        let is_deep = rest.len() > usize::from(rest.first().is_some_and(|field| field == "output"));
        if kind == NeedKind::ReadOutput && is_deep && !read.guarded && !self.report.is_full() {
            self.bare_reads.push(BareRead {
                reader: scope.reader,
                in_condition: scope.in_condition,
                step,
                span: spot.span(),
            });
        }
        Some(StepRead { target, kind, step, watched: watched.then_some(step) })
    }

    /// Whether the step has settled when the template is rendered.
    fn may_read(&mut self, spot: Spot<'_>, target: Target, scope: &Scope) -> bool {
        let phase = self.names.phase(target);
        if let (Phase::Compensation { .. }, Some(reader)) = (scope.phase, scope.undoes) {
            self.by_compensations.push((reader, target, spot.span()));
        }
        let is_settled = match scope.phase {
            Phase::Main | Phase::Compensation { .. } => phase == Phase::Main,
            Phase::OnError => matches!(phase, Phase::Main | Phase::OnError),
            Phase::Finally => true,
        };
        if !is_settled {
            let name = self.subject.steps[self.names.rank(target).0].name.value.as_str();
            let message = format!("`{name}` has its turn after this");
            let hint = "What `on_error` and `finally` hold runs after all other steps; only steps there can read it.";
            self.hint(spot, codes::OTHER_PHASE, (message, hint));
        }
        is_settled
    }

    fn member(&mut self, spot: Spot<'_>, group: usize, member: &str) -> Option<StepIndex> {
        let steps = self.subject.steps;
        let members = &self.names.groups[group].members;
        let found = members.iter().copied().find(|step| steps[*step].name.value == member);
        if found.is_none() {
            let known: Vec<&str> = members.iter().map(|step| steps[*step].name.value.as_str()).collect();
            let name = self.names.groups[group].name;
            let hint = if names::RECORD_FIELDS.contains(&member) {
                format!("A group maps its members to their records: `steps.{name}.{}.{member}`.", known[0])
            } else {
                suggest::did_you_mean(member, known)
            };
            let message = format!("the group `{name}` has no member `{}`", crate::reader::shorten(member));
            self.hint(spot, codes::UNKNOWN_STEP, (message, hint));
        }
        found
    }

    /// What a look-up in a record reads, and a warning where the output has no such field.
    fn field(&mut self, spot: Spot<'_>, step: StepIndex, rest: &[String]) -> NeedKind {
        let path = match rest.first().map(String::as_str) {
            None => return NeedKind::ReadOutput,
            Some("output") => &rest[1..],
            Some(field) if names::RECORD_FIELDS.contains(&field) => return NeedKind::ReadRecord,
            Some(_) => rest,
        };
        if let Err((field, known)) = outputs::field_schema(&self.schemas[step], path) {
            let facts = self.subject.steps[step];
            let (name, executor) = (&facts.name.value, &facts.executor.value);
            let message =
                format!("the output of `{name}` ({executor}) has no field `{}`", crate::reader::shorten(&field));
            let known: Vec<&str> =
                known.iter().map(String::as_str).chain(names::RECORD_FIELDS.iter().copied()).collect();
            let hint = suggest::nearest(&field, known.iter().copied()).map_or_else(
                || {
                    let fields: Vec<String> = known[..known.len() - names::RECORD_FIELDS.len()]
                        .iter()
                        .map(|name| format!("`{name}`"))
                        .collect();
                    format!("It has {}.", fields.join(", "))
                },
                |name| format!("Did you mean `{name}`?"),
            );
            self.hint(spot, codes::UNKNOWN_OUTPUT, (message, hint));
        }
        NeedKind::ReadOutput
    }

    /// Holds what a status is compared with to the statuses that there are.
    pub(super) fn comparison(&mut self, spot: Spot<'_>, comparison: &templates::Comparison) {
        let rest = match comparison.path.first().and_then(|name| self.names.get(name)) {
            Some(Target::Step(_)) => &comparison.path[1..],
            Some(Target::Group(_)) if comparison.path.len() > 2 => &comparison.path[2..],
            _ => return,
        };
        if rest != ["status"] {
            return;
        }
        if comparison.is_text && names::statuses().any(|status| status == comparison.literal) {
            return;
        }
        let literal = crate::reader::shorten(&comparison.literal);
        let message = format!("`{literal}` is no status of a step");
        let meant = match comparison.literal.as_str() {
            "success" | "ok" | "done" | "completed" => Some("succeeded"),
            "failure" | "error" => Some("failed"),
            other => suggest::nearest(other, names::statuses()),
        };
        let hint = match meant {
            Some(status) => format!("Did you mean `{status}`?"),
            None if !comparison.is_text => "For a field of the output with this name write `output.status`.".to_owned(),
            None => format!("One of {}.", names::statuses().collect::<Vec<_>>().join(", ")),
        };
        self.hint(spot, codes::NOT_A_STATUS, (message, hint));
    }
}
