//! Tokens that are shown once: session cookies, one-time links and API keys.
//!
//! Invariant: only a hash of a token is ever stored, and a key whose checksum is wrong never reaches the store.

use sha2::{Digest, Sha256};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const KEY_BODY: usize = 30;
const KEY_CHECK: usize = 6;

/// A fresh token of 43 Base62 characters: 256 bits.
#[must_use]
pub fn opaque() -> String {
    base62(43)
}

/// What is stored instead of a session's or link's token. These are random, so a plain hash cannot be searched back.
#[must_use]
pub fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// A fresh API key: prefix, 30 random characters (178 bits), 6 of CRC-32, so that scanners and typos are told apart
/// without a look-up.
#[must_use]
pub fn api_key(test: bool) -> String {
    let prefix = if test { "weir_test_" } else { "weir_live_" };
    let body = base62(KEY_BODY);
    let check = checksum(&format!("{prefix}{body}"));
    format!("{prefix}{body}{check}")
}

/// Whether a text is a key by form and checksum. Says nothing about whether it exists.
#[must_use]
pub fn is_api_key(text: &str) -> bool {
    let body = text.strip_prefix("weir_live_").or_else(|| text.strip_prefix("weir_test_"));
    let Some(body) = body else { return false };
    if body.len() != KEY_BODY + KEY_CHECK || !body.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    let (signed, check) = text.split_at(text.len() - KEY_CHECK);
    checksum(signed) == check
}

fn base62(length: usize) -> String {
    let mut out = String::with_capacity(length);
    let mut buffer = [0_u8; 64];
    while out.len() < length {
        rand::fill(&mut buffer);
        for byte in buffer {
            // 248 = 4 * 62: larger bytes would favour the first letters.
            if byte < 248 && out.len() < length {
                out.push(char::from(BASE62[usize::from(byte % 62)]));
            }
        }
    }
    out
}

fn checksum(text: &str) -> String {
    let mut value = u64::from(crc32fast::hash(text.as_bytes()));
    let mut out = [b'0'; KEY_CHECK];
    for slot in out.iter_mut().rev() {
        *slot = BASE62[usize::try_from(value % 62).unwrap_or(0)];
        value /= 62;
    }
    out.iter().map(|&byte| char::from(byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_key_carries_its_kind_and_a_checksum_that_a_typo_breaks() {
        for test in [true, false] {
            let key = api_key(test);
            assert!(is_api_key(&key), "{key}");
            assert_eq!(key.len(), 46);
            assert_eq!(key.starts_with("weir_test_"), test);
            let mut typo = key.clone().into_bytes();
            typo[20] = if typo[20] == b'a' { b'b' } else { b'a' };
            assert!(!is_api_key(std::str::from_utf8(&typo).unwrap()));
        }
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in ["", "weir_live_", "weir_prod_000000000000000000000000000000000000", "weir_live_é", "Bearer x"] {
            assert!(!is_api_key(text), "{text}");
        }
    }
}
