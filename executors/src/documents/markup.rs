//! HTML and Markdown: text as it reads, tables, title.
//!
//! Invariant: nothing that a page refers to is fetched; scripts and styles are not text.

use encoding_rs::Encoding;
use html2text::render::TrivialDecorator;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use sandbox::JobError;
use scraper::{ElementRef, Html, Selector};

use super::jobs::{Extracted, Table};
use super::kind::FileType;
use super::text;

/// Wide enough that no line of prose is broken.
const WIDTH: usize = 100_000;
/// The reader of HTML builds a tree; deeper ones are nothing that people wrote.
const DEPTH: usize = 2_000;

pub(crate) fn extract_html(bytes: &[u8]) -> Result<Extracted, JobError> {
    let decoded = text::decode_as(bytes, declared(bytes));
    let mut extracted = html(&decoded.text)?;
    extracted.encoding = Some(decoded.encoding);
    Ok(extracted)
}

/// Text, tables and title of HTML that is text already (a part of an e-mail).
pub(crate) fn html(source: &str) -> Result<Extracted, JobError> {
    if nesting(source) > DEPTH {
        return Err(JobError::new("document_too_complex", "The page is nested too deeply."));
    }
    let mut extracted = Extracted::new(FileType::Html);
    let text = html2text::config::with_decorator(TrivialDecorator::new())
        .no_table_borders()
        .link_footnotes(false)
        .allow_width_overflow()
        .string_from_read(source.as_bytes(), WIDTH)
        .map_err(|error| JobError::new("document_broken", format!("The page cannot be read ({error}).")))?;
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    extracted.set_text(lines.join("\n").trim().to_owned());

    let page = Html::parse_document(source);
    if let Some(title) = first(&page, "title").map(words).filter(|title| !title.is_empty()) {
        extracted.metadata.insert("title".into(), title.into());
    }
    if let Some(language) = first(&page, "html[lang]").and_then(|element| element.attr("lang")) {
        extracted.metadata.insert("language".into(), language.into());
    }
    for name in ["description", "author", "keywords"] {
        let meta = first(&page, &format!("meta[name={name}]")).and_then(|element| element.attr("content"));
        if let Some(content) = meta.filter(|content| !content.is_empty()) {
            extracted.metadata.insert(name.into(), content.into());
        }
    }
    extracted.tables = all(&page, "table").filter_map(table).collect();
    Ok(extracted)
}

fn table(element: ElementRef<'_>) -> Option<Table> {
    let rows = Selector::parse("tr").ok()?;
    let cells = Selector::parse("th, td").ok()?;
    let rows: Vec<Vec<String>> = element
        .select(&rows)
        .map(|row| row.select(&cells).map(words).collect::<Vec<_>>())
        .filter(|row| !row.is_empty())
        .collect();
    // A table around the whole page is layout: one row or one column is no table.
    (rows.len() > 1 && rows.iter().any(|row| row.len() > 1)).then_some(Table { page: Some(1), name: None, rows })
}

fn first<'a>(page: &'a Html, selector: &str) -> Option<ElementRef<'a>> {
    let selector = Selector::parse(selector).ok()?;
    page.select(&selector).next()
}

fn all<'a>(page: &'a Html, selector: &str) -> impl Iterator<Item = ElementRef<'a>> {
    let found: Vec<_> = Selector::parse(selector).map(|selector| page.select(&selector).collect()).unwrap_or_default();
    found.into_iter()
}

fn words(element: ElementRef<'_>) -> String {
    element.text().flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

/// The encoding that a page names in its first kilobyte.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).to_ascii_lowercase();
    let (_, rest) = start.split_once("charset=")?;
    let name: String = rest
        .trim_start_matches(['"', '\'', ' '])
        .chars()
        .take_while(|character| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | ':'))
        .collect();
    Encoding::for_label(name.as_bytes())
}

