//! The language reference: its tables come from the code, and its examples are compiled here.
//!
//! `WEIR_UPDATE_DOCS=1` writes the tables anew.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{compiled, shown};
use crate::{Severity, codes, limits};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/language.md")
}

fn codes_table() -> String {
    let mut table = "| Code | Means |\n|---|---|\n".to_owned();
    for code in codes::ALL {
        let warning = if code.severity == Severity::Warning { " (a warning)" } else { "" };
        let _ = writeln!(table, "| `{}` | {}{warning} |", code.code, code.meaning.replace('|', "\\|"));
    }
    table
}

fn limits_table() -> String {
    let mut table = "| What | At most |\n|---|---|\n".to_owned();
    for limit in limits::TABLE {
        let _ = writeln!(table, "| {} | {} {} |", limit.what, limit.value, limit.unit);
    }
    table
}

#[test]
fn the_tables_are_those_of_the_code() {
    let written = std::fs::read_to_string(path()).unwrap();
    let mut text = written.clone();
    for (name, table) in [("codes", codes_table()), ("limits", limits_table())] {
        let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
        let start = text.find(&open).unwrap_or_else(|| panic!("{open}")) + open.len();
        let end = text.find(&close).unwrap_or_else(|| panic!("{close}"));
        text.replace_range(start..end, &table);
    }
    if std::env::var_os("WEIR_UPDATE_DOCS").is_some() {
        std::fs::write(path(), &text).unwrap();
    } else {
        assert_eq!(written, text, "run this test once with WEIR_UPDATE_DOCS=1");
    }
}

#[test]
fn every_example_compiles_or_is_refused_as_it_says() {
    let text = std::fs::read_to_string(path()).unwrap();
    let mut count = 0;
    for (index, part) in text.split("```yaml").enumerate().skip(1) {
        let (info, rest) = part.split_once('\n').unwrap();
        let yaml = rest.split("```").next().unwrap();
        let problems = compiled(yaml).problems;
        let found: Vec<&str> = problems.iter().map(|problem| problem.code.as_str()).collect();
        let expected: Vec<&str> =
            info.trim().strip_prefix("refused ").map(|codes| codes.split(' ').collect()).unwrap_or_default();
        assert_eq!(found, expected, "example {index}:\n{yaml}\n{}", shown(&problems));
        count += 1;
    }
    assert!(count > 8, "{count} examples");
}

#[test]
fn codes_are_unique_and_in_order() {
    assert!(codes::ALL.windows(2).all(|pair| pair[0].code < pair[1].code));
}
