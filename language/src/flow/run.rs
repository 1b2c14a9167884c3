//! What a flow file says about running: caches, places, pools, functions and macros.
//!
//! Invariant: numbers are within their bounds; whether names mean something is the checker's business.

use schemars::JsonSchema;

use super::Located;
use super::shape::Duration;
use crate::plan::{CacheMode, CacheScope, OnLimit};
use crate::source::Span;

/// Whether and how outputs are kept for the next time.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Cache {
    /// Whether entries are read and written; `on` unless said.
    pub mode: Option<CacheMode>,
    /// How long an entry lives; as long as the store keeps it unless said.
    #[schemars(with = "Option<Duration>")]
    pub ttl: Option<u64>,
    /// Who shares an entry; `flow` unless said.
    pub scope: Option<CacheScope>,
    /// Words by which entries can be dropped.
    pub tags: Option<Vec<String>>,
    /// Also for LLM steps with a temperature above 0.
    pub force: Option<bool>,
    #[schemars(skip)]
    pub span: Span,
}

/// How many may execute at the same time.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Concurrency {
    /// How many.
    #[schemars(range(min = 1))]
    pub limit: u32,
    /// A template over the inputs: places are counted by its value.
    #[schemars(with = "Option<String>")]
    pub key: Option<Located<String>>,
    /// What happens to one too many; `queue` unless said.
    pub on_limit: Option<OnLimit>,
    /// How long one too many waits for a place.
    #[schemars(with = "Option<Duration>")]
    pub max_wait: Option<u64>,
}

/// What a step takes from a pool of the tenant while it executes.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Resources {
    /// The pool's name.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]{0,63}$"), with = "String")]
    pub pool: Located<String>,
    /// How much of it; 1 unless said.
    #[schemars(range(min = 1))]
    pub units: Option<u32>,
}

/// Python that templates may call.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Function {
    #[schemars(skip)]
    pub name: Located<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The source: `def <name>(...)` on its top level.
    #[schemars(with = "String")]
    pub implementation: Located<String>,
}

/// A Jinja macro that templates may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Macro {
    pub name: Located<String>,
    pub source: Located<String>,
}
