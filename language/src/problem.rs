//! «CONTRACT» What the checker says: a code, a severity, a place and a hint.
//!
//! Invariant: codes are stable (`F0xx`), positions are 1-based and count characters, and a problem never quotes a secret.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Error,
    Warning,
}

/// One problem of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub code: String,
    pub severity: Severity,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Path within the flow's folder.
    pub file: String,
    pub line: u32,
    pub column: u32,
    /// Where it ends, for marking text.
    pub end_line: u32,
    pub end_column: u32,
}
