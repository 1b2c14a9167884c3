//! Presentations: a page for each slide, in the order of the slides' numbers.
//!
//! Invariant: notes and layouts are not part of a slide's text.

use sandbox::JobError;

use super::archive::Archive;
use super::docx;
use super::jobs::{Extracted, Page, Table};
use super::kind::FileType;
use super::xml::{self, Node};

pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted, JobError> {
    let mut archive = Archive::open(bytes)?;
    let mut extracted = Extracted::new(FileType::Pptx);
    for (number, name) in (1..).zip(archive.numbered("ppt/slides/", "slide")) {
        let Some(text) = archive.text(&name)? else { continue };
        let (text, tables) = slide(&text)?;
        extracted.tables.extend(tables.into_iter().map(|rows| Table { page: Some(number), name: None, rows }));
        extracted.pages.push(Page { number, text });
    }
    extracted.metadata = docx::core_properties(&mut archive)?;
    Ok(extracted)
}

/// Rows of cells.
type Rows = Vec<Vec<String>>;

fn slide(text: &str) -> Result<(String, Vec<Rows>), JobError> {
    let mut lines: Vec<String> = Vec::new();
    let mut tables: Vec<Rows> = Vec::new();
    let mut paragraph = String::new();
    let (mut in_text, mut in_cell) = (false, false);
    xml::walk(text, |node| {
        match node {
            Node::Open(start) => match start.local_name().as_ref() {
                "t" => in_text = true,
                "br" => paragraph.push('\n'),
                "tbl" => tables.push(Vec::new()),
                "tr" => {
                    if let Some(table) = tables.last_mut() {
                        table.push(Vec::new());
                    }
                }
                "tc" => {
                    in_cell = true;
                    if let Some(row) = tables.last_mut().and_then(|table| table.last_mut()) {
                        row.push(String::new());
                    }
                }
                _ => {}
            },
            Node::Close(name) => match name.as_str() {
                "t" => in_text = false,
                "p" => {
                    let paragraph = std::mem::take(&mut paragraph);
                    let row = tables.last_mut().and_then(|table| table.last_mut());
                    match row.and_then(|row| row.last_mut()).filter(|_| in_cell) {
                        Some(cell) => cell.push_str(paragraph.trim()),
                        None if !paragraph.trim().is_empty() => lines.push(paragraph.trim().to_owned()),
                        None => {}
                    }
                }
                "tc" => in_cell = false,
                "tr" => {
                    if let Some(row) = tables.last().and_then(|table| table.last()) {
                        lines.push(row.join("\t"));
                    }
                }
                _ => {}
            },
            Node::Text(text) if in_text => paragraph.push_str(&text),
            Node::Text(_) => {}
        }
        Ok(())
    })?;
    Ok((lines.join("\n"), tables))
}
