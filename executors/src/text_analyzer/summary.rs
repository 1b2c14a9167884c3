//! A summary made of the text's own sentences, by TextRank: the sentences that share most words with all others.
//!
//! Invariant: sentences are given whole, as they stand, in the text's order.

use std::collections::HashSet;

use super::words::{MOST_SENTENCES, Text, words};

const ROUNDS: usize = 30;
const DAMPING: f64 = 0.85;
/// Shorter ones are headings and remarks.
const FEWEST_WORDS: usize = 4;
const MOST_WORDS: usize = 80;

pub(super) fn of(text: &Text<'_>, most: usize) -> String {
    let sentences: Vec<(usize, &str, HashSet<String>)> = text
        .sentences
        .iter()
        .take(MOST_SENTENCES)
        .enumerate()
        .map(|(place, sentence)| (place, *sentence, words(sentence).filter(|word| !text.is_stopword(word)).collect()))
        .collect();
    let eligible = |set: &HashSet<String>| (FEWEST_WORDS..=MOST_WORDS).contains(&set.len());
    let chosen: Vec<_> = sentences.iter().filter(|(_, _, set)| eligible(set)).collect();
    if chosen.len() <= most {
        let whole = if chosen.is_empty() { sentences.iter().take(most).collect() } else { chosen };
        return joined(whole.into_iter().map(|(_, sentence, _)| *sentence));
    }
    let sets: Vec<&HashSet<String>> = chosen.iter().map(|(_, _, set)| set).collect();
    let ranks = ranks(&sets);
    let mut order: Vec<usize> = (0..chosen.len()).collect();
    order.sort_by(|a, b| ranks[*b].total_cmp(&ranks[*a]).then(a.cmp(b)));
    let mut best: Vec<usize> = order.into_iter().take(most).collect();
    best.sort_unstable();
    joined(best.into_iter().map(|place| chosen[place].1))
}

fn joined<'a>(sentences: impl Iterator<Item = &'a str>) -> String {
    let flat = sentences.map(|sentence| sentence.split_whitespace().collect::<Vec<_>>().join(" "));
    flat.collect::<Vec<_>>().join(" ")
}

#[expect(clippy::cast_precision_loss, reason = "at most a few hundred sentences and words")]
fn ranks(sets: &[&HashSet<String>]) -> Vec<f64> {
    let count = sets.len();
    let weight = |a: &HashSet<String>, b: &HashSet<String>| {
        let shared = a.intersection(b).count() as f64;
        let lengths = (a.len() as f64).ln_1p() + (b.len() as f64).ln_1p();
        if lengths > 0.0 { shared / lengths } else { 0.0 }
    };
    let mut weights = vec![0.0; count * count];
    for a in 0..count {
        for b in 0..a {
            let shared = weight(sets[a], sets[b]);
            weights[a * count + b] = shared;
            weights[b * count + a] = shared;
        }
    }
    let sums: Vec<f64> = weights.chunks(count).map(|row| row.iter().sum()).collect();
    // What stands first in a text tends to say what it is about.
    let start: Vec<f64> = (0..count).map(|place| if place == 0 { 1.3 } else { 1.0 }).collect();
    let mut ranks = start.clone();
    for _ in 0..ROUNDS {
        ranks = (0..count)
            .map(|a| {
                let received: f64 =
                    (0..count).filter(|b| sums[*b] > 0.0).map(|b| weights[b * count + a] / sums[b] * ranks[b]).sum();
                (1.0 - DAMPING) * start[a] + DAMPING * received
            })
            .collect();
    }
    ranks
}
