//! What changed between two states of a flow, as a unified diff over its YAML and its files.
//!
//! Invariant: bounded: a diff that would be longer than [`MOST`] says so at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use entities::{JsonText, version};
use similar::TextDiff;

const MOST: usize = 64 * 1024;
/// Past this, similar gives a coarser diff.
const PATIENCE: Duration = Duration::from_millis(200);

/// One side of a diff.
pub(super) struct Side<'a> {
    pub(super) yaml: &'a str,
    pub(super) files: BTreeMap<String, String>,
}

impl<'a> Side<'a> {
    pub(super) fn of(yaml: &'a str, files: &JsonText) -> Self {
        Self { yaml, files: files.read().unwrap_or_default() }
    }

    pub(super) fn of_version(row: &'a version::Model) -> Self {
        Self::of(&row.yaml, &row.files)
    }
}

pub(super) fn unified(old: &Side<'_>, new: &Side<'_>) -> String {
    let mut out = one("flow.yaml", old.yaml, new.yaml);
    let paths: BTreeSet<&String> = old.files.keys().chain(new.files.keys()).collect();
    for path in paths {
        let text = |side: &Side<'_>| side.files.get(path).cloned().unwrap_or_default();
        out.push_str(&one(path, &text(old), &text(new)));
        if out.len() > MOST {
            break;
        }
    }
    if out.len() > MOST {
        let end = (0..=MOST).rev().find(|end| out.is_char_boundary(*end)).unwrap_or_default();
        out.truncate(end);
        out.push_str("\n(cut off here; read both versions to see the rest)\n");
    }
    out
}

fn one(path: &str, old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let mut config = TextDiff::configure();
    config.timeout(PATIENCE);
    config
        .diff_lines(old, new)
        .unified_diff()
        .context_radius(3)
        .header(&format!("a/{path}"), &format!("b/{path}"))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side<'a>(yaml: &'a str, files: &[(&str, &str)]) -> Side<'a> {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Side { yaml, files }
    }

    #[test]
    fn a_diff_names_the_files_that_changed_and_no_others() {
        let old = side("a: 1\nb: 2\n", &[("prompts/x.j2", "same"), ("prompts/y.j2", "old\n")]);
        let new = side("a: 1\nb: 3\n", &[("prompts/x.j2", "same"), ("prompts/y.j2", "new\n")]);
        let diff = unified(&old, &new);
        assert!(diff.contains("--- a/flow.yaml\n+++ b/flow.yaml\n"), "{diff}");
        assert!(diff.contains("-b: 2\n+b: 3\n") && diff.contains("+new\n"), "{diff}");
        assert!(!diff.contains("x.j2"), "{diff}");
        assert_eq!(unified(&old, &old), "");
    }

    #[test]
    fn a_long_diff_is_cut_off_and_says_so() {
        let long = "ä line of text\n".repeat(20_000);
        let diff = unified(&side("", &[]), &side(&long, &[]));
        assert!(diff.len() < MOST + 100 && diff.contains("cut off here"));
    }
}
