//! What a browser loads before a list or a detail page is live stays below what was promised: 250 KB, compressed.
use crate::{
    assets::{Entry, Manifest},
    failure::Failure,
    say,
    workspace::Workspace,
};

/// Bytes of style, script and wasm together, as transferred.
const CONSOLE_BYTES: u64 = 250 * 1024;

pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let manifest = Manifest::read(&workspace.assets)?;
    let console: Vec<&Entry> = manifest.assets.iter().filter(|entry| entry.logical.starts_with("console.")).collect();
    for entry in &console {
        say::step("budget", &entry.summary());
    }
    if !console.iter().any(|entry| entry.logical == "console.wasm") {
        return Err(Failure::Rule("no client was built: run `cargo xtask assets`".into()));
    }
    let total: u64 = console.iter().map(|entry| entry.transferred()).sum();
    if total > CONSOLE_BYTES {
        return Err(Failure::Rule(format!(
            "the console takes {total} bytes to transfer, the limit is {CONSOLE_BYTES}: make it smaller (see xtask/src/budget.rs)"
        )));
    }
    say::step("budget", &format!("{total} of {CONSOLE_BYTES} bytes to transfer"));
    Ok(())
}
