//! `llm_analyzer`: asks a language model.
//!
//! Invariant: the output limit is always sent; what was used is reported for failed attempts too; an output with a schema
//! either matches it or the step fails.

mod completion;
mod dialect;
mod price;
mod prompt;
mod refusal;
mod shape;
mod simulated;
mod spread;
mod stream;

#[cfg(test)]
mod independent;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use domain::NanoUsd;
use domain::wire::Usage;
use engine::ports::{ModelEndpoint, ModelKind};
use engine::{Call, Done, Executor, Failed};
use language::{CostKind, DataKind, ExecutorSpec, MainInput, MarkedField};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::{self, flow_fault};
use crate::retry_budget::RetryBudget;
use crate::spec;
use completion::{Answer, Asking};
use price::Tokens;
use prompt::Messages;
use shape::Shape;
use spread::Spread;

const MAX_TOKENS: u32 = 4096;

#[derive(Debug, Deserialize, JsonSchema)]
struct Config {
    /// What to work on. The default prompt shows it after the instruction.
    #[serde(default)]
    #[schemars(schema_with = "spec::any_value")]
    text: Option<Value>,
    /// The whole message to the model, instead of the default prompt. `text`, `instruction` and every variable can be used by name.
    prompt: Option<String>,
    /// A file of the flow's folder that holds the prompt as a template: `prompts/classify.j2`.
    prompt_file: Option<String>,
    /// What the model is told before everything else.
    system: Option<String>,
    /// `connection/model`; the flow's or the tenant's default unless said.
    model: Option<String>,
    /// A JSON Schema for the answer. The output is then an object that matches it.
    #[serde(default)]
    #[schemars(schema_with = "spec::any_value")]
    schema: Option<Value>,
    /// How freely the model chooses its words: 0 to 2. The model's own default unless said.
    #[schemars(range(min = 0.0, max = 2.0))]
    temperature: Option<f64>,
    /// The longest answer, in tokens; 4096 unless said.
    #[schemars(range(min = 1, max = 1_000_000))]
    max_tokens: Option<u32>,
    /// Pictures for the model to look at: a file or a list of files.
    #[serde(default)]
    #[schemars(schema_with = "prompt::images_schema")]
    images: Option<Value>,
    /// Keys of your own become variables of the prompt.
    #[serde(flatten)]
    variables: Map<String, Value>,
}

/// The output without `schema`; with it, the output is what the schema describes.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "describes the output; the value is built as JSON")]
struct Output {
    /// The answer.
    text: String,
    /// The model that answered, as `connection/model`.
    model: String,
    /// Why the answer ended: `stop`, or `length` when it reached `max_tokens`.
    finish_reason: String,
    usage: OutputUsage,
    /// True when the demo's built-in provider made the answer up.
    simulated: Option<bool>,
}

#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "describes the output; the value is built as JSON")]
struct OutputUsage {
    input_tokens: u64,
    output_tokens: u64,
    /// Whether we counted, because the provider did not say.
    estimated: bool,
}

pub(crate) struct LlmAnalyzer {
    spec: ExecutorSpec,
    ways: Ways,
}

/// What calls go out through, and what is remembered of them.
struct Ways {
    egress: egress::Client,
    retries: RetryBudget,
    spread: Spread,
}

impl LlmAnalyzer {
    pub(crate) fn new(egress: egress::Client, retries: RetryBudget) -> Self {
        let instead = ["prompt", "prompt_file", "images"].map(str::to_owned).to_vec();
        let mut spec = ExecutorSpec {
            main_input: Some(MainInput {
                field: "text".into(),
                kind: DataKind::Text,
                list: false,
                required: false,
                needed_unless: instead,
            }),
            marked: vec![MarkedField { field: "text".into(), kind: DataKind::Text }],
            cost: CostKind::Tokens,
            streams: true,
            open_config: true,
            default_attempts: 3,
            file_fields: vec!["prompt_file".into()],
            ..spec::plain::<Config, Output>(
                "llm_analyzer",
                "Asks a language model about a text, with an answer as text or as data.",
            )
        };
        spec.output["x-schema-from"] = Value::from("schema");
        Self { spec, ways: Ways { egress, retries, spread: Spread::default() } }
    }

