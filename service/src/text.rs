//! Texts on their way into columns.
//!
//! Invariant: no control character gets into a column: PostgreSQL refuses NUL, and none of them has a use in a name.

/// The text without control characters, at most `limit` characters long.
pub(crate) fn column(text: &str, limit: usize) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(limit).collect()
}

/// Whether a text that is looked for can be in a column at all.
pub(crate) fn can_be_stored(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_stay_out() {
        assert_eq!(column("a\0b\nc", 2), "ab");
        assert!(!can_be_stored("a\0"));
        assert!(can_be_stored("Grüße"));
    }
}
