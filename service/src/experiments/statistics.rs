//! The few statistics that a readout needs: intervals and the check of the sample ratio.
//!
//! Invariant: pure; an interval always holds its value, and nothing is said of no observations.

use domain::wire::{Estimate, SampleRatio};

/// The 97.5th percentile of the normal distribution: intervals hold 95 %.
const Z: f64 = 1.959_963_985;
/// A smaller chance than this, and the split itself is broken.
const SUSPICIOUS: f64 = 0.001;

/// A share with its Wilson interval.
#[expect(clippy::cast_precision_loss, reason = "counts of runs are far below 2^52")]
pub(super) fn wilson(successes: u64, of: u64) -> Option<Estimate> {
    if of == 0 {
        return None;
    }
    let n = of as f64;
    let share = successes as f64 / n;
    let z2 = Z * Z;
    let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    Some(Estimate { value: share, low: (middle - half).max(0.0).min(share), high: (middle + half).min(1.0).max(share) })
}

/// A mean with its interval, by the normal approximation; one observation has no width that is known.
#[expect(clippy::cast_precision_loss, reason = "counts of runs are far below 2^52")]
pub(super) fn mean(values: &[f64]) -> Option<Estimate> {
    if values.is_empty() {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let half = if values.len() < 2 {
        0.0
    } else {
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Z * (variance / n).sqrt()
    };
    Some(Estimate { value: mean, low: mean - half, high: mean + half })
}

/// Pearson's test of observed counts against weights.
#[expect(clippy::cast_precision_loss, reason = "counts of runs are far below 2^52")]
pub(super) fn sample_ratio(observed: &[(u64, u32)]) -> SampleRatio {
    let all: u64 = observed.iter().map(|(count, _)| count).sum();
    let weights: u64 = observed.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let degrees = u32::try_from(observed.len().saturating_sub(1)).unwrap_or(u32::MAX);
    if all == 0 || weights == 0 || degrees == 0 {
        return SampleRatio { chi_squared: 0.0, degrees_of_freedom: degrees, p_value: 1.0, suspicious: false };
    }
    let part = |(count, weight): &(u64, u32)| {
        let expected = all as f64 * f64::from(*weight) / weights as f64;
        if expected > 0.0 { (*count as f64 - expected).powi(2) / expected } else { 0.0 }
    };
    let chi_squared = observed.iter().map(part).sum();
    let p_value = upper_gamma(f64::from(degrees) / 2.0, chi_squared / 2.0);
    SampleRatio { chi_squared, degrees_of_freedom: degrees, p_value, suspicious: p_value < SUSPICIOUS }
}

/// The regularised upper incomplete gamma function Q(a, x): series for small x, continued fraction (Lentz) for large.
fn upper_gamma(a: f64, x: f64) -> f64 {
    const STEPS: u32 = 500;
    const ENOUGH: f64 = 1e-14;
    if x <= 0.0 {
        return 1.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        for _ in 0..STEPS {
            n += 1.0;
            term *= x / n;
            sum += term;
            if term.abs() < sum.abs() * ENOUGH {
                break;
            }
        }
        return (1.0 - front * sum).clamp(0.0, 1.0);
    }
    let tiny = f64::MIN_POSITIVE / ENOUGH;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / tiny;
    let mut d = 1.0 / b;
    let mut h = d;
    for step in 1..=STEPS {
        let an = -f64::from(step) * (f64::from(step) - a);
        b += 2.0;
        d = an * d + b;
        if d.abs() < tiny {
            d = tiny;
        }
        c = b + an / c;
        if c.abs() < tiny {
            c = tiny;
        }
        d = 1.0 / d;
        let change = d * c;
        h *= change;
        if (change - 1.0).abs() < ENOUGH {
            break;
        }
    }
    (front * h).clamp(0.0, 1.0)
}

/// ln Γ by Lanczos' approximation (g = 5, 6 terms): error below 2e-10.
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 6] = [
        76.180_091_729_471_46,
        -86.505_320_329_416_77,
        24.014_098_240_830_91,
        -1.231_739_572_450_155,
        0.001_208_650_973_866_179,
        -0.000_005_395_239_384_953,
    ];
    let front = x + 5.5;
    let front = front - (x + 0.5) * front.ln();
    let (sum, _) = TERMS.iter().fold((1.000_000_000_190_015, x), |(sum, at), term| (sum + term / (at + 1.0), at + 1.0));
    -front + (2.506_628_274_631_000_5 * sum / x).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(left: f64, right: f64, by: f64) -> bool {
        (left - right).abs() < by
    }

    #[test]
    fn wilson_agrees_with_the_tables() {
        // Newcombe 1998, table I: 81 of 263.
        let interval = wilson(81, 263).unwrap();
        assert!(near(interval.low, 0.2553, 1e-4) && near(interval.high, 0.3662, 1e-4), "{interval:?}");
        let none = wilson(0, 10).unwrap();
        assert!(none.low.abs() < f64::EPSILON && near(none.high, 0.2775, 1e-4), "{none:?}");
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn the_chi_squared_tail_agrees_with_the_tables() {
        // Upper 5 % and 0.1 % points for 1, 2 and 10 degrees of freedom.
        for (degrees, at, tail) in
            [(1.0, 3.841_459, 0.05), (2.0, 13.815_51, 0.001), (10.0, 18.307_04, 0.05), (10.0, 2.0, 0.996_340)]
        {
            let found = upper_gamma(degrees / 2.0, at / 2.0);
            assert!(near(found, tail, 1e-5), "{degrees} {at}: {found}");
        }
    }

    #[test]
    fn a_broken_split_is_suspicious_and_a_fair_one_is_not() {
        assert!(!sample_ratio(&[(5_050, 1), (4_950, 1)]).suspicious);
        assert!(sample_ratio(&[(5_300, 1), (4_700, 1)]).suspicious);
        assert!(!sample_ratio(&[(300, 3), (100, 1)]).suspicious);
        assert!(!sample_ratio(&[(0, 1), (0, 1)]).suspicious);
    }

    #[test]
    fn a_mean_narrows_with_more_values() {
        let few = mean(&[1.0, 3.0]).unwrap();
        let many = mean(&[1.0, 3.0].repeat(50)).unwrap();
        assert!(near(few.value, 2.0, 1e-12) && few.high - few.low > many.high - many.low);
        assert_eq!(mean(&[]), None);
    }
}
