//! `cache`: a value of the tenant's own, kept from one run to the next.
//!
//! Invariant: a key is the tenant's; no run of another tenant can read, change or notice it.

use std::time::Duration;

use async_trait::async_trait;
use engine::{Call, Done, Executor, Failed};
use language::{Effect, EffectRule, ExecutorSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::{self, flow_fault};
use crate::spec;

const LONGEST_KEY: usize = 256;
const LARGEST_VALUE: usize = 64 * 1024;
/// What is to stay longer belongs into a store of the tenant's own.
const LONGEST_STAY: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What to do: `get`, `set` or `delete`.
    #[serde(default)]
    operation: Operation,
    /// The name of the value, up to 256 characters; all flows of the tenant share the names.
    #[schemars(length(min = 1, max = 256))]
    key: String,
    /// What `set` keeps; up to 64 KiB as JSON.
    #[serde(default)]
    #[schemars(schema_with = "spec::any_value")]
    value: Value,
    /// What `get` gives when there is no such value; null unless said.
    #[serde(default)]
    #[schemars(schema_with = "spec::any_value")]
    default: Value,
    /// How long `set` keeps the value: `10m`, `24h`, `30d`; 30 days unless said, which is also the longest.
    ttl: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Operation {
    #[default]
    Get,
    Set,
    Delete,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Whether there was such a value before.
    found: bool,
    /// The value: what `get` found, or its default; what `set` keeps; what `delete` removed is not given.
    #[schemars(schema_with = "spec::any_value")]
    value: Value,
}

pub(crate) struct Cache {
    spec: ExecutorSpec,
}

impl Cache {
    pub(crate) fn new() -> Self {
        let spec = ExecutorSpec {
            effect: EffectRule::Always(Effect::Idempotent),
            ..spec::plain::<Config, Output>(
                "cache",
                "Keeps a small value of the tenant's from one run to the next: get, set, delete.",
            )
        };
        Self { spec }
    }
}

#[async_trait]
impl Executor for Cache {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let config: Config = config::read(config)?;
        if config.key.is_empty() || config.key.chars().count() > LONGEST_KEY {
            return Err(flow_fault("config_invalid", format!("`key` has 1 to {LONGEST_KEY} characters.")).into());
        }
        let work = async {
            let fault = |error: engine::ports::PortError| config::storage_fault(&error);
            let before = call.values.get(&config.key).await.map_err(fault)?;
            let found = before.is_some();
            let value = match config.operation {
                Operation::Get => before.unwrap_or(config.default),
                Operation::Set => {
                    let ttl = ttl(config.ttl.as_deref())?;
                    if config.value.to_string().len() > LARGEST_VALUE {
                        let message = "The value is larger than 64 KiB. Keep large data in an object store.";
                        return Err(flow_fault("value_too_large", message));
                    }
                    call.values.set(&config.key, &config.value, ttl).await.map_err(fault)?;
                    config.value
                }
                Operation::Delete => {
                    call.values.delete(&config.key).await.map_err(fault)?;
                    Value::Null
                }
            };
            Ok(json!(Output { found, value }))
        };
        Ok(Done::free(config::unless_cancelled(call, work).await?))
    }
}

fn ttl(text: Option<&str>) -> Result<Duration, domain::Failure> {
    let Some(text) = text else { return Ok(LONGEST_STAY) };
    let ms = language::duration::parse(text).ok_or_else(|| {
        let message = "`ttl` is no duration of at most 30 days; write a number and a unit: `30s`, `10m`, `24h`, `30d`.";
        flow_fault("config_invalid", message)
    })?;
    let ttl = Duration::from_millis(ms);
    if ttl.is_zero() || ttl > LONGEST_STAY {
        return Err(flow_fault("config_invalid", "`ttl` is more than nothing and at most 30 days."));
    }
    Ok(ttl)
}
