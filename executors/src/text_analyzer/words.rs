//! A text as sentences and words.
//!
//! Invariant: every sentence is a slice of the text, in order, and no word is lost.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::tongue::{self, Tongue};

/// Enough for any document a person reads; keeps the pairwise methods within bounds.
pub(super) const MOST_SENTENCES: usize = 400;

/// A text, taken apart once for all methods.
pub(super) struct Text<'a> {
    pub(super) whole: &'a str,
    pub(super) sentences: Vec<&'a str>,
    tongue: Tongue,
}

impl<'a> Text<'a> {
    pub(super) fn read(whole: &'a str) -> Self {
        Self { whole, sentences: sentences(whole), tongue: tongue::of(whole) }
    }

    pub(super) const fn tongue(&self) -> &Tongue {
        &self.tongue
    }

    pub(super) fn is_stopword(&self, word: &str) -> bool {
        let sets = &*STOPWORDS;
        let own = sets.iter().find(|(code, _)| Some(*code) == self.tongue.code.as_deref());
        match own {
            Some((_, set)) => set.contains(word),
            None => sets.iter().any(|(_, set)| set.contains(word)),
        }
    }
}

/// The commonest words, which tell nothing about a text; own lists.
static STOPWORDS: LazyLock<Vec<(&str, HashSet<&str>)>> = LazyLock::new(|| {
    let lists = [
        ("en", include_str!("stopwords/en.txt")),
        ("de", include_str!("stopwords/de.txt")),
        ("fr", include_str!("stopwords/fr.txt")),
        ("es", include_str!("stopwords/es.txt")),
    ];
    lists.into_iter().map(|(code, list)| (code, list.split_whitespace().collect())).collect()
});

/// Words that end in a dot without ending a sentence.
const ABBREVIATIONS: [&str; 34] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "no", "nr", "vs", "etc", "e.g", "i.e", "inc", "ltd", "co", "corp", "jr",
    "sr", "z.b", "d.h", "bzw", "ca", "str", "abs", "art", "m", "mme", "sra", "fig", "vol", "approx", "dept", "est",
    "p",
];

fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let end = at + letter.len_utf8();
        let next = letters.peek().map(|(_, next)| *next);
        let ends = match letter {
            '。' | '！' | '？' => true,
            '!' | '?' => next.is_none_or(char::is_whitespace),
            '.' => {
                next.is_none_or(char::is_whitespace) && !is_abbreviation(&text[start..at]) && starts_anew(&text[end..])
            }
            // A blank line ends a heading or a list item as well.
            '\n' => text[end..].trim_start_matches([' ', '\t', '\r']).starts_with('\n'),
            _ => false,
        };
        if ends {
            push(&mut found, &text[start..end]);
            start = end;
        }
    }
    push(&mut found, &text[start..]);
    found
}

fn push<'a>(found: &mut Vec<&'a str>, sentence: &'a str) {
    let sentence = sentence.trim();
    if sentence.chars().any(char::is_alphanumeric) {
        found.push(sentence);
    }
}

fn is_abbreviation(before: &str) -> bool {
    let last = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default().to_lowercase();
    // A single letter is an initial, a number may be an ordinal.
    ABBREVIATIONS.contains(&last.as_str()) || (last.chars().count() == 1 && last.chars().all(char::is_alphabetic))
}

/// Whether what follows can begin a sentence.
fn starts_anew(rest: &str) -> bool {
    let first = rest.trim_start().trim_start_matches(['"', '\'', '(', '“', '„', '«', '¿', '¡']).chars().next();
    first.is_none_or(|c| !c.is_lowercase())
}

/// The words of a text in lower case. Apostrophes and hyphens inside a word belong to it.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    let inner = |c: char| c.is_alphanumeric() || matches!(c, '\'' | '’' | '-' | '_');
    let split = text.split(move |c| !inner(c)).map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    split.filter(|word| !word.is_empty()).map(|word| word.replace('’', "'").to_lowercase())
}
