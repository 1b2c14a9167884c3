//! Times and durations in words. The server's `now` comes with every answer, so both halves write the same text.

use chrono::{DateTime, Datelike, Timelike, Utc};
use leptos::prelude::*;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment as "3 min ago", with the exact time at hand.
pub(crate) fn ago(now: DateTime<Utc>, at: DateTime<Utc>) -> AnyView {
    view! { <time datetime=machine(at) title=exact(at)>{ago_text(now, at)}</time> }.into_any()
}

/// A moment that may be missing.
pub(crate) fn ago_or(now: DateTime<Utc>, at: Option<DateTime<Utc>>, otherwise: &'static str) -> AnyView {
    match at {
        Some(at) => ago(now, at),
        None => view! { <span class="quiet">{otherwise}</span> }.into_any(),
    }
}

/// A moment in full.
pub(crate) fn full(at: DateTime<Utc>) -> AnyView {
    view! { <time datetime=machine(at)>{exact(at)}</time> }.into_any()
}

pub(crate) fn ago_text(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds();
    match seconds {
        ..0 => until_text(-seconds),
        0..5 => "just now".to_owned(),
        5..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        86_400..604_800 => plural_ago(seconds / 86_400, "day"),
        _ if at.year() == now.year() => format!("{} {}", MONTHS[at.month0() as usize], at.day()),
        _ => format!("{} {}, {}", MONTHS[at.month0() as usize], at.day(), at.year()),
    }
}

fn plural_ago(count: i64, unit: &str) -> String {
    if count == 1 { format!("1 {unit} ago") } else { format!("{count} {unit}s ago") }
}

fn until_text(seconds: i64) -> String {
    match seconds {
        0..60 => format!("in {seconds} s"),
        60..3600 => format!("in {} min", seconds / 60),
        3600..86_400 => format!("in {} h", seconds / 3600),
        86_400..172_800 => "in 1 day".to_owned(),
        _ => format!("in {} days", seconds / 86_400),
    }
}

pub(crate) fn exact(at: DateTime<Utc>) -> String {
    format!("{} UTC", machine(at).replace('T', " ").trim_end_matches('Z'))
}

fn machine(at: DateTime<Utc>) -> String {
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// A length of time as people say it: `840 ms`, `3.2 s`, `4 min 05 s`, `2 h 10 min`.
pub(crate) fn duration_text(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min {:02} s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{} h {:02} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

pub(crate) fn duration_or(ms: Option<u64>, otherwise: &'static str) -> AnyView {
    match ms {
        Some(ms) => duration_text(ms).into_any(),
        None => view! { <span class="quiet">{otherwise}</span> }.into_any(),
    }
}

/// Milliseconds between two moments, 0 where the clock went back.
pub(crate) fn between_ms(from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
    u64::try_from((to - from).num_milliseconds()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_348_800, 0).expect("a valid moment")
    }

    #[test]
    fn a_moment_is_said_in_the_largest_unit_that_fits() {
        let said = |seconds: i64| ago_text(noon(), noon() - TimeDelta::seconds(seconds));
        assert_eq!(said(2), "just now");
        assert_eq!(said(59), "59 s ago");
        assert_eq!(said(60), "1 min ago");
        assert_eq!(said(7200), "2 h ago");
        assert_eq!(said(86_400), "1 day ago");
        assert_eq!(said(86_400 * 3), "3 days ago");
        assert_eq!(said(86_400 * 30), "Oct 23");
        assert_eq!(said(86_400 * 400), "Oct 18, 2025");
        assert_eq!(said(-86_400 * 90), "in 90 days");
    }

    #[test]
    fn durations_keep_two_units_at_most() {
        assert_eq!(duration_text(840), "840 ms");
        assert_eq!(duration_text(3_240), "3.2 s");
        assert_eq!(duration_text(245_000), "4 min 05 s");
        assert_eq!(duration_text(7_800_000), "2 h 10 min");
    }

    #[test]
    fn the_exact_time_says_its_zone() {
        assert_eq!(exact(noon()), "2026-11-22 12:00:00 UTC");
    }
}