/// How deep open tags can nest at most: opening tags less closing ones, void elements aside.
fn nesting(source: &str) -> usize {
    let bytes = source.as_bytes();
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != b'<' {
            continue;
        }
        match bytes.get(at + 1) {
            Some(b'/') => depth = depth.saturating_sub(1),
            Some(next) if next.is_ascii_alphabetic() && !is_void(&bytes[at + 1..]) => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            _ => {}
        }
    }
    deepest
}

/// Elements without a closing tag, and those whose closing tag is left out as a rule.
fn is_void(rest: &[u8]) -> bool {
    let name: Vec<u8> = rest.iter().take(8).take_while(|byte| byte.is_ascii_alphanumeric()).copied().collect();
    let name = name.to_ascii_lowercase();
    const VOID: [&[u8]; 21] = [
        b"br", b"img", b"hr", b"meta", b"link", b"input", b"col", b"area", b"base", b"embed", b"source", b"track",
        b"wbr", b"p", b"li", b"td", b"tr", b"th", b"option", b"dt", b"dd",
    ];
    VOID.contains(&name.as_slice())
}

/// Markdown stays as it is written: that is how people and models read it. Tables and title are found in it.
pub(crate) fn extract_markdown(bytes: &[u8]) -> Extracted {
    let decoded = text::decode(bytes);
    let whole = text::tidy(&decoded.text);
    let mut extracted = Extracted::new(FileType::Text);
    extracted.encoding = Some(decoded.encoding);
    let options = Options::ENABLE_TABLES | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let (mut rows, mut cell, mut heading): (Vec<Vec<String>>, String, Option<String>) =
        (Vec::new(), String::new(), None);
    let mut in_heading = false;
    for event in Parser::new_ext(&whole, options) {
        match event {
            Event::Start(Tag::Table(_)) => rows = Vec::new(),
            Event::Start(Tag::TableHead | Tag::TableRow) => rows.push(Vec::new()),
            Event::Start(Tag::TableCell) => cell.clear(),
            Event::Start(Tag::Heading { .. }) if heading.is_none() => {
                in_heading = true;
                heading = Some(String::new());
            }
            Event::End(TagEnd::Heading(_)) => in_heading = false,
            Event::End(TagEnd::TableCell) => {
                if let Some(row) = rows.last_mut() {
                    row.push(std::mem::take(&mut cell));
                }
            }
            Event::End(TagEnd::Table) => {
                extracted.tables.push(Table { page: Some(1), name: None, rows: std::mem::take(&mut rows) });
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = heading.as_mut().filter(|_| in_heading) {
                    heading.push_str(&text);
                }
                cell.push_str(&text);
            }
            _ => {}
        }
    }
    if let Some(title) = heading.filter(|heading| !heading.is_empty()) {
        extracted.metadata.insert("title".into(), title.into());
    }
    extracted.set_text(whole);
    extracted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_no_text_and_tables_are_found() {
        let page = html(
            "<title>T</title><style>p{}</style><script>alert(1)</script><p>One <b>two</b></p>\
             <table><tr><th>a<th>b<tr><td>1<td>2</table>",
        )
        .unwrap();
        assert!(page.text().contains("One two"), "{}", page.text());
        assert!(!page.text().contains("alert") && !page.text().contains("p{"));
        assert_eq!(page.tables[0].rows, [["a", "b"], ["1", "2"]]);
        assert_eq!(page.metadata["title"], "T");
    }

    #[test]
    fn deep_nesting_is_refused_before_a_tree_is_built() {
        let error = html(&"<div>".repeat(5_000)).unwrap_err();
        assert_eq!(error.code, "document_too_complex");
        assert!(html(&"<p>x<br>".repeat(5_000)).is_ok(), "paragraphs without a closing tag do not nest");
    }

    #[test]
    fn a_page_names_its_encoding() {
        let page = extract_html(b"<meta charset=\"iso-8859-2\"><p>\xb1\xe6\xea</p>").unwrap();
        assert!(page.text().contains("ąćę"), "{}", page.text());
    }
}
