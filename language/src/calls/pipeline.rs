//! From one flow of a pipeline to the next: what the one before declares to give, against what the next one takes.
//!
//! Invariant: as of all calls, only what is sure to fail is told; what nobody knows of an output fits everything.

use serde_json::Value;

use super::fit::{self, Fits};
use super::places::{At, Places};
use super::{Call, problem};
use crate::check::{field_schema, misfit};
use crate::codes;
use crate::node::{Kind, Node};
use crate::plan::{InputKind, InputPlan, Plan};
use crate::problem::Problem;
use crate::source::{Anchor, Span};
use crate::suggest;
use crate::templates;

/// A flow of a pipeline and the one before it.
struct Stage<'c> {
    call: &'c Call<'c>,
    callee: Option<&'c Plan>,
    before: &'c Call<'c>,
    /// JSON Schema of what the one before gives.
    output: &'c Value,
}

/// The hand-overs of all pipelines.
pub(super) fn check(calls: &[Call<'_>], fits: &Fits<'_>, places: &Places, problems: &mut Vec<Problem>) {
    for (index, call) in calls.iter().enumerate() {
        let Some(position) = position(call).filter(|position| *position > 0) else { continue };
        let is_before = |other: &&Call<'_>| {
            std::ptr::eq(other.step, call.step)
                && other.entry == call.entry
                && self::position(other) == Some(position - 1)
        };
        let Some(before) = calls[..index].iter().rev().find(is_before) else { continue };
        let Some(giver) = calls[..index].iter().position(|other| std::ptr::eq(other, before)) else { continue };
        let Some(giver) = fits.callee(giver, before) else { continue };
        let stage = Stage { call, callee: fits.callee(index, call), before, output: &giver.output_schema };
        let mapping = places.node(call, &format!("/flows/{position}/inputs"));
        match mapping.filter(|mapping| !mapping.is_null()) {
            None => stage.handed_on(places, problems),
            Some(mapping) => stage.mapped(mapping, places, problems),
        }
    }
}

/// Which flow of its pipeline it is.
fn position(call: &Call<'_>) -> Option<usize> {
    let rest = call.pointer.strip_prefix("/flows/")?;
    rest.strip_suffix("/flow_name").unwrap_or(rest).parse().ok()
}

impl Stage<'_> {
    /// The whole output becomes the inputs, as far as they are declared.
    fn handed_on(&self, places: &Places, problems: &mut Vec<Problem>) {
        let Some((callee, declared)) = self.callee.and_then(|callee| Some((self.call.name, callee.inputs.as_ref()?)))
        else {
            return;
        };
        let giver = self.before.name;
        let at = places.of_config(self.call, &self.call.pointer, At::Value);
        let object = serde_json::json!({ "type": "object" });
        if let Some((_, given)) = misfit(self.output, &object) {
            let message = format!("`{callee}` takes inputs by name, and `{giver}` gives {given}");
            let hint = "Say which input it is: `{flow_name: ..., inputs: {name: \"{{ output }}\"}}`.".to_owned();
            problems.push(problem(self.call, codes::CALLEE_INPUT, (&message, Some(hint)), at));
            return;
        }
        for input in declared {
            let path = [input.name.clone()];
            match field_schema(self.output, &path) {
                Err(_) if input.required => {
                    let message = format!("`{callee}` needs `{}`, which `{giver}` does not give", input.name);
                    let hint = "Give it by `inputs` beside the flow's name.".to_owned();
                    problems.push(problem(self.call, codes::CALLEE_INPUT, (&message, Some(hint)), at));
                }
                Ok(given) => self.fits(input, &given, at, problems),
                Err(_) => {}
            }
        }
    }

    /// Templates over `output`.
    fn mapped(&self, mapping: &Node, places: &Places, problems: &mut Vec<Problem>) {
        let mut texts = Vec::new();
        fit::collect(Some(mapping), false, &mut texts);
        for (node, text, _) in texts {
            let anchor = Anchor { source: places.source(), text, scalar: Some(node.span) };
            let found = templates::scan(text).unwrap_or_default();
            for read in found.reads.iter().filter(|read| read.root == "output" && !read.guarded) {
                if let Err((field, known)) = field_schema(self.output, &read.path) {
                    let message = format!("`{}` gives no `{}`", self.before.name, crate::reader::shorten(&field));
                    let hint = suggest::did_you_mean(&field, known.iter().map(String::as_str));
                    let span = anchor.span(read.range.start, read.range.end);
                    problems.push(problem(self.call, codes::UNKNOWN_OUTPUT, (&message, Some(hint)), Some(span)));
                }
            }
        }
        let declared = self.callee.and_then(|callee| callee.inputs.as_ref());
        let (Some(declared), Kind::Map(entries)) = (declared, &mapping.kind) else { return };
        for entry in entries {
            let input = declared.iter().find(|input| input.name == entry.key);
            if let (Some(input), Some(given)) = (input, entry.value.as_str().and_then(|text| self.given(text))) {
                self.fits(input, &given, Some(entry.value.span), problems);
            }
        }
    }

    /// What is known of a text that is exactly one look-up in the output.
    fn given(&self, text: &str) -> Option<Value> {
        let (_, inner) = templates::only_expression(text)?;
        let found = templates::scan_expression(inner).ok()?;
        let [read] = found.reads.as_slice() else { return None };
        let is_bare = read.root == "output" && !read.computed && inner.trim().len() == read.range.len();
        is_bare.then(|| field_schema(self.output, &read.path).ok()).flatten()
    }

    fn fits(&self, input: &InputPlan, given: &Value, at: Option<Span>, problems: &mut Vec<Problem>) {
        if input.kind == InputKind::File {
            return;
        }
        if let Some((taken, given)) = misfit(given, &input.schema) {
            let (name, callee, giver) = (&input.name, self.call.name, self.before.name);
            let message = format!("the input `{name}` of `{callee}` takes {taken}, and `{giver}` gives {given}");
            problems.push(problem(self.call, codes::CALLEE_INPUT, (&message, None), at));
        }
    }
}
