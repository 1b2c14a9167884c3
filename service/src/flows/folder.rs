//! Reads a flow's folder from what was sent: YAML, JSON, or a zip of the folder.
//!
//! Invariant: a zip is read within limits on count, size and expansion, names stay inside the folder, and nothing is
//! ever written to a disk.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use language::Folder;

use crate::ServiceError;

/// The form in which a flow was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderForm {
    Yaml,
    Json,
    Zip,
}

/// Bytes of one YAML file, and of all files of a folder together.
pub const YAML_BYTES: usize = 256 * 1024;
pub const FOLDER_BYTES: u64 = 8 * 1024 * 1024;
const FILES: usize = 200;

/// # Errors
/// A sentence about what does not fit.
pub fn read(name: &str, form: FolderForm, bytes: &[u8]) -> Result<Folder, ServiceError> {
    let (yaml, files) = match form {
        FolderForm::Yaml => (text("flow.yaml", bytes)?, BTreeMap::new()),
        FolderForm::Json => {
            // JSON is YAML, but for clear positions it is checked as JSON first.
            let _: serde::de::IgnoredAny = serde_json::from_slice(bytes)
                .map_err(|error| ServiceError::BadRequest(format!("The body is not JSON: {error}.")))?;
            (text("flow.yaml", bytes)?, BTreeMap::new())
        }
        FolderForm::Zip => unzip(bytes)?,
    };
    if yaml.len() > YAML_BYTES {
        return Err(ServiceError::TooLarge(format!("flow.yaml has more than {} KiB.", YAML_BYTES / 1024)));
    }
    Ok(Folder { name: Some(name.to_owned()), yaml, files })
}

/// Reads a folder or a single YAML file of this machine; for the command line.
///
/// # Errors
/// A sentence about what cannot be read.
pub fn read_path(path: &std::path::Path) -> Result<(String, Folder), ServiceError> {
    let fault = |error: std::io::Error| ServiceError::BadRequest(format!("{}: {error}", path.display()));
    let folder = if path.is_dir() { path.to_owned() } else { path.parent().unwrap_or(path).to_owned() };
    let yaml_path = if path.is_dir() { path.join("flow.yaml") } else { path.to_owned() };
    let yaml = text("flow.yaml", &std::fs::read(&yaml_path).map_err(fault)?)?;
    let stem = if path.is_dir() || path.file_name().is_some_and(|name| name == "flow.yaml") {
        folder.canonicalize().map_err(fault)?.file_name().map(std::ffi::OsStr::to_os_string)
    } else {
        path.file_stem().map(std::ffi::OsStr::to_os_string)
    };
    let name = stem.map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let mut files = BTreeMap::new();
    if path.is_dir() {
        collect(&folder, &folder, &mut files).map_err(fault)?;
    }
    Ok((name.clone(), Folder { name: Some(name), yaml, files }))
}

fn collect(
    root: &std::path::Path,
    folder: &std::path::Path,
    files: &mut BTreeMap<String, String>,
) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if kind.is_symlink() || hidden {
            continue;
        }
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if let Ok(relative) = path.strip_prefix(root)
            && relative != std::path::Path::new("flow.yaml")
            && entry.metadata()?.len() <= FOLDER_BYTES
            && let Ok(content) = std::fs::read_to_string(&path)
        {
            // Files that are no text (fixtures) stay out: a version holds what templates can load.
            files.insert(relative.to_string_lossy().replace('\\', "/"), content);
        }
    }
    Ok(())
}

/// The folder as a zip, `flow.yaml` at its top: what [`read`] takes.
///
/// # Errors
/// [`ServiceError::Internal`].
pub fn zipped(folder: &Folder) -> Result<Vec<u8>, ServiceError> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let texts = std::iter::once(("flow.yaml", &folder.yaml));
    for (path, text) in texts.chain(folder.files.iter().map(|(path, text)| (path.as_str(), text))) {
        writer.start_file(path, zip::write::SimpleFileOptions::default()).map_err(ServiceError::internal)?;
        writer.write_all(text.as_bytes()).map_err(ServiceError::internal)?;
    }
    Ok(writer.finish().map_err(ServiceError::internal)?.into_inner())
}

