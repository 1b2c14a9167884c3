//! What was packed, twice: `manifest.json` for tools and people, `assets.rs` for the compiler.
use crate::{failure::Failure, inputs};
use serde::{Deserialize, Serialize};
use std::{fmt::Write as _, fs, path::Path};

/// One file of the console. Sizes are in bytes; `brotli` and `gzip` are absent where they save nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) logical: String,
    pub(crate) file: String,
    pub(crate) media_type: String,
    pub(crate) sha256: String,
    pub(crate) size: u64,
    pub(crate) brotli: Option<u64>,
    pub(crate) gzip: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) assets: Vec<Entry>,
}

impl Entry {
    /// What a browser downloads.
    pub(crate) fn transferred(&self) -> u64 {
        self.brotli.unwrap_or(self.size)
    }

    pub(crate) fn summary(&self) -> String {
        format!("{:<13} {:>8} bytes, {:>7} to transfer  {}", self.logical, self.size, self.transferred(), self.file)
    }
}

impl Manifest {
    pub(crate) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("manifest.json");
        let text = fs::read_to_string(&path).map_err(Failure::file(&path))?;
        serde_json::from_str(&text).map_err(Failure::Manifest)
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).map_err(Failure::Manifest)?;
        inputs::write_if_changed(&folder.join("manifest.json"), text.as_bytes())?;
        inputs::write_if_changed(&folder.join("assets.rs"), self.table().as_bytes())
    }

    /// A Rust expression of type `&[Asset]`; the paths are given through the variable that `server/build.rs` sets, so
    /// that a moved folder still works.
    fn table(&self) -> String {
        let mut text = String::from("&[\n");
        for entry in &self.assets {
            let bytes = |ending: &str| {
                format!("include_bytes!(concat!(env!(\"WEIR_ASSETS_DIR\"), \"/\", {:?}))", entry.file.clone() + ending)
            };
            let variant = |size: Option<u64>, ending: &str| {
                size.map_or_else(|| "None".to_owned(), |_| format!("Some({})", bytes(ending)))
            };
            let written = writeln!(
                text,
                "    Asset {{ logical: {:?}, file: {:?}, media_type: {:?}, sha256: {:?},\n        bytes: {},\n        brotli: {},\n        gzip: {} }},",
                entry.logical,
                entry.file,
                entry.media_type,
                entry.sha256,
                bytes(""),
                variant(entry.brotli, ".br"),
                variant(entry.gzip, ".gz"),
            );
            debug_assert!(written.is_ok(), "writing to a string cannot fail");
        }
        text.push_str("]\n");
        text
    }
}