    async fn analyze(&self, call: &Call, config: Config) -> Result<Done, Failed> {
        let shape = config.schema.as_ref().map(Shape::parse).transpose()?;
        let endpoint = call.models.resolve(config.model.as_deref().or(call.default_model.as_deref())).await?;
        let messages = Messages::build(call, &config, shape.as_ref()).await?;
        if endpoint.kind == ModelKind::Simulated {
            return Ok(simulated::answer(call, &config, &endpoint, &messages, shape.as_ref())?);
        }
        let asking = Asking {
            ways: &self.ways,
            call,
            endpoint: &endpoint,
            temperature: config.temperature,
            max_tokens: config.max_tokens.unwrap_or(MAX_TOKENS),
            schema: config.schema.as_ref(),
        };
        let first = asking.ask(&messages).await?;
        let Some(shape) = shape else {
            return Ok(Done { output: text_output(&endpoint, &first), usage: Some(first.usage) });
        };
        let problems = match shape.read(&first.text) {
            Ok(value) => return Ok(Done { output: value, usage: Some(first.usage) }),
            Err(problems) => problems,
        };
        if first.finish_reason == "length" {
            return Err(Failed { failure: shape::truncated(), usage: Some(first.usage) });
        }
        let repair = messages.with_repair(&first.text, &problems);
        let second = asking.ask(&repair).await.map_err(|failed| add_usage(failed, &first.usage))?;
        let usage = Some(price::sum(first.usage, second.usage));
        match shape.read(&second.text) {
            Ok(value) => Ok(Done { output: value, usage }),
            Err(problems) => Err(Failed { failure: shape::mismatch(&problems), usage }),
        }
    }
}

fn text_output(endpoint: &ModelEndpoint, answer: &Answer) -> Value {
    json!({
        "text": answer.text,
        "model": price::model_name(endpoint),
        "finish_reason": answer.finish_reason,
        "usage": usage_output(&answer.usage),
    })
}

fn usage_output(usage: &Usage) -> Value {
    let unit = |kind: &str| usage.units.get(kind).copied().unwrap_or(0);
    json!({
        "input_tokens": unit(price::INPUT),
        "output_tokens": unit(price::OUTPUT),
        "estimated": usage.estimated,
    })
}

fn add_usage(failed: Failed, before: &Usage) -> Failed {
    let usage = match failed.usage {
        Some(usage) => price::sum(before.clone(), usage),
        None => before.clone(),
    };
    Failed { usage: Some(usage), ..failed }
}

#[async_trait]
impl Executor for LlmAnalyzer {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let config: Config = config::read(config)?;
        if config.prompt_file.is_some() {
            return Err(flow_fault("prompt_file", "The prompt file was not rendered.").into());
        }
        self.analyze(call, config).await
    }

    async fn most_it_costs(&self, call: &Call, config: &Value) -> Option<NanoUsd> {
        let config: Config = config::read(config.clone()).ok()?;
        let shape = config.schema.as_ref().map(Shape::parse).transpose().ok()?;
        let endpoint = call.models.resolve(config.model.as_deref().or(call.default_model.as_deref())).await.ok()?;
        let messages = Messages::build(call, &config, shape.as_ref()).await.ok()?;
        let output = u64::from(config.max_tokens.unwrap_or(MAX_TOKENS));
        let once = Tokens { input: messages.most_tokens(), output, cached: 0, estimated: true };
        let first = price::usage(&endpoint, once);
        if shape.is_none() {
            return first.cost_nano_usd;
        }
        // An answer that does not match is sent back once, with the question.
        let again = Tokens { input: once.input.saturating_mul(2).saturating_add(output), ..once };
        price::sum(first, price::usage(&endpoint, again)).cost_nano_usd
    }
}
