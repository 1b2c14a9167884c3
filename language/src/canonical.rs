//! What a flow file says, however it is written: the form that decides whether two texts are the same content.
//!
//! Invariant: two texts with one canonical form compile to the same plan and look the same to callers. Order is given up only
//! where nothing uses and nothing shows it: among keys that the language itself names, and among labels.

use crate::node::{Entry, Kind, Node};
use crate::report::Report;
use crate::source::Sources;

/// How a mapping's order counts.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// Whatever it is, it may be shown or handed on: its order counts, all the way down.
    Value,
    /// Keys of the language or labels, all the way down.
    Settings,
    /// Keys of the language. What stands under one that is not named here is a value.
    Fields(&'static [(&'static str, Self)]),
    /// Names of the author's, whose order is that of forms, answers and evaluation.
    Named(&'static Self),
    List(&'static Self),
}

const FLOW: Part = Part::Fields(&[
    ("labels", Part::Settings),
    ("functions", Part::Named(&Part::Settings)),
    ("inputs", Part::Named(&INPUT)),
    ("groups", Part::Named(&Part::Settings)),
    ("defaults", Part::Settings),
    ("concurrency", Part::Settings),
    ("max_cost", Part::Settings),
    ("endpoint", Part::Settings),
    ("steps", Part::List(&STEP)),
    ("on_error", Part::List(&STEP)),
    ("finally", Part::List(&STEP)),
]);
const INPUT: Part = Part::Fields(&[]);
const STEP: Part = Part::Fields(&[
    ("retry", Part::Settings),
    ("repeat", Part::Settings),
    ("cache", Part::Settings),
    ("resources", Part::Settings),
    ("concurrency", Part::Settings),
    ("on_error", Part::Fields(&[("fallback", Part::List(&FALLBACK))])),
    ("compensate", Part::Fields(&[("retry", Part::Settings)])),
]);
const FALLBACK: Part = Part::Fields(&[("retry", Part::Settings)]);

/// The canonical form of a flow file: its values, with aliases written out and without comments, quotes and layout. `None`
/// for a text that is no YAML of flows.
#[must_use]
pub fn canonical(yaml: &str) -> Option<String> {
    let mut report = Report::default();
    let mut sources = Sources::default();
    let yaml = yaml.strip_prefix('\u{feff}').unwrap_or(yaml);
    let file = sources.add(crate::FLOW_FILE, crate::bounded(yaml), &mut report);
    let root = crate::yaml::parse(sources.get(file), yaml, &mut report)?;
    // A key that was written twice, or a number that was cut, is not in the values.
    if report.has_errors() {
        return None;
    }
    let mut out = String::with_capacity(yaml.len());
    write(&mut out, &root, FLOW);
    Some(out)
}

fn write(out: &mut String, node: &Node, part: Part) {
    match &node.kind {
        Kind::List(items) => {
            let of_items = match part {
                Part::List(part) => *part,
                Part::Settings => Part::Settings,
                Part::Value | Part::Fields(_) | Part::Named(_) => Part::Value,
            };
            out.push('[');
            for item in items {
                write(out, item, of_items);
                out.push(',');
            }
            out.push(']');
        }
        Kind::Map(entries) => {
            let mut entries: Vec<&Entry> = entries.iter().collect();
            if matches!(part, Part::Settings | Part::Fields(_)) {
                entries.sort_by(|one, other| one.key.cmp(&other.key));
            }
            out.push('{');
            for entry in entries {
                out.push_str(&serde_json::Value::from(entry.key.as_str()).to_string());
                out.push(':');
                write(out, &entry.value, below(part, &entry.key));
                out.push(',');
            }
            out.push('}');
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => out.push_str(&node.to_json().to_string()),
    }
}

fn below(part: Part, key: &str) -> Part {
    match part {
        Part::Settings => Part::Settings,
        Part::Fields(known) => known.iter().find(|(name, _)| *name == key).map_or(Part::Value, |(_, part)| *part),
        Part::Named(part) => *part,
        Part::Value | Part::List(_) => Part::Value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = "
description: Reads an invoice.
labels: {team: desk, area: money}
inputs:
  document: {type: file, required: true}
  note: {type: string, default: 'a'}
vars: {one: 1, two: 2}
outputs: {text: \"{{ steps.read.text }}\", note: \"{{ inputs.note }}\"}
groups: {both: {join: {at_least: 1}, max_parallel: 2}}
steps:
  - name: read
    executor: document_extractor
    config: {file: \"{{ inputs.document }}\", pages: '1'}
    retry: {max_attempts: 3, initial_delay: 1s}
    on_error: {fallback: [{executor: log, config: {message: x, level: info}, retry: {max_attempts: 2, factor: 2}}]}
  - {name: note, executor: log, parallel_group: both, config: {message: \"line 1\\nline 2\\n\"}}
";

    fn same(one: &str, other: &str) -> bool {
        let (one, other) = (canonical(one), canonical(other));
        assert!(one.is_some() && other.is_some());
        one == other
    }

    #[track_caller]
    fn replaced(from: &str, to: &str) -> String {
        assert!(WRITTEN.contains(from), "{from}");
        WRITTEN.replacen(from, to, 1)
    }

    #[test]
    fn comments_quotes_layout_and_aliases_are_no_content() {
        for (from, to) in [
            ("labels:", "# Who reads it.\nlabels:"),
            ("labels: {team: desk, area: money}", "labels:\n    team: \"desk\" # the desk\n    area: 'money'"),
            ("default: 'a'", "default: a"),
            ("executor: document_extractor", "executor: 'document_extractor'"),
            ("vars: {one: 1, two: 2}", "vars:\n  one: 1\n  two: 2"),
            ("{message: \"line 1\\nline 2\\n\"}", "\n      message: |\n        line 1\n        line 2\n    "),
        ] {
            let other = replaced(from, to);
            // A block scalar does not fit a flow mapping.
            let other = if to.contains('|') {
                other
                    .replace(
                        "- {name: note, executor: log, parallel_group: both, config: ",
                        "- name: note\n    executor: log\n    parallel_group: both\n    config: ",
                    )
                    .replace("\n    }", "\n")
            } else {
                other
            };
            assert!(same(WRITTEN, &other), "{other}");
        }
        assert!(same(WRITTEN, &WRITTEN.replace('\n', "\r\n")), "line ends");
        assert!(same(WRITTEN, &format!("\u{feff}{WRITTEN}")), "a mark of byte order");
        let anchored = WRITTEN.replace(
            "retry: {max_attempts: 3, initial_delay: 1s}",
            "retry: &again {max_attempts: 3, initial_delay: 1s}",
        );
        assert!(same(WRITTEN, &anchored));
        let two = |second: &str| format!("{anchored}  - {{name: last, executor: log, retry: {second}}}\n");
        assert!(same(&two("*again"), &two("{initial_delay: 1s, max_attempts: 3}")));
    }

    #[test]
    fn the_order_of_what_the_language_names_is_no_content() {
        for (from, to) in [
            ("{team: desk, area: money}", "{area: money, team: desk}"),
            ("{type: file, required: true}", "{required: true, type: file}"),
            ("{max_attempts: 3, initial_delay: 1s}", "{initial_delay: 1s, max_attempts: 3}"),
            ("{join: {at_least: 1}, max_parallel: 2}", "{max_parallel: 2, join: {at_least: 1}}"),
            ("- name: read\n    executor: document_extractor", "- executor: document_extractor\n    name: read"),
            ("{max_attempts: 2, factor: 2}", "{factor: 2, max_attempts: 2}"),
            (
                "\nvars: {one: 1, two: 2}\noutputs: {text: \"{{ steps.read.text }}\", note: \"{{ inputs.note }}\"}",
                "\noutputs: {text: \"{{ steps.read.text }}\", note: \"{{ inputs.note }}\"}\nvars: {one: 1, two: 2}",
            ),
        ] {
            assert!(same(WRITTEN, &replaced(from, to)), "{to}");
        }
    }

    #[test]
    fn whatever_is_used_or_shown_in_its_order_is_content() {
        for (from, to) in [
            // Forms, answers, evaluation and what a step is given.
            (
                "  document: {type: file, required: true}\n  note: {type: string, default: 'a'}",
                "  note: {type: string, default: 'a'}\n  document: {type: file, required: true}",
            ),
            ("{one: 1, two: 2}", "{two: 2, one: 1}"),
            (
                "{text: \"{{ steps.read.text }}\", note: \"{{ inputs.note }}\"}",
                "{note: \"{{ inputs.note }}\", text: \"{{ steps.read.text }}\"}",
            ),
            ("{file: \"{{ inputs.document }}\", pages: '1'}", "{pages: '1', file: \"{{ inputs.document }}\"}"),
            ("{message: x, level: info}", "{level: info, message: x}"),
        ] {
            assert!(!same(WRITTEN, &replaced(from, to)), "{to}");
        }
        let (read, note) = WRITTEN.split_once("  - {name: note").unwrap();
        let (head, read) = read.split_once("steps:\n").unwrap();
        assert!(!same(WRITTEN, &format!("{head}steps:\n  - {{name: note{note}{read}")), "the order of steps");
    }

    #[test]
    fn values_of_other_types_are_other_content() {
        for (from, to) in [
            ("pages: '1'", "pages: 1"),
            ("one: 1,", "one: 1.0,"),
            ("one: 1,", "one: true,"),
            ("one: 1,", "one: null,"),
            ("line 2\\n", "line 2"),
            ("{{ inputs.note }}", "{{ inputs.note  }}"),
            ("description: Reads an invoice.\n", ""),
        ] {
            assert!(!same(WRITTEN, &replaced(from, to)), "{to}");
        }
        // What JSON reads as the same number is the same number.
        assert!(same(&replaced("one: 1,", "one: 1.50,"), &replaced("one: 1,", "one: 15e-1,")));
        // Values cannot run into each other.
        assert!(!same("a: [x, y]", "a: [\"x,y\"]"));
        assert!(!same("a: {x: 1}", "a: \"{x: 1}\""));
    }

    #[test]
    fn a_text_that_is_no_yaml_of_flows_has_no_canonical_form() {
        for text in ["a: [", "a: 1\na: 2", "a: 123456789012345678901234567890", "a: !x 1", ""] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
