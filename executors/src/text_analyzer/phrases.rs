//! Key phrases, by rapid automatic keyword extraction (RAKE): runs of words between stop words and punctuation, scored by
//! how much company their words keep.
//!
//! Invariant: a phrase stands in the text as it is given, but for its case.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::words::Text;

const LONGEST_PHRASE: usize = 4;

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Phrase {
    pub(crate) text: String,
    /// Higher is more telling; comparable within one text only.
    pub(crate) score: f64,
    /// How often it occurs.
    pub(crate) count: usize,
}

pub(super) fn of(text: &Text<'_>, most: usize) -> Vec<Phrase> {
    let candidates: Vec<Vec<&str>> = text.sentences.iter().flat_map(|sentence| candidates(text, sentence)).collect();
    let mut frequency: HashMap<String, usize> = HashMap::new();
    let mut company: HashMap<String, usize> = HashMap::new();
    for candidate in &candidates {
        for word in candidate {
            let word = word.to_lowercase();
            *company.entry(word.clone()).or_default() += candidate.len();
            *frequency.entry(word).or_default() += 1;
        }
    }
    let mut found: HashMap<String, (Phrase, usize)> = HashMap::new();
    for (place, candidate) in candidates.iter().enumerate() {
        let shown = candidate.join(" ");
        let entry = found.entry(shown.to_lowercase()).or_insert_with(|| {
            let score = candidate.iter().map(|word| {
                let word = word.to_lowercase();
                ratio(company.get(&word).copied().unwrap_or(0), frequency.get(&word).copied().unwrap_or(1))
            });
            (Phrase { text: shown, score: score.sum(), count: 0 }, place)
        });
        entry.0.count += 1;
    }
    let mut phrases: Vec<(Phrase, usize)> = found.into_values().collect();
    for (phrase, _) in &mut phrases {
        // What is said again and again counts for more than what is said once at length.
        phrase.score = (phrase.score * ratio(phrase.count + 1, 2).sqrt() * 100.0).round() / 100.0;
    }
    phrases.sort_by(|(a, a_place), (b, b_place)| b.score.total_cmp(&a.score).then(a_place.cmp(b_place)));
    phrases.into_iter().map(|(phrase, _)| phrase).take(most).collect()
}

#[expect(clippy::cast_precision_loss, reason = "word counts are far below 2^52")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

fn candidates<'a>(text: &Text<'_>, sentence: &'a str) -> Vec<Vec<&'a str>> {
    let mut found = Vec::new();
    let breaks = |c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '’' | '-' | '_') || c == ' ');
    for fragment in sentence.split(breaks) {
        let mut run: Vec<&str> = Vec::new();
        for word in fragment.split(' ').map(|word| word.trim_matches(|c: char| !c.is_alphanumeric())) {
            let tells = word.chars().count() > 2
                && word.chars().any(char::is_alphabetic)
                && !text.is_stopword(&word.to_lowercase().replace('’', "'"));
            if tells {
                run.push(word);
            } else if !word.is_empty() {
                end(&mut found, &mut run);
            }
        }
        end(&mut found, &mut run);
    }
    found
}

fn end<'a>(found: &mut Vec<Vec<&'a str>>, run: &mut Vec<&'a str>) {
    let run = std::mem::take(run);
    if (1..=LONGEST_PHRASE).contains(&run.len()) {
        found.push(run);
    }
}
