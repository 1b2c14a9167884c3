//! The docs' tables say what the code says.
use super::texts::{root, sources};
use regex::Regex;
use std::fs;

#[test]
fn the_table_of_configuration_has_every_key_with_its_default() {
    let code = fs::read_to_string(root().join("server/src/config.rs")).unwrap();
    let page = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let (_, table) = code.split_once("pub const KEYS").unwrap();
    let (table, _) = table.split_once("\n];").unwrap();
    let key = Regex::new(r#"key\(\s*"([^"]*)",\s*"([^"]*)",\s*"([^"]*)",\s*"([^"]*)",?\s*\)"#).unwrap();
    let mut found = 0;
    for parts in key.captures_iter(table) {
        let [name, variable, default, meaning] = [1, 2, 3, 4].map(|group| &parts[group]);
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        let row = format!("| `{name}` | `{variable}` | {default} | {meaning} |");
        assert!(page.contains(&row), "docs/configuration.md has no row\n{row}");
        found += 1;
    }
    assert_eq!(found, table.matches("key(").count(), "a key is written in a form that this rule does not read");
}

/// Folders whose sources make the failures of runs.
const FAILING: &[&str] = &["engine/src", "executors/src", "service/src/runs", "service/src/ports"];
/// Codes of answers between the program and its own children, which become failures of other codes.
const WITHIN: &[&str] = &["bad_answer", "bad_job", "sandbox_protocol"];

#[test]
fn every_code_that_a_run_can_fail_with_is_documented() {
    let page = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let documented: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .flat_map(|row| row.split(" | ").next().unwrap_or_default().split('`').step_by(2))
        .collect();
    // A code is written where a failure is made: by its type, or by a function that is named for what it makes.
    let made = Regex::new(
        r#"(?:(?:Failure|Fault|JobError)::new|[a-z_]*(?:fault|failure|refused|timeout|document))\(\s*(?:[\w:&.()]+,\s*){0,2}"([a-z][a-z0-9_]+)""#,
    )
    .unwrap();
    let mut found = std::collections::BTreeSet::new();
    for source in sources() {
        let fails = FAILING.iter().any(|folder| source.path.starts_with(folder)) && source.path.ends_with(".rs");
        let helps = ["/bin/", "/tests", "/kit.rs", "/testing.rs"].iter().any(|part| source.path.contains(part));
        if fails && !helps {
            let code = source.text.split("#[cfg(test)]").next().unwrap_or_default();
            found.extend(made.captures_iter(code).map(|parts| parts[1].to_owned()));
        }
    }
    assert!(found.len() > 80 && found.contains("template_limit") && found.contains("address_forbidden"), "{found:?}");
    let missing: Vec<&String> =
        found.iter().filter(|code| !WITHIN.contains(&code.as_str()) && !documented.contains(&code.as_str())).collect();
    assert!(missing.is_empty(), "docs/errors.md has no row for {missing:?}");
}
