//! What is said to the model.
//!
//! Invariant: data stands in marked blocks behind the instruction, never in front of it or inside of it.

use base64::Engine as _;
use domain::Failure;
use engine::Call;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::Config;
use super::shape::Shape;
use crate::config::{self, flow_fault, input_fault};
use crate::spec;

const MOST_IMAGES: usize = 20;
const LARGEST_IMAGE: u64 = 20 * 1024 * 1024;
/// What one picture counts as, where nobody tells: the middle of what providers charge.
const IMAGE_TOKENS: u64 = 800;

pub(super) fn images_schema(generator: &mut SchemaGenerator) -> Schema {
    let file = spec::file_value(generator);
    json_schema!({"anyOf": [file.clone(), {"type": "array", "items": file, "maxItems": MOST_IMAGES}]})
}

/// A conversation, ready to send.
#[derive(Debug, Clone)]
pub(super) struct Messages {
    pub(super) list: Vec<Value>,
    /// The user's message as text, for estimates and the simulated provider.
    pub(super) question: String,
    characters: String,
    images: u64,
}

impl Messages {
    pub(super) async fn build(call: &Call, config: &Config, shape: Option<&Shape>) -> Result<Self, Failure> {
        let question = config.prompt.clone().unwrap_or_else(|| default_prompt(&call.instruction, config));
        if question.trim().is_empty() {
            return Err(input_fault("prompt_empty", "There is nothing to ask: the prompt is empty."));
        }
        let told = match (&config.system, shape.map(Shape::instruction)) {
            (None, None) => None,
            (Some(system), None) => Some(system.clone()),
            (None, Some(rule)) => Some(rule),
            (Some(system), Some(rule)) => Some(format!("{system}\n\n{rule}")),
        };
        let images = images(call, config.images.as_ref()).await?;
        let content = if images.is_empty() {
            Value::String(question.clone())
        } else {
            let text = json!({"type": "text", "text": question});
            let picture = |url: &String| json!({"type": "image_url", "image_url": {"url": url}});
            Value::Array(std::iter::once(text).chain(images.iter().map(picture)).collect())
        };
        let system = told.as_ref().map(|told| json!({"role": "system", "content": told}));
        Ok(Self {
            list: system.into_iter().chain([json!({"role": "user", "content": content})]).collect(),
            characters: format!("{}{question}", told.unwrap_or_default()),
            question,
            images: images.len() as u64,
        })
    }

    /// The same conversation, with the wrong answer in it and what is wrong with it.
    pub(super) fn with_repair(&self, answer: &str, problems: &[String]) -> Self {
        let mut repaired = self.clone();
        let complaint = format!(
            "That answer does not match the JSON Schema:\n- {}\nAnswer again with the corrected JSON only.",
            problems.join("\n- ")
        );
        repaired.characters.push_str(answer);
        repaired.characters.push_str(&complaint);
        repaired.list.push(json!({"role": "assistant", "content": answer}));
        repaired.list.push(json!({"role": "user", "content": complaint}));
        repaired
    }

    /// How many tokens this can be: hardly any text has tokens of less than two bytes.
    pub(super) fn most_tokens(&self) -> u64 {
        const OVERHEAD: u64 = 64;
        let text = (self.characters.len() as u64).div_ceil(2);
        text.saturating_add(OVERHEAD).saturating_add(self.images.saturating_mul(2 * IMAGE_TOKENS))
    }

    /// How many tokens this is, about.
    pub(super) fn estimated_tokens(&self) -> u64 {
        super::price::estimate(&self.characters) + self.images * IMAGE_TOKENS + 4 * self.list.len() as u64
    }
}

/// The instruction, then the text and every variable by name.
fn default_prompt(instruction: &str, config: &Config) -> String {
    let mut prompt = instruction.trim().to_owned();
    let text = config.text.iter().map(|text| ("text", text));
    for (name, value) in text.chain(config.variables.iter().map(|(name, value)| (name.as_str(), value))) {
        prompt.push_str(&format!("\n\n<{name}>\n{}\n</{name}>", shown(value)));
    }
    prompt
}

/// A value as a model reads it: text as it is, anything else as JSON.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}

async fn images(call: &Call, given: Option<&Value>) -> Result<Vec<String>, Failure> {
    let files: &[Value] = match given {
        None | Some(Value::Null) => &[],
        Some(Value::Array(list)) => list,
        Some(single) => std::slice::from_ref(single),
    };
    if files.len() > MOST_IMAGES {
        return Err(flow_fault("images_too_many", format!("At most {MOST_IMAGES} images can be shown at once.")));
    }
    let mut urls = Vec::new();
    for value in files {
        let file = config::file(value, "images")?;
        if !file.media_type.starts_with("image/") {
            return Err(input_fault("image_type", format!("`{}` is no image ({}).", file.name, file.media_type)));
        }
        if file.size_bytes > LARGEST_IMAGE {
            return Err(input_fault("image_too_large", format!("`{}` is larger than 20 MiB.", file.name)));
        }
        let bytes = call.blobs.get_file(&file).await.map_err(|error| config::storage_fault(&error))?;
        let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
        urls.push(format!("data:{};base64,{encoded}", file.media_type));
    }
    Ok(urls)
}
