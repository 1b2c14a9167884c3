//! The plan turned round: who follows whom. Built once per plan and shared by all its runs.
//!
//! Invariant: a node below `plan.steps.len()` is a step, the others are groups; a step stands at most once among the
//! followers of a node.

use std::collections::HashMap;
use std::sync::Arc;

use language::plan::{GroupIndex, Need, NeedKind, StepIndex, Target};
use language::{CostKind, Effect, EffectRule, Plan};
use serde_json::Value;

use crate::executor::Registry;

/// A step or a group: steps first, groups after them.
pub type Node = usize;

#[derive(Debug, Clone)]
pub struct Graph {
    plan: Arc<Plan>,
    followers: Vec<Vec<StepIndex>>,
    needs: Vec<Vec<Node>>,
    by_name: HashMap<String, StepIndex>,
    rules: Vec<Option<Rule>>,
}

/// What the dispatcher has to know of a step's executor.
#[derive(Debug, Clone)]
struct Rule {
    effect: EffectRule,
    starts_child: bool,
}

impl Graph {
    #[must_use]
    pub fn new(plan: Arc<Plan>, registry: &Registry) -> Self {
        let steps = plan.steps.len();
        let mut followers = vec![Vec::new(); steps + plan.groups.len()];
        let mut needs = Vec::with_capacity(steps);
        for (index, step) in plan.steps.iter().enumerate() {
            let mut nodes: Vec<Node> = step.needs.iter().map(|need| node_of(steps, need.target)).collect();
            nodes.sort_unstable();
            nodes.dedup();
            for node in &nodes {
                followers[*node].push(index);
            }
            needs.push(nodes);
        }
        let by_name = plan.steps.iter().enumerate().map(|(index, step)| (step.name.clone(), index)).collect();
        let rule = |name: &str| {
            let spec = registry.get(name)?.spec();
            Some(Rule { effect: spec.effect.clone(), starts_child: spec.cost == CostKind::Child })
        };
        let rules = plan.steps.iter().map(|step| rule(&step.executor)).collect();
        Self { plan, followers, needs, by_name, rules }
    }

    /// What running the step twice would do, as far as plan and config can tell; unsafe where they cannot. A child flow
    /// is found again by its key and guards its own steps, so that starting it is idempotent.
    #[must_use]
    pub fn effect(&self, step: StepIndex, config: Option<&Value>) -> Effect {
        let rule = self.rules[step].as_ref();
        if rule.is_some_and(|rule| rule.starts_child) {
            return Effect::Idempotent;
        }
        let by_config = || match (&rule?.effect, config?) {
            (EffectRule::Always(effect), _) => Some(*effect),
            (EffectRule::StrictestChild, _) => None,
            (EffectRule::ByMethod { field }, config) => Some(effect_by_method(field, config)),
        };
        self.plan.steps[step].effect.or_else(by_config).unwrap_or(Effect::Unsafe)
    }

    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    #[must_use]
    pub fn step_named(&self, name: &str) -> Option<StepIndex> {
        self.by_name.get(name).copied()
    }

    /// What a node is called, for people.
    #[must_use]
    pub fn name(&self, node: Node) -> &str {
        match node.checked_sub(self.plan.steps.len()) {
            None => &self.plan.steps[node].name,
            Some(group) => &self.plan.groups[group].name,
        }
    }

    pub(crate) fn followers(&self, node: Node) -> &[StepIndex] {
        &self.followers[node]
    }

    pub(crate) fn needs(&self, step: StepIndex) -> &[Node] {
        &self.needs[step]
    }

    pub(crate) fn group_node(&self, group: GroupIndex) -> Node {
        self.plan.steps.len() + group
    }

    pub(crate) fn group_of(&self, node: Node) -> Option<GroupIndex> {
        node.checked_sub(self.plan.steps.len())
    }

    pub(crate) fn node(&self, target: Target) -> Node {
        node_of(self.plan.steps.len(), target)
    }

    /// All steps with a path from `origin`, itself left out.
    pub(crate) fn descendants(&self, origin: StepIndex) -> Vec<bool> {
        let mut found = vec![false; self.plan.steps.len()];
        let mut open: Vec<Node> = vec![origin];
        while let Some(node) = open.pop() {
            if let Some(group) = self.plan.steps.get(node).and_then(|step| step.group) {
                // Whoever follows the group follows its members; the other members do not.
                open.extend(self.followers[self.group_node(group)].iter().filter(|step| mark(&mut found, **step)));
            }
            open.extend(self.followers[node].iter().filter(|step| mark(&mut found, **step)));
        }
        found
    }
}

fn mark(found: &mut [bool], step: StepIndex) -> bool {
    !std::mem::replace(&mut found[step], true)
}

fn node_of(steps: usize, target: Target) -> Node {
    match target {
        Target::Step(step) => step,
        Target::Group(group) => steps + group,
    }
}

/// Whether a skip travels over this need: declared dependencies and reads of outputs, main input included.
pub(crate) fn carries_skips(need: &Need) -> bool {
    need.why.iter().any(|why| matches!(why, NeedKind::Declared | NeedKind::ReadOutput | NeedKind::MainInput))
}

fn effect_by_method(field: &str, config: &Value) -> Effect {
    let has_body = ["json", "form", "body", "file"].iter().any(|key| config.get(key).is_some());
    let method = config.get(field).and_then(Value::as_str).map(str::to_ascii_uppercase);
    match method.as_deref() {
        Some("GET" | "HEAD" | "OPTIONS") => Effect::Pure,
        Some("PUT" | "DELETE") => Effect::Idempotent,
        None if !has_body => Effect::Pure,
        _ => Effect::Unsafe,
    }
}
