//! A flow's text for reading: numbered lines that can be linked to, coloured, with problems marked where they are.
//!
//! Colouring is by line and never wrong about content: it only wraps pieces of the text in spans.

use std::fmt::Write;

use super::svg::escape;

/// How bad the worst problem of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Error,
    Warning,
}

/// The lines of an `<ol class="lines">`, ids `L1`, `L2` ...
pub(crate) fn lines(text: &str, mark: impl Fn(u32) -> Option<Mark>) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for (number, line) in (1..).zip(text.lines()) {
        let class = match mark(number) {
            Some(Mark::Error) => " class=\"error\"",
            Some(Mark::Warning) => " class=\"warning\"",
            None => "",
        };
        let _ = write!(out, "<li id=\"L{number}\"{class}>{}</li>", coloured(line));
    }
    out
}

fn coloured(line: &str) -> String {
    let mut out = String::with_capacity(line.len() * 2);
    let indent = line.len() - line.trim_start_matches([' ', '-']).len();
    let (lead, body) = line.split_at(indent);
    out.push_str(&escape(lead));
    if body.starts_with('#') {
        span(&mut out, "c", body);
        return out;
    }
    match key_end(body) {
        Some(end) => {
            span(&mut out, "k", &body[..end]);
            out.push(':');
            scalar(&mut out, &body[end + 1..]);
        }
        None => scalar(&mut out, body),
    }
    out
}

/// Where a plain key ends: before a colon that is followed by a space or the end.
fn key_end(body: &str) -> Option<usize> {
    let end = body.find(':')?;
    let plain = body[..end].chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | ' '));
    let follows = body[end + 1..].chars().next().is_none_or(char::is_whitespace);
    (plain && follows && end > 0).then_some(end)
}

fn scalar(out: &mut String, text: &str) {
    let (text, comment) = match text.find(" #") {
        // A hash inside quotes or a template belongs to the value.
        Some(at) if !text[..at].contains(['"', '\'', '{']) => text.split_at(at),
        _ => (text, ""),
    };
    let mut rest = text;
    while let Some(start) = rest.find("{{").or_else(|| rest.find("{%")) {
        plain(out, &rest[..start]);
        let end = rest[start..].find("}}").or_else(|| rest[start..].find("%}")).map_or(rest.len(), |at| start + at + 2);
        span(out, "t", &rest[start..end]);
        rest = &rest[end..];
    }
    plain(out, rest);
    if !comment.is_empty() {
        span(out, "c", comment);
    }
}

fn plain(out: &mut String, text: &str) {
    let word = text.trim();
    let class = match word {
        "" => "",
        "true" | "false" | "null" => "n",
        _ if word.parse::<f64>().is_ok() => "n",
        _ if word.starts_with(['"', '\'']) || word.ends_with(['"', '\'']) => "s",
        _ => "",
    };
    if class.is_empty() {
        out.push_str(&escape(text));
    } else {
        span(out, class, text);
    }
}

fn span(out: &mut String, class: &str, text: &str) {
    let _ = write!(out, "<span class=\"{class}\">{}</span>", escape(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_templates_numbers_and_comments_are_told_apart() {
        assert_eq!(coloured("  - name: a # b"), "  - <span class=\"k\">name</span>: a<span class=\"c\"> # b</span>");
        assert_eq!(coloured("max: 3"), "<span class=\"k\">max</span>:<span class=\"n\"> 3</span>");
        assert_eq!(
            coloured("x: \"{{ a.b }}\""),
            "<span class=\"k\">x</span>:<span class=\"s\"> &quot;</span><span class=\"t\">{{ a.b }}</span><span class=\"s\">&quot;</span>"
        );
    }

    #[test]
    fn no_line_can_break_out_of_its_element() {
        let drawn = lines("k: </li><script>x</script>\n# <b>", |_| None);
        assert!(!drawn.contains("<script>") && !drawn.contains("<b>"), "{drawn}");
    }

    #[test]
    fn marked_lines_carry_the_worst_problem() {
        assert!(lines("a\nb", |line| (line == 2).then_some(Mark::Error)).contains("<li id=\"L2\" class=\"error\">"));
    }
}
