//! Random flows: every construct of the language, in any combination that a plan may have.
//!
//! Invariant: a flow that is not racy comes to the same in whatever order its attempts end.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use engine::{Call, Done, Executor, Failed, Registry};
use language::plan::{
    CacheMode, CachePlan, CacheScope, ConcurrencyPlan, Expression, FailureClass, FallbackPlan, ForEachPlan, GroupPlan,
    Join, Need, NeedKind, OnError, OnItemError, OnLimit, OnSkip, OnUnknown, Phase, RepeatPlan, ResourcePlan,
    RetryPolicy, RunIf, Save, StepPlan, Target,
};
use language::{Control, CostKind, Effect, EffectRule, ExecutorSpec, Plan};
use serde_json::{Map, Value, json};

use crate::dice::Dice;

const NEVER_MS: u64 = 1_000_000_000_000;

/// The executors of the made-up world: one that acts, two that wait, one that runs other flows, and one whose calls cost
/// money and go through a connection with a limit.
pub(crate) fn registry() -> Registry {
    let specs = [
        spec("act", None),
        spec("wait", Some(Control::Wait)),
        spec("approval", Some(Control::Approval)),
        ExecutorSpec { cost: CostKind::Child, effect: EffectRule::StrictestChild, ..spec("nest", None) },
        ExecutorSpec { cost: CostKind::Tokens, ..spec("buy", None) },
    ];
    Registry::new(specs.map(|spec| Arc::new(Actor(spec)) as Arc<dyn Executor>))
}

/// Never asked: the world answers for it.
struct Actor(ExecutorSpec);

#[async_trait]
impl Executor for Actor {
    fn spec(&self) -> &ExecutorSpec {
        &self.0
    }

    async fn run(&self, _call: &Call, _config: Value) -> Result<Done, Failed> {
        Ok(Done::free(Value::Null))
    }
}

fn spec(name: &str, control: Option<Control>) -> ExecutorSpec {
    ExecutorSpec {
        name: name.to_owned(),
        version: 1,
        summary: "Acts in the simulation.".to_owned(),
        config: json!({}),
        output: json!({}),
        main_input: None,
        marked: Vec::new(),
        effect: EffectRule::Always(Effect::Pure),
        cost: CostKind::Free,
        streams: false,
        open_config: false,
        default_attempts: 1,
        file_fields: Vec::new(),
        raw_fields: Vec::new(),
        secret_fields: Vec::new(),
        control,
    }
}

pub(crate) fn random(dice: &mut Dice, racy: bool) -> Plan {
    let count = 1 + dice.below(10);
    let mut steps = Vec::new();
    let mut groups: Vec<GroupPlan> = Vec::new();
    let mut open: Option<usize> = None;
    for index in 0..count {
        let mut step = step_plan(format!("s{index}"), Phase::Main);
        open = next_group(dice, racy, &mut groups, open);
        if let Some(group) = open {
            step.group = Some(group);
            groups[group].members.push(index);
        }
        add_needs(dice, &mut step, index, &steps, &groups, open);
        dress(dice, &mut step, racy);
        steps.push(step);
    }
    add_handlers(dice, &mut steps, racy);
    let timeout_ms = (racy && dice.chance(15)).then(|| 1 + dice.below(2_000) as u64);
    plan(steps, groups, racy && dice.chance(25), timeout_ms)
}

fn next_group(dice: &mut Dice, racy: bool, groups: &mut Vec<GroupPlan>, open: Option<usize>) -> Option<usize> {
    if open.is_some() && dice.chance(60) {
        return open;
    }
    if !dice.chance(30) {
        return None;
    }
    let joins: &[Join] =
        if racy { &[Join::All, Join::Any, Join::AtLeast(2), Join::AllSettled] } else { &[Join::All, Join::AllSettled] };
    groups.push(GroupPlan {
        name: format!("g{}", groups.len()),
        line: 1,
        members: Vec::new(),
        join: dice.pick(joins),
        cancel_rest_on_error: racy && dice.chance(30),
        max_parallel: dice.chance(40).then(|| 1 + dice.small(2)),
        timeout_ms: (racy && dice.chance(15)).then(|| 1 + dice.below(500) as u64),
        max_cost: None,
    });
    Some(groups.len() - 1)
}

