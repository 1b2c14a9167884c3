//! Filters for dates. Times are RFC 3339 texts in UTC.
//!
//! Invariant: no filter knows what time it is.

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use minijinja::value::Value;
use minijinja::{Environment, Error};

use super::filters::fault;

/// Tried in turn when no format is given.
const FORMATS: &[&str] =
    &["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d"];

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("parse_datetime", |text: &str, format: Option<&str>| {
        Ok::<_, Error>(parse(text, format)?.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    });
    environment.add_filter("format_datetime", format_datetime);
}

fn parse(text: &str, format: Option<&str>) -> Result<DateTime<Utc>, Error> {
    let text = text.trim();
    let found = match format {
        Some(format) => {
            check(format)?;
            with_format(text, format)
        }
        None => DateTime::parse_from_rfc3339(text)
            .or_else(|_| DateTime::parse_from_rfc2822(text))
            .map(|time| time.to_utc())
            .ok()
            .or_else(|| FORMATS.iter().find_map(|format| with_format(text, format))),
    };
    found.ok_or_else(|| fault(format!("`{}` is no date in a known form", text.chars().take(40).collect::<String>())))
}

fn with_format(text: &str, format: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_str(text, format)
        .map(|time| time.to_utc())
        .or_else(|_| NaiveDateTime::parse_from_str(text, format).map(|time| time.and_utc()))
        .ok()
        .or_else(|| NaiveDate::parse_from_str(text, format).ok()?.and_hms_opt(0, 0, 0).map(|time| time.and_utc()))
}

/// A text in a known form, or seconds since 1970, by a strftime format.
fn format_datetime(value: &Value, format: Option<&str>) -> Result<String, Error> {
    let time = match (value.as_str(), value.as_i64()) {
        (Some(text), _) => parse(text, None)?,
        (None, Some(seconds)) => {
            DateTime::from_timestamp(seconds, 0).ok_or_else(|| fault("the time is out of range"))?
        }
        (None, None) => return Err(fault("a date is a text or a number of seconds")),
    };
    let format = format.unwrap_or("%Y-%m-%d %H:%M");
    check(format)?;
    Ok(time.format(format).to_string())
}

/// An unknown directive would otherwise panic in the middle of writing.
fn check(format: &str) -> Result<(), Error> {
    if StrftimeItems::new(format).any(|item| item == Item::Error) {
        return Err(fault(format!("`{format}` is no date format")));
    }
    Ok(())
}
