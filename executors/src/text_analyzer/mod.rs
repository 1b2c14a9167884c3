//! `text_analyzer`: language, sentiment, key phrases, entities and a summary by classical methods.
//!
//! Invariant: no provider, no network, no model: the same text gives the same answer, for nothing.

mod dates;
mod entities;
mod phrases;
mod sentiment;
mod summary;
mod tongue;
mod words;

use async_trait::async_trait;
use domain::{Failure, FailureKind};
use engine::{Call, Done, Executor, Failed};
use language::{DataKind, ExecutorSpec, MainInput, MarkedField};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{self, input_fault};
use crate::spec;
pub(crate) use entities::Entity;
pub(crate) use phrases::Phrase;
pub(crate) use sentiment::{Label, Sentiment};
use words::Text;

/// Longer texts are refused: nobody waits for their summary.
const LONGEST: usize = 8 * 1024 * 1024;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What to analyse.
    text: String,
    /// What to find out; everything unless said.
    tasks: Option<Vec<Task>>,
    /// How many key phrases to give; 10 unless said.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    max_key_phrases: usize,
    /// How many sentences the summary may have; 3 unless said.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 20))]
    summary_sentences: usize,
}

const fn ten() -> usize {
    10
}

const fn three() -> usize {
    3
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Task {
    Language,
    Sentiment,
    KeyPhrases,
    Entities,
    Summary,
}

/// Only the fields of the tasks asked for are there.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Analysis {
    /// The language, by its letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) language: Option<tongue::Tongue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sentiment: Option<Sentiment>,
    /// The most telling phrases, best first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_phrases: Option<Vec<Phrase>>,
    /// Addresses, dates, amounts and names, in the text's order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entities: Option<Vec<Entity>>,
    /// The sentences that say most, in the text's order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<String>,
}

pub(crate) struct TextAnalyzer {
    spec: ExecutorSpec,
}

impl TextAnalyzer {
    pub(crate) fn new() -> Self {
        let spec = ExecutorSpec {
            main_input: Some(MainInput {
                field: "text".into(),
                kind: DataKind::Text,
                list: false,
                required: true,
                needed_unless: Vec::new(),
            }),
            marked: vec![MarkedField { field: "summary".into(), kind: DataKind::Text }],
            ..spec::plain::<Config, Analysis>(
                "text_analyzer",
                "Finds language, sentiment, key phrases, entities and a summary by classical methods, without a provider.",
            )
        };
        Self { spec }
    }
}

#[async_trait]
impl Executor for TextAnalyzer {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let config: Config = config::read(config)?;
        if config.text.len() > LONGEST {
            return Err(input_fault("text_too_long", "The text is longer than 8 MiB.").into());
        }
        let work = async {
            let done = tokio::task::spawn_blocking(move || analyze(&config)).await;
            done.map_err(|_| Failure::new(FailureKind::Internal, "analysis", "The analysis broke off."))
        };
        let analysis = config::unless_cancelled(call, work).await?;
        Ok(Done::free(serde_json::to_value(analysis).unwrap_or_default()))
    }
}

fn analyze(config: &Config) -> Analysis {
    let wants = |task| config.tasks.as_ref().is_none_or(|tasks| tasks.contains(&task));
    let text = Text::read(&config.text);
    Analysis {
        language: wants(Task::Language).then(|| text.tongue().clone()),
        sentiment: wants(Task::Sentiment).then(|| sentiment::of(&text)),
        key_phrases: wants(Task::KeyPhrases).then(|| phrases::of(&text, config.max_key_phrases)),
        entities: wants(Task::Entities).then(|| entities::of(&text)),
        summary: wants(Task::Summary).then(|| summary::of(&text, config.summary_sentences)),
    }
}

/// Everything about a text, for those who have it at hand.
pub(crate) fn analysis(text: &str) -> Analysis {
    analyze(&Config { text: text.to_owned(), tasks: None, max_key_phrases: 5, summary_sentences: 2 })
}

#[cfg(test)]
mod tests;
