//! From a checked flow to its plan: every default filled in.
//!
//! Invariant: called only for a flow without errors.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::catalogue::{Effect, ExecutorSpec};
use crate::check::{
    Analysis, StepFacts, Subject, Way, effects, in_braces, input_schema, input_value_schema, is_required, output_schema,
};
use crate::compose;
use crate::flow::{
    Cache, Concurrency, Fallback, Flow, Function, GroupOnError, Macro, OnDisconnect, Repeat, Retry, Step, StepOnError,
};
use crate::limits;
use crate::node::{Node, object};
use crate::plan::{
    CacheMode, CachePlan, ConcurrencyPlan, FallbackPlan, FunctionPlan, GroupPlan, InputPlan, Join, OnError, OnSkip,
    Phase, Plan, RepeatPlan, ResourcePlan, RetryPolicy, RunIf, StepPlan,
};

pub(crate) fn plan(analysis: Analysis<'_>, subject: Subject<'_>, name: Option<String>) -> Plan {
    let output_schema = output_schema(&analysis);
    let flow = analysis.flow;
    let groups = groups(&analysis);
    let group_of = analysis.names.group_of;
    let compensations: BTreeMap<usize, usize> = analysis
        .written
        .iter()
        .enumerate()
        .filter_map(|(index, step)| match step.phase {
            Phase::Compensation { of } => Some((of, index)),
            _ => None,
        })
        .collect();
    let steps = analysis.written.iter().zip(analysis.steps).zip(group_of).enumerate();
    let steps = steps.map(|(index, ((step, facts), group))| StepPlan {
        group,
        compensation: compensations.get(&index).copied(),
        ..self::step(flow, step, facts)
    });
    Plan {
        name: flow.name.as_ref().map(|name| name.value.clone()).or(name),
        description: flow.description.clone(),
        labels: flow.labels.clone(),
        inputs: flow.inputs.as_ref().map(|inputs| inputs.iter().map(input).collect()),
        input_schema: input_schema(flow),
        output_schema,
        outputs: flow.outputs.as_ref().map(|outputs| named(outputs)),
        vars: named(&flow.vars),
        macros: macros(subject),
        functions: functions(subject),
        files: files(subject),
        steps: steps.collect(),
        groups,
        fail_fast: flow.fail_fast,
        max_cost: flow.max_cost,
        concurrency: flow.concurrency.as_ref().map(concurrency),
        save: flow.save.as_ref().map(|save| save.value).unwrap_or_default(),
        timeout_ms: flow.timeout,
        model: flow.defaults.model.clone(),
        search: flow.search.iter().map(|field| field.value.clone()).collect(),
        max_wait_ms: flow.endpoint.max_wait.unwrap_or(limits::MAX_WAIT_MS),
        cancel_on_disconnect: flow.endpoint.on_disconnect == Some(OnDisconnect::Cancel),
    }
}

/// The folder's files; those of a library say their library's name where they mean what belongs to it.
fn files(subject: Subject<'_>) -> BTreeMap<String, String> {
    let text = |file: &compose::TextFile| match &file.home {
        Some(home) => compose::file_at_home(&file.text, home, subject.libraries, subject.files),
        None => file.text.clone(),
    };
    subject.files.iter().map(|(path, file)| (path.clone(), text(file))).collect()
}

fn macros(subject: Subject<'_>) -> BTreeMap<String, String> {
    let own = |found: &Macro| (found.name.value.clone(), found.source.value.clone());
    let mut macros: BTreeMap<String, String> = subject.flow.macros.iter().map(own).collect();
    for library in subject.libraries {
        macros.extend(library.macros.iter().map(|found| {
            let source = compose::macro_at_home(&found.source.value, &library.name, subject.files);
            (format!("{}.{}", library.name, found.name.value), source)
        }));
    }
    macros
}

fn functions(subject: Subject<'_>) -> BTreeMap<String, FunctionPlan> {
    let plan = |function: &Function| FunctionPlan {
        description: function.description.clone(),
        implementation: function.implementation.value.clone(),
        line: first_line(subject, function),
    };
    let own = subject.flow.functions.iter().map(|function| (function.name.value.clone(), plan(function)));
    let mut functions: BTreeMap<String, FunctionPlan> = own.collect();
    for library in subject.libraries {
        let named = |function: &Function| (format!("{}.{}", library.name, function.name.value), plan(function));
        functions.extend(library.functions.iter().map(named));
    }
    functions
}

/// The line of a source's first line: below the `|` that opens it.
fn first_line(subject: Subject<'_>, function: &Function) -> u32 {
    let found = &function.implementation;
    let source = subject.sources.get(found.span.file);
    crate::source::Anchor { source, text: &found.value, scalar: Some(found.span) }.span(0, 0).start.line
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
        compiled: crate::json_schema::Compiled::default(),
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
            max_cost: settings.and_then(|group| group.max_cost),
        }
    };
    analysis.names.groups.iter().map(group).collect()
}

