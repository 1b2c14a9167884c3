//! The assets of the console: client, styles and public files under names that hold their hash, compressed once.
//!
//! The result is a flat folder with `manifest.json` and `assets.rs`; `server/build.rs` tells how the server embeds it.
mod manifest;
mod media;
mod pack;
mod style;

use crate::{client, failure::Failure, inputs, say, workspace::Workspace};
pub(crate) use manifest::{Entry, Manifest};
use pack::{Packer, Source};
use std::{collections::BTreeMap, fs};

pub(crate) fn build(workspace: &Workspace, profile: &str) -> Result<(), Failure> {
    let client = client::build(workspace, profile)?;
    let packing =
        inputs::fingerprint(&workspace.root, &["style", "public", "xtask/src/assets", "xtask/src/assets.rs"], &[])?;
    let fingerprint = format!("{} {packing}", client.fingerprint);
    let stamp = workspace.assets.join("stamp");
    if inputs::unchanged(&stamp, &fingerprint) && workspace.assets.join("assets.rs").exists() {
        say::step("assets", "unchanged");
        return Ok(());
    }
    say::step("assets", "packing");
    fs::create_dir_all(&workspace.assets).map_err(Failure::file(&workspace.assets))?;
    let mut packer = Packer::new(&workspace.assets);
    let public = workspace.root.join("public");
    for file in inputs::files(&public)? {
        let logical = file.strip_prefix(&public).unwrap_or(&file).to_string_lossy().into_owned();
        packer.add(Source::file(logical, &file)?)?;
    }
    let style = style::bundle(&workspace.root.join("style"))?;
    let hashed: BTreeMap<String, String> =
        packer.entries().iter().map(|entry| (entry.logical.clone(), entry.file.clone())).collect();
    let style = style::rewrite_addresses(&style, &hashed)?;
    packer.add(Source { logical: "console.css".into(), content: style.into_bytes() })?;
    packer.add(Source::file("console.js".into(), &client.script)?)?;
    packer.add(Source::file("console.wasm".into(), &client.module)?)?;
    let manifest = Manifest { assets: packer.finish()? };
    manifest.write(&workspace.assets)?;
    for entry in manifest.assets.iter().filter(|entry| entry.logical.starts_with("console.")) {
        say::step("asset", &entry.summary());
    }
    fs::write(&stamp, fingerprint).map_err(Failure::file(&stamp))
}
