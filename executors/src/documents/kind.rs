//! What a file is, by its content. Its name breaks ties between kinds of text and nothing else.
//!
//! Invariant: never fails; what is not recognised is `unknown`.

use std::io::Cursor;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{delimited, text};

/// The kinds that flows decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileType {
    Pdf,
    Image,
    Docx,
    Xlsx,
    Pptx,
    Html,
    Csv,
    Email,
    Text,
    Audio,
    Archive,
    Unknown,
}

/// A kind with the media type it was recognised by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    pub file_type: FileType,
    pub media_type: String,
    /// An Office document that is locked by a password.
    pub locked: bool,
}

impl Kind {
    fn new(file_type: FileType, media_type: &str) -> Self {
        Self { file_type, media_type: media_type.to_owned(), locked: false }
    }
}

const OFFICE: &str = "application/vnd.openxmlformats-officedocument.";

/// Recognises bytes. `name` may hold an extension.
pub(crate) fn of(bytes: &[u8], name: &str) -> Kind {
    if is_pdf(bytes) {
        return Kind::new(FileType::Pdf, "application/pdf");
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return zipped(bytes);
    }
    if bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]) {
        return compound(bytes);
    }
    if let Some(found) = infer::get(bytes) {
        use infer::MatcherType as M;
        let media_type = found.mime_type();
        match found.matcher_type() {
            M::Image => return Kind::new(FileType::Image, media_type),
            M::Audio => return Kind::new(FileType::Audio, media_type),
            M::Archive => return Kind::new(FileType::Archive, media_type),
            // What it knows of text goes by a few first bytes; the look below is better.
            M::Text => {}
            M::App | M::Book | M::Doc | M::Font | M::Video | M::Custom => {
                return Kind::new(FileType::Unknown, media_type);
            }
        }
    }
    textual(bytes, name)
}

fn is_pdf(bytes: &[u8]) -> bool {
    // Readers accept junk before the header, and so do scanners' files rely on it.
    bytes.iter().take(1024).enumerate().any(|(at, byte)| *byte == b'%' && bytes[at..].starts_with(b"%PDF-"))
}

/// Whether an archive has an entry of this name.
type Contains<'a> = Box<dyn Fn(&[u8]) -> bool + 'a>;

fn zipped(bytes: &[u8]) -> Kind {
    // A damaged archive still shows its entries' names, so that it can be told what is damaged.
    let has: Contains<'_> = match zip::ZipArchive::new(Cursor::new(bytes)) {
        Ok(archive) => Box::new(move |name| archive.file_names_raw().any(|entry| entry == name)),
        Err(_) => Box::new(|name| bytes.windows(name.len()).any(|window| window == name)),
    };
    if has(b"word/document.xml") {
        Kind::new(FileType::Docx, &format!("{OFFICE}wordprocessingml.document"))
    } else if has(b"xl/workbook.xml") {
        Kind::new(FileType::Xlsx, &format!("{OFFICE}spreadsheetml.sheet"))
    } else if has(b"ppt/presentation.xml") {
        Kind::new(FileType::Pptx, &format!("{OFFICE}presentationml.presentation"))
    } else {
        Kind::new(FileType::Archive, "application/zip")
    }
}

