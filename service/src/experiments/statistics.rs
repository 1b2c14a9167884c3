//! The few statistics that a readout needs: intervals and the check of the sample ratio.
//!
//! Invariant: pure; an interval always holds its value, and what the observations are too few for is not said.

use domain::wire::{DurationInterval, Estimate, SampleRatio};

/// The 97.5th percentile of the normal distribution: intervals hold 95 %.
const Z: f64 = 1.959_963_985;
/// What may lie beyond each end of an interval.
const TAIL: f64 = 0.025;
/// A smaller chance than this, and the split itself is broken.
const SUSPICIOUS: f64 = 0.001;

/// A share with its Wilson interval.
#[expect(clippy::cast_precision_loss, reason = "counts of runs are far below 2^52")]
pub(super) fn wilson(successes: u64, of: u64) -> Option<Estimate> {
    (of > 0).then(|| wilson_of_share(successes as f64 / of as f64, of as f64))
}

fn wilson_of_share(share: f64, n: f64) -> Estimate {
    let z2 = Z * Z;
    let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    Estimate { value: share, low: (middle - half).max(0.0).min(share), high: (middle + half).min(1.0).max(share) }
}

/// A mean of what is never below 0, with its interval by Student's t; `None` for one value, which says nothing of how far the
/// others lie.
pub(super) fn mean(values: &[f64]) -> Option<Estimate> {
    let (mean, half) = student(values)?;
    Some(Estimate { value: mean, low: (mean - half).max(0.0).min(mean), high: mean + half })
}

/// A mean of scores from 0 to 1, with its interval within them. Where all scores are the same, nothing shows how far others
/// would lie; then it is the widest that a share of this value could have.
#[expect(clippy::cast_precision_loss, reason = "counts of runs are far below 2^52")]
pub(super) fn mean_score(scores: &[f64]) -> Option<Estimate> {
    let first = *scores.first()?;
    match student(scores).filter(|_| scores.iter().any(|score| (score - first).abs() > f64::EPSILON)) {
        Some((mean, half)) => Some(Estimate {
            value: mean,
            low: (mean - half).max(0.0).min(mean),
            high: (mean + half).min(1.0).max(mean),
        }),
        None => Some(wilson_of_share(first, scores.len() as f64)),
    }
}

/// The mean and half the width of its interval.
#[expect(clippy::cast_precision_loss, reason = "counts of runs are far below 2^52")]
fn student(values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (values.len() > 1).then(|| (mean, t_quantile(n - 1.0) * (variance / n).sqrt()))
}

/// The 97.5th percentile of Student's t by Hill's expansion (CACM algorithm 396), which is exact to four digits from 3 degrees
/// of freedom on; 1 and 2 have closed forms.
fn t_quantile(degrees: f64) -> f64 {
    const P: f64 = 2.0 * TAIL;
    if degrees < 1.5 {
        return 1.0 / (P * std::f64::consts::FRAC_PI_2).tan();
    }
    if degrees < 2.5 {
        return (2.0 / (P * (2.0 - P)) - 2.0).sqrt();
    }
    let a = 1.0 / (degrees - 0.5);
    let b = 48.0 / (a * a);
    let mut c = ((20_700.0 * a / b - 98.0) * a - 16.0) * a + 96.36;
    let d = ((94.5 / (b + c) - 3.0) / b + 1.0) * (a * std::f64::consts::FRAC_PI_2).sqrt() * degrees;
    let mut y = (d * P).powf(2.0 / degrees);
    if y > 0.05 + a {
        let x = -Z;
        y = x * x;
        if degrees < 5.0 {
            c += 0.3 * (degrees - 4.5) * (x + 0.6);
        }
        c += (((0.05 * d * x - 5.0) * x - 7.0) * x - 2.0) * x + b;
        y = (((((0.4 * y + 6.3) * y + 36.0) * y + 94.5) / c - y - 3.0) / b + 1.0) * x;
        y = (a * y * y).exp_m1();
    } else {
        let tail = ((degrees + 6.0) / (degrees * y) - 0.089 * d - 0.822) * (degrees + 2.0) * 3.0;
        y = ((1.0 / tail + 0.5 / (degrees + 4.0)) * y - 1.0) * (degrees + 1.0) / (degrees + 2.0) + 1.0 / y;
    }
    (degrees * y).sqrt()
}

