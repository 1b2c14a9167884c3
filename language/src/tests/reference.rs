//! The tables of the language reference come from the code. (Its examples are checked and run beside the executors.)
//!
//! `WEIR_UPDATE_DOCS=1` writes the tables anew.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::{Catalogue, Severity, codes, limits, names};

fn pages() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/language");
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
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

fn filters_table() -> String {
    let mut table = "| Filter | Gives |\n|---|---|\n".to_owned();
    for (name, meaning) in names::FILTER_MEANINGS {
        let _ = writeln!(table, "| `{name}` | {} |", meaning.replace('|', "\\|"));
    }
    table
}

fn listed(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    format!("{}.\n", words.join(", "))
}

/// The keys of one mapping, from the JSON Schema of flow files.
fn keys_table(schema: &Value, name: &str) -> String {
    let object = if name == "Flow" { schema } else { &schema["$defs"][name] };
    let required: Vec<&str> = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut table = "| Key | Takes | Means |\n|---|---|---|\n".to_owned();
    for (key, property) in object["properties"].as_object().unwrap_or_else(|| panic!("{name}")) {
        let needed = if required.contains(&key.as_str()) { " (needed)" } else { "" };
        let means = described(schema, property).replace('\n', " ").replace('|', "\\|");
        let _ = writeln!(table, "| `{key}`{needed} | {} | {means} |", takes(schema, property));
    }
    table
}

fn target<'s>(schema: &'s Value, property: &'s Value) -> &'s Value {
    let reference = property.get("$ref").or_else(|| property["anyOf"][0].get("$ref"));
    match reference.and_then(Value::as_str).and_then(|reference| schema.pointer(reference.trim_start_matches('#'))) {
        Some(found) => found,
        None => property,
    }
}

fn described(schema: &Value, property: &Value) -> String {
    let own = property["description"].as_str().or_else(|| target(schema, property)["description"].as_str());
    own.unwrap_or_default().to_owned()
}

fn takes(schema: &Value, property: &Value) -> String {
    let found = target(schema, property);
    let name = |value: &Value| {
        let words: Vec<&str> = match &value["type"] {
            Value::String(word) => vec![word],
            Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let words: Vec<&str> = words
            .into_iter()
            .map(|word| match word {
                "string" => "text",
                "array" => "list",
                "object" => "mapping",
                word => word,
            })
            .collect();
        words.join(", ")
    };
    let choices = |value: &Value| -> Vec<String> {
        let listed = value["enum"].as_array().into_iter().flatten();
        let branches = value["oneOf"].as_array().into_iter().flatten();
        let branches = branches.flat_map(|branch| match &branch["enum"] {
            Value::Array(choices) => choices.iter().collect(),
            _ => branch.get("const").into_iter().collect::<Vec<_>>(),
        });
        listed.chain(branches).filter_map(|choice| choice.as_str().map(|word| format!("`{word}`"))).collect()
    };
    let own = choices(found);
    if !own.is_empty() {
        return own.join(", ");
    }
    let branches: Vec<String> = found["anyOf"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|branch| {
            let branch = target(schema, branch);
            let choices = choices(branch);
            if choices.is_empty() { name(branch) } else { choices.join(", ") }
        })
        .collect();
    if branches.is_empty() {
        let own = name(found);
        return if own.is_empty() { "anything".to_owned() } else { own };
    }
    branches.join(", ")
}

fn table(schema: &Value, name: &str) -> String {
    match name {
        "codes" => codes_table(),
        "limits" => limits_table(),
        "filters" => filters_table(),
        "tests" => listed(names::TESTS),
        "functions" => listed(names::FUNCTIONS),
        other => keys_table(schema, other.strip_prefix("keys ").unwrap_or_else(|| panic!("`{other}` is no table"))),
    }
}

#[test]
fn the_tables_are_those_of_the_code() {
    let schema = crate::schema(&Catalogue::default());
    let mut tables = Vec::new();
    for path in pages() {
        let written = std::fs::read_to_string(&path).unwrap();
        let mut text = String::new();
        let mut rest = written.as_str();
        while let Some(at) = rest.find("<!-- ") {
            let (name, after) = rest[at + 5..].split_once(" -->").unwrap();
            // Another test writes this one.
            if name == "executors" {
                break;
            }
            let close = format!("<!-- /{name} -->");
            let end = after.find(&close).unwrap_or_else(|| panic!("{}: {close}", path.display()));
            text.push_str(&rest[..at]);
            let _ = write!(text, "<!-- {name} -->\n{}{close}", table(&schema, name));
            rest = &after[end + close.len()..];
            tables.push(name.to_owned());
        }
        text.push_str(rest);
        if std::env::var_os("WEIR_UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        } else {
            assert!(written == text, "{}: run this test once with WEIR_UPDATE_DOCS=1", path.display());
        }
    }
    // Every mapping that the reader knows has its table, but for those that stand within another's row.
    for (name, _) in crate::read::KEYS {
        let is_there = tables.contains(&format!("keys {name}")) || matches!(*name, "OnErrorSettings");
        assert!(is_there, "the reference has no table of {name}");
    }
    assert!(tables.iter().any(|name| name == "codes") && tables.iter().any(|name| name == "limits"));
}

#[test]
fn every_filter_is_explained() {
    let explained: Vec<&str> = names::FILTER_MEANINGS.iter().map(|(name, _)| *name).collect();
    assert_eq!(explained, names::FILTERS);
}

#[test]
fn codes_are_unique_and_in_order() {
    assert!(codes::ALL.windows(2).all(|pair| pair[0].code < pair[1].code));
}
