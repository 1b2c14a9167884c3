//! The docs' tables say what the code says.
use super::texts::root;
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
