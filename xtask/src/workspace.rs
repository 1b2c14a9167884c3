//! Where things lie: the sources, the cache that outlives a checkout, the target folder, the finished assets.
use crate::failure::Failure;
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Absolute paths only; the environment wins over the defaults that `scripts/env.sh` documents.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) cache: PathBuf,
    pub(crate) assets: PathBuf,
    pub(crate) cargo: PathBuf,
}

impl Workspace {
    pub(crate) fn from_environment() -> Result<Self, Failure> {
        // Asked when it runs: checkouts that share a target folder share this program too.
        let package = env::var_os("CARGO_MANIFEST_DIR").ok_or(Failure::Usage)?;
        let root = Path::new(&package).join("..");
        let root = root.canonicalize().map_err(Failure::file(&root))?;
        let folder = |name: &str, default: PathBuf| {
            env::var_os(name).filter(|value| !value.is_empty()).map_or(default, |value| root.join(value))
        };
        let target = folder("CARGO_TARGET_DIR", root.join("target"));
        let home = folder("HOME", root.join("target"));
        let cache = folder("WEIR_CACHE", folder("XDG_CACHE_HOME", home.join(".cache")).join("weir"));
        let assets = folder("WEIR_ASSETS_DIR", target.join("assets"));
        let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        Ok(Self { root, target, cache, assets, cargo })
    }
}

/// Runs a command to its end with the caller's terminal; anything but success is a failure that names the command.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|source| Failure::Start { program: program.clone(), source })?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Command { command: shown(command), status: status.to_string() })
}

/// Runs a command and returns what it wrote to stdout.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|source| Failure::Start { program: program.clone(), source })?;
    if !output.status.success() {
        return Err(Failure::Command { command: shown(command), status: output.status.to_string() });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
