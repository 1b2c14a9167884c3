//! What a browser loads before a list or a detail page is live stays below what was promised (see docs: 250 KB).
use crate::{
    assets::{Entry, Manifest},
    failure::Failure,
    say,
    workspace::Workspace,
};

/// Bytes of the client's wasm as transferred.
const WASM_BYTES: u64 = 250 * 1024;

pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let manifest = Manifest::read(&workspace.assets)?;
    let console: Vec<&Entry> = manifest.assets.iter().filter(|entry| entry.logical.starts_with("console.")).collect();
    for entry in &console {
        say::step("budget", &entry.summary());
    }
    let wasm = console.iter().find(|entry| entry.logical == "console.wasm");
    let wasm = wasm.ok_or_else(|| Failure::Rule("no client was built: run `cargo xtask assets`".into()))?;
    if wasm.transferred() > WASM_BYTES {
        return Err(Failure::Rule(format!(
            "the console's wasm takes {} bytes to transfer, the limit is {WASM_BYTES}: make it smaller (see xtask/src/budget.rs)",
            wasm.transferred()
        )));
    }
    Ok(())
}
