//! Says how the program is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=WEIR_NAMES");
    if std::env::var("PROFILE").is_ok_and(|profile| profile != "release") {
        return;
    }
    // A third of the program would be names of functions. A profile of it wants them: WEIR_NAMES=1.
    if std::env::var_os("WEIR_NAMES").is_none() {
        println!("cargo:rustc-link-arg-bins=-Wl,--strip-all");
    }
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if flags.contains("fuse-ld=lld") {
        // Generic code leaves many copies of the same functions behind; lld can make them one.
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}
