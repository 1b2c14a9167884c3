//! What models cost: the built-in table of well-known ones, and what a connection says of its own.
//!
//! Invariant: a model that stands nowhere has no price (null), never zero; a change of any built-in price is a new table,
//! and the older ones stay, for runs that were pinned to them.

use std::collections::BTreeMap;

use domain::NanoUsd;
use domain::wire::ModelRate;

use crate::ports::ModelPrice;

/// Model (by the provider's name), dollars per million: input, output, cached input.
type Table = &'static [(&'static str, f64, f64, Option<f64>)];

/// By version.
const TABLES: &[(u32, Table)] = &[(
    1,
    &[
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
    ],
)];

/// The table that new runs take.
pub const NEWEST: u32 = 1;

/// Stands for every model of a connection that has no rate of its own.
pub const ANY_MODEL: &str = "*";

/// The made-up price of the demo's made-up model, so that the demo has costs to show.
const SIMULATED: (f64, f64) = (0.15, 0.6);

/// What a connection's model costs: what the connection itself says, else the built-in table's price.
///
/// Of the table only names at `OpenAI`'s own endpoint are priced: the same name elsewhere may cost anything.
#[must_use]
pub fn of_openai(own: &BTreeMap<String, ModelRate>, table: u32, base_url: &str, model: &str) -> Option<ModelPrice> {
    if let Some(rate) = own.get(model).or_else(|| own.get(ANY_MODEL)) {
        return Some(price(rate.input, rate.output, rate.cached_input));
    }
    let behind = base_url.strip_prefix("https://api.openai.com")?;
    if !(behind.is_empty() || behind.starts_with(['/', ':'])) {
        return None;
    }
    let (_, table) = TABLES.iter().find(|(version, _)| *version == table)?;
    let (_, input, output, cached) = table
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

#[expect(clippy::cast_possible_truncation, reason = "rates are checked where they are written")]
fn price(input: f64, output: f64, cached: Option<f64>) -> ModelPrice {
    let nanos = |dollars: f64| NanoUsd((dollars * 1e9).round() as i64);
    ModelPrice {
        input_per_million: nanos(input),
        output_per_million: nanos(output),
        cached_input_per_million: cached.map(nanos),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENAI: &str = "https://api.openai.com/v1";

    fn built_in(base_url: &str, model: &str) -> Option<ModelPrice> {
        of_openai(&BTreeMap::new(), NEWEST, base_url, model)
    }

    #[test]
    fn an_exact_or_dated_name_has_a_price_and_any_other_has_none() {
        let mini = built_in(OPENAI, "gpt-4o-mini-2024-07-18").unwrap();
        assert_eq!(mini.input_per_million, NanoUsd(150_000_000));
        assert_eq!(built_in(OPENAI, "gpt-4o").unwrap().output_per_million, NanoUsd(10_000_000_000));
        assert_eq!(built_in(OPENAI, "gpt-4o-audio-preview"), None);
        for elsewhere in ["http://127.0.0.1:9/v1", "https://api.openai.com.example/v1", "https://api.openai.community"]
        {
            assert_eq!(built_in(elsewhere, "gpt-4o"), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_connection_knows_its_prices_better_than_the_table() {
        let rate = |input| ModelRate { input, output: 1.0, cached_input: None };
        let own = BTreeMap::from([("gpt-4o".to_owned(), rate(0.5)), (ANY_MODEL.to_owned(), rate(0.1))]);
        let input = |own: &BTreeMap<_, _>, base_url, model| {
            of_openai(own, NEWEST, base_url, model).map(|price| price.input_per_million.0)
        };
        assert_eq!(input(&own, OPENAI, "gpt-4o"), Some(500_000_000));
        assert_eq!(input(&own, "http://127.0.0.1:9/v1", "llama"), Some(100_000_000));
        let one = BTreeMap::from([("llama".to_owned(), rate(0.0))]);
        assert_eq!(input(&one, "http://127.0.0.1:9/v1", "llama"), Some(0), "free is a price");
        assert_eq!(input(&one, OPENAI, "gpt-4o"), Some(2_500_000_000));
    }

    #[test]
    fn the_newest_table_is_there() {
        assert_eq!(TABLES.last().map(|(version, _)| *version), Some(NEWEST));
    }
}
