//! The written documentation: Markdown of `docs/`, embedded, rendered once.
//!
//! Invariant: every page of `docs/` is in [`PAGES`] (a test looks); headings and error codes can be linked to.

use std::fmt::Write;
use std::sync::LazyLock;

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

/// One page: its address below `/docs/`, its title and its text.
pub(super) struct Written {
    pub(super) slug: &'static str,
    pub(super) title: &'static str,
    text: &'static str,
}

pub(super) const PAGES: &[Written] = &[
    Written { slug: "language", title: "The flow language", text: include_str!("../../../docs/language.md") },
    Written {
        slug: "experiments",
        title: "Versions, channels and experiments",
        text: include_str!("../../../docs/experiments.md"),
    },
    Written { slug: "runs", title: "Acting on runs", text: include_str!("../../../docs/runs.md") },
    Written { slug: "queue", title: "The queue", text: include_str!("../../../docs/queue.md") },
    Written {
        slug: "guarantees",
        title: "What holds when something breaks",
        text: include_str!("../../../docs/guarantees.md"),
    },
    Written { slug: "language/flow", title: "The file", text: include_str!("../../../docs/language/flow.md") },
    Written {
        slug: "language/steps",
        title: "Steps and their order",
        text: include_str!("../../../docs/language/steps.md"),
    },
    Written {
        slug: "language/failures",
        title: "Failures and skips",
        text: include_str!("../../../docs/language/failures.md"),
    },
    Written {
        slug: "language/main-input",
        title: "The main input",
        text: include_str!("../../../docs/language/main-input.md"),
    },
    Written {
        slug: "language/items",
        title: "Many items, loops and waits",
        text: include_str!("../../../docs/language/items.md"),
    },
    Written {
        slug: "language/templates",
        title: "Templates and functions",
        text: include_str!("../../../docs/language/templates.md"),
    },
    Written {
        slug: "language/composition",
        title: "Flows of flows",
        text: include_str!("../../../docs/language/composition.md"),
    },
    Written {
        slug: "language/executors",
        title: "Executors",
        text: include_str!("../../../docs/language/executors.md"),
    },
    Written {
        slug: "language/problems",
        title: "Problems and limits",
        text: include_str!("../../../docs/language/problems.md"),
    },
    Written { slug: "testing", title: "Testing flows", text: include_str!("../../../docs/testing.md") },
    Written { slug: "errors", title: "Errors", text: include_str!("../../../docs/errors.md") },
    Written { slug: "configuration", title: "Configuration", text: include_str!("../../../docs/configuration.md") },
    Written { slug: "operate/build", title: "Building Weir", text: include_str!("../../../docs/operate/build.md") },
    Written {
        slug: "operate/security",
        title: "Security in operation",
        text: include_str!("../../../docs/operate/security.md"),
    },
];

static RENDERED: LazyLock<Vec<(&'static str, String)>> =
    LazyLock::new(|| PAGES.iter().map(|page| (page.slug, rendered(page.text))).collect());

/// The page at an address below `/docs/`: its title and its body.
pub(super) fn page(slug: &str) -> Option<(&'static str, &'static str)> {
    let title = PAGES.iter().find(|page| page.slug == slug)?.title;
    let body = RENDERED.iter().find(|(known, _)| *known == slug)?;
    Some((title, body.1.as_str()))
}

fn rendered(text: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut events: Vec<Event<'_>> = Parser::new_ext(text, options).collect();
    let mut headings = Vec::new();
    for (index, event) in events.iter().enumerate() {
        if let Event::Start(Tag::Heading { .. }) = event {
            let words = events[index + 1..].iter().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
            let words: String = words
                .filter_map(|event| match event {
                    Event::Text(text) | Event::Code(text) => Some(&**text),
                    _ => None,
                })
                .collect();
            headings.push((index, slug(&words)));
        }
    }
    for (index, anchor) in headings {
        if let Event::Start(Tag::Heading { id, .. }) = &mut events[index] {
            *id = Some(CowStr::from(anchor));
        }
    }
    let mut out = String::new();
    html::push_html(&mut out, events.into_iter());
    with_row_ids(&out)
}

/// A table's row that begins with a code can be linked to by it: problems' `type` does.
fn with_row_ids(html: &str) -> String {
    const START: &str = "<tr><td><code>";
    let mut out = String::with_capacity(html.len());
    let mut parts = html.split(START);
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let name = part.split('<').next().unwrap_or_default();
        // Writing into a text cannot fail.
        let _ = write!(out, "<tr id=\"{}\"><td><code>{part}", slug(name));
    }
    out
}

fn slug(words: &str) -> String {
    let letters = words
        .to_lowercase()
        .chars()
        .map(|letter| if letter.is_alphanumeric() || letter == '_' { letter } else { '-' })
        .collect::<String>();
    letters.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_of_the_docs_folder_is_served() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let mut open = vec![root.clone()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|extension| extension == "md") {
                    let slug = path.strip_prefix(&root).unwrap().with_extension("").display().to_string();
                    assert!(page(&slug).is_some(), "docs/{slug}.md is not served; add it to PAGES");
                }
            }
        }
    }

    #[test]
    fn every_code_at_the_door_has_its_place_on_the_page_of_errors() {
        let (_, body) = page("errors").unwrap();
        for code in domain::ErrorCode::ALL {
            assert!(
                body.contains(&format!("id=\"{}\"", code.as_str())),
                "{} is not explained in docs/errors.md",
                code.as_str()
            );
        }
    }
}
