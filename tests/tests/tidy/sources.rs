//! Files have one idea, a name for it, and a first line that says it.
use super::texts::{Source, program_text, sources};

const LINES: usize = 500;
const FORBIDDEN_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "manager", "misc"];

fn rust() -> impl Iterator<Item = Source> {
    sources().into_iter().filter(|source| source.path.ends_with(".rs"))
}

/// A suite is a list of rules and an example a list of made-up rows; both may be long.
fn is_list(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("/examples/")
}

#[test]
fn no_file_is_longer_than_five_hundred_lines_without_its_tests() {
    let long = rust().filter(|source| !is_list(&source.path)).filter_map(|source| {
        let lines = program_text(&source.text).lines().count();
        (lines > LINES).then(|| format!("{}: {lines} lines; split it by idea", source.path))
    });
    let long: Vec<_> = long.collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn no_module_has_a_name_that_means_nothing() {
    let named = rust().filter(|source| {
        let mut parts = source.path.trim_end_matches(".rs").split('/');
        parts.any(|part| FORBIDDEN_NAMES.contains(&part))
    });
    let named: Vec<_> = named.map(|source| source.path).collect();
    assert!(named.is_empty(), "name these for what is in them: {named:#?}");
}

#[test]
fn every_module_opens_with_a_line_of_purpose() {
    let mute = rust().filter(|source| {
        let first = source.text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("#!["));
        !first.is_some_and(|line| line.starts_with("//!") && line.len() > 10)
    });
    let mute: Vec<_> = mute.map(|source| source.path).collect();
    assert!(mute.is_empty(), "say what these are for, in a first line of `//!`: {mute:#?}");
}

/// What leaves for a step leaves within its run's trace, which the one place that sends sees to. Trying a connection is no step.
#[test]
fn executors_send_in_one_place() {
    let places = ["executors/src/outgoing.rs", "executors/src/probe.rs"];
    let senders = rust().filter(|source| source.path.starts_with("executors/src/"));
    let senders: Vec<_> = senders
        .filter(|source| program_text(&source.text).contains("egress.send("))
        .map(|source| source.path)
        .filter(|path| !places.contains(&path.as_str()))
        .collect();
    assert!(senders.is_empty(), "send by `outgoing::send`: {senders:#?}");
}

/// On the server the children of `<textarea>` are written without escaping, so text that a user gave would become
/// markup. A field written as HTML text of our own is fine where it escapes its value.
#[test]
fn no_textarea_has_children() {
    let mut problems = Vec::new();
    for source in rust().filter(|source| source.path.starts_with("app/")) {
        for (at, _) in source.text.match_indices("<textarea") {
            let tag = &source.text[at..];
            if in_comment(&source.text, at) || escapes_its_text(tag) {
                continue;
            }
            if !is_childless(tag) {
                let line = source.text[..at].lines().count();
                problems.push(format!("{}:{line}: user text must not be a child of <textarea>", source.path));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

fn in_comment(text: &str, at: usize) -> bool {
    let line = &text[text[..at].rfind('\n').map_or(0, |end| end + 1)..at];
    line.trim_start().starts_with("//")
}

/// A format string that holds the whole element and is given an escaped text in the same call.
fn escapes_its_text(tag: &str) -> bool {
    let Some((_, after)) = tag.split_once("</textarea>\"") else { return false };
    after.split(';').next().is_some_and(|rest| rest.contains("escape("))
}

/// Whether an opening tag closes itself or is followed at once by its closing tag. Braces and strings inside attributes
/// are skipped, so that an arrow or a comparison in them ends nothing.
fn is_childless(tag: &str) -> bool {
    let (mut depth, mut quoted, mut previous) = (0_i32, false, ' ');
    for (at, character) in tag.char_indices() {
        match character {
            '"' if previous != '\\' => quoted = !quoted,
            '{' | '(' | '[' if !quoted => depth += 1,
            '}' | ')' | ']' if !quoted => depth -= 1,
            '>' if !quoted && depth == 0 && previous != '=' && previous != '-' => {
                return previous == '/' || tag[at + 1..].trim_start().starts_with("</textarea>");
            }
            _ => {}
        }
        previous = character;
    }
    false
}

#[test]
fn the_search_for_textareas_sees_children() {
    assert!(is_childless("<textarea name=\"x\" prop:value=move || { if a > b { c } else { d } }></textarea>"));
    assert!(is_childless("<textarea name=\"x\"/>"));
    assert!(!is_childless("<textarea name=\"x\">{text}</textarea>"));
    assert!(escapes_its_text("<textarea{}>{}</textarea>\", self.attributes(), escape(&self.value));"));
    assert!(!escapes_its_text("<textarea{}>{}</textarea>\", self.attributes(), self.value); escape(it);"));
}
