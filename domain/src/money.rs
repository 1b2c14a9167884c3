//! Money as integer nano-dollars: exact sums, no rounding drift from ledger row to invoice.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of US dollars in units of 10⁻⁹ dollar. On the wire a plain integer, in fields named `..._nano_usd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    pub const ZERO: Self = Self(0);
    pub const PER_DOLLAR: i64 = 1_000_000_000;

    /// Adds, staying at the limit instead of wrapping: a cost that overflows must stay larger than every cap.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// To the nearest nano-dollar. What is no number is nothing.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "a cast to an integer stays at its limits"
    )]
    pub fn from_dollars(dollars: f64) -> Self {
        Self((dollars * Self::PER_DOLLAR as f64).round() as i64)
    }
}

impl std::iter::Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Self::plus)
    }
}

/// Dollars with two decimals from one cent up, and as many as the first two significant digits need below it.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        let dollars = nanos / 1_000_000_000;
        let rest = nanos % 1_000_000_000;
        let decimals: usize = match (dollars, rest) {
            (0, 1..=9_999_999) => (10 - rest.to_string().len() + 1).min(9),
            _ => 2,
        };
        let scale = 10_u64.pow(9 - u32::try_from(decimals).unwrap_or(9));
        let rounded = (nanos + scale / 2) / scale;
        let unit = 1_000_000_000 / scale;
        write!(f, "{sign}${}.{:0width$}", rounded / unit, rounded % unit, width = decimals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_like_money_and_small_ones_keep_two_digits() {
        let shown = |nanos: i64| NanoUsd(nanos).to_string();
        assert_eq!(shown(0), "$0.00");
        assert_eq!(shown(1_500_000_000), "$1.50");
        assert_eq!(shown(12_345_678), "$0.01");
        assert_eq!(shown(2_100_000), "$0.0021");
        assert_eq!(shown(1), "$0.000000001");
        assert_eq!(shown(999_999_999), "$1.00");
        assert_eq!(shown(-2_500_000_000), "-$2.50");
    }
}
