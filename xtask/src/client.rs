//! The console's client: the `client` crate compiled to wasm32, then bound to JavaScript. No command-line tool is needed:
//! wasm-bindgen is linked in, at the version the lock file gives the client.
use crate::{failure::Failure, inputs, say, toolchain, toolchain::WasmToolchain, workspace::Workspace};
use std::{fs, path::PathBuf};
use wasm_bindgen_cli_support::Bindgen;

const INPUTS: &[&str] = &[
    "app",
    "client",
    "domain",
    "language",
    "xtask/src/client.rs",
    "xtask/src/toolchain.rs",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/config.toml",
];

/// The two files a browser needs, before they are packed.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) script: PathBuf,
    pub(crate) module: PathBuf,
    pub(crate) fingerprint: String,
}

pub(crate) fn build(workspace: &Workspace, profile: &str) -> Result<Client, Failure> {
    let toolchain = WasmToolchain::find(workspace)?;
    let folder = workspace.target.join("client/bound").join(profile);
    let fingerprint = inputs::fingerprint(&workspace.root, INPUTS, &[&toolchain.version, profile])?;
    let client = Client { script: folder.join("console.js"), module: folder.join("console_bg.wasm"), fingerprint };
    let stamp = folder.join("stamp");
    if inputs::unchanged(&stamp, &client.fingerprint) && client.script.exists() && client.module.exists() {
        say::step("client", "unchanged");
        return Ok(client);
    }
    say::step("client", &format!("compiling the console for the browser ({profile})"));
    toolchain.cargo(workspace, &["build", "--locked", "--package", "client", "--profile", profile])?;
    bind(workspace, profile, &folder)?;
    fs::write(&stamp, &client.fingerprint).map_err(Failure::file(&stamp))?;
    Ok(client)
}

fn bind(workspace: &Workspace, profile: &str, folder: &PathBuf) -> Result<(), Failure> {
    let profile_folder = if profile == "dev" { "debug" } else { profile };
    let input = workspace.target.join("client").join(toolchain::TARGET).join(profile_folder).join("client.wasm");
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Failure::file(folder))?;
    }
    let slim = profile != "dev";
    let mut bindgen = Bindgen::new();
    bindgen.input_path(input).out_name("console").typescript(false);
    bindgen.remove_name_section(slim).remove_producers_section(slim);
    bindgen.web(true).and_then(|bindgen| bindgen.generate(folder)).map_err(|error| Failure::Bindgen(error.into()))?;
    let snippets = folder.join("snippets");
    if snippets.exists() { Err(Failure::Snippets(snippets)) } else { Ok(()) }
}
