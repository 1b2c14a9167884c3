//! `log`: writes a line into the run's record.
//!
//! Invariant: nothing leaves the run: the line is the step's output and its progress, never the program's own log.

use async_trait::async_trait;
use engine::{Call, Done, Executor, Failed};
use language::{DataKind, ExecutorSpec, MainInput};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{config, spec};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What to say. Anything that is no text is written as JSON.
    #[schemars(schema_with = "spec::any_value")]
    message: Value,
    /// How important it is.
    #[serde(default)]
    level: Level,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Level {
    Debug,
    #[default]
    Info,
    Warning,
    Error,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    message: String,
    level: Level,
}

pub(crate) struct Log {
    spec: ExecutorSpec,
}

impl Log {
    pub(crate) fn new() -> Self {
        let main_input = MainInput {
            field: "message".into(),
            kind: DataKind::Data,
            list: false,
            required: true,
            needed_unless: Vec::new(),
        };
        let spec = ExecutorSpec {
            main_input: Some(main_input),
            ..spec::plain::<Config, Output>("log", "Writes a message into the run's record.")
        };
        Self { spec }
    }
}

#[async_trait]
impl Executor for Log {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let config: Config = config::read(config)?;
        let message = match config.message {
            Value::String(text) => text,
            other => other.to_string(),
        };
        call.progress.delta(&message);
        Ok(Done::free(json!({"message": message, "level": config.level})))
    }
}
