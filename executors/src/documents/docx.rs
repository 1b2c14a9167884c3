//! Word documents: paragraphs, tables and page breaks of the main part, then the footnotes.
//!
//! Invariant: deleted text, field codes and fallbacks for old readers are left out; order is that of the file.

use sandbox::JobError;
use serde_json::{Map, Value};

use super::archive::Archive;
use super::jobs::{Extracted, Page, Table};
use super::kind::FileType;
use super::xml::{self, Node};

/// Elements whose text is not part of the document as it reads.
const HIDDEN: &[&str] = &["del", "moveFrom", "instrText", "delText", "Fallback", "delInstrText"];

pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted, JobError> {
    let mut archive = Archive::open(bytes)?;
    let main = archive
        .text("word/document.xml")?
        .ok_or_else(|| JobError::new("document_broken", "The document has no main part."))?;
    let mut reader = Body::default();
    xml::walk(&main, |node| reader.take(node))?;
    if let Some(notes) = archive.text("word/footnotes.xml")? {
        reader.paragraph_end();
        xml::walk(&notes, |node| reader.take(node))?;
    }
    let mut extracted = Extracted::new(FileType::Docx);
    (extracted.pages, extracted.tables) = reader.finish();
    extracted.metadata = core_properties(&mut archive)?;
    Ok(extracted)
}

/// `docProps/core.xml`, the same in all Office documents.
pub(crate) fn core_properties(archive: &mut Archive<'_>) -> Result<Map<String, Value>, JobError> {
    let mut metadata = Map::new();
    let Some(text) = archive.text("docProps/core.xml")? else { return Ok(metadata) };
    for (name, value) in xml::leaves(&text) {
        let key = match name.as_str() {
            "title" | "subject" | "description" | "keywords" | "language" | "category" => name.as_str(),
            "creator" => "author",
            "lastModifiedBy" => "last_modified_by",
            "created" => "created_at",
            "modified" => "modified_at",
            _ => continue,
        };
        metadata.insert(key.to_owned(), Value::String(value));
    }
    Ok(metadata)
}

#[derive(Default)]
struct Body {
    pages: Vec<String>,
    page: String,
    paragraph: String,
    /// Open tables, the innermost last. A table in a cell becomes text of the cell.
    tables: Vec<Vec<Vec<String>>>,
    finished: Vec<Table>,
    hidden: usize,
    /// Inside `w:t`, or `a:t` of a drawing: everything else between elements is layout.
    in_text: bool,
}

