//! `fail`: ends the branch with the author's own error.
//!
//! Invariant: the caller sees the author's code, message and 4xx status, and never a retry.

use async_trait::async_trait;
use domain::{Failure, FailureKind};
use engine::{Call, Done, Executor, Failed};
use language::ExecutorSpec;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::{config, spec};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// A stable name for programs, in snake_case.
    #[serde(default = "default_code")]
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,63}$"))]
    code: String,
    /// A sentence for people.
    message: String,
    /// The status that answers a caller who waits: 400 to 499.
    #[serde(default = "default_status")]
    #[schemars(range(min = 400, max = 499))]
    http_status: u16,
}

fn default_code() -> String {
    "failed_by_flow".to_owned()
}

const fn default_status() -> u16 {
    422
}

/// There is none: this executor never succeeds.
#[derive(JsonSchema)]
struct Output {}

pub(crate) struct Fail {
    spec: ExecutorSpec,
}

impl Fail {
    pub(crate) fn new() -> Self {
        Self {
            spec: spec::plain::<Config, Output>("fail", "Fails with a code, a message and a 4xx status of your own."),
        }
    }
}

#[async_trait]
impl Executor for Fail {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, _call: &Call, config: Value) -> Result<Done, Failed> {
        let config: Config = config::read(config)?;
        if !(400..500).contains(&config.http_status) {
            return Err(config::flow_fault("config_invalid", "`http_status` must be from 400 to 499.").into());
        }
        let failure = Failure::new(FailureKind::Fail, config.code, config.message).retryable(false);
        Err(Failure { http_status: Some(config.http_status), ..failure }.into())
    }
}
