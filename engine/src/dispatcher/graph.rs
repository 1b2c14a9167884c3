//! The plan turned round: who follows whom. Built once per plan and shared by all its runs.
//!
//! Invariant: a node below `plan.steps.len()` is a step, the others are groups; a step stands at most once among the
//! followers of a node.

use std::collections::HashMap;
use std::sync::Arc;

use language::plan::{GroupIndex, Need, NeedKind, Phase, RetryPolicy, StepIndex, Target};
use language::{Control, CostKind, Effect, EffectRule, Plan};
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
    /// By step and entry: the step's own executor, then those of its fallbacks.
    rules: Vec<Vec<Option<Rule>>>,
    main_steps: usize,
}

/// What the dispatcher has to know of a step's executor.
#[derive(Debug, Clone)]
struct Rule {
    effect: EffectRule,
    starts_child: bool,
    control: Option<Control>,
    /// Every call of it goes through a connection of the tenant, whether the config names one or not.
    connects: bool,
    /// Whether somebody charges for its calls.
    buys: bool,
}

impl Graph {
    #[must_use]
    pub fn new(plan: Arc<Plan>, registry: &Registry) -> Self {
        let steps = plan.steps.len();
        let mut followers = vec![Vec::new(); steps + plan.groups.len()];
        let mut needs = Vec::with_capacity(steps);
        for (index, step) in plan.steps.iter().enumerate() {
            // Whatever a handler reads of the other phases is settled when its turn comes.
            let together = |need: &&Need| same_turn(&plan, step.phase, need.target);
            let mut nodes: Vec<Node> =
                step.needs.iter().filter(together).map(|need| node_of(steps, need.target)).collect();
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
            Some(Rule {
                effect: spec.effect.clone(),
                starts_child: spec.cost == CostKind::Child,
                control: spec.control,
                connects: spec.cost == CostKind::Tokens,
                buys: spec.cost == CostKind::Tokens,
            })
        };
        let rules = plan
            .steps
            .iter()
            .map(|step| {
                let fallbacks = step.fallbacks.iter().map(|fallback| rule(&fallback.executor));
                std::iter::once(rule(&step.executor)).chain(fallbacks).collect()
            })
            .collect();
        let main_steps = plan.steps.iter().filter(|step| step.phase == Phase::Main).count();
        Self { plan, followers, needs, by_name, rules, main_steps }
    }

    /// What running the step twice would do, as far as plan and config can tell; unsafe where they cannot. A child flow
    /// is found again by its key and guards its own steps, so that starting it is idempotent.
    #[must_use]
    pub fn effect(&self, step: StepIndex, entry: u32, config: Option<&Value>) -> Effect {
        let rule = self.rule(step, entry);
        if rule.is_some_and(|rule| rule.starts_child) {
            return Effect::Idempotent;
        }
        let by_config = || match (&rule?.effect, config?) {
            (EffectRule::Always(effect), _) => Some(*effect),
            (EffectRule::StrictestChild, _) => None,
            (EffectRule::ByMethod { field }, config) => Some(effect_by_method(field, config)),
        };
        self.written_effect(step, entry).or_else(by_config).unwrap_or(Effect::Unsafe)
    }

    fn rule(&self, step: StepIndex, entry: u32) -> Option<&Rule> {
        self.rules[step].get(entry as usize)?.as_ref()
    }

    /// Whether the engine does the step itself, by waiting.
    pub(crate) fn control(&self, step: StepIndex, entry: u32) -> Option<Control> {
        self.rule(step, entry)?.control
    }

    /// Whether an attempt may go through a connection of the tenant, whose settings may limit how many do at once.
    pub(crate) fn connects(&self, step: StepIndex, entry: u32, config: Option<&Value>) -> bool {
        let names_one = config.is_some_and(|config| config.get("connection").is_some());
        names_one || self.rule(step, entry).is_some_and(|rule| rule.connects)
    }

    /// Whether the entry runs another flow.
    pub(crate) fn starts_child(&self, step: StepIndex, entry: u32) -> bool {
        self.rule(step, entry).is_some_and(|rule| rule.starts_child)
    }

    /// What the author says of the entry's effect.
    pub(crate) fn written_effect(&self, step: StepIndex, entry: u32) -> Option<Effect> {
        let plan = &self.plan.steps[step];
        match entry.checked_sub(1) {
            None => plan.effect,
            Some(fallback) => plan.fallbacks.get(fallback as usize).and_then(|fallback| fallback.effect),
        }
    }

    /// Whether somebody charges for the entry's calls.
    pub(crate) fn buys(&self, step: StepIndex, entry: u32) -> bool {
        self.rule(step, entry).is_some_and(|rule| rule.buys)
    }

    /// How many steps the flow has without its handlers.
    pub(crate) const fn main_steps(&self) -> usize {
        self.main_steps
    }

    /// When a node has its turn; a group has that of its members.
    pub(crate) fn phase(&self, node: Node) -> Phase {
        let step = match self.group_of(node) {
            None => Some(node),
            Some(group) => self.plan.groups[group].members.first().copied(),
        };
        step.map_or(Phase::Main, |step| self.plan.steps[step].phase)
    }

    /// The policy of a step's entry.
    pub(crate) fn retry(&self, step: StepIndex, entry: u32) -> &RetryPolicy {
        let plan = &self.plan.steps[step];
        let fallback = entry.checked_sub(1).and_then(|fallback| plan.fallbacks.get(fallback as usize));
        fallback.map_or(&plan.retry, |fallback| &fallback.retry)
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

    /// What a step waits for, with the reasons.
    pub(crate) fn reasons(&self, step: StepIndex) -> impl Iterator<Item = &Need> {
        let plan = &self.plan.steps[step];
        plan.needs.iter().filter(move |need| same_turn(&self.plan, plan.phase, need.target))
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

/// Whether two steps have their turn together, so that one can wait for the other.
fn same_turn(plan: &Plan, phase: Phase, target: Target) -> bool {
    let other = match target {
        Target::Step(step) => plan.steps.get(step),
        Target::Group(group) => {
            plan.groups.get(group).and_then(|group| group.members.first()).and_then(|step| plan.steps.get(*step))
        }
    };
    match phase {
        Phase::Compensation { .. } => false,
        phase => other.is_some_and(|other| other.phase == phase),
    }
}

/// Whether a skip travels over this need: declared dependencies and reads of outputs, and sources of the main input where
/// the call gives none (`is_fed`).
pub(crate) fn carries_skips(need: &Need, is_fed: bool) -> bool {
    need.why.iter().any(|why| match why {
        NeedKind::Declared | NeedKind::ReadOutput => true,
        NeedKind::MainInput => !is_fed,
        NeedKind::ReadRecord | NeedKind::Order => false,
    })
}

pub(crate) fn effect_by_method(field: &str, config: &Value) -> Effect {
    let has_body = ["json", "form", "body", "file"].iter().any(|key| config.get(key).is_some());
    let method = config.get(field).and_then(Value::as_str).map(str::to_ascii_uppercase);
    match method.as_deref() {
        Some("GET" | "HEAD" | "OPTIONS") => Effect::Pure,
        Some("PUT" | "DELETE") => Effect::Idempotent,
        None if !has_body => Effect::Pure,
        _ => Effect::Unsafe,
    }
}
