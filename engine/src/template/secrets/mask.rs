//! Finds secrets in what comes out, in the forms that programs give them: as they are, Base64, hexadecimal,
//! percent-encoded, and as a text inside JSON.
//!
//! Invariant: every form is looked for in one walk over the text, in any case of letters.

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use super::MASK;

/// Shorter values cannot be told from ordinary text and are left alone.
const SHORTEST: usize = 4;
/// Shorter pieces of Base64 stand in too many texts by chance.
const SHORTEST_BASE64: usize = 6;

/// The values of an attempt's secrets, ready to be looked for.
#[derive(Debug, Clone, Default)]
pub struct Masker {
    finder: Option<AhoCorasick>,
    /// In lower case, for the ends of unfinished texts.
    forms: Vec<String>,
}

impl Masker {
    #[must_use]
    pub fn new(values: &[String]) -> Self {
        let mut forms: Vec<String> = values
            .iter()
            .filter(|value| value.chars().count() >= SHORTEST)
            .flat_map(|value| forms_of(value))
            .map(|form| form.to_ascii_lowercase())
            .collect();
        forms.sort_unstable();
        forms.dedup();
        let mut finder = AhoCorasick::builder();
        finder.match_kind(MatchKind::LeftmostLongest).ascii_case_insensitive(true);
        // No secrets: nothing to look for. More forms than an automaton holds cannot come together in one config.
        let finder = if forms.is_empty() { None } else { finder.build(&forms).ok() };
        Self { finder, forms }
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.finder.is_none()
    }

    /// The text with every secret masked; `None` if it holds none.
    #[must_use]
    pub fn mask(&self, text: &str) -> Option<String> {
        let finder = self.finder.as_ref()?;
        let mut found = finder.find_iter(text).peekable();
        found.peek()?;
        let (mut clean, mut done) = (String::with_capacity(text.len()), 0);
        for piece in found {
            clean.push_str(&text[done..piece.start()]);
            clean.push_str(MASK);
            done = piece.end();
        }
        clean.push_str(&text[done..]);
        Some(clean)
    }

    /// Where the end of a text begins that may be the beginning of a secret: what comes next decides.
    #[must_use]
    pub fn undecided(&self, text: &str) -> usize {
        let longest = self.forms.iter().map(String::len).max().unwrap_or(0);
        let from = text.len().saturating_sub(longest);
        let starts = text.char_indices().map(|(at, _)| at).filter(|at| *at > from || from == 0);
        let lower = text.to_ascii_lowercase();
        starts
            .into_iter()
            .find(|at| self.forms.iter().any(|form| form.len() > text.len() - at && form.starts_with(&lower[*at..])))
            .unwrap_or(text.len())
    }
}

fn forms_of(value: &str) -> Vec<String> {
    let mut forms = vec![value.to_owned(), hex::encode(value)];
    for alphabet in [&STANDARD, &URL_SAFE] {
        forms.extend((0..3).filter_map(|before| inside_base64(value, alphabet, before)));
    }
    // Programs differ in what they leave as it is, and in how they write a space.
    let strict = percent(value, |byte| byte.is_ascii_alphanumeric());
    let plain = percent(value, |byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
    let path = percent(value, |byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    let uri = percent(value, |byte| byte.is_ascii_alphanumeric() || b"-_.~!*'()".contains(&byte));
    let form = percent(value, |byte| byte.is_ascii_alphanumeric() || b"-_.* ".contains(&byte)).replace(' ', "+");
    forms.extend([strict, plain, path, uri, form]);
    let json = serde_json::Value::from(value).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let ascii = ascii_json(&json);
    forms.extend([json.replace('/', "\\/"), ascii.replace('/', "\\/"), ascii, json]);
    forms
}

/// What a value always looks like inside the Base64 of a longer text, by how many bytes stand before it, without the
/// letters that depend on its neighbours.
fn inside_base64(value: &str, alphabet: &base64::alphabet::Alphabet, before: usize) -> Option<String> {
    let bytes = [vec![0; before], value.as_bytes().to_vec()].concat();
    let text = GeneralPurpose::new(alphabet, NO_PAD).encode(&bytes);
    let start = (before * 8).div_ceil(6);
    let end = if bytes.len().is_multiple_of(3) { text.len() } else { text.len() - 1 };
    (end >= start + SHORTEST_BASE64).then(|| text[start..end].to_owned())
}

fn percent(value: &str, stays: impl Fn(u8) -> bool) -> String {
    let letter = |byte: u8| if stays(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    value.bytes().map(letter).collect()
}

/// As programs write JSON that keep to ASCII.
fn ascii_json(json: &str) -> String {
    let mut units = [0; 2];
    let escaped = json.chars().map(|letter| {
        if letter.is_ascii() {
            return letter.to_string();
        }
        letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD as PADDED, URL_SAFE as URL_PADDED, URL_SAFE_NO_PAD};

    use super::*;

    const CANARY: &str = "CANARY/s3cr3t+ü\"q?>~";

    fn masker() -> Masker {
        Masker::new(&[CANARY.to_owned()])
    }

    #[test]
    fn a_secret_is_masked_in_every_form_that_programs_give_it() {
        let mut forms = vec![
            CANARY.to_owned(),
            CANARY.to_ascii_uppercase(),
            CANARY.to_ascii_lowercase(),
            hex::encode(CANARY),
            hex::encode_upper(CANARY),
            serde_json::to_string(&[CANARY]).unwrap(),
            r#"CANARY\/s3cr3t+\u00fc\"q?>~"#.to_owned(),
            "CANARY%2Fs3cr3t%2B%C3%BC%22q%3F%3E~".to_owned(),
            "CANARY%2fs3cr3t%2b%c3%bc%22q%3f%3e%7e".to_owned(),
            "CANARY/s3cr3t%2B%C3%BC%22q%3F%3E%7E".to_owned(),
        ];
        for before in ["", "a", "ab", "user:", "x:y:z"] {
            for after in ["", "1", "22", "333"] {
                let whole = format!("{before}{CANARY}{after}");
                forms.extend([PADDED.encode(&whole), URL_PADDED.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)]);
            }
        }
        for form in forms {
            let text = format!("before {form} after");
            let masked = masker().mask(&text).unwrap_or_else(|| panic!("not seen: {text}"));
            assert!(masked.starts_with("before ") && masked.contains(MASK) && masked.ends_with(" after"), "{masked}");
            assert!(masked.len() < text.len() - CANARY.len() + 12, "too much is left: {masked}");
        }
    }

    #[test]
    fn text_without_secrets_is_left_alone() {
        assert_eq!(masker().mask("CANARY s3cr3t ü nothing here"), None);
        assert_eq!(Masker::new(&["abc".to_owned()]).mask("abc"), None);
        assert!(Masker::new(&[]).is_empty());
        assert_eq!(
            Masker::new(&["hunter22".to_owned(), "abc".to_owned()]).mask("user hunter22 abc").as_deref(),
            Some("user *** abc")
        );
    }

    #[test]
    fn the_end_of_a_text_that_may_become_a_secret_is_known() {
        let masker = Masker::new(&["hunter22".to_owned()]);
        for (text, decided) in [
            ("my hunt", "my "),
            ("my HUNTER2", "my "),
            ("my hunter", "my "),
            ("my fox", "my fox"),
            ("hhh", "hh"),
            ("ü", "ü"),
            ("", ""),
        ] {
            assert_eq!(&text[..masker.undecided(text)], decided, "{text}");
        }
    }
}