fn unzip(bytes: &[u8]) -> Result<(String, BTreeMap<String, String>), ServiceError> {
    let broken = |error: zip::result::ZipError| ServiceError::BadRequest(format!("The zip cannot be read: {error}."));
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).map_err(broken)?;
    if archive.len() > FILES {
        return Err(ServiceError::TooLarge(format!("The zip has more than {FILES} entries.")));
    }
    let mut entries = BTreeMap::new();
    let mut left = FOLDER_BYTES;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(broken)?;
        if entry.is_dir() {
            continue;
        }
        let Some(path) = entry.enclosed_name() else {
            return Err(ServiceError::BadRequest(
                "The zip has an entry whose path leads out of its folder.".to_owned(),
            ));
        };
        let path = path.to_string_lossy().replace('\\', "/");
        // The declared size is the sender's word; what counts is what comes out.
        let mut content = Vec::new();
        entry
            .take(left + 1)
            .read_to_end(&mut content)
            .map_err(|error| ServiceError::BadRequest(format!("The zip entry `{path}` cannot be read: {error}.")))?;
        left = left.checked_sub(content.len() as u64).ok_or_else(|| {
            ServiceError::TooLarge(format!("The folder has more than {} MiB unpacked.", FOLDER_BYTES / 1024 / 1024))
        })?;
        entries.insert(path, content);
    }
    let root = root_of(&entries)?;
    let mut yaml = None;
    let mut files = BTreeMap::new();
    for (path, content) in entries {
        let Some(path) = path.strip_prefix(&root) else { continue };
        if path == "flow.yaml" {
            yaml = Some(text(path, &content)?);
        } else if let Ok(content) = text(path, &content) {
            files.insert(path.to_owned(), content);
        }
    }
    let yaml = yaml.ok_or_else(|| ServiceError::BadRequest("The zip holds no `flow.yaml`.".to_owned()))?;
    Ok((yaml, files))
}

/// The folder within the zip that holds `flow.yaml`: its top, or the one folder in it.
fn root_of(entries: &BTreeMap<String, Vec<u8>>) -> Result<String, ServiceError> {
    if entries.contains_key("flow.yaml") {
        return Ok(String::new());
    }
    let mut found = entries.keys().filter_map(|path| path.strip_suffix("flow.yaml")).filter(|root| root.ends_with('/'));
    match (found.next(), found.next()) {
        (Some(root), None) => Ok(root.to_owned()),
        (None, _) => Err(ServiceError::BadRequest("The zip holds no `flow.yaml`.".to_owned())),
        (Some(_), Some(_)) => Err(ServiceError::BadRequest("The zip holds more than one `flow.yaml`.".to_owned())),
    }
}

fn text(path: &str, bytes: &[u8]) -> Result<String, ServiceError> {
    let text = String::from_utf8(bytes.to_vec());
    let text = text.map_err(|_| ServiceError::BadRequest(format!("`{path}` is not UTF-8 text.")))?;
    if text.contains('\0') {
        return Err(ServiceError::BadRequest(format!("`{path}` holds a NUL character, so it is no text.")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, content) in entries {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn a_zip_of_the_folder_or_around_it_gives_the_same_flow() {
        let bare = zipped(&[("flow.yaml", b"steps: []"), ("prompts/a.j2", b"hi")]);
        let wrapped = zipped(&[("invoice/flow.yaml", b"steps: []"), ("invoice/prompts/a.j2", b"hi")]);
        let read = |bytes: &[u8]| super::read("invoice", FolderForm::Zip, bytes).unwrap();
        assert_eq!(read(&bare), read(&wrapped));
        assert_eq!(read(&bare).files["prompts/a.j2"], "hi");
    }

    #[test]
    fn a_folder_that_was_zipped_is_read_again() {
        let files = BTreeMap::from([("prompts/a.j2".to_owned(), "hi".to_owned())]);
        let folder = Folder { name: Some("invoice".to_owned()), yaml: "steps: []".to_owned(), files };
        assert_eq!(super::read("invoice", FolderForm::Zip, &super::zipped(&folder).unwrap()).unwrap(), folder);
    }

    #[test]
    fn a_bomb_an_escape_and_a_missing_flow_are_refused() {
        let bomb = zipped(&[("flow.yaml", b"steps: []"), ("big", &vec![0_u8; 9 * 1024 * 1024])]);
        assert!(bomb.len() < 100_000);
        assert!(matches!(read("x", FolderForm::Zip, &bomb), Err(ServiceError::TooLarge(_))));
        let escape = zipped(&[("flow.yaml", b"steps: []"), ("../../etc/passwd", b"x")]);
        assert!(matches!(read("x", FolderForm::Zip, &escape), Err(ServiceError::BadRequest(_))));
        assert!(read("x", FolderForm::Zip, &zipped(&[("readme", b"x")])).is_err());
        assert!(read("x", FolderForm::Zip, b"PK not a zip").is_err());
    }
}
