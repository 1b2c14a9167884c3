//! A flat look at XML: elements by their local names, text with its entities resolved.
//!
//! Invariant: only the five predefined entities and character references are resolved; a document type declares nothing.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use sandbox::JobError;

/// What a reader of Office XML cares for.
pub(crate) enum Node<'a> {
    /// An element begins; an empty one ends at once, by its own [`Node::Close`].
    Open(BytesStart<'a>),
    Close(String),
    Text(String),
}

/// Depth at which no sane document is any more.
const DEPTH: usize = 2_000;

/// Calls `visit` for every node, in order.
pub(crate) fn walk<'a>(text: &'a str, mut visit: impl FnMut(Node<'a>) -> Result<(), JobError>) -> Result<(), JobError> {
    let mut reader = Reader::from_str(text);
    let mut depth = 0_usize;
    loop {
        let event = reader
            .read_event()
            .map_err(|error| JobError::new("document_broken", format!("The document is damaged ({error}).")))?;
        match event {
            Event::Start(start) => {
                depth += 1;
                if depth > DEPTH {
                    return Err(JobError::new("document_too_complex", "The document is nested too deeply."));
                }
                visit(Node::Open(start))?;
            }
            Event::Empty(start) => {
                let name = start.local_name().as_ref().to_owned();
                visit(Node::Open(start))?;
                visit(Node::Close(name))?;
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                visit(Node::Close(end.local_name().as_ref().to_owned()))?;
            }
            Event::Text(text) => visit(Node::Text(text.xml10_content().into_owned()))?,
            Event::CData(text) => visit(Node::Text(text.xml10_content().into_owned()))?,
            Event::GeneralRef(reference) => {
                if let Some(character) = resolve(&reference) {
                    visit(Node::Text(character.to_string()))?;
                }
            }
            Event::Eof => return Ok(()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    if reference.is_char_ref() {
        return reference.resolve_char_ref().ok().flatten();
    }
    match &**reference {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

/// An attribute by its local name.
pub(crate) fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    start
        .attributes()
        .with_checks(false)
        .filter_map(Result::ok)
        .find(|attribute| attribute.key.local_name().as_ref() == name)
        .and_then(|attribute| attribute.normalized_value(XmlVersion::Implicit1_0).ok())
        .map(std::borrow::Cow::into_owned)
}

/// The text of each element that holds nothing but text: `dc:title` as `title`.
pub(crate) fn leaves(text: &str) -> Vec<(String, String)> {
    let mut leaves = Vec::new();
    let mut collected = String::new();
    // A damaged part gives what was read up to the damage.
    let _ = walk(text, |node| {
        match node {
            Node::Open(_) => collected.clear(),
            Node::Text(text) => collected.push_str(&text),
            Node::Close(name) => {
                if !collected.trim().is_empty() {
                    leaves.push((name, collected.trim().to_owned()));
                }
                collected.clear();
            }
        }
        Ok(())
    });
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_of_a_document_type_are_not_resolved() {
        let text =
            r#"<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd"><!ENTITY y "boom">]><a>A&amp;B&x;&y;&#67;</a>"#;
        assert_eq!(leaves(text), [("a".to_owned(), "A&BC".to_owned())]);
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = "<a>".repeat(3_000);
        assert_eq!(walk(&text, |_| Ok(())).unwrap_err().code, "document_too_complex");
    }
}
