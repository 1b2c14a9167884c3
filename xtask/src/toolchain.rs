//! The wasm32 half of the toolchain: a standard library and a linker, found or made.
//!
//! A toolchain that brings the target (rustup) is used as it is. Debian's has neither, so the standard library is built
//! once from its source into a private sysroot, named after the compiler: an upgrade makes a new one.
use crate::{
    failure::Failure,
    inputs, say,
    workspace::{Workspace, output, run},
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
const LINKER_VARIABLE: &str = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER";
const FLAGS_VARIABLE: &str = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS";

/// What every cargo call for wasm32 must be given, in one place: other flags would rebuild every dependency.
#[derive(Debug)]
pub(crate) struct WasmToolchain {
    pub(crate) version: String,
    linker: Option<PathBuf>,
    sysroot: Option<PathBuf>,
}

impl WasmToolchain {
    pub(crate) fn find(workspace: &Workspace) -> Result<Self, Failure> {
        let version = output(Command::new("rustc").arg("-vV"))?;
        let sysroot = if ships_standard_library()? { None } else { Some(private_sysroot(workspace, &version)?) };
        Ok(Self { version, linker: linker()?, sysroot })
    }

    /// Runs cargo for wasm32, in a target folder of its own so that it never waits for the native build's lock.
    pub(crate) fn cargo(&self, workspace: &Workspace, arguments: &[&str]) -> Result<(), Failure> {
        let at = arguments.iter().position(|argument| *argument == "--").unwrap_or(arguments.len());
        let (ours, theirs) = arguments.split_at(at);
        let mut command = Command::new(&workspace.cargo);
        command.current_dir(&workspace.root).args(ours);
        command.args(["--target", TARGET, "--target-dir"]).arg(workspace.target.join("client")).args(theirs);
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        if let Some(linker) = &self.linker {
            command.env(LINKER_VARIABLE, linker);
        }
        if let Some(sysroot) = &self.sysroot {
            command.env(FLAGS_VARIABLE, format!("--sysroot={}", sysroot.display()));
        }
        run(&mut command)
    }
}

fn ships_standard_library() -> Result<bool, Failure> {
    let folder = output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    Ok(holds_standard_library(Path::new(folder.trim())))
}

fn holds_standard_library(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("libstd-") && has_extension(&entry.path(), "rlib")
        })
    })
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// rustup's toolchains bring `rust-lld` and need no naming; Debian's do not, but its lld packages have `wasm-ld-N`.
fn linker() -> Result<Option<PathBuf>, Failure> {
    if env::var_os(LINKER_VARIABLE).is_some() {
        return Ok(None);
    }
    let host = output(Command::new("rustc").args(["--print", "target-libdir"]))?;
    if Path::new(host.trim()).join("../bin/rust-lld").exists() {
        return Ok(None);
    }
    let mut names = vec!["wasm-ld".to_owned()];
    names.extend((17..=30).rev().map(|version| format!("wasm-ld-{version}")));
    let folders: Vec<PathBuf> = env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    let found =
        names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|it| it.exists());
    found.map(Some).ok_or(Failure::NoLinker)
}

fn private_sysroot(workspace: &Workspace, version: &str) -> Result<PathBuf, Failure> {
    let name = inputs::fingerprint(&workspace.root, &[], &[version])?;
    let sysroot = workspace.cache.join("wasm-sysroot").join(&name[..16]);
    let libraries = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    if holds_standard_library(&libraries) {
        return Ok(sysroot);
    }
    let source = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    if !Path::new(source.trim()).join("lib/rustlib/src/rust/library/std").exists() {
        return Err(Failure::NoStandardLibrary);
    }
    say::step("wasm std", "building the standard library for wasm32 from source (once per compiler, about a minute)");
    let built = build_standard_library(workspace, &name[..16])?;
    install(&built, &libraries)?;
    Ok(sysroot)
}

/// An empty crate is enough: `-Zbuild-std` compiles the library beside it. `RUSTC_BOOTSTRAP` lets a stable compiler do so
/// for this one call; the client itself uses no unstable flag.
fn build_standard_library(workspace: &Workspace, name: &str) -> Result<PathBuf, Failure> {
    let folder = workspace.cache.join("wasm-sysroot").join(format!("build-{name}"));
    let source = folder.join("src");
    fs::create_dir_all(&source).map_err(Failure::file(&source))?;
    let manifest = "[package]\nname = \"empty\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), manifest).map_err(Failure::file(&folder))?;
    fs::write(source.join("lib.rs"), "").map_err(Failure::file(&source))?;
    let mut command = Command::new(&workspace.cargo);
    command.current_dir(&folder).args(["build", "--quiet", "--release", "-Zbuild-std=std,panic_abort"]);
    command.args(["--target", TARGET, "--target-dir"]).arg(folder.join("target"));
    command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z");
    command.env(FLAGS_VARIABLE, "-Cembed-bitcode=yes").env_remove("RUSTFLAGS");
    run(&mut command)?;
    Ok(folder.join("target").join(TARGET).join("release/deps"))
}

fn install(built: &Path, libraries: &Path) -> Result<(), Failure> {
    let half = libraries.with_extension("part");
    fs::create_dir_all(&half).map_err(Failure::file(&half))?;
    for entry in fs::read_dir(built).map_err(Failure::file(built))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if has_extension(&entry.path(), "rlib") && !name.starts_with("libempty-") {
            fs::copy(entry.path(), half.join(&name)).map_err(Failure::file(entry.path()))?;
        }
    }
    // Renamed when complete: a stopped build leaves no half sysroot that looks whole.
    if libraries.exists() {
        fs::remove_dir_all(libraries).map_err(Failure::file(libraries))?;
    }
    fs::rename(&half, libraries).map_err(Failure::file(libraries))
}
