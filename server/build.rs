//! Tells the compiler where the console's built assets lie, and makes an empty set when there is none yet.
//!
//! Contract with `cargo xtask assets` (see `xtask/src/assets`): the folder `$WEIR_ASSETS_DIR` (default `target/assets` of
//! the workspace) holds `manifest.json` for people and tools, and `assets.rs`, one expression of type `&[Asset]` with
//! every file embedded by `include_bytes!`. The server includes that expression, so a build without a client still
//! compiles: it has no assets and its pages work as plain HTML.
use std::{env, fs, path::PathBuf};

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=WEIR_ASSETS_DIR");
    let folder = env::var_os("WEIR_ASSETS_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/assets"), PathBuf::from);
    let table = folder.join("assets.rs");
    if !table.exists() {
        fs::create_dir_all(&folder)?;
        fs::write(&table, "&[]\n")?;
    }
    println!("cargo:rerun-if-changed={}", table.display());
    println!("cargo:rustc-env=WEIR_ASSETS_DIR={}", folder.display());
    Ok(())
}