impl Body {
    fn take(&mut self, node: Node<'_>) -> Result<(), JobError> {
        match node {
            Node::Open(start) => {
                let name = start.local_name();
                let name = name.as_ref();
                if self.hidden > 0 || HIDDEN.contains(&name) {
                    self.hidden += 1;
                    return Ok(());
                }
                self.open(name, &start);
            }
            Node::Close(name) => {
                if self.hidden > 0 {
                    self.hidden -= 1;
                    return Ok(());
                }
                self.close(&name);
            }
            Node::Text(text) => {
                if self.hidden == 0 && self.in_text {
                    self.paragraph.push_str(&text);
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, name: &str, start: &quick_xml::events::BytesStart<'_>) {
        match name {
            "t" => self.in_text = true,
            "tab" if !self.paragraph.is_empty() => self.paragraph.push('\t'),
            "cr" => self.paragraph.push('\n'),
            "br" if xml::attribute(start, "type").as_deref() == Some("page") => self.page_break(),
            "br" => self.paragraph.push('\n'),
            "lastRenderedPageBreak" => self.page_break(),
            "noBreakHyphen" => self.paragraph.push('-'),
            "numPr" => self.paragraph.insert_str(0, "- "),
            "tbl" => self.tables.push(Vec::new()),
            "tr" => {
                if let Some(table) = self.tables.last_mut() {
                    table.push(Vec::new());
                }
            }
            "tc" => {
                if let Some(row) = self.tables.last_mut().and_then(|table| table.last_mut()) {
                    row.push(String::new());
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "t" => self.in_text = false,
            "p" => self.paragraph_end(),
            "tbl" => self.table_end(),
            _ => {}
        }
    }

    fn paragraph_end(&mut self) {
        let paragraph = std::mem::take(&mut self.paragraph);
        let paragraph = paragraph.trim_end();
        match self.tables.last_mut().and_then(|table| table.last_mut()).and_then(|row| row.last_mut()) {
            Some(cell) => {
                if !cell.is_empty() && !paragraph.is_empty() {
                    cell.push('\n');
                }
                cell.push_str(paragraph);
            }
            None => {
                self.page.push_str(paragraph);
                self.page.push('\n');
            }
        }
    }

    fn table_end(&mut self) {
        let Some(rows) = self.tables.pop() else { return };
        let rows: Vec<Vec<String>> = rows.into_iter().filter(|row| !row.is_empty()).collect();
        let lines: Vec<String> = rows.iter().map(|row| row.join("\t").replace('\n', " ")).collect();
        match self.tables.last_mut().and_then(|table| table.last_mut()).and_then(|row| row.last_mut()) {
            Some(cell) => cell.push_str(&lines.join("\n")),
            None => {
                self.page.push_str(&lines.join("\n"));
                self.page.push('\n');
                let page = u32::try_from(self.pages.len()).unwrap_or(u32::MAX).saturating_add(1);
                self.finished.push(Table { page: Some(page), name: None, rows });
            }
        }
    }

    /// Breaks inside a table or before any text mean nothing for the order of the text.
    fn page_break(&mut self) {
        if !self.tables.is_empty() || (self.page.trim().is_empty() && self.paragraph.trim().is_empty()) {
            return;
        }
        let paragraph = std::mem::take(&mut self.paragraph);
        self.page.push_str(&paragraph);
        self.pages.push(std::mem::take(&mut self.page));
    }

    fn finish(mut self) -> (Vec<Page>, Vec<Table>) {
        self.paragraph_end();
        if !self.page.trim().is_empty() || self.pages.is_empty() {
            self.pages.push(self.page);
        }
        let pages = (1..).zip(self.pages).map(|(number, text)| Page { number, text: tidy(&text) }).collect();
        (pages, self.finished)
    }
}

/// No more than one empty line in a row.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.trim().lines().map(str::trim_end) {
        empty = if line.is_empty() { empty + 1 } else { 0 };
        if empty <= 1 {
            tidy.push_str(line);
            tidy.push('\n');
        }
    }
    tidy.truncate(tidy.trim_end().len());
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> (Vec<Page>, Vec<Table>) {
        let mut reader = Body::default();
        xml::walk(body, |node| reader.take(node)).unwrap();
        reader.finish()
    }

    #[test]
    fn deleted_text_and_field_codes_are_left_out() {
        let (pages, _) = read(
            "<w:p><w:r><w:t>Keep</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>\
             <w:instrText>PAGE</w:instrText><w:r><w:t xml:space='preserve"
                .replace("preserve", "preserve'> this</w:t></w:r></w:p>")
                .as_str(),
        );
        assert_eq!(pages[0].text, "Keep this");
    }

    #[test]
    fn a_table_is_rows_and_also_text_and_page_breaks_make_pages() {
        let (pages, tables) = read(
            "<p><r><t>One</t></r></p><tbl><tr><tc><p><r><t>A</t></r></p></tc><tc><p><r><t>B</t></r></p></tc></tr></tbl>\
             <p><r><br type='page'/><t>Two</t></r></p>",
        );
        assert_eq!(pages.len(), 2);
        assert_eq!(pages[0].text, "One\nA\tB");
        assert_eq!(pages[1], Page { number: 2, text: "Two".into() });
        assert_eq!(tables, [Table { page: Some(1), name: None, rows: vec![vec!["A".into(), "B".into()]] }]);
    }
}
