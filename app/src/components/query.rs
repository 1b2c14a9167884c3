//! Addresses with a query: what a list shows stands in its address.

/// The address with these words behind it; empty ones are left out.
pub(crate) fn address(path: &str, words: &[(&str, &str)]) -> String {
    let mut out = path.to_owned();
    let mut lead = '?';
    for (key, value) in words.iter().filter(|(_, value)| !value.is_empty()) {
        out.push(lead);
        out.push_str(key);
        out.push('=');
        out.push_str(&encoded(value));
        lead = '&';
    }
    out
}

/// Percent-encodes what a query value may not hold.
fn encoded(value: &str) -> String {
    value.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_words_are_left_out_and_the_others_are_encoded() {
        assert_eq!(address("/x", &[("a", ""), ("b", "1&2 é"), ("c", "d")]), "/x?b=1%262%20%C3%A9&c=d");
        assert_eq!(address("/x", &[("a", "")]), "/x");
    }
}
