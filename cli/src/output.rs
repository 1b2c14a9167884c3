//! What a command says: data to stdout, notes to stderr, as text for people or as one JSON object.
#![expect(clippy::print_stderr, reason = "this module is the program's voice")]

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

use crate::exit::Failure;

/// How this call speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// The command's answer: the object for scripts, or the text for people.
    pub(crate) fn answer(self, object: &impl Serialize, text: &str) {
        if self.json { self.object(object) } else { self.line(text) }
    }

    pub(crate) fn object(self, object: &impl Serialize) {
        match serde_json::to_string(object) {
            Ok(line) => self.line(&line),
            Err(error) => eprintln!("weir: an answer could not be written as JSON: {error}"),
        }
    }

    /// A line of data, at once: the reader may be waiting for it while we go on.
    pub(crate) fn line(self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        // Nobody reads any more: the command's work is done all the same.
        let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    }

    /// A note for people, on stderr.
    pub(crate) fn note(self, text: &str) {
        eprintln!("{text}");
    }

    pub(crate) fn failure(self, failure: &Failure) {
        if self.json {
            let object = serde_json::json!({"error": {"code": failure.code, "message": failure.message, "details": failure.hints}});
            eprintln!("{object}");
            return;
        }
        eprintln!("weir: {}", failure.message);
        for hint in &failure.hints {
            eprintln!("  {hint}");
        }
    }

    /// Whether colour and moving progress are welcome on stderr.
    pub(crate) fn is_lively(self) -> bool {
        !self.json
            && std::io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none()
            && std::env::var("TERM").as_deref() != Ok("dumb")
    }
}
