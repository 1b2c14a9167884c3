//! Tokens and money.
//!
//! Invariant: integer arithmetic; a cost is rounded up once, so that sums are never below what the provider bills; an
//! unknown price gives no cost, never zero.

use domain::NanoUsd;
use domain::wire::Usage;
use engine::ports::{ModelEndpoint, ModelKind, ModelPrice};

pub(super) const INPUT: &str = "input_tokens";
pub(super) const OUTPUT: &str = "output_tokens";
pub(super) const CACHED: &str = "cached_tokens";

/// What a provider reported, or we counted. `cached` is part of `input`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tokens {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cached: u64,
    pub(super) estimated: bool,
}

/// How people and ledger rows name the model.
pub(super) fn model_name(endpoint: &ModelEndpoint) -> String {
    match endpoint.kind {
        ModelKind::OpenAi => format!("{}/{}", endpoint.connection, endpoint.model),
        ModelKind::Simulated => format!("simulated/{}", endpoint.model),
    }
}

pub(super) fn usage(endpoint: &ModelEndpoint, tokens: Tokens) -> Usage {
    let mut units =
        std::collections::BTreeMap::from([(INPUT.to_owned(), tokens.input), (OUTPUT.to_owned(), tokens.output)]);
    if tokens.cached > 0 {
        units.insert(CACHED.to_owned(), tokens.cached);
    }
    let cost = match endpoint.kind {
        ModelKind::Simulated => Some(NanoUsd::ZERO),
        ModelKind::OpenAi => endpoint.price.as_ref().map(|price| cost(price, tokens)),
    };
    Usage {
        model: Some(model_name(endpoint)),
        units,
        cost_nano_usd: cost,
        estimated: tokens.estimated,
        saved_nano_usd: None,
    }
}

fn cost(price: &ModelPrice, tokens: Tokens) -> NanoUsd {
    const MILLION: i128 = 1_000_000;
    let cached = tokens.cached.min(tokens.input);
    let part = |count: u64, per_million: NanoUsd| i128::from(count) * i128::from(per_million.0);
    let cached_price = price.cached_input_per_million.unwrap_or(price.input_per_million);
    let sum = part(tokens.input - cached, price.input_per_million)
        + part(cached, cached_price)
        + part(tokens.output, price.output_per_million);
    NanoUsd(i64::try_from((sum + MILLION - 1) / MILLION).unwrap_or(i64::MAX))
}

/// Two calls of one attempt. One unknown cost makes the sum unknown.
pub(super) fn sum(mut first: Usage, second: Usage) -> Usage {
    for (kind, count) in second.units {
        *first.units.entry(kind).or_default() += count;
    }
    first.cost_nano_usd = first.cost_nano_usd.zip(second.cost_nano_usd).map(|(a, b)| a.plus(b));
    first.estimated |= second.estimated;
    first
}

/// About how many tokens a text is: four letters each in scripts with an alphabet, one a character in those without.
pub(super) fn estimate(text: &str) -> u64 {
    let (narrow, wide) = text.chars().fold((0_u64, 0_u64), |(narrow, wide), c| {
        if u32::from(c) < 0x2E80 { (narrow + if c.is_ascii() { 1 } else { 2 }, wide) } else { (narrow, wide + 1) }
    });
    narrow.div_ceil(4) + wide
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_exact_and_rounded_up_once() {
        let price = ModelPrice {
            input_per_million: NanoUsd(2_500_000_000),
            output_per_million: NanoUsd(10_000_000_000),
            cached_input_per_million: Some(NanoUsd(1_250_000_000)),
        };
        let tokens = |input, output, cached| Tokens { input, output, cached, estimated: false };
        assert_eq!(cost(&price, tokens(1_000_000, 0, 0)), NanoUsd(2_500_000_000));
        assert_eq!(cost(&price, tokens(1_000, 200, 400)), NanoUsd(600 * 2_500 + 400 * 1_250 + 200 * 10_000));
        let tiny = ModelPrice { input_per_million: NanoUsd(1), ..price };
        assert_eq!(cost(&tiny, tokens(1, 0, 0)), NanoUsd(1));
        assert_eq!(cost(&tiny, tokens(0, 0, 0)), NanoUsd(0));
    }

    #[test]
    fn an_unknown_cost_stays_unknown_in_a_sum() {
        let known = Usage { cost_nano_usd: Some(NanoUsd(5)), ..Usage::default() };
        assert_eq!(sum(known.clone(), known.clone()).cost_nano_usd, Some(NanoUsd(10)));
        assert_eq!(sum(known, Usage::default()).cost_nano_usd, None);
    }
}