fn add_needs(
    dice: &mut Dice,
    step: &mut StepPlan,
    index: usize,
    steps: &[StepPlan],
    groups: &[GroupPlan],
    own: Option<usize>,
) {
    for (earlier, other) in steps.iter().enumerate().take(index) {
        let same = own.is_some() && other.group == own;
        if !same && dice.chance(30) {
            let kinds =
                [NeedKind::Declared, NeedKind::ReadOutput, NeedKind::ReadRecord, NeedKind::Order, NeedKind::MainInput];
            step.needs.push(Need { target: Target::Step(earlier), why: vec![dice.pick(&kinds)] });
        }
    }
    for group in 0..groups.len() {
        if Some(group) != own && dice.chance(40) {
            let why = dice.pick(&[NeedKind::Declared, NeedKind::Order]);
            step.needs.push(Need { target: Target::Group(group), why: vec![why] });
        }
    }
}

/// Everything a step may say besides what it needs.
fn dress(dice: &mut Dice, step: &mut StepPlan, racy: bool) {
    if dice.chance(35) {
        step.condition = Some(expression());
        let needed = step.needs.iter().filter_map(|need| match need.target {
            Target::Step(step) => Some(step),
            Target::Group(_) => None,
        });
        let needed: Vec<usize> = needed.collect();
        step.watches = needed.into_iter().filter(|_| dice.chance(50)).collect();
    }
    if dice.chance(25) {
        step.run_if = dice.pick(&[RunIf::AnySuccess, RunIf::AllSettled, RunIf::AnyFailed, RunIf::Always]);
    }
    if dice.chance(20) {
        step.on_skip = dice.pick(&[OnSkip::Continue, OnSkip::Cascade, OnSkip::Fail]);
    }
    step.on_error = match dice.below(8) {
        0 => OnError::Continue,
        1 => OnError::Value(json!("instead")),
        2 if racy => OnError::Attention,
        _ => OnError::Fail,
    };
    let effects: &[Effect] =
        if racy { &[Effect::Pure, Effect::Idempotent, Effect::Unsafe] } else { &[Effect::Pure, Effect::Idempotent] };
    step.effect = Some(dice.pick(effects));
    if dice.chance(40) {
        step.on_unknown = dice.pick(&[OnUnknown::Retry, OnUnknown::Fail]);
    }
    // How much time passes beside a retry depends on what else goes on.
    let max_elapsed_ms = if racy { RetryPolicy::default().max_elapsed_ms } else { NEVER_MS };
    step.retry = RetryPolicy { max_attempts: 1 + dice.small(3), max_elapsed_ms, ..RetryPolicy::default() };
    for _ in 0..dice.below(3) {
        if dice.chance(40) {
            step.fallbacks.push(fallback(dice));
        }
    }
    if dice.chance(20) {
        step.for_each = Some(ForEachPlan {
            list: json!([]),
            line: 1,
            name: None,
            max_parallel: dice.chance(60).then(|| 1 + dice.small(3)),
            max_items: 100,
            // Which of two failing items is first, and which are cancelled, depends on the order.
            on_item_error: if racy {
                dice.pick(&[OnItemError::Fail, OnItemError::Collect, OnItemError::Drop])
            } else {
                dice.pick(&[OnItemError::Collect, OnItemError::Drop])
            },
        });
    } else if dice.chance(15) {
        // Only the world can say what comes first: the signal or the time.
        step.executor = dice.pick(&["wait", "approval"]).to_owned();
    }
    if step.executor == "act" {
        choose(dice, step, racy);
        repeat(dice, step, racy);
    }
    if racy && dice.chance(15) {
        step.timeout_ms = Some(1 + dice.below(200) as u64);
    }
    if racy && dice.chance(15) {
        step.total_timeout_ms = Some(1 + dice.below(2_000) as u64);
    }
    limit(dice, step, racy);
}

fn repeat(dice: &mut Dice, step: &mut StepPlan, racy: bool) {
    if dice.chance(15) {
        step.repeat = Some(RepeatPlan {
            until: expression(),
            max_iterations: 1 + dice.small(4),
            interval_ms: dice.below(2) as u64 * 50,
            max_duration_ms: if racy { 3_600_000 } else { NEVER_MS },
        });
    }
}

/// Another executor, now and then.
fn choose(dice: &mut Dice, step: &mut StepPlan, racy: bool) {
    if dice.chance(25) {
        step.executor = "nest".to_owned();
        // What a child may have done changes what becomes of its parent, and the children's effects are their own.
        if racy && dice.chance(80) {
            step.effect = None;
        }
    } else if dice.chance(15) {
        step.executor = "buy".to_owned();
    }
}

