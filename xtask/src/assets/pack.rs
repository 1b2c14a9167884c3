//! Packs files into the asset folder: hashed name, brotli and gzip beside it, leftovers of older builds removed.
use super::{manifest::Entry, media::media_type};
use crate::{failure::Failure, inputs};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// A compressed form is kept only if it saves at least this share of the file.
const WORTHWHILE_PERCENT: u64 = 5;

#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) logical: String,
    pub(crate) content: Vec<u8>,
}

impl Source {
    pub(crate) fn file(logical: String, path: &Path) -> Result<Self, Failure> {
        Ok(Self { logical, content: fs::read(path).map_err(Failure::file(path))? })
    }
}

#[derive(Debug)]
pub(crate) struct Packer {
    folder: PathBuf,
    entries: Vec<Entry>,
    kept: BTreeSet<String>,
}

impl Packer {
    pub(crate) fn new(folder: &Path) -> Self {
        let kept = ["manifest.json", "assets.rs", "stamp"].map(str::to_owned).into();
        Self { folder: folder.to_owned(), entries: Vec::new(), kept }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn add(&mut self, source: Source) -> Result<(), Failure> {
        let sha256 = hex::encode(Sha256::digest(&source.content));
        let file = hashed_name(&source.logical, &sha256);
        let (media_type, shrinks) = media_type(&source.logical);
        self.put(&file, || Ok(source.content.clone()))?;
        let brotli = self.compressed(shrinks, &source.content, &format!("{file}.br"), brotli)?;
        let gzip = self.compressed(shrinks, &source.content, &format!("{file}.gz"), gzip)?;
        self.entries.push(Entry {
            size: source.content.len() as u64,
            media_type: media_type.to_owned(),
            logical: source.logical,
            file,
            sha256,
            brotli,
            gzip,
        });
        Ok(())
    }

    /// The entries by logical name; whatever else lies in the folder is removed.
    pub(crate) fn finish(mut self) -> Result<Vec<Entry>, Failure> {
        for entry in fs::read_dir(&self.folder).map_err(Failure::file(&self.folder))?.flatten() {
            if !self.kept.contains(entry.file_name().to_string_lossy().as_ref()) && entry.path().is_file() {
                fs::remove_file(entry.path()).map_err(Failure::file(entry.path()))?;
            }
        }
        self.entries.sort_by(|one, other| one.logical.cmp(&other.logical));
        Ok(self.entries)
    }

    fn compressed(
        &mut self,
        shrinks: bool,
        content: &[u8],
        file: &str,
        compress: fn(&[u8]) -> io::Result<Vec<u8>>,
    ) -> Result<Option<u64>, Failure> {
        if !shrinks || content.is_empty() {
            return Ok(None);
        }
        let size = self.put(file, || compress(content))?;
        if size * 100 <= content.len() as u64 * (100 - WORTHWHILE_PERCENT) {
            return Ok(Some(size));
        }
        self.kept.remove(file);
        Ok(None)
    }

    /// A file of that name holds that content already, for its name holds its hash: brotli at its best is slow.
    fn put(&mut self, file: &str, content: impl FnOnce() -> io::Result<Vec<u8>>) -> Result<u64, Failure> {
        let path = self.folder.join(file);
        if !path.exists() {
            let content = content().map_err(Failure::file(&path))?;
            let half = path.with_extension("part");
            inputs::write_if_changed(&half, &content)?;
            fs::rename(&half, &path).map_err(Failure::file(&path))?;
        }
        self.kept.insert(file.to_owned());
        Ok(fs::metadata(&path).map_err(Failure::file(&path))?.len())
    }
}

/// `fonts/inter.woff2` becomes `fonts-inter.0123456789abcdef.woff2`: flat, and readable in a network log.
fn hashed_name(logical: &str, sha256: &str) -> String {
    let flat = logical.replace('/', "-");
    let hash = &sha256[..16];
    match flat.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => format!("{stem}.{hash}.{ending}"),
        _ => format!("{flat}.{hash}"),
    }
}

fn brotli(content: &[u8]) -> io::Result<Vec<u8>> {
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: 11,
        lgwin: 22,
        size_hint: content.len(),
        ..brotli::enc::BrotliEncoderParams::default()
    };
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut io::Cursor::new(content), &mut packed, &parameters)?;
    Ok(packed)
}

fn gzip(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_hashed_name_is_flat_and_keeps_its_ending() {
        assert_eq!(hashed_name("fonts/inter.woff2", &"ab".repeat(32)), "fonts-inter.abababababababab.woff2");
        assert_eq!(hashed_name("LICENSE", &"ab".repeat(32)), "LICENSE.abababababababab");
    }

    #[test]
    fn packing_compresses_what_shrinks_and_removes_what_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("console.0000.css"), "old").unwrap();
        let mut packer = Packer::new(folder.path());
        let content = "a { color: red }\n".repeat(100).into_bytes();
        packer.add(Source { logical: "console.css".into(), content: content.clone() }).unwrap();
        packer.add(Source { logical: "x.png".into(), content: content.clone() }).unwrap();
        let entries = packer.finish().unwrap();
        assert!(!folder.path().join("console.0000.css").exists());
        assert_eq!(entries[1].brotli, None, "a picture is compressed already");
        let packed = fs::read(folder.path().join(format!("{}.br", entries[0].file))).unwrap();
        let mut unpacked = Vec::new();
        brotli::Decompressor::new(packed.as_slice(), 4096).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, content);
        let packed = fs::read(folder.path().join(format!("{}.gz", entries[0].file))).unwrap();
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, content);
    }
}
