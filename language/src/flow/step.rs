//! A step as it was written.
//!
//! Invariant: a compensation is a step too, made of its step's `compensate`; only the reader makes one.

use schemars::JsonSchema;

use super::shape::{CacheFile, Condition, Duration, ListFile, OnErrorFile, OnSkipWord, OneOrMany};
use super::{Cache, Concurrency, Located, Resources};
use crate::catalogue::Effect;
use crate::node::Node;
use crate::plan::{Backoff, FailureClass, Jitter, OnItemError, OnSkip, OnUnknown, Phase, RunIf};
use crate::source::Span;

/// One step.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Step {
    /// The step's name; its record is `steps.<name>`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]{0,63}$"), with = "String")]
    pub name: Located<String>,
    /// What the step is for; the instruction of an LLM step without a prompt.
    pub description: Option<String>,
    /// What the step does.
    pub executor: Located<String>,
    /// The executor's settings; strings may hold templates.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub config: Option<Node>,
    /// Steps and groups to wait for. Left out: what is written above. `[]`: nothing.
    #[schemars(with = "Option<OneOrMany>")]
    pub depends_on: Option<Vec<Located<String>>>,
    /// Steps of one group start together.
    pub parallel_group: Option<Located<String>>,
    /// Whether the step runs; evaluated once, when it is its turn.
    #[schemars(with = "Option<Condition>")]
    pub condition: Option<Node>,
    /// How the steps before must have ended.
    pub run_if: Option<RunIf>,
    /// How often and how long failures are tried again.
    pub retry: Option<Retry>,
    /// The time limit of one attempt.
    #[schemars(with = "Option<Duration>")]
    pub timeout: Option<u64>,
    /// The time limit of the step with all its attempts and waits.
    #[schemars(with = "Option<Duration>")]
    pub total_timeout: Option<u64>,
    /// How long an LLM step may take to its first token.
    #[schemars(with = "Option<Duration>")]
    pub first_token_timeout: Option<u64>,
    /// What running the step twice does to the outside world.
    pub effect: Option<Effect>,
    /// What happens when nobody knows whether an unsafe attempt had its effect.
    pub on_unknown: Option<OnUnknown>,
    /// What happens when the step fails.
    #[schemars(with = "Option<OnErrorFile>")]
    pub on_error: Option<StepOnError>,
    /// What the steps after do when this one is skipped.
    #[schemars(with = "Option<OnSkipWord>")]
    pub on_skip: Option<OnSkip>,
    /// A list, or an expression that gives one: the step is done once for each of it.
    #[schemars(with = "Option<ListFile>")]
    pub for_each: Option<Node>,
    /// A name for the item: `<name>.value` and `<name>.index`. Left out: `item` is the value itself.
    #[schemars(rename = "as", regex(pattern = r"^[a-z][a-z0-9_]{0,63}$"), with = "Option<String>")]
    pub item_name: Option<Located<String>>,
    /// How many items run at the same time.
    #[schemars(range(min = 1))]
    pub max_parallel: Option<u32>,
    /// How many items there may be; 10,000 unless said.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_items: Option<u32>,
    /// What a failed item does to the others; `fail` unless said.
    pub on_item_error: Option<OnItemError>,
    /// Runs the step (each item of it) again until a condition holds.
    pub repeat: Option<Repeat>,
    /// What undoes the step when the run fails later.
    pub compensate: Option<Compensate>,
    /// Whether the output is kept for the next time; off unless said.
    #[schemars(with = "Option<CacheFile>")]
    pub cache: Option<Cache>,
    /// What the step takes from a pool of the tenant while it executes.
    pub resources: Option<Resources>,
    /// How many attempts of the step may execute at the same time, over all runs.
    pub concurrency: Option<Concurrency>,
    /// With `extends`: the step before which a new one goes.
    pub before: Option<Located<String>>,
    /// With `extends`: the step after which a new one goes.
    pub after: Option<Located<String>>,
    /// When the step has its turn.
    #[schemars(skip)]
    pub phase: Phase,
    /// Where the words about `for_each` stand that need it: `as`, `max_items` ...
    #[schemars(skip)]
    pub item_keys: Option<(String, Span)>,
    /// Where `first_token_timeout` and `on_unknown` stand: not every executor has a use for them.
    #[schemars(skip)]
    pub special_keys: [Option<Span>; 2],
    /// Where the mapping stands.
    #[schemars(skip)]
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum StepOnError {
    Fail,
    Continue,
    Attention,
    /// Other ways, and the value for when they fail too.
    Fallback {
        fallbacks: Vec<Fallback>,
        value: Option<Node>,
    },
    Value(Node),
}

impl StepOnError {
    /// What stands in for the output.
    #[must_use]
    pub const fn value(&self) -> Option<&Node> {
        match self {
            Self::Value(value) | Self::Fallback { value: Some(value), .. } => Some(value),
            _ => None,
        }
    }
}

/// Another way to do a step, tried when the ways before it failed.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Fallback {
    /// The class of failures that it is for; any unless said.
    #[schemars(rename = "for")]
    pub class: Option<FailureClass>,
    /// What does it instead.
    pub executor: Located<String>,
    /// That executor's settings; nothing is taken over from the step.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub config: Option<Node>,
    /// The fallback's own retries.
    pub retry: Option<Retry>,
    /// What running it twice does to the outside world.
    pub effect: Option<Effect>,
    #[schemars(skip)]
    pub span: Span,
}

/// What undoes a step. It may read what its step may read, and its step's output.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Compensate {
    /// What undoes it.
    pub executor: Located<String>,
    /// For a step with `for_each`: `item.value` and `item.output` are in scope.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub config: Option<Node>,
    /// Its own retries, within the minute that compensations have; those of `defaults` unless said.
    pub retry: Option<Retry>,
    #[schemars(skip)]
    pub span: Span,
}

/// Does a step again until a condition holds.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Repeat {
    /// Sees `output` and `iteration`, which counts from 1.
    #[schemars(with = "Condition")]
    pub until: Node,
    /// How often at most; 100 unless said, or 10,000 with an `interval`.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_iterations: Option<u32>,
    /// The pause between two iterations; none unless said.
    #[schemars(with = "Option<Duration>")]
    pub interval: Option<u64>,
    /// How long at most; 1 hour unless said.
    #[schemars(with = "Option<Duration>")]
    pub max_duration: Option<u64>,
}

/// When and how often a failure is tried again. What is left out comes from `defaults.retry`, then from the defaults.
#[derive(Debug, Clone, PartialEq, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Retry {
    /// Counts the first attempt.
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: Option<u32>,
    /// How the delay grows; `exponential` unless said.
    pub backoff_strategy: Option<Backoff>,
    /// The first delay; 1 s unless said.
    #[schemars(with = "Option<Duration>")]
    pub initial_delay: Option<u64>,
    /// What each delay is multiplied by; 2 unless said.
    pub factor: Option<f64>,
    /// The longest delay; 60 s unless said.
    #[schemars(with = "Option<Duration>")]
    pub max_delay: Option<u64>,
    /// How much of a delay is left to chance; `full` unless said.
    pub jitter: Option<Jitter>,
    /// How long all attempts and delays may take; 15 minutes unless said.
    #[schemars(with = "Option<Duration>")]
    pub max_elapsed: Option<u64>,
    /// Kinds or codes of failures that are retried besides.
    pub retry_on: Option<Vec<String>>,
    /// Kinds or codes of failures that are never retried.
    pub no_retry_on: Option<Vec<String>>,
}
