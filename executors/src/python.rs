//! `python`: a piece of the author's own Python over one value.
//!
//! Invariant: the code runs in a sandbox child, without files, network or clock; what it gives is a function of its data.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Failure, FailureKind};
use engine::{Call, Done, Executor, Failed};
use language::{DataKind, ExecutorSpec, MainInput};
use sandbox::{Limits, Pool};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::config::{self, flow_fault};
use crate::spec;

/// More than the interpreter's own limit, which says where it was.
const WALL: Duration = Duration::from_secs(5);
const MEMORY_BYTES: u64 = 256 << 20;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What the code works on, as `data`.
    #[serde(default)]
    #[schemars(schema_with = "spec::any_value")]
    data: Value,
    /// Python. The output is what it returns; without a `return`, what its function `main(data)` gives, or else the value of its last line.
    code: String,
}

pub(crate) struct Python {
    spec: ExecutorSpec,
    sandbox: Arc<Pool>,
}

impl Python {
    pub(crate) fn new(sandbox: Arc<Pool>) -> Self {
        let spec = ExecutorSpec {
            main_input: Some(MainInput {
                field: "data".into(),
                kind: DataKind::Data,
                list: false,
                required: false,
                needed_unless: Vec::new(),
            }),
            // Braces are Python's own here.
            raw_fields: vec!["code".to_owned()],
            ..spec::plain::<Config, spec::Anything>(
                "python",
                "Runs a piece of Python over data, in a sandbox without files, network or clock.",
            )
        };
        Self { spec, sandbox }
    }
}

#[async_trait]
impl Executor for Python {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let Config { data, code } = config::read(config)?;
        let job = serde_json::to_value(::python::Job { code, data });
        let job = job.map_err(|_| flow_fault("config_invalid", "`data` is no JSON."))?;
        let limits = Limits { wall: WALL, cpu: WALL, memory_bytes: MEMORY_BYTES, ..Limits::default() };
        let work = async {
            let answer = config::share(&self.sandbox, call).run(::python::JOB, job, Bytes::new(), limits).await;
            answer.map_err(|error| config::sandbox_fault(&error, "python_limit", "The code"))
        };
        let answer = config::unless_cancelled(call, work).await?;
        let senseless = |_| Failure::new(FailureKind::Internal, "sandbox", "The sandbox gave no sensible answer.");
        let given: Result<Value, ::python::Fault> = serde_json::from_value(answer.output).map_err(senseless)?;
        Ok(Done::free(given.map_err(fault)?))
    }
}

fn fault(fault: ::python::Fault) -> Failure {
    if fault.code == "function_limit" {
        return Failure::new(FailureKind::Limit, "python_limit", fault.message);
    }
    flow_fault("python_failed", fault.message)
}
