//! JSON values for reading: indented, coloured, long texts and long lists cut with the rest one click away.

use leptos::prelude::*;
use serde_json::Value;

use super::svg::escape;
use crate::forms::path;
use crate::icon::Icon;

/// What is shown of a value before it is folded.
const SHOWN_CHARS: usize = 6_000;

/// A value in full, with its file values as links.
pub(crate) fn value(value: &Value, label: &'static str, tenant: &str) -> AnyView {
    named(value, label.to_owned(), tenant)
}

/// The same, where there are several on a page and each needs a name of its own.
pub(crate) fn named(value: &Value, label: String, tenant: &str) -> AnyView {
    let files = files_of(value);
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let cut = text.char_indices().nth(SHOWN_CHARS).map(|(at, _)| at);
    let shown = cut.map_or(text.as_str(), |at| &text[..at]);
    let tenant = tenant.to_owned();
    view! {
        {(!files.is_empty()).then(|| view! {
            <ul class="row files">
                {files.into_iter().map(|(id, name, size)| view! {
                    <li>
                        <a class="button" href=path::file(&tenant, &id) rel="external" download=name.clone()>
                            {Icon::Download.view()}<span class="cut">{name.clone()}</span><span class="quiet">{size_text(size)}</span>
                        </a>
                    </li>
                }).collect_view()}
            </ul>
        })}
        <pre class="code block wrap" tabindex="0" role="region" aria-label=label inner_html=coloured(shown)></pre>
        {cut.map(|at| {
            let rest = text[at..].to_owned();
            view! {
                <details class="disclosure">
                    <summary>{Icon::ChevronRight.view()}{format!("{} more characters", rest.chars().count())}</summary>
                    <pre class="code block wrap" tabindex="0">{rest}</pre>
                </details>
            }
        })}
    }
    .into_any()
}

/// File values anywhere in a value: id, name, size.
fn files_of(value: &Value) -> Vec<(String, String, u64)> {
    let mut found = Vec::new();
    let mut waiting = vec![value];
    while let Some(next) = waiting.pop() {
        match next {
            Value::Object(fields) => {
                if let Some(file) = domain::FileRef::from_value(next) {
                    found.push((file.file_id.to_string(), file.name, file.size_bytes));
                } else {
                    waiting.extend(fields.values());
                }
            }
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
    found
}

pub(crate) fn size_text(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KB", bytes.div_ceil(1024)),
        _ => format!("{}.{} MB", bytes / 1_048_576, bytes % 1_048_576 * 10 / 1_048_576),
    }
}

/// Pretty-printed JSON with spans for keys, texts, numbers and words. Works on a cut text too.
fn coloured(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let (class, length) = match first {
            '"' => {
                let end = string_end(rest);
                let key = rest[end..].trim_start().starts_with(':');
                (if key { "k" } else { "s" }, end)
            }
            '-' | '0'..='9' => ("n", run_of(rest, |letter| matches!(letter, '-' | '+' | '.' | 'e' | 'E' | '0'..='9'))),
            'a'..='z' => ("t", run_of(rest, |letter| letter.is_ascii_lowercase())),
            _ => ("", run_of(rest, |letter| !matches!(letter, '"' | '-' | '0'..='9' | 'a'..='z'))),
        };
        let piece = escape(&rest[..length]);
        if class.is_empty() {
            out.push_str(&piece);
        } else {
            out.push_str("<span class=\"");
            out.push_str(class);
            out.push_str("\">");
            out.push_str(&piece);
            out.push_str("</span>");
        }
        rest = &rest[length..];
    }
    out
}

fn run_of(text: &str, member: impl Fn(char) -> bool) -> usize {
    text.char_indices().find(|&(_, letter)| !member(letter)).map_or(text.len(), |(at, _)| at)
}

/// The byte after the closing quote, or the end of a cut text.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_texts_and_numbers_are_told_apart_and_markup_is_text() {
        assert_eq!(
            coloured(r#"{"a": "<b>\"", "n": -1.5e3, "t": true}"#),
            "{<span class=\"k\">&quot;a&quot;</span>: <span class=\"s\">&quot;&lt;b&gt;\\&quot;&quot;</span>, \
             <span class=\"k\">&quot;n&quot;</span>: <span class=\"n\">-1.5e3</span>, \
             <span class=\"k\">&quot;t&quot;</span>: <span class=\"t\">true</span>}"
        );
    }

    #[test]
    fn a_text_cut_inside_a_string_is_still_escaped() {
        assert_eq!(coloured("\"<scr"), "<span class=\"s\">&quot;&lt;scr</span>");
    }

    #[test]
    fn sizes_round_up_to_what_is_readable() {
        assert_eq!(size_text(900), "900 B");
        assert_eq!(size_text(1025), "2 KB");
        assert_eq!(size_text(1_572_864), "1.5 MB");
        assert!(files_of(&json!({"a": [1, {"b": null}]})).is_empty());
    }
}