/// The interval of a percentile, from two of the observations themselves: how many lie below the percentile is binomial,
/// whatever their distribution. `None` where they are too few to reach beyond it on both sides (5 for the 50th, 71 for the
/// 95th).
pub(super) fn of_percentile(sorted: &[i64], percent: u32) -> Option<DurationInterval> {
    let (low, high) = ranks(sorted.len(), f64::from(percent) / 100.0)?;
    let at = |rank: usize| u64::try_from(*sorted.get(rank - 1)?).ok();
    Some(DurationInterval { low: at(low)?, high: at(high)? })
}

/// The ranks, from 1, of the lowest and the highest value of the interval: as near as they come with at most [`TAIL`] beyond
/// each.
#[expect(clippy::cast_precision_loss, reason = "counts of runs are far below 2^52")]
fn ranks(n: usize, share: f64) -> Option<(usize, usize)> {
    let odds = (share / (1.0 - share)).ln();
    // The chance that `below` of the observations lie below; in logarithms, because its first terms vanish.
    let mut term = n as f64 * (1.0 - share).ln();
    let (mut cumulated, mut low) = (0.0, 0);
    for below in 0..n {
        cumulated += term.exp();
        if cumulated <= TAIL {
            low = below + 1;
        }
        if 1.0 - cumulated <= TAIL {
            return (low > 0).then_some((low, below + 1));
        }
        term += ((n - below) as f64 / (below + 1) as f64).ln() + odds;
    }
    None
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
    fn a_mean_narrows_with_more_values_and_one_value_has_no_width() {
        let few = mean(&[1.0, 3.0]).unwrap();
        let many = mean(&[1.0, 3.0].repeat(50)).unwrap();
        assert!(near(few.value, 2.0, 1e-12) && few.high - few.low > many.high - many.low);
        assert_eq!((mean(&[]), mean(&[7.0])), (None, None));
        // Student 1908, the hours of sleep that a drug added.
        let sleep = mean(&[1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]).unwrap();
        assert!(near(sleep.value, 2.33, 1e-9), "{sleep:?}");
        assert!(near(sleep.low, 0.897_678, 1e-3) && near(sleep.high, 3.762_322, 1e-3), "{sleep:?}");
        // Nothing costs less than nothing.
        let skewed = mean(&[0.0, 0.0, 0.0, 9.0]).unwrap();
        assert!(skewed.low.abs() < f64::EPSILON && skewed.high > 9.0, "{skewed:?}");
    }

    #[test]
    fn students_t_agrees_with_the_tables() {
        for (degrees, quantile) in [
            (1.0, 12.706_205),
            (2.0, 4.302_653),
            (3.0, 3.182_446),
            (4.0, 2.776_445),
            (5.0, 2.570_582),
            (9.0, 2.262_157),
            (30.0, 2.042_272),
            (100.0, 1.983_972),
            (9_999.0, 1.960_201),
        ] {
            let found = t_quantile(degrees);
            assert!(near(found, quantile, 1e-3), "{degrees}: {found}");
        }
    }

    #[test]
    fn a_mean_score_stays_within_the_range_of_scores() {
        for scores in [vec![1.0], vec![0.0; 5], vec![1.0, 1.0, 0.9], vec![0.0, 0.01], vec![0.5], vec![0.0, 1.0]] {
            let found = mean_score(&scores).unwrap();
            assert!(0.0 <= found.low && found.low <= found.value, "{scores:?}: {found:?}");
            assert!(found.value <= found.high && found.high <= 1.0, "{scores:?}: {found:?}");
            assert!(found.high - found.low > 0.05, "nobody is sure after {scores:?}: {found:?}");
        }
        // Where all say the same, it is the share's.
        assert_eq!(mean_score(&[1.0; 10]), wilson(10, 10));
        assert_eq!(mean_score(&[]), None);
        let spread = mean_score(&[0.2, 0.4, 0.6, 0.8]).unwrap();
        assert!(near(spread.high - spread.value, 3.182_446 * 0.258_199 / 2.0, 1e-3), "{spread:?}");
    }

    #[test]
    fn the_ranks_of_a_percentile_agree_with_the_tables() {
        // For the median: Campbell and Gardner 1988, table IV (95 %).
        for (n, expected) in [
            (5, None),
            (6, Some((1, 6))),
            (10, Some((2, 9))),
            (20, Some((6, 15))),
            (30, Some((10, 21))),
            (50, Some((18, 33))),
            (100, Some((40, 61))),
        ] {
            assert_eq!(ranks(n, 0.5), expected, "{n}");
        }
        // For the 95th percentile: summed up in fractions.
        for (n, expected) in [
            (71, None),
            (72, Some((64, 72))),
            (80, Some((72, 80))),
            (150, Some((137, 148))),
            (200, Some((184, 197))),
            (1_000, Some((936, 964))),
        ] {
            assert_eq!(ranks(n, 0.95), expected, "{n}");
        }
        assert_eq!((ranks(0, 0.5), ranks(1, 0.95)), (None, None));
        // Ten thousand are summed without vanishing or growing over one: 10,000 p plus and minus 1.96 deviations.
        assert_eq!(ranks(10_000, 0.5), Some((4_902, 5_099)));
        let (low, high) = ranks(10_000, 0.95).unwrap();
        assert!((9_457..=9_459).contains(&low) && (9_542..=9_544).contains(&high), "{low} {high}");
        let values: Vec<i64> = (1..=20).map(|value| value * 10).collect();
        assert_eq!(of_percentile(&values, 50), Some(DurationInterval { low: 60, high: 150 }));
        assert_eq!(of_percentile(&values, 95), None);
    }

    /// SplitMix64, so that a failure can be had again.
    struct Chance(u64);

    impl Chance {
        /// Within 0 and 1, neither included.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
        }

        /// How long most things take: few of them very long.
        fn exponential(&mut self) -> f64 {
            -1_000_000.0 * self.next().ln()
        }
    }

    /// In how many of a thousand experiments the interval held what is true.
    fn held(mut experiment: impl FnMut(&mut Chance) -> bool) -> usize {
        let mut chance = Chance(20_260_723);
        (0..1_000).filter(|_| experiment(&mut chance)).count()
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "far below 2^52")]
    fn intervals_hold_what_is_true_in_95_of_100_experiments() {
        let durations = |chance: &mut Chance, n: usize| {
            let mut values: Vec<i64> = (0..n).map(|_| chance.exponential() as i64).collect();
            values.sort_unstable();
            values
        };
        for (n, percent, truth) in
            [(6, 50, 2.0_f64), (40, 50, 2.0), (400, 50, 2.0), (72, 95, 20.0), (100, 95, 20.0), (600, 95, 20.0)]
        {
            let truth = (truth.ln() * 1_000_000.0) as u64;
            let held = held(|chance| {
                let found = of_percentile(&durations(chance, n), percent).unwrap();
                (found.low..=found.high).contains(&truth)
            });
            // Distribution free: never below 95 %, but for the luck of a thousand draws (three deviations are 2.1 %).
            assert!(held >= 929, "the {percent}th percentile of {n}: {held}");
            assert!(held <= 999 || n == 6, "an interval that holds everything says nothing: {n}, {percent}");
        }
        // Student's t is exact for a normal distribution, here the sum of twelve draws, from three values on.
        for n in [3, 10, 200] {
            let held = held(|chance| {
                let costs: Vec<f64> = (0..n).map(|_| (0..12).map(|_| chance.next()).sum::<f64>()).collect();
                let found = mean(&costs).unwrap();
                found.low <= 6.0 && 6.0 <= found.high
            });
            assert!((929..=971).contains(&held), "the mean of {n}: {held}");
        }
        // Thumbs up or down, mostly up.
        let held = held(|chance| {
            let scores: Vec<f64> = (0..200).map(|_| f64::from(u8::from(chance.next() < 0.8))).collect();
            let found = mean_score(&scores).unwrap();
            found.low <= 0.8 && 0.8 <= found.high
        });
        assert!(held >= 925, "the mean score: {held}");
    }
}
