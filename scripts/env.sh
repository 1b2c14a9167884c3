# Sourced by the Makefile's recipes and by anyone who calls cargo by hand: which compiler, which linker, where artefacts go.
# Leaves a toolchain alone that is new enough; otherwise takes what scripts/setup chose (see docs/operate/build.md).
weir_root=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." 2>/dev/null && pwd)
need=1.96
weir_new_enough() { v=$("$@" --version 2>/dev/null | cut -d' ' -f2); [ -n "$v" ] && [ "$(printf '%s\n' "$need" "$v" | sort -V | head -n 1)" = "$need" ]; }
: "${WEIR_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/weir}"
: "${CARGO_TARGET_DIR:=$WEIR_CACHE/target}"
case $CARGO_TARGET_DIR in /*) ;; *) CARGO_TARGET_DIR=$weir_root/$CARGO_TARGET_DIR ;; esac
: "${WEIR_ASSETS_DIR:=$CARGO_TARGET_DIR/assets}"
export WEIR_CACHE CARGO_TARGET_DIR WEIR_ASSETS_DIR
if [ -z "${WEIR_TOOLCHAIN:-}" ]; then
    chosen=$(cat "$WEIR_CACHE/toolchain" 2>/dev/null || true)
    if [ "$chosen" = debian ] || { ! weir_new_enough rustc && weir_new_enough /usr/bin/rustc; }; then
        case :$PATH: in :/usr/bin:*) ;; *) PATH=/usr/bin:$PATH ;; esac
        unset RUSTUP_TOOLCHAIN
    elif [ "$chosen" = rustup ] && ! weir_new_enough rustc; then
        export RUSTUP_TOOLCHAIN=stable
    fi
fi
# A newer node than the machine's, where scripts/setup had to take one.
if [ -x "$WEIR_CACHE/node-runtime/bin/node" ]; then
    case :$PATH: in *:"$WEIR_CACHE/node-runtime/bin":*) ;; *) PATH=$WEIR_CACHE/node-runtime/bin:$PATH ;; esac
fi
# Tools that scripts/setup installs for this project alone come last: whatever the machine has wins.
case :$PATH: in *:"$WEIR_CACHE/bin":*) ;; *) PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin:$WEIR_CACHE/bin ;; esac
export PATH
# lld links the server in a third of GNU ld's time. Debian's versioned package has no `ld.lld` on PATH, hence -B.
if [ -z "${CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS:-}" ] && [ -x /usr/lib/llvm-22/bin/ld.lld ]; then
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C link-arg=-B/usr/lib/llvm-22/bin -C link-arg=-fuse-ld=lld"
fi
