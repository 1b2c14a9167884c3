//! Dates as people write them, in English, German, French and Spanish.
//!
//! Invariant: a date gets a value only if there is one way to read it: `03/04/2026` has none.

use std::sync::LazyLock;

use chrono::NaiveDate;
use regex::{Captures, Regex};

/// Month names by their first letters, in order; longer words begin with them.
const MONTHS: [&[&str]; 12] = [
    &["jan", "jän", "ene"],
    &["feb", "fév", "fev"],
    &["mar", "mär", "mrz"],
    &["apr", "avr", "abr"],
    &["may", "mai"],
    &["jun", "juin"],
    &["jul", "juil"],
    &["aug", "aoû", "ago"],
    &["sep", "set"],
    &["oct", "okt"],
    &["nov"],
    &["dec", "dez", "déc", "dic"],
];

const MONTH_WORD: &str = "(?:jan(?:uary|uar|vier)?|jänner|enero|feb(?:ruary|ruar|rero)?|février|mar(?:ch|s|zo)?|märz|mrz|apr(?:il)?|avril|abril|\
may|mai|mayo|june?|juni|juin|junio|july?|juli|juillet|julio|aug(?:ust)?|août|agosto|sept?(?:ember|embre|iembre)?|oct(?:ober|obre|ubre)?|\
okt(?:ober)?|nov(?:ember|embre|iembre)?|dec(?:ember)?|dez(?:ember)?|décembre|dic(?:iembre)?)";

pub(super) static DATES: LazyLock<Regex> = LazyLock::new(|| {
    let forms = [
        r"\b(?P<y1>\d{4})-(?P<m1>\d{2})-(?P<d1>\d{2})\b".to_owned(),
        r"\b(?P<d2>\d{1,2})\.(?P<m2>\d{1,2})\.(?P<y2>\d{4})\b".to_owned(),
        r"\b(?P<a3>\d{1,2})/(?P<b3>\d{1,2})/(?P<y3>\d{4})\b".to_owned(),
        format!(
            r"\b(?P<d4>\d{{1,2}})(?:st|nd|rd|th|er|\.)?\s+(?:de\s+|of\s+)?(?P<m4>{MONTH_WORD})\b\.?,?\s+(?:de\s+)?(?P<y4>\d{{4}})\b"
        ),
        format!(r"\b(?P<m5>{MONTH_WORD})\b\.?\s+(?P<d5>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<y5>\d{{4}})\b"),
    ];
    #[expect(clippy::expect_used, reason = "the pattern is a constant that a test compiles")]
    Regex::new(&format!("(?i){}", forms.join("|"))).expect("the date pattern compiles")
});

/// The date in ISO 8601, if there is one way to read it.
pub(super) fn value(found: &Captures<'_>) -> Option<String> {
    let number = |name: &str| found.name(name).and_then(|part| part.as_str().parse::<u32>().ok());
    let date = |year: u32, month: u32, day: u32| {
        NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day).map(|date| date.to_string())
    };
    if let (Some(y), Some(m), Some(d)) = (number("y1"), number("m1"), number("d1")) {
        return date(y, m, d);
    }
    if let (Some(y), Some(m), Some(d)) = (number("y2"), number("m2"), number("d2")) {
        return date(y, m, d);
    }
    if let (Some(y), Some(a), Some(b)) = (number("y3"), number("a3"), number("b3")) {
        return match (a, b) {
            _ if a == b => date(y, a, b),
            (1..=12, 1..=12) => None,
            (1..=12, _) => date(y, a, b),
            _ => date(y, b, a),
        };
    }
    let word = found.name("m4").or(found.name("m5"))?.as_str().to_lowercase();
    let month = MONTHS.iter().position(|names| names.iter().any(|name| word.starts_with(name)))?;
    let year = number("y4").or_else(|| number("y5"))?;
    date(year, u32::try_from(month + 1).ok()?, number("d4").or_else(|| number("d5"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_a_value_only_if_it_can_be_read_in_one_way() {
        let read = |text: &str| DATES.captures(text).map(|found| value(&found));
        let iso = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(read("on 2026-03-04."), iso("2026-03-04"));
        assert_eq!(read("am 4.3.2026"), iso("2026-03-04"));
        assert_eq!(read("the 12th of March 2026"), iso("2026-03-12"));
        assert_eq!(read("March 12, 2026"), iso("2026-03-12"));
        assert_eq!(read("12. März 2026"), iso("2026-03-12"));
        assert_eq!(read("12 de junio de 2026"), iso("2026-06-12"));
        assert_eq!(read("le 1er août 2026"), iso("2026-08-01"));
        assert_eq!(read("1 juillet 2026"), iso("2026-07-01"));
        assert_eq!(read("25/12/2026"), iso("2026-12-25"));
        assert_eq!(read("12/25/2026"), iso("2026-12-25"));
        assert_eq!(read("03/04/2026"), Some(None));
        assert_eq!(read("30.02.2026"), Some(None));
        assert_eq!(read("version 1.2.3"), None);
    }
}
