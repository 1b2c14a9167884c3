//! How some keys look in a file where the flow holds them in another form. Only their JSON Schema is used.
//!
//! Invariant: the reader takes exactly what these describe; a test compares the keys.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// `fail`, `continue`, `attention`, other ways to do it, or a value that stands in for the output.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used: what `on_error` looks like in a file")]
pub(crate) enum OnErrorFile {
    Word(OnErrorWord),
    Settings(OnErrorSettings),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum OnErrorWord {
    Fail,
    Continue,
    Attention,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct OnErrorSettings {
    /// Other ways to do it, tried in this order.
    #[schemars(length(min = 1, max = 10))]
    pub(crate) fallback: Option<Vec<super::Fallback>>,
    /// The step succeeds with this output.
    pub(crate) value: Option<serde_json::Value>,
}

/// `on`, `off`, or how.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used: what `cache` looks like in a file")]
pub(crate) enum CacheFile {
    Word(CacheWord),
    Settings(super::Cache),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum CacheWord {
    On,
    Off,
}

/// US dollars, or with what happens beyond them.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used: what `max_cost` looks like in a file")]
pub(crate) enum MaxCostFile {
    Amount(f64),
    Settings(MaxCostSettings),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct MaxCostSettings {
    /// How much, in US dollars.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) amount: f64,
    /// What happens beyond it; `fail` unless said.
    pub(crate) on_exceeded: Option<crate::plan::OnExceeded>,
}

/// A list, or an expression that gives one, with or without braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ListFile;

impl JsonSchema for ListFile {
    fn schema_name() -> Cow<'static, str> {
        "List".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A list, or an expression that gives one, with or without braces.",
            "type": ["string", "array"],
            "examples": ["{{ inputs.pages }}"]
        })
    }
}

/// What a skip does to the steps after.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used: the words that `on_skip` takes")]
pub(crate) enum OnSkipWord {
    Continue,
    Cascade,
    Fail,
}

/// A name or a list of names.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used: what `depends_on` looks like in a file")]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// How many members must succeed.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used: what `join` looks like in a file")]
pub(crate) enum JoinFile {
    Word(JoinWord),
    AtLeast(JoinAtLeast),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum JoinWord {
    All,
    Any,
    AllSettled,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct JoinAtLeast {
    #[schemars(range(min = 1))]
    pub(crate) at_least: u32,
}

/// The type of an input.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used: the types that an input may name")]
pub(crate) enum InputWord {
    String,
    Integer,
    Number,
    Boolean,
    Object,
    Array,
    File,
    Enum,
}

/// What a call must or may give.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used: the keys that an input takes")]
pub(crate) struct InputFile {
    #[schemars(rename = "type")]
    /// What kind of value it is.
    pub(crate) kind: Option<InputWord>,
    /// Whether a call must give it; true unless there is a default.
    pub(crate) required: Option<bool>,
    /// What a call gets that leaves it out.
    pub(crate) default: Option<serde_json::Value>,
    /// What it is; forms and documents show it.
    pub(crate) description: Option<String>,
    /// Values that fit, for forms and documents.
    pub(crate) examples: Option<Vec<serde_json::Value>>,
    /// The choices of an `enum`.
    pub(crate) values: Option<Vec<serde_json::Value>>,
    /// A regular expression that a text must match.
    pub(crate) pattern: Option<String>,
    /// The smallest number.
    pub(crate) minimum: Option<f64>,
    /// The largest number.
    pub(crate) maximum: Option<f64>,
    /// The shortest text.
    pub(crate) min_length: Option<u64>,
    /// The longest text.
    pub(crate) max_length: Option<u64>,
    /// The shortest list.
    pub(crate) min_items: Option<u64>,
    /// The longest list.
    pub(crate) max_items: Option<u64>,
    /// What an array holds.
    pub(crate) items: Option<serde_json::Value>,
    /// What an object holds.
    pub(crate) properties: Option<BTreeMap<String, serde_json::Value>>,
    /// Media types or extensions that a file may have.
    pub(crate) accept: Option<Vec<String>>,
    /// The largest file.
    pub(crate) max_bytes: Option<u64>,
    /// A raw JSON Schema instead of all of this.
    pub(crate) schema: Option<serde_json::Value>,
}

/// A time: `30s`, `1h30m`, `500ms`, `PT5M`, or a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Duration;

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A time: `30s`, `1h30m`, `500ms`, `PT5M`, or a number of seconds.",
            "type": ["string", "number"], "minimum": 0,
            "examples": ["30s", "5m", "1h30m"]
        })
    }
}

/// A boolean expression, with or without braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition;

impl JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A boolean expression, with or without braces.",
            "type": ["string", "boolean"],
            "examples": ["{{ steps.check.file_type == 'pdf' }}"]
        })
    }
}