fn step(flow: &Flow, step: &Step, facts: StepFacts<'_>) -> StepPlan {
    let effect = effects::of_step(step, &facts);
    let fallbacks = match &step.on_error {
        Some(StepOnError::Fallback { fallbacks, .. }) => fallbacks.as_slice(),
        _ => &[],
    };
    StepPlan {
        name: step.name.value.clone(),
        phase: step.phase,
        line: step.span.start.line,
        description: step.description.clone(),
        executor: step.executor.value.clone(),
        config: config(step.config.as_ref(), facts.own.spec),
        config_lines: config_lines(step.config.as_ref()),
        cache: cache(flow, step, &facts, effect),
        main_input: facts.own.main_input,
        needs: facts.needs,
        condition: facts.condition,
        run_if: step.run_if.unwrap_or(RunIf::AllSuccess),
        watches: facts.watches,
        group: None,
        retry: retry(facts.own.spec, flow.defaults.retry.as_ref(), step.retry.as_ref()),
        timeout_ms: step.timeout.or(flow.defaults.timeout),
        total_timeout_ms: step.total_timeout,
        first_token_timeout_ms: step.first_token_timeout,
        effect,
        on_error: match &step.on_error {
            None | Some(StepOnError::Fail | StepOnError::Fallback { value: None, .. }) => OnError::Fail,
            Some(StepOnError::Continue) => OnError::Continue,
            Some(StepOnError::Attention) => OnError::Attention,
            Some(StepOnError::Value(value) | StepOnError::Fallback { value: Some(value), .. }) => {
                OnError::Value(value.to_json())
            }
        },
        fallbacks: fallbacks.iter().zip(facts.fallbacks).map(|(written, way)| fallback(flow, written, way)).collect(),
        on_skip: step.on_skip.unwrap_or(OnSkip::Default),
        on_unknown: step.on_unknown.unwrap_or_default(),
        for_each: facts.for_each,
        repeat: step.repeat.as_ref().and_then(|repeat| self::repeat(repeat, facts.until)),
        compensation: None,
        resources: step
            .resources
            .as_ref()
            .map(|resources| ResourcePlan { pool: resources.pool.value.clone(), units: resources.units.unwrap_or(1) }),
        concurrency: step.concurrency.as_ref().map(concurrency),
    }
}

fn config(config: Option<&Node>, spec: Option<&ExecutorSpec>) -> Map<String, Value> {
    let mut config = config.map(|config| object(config.entries())).unwrap_or_default();
    if let Some(spec) = spec {
        in_braces(&mut config, spec);
    }
    config
}

fn config_lines(config: Option<&Node>) -> BTreeMap<String, u32> {
    let mut lines = BTreeMap::new();
    for entry in config.into_iter().flat_map(Node::entries) {
        let key = entry.key.replace('~', "~0").replace('/', "~1");
        entry.value.lines(&format!("/{key}"), &mut lines);
    }
    lines
}

fn fallback(flow: &Flow, written: &Fallback, way: Way<'_>) -> FallbackPlan {
    FallbackPlan {
        line: written.span.start.line,
        executor: written.executor.value.clone(),
        config: config(written.config.as_ref(), way.spec),
        config_lines: config_lines(written.config.as_ref()),
        class: written.class,
        retry: retry(way.spec, flow.defaults.retry.as_ref(), written.retry.as_ref()),
        effect: written.effect.or_else(|| effects::of_way(&way)),
        main_input: way.main_input,
    }
}

fn repeat(written: &Repeat, until: Option<crate::plan::Expression>) -> Option<RepeatPlan> {
    Some(RepeatPlan {
        until: until?,
        // Whoever says how long to pause in between watches something, for as long as `max_duration` says.
        max_iterations: written.max_iterations.unwrap_or(match written.interval {
            Some(pause) if pause > 0 => u32::try_from(limits::ITERATIONS).unwrap_or(u32::MAX),
            _ => limits::DEFAULT_ITERATIONS,
        }),
        interval_ms: written.interval.unwrap_or(0),
        max_duration_ms: written.max_duration.unwrap_or(limits::REPEAT_MS),
    })
}

fn concurrency(written: &Concurrency) -> ConcurrencyPlan {
    ConcurrencyPlan {
        limit: written.limit,
        key: written.key.as_ref().map(|key| key.value.clone()),
        on_limit: written.on_limit.unwrap_or_default(),
        max_wait_ms: written.max_wait,
    }
}

/// The step's own words over the flow's. What is never kept has no cache: waits, and what acts on the outside world.
fn cache(flow: &Flow, step: &Step, facts: &StepFacts<'_>, effect: Option<Effect>) -> Option<CachePlan> {
    let is_kept = step.phase == Phase::Main
        && effect != Some(Effect::Unsafe)
        && facts.own.spec.is_some_and(|spec| spec.control.is_none());
    if !is_kept {
        return None;
    }
    let layers: Vec<&Cache> = flow.defaults.cache.iter().chain(&step.cache).collect();
    let last = layers.iter().rev();
    let mode = last.clone().find_map(|cache| cache.mode).unwrap_or_default();
    if layers.is_empty() || mode == CacheMode::Off {
        return None;
    }
    Some(CachePlan {
        mode,
        ttl_ms: last.clone().find_map(|cache| cache.ttl),
        scope: last.clone().find_map(|cache| cache.scope).unwrap_or_default(),
        tags: last.clone().find_map(|cache| cache.tags.clone()).unwrap_or_default(),
        force: last.clone().find_map(|cache| cache.force).unwrap_or(false),
    })
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