/// Microsoft's old container: today mostly what an Office document with a password looks like.
fn compound(bytes: &[u8]) -> Kind {
    let wide = |name: &str| -> Vec<u8> { name.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let has = |name: &str| {
        let name = wide(name);
        bytes.windows(name.len()).any(|window| window == name)
    };
    if has("EncryptedPackage") {
        return Kind { locked: true, ..Kind::new(FileType::Unknown, "application/x-ole-storage") };
    }
    Kind::new(FileType::Unknown, "application/x-ole-storage")
}

fn textual(bytes: &[u8], name: &str) -> Kind {
    if bytes.is_empty() {
        return Kind::new(FileType::Text, "text/plain");
    }
    let Some(decoded) = text::decode_if_text(&bytes[..bytes.len().min(256 * 1024)]) else {
        return Kind::new(FileType::Unknown, "application/octet-stream");
    };
    let text = decoded.text.trim_start();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default();
    if is_html(text) {
        return Kind::new(FileType::Html, "text/html");
    }
    if is_email(text) {
        return Kind::new(FileType::Email, "message/rfc822");
    }
    if text.starts_with("<?xml") {
        return Kind::new(FileType::Text, "application/xml");
    }
    if (text.starts_with('{') || text.starts_with('['))
        && bytes.len() <= 256 * 1024
        && serde_json::from_str::<serde::de::IgnoredAny>(&decoded.text).is_ok()
    {
        return Kind::new(FileType::Text, "application/json");
    }
    if matches!(extension.as_str(), "md" | "markdown") {
        return Kind::new(FileType::Text, "text/markdown");
    }
    let named = matches!(extension.as_str(), "csv" | "tsv");
    match delimited::delimiter(&decoded.text, named) {
        Some(b'\t') => Kind::new(FileType::Csv, "text/tab-separated-values"),
        Some(_) => Kind::new(FileType::Csv, "text/csv"),
        None if is_markdown(text) => Kind::new(FileType::Text, "text/markdown"),
        None => Kind::new(FileType::Text, "text/plain"),
    }
}

fn is_html(text: &str) -> bool {
    let start: String = text.chars().take(4096).collect::<String>().to_ascii_lowercase();
    if start.starts_with("<!doctype html") || start.starts_with("<html") {
        return true;
    }
    start.starts_with('<')
        && ["<html", "<body", "<head>", "<div", "<p>", "<table"].iter().any(|tag| start.contains(tag))
}

/// A header of RFC 5322: names with colons, and two of the names that every message has.
fn is_email(text: &str) -> bool {
    let mut known = 0;
    for line in text.lines().take(60) {
        if line.is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let Some((name, _)) = line.split_once(':') else { return false };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return false;
        }
        let name = name.to_ascii_lowercase();
        known += u32::from(matches!(
            name.as_str(),
            "from" | "to" | "subject" | "date" | "message-id" | "received" | "mime-version" | "return-path"
        ));
    }
    known >= 2
}

fn is_markdown(text: &str) -> bool {
    let mut signs = 0;
    for line in text.lines().take(200) {
        let heading = line.trim_start_matches('#');
        signs += u32::from(heading.len() < line.len() && heading.starts_with(' '));
        signs += u32::from(line.starts_with("```") || line.contains("](http") || line.starts_with("|--"));
    }
    signs >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_and_the_name_does_not() {
        for (bytes, name, expected) in [
            (&b"%PDF-1.7\n"[..], "report.txt", FileType::Pdf),
            (b"junk\n%PDF-1.4\n", "", FileType::Pdf),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a.pdf", FileType::Image),
            (b"<!DOCTYPE html><p>Hi</p>", "", FileType::Html),
            (b"From: a@b.c\nSubject: Hello\n\nBody", "", FileType::Email),
            (b"a,b,c\n1,2,3\n4,5,6\n", "", FileType::Csv),
            (b"Well, this is prose.\nIt has, on some lines, commas.\nNot on all.\n", "", FileType::Text),
            (b"\x00\x01\x02\x03\xff\xfe\x00", "a.txt", FileType::Unknown),
            (b"", "", FileType::Text),
        ] {
            assert_eq!(of(bytes, name).file_type, expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn text_has_finer_media_types() {
        assert_eq!(of(b"# One\n\nText\n\n## Two\n", "").media_type, "text/markdown");
        assert_eq!(of(b"{\"a\": [1, 2]}", "").media_type, "application/json");
        assert_eq!(of(b"a\tb\n1\t2\n3\t4\n", "").media_type, "text/tab-separated-values");
    }
}
