//! Everything xtask tells a person goes to stderr, one line a step.
#![expect(clippy::print_stderr, reason = "this module is the build tool's only output")]
use crate::failure::Failure;
use std::error::Error;

pub(crate) fn line(text: &str) {
    eprintln!("{text}");
}

pub(crate) fn step(name: &str, text: &str) {
    eprintln!("  {name:<10} {text}");
}

/// One line: what failed and, after colons, why.
pub(crate) fn failure(failure: &Failure) {
    let mut text = failure.to_string();
    let mut source = failure.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    eprintln!("xtask: {text}");
}
