//! Zip archives as Office documents use them, read within limits.
//!
//! Invariant: no more than [`ENTRY_BYTES`] come out of one entry and [`TOTAL_BYTES`] out of one archive, whatever its
//! directory says; nothing is ever written.

use std::io::{Cursor, Read};

use sandbox::JobError;
use zip::ZipArchive;
use zip::result::ZipError;

const ENTRIES: usize = 20_000;
const ENTRY_BYTES: u64 = 128 << 20;
const TOTAL_BYTES: u64 = 256 << 20;
/// Text of an Office document packs 10 to 30 to one; a bomb packs a thousand to one.
const RATIO: u64 = 300;
/// Small entries may pack as well as they like.
const RATIO_FREE_BYTES: u64 = 4 << 20;

pub(crate) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    left: u64,
}

impl<'a> Archive<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, JobError> {
        let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| broken(&error))?;
        if zip.len() > ENTRIES {
            return Err(bomb());
        }
        let mut total = 0_u64;
        for index in 0..zip.len() {
            let entry = zip.by_index_raw(index).map_err(|error| broken(&error))?;
            if entry.encrypted() {
                return Err(JobError::new("document_encrypted", "The document is locked by a password."));
            }
            total = total.saturating_add(entry.size());
            if entry.size() > RATIO_FREE_BYTES && entry.size() / entry.compressed_size().max(1) > RATIO {
                return Err(bomb());
            }
        }
        if total > TOTAL_BYTES {
            return Err(bomb());
        }
        Ok(Self { zip, left: TOTAL_BYTES })
    }

    /// An entry as text; `None` if there is no such entry.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, JobError> {
        let entry = match self.zip.by_name(name) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(broken(&error)),
        };
        let limit = self.left.min(ENTRY_BYTES);
        let mut bytes = Vec::new();
        entry.take(limit + 1).read_to_end(&mut bytes).map_err(|error| broken(&error))?;
        if bytes.len() as u64 > limit {
            return Err(bomb());
        }
        self.left -= bytes.len() as u64;
        Ok(Some(super::text::decode(&bytes).text))
    }

    /// Names of entries below a folder, by the number in them: `slide2.xml` before `slide10.xml`.
    pub(crate) fn numbered(&self, folder: &str, stem: &str) -> Vec<String> {
        let mut found: Vec<(u32, String)> = self
            .zip
            .file_names_raw()
            .filter_map(|name| std::str::from_utf8(name).ok())
            .filter_map(|name| {
                let number = name.strip_prefix(folder)?.strip_prefix(stem)?.strip_suffix(".xml")?;
                Some((number.parse().ok()?, name.to_owned()))
            })
            .collect();
        found.sort();
        found.into_iter().map(|(_, name)| name).collect()
    }
}

fn bomb() -> JobError {
    JobError::new("document_too_large", "The document unpacks to far more than it may; it is not read.")
}

fn broken(error: &dyn std::fmt::Display) -> JobError {
    JobError::new("document_broken", format!("The document is damaged and cannot be unpacked ({error})."))
}
