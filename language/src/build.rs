//! From a checked flow to its plan: every default filled in.
//!
//! Invariant: called only for a flow without errors.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::catalogue::{Effect, EffectRule, ExecutorSpec};
use crate::check::{Analysis, input_schema, input_value_schema, is_required, output_schema};
use crate::flow::{Flow, GroupOnError, OnDisconnect, Retry, Step, StepOnError};
use crate::limits;
use crate::node::object;
use crate::plan::{GroupPlan, InputPlan, Join, OnError, OnSkip, Phase, Plan, RetryPolicy, RunIf, Save, StepPlan};
use crate::templates;

pub(crate) fn plan(analysis: Analysis<'_>, name: Option<String>, files: BTreeMap<String, String>) -> Plan {
    let output_schema = output_schema(&analysis);
    let flow = analysis.flow;
    let groups = groups(&analysis);
    let group_of = analysis.names.group_of;
    let steps = flow.steps.iter().zip(analysis.steps).zip(group_of);
    Plan {
        name: flow.name.as_ref().map(|name| name.value.clone()).or(name),
        description: flow.description.clone(),
        labels: flow.labels.clone(),
        inputs: flow.inputs.as_ref().map(|inputs| inputs.iter().map(input).collect()),
        input_schema: input_schema(flow),
        output_schema,
        outputs: flow.outputs.as_ref().map(|outputs| named(outputs)),
        vars: named(&flow.vars),
        macros: BTreeMap::new(),
        functions: BTreeMap::new(),
        files,
        steps: steps.map(|((step, facts), group)| self::step(flow, step, facts, group)).collect(),
        groups,
        fail_fast: flow.fail_fast,
        max_cost: None,
        concurrency: None,
        save: Save::All,
        timeout_ms: flow.timeout,
        model: flow.defaults.model.clone(),
        search: flow.search.iter().map(|field| field.value.clone()).collect(),
        max_wait_ms: flow.endpoint.max_wait.unwrap_or(limits::MAX_WAIT_MS),
        cancel_on_disconnect: flow.endpoint.on_disconnect == Some(OnDisconnect::Cancel),
    }
}

fn named(entries: &[crate::flow::Named]) -> Map<String, Value> {
    entries.iter().map(|entry| (entry.name.clone(), entry.value.to_json())).collect()
}

fn input(input: &crate::flow::Input) -> InputPlan {
    InputPlan {
        name: input.name.value.clone(),
        kind: input.kind,
        required: is_required(input),
        default: input.default.as_ref().map(crate::node::Node::to_json),
        description: input.description.clone(),
        schema: input_value_schema(input),
        accept: input.accept.clone(),
        max_bytes: input.max_bytes,
    }
}

fn groups(analysis: &Analysis<'_>) -> Vec<GroupPlan> {
    let group = |facts: &crate::check::GroupFacts<'_>| {
        let settings = facts.settings;
        GroupPlan {
            name: facts.name.to_owned(),
            line: settings.map_or(facts.span, |group| group.name.span).start.line,
            members: facts.members.clone(),
            join: settings.and_then(|group| group.join).unwrap_or(Join::All),
            cancel_rest_on_error: settings.and_then(|group| group.on_error) == Some(GroupOnError::CancelRest),
            max_parallel: settings.and_then(|group| group.max_parallel),
            timeout_ms: settings.and_then(|group| group.timeout),
            max_cost: None,
        }
    };
    analysis.names.groups.iter().map(group).collect()
}

