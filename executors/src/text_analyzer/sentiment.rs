//! Sentiment by a lexicon: words with weights, turned by negation and scaled by words of degree.
//!
//! Invariant: a language without a lexicon gets no opinion. The lexicons are this project's own, written for business
//! texts (mails, reviews, tickets); they are under the project's licence.

use std::collections::HashMap;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Serialize;

use super::words::{Text, words};

/// How far before a word a negation still counts.
const REACH: usize = 3;
/// What a negation leaves of a weight: `not good` is less bad than `bad`.
const TURNED: f64 = -0.7;

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Sentiment {
    pub(crate) label: Label,
    /// From -1 to 1; null when the language has no lexicon.
    pub(crate) score: Option<f64>,
    /// Words of the lexicon that were found.
    pub(crate) positive_words: usize,
    pub(crate) negative_words: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Label {
    Positive,
    Neutral,
    Negative,
    /// The language has no lexicon.
    Unknown,
}

struct Lexicon {
    weights: HashMap<&'static str, f64>,
    negations: Vec<&'static str>,
    degrees: HashMap<&'static str, f64>,
}

static LEXICONS: LazyLock<HashMap<&'static str, Lexicon>> = LazyLock::new(|| {
    let lists = [
        ("en", include_str!("lexicon/en.txt")),
        ("de", include_str!("lexicon/de.txt")),
        ("fr", include_str!("lexicon/fr.txt")),
        ("es", include_str!("lexicon/es.txt")),
    ];
    lists.into_iter().map(|(code, list)| (code, Lexicon::parse(list))).collect()
});

impl Lexicon {
    /// Lines of `+3: words`, `-2: words`, `not: words` and `*1.3: words`.
    fn parse(list: &'static str) -> Self {
        let mut lexicon = Self { weights: HashMap::new(), negations: Vec::new(), degrees: HashMap::new() };
        for line in list.lines() {
            let Some((head, words)) = line.split_once(':') else { continue };
            let words = words.split_whitespace();
            match (head, head.strip_prefix('*').map(str::parse)) {
                ("not", _) => lexicon.negations.extend(words),
                (_, Some(Ok(factor))) => lexicon.degrees.extend(words.map(|word| (word, factor))),
                _ => {
                    let weight = head.parse().unwrap_or(0.0);
                    lexicon.weights.extend(words.map(|word| (word, weight)));
                }
            }
        }
        lexicon
    }

    fn negates(&self, word: &str) -> bool {
        self.negations.contains(&word) || word.ends_with("n't")
    }
}

pub(super) fn of(text: &Text<'_>) -> Sentiment {
    // Short texts are often taken for another language; without a lexicon of it, English is the best guess.
    let tongue = text.tongue();
    let code = tongue.code.as_deref().filter(|code| tongue.reliable || LEXICONS.contains_key(code)).unwrap_or("en");
    let Some(lexicon) = LEXICONS.get(code) else {
        return Sentiment { label: Label::Unknown, score: None, positive_words: 0, negative_words: 0 };
    };
    let (mut positive, mut negative) = (0, 0);
    let mut scores = Vec::new();
    for sentence in &text.sentences {
        let words: Vec<String> = words(sentence).collect();
        let mut sum = 0.0;
        for (place, word) in words.iter().enumerate() {
            let Some(weight) = lexicon.weights.get(word.as_str()) else { continue };
            let before = &words[place.saturating_sub(REACH)..place];
            let degree = before.last().and_then(|word| lexicon.degrees.get(word.as_str())).copied().unwrap_or(1.0);
            let turned = before.iter().filter(|word| lexicon.negates(word)).count() % 2 == 1;
            let value = weight * degree * if turned { TURNED } else { 1.0 };
            if value > 0.0 {
                positive += 1;
            } else {
                negative += 1;
            }
            sum += value;
        }
        if sum != 0.0 {
            scores.push(sum / (sum * sum + 15.0_f64).sqrt());
        }
    }
    let score = scores.iter().sum::<f64>() / f64::from(u32::try_from(scores.len().max(1)).unwrap_or(u32::MAX));
    let label = match score {
        score if score > 0.1 => Label::Positive,
        score if score < -0.1 => Label::Negative,
        _ => Label::Neutral,
    };
    Sentiment {
        label,
        score: Some((score * 1000.0).round() / 1000.0),
        positive_words: positive,
        negative_words: negative,
    }
}
