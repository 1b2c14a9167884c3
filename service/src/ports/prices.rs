//! The built-in price table of well-known models, in nano-dollars per million units.
//!
//! Invariant: a model that is not in the table has no price (null), never zero; a change of any price is a new version.

use domain::NanoUsd;
use engine::ports::ModelPrice;

/// The version that runs record.
pub const VERSION: u32 = 1;

/// Model (by the provider's name, longest prefix wins), dollars per million: input, output, cached input.
const TABLE: &[(&str, f64, f64, Option<f64>)] = &[
    ("gpt-5", 1.25, 10.0, Some(0.125)),
    ("gpt-5-mini", 0.25, 2.0, Some(0.025)),
    ("gpt-5-nano", 0.05, 0.4, Some(0.005)),
    ("gpt-4.1", 2.0, 8.0, Some(0.5)),
    ("gpt-4.1-mini", 0.4, 1.6, Some(0.1)),
    ("gpt-4.1-nano", 0.1, 0.4, Some(0.025)),
    ("gpt-4o", 2.5, 10.0, Some(1.25)),
    ("gpt-4o-mini", 0.15, 0.6, Some(0.075)),
    ("o3", 2.0, 8.0, Some(0.5)),
    ("o4-mini", 1.1, 4.4, Some(0.275)),
];

/// The made-up price of the demo's made-up model, so that the demo has costs to show.
const SIMULATED: (f64, f64) = (0.15, 0.6);

/// The price of a model at an OpenAI-compatible provider, if it is known.
///
/// Only names at OpenAI's own endpoint are priced: the same name elsewhere may cost anything.
#[must_use]
pub fn of_openai(base_url: &str, model: &str) -> Option<ModelPrice> {
    let host = url::Url::parse(base_url).ok()?.host_str()?.to_owned();
    if host != "api.openai.com" {
        return None;
    }
    let (_, input, output, cached) = TABLE
        .iter()
        .filter(|(name, ..)| {
            // A dated snapshot (`gpt-4o-2024-08-06`) costs what its model costs; `gpt-4o-audio` is another model.
            model.strip_prefix(name).is_some_and(|rest| {
                rest.is_empty() || rest.strip_prefix('-').is_some_and(|rest| rest.starts_with("20"))
            })
        })
        .max_by_key(|(name, ..)| name.len())?;
    Some(price(*input, *output, *cached))
}

#[must_use]
pub fn of_simulated() -> ModelPrice {
    price(SIMULATED.0, SIMULATED.1, None)
}

#[expect(clippy::cast_possible_truncation, reason = "the table's prices are a few dollars")]
fn price(input: f64, output: f64, cached: Option<f64>) -> ModelPrice {
    let nanos = |dollars: f64| NanoUsd((dollars * 1e9).round() as i64);
    ModelPrice {
        input_per_million: nanos(input),
        output_per_million: nanos(output),
        cached_input_per_million: cached.map(nanos),
        table_version: VERSION,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_or_dated_name_has_a_price_and_any_other_has_none() {
        let openai = "https://api.openai.com/v1";
        let mini = of_openai(openai, "gpt-4o-mini-2024-07-18").unwrap();
        assert_eq!(mini.input_per_million, NanoUsd(150_000_000));
        assert_eq!(of_openai(openai, "gpt-4o").unwrap().output_per_million, NanoUsd(10_000_000_000));
        assert_eq!(of_openai(openai, "gpt-4o-audio-preview"), None);
        assert_eq!(of_openai("http://127.0.0.1:9/v1", "gpt-4o"), None);
    }
}