/// Limits that count over runs, and the cache, whose makers stand in line too.
fn limit(dice: &mut Dice, step: &mut StepPlan, racy: bool) {
    if dice.chance(15) {
        step.resources = Some(ResourcePlan { pool: "pool".to_owned(), units: 1 + dice.small(2) });
    }
    if dice.chance(15) {
        let on_limit = if racy { dice.pick(&[OnLimit::Queue, OnLimit::Reject, OnLimit::Skip]) } else { OnLimit::Queue };
        let max_wait_ms = (racy && dice.chance(50)).then(|| 1 + dice.below(200) as u64);
        step.concurrency = Some(ConcurrencyPlan { limit: 1, key: None, on_limit, max_wait_ms });
    }
    if dice.chance(10) {
        let (mode, scope) = (CacheMode::On, CacheScope::Flow);
        step.cache = Some(CachePlan { mode, scope, ttl_ms: None, tags: Vec::new(), force: false });
    }
}

fn fallback(dice: &mut Dice) -> FallbackPlan {
    FallbackPlan {
        line: 1,
        executor: dice.pick(&["act", "act", "act", "nest", "buy"]).to_owned(),
        config: Map::new(),
        config_lines: BTreeMap::new(),
        main_input: None,
        class: dice.chance(40).then(|| dice.pick(&[FailureClass::RateLimited, FailureClass::Other])),
        retry: RetryPolicy { max_attempts: 1 + dice.small(2), max_elapsed_ms: NEVER_MS, ..RetryPolicy::default() },
        effect: Some(dice.pick(&[Effect::Pure, Effect::Idempotent])),
    }
}

fn add_handlers(dice: &mut Dice, steps: &mut Vec<StepPlan>, racy: bool) {
    for of in 0..steps.len() {
        if dice.chance(20) {
            let mut undo = step_plan(format!("{}:compensate", steps[of].name), Phase::Compensation { of });
            undo.needs.push(Need { target: Target::Step(of), why: vec![NeedKind::ReadOutput] });
            undo.effect = Some(Effect::Idempotent);
            undo.executor = dice.pick(&["act", "act", "nest"]).to_owned();
            steps[of].compensation = Some(steps.len());
            steps.push(undo);
        }
    }
    for (phase, name, chance) in [(Phase::OnError, "e", 30), (Phase::Finally, "f", 30)] {
        if !dice.chance(chance) {
            continue;
        }
        let first = steps.len();
        for number in 0..=dice.below(2) {
            let mut step = step_plan(format!("{name}{number}"), phase);
            step.retry =
                RetryPolicy { max_attempts: 1 + dice.small(2), max_elapsed_ms: NEVER_MS, ..RetryPolicy::default() };
            step.effect = Some(dice.pick(&[Effect::Pure, Effect::Idempotent]));
            step.executor = dice.pick(&["act", "act", "nest", "buy"]).to_owned();
            if number > 0 {
                step.needs.push(Need { target: Target::Step(first), why: vec![NeedKind::Order] });
            }
            // Whatever a handler reads of the steps is settled.
            step.needs.push(Need { target: Target::Step(0), why: vec![NeedKind::ReadRecord] });
            if racy && dice.chance(20) {
                step.on_error = OnError::Continue;
            }
            steps.push(step);
        }
    }
}

fn expression() -> Expression {
    Expression { source: "true".to_owned(), line: 1 }
}

pub(crate) fn step_plan(name: String, phase: Phase) -> StepPlan {
    StepPlan {
        name,
        phase,
        line: 1,
        description: None,
        executor: "act".to_owned(),
        config: Map::new(),
        config_lines: BTreeMap::new(),
        main_input: None,
        needs: Vec::new(),
        condition: None,
        run_if: RunIf::AllSuccess,
        watches: Vec::new(),
        group: None,
        retry: RetryPolicy::default(),
        timeout_ms: None,
        total_timeout_ms: None,
        first_token_timeout_ms: None,
        effect: Some(Effect::Pure),
        on_error: OnError::Fail,
        fallbacks: Vec::new(),
        on_skip: OnSkip::Default,
        on_unknown: OnUnknown::Attention,
        for_each: None,
        repeat: None,
        compensation: None,
        cache: None,
        resources: None,
        concurrency: None,
    }
}

pub(crate) fn plan(steps: Vec<StepPlan>, groups: Vec<GroupPlan>, fail_fast: bool, timeout_ms: Option<u64>) -> Plan {
    Plan {
        name: None,
        description: None,
        labels: BTreeMap::new(),
        inputs: None,
        input_schema: json!({}),
        output_schema: json!({}),
        outputs: None,
        vars: Map::new(),
        macros: BTreeMap::new(),
        functions: BTreeMap::new(),
        files: BTreeMap::new(),
        steps,
        groups,
        fail_fast,
        max_cost: None,
        concurrency: None,
        save: Save::All,
        timeout_ms,
        model: None,
        search: Vec::new(),
        max_wait_ms: 60_000,
        cancel_on_disconnect: false,
    }
}