fn step(flow: &Flow, step: &Step, facts: crate::check::StepFacts<'_>, group: Option<usize>) -> StepPlan {
    let mut config_lines = BTreeMap::new();
    for entry in step.config.iter().flat_map(crate::node::Node::entries) {
        let key = entry.key.replace('~', "~0").replace('/', "~1");
        entry.value.lines(&format!("/{key}"), &mut config_lines);
    }
    StepPlan {
        name: step.name.value.clone(),
        phase: Phase::Main,
        line: step.span.start.line,
        description: step.description.clone(),
        executor: step.executor.value.clone(),
        config: step.config.as_ref().map(|config| object(config.entries())).unwrap_or_default(),
        config_lines,
        main_input: facts.main_input,
        needs: facts.needs,
        condition: facts.condition,
        run_if: step.run_if.unwrap_or(RunIf::AllSuccess),
        watches: facts.watches,
        group,
        retry: retry(facts.spec, flow.defaults.retry.as_ref(), step.retry.as_ref()),
        timeout_ms: step.timeout.or(flow.defaults.timeout),
        total_timeout_ms: step.total_timeout,
        first_token_timeout_ms: step.first_token_timeout,
        effect: step.effect.or_else(|| facts.spec.and_then(|spec| effect(step, spec))),
        on_error: match &step.on_error {
            None | Some(StepOnError::Fail) => OnError::Fail,
            Some(StepOnError::Continue) => OnError::Continue,
            Some(StepOnError::Value(value)) => OnError::Value(value.to_json()),
        },
        fallbacks: Vec::new(),
        on_skip: step.on_skip.unwrap_or(OnSkip::Default),
        on_unknown: step.on_unknown.unwrap_or_default(),
        for_each: None,
        repeat: None,
        compensation: None,
        cache: None,
        resources: None,
        concurrency: None,
    }
}

/// The step's own policy over the flow's over the defaults. Who writes `retry` without `max_attempts` wants three.
fn retry(spec: Option<&ExecutorSpec>, defaults: Option<&Retry>, own: Option<&Retry>) -> RetryPolicy {
    const WRITTEN_ATTEMPTS: u32 = 3;
    let mut policy =
        RetryPolicy { max_attempts: spec.map_or(1, |spec| spec.default_attempts.max(1)), ..RetryPolicy::default() };
    if defaults.is_some() || own.is_some() {
        policy.max_attempts = WRITTEN_ATTEMPTS;
    }
    for layer in [defaults, own].into_iter().flatten() {
        let Retry {
            max_attempts,
            backoff_strategy,
            initial_delay,
            factor,
            max_delay,
            jitter,
            max_elapsed,
            retry_on,
            no_retry_on,
        } = layer.clone();
        policy = RetryPolicy {
            max_attempts: max_attempts.unwrap_or(policy.max_attempts),
            backoff: backoff_strategy.unwrap_or(policy.backoff),
            initial_delay_ms: initial_delay.unwrap_or(policy.initial_delay_ms),
            factor: factor.unwrap_or(policy.factor),
            max_delay_ms: max_delay.unwrap_or(policy.max_delay_ms),
            jitter: jitter.unwrap_or(policy.jitter),
            max_elapsed_ms: max_elapsed.unwrap_or(policy.max_elapsed_ms),
            retry_on: retry_on.unwrap_or(policy.retry_on),
            no_retry_on: no_retry_on.unwrap_or(policy.no_retry_on),
        };
    }
    policy
}

fn effect(step: &Step, spec: &ExecutorSpec) -> Option<Effect> {
    match &spec.effect {
        EffectRule::Always(effect) => Some(*effect),
        EffectRule::StrictestChild => None,
        EffectRule::ByMethod { field } => {
            let written = step.config.as_ref().and_then(|config| config.get(field));
            let method = match written {
                Some(node) => node.as_str()?.to_ascii_uppercase(),
                None if has_body(step) => "POST".to_owned(),
                None => "GET".to_owned(),
            };
            if templates::is_template(&method) {
                return None;
            }
            Some(match method.as_str() {
                "GET" | "HEAD" | "OPTIONS" => Effect::Pure,
                "PUT" | "DELETE" => Effect::Idempotent,
                _ => Effect::Unsafe,
            })
        }
    }
}

/// Without a method, a request with a body is a POST.
fn has_body(step: &Step) -> bool {
    let config = step.config.as_ref();
    config.is_some_and(|config| ["json", "form", "body", "file"].iter().any(|key| config.get(key).is_some()))
}
