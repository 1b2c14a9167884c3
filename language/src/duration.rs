//! Times as people write them: `30s`, `1h30m`, `500ms`, a number of seconds, or ISO 8601 (`PT1M30S`).
//!
//! Invariant: a duration is whole milliseconds and at most [`limits::LONGEST_MS`].

use crate::limits;

/// The milliseconds of a written duration.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let total = match text.strip_prefix('p') {
        Some(rest) => iso(rest)?,
        None => parts(&text)?,
    };
    (total <= limits::LONGEST_MS as f64).then_some(total.round() as u64)
}

/// The milliseconds of a number of seconds.
#[must_use]
pub fn seconds(seconds: f64) -> Option<u64> {
    let total = seconds * 1_000.0;
    (total.is_finite() && (0.0..=limits::LONGEST_MS as f64).contains(&total)).then_some(total.round() as u64)
}

fn iso(text: &str) -> Option<f64> {
    let (days, time) = match text.split_once('t') {
        Some((days, time)) => (days, time),
        None => (text, ""),
    };
    let days = if days.is_empty() { 0.0 } else { days.strip_suffix('d')?.parse::<u32>().ok()? as f64 * 86_400_000.0 };
    if time.is_empty() { (!text.ends_with('t') && days > 0.0).then_some(days) } else { Some(days + parts(time)?) }
}

fn parts(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut total = 0.0;
    let mut last = f64::INFINITY;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_end =
            rest[digits..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |length| digits + length);
        let unit = match &rest[digits..unit_end] {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" | "min" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        // Units go down and come once each, so that `5m5m` and `10s1h` are slips and not sums.
        if unit >= last {
            return None;
        }
        last = unit;
        total += number * unit;
        rest = rest[unit_end..].trim_start();
    }
    (last.is_finite()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in [
            ("30s", 30_000),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("2d", 172_800_000),
            ("PT1M30S", 90_000),
            ("P1D", 86_400_000),
            ("P1DT12H", 129_600_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Some(ms), "{text}");
        }
        for text in ["", "30", "s", "5m5m", "10s1h", "1 week", "PT", "P", "31d", "1..5s", "-5s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
