//! What is tracked, as text; and what no tracked file may hold.
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

pub(super) struct Source {
    /// Relative to the root, with slashes.
    pub(super) path: String,
    pub(super) text: String,
}

pub(super) fn root() -> PathBuf {
    // Asked when it runs: checkouts may share a target folder, and with it this program.
    Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("cargo and nextest say where the package is")).join("..")
}

/// Every text file that is tracked or would be: binary ones are left out.
pub(super) fn sources() -> Vec<Source> {
    let mut command = Command::new("git");
    command.current_dir(root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    let read = |path: &str| {
        let text = fs::read(root().join(path)).ok().and_then(|bytes| String::from_utf8(bytes).ok())?;
        Some(Source { path: path.to_owned(), text })
    };
    let found: Vec<_> = names.split('\0').filter(|path| !path.is_empty()).filter_map(read).collect();
    assert!(found.len() > 50, "the list of files looks wrong: {} files", found.len());
    found
}

/// A file without the tests at its end.
pub(super) fn program_text(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod ").map_or(text, |at| &text[..at])
}

#[test]
fn no_tracked_file_names_a_package_registry_or_a_path_of_one_machine() {
    // In pieces, so that this list does not find itself.
    let forbidden = [
        ["registry.", "npmjs.org"],
        ["registry.", "yarnpkg.com"],
        ["index.", "crates.io"],
        ["static.", "crates.io"],
        ["static.", "rust-lang.org"],
        ["deb.", "debian.org"],
        ["files.", "pythonhosted.org"],
        ["pypi.", "org/simple"],
        ["/ro", "ot/"],
        ["/work", "/main"],
        ["/work", "/shared"],
        ["/tmp/", "team"],
    ]
    .map(|pieces| pieces.concat());
    let mut problems = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            for word in forbidden.iter().filter(|word| line.contains(word.as_str())) {
                problems.push(format!("{}:{}: {word}", source.path, number + 1));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn a_lock_file_of_npm_names_no_download_address() {
    let locks = sources().into_iter().filter(|source| source.path.ends_with("package-lock.json"));
    let resolved: Vec<_> = locks.filter(|lock| lock.text.contains("\"resolved\"")).map(|lock| lock.path).collect();
    assert!(resolved.is_empty(), "make these again with the .npmrc beside them: {resolved:#?}");
}
