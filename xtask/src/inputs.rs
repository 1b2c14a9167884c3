//! Fingerprints of input files, so that a step whose inputs are unchanged is skipped.
use crate::failure::Failure;
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// All files under `path` (or `path` itself), sorted, so that the order is the same on every machine.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    collect(path, &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if path.is_file() {
        found.push(path.to_owned());
    } else if path.is_dir() {
        for entry in fs::read_dir(path).map_err(Failure::file(path))? {
            let entry = entry.map_err(Failure::file(path))?;
            if !entry.file_name().to_string_lossy().starts_with('.') {
                collect(&entry.path(), found)?;
            }
        }
    }
    Ok(())
}

/// A digest over the names and contents of files and over free words such as the compiler's version.
pub(crate) fn fingerprint(root: &Path, paths: &[&str], words: &[&str]) -> Result<String, Failure> {
    let mut digest = Sha256::new();
    for path in paths {
        for file in files(&root.join(path))? {
            let content = fs::read(&file).map_err(Failure::file(&file))?;
            let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
            digest.update(format!("{name}\0{}\0", content.len()));
            digest.update(&content);
        }
    }
    for word in words {
        digest.update(format!("{word}\0"));
    }
    Ok(hex::encode(digest.finalize()))
}

/// Whether the stamp file holds this fingerprint.
pub(crate) fn unchanged(stamp: &Path, fingerprint: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|held| held == fingerprint)
}

/// Writes only when the content differs, so that nothing that depends on the file is rebuilt for nothing.
pub(crate) fn write_if_changed(path: &Path, content: &[u8]) -> Result<(), Failure> {
    if fs::read(path).is_ok_and(|held| held == content) {
        return Ok(());
    }
    fs::write(path, content).map_err(Failure::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_changes_with_content_name_and_words() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "one").unwrap();
        let first = fingerprint(folder.path(), &["."], &["x"]).unwrap();
        assert_eq!(first, fingerprint(folder.path(), &["."], &["x"]).unwrap());
        assert_ne!(first, fingerprint(folder.path(), &["."], &["y"]).unwrap());
        fs::write(folder.path().join("a"), "two").unwrap();
        let second = fingerprint(folder.path(), &["."], &["x"]).unwrap();
        assert_ne!(first, second);
        fs::rename(folder.path().join("a"), folder.path().join("b")).unwrap();
        assert_ne!(second, fingerprint(folder.path(), &["."], &["x"]).unwrap());
    }
}
